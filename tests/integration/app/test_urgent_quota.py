"""A sender that calls everything urgent: all of it is accepted, and only so much of it overtakes the others."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.app.intake import Submission
from gateway.app.rows import read_marks
from gateway.contract.values import Lane, PartnerId, Ref
from gateway.core import strict_json
from gateway.stores.open import migrate
from tests.house import SHIPPED, House, house
from tests.notices import also, notice

FR, REGISTER = PartnerId("fr-police"), PartnerId("gb-register")
QUOTA = 3


def few() -> dict[PartnerId, Any]:
    return also(replace(SHIPPED[REGISTER], urgent_per_hour=QUOTA))


def urgent(number: int) -> dict[str, Any]:
    return notice("FR", subject=f"s-{number:06d}", routing__priority="IMMEDIATE")


async def lane(h: House, jti: str, partner: PartnerId = FR) -> Lane:
    return (await h.legs(jti))[partner].lane


def warned(receipt: bytes | None) -> bool:
    assert receipt is not None
    claims = strict_json.reread(decode(receipt))
    return [w["code"] for w in claims["warnings"]].count("rate-limited") == 1


def decode(receipt: bytes) -> bytes:
    from gateway.core import jose

    return jose.b64decode(receipt.split(b".")[1])


async def test_over_its_quota_what_is_urgent_goes_in_the_next_lane_with_a_warning_and_nothing_is_refused(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=few()) as h:
        jtis = [h.dice.uuid7(h.clock.now()) for _ in range(5)]
        outcomes = [await h.send(urgent(n), jti=jti) for n, jti in enumerate(jtis)]
        assert [await lane(h, jti) for jti in jtis] == [Lane.IMMEDIATE] * QUOTA + [Lane.PRIORITY] * 2
        assert [warned(outcome.receipt) for outcome in outcomes] == [False] * QUOTA + [True] * 2
        assert h.metrics.registry.get_sample_value("gateway_limited_total", {"partner": REGISTER, "limit": "urgent"}) == 2


async def test_the_members_of_one_batch_share_the_quota(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=few()) as h:
        jtis = [h.dice.uuid7(h.clock.now()) for _ in range(5)]
        await h.intake.accept([Submission(h.token(urgent(n), jti=jti), REGISTER) for n, jti in enumerate(jtis)])
        assert sorted([await lane(h, jti) for jti in jtis]) == [Lane.IMMEDIATE] * QUOTA + [Lane.PRIORITY] * 2


async def test_the_quota_comes_back_with_time_and_is_each_sender_s_own(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=few()) as h:
        for number in range(QUOTA):
            await h.submit(urgent(number))
        h.clock.advance(timedelta(hours=1) / QUOTA)
        assert await lane(h, await h.submit(urgent(10))) is Lane.IMMEDIATE
        assert await lane(h, await h.submit(urgent(11))) is Lane.PRIORITY


async def test_a_repeat_and_a_rejection_use_nothing(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=few()) as h:
        token = h.token(urgent(0))
        receipts = {(await h.send_token(token)).receipt for _ in range(9)}
        assert len(receipts) == 1
        for number in range(9):
            assert (await h.send(urgent(number) | {"more": 1})).receipt is None
        assert [await lane(h, await h.submit(urgent(number))) for number in (1, 2)] == [Lane.IMMEDIATE] * 2


async def test_what_is_not_urgent_neither_uses_the_quota_nor_is_slowed_by_it(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=few()) as h:
        plain = [notice("FR", subject=f"p-{n}", routing__priority=priority) for n, priority in enumerate(("ROUTINE", "PRIORITY") * 3)]
        lanes = [await lane(h, await h.submit(event)) for event in plain]
        assert lanes == [Lane.ROUTINE, Lane.PRIORITY] * 3
        assert [await lane(h, await h.submit(urgent(n))) for n in range(4)] == [Lane.IMMEDIATE] * QUOTA + [Lane.PRIORITY]
        assert await lane(h, await h.submit(plain[0])) is Lane.ROUTINE


async def test_the_decision_keeps_that_the_quota_was_used_up(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=few()) as h:
        jtis = [await h.submit(urgent(number)) for number in range(QUOTA + 1)]
        async with h.store.reading() as work:
            rows = await work.messages([Ref(REGISTER, jti) for jti in jtis])
            keys = await work.subject_keys([row.subject for row in rows.values()])
        safe = h.seal._sealer._safe
        said = []
        for jti in jtis:
            row = rows[Ref(REGISTER, jti)]
            key = safe.message_key(keys[row.subject], row.wrapped)
            facts = safe.open(key, row.facts, of=row.ref, what="facts")
            assert read_marks(facts) == ()
            said.append(strict_json.reread(facts).get("urgent_spent", False))
        assert said == [False] * QUOTA + [True]


@pytest.mark.services
async def test_two_inners_share_one_quota(tmp_path: Path, postgres_dsn: str) -> None:
    await migrate(postgres_dsn)
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(house(tmp_path, profiles=few(), url=postgres_dsn))
        two = await stack.enter_async_context(house(tmp_path, profiles=few(), url=postgres_dsn, clock=one.clock, keys=one.keys, seed=2))
        inners = [one, two] * 6
        jtis = await asyncio.gather(*(h.submit(urgent(number)) for number, h in enumerate(inners)))
        lanes = [await lane(one, jti) for jti in jtis]
        assert (lanes.count(Lane.IMMEDIATE), lanes.count(Lane.PRIORITY)) == (QUOTA, len(inners) - QUOTA)
