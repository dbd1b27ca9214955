"""Operators at two inners on one real PostgreSQL: a leg moves by one word, a token counts once, whoever is asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.contract.values import PartnerId
from gateway.core.delivery import State
from gateway.stores.open import migrate
from tests.desk import Desk, desk
from tests.notices import notice

pytestmark = pytest.mark.services

FR = PartnerId("fr-police")
MINOR = {"subject__is_minor": "YES", "body__person__birth__date": "2012-05-05"}


@pytest.fixture
async def two(tmp_path: Path, postgres_dsn: str) -> AsyncIterator[tuple[Desk, Desk]]:
    await migrate(postgres_dsn)
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(desk(tmp_path, url=postgres_dsn))
        h = one.house
        other = await stack.enter_async_context(desk(tmp_path, url=postgres_dsn, keys=h.keys, clock=h.clock, seed=2))
        other.house.holder.current = replace(other.house.holder.current, operators=h.holder.current.operators)
        yield one, replace(other, keys=one.keys)


async def test_of_two_words_about_a_leg_one_counts_and_is_kept(two: tuple[Desk, Desk]) -> None:
    one, other = two
    jtis = [await one.house.submit(notice("FR", subject=f"s-{number // 2}", seed=number, **MINOR)) for number in range(12)]
    legs = [(await one.house.legs(jti))[FR] for jti in jtis]
    ids = [leg.leg_id for leg in legs]
    told = await asyncio.gather(
        *(one.do("hold-release", legs=ids[start : start + 3]) for start in range(0, 12, 3)),
        *(other.do("hold-refuse", legs=list(reversed(ids[start : start + 4])), who="admin") for start in range(0, 12, 4)),
    )
    done = [each["leg"] for answer in told for each in answer["legs"] if each["done"]]
    assert sorted(done) == sorted(ids), "each leg moved once, by one of the two"
    targets = {leg: entry["command"] for entry in await one.entries("command") for leg in entry["targets"]}
    assert len(targets) == len(ids)
    for jti, leg in zip(jtis, legs, strict=True):
        row = (await one.house.legs(jti))[FR]
        released = targets[leg.leg_id] == "hold-release"
        assert (row.state is not State.REFUSED, row.released_under is not None, row.seq > leg.seq) == (released, released, released)
    await one.house.run_until_idle()
    sent = [got.jti for d in two for got in d.house.partners[FR].received.values()]
    assert sorted(sent) == sorted(leg.jti for leg in legs if targets[leg.leg_id] == "hold-release")


async def test_a_command_that_reaches_both_counts_once(two: tuple[Desk, Desk]) -> None:
    one, other = two
    leg = (await one.house.legs(await one.house.submit(notice("FR", **MINOR))))[FR]
    raw = one.token("hold-release", {"legs": [leg.leg_id]})
    answers = await asyncio.gather(*(d.commands.run(raw) for d in (one, other) for _ in range(4)))
    assert sorted(answer.outcome for answer in answers) == ["ok", *["problem"] * 7]
    assert {answer.code for answer in answers} == {None, "untrusted"}
    (done,) = [json.loads(answer.body) for answer in answers if answer.outcome == "ok"]
    assert done["legs"][0]["done"]
    assert len(await one.entries("command")) == 1
