"""The inbox (RFC 8936): offers, answers, visibility, and that nobody answers for another."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.app.inbox import read_poll
from gateway.contract.values import Jti, PartnerId
from gateway.core.delivery import State
from gateway.core.directory import Directory
from gateway.core.limits import LINES_COUNT_MAX, POLL_SETS_COUNT_MAX
from gateway.core.problems import Code, RefusedInputError
from tests.house import SHIPPED, House, house, with_delivery
from tests.notices import also, another, notice, urgent

NL, FR = PartnerId("nl-border"), PartnerId("fr-police")
COAST = another("nl-border", "nl-coast")


async def leg_of(h: House, jti: str, partner: PartnerId = NL) -> Any:
    return (await h.legs(jti))[partner]


async def many(h: House, count: int) -> list[Jti]:
    return [await h.submit(notice("NL", subject=f"s-{number:06d}")) for number in range(count)]


async def raw_poll(h: House, who: str = NL, **body: Any) -> dict[str, Any]:
    answer = await h.ask("poll", "/v1/poll", who=who, method="POST", body=json.dumps(body).encode())
    assert answer.outcome == "ok", answer.body
    return dict(json.loads(answer.body))


async def test_an_offer_is_the_first_attempt_and_an_ack_receipts_it(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti = await h.submit(notice("NL"))
        (token,) = await h.poll(NL)
        leg = await leg_of(h, jti)
        assert (leg.state, leg.attempt, leg.jti) == (State.AVAILABLE, 1, token)
        assert await h.poll(NL, ack=[token]) == {}
        leg = await leg_of(h, jti)
        assert (leg.state, len(leg.proof), leg.last_code) == (State.RECEIPTED, 64, None)


async def test_what_was_not_answered_is_offered_again_as_it_was_when_it_is_visible(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti = await h.submit(notice("NL"))
        first = await h.poll(NL)
        h.clock.advance(seconds=59)
        await h.sequencer.run_once()
        assert await h.poll(NL) == {}
        h.clock.advance(seconds=1)
        second = await h.poll(NL)
        assert [got.digest for got in second.values()] == [got.digest for got in first.values()]
        assert (await leg_of(h, jti)).attempt == 2


async def test_an_ack_after_the_second_offer_counts_once(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti = await h.submit(notice("NL"))
        (token,) = await h.poll(NL)
        h.clock.advance(seconds=60)
        await h.poll(NL)
        for _ in range(3):
            await h.poll(NL, ack=[token])
        assert (await leg_of(h, jti)).state is State.RECEIPTED
        assert [got.event["body"]["stage"] for got in await h.poll_all("gb-register")] == ["RECEIPTED"]


@pytest.mark.parametrize(
    ("err", "code", "reason"),
    [
        ("invalid_key", "invalid_key", "NOT_READABLE"),
        ("access_denied", "access_denied", "OTHER"),
        ("The name is wrong", "unknown", "OTHER"),
    ],
)
async def test_an_error_is_a_signed_refusal_and_the_sender_hears_why(tmp_path: Path, err: str, code: str, reason: str) -> None:
    async with house(tmp_path) as h:
        jti = await h.submit(notice("NL"))
        (token,) = await h.poll(NL)
        await raw_poll(h, setErrs={token: {"err": err, "description": "A canary sings"}})
        leg = await leg_of(h, jti)
        assert (leg.state, leg.last_code) == (State.RECEIPTED, code)
        (heard,) = await h.poll_all("gb-register")
        assert (heard.event["body"]["stage"], heard.event["body"]["reason"]) == ("RECEIPTED", reason)


async def test_another_s_token_is_not_answered(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=also(COAST)) as h:
        jti = await h.submit(notice("NL", "FR"))
        (token,) = await h.poll(NL)
        await h.poll("nl-coast", ack=[token], errors={token: "invalid_key"})
        assert (await leg_of(h, jti)).state is State.AVAILABLE
        pushed = (await leg_of(h, jti, FR)).jti
        await h.poll(NL, ack=[pushed, jti])
        assert (await leg_of(h, jti, FR)).state is State.READY


@pytest.mark.parametrize("jti", ["", "nonsense", "\x00", "019aa5e2-8c00-7000-8000-00000000ffff", "é" * 50])
async def test_an_ack_of_nothing_does_nothing(tmp_path: Path, jti: str) -> None:
    async with house(tmp_path) as h:
        sent = await h.submit(notice("NL"))
        assert len(await h.poll(NL, ack=[jti], errors={jti: "invalid_key"})) == 1
        assert (await leg_of(h, sent)).state is State.AVAILABLE


async def test_the_answer_says_when_there_is_more(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await many(h, 3)
        first = await raw_poll(h, maxEvents=2)
        assert (len(first["sets"]), first["moreAvailable"]) == (2, True)
        second = await raw_poll(h, maxEvents=2)
        assert (len(second["sets"]), second["moreAvailable"]) == (1, False)


async def test_the_window_cuts_an_answer_and_says_so(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=also(with_delivery(SHIPPED[NL], window=2))) as h:
        await many(h, 3)
        first = await raw_poll(h)
        assert (len(first["sets"]), first["moreAvailable"]) == (2, True)


async def test_max_events_of_zero_only_answers(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti = await h.submit(notice("NL"))
        (token,) = await h.poll(NL)
        other = await h.submit(notice("NL", subject="s-other"))
        assert await raw_poll(h, maxEvents=0, ack=[token]) == {"sets": {}, "moreAvailable": False}
        assert ((await leg_of(h, jti)).state, (await leg_of(h, other)).state) == (State.RECEIPTED, State.READY)


async def test_the_urgent_is_offered_first(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await many(h, 3)
        fast = await h.submit(urgent(notice("NL", subject="s-urgent")))
        (got,) = (await h.poll(NL, maxEvents=1)).values()
        assert got.event["original"]["jti"] == fast


async def test_what_is_offered_is_looked_at_again(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti = await h.submit(notice("NL"))
        await h.poll(NL)
        world = h.holder.current
        directory = Directory(replace(p, suspended=True) if p.id == NL else p for p in world.directory)
        h.holder.current = replace(world, grounds=replace(world.grounds, directory=directory))
        h.clock.advance(seconds=60)
        assert await h.poll(NL) == {}
        leg = await leg_of(h, jti)
        assert (leg.state, leg.hold_reason) == (State.HELD, "SUSPENDED")


async def test_what_nobody_takes_expires_and_what_was_offered_too(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=also(with_delivery(SHIPPED[NL], expire_seconds=100))) as h:
        jtis = await many(h, 2)
        await h.poll(NL, maxEvents=1)
        h.clock.advance(seconds=100)
        await h.run_until_idle()
        assert {(await leg_of(h, jti)).state for jti in jtis} == {State.EXPIRED}


async def test_a_partner_that_is_pushed_to_finds_nothing_and_may_still_answer(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti = await h.submit(notice("FR"))
        assert await h.poll(FR) == {}
        await h.run_until_idle()
        await h.poll(FR, ack=[(await leg_of(h, jti, FR)).jti])
        assert (await leg_of(h, jti, FR)).state is State.RECEIPTED


BAD = [
    pytest.param({"maxEvents": -1}, id="negative"),
    pytest.param({"maxEvents": 1.5}, id="fraction"),
    pytest.param({"maxEvents": True}, id="true"),
    pytest.param({"maxEvents": "10"}, id="text"),
    pytest.param({"returnImmediately": 1}, id="immediately-is-a-number"),
    pytest.param({"ack": "x"}, id="ack-is-text"),
    pytest.param({"ack": [1]}, id="ack-of-numbers"),
    pytest.param({"ack": ["x"] * (LINES_COUNT_MAX + 1)}, id="too-many-acks"),
    pytest.param({"setErrs": []}, id="errors-are-a-list"),
    pytest.param({"setErrs": {"x": "invalid_key"}}, id="error-is-text"),
    pytest.param({"setErrs": {"x": {"description": "x"}}}, id="error-without-err"),
    pytest.param({"setErrs": {"x": {"err": "x", "more": 1}}}, id="error-with-more"),
    pytest.param({"sets": {}}, id="member-unknown"),
]


@pytest.mark.parametrize("body", BAD)
def test_a_poll_out_of_its_shape_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(RefusedInputError) as caught:
        read_poll(json.dumps(body).encode())
    assert caught.value.problem.code is Code.REQUEST_INVALID


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b'{"ack":[],"ack":[]}', b'{"maxEvents":NaN}'])
def test_a_poll_that_is_no_strict_json_is_refused(raw: bytes) -> None:
    with pytest.raises(RefusedInputError):
        read_poll(raw)


def test_an_empty_poll_has_defaults() -> None:
    poll = read_poll(b"{}")
    assert (poll.limit, poll.acks, poll.errors) == (POLL_SETS_COUNT_MAX, (), {})
