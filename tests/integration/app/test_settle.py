"""Settling: back-off, dead letters, leases, late successes, receipts owed; and what the sender is told."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.app.codec import CUT_SHORT, Report, decode_report, encode_report
from gateway.app.ports import LegRow, Outgoing
from gateway.app.settle import Change
from gateway.app.topics import OUTCOMES
from gateway.contract.errors import DeliveryError, InvariantError
from gateway.contract.transports import Outcome, Reply
from gateway.contract.values import LegId, PartnerId
from gateway.core.delivery import Event, State
from gateway.core.limits import LEASE_SECONDS_MAX
from gateway.core.profiles import Closes, Profile
from tests.house import ACK, SHIPPED, House, house, with_delivery
from tests.notices import also, answer_to, notice

FR, NL = PartnerId("fr-police"), PartnerId("nl-border")
YES = Reply(Outcome.DELIVERED)


def fr(**changes: Any) -> dict[PartnerId, Profile]:
    return also(with_delivery(SHIPPED[FR], **changes))


async def leg_of(h: House, jti: str) -> LegRow:
    return (await h.legs(jti))[FR]


async def sending(h: House) -> LegRow:
    """A leg that is with a courier who will not answer."""
    h.partners[FR].gate = asyncio.Event()
    jti = await h.submit(notice("FR"))
    await h.seal.run_once()
    leg = await leg_of(h, jti)
    assert leg.state is State.SENDING
    return leg


async def stages(h: House) -> list[tuple[str, str | None]]:
    return [(got.event["body"]["stage"], got.event["body"].get("reason")) for got in await h.poll_all("gb-register")]


async def test_a_failure_waits_twice_as_long_each_time(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=fr(retry_base_seconds=10, retry_max_seconds=40)) as h:
        h.partners[FR].answers = [Reply(Outcome.FAILED, "http-500")]
        jti = await h.submit(notice("FR"))
        waits = []
        for failures in range(1, 6):
            await h.run_until_idle()
            leg = await leg_of(h, jti)
            assert (leg.state, leg.failures, leg.attempt, leg.last_code) == (State.READY, failures, failures, "http-500")
            waits.append((leg.due_at - h.clock.now()).total_seconds())
            h.clock.advance(leg.due_at - h.clock.now())
        bounds = [(5, 10), (10, 20), (20, 40), (20, 40), (20, 40)]
        assert all(low <= wait <= high for wait, (low, high) in zip(waits, bounds, strict=True)), waits


async def test_nothing_is_tried_before_it_is_due(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.partners[FR].answers = [Reply(Outcome.FAILED, "http-503", timedelta(minutes=10)), YES]
        jti = await h.submit(notice("FR"))
        await h.run_until_idle()
        h.clock.advance(seconds=599)
        await h.run_until_idle()
        assert len(h.partners[FR].attempts) == 1
        h.clock.advance(seconds=1)
        await h.run_until_idle()
        assert (await leg_of(h, jti)).state is State.DELIVERED


async def test_used_up_attempts_make_a_dead_letter(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=fr(attempts_max=3)) as h:
        h.partners[FR].answers = [DeliveryError("timeout")]
        jti = await h.submit(notice("FR"))
        for _ in range(5):
            await h.run_until_idle()
            h.clock.advance(seconds=60)
        leg = await leg_of(h, jti)
        assert (leg.state, leg.reason, leg.attempt, leg.ended_at is not None) == (State.DEAD, "ATTEMPTS", 3, True)
        assert await stages(h) == [("DEAD", "ATTEMPTS")]


async def test_a_refusal_by_the_transport_is_a_dead_letter_at_once(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.partners[FR].answers = [Reply(Outcome.REFUSED, "http-413")]
        jti = await h.submit(notice("FR"))
        await h.run_until_idle()
        assert ((await leg_of(h, jti)).state, len(h.partners[FR].attempts)) == (State.DEAD, 1)
        assert await stages(h) == [("DEAD", "OTHER")]


async def test_a_success_does_not_repeat_the_words_of_earlier_failures(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.partners[FR].answers = [DeliveryError("ClientOSError"), YES]
        jti = await h.submit(notice("FR"))
        await h.run_until_idle()
        assert (await leg_of(h, jti)).last_code == "ClientOSError"
        h.clock.advance(seconds=60)
        await h.run_until_idle()
        leg = await leg_of(h, jti)
        assert (leg.state, leg.last_code) == (State.DELIVERED, None)
        assert await stages(h) == [("DELIVERED", None)]
        got = next(iter(h.partners[FR].received.values()))
        assert (await h.send(answer_to(got), sender=FR, family=ACK)).receipt is not None
        assert (await leg_of(h, jti)).state is State.RECEIPTED


async def test_an_ended_lease_goes_again_with_the_next_attempt(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        leg = await sending(h)
        h.clock.advance(seconds=LEASE_SECONDS_MAX - 1)
        await h.timers.run_once()
        assert (await leg_of(h, leg.message.jti)).state is State.SENDING
        h.clock.advance(seconds=1)
        assert await h.timers.run_once() == 1
        after = await leg_of(h, leg.message.jti)
        assert (after.state, after.attempt, after.failures, after.last_code) == (
            State.READY,
            1,
            0,
            "no-report",
        )  # no news is no failure of the partner
        h.clock.advance(seconds=60)
        await h.seal.run_once()
        assert (await leg_of(h, leg.message.jti)).attempt == 2


async def test_an_attempt_that_we_cut_short_goes_again_at_once_and_is_no_failure(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=fr(attempts_max=1)) as h:
        leg = await sending(h)
        report = Report(leg_id=leg.leg_id, partner=FR, attempt=leg.attempt, outcome=Outcome.FAILED, code=CUT_SHORT)
        await h.settle.run([Change(leg_id=leg.leg_id, event=report.event, attempt=report.attempt, partner=FR, code=report.code)])
        after = await leg_of(h, leg.message.jti)
        assert (after.state, after.failures, after.due_at, after.lease_until) == (State.READY, 0, h.clock.now(), None)
        async with h.store.reading() as work:
            assert await work.troubles() == {}, "the partner's circuit does not move"
        gate = h.partners[FR].gate
        assert gate is not None
        gate.set()
        await h.run_until_idle()
        assert (await leg_of(h, leg.message.jti)).state is State.DELIVERED


async def test_a_late_success_of_any_attempt_counts_and_a_late_failure_does_not(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        leg = await sending(h)
        h.clock.advance(seconds=LEASE_SECONDS_MAX)
        await h.timers.run_once()
        h.clock.advance(seconds=60)
        await h.seal.run_once()  # the second attempt is under way
        assert await h.settle.run([Change(leg_id=leg.leg_id, event=Event.FAILED, attempt=1, code="timeout")]) == []
        assert (await leg_of(h, leg.message.jti)).state is State.SENDING
        await h.settle.run([Change(leg_id=leg.leg_id, event=Event.DELIVERED, attempt=1)])
        assert (await leg_of(h, leg.message.jti)).state is State.DELIVERED
        assert await h.settle.run([Change(leg_id=leg.leg_id, event=Event.FAILED, attempt=2)]) == []
        assert await stages(h) == [("DELIVERED", None)]


async def test_a_dead_letter_that_arrived_after_all_is_delivered_and_told(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=fr(attempts_max=1)) as h:
        leg = await sending(h)
        await h.settle.run([Change(leg_id=leg.leg_id, event=Event.FAILED, attempt=1, code="timeout")])
        assert (await leg_of(h, leg.message.jti)).state is State.DEAD
        await h.settle.run([Change(leg_id=leg.leg_id, event=Event.DELIVERED, attempt=1)])
        after = await leg_of(h, leg.message.jti)
        assert (after.state, after.reason) == (State.DELIVERED, None)
        assert await stages(h) == [("DEAD", "ATTEMPTS"), ("DELIVERED", None)]


async def test_a_dead_letter_that_arrived_after_all_still_owes_its_receipt(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=fr(attempts_max=1, closes=Closes.RECEIPTED, receipt_seconds=600)) as h:
        leg = await sending(h)
        await h.settle.run([Change(leg_id=leg.leg_id, event=Event.FAILED, attempt=1, code="timeout")])
        await h.settle.run([Change(leg_id=leg.leg_id, event=Event.DELIVERED, attempt=1)])
        after = await leg_of(h, leg.message.jti)
        assert (after.state, after.ended_at, after.reason) == (State.DELIVERED, None, None)
        assert after.receipt_due_at == h.clock.now() + timedelta(seconds=600)
        assert await stages(h) == [("DEAD", "ATTEMPTS")]  # and no word of a delivery that is not the end


async def test_a_delivery_that_owes_a_receipt_is_told_when_it_has_it(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=fr(closes=Closes.RECEIPTED)) as h:
        jti = await h.submit(notice("FR"))
        await h.run_until_idle()
        leg = await leg_of(h, jti)
        assert (leg.state, leg.ended_at) == (State.DELIVERED, None)
        assert await stages(h) == []
        got = next(iter(h.partners[FR].received.values()))
        assert (await h.send(answer_to(got), sender=FR, family=ACK)).receipt is not None
        await h.run_until_idle()
        leg = await leg_of(h, jti)
        assert (leg.state, leg.receipt_due_at) == (State.RECEIPTED, None)
        assert sorted(await stages(h)) == [("RECEIPTED", None), ("RECEIVED", None)]


async def test_a_receipt_that_never_comes_makes_a_dead_letter(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=fr(closes=Closes.RECEIPTED, receipt_seconds=600)) as h:
        jti = await h.submit(notice("FR"))
        await h.run_until_idle()
        h.clock.advance(seconds=600)
        await h.run_until_idle()
        assert (await leg_of(h, jti)).state is State.DEAD
        assert await stages(h) == [("DEAD", "NO_RECEIPT")]


async def test_a_delivery_that_owes_a_receipt_gives_its_turn_on(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=fr(closes=Closes.RECEIPTED)) as h:
        first, second = await h.submit(notice("FR")), await h.submit(notice("FR"))
        await h.run_until_idle()
        assert [(await leg_of(h, jti)).state for jti in (first, second)] == [State.DELIVERED] * 2


# --- what a courier of the outer zone may say


LEG = "019aa5e2-8c00-7000-8000-000000000001"
GOOD = Report(leg_id=LegId(LEG), partner=FR, attempt=1, outcome=Outcome.FAILED, code="http-503", retry_after_seconds=5.0)


def test_a_report_is_read_as_it_was_written() -> None:
    assert decode_report(encode_report(GOOD)) == GOOD


@pytest.mark.parametrize(
    "changes",
    [
        {"leg_id": LegId("x")},
        {"leg_id": LegId("\x00")},
        {"code": "a name of somebody"},
        {"code": "x" * 41},
        {"retry_after_seconds": float("nan")},
        {"retry_after_seconds": float("inf")},
        {"retry_after_seconds": -1.0},
        {"retry_after_seconds": 1e12},
    ],
    ids=repr,
)
def test_a_report_out_of_its_shape_is_refused(changes: dict[str, Any]) -> None:
    made = {name: getattr(GOOD, name) for name in GOOD.__struct_fields__} | changes
    with pytest.raises(InvariantError):
        decode_report(encode_report(Report(**made)))


@pytest.mark.parametrize("raw", [b"", b"\x80", b"nonsense", b"\xff" * 8])
def test_a_report_that_is_none_is_refused(raw: bytes) -> None:
    with pytest.raises(InvariantError):
        decode_report(raw)


async def test_lies_of_a_courier_are_counted_and_move_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        leg = await sending(h)
        lies = [
            b"nonsense",
            encode_report(replace_report(GOOD, retry_after_seconds=float("nan"), leg_id=leg.leg_id)),
            encode_report(replace_report(GOOD, attempt=7, leg_id=leg.leg_id, outcome=Outcome.DELIVERED)),
            encode_report(replace_report(GOOD, attempt=0, leg_id=leg.leg_id, outcome=Outcome.DELIVERED)),
            encode_report(GOOD),  # of no leg of ours
        ]
        await h.bus.publish([Outgoing(OUTCOMES, b"", lie) for lie in lies])
        true = replace_report(GOOD, leg_id=leg.leg_id, outcome=Outcome.DELIVERED)
        other = await h.submit(notice("NL"))
        await h.bus.publish([Outgoing(OUTCOMES, b"", encode_report(true))])  # the loop lives on
        await h.run_until_idle()
        after = await leg_of(h, leg.message.jti)
        assert (after.state, after.attempt) == (State.DELIVERED, 1)
        assert set(await h.legs(other)) == {NL}


def replace_report(report: Report, **changes: Any) -> Report:
    return Report(**{name: getattr(report, name) for name in report.__struct_fields__} | changes)


# --- order of things in one transaction


async def test_several_reports_of_one_leg_in_one_batch_are_taken_in_order(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        leg = await sending(h)
        changes = [Change(leg_id=leg.leg_id, event=event, attempt=1) for event in (Event.FAILED, Event.DELIVERED, Event.FAILED)]
        (after,) = await h.settle.run(changes)
        assert after.state is State.DELIVERED
        assert await stages(h) == [("DELIVERED", None)]


async def test_a_held_leg_gives_its_turn_on_and_is_told_to_nobody(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        first, second = await h.submit(notice("FR")), await h.submit(notice("FR"))
        leg = await leg_of(h, first)
        await h.settle.run([Change(leg_id=leg.leg_id, event=Event.HELD)])
        assert [(await leg_of(h, jti)).state for jti in (first, second)] == [State.HELD, State.READY]
        assert await stages(h) == []


async def test_the_end_of_an_acknowledgement_is_no_news(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.submit(notice("FR"))
        await h.run_until_idle()
        assert await stages(h) == [("DELIVERED", None)]
        await h.run_until_idle()
        assert await stages(h) == []


async def test_a_change_without_a_way_in_the_table_moves_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti = await h.submit(notice("FR"))
        leg = await leg_of(h, jti)
        for event in (Event.RETRIED, Event.RELEASED, Event.LEASE_ENDED):
            assert await h.settle.run([Change(leg_id=leg.leg_id, event=event)]) == []
        assert replace(await leg_of(h, jti)) == leg
