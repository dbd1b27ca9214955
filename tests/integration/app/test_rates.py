"""How much one partner may ask of an inner: by its profile, after its signature, and at nobody else's cost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.app.ports import Answer, Question
from gateway.contract.values import PartnerId
from gateway.core import limits, strict_json
from tests.house import ORIGIN, SHIPPED, House, house
from tests.notices import also, notice

FR, ES, REGISTER = PartnerId("fr-police"), PartnerId("es-police"), PartnerId("gb-register")
PATH = "/v1/evidence/checkpoint"


def few(partner: PartnerId = FR, count: int = 6) -> Mapping[PartnerId, Any]:
    return also(replace(SHIPPED[partner], requests_per_minute=count))


async def ask(h: House, who: str = FR) -> Answer:
    return await h.ask("checkpoint", PATH, who=who)


async def submit(h: House, number: int, sender: PartnerId = REGISTER) -> Answer:
    body = h.token(notice("FR", subject=f"s-{number:06d}"), sender=sender)
    return await h.ask("submit", "/v1/messages", who=sender, method="POST", body=body)


def is_limited(answer: Answer) -> bool:
    return answer.code == "rate-limited"


async def test_over_its_rate_a_partner_is_told_when_to_come_again_and_then_is_answered(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=few()) as h:
        answers = [await ask(h) for _ in range(8)]
        assert [is_limited(answer) for answer in answers] == [False] * 6 + [True] * 2
        assert (answers[-1].outcome, answers[-1].wait_seconds) == ("problem", 10)
        assert not is_limited(await ask(h, ES))
        h.clock.advance(timedelta(seconds=10))
        assert [is_limited(await ask(h)) for _ in range(2)] == [False, True]
        assert h.metrics.registry.get_sample_value("gateway_limited_total", {"partner": FR, "limit": "requests"}) == 3


async def test_what_is_refused_for_its_rate_was_not_accepted_and_may_come_again_as_it_is(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=few(REGISTER, 1)) as h:
        assert (await submit(h, 1)).outcome == "accepted"
        body = h.token(notice("FR", subject="s-000002"))
        refused = await h.ask("submit", "/v1/messages", who=REGISTER, method="POST", body=body)
        assert is_limited(refused)
        h.clock.advance(timedelta(minutes=1))
        again = await h.ask("submit", "/v1/messages", who=REGISTER, method="POST", body=body)
        assert again.outcome == "accepted"


async def test_requests_that_others_sign_in_its_name_use_nothing_of_a_partner_s_rate(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=few()) as h:
        for _ in range(20):
            forged = await h.requests.answer(Question(kind="checkpoint", path=PATH, token=_forged(FR)))
            assert forged.code == "untrusted"
        assert not is_limited(await ask(h))


def _forged(iss: str) -> str:
    from gateway.core import jose

    parts = ({"alg": "ES256", "typ": "gw-request+jwt", "kid": "x"}, {"iss": iss, "aud": "gw-test", "htu": ORIGIN + PATH})
    return ".".join([*(jose.b64encode(strict_json.canonical(part)).decode() for part in parts), "c2ln"])


async def test_an_edge_that_asks_on_for_a_waiting_partner_counts_against_nobody(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=few(FR, 1)) as h:
        body = b'{"returnImmediately":false}'
        assert not is_limited(await h.ask("poll", "/v1/poll", who=FR, method="POST", body=body))
        for _ in range(5):
            assert not is_limited(await h.ask("poll-again", "/v1/poll", who=FR, method="POST", body=body))


@pytest.mark.parametrize("kind", ["submit", "line"])
async def test_a_flood_of_one_sender_is_bounded_and_another_s_message_is_accepted_in_the_midst_of_it(tmp_path: Path, kind: str) -> None:
    """The flood is larger than the queue: what is over the sender's share hears 429, and nobody hears 503."""
    async with house(tmp_path) as h:
        token = h.token(notice("FR"))
        flood = [
            asyncio.create_task(h.requests.answer(Question(kind=kind, method="POST", path="/v1/messages", mtls=REGISTER, body=token)))
            for _ in range(limits.WAITING_COUNT_MAX + limits.WAITING_SHARE_MAX)
        ]
        await asyncio.sleep(0)
        event = h.token(notice("FR", subject="s-000009"), sender=FR)
        other = await asyncio.wait_for(h.requests.answer(Question(kind=kind, method="POST", path="/v1/messages", mtls=FR, body=event)), 60)
        assert other.code not in {"rate-limited", "unavailable"}
        pending = sum(not task.done() for task in flood)
        assert pending > 0, "the other's answer came before the flood was through"
        answers = await asyncio.gather(*flood)
        codes = {answer.code for answer in answers}
        assert codes == {None, "rate-limited"}
        assert {answer.wait_seconds for answer in answers if answer.code} == {1}
