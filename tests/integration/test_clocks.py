"""Hosts whose clocks differ by half a minute and more, on one real PostgreSQL: nothing is sent twice, lost, or out of its order."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from gateway.app import topics
from gateway.app.ports import LegRow
from gateway.buses.memory import MemoryBus
from gateway.contract.errors import InvariantError
from gateway.contract.values import Jti, PartnerId, Ref, SubjectKey
from gateway.core.evidence import merkle
from gateway.core.evidence.checkpoint import verify
from gateway.core.evidence.merkle import leaf_hash
from gateway.stores.open import migrate
from gateway.testing.clock import FakeClock
from tests.house import Got, House, house
from tests.integration.test_two_inners import Inner, SpyBus, Two, inner, log_of
from tests.notices import notice

pytestmark = pytest.mark.services

SUBJECTS, NOTICES = 6, 4
PARTNERS = (PartnerId("fr-police"), PartnerId("es-police"))


class Skewed(FakeClock):
    """A clock that goes as another does, and is wrong by so much."""

    def __init__(self, true: FakeClock, seconds: float) -> None:
        self.true, self.wrong = true, timedelta(seconds=seconds)

    def now(self) -> datetime:
        return self.true.now() + self.wrong

    def advance(self, by: timedelta | None = None, *, seconds: float = 0) -> datetime:
        return self.true.advance(by, seconds=seconds) + self.wrong


@asynccontextmanager
async def two_inners(folder: Path, dsn: str, wrong: tuple[float, float]) -> AsyncIterator[tuple[Two, FakeClock]]:
    """Open two inners with their couriers, which reach the same partners; each pair has a clock of its own."""
    await migrate(dsn)
    true, bus, told = FakeClock(), SpyBus(), MemoryBus(partitions=1)
    clocks = [Skewed(true, seconds) for seconds in wrong]
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(house(folder, url=dsn, bus=bus, clock=clocks[0]))
        shared = {"keys": one.keys, "transports": one.partners}
        other = await stack.enter_async_context(house(folder, url=dsn, bus=bus, clock=clocks[1], seed=2, **shared))
        yield Two((inner(one, "one", told), inner(other, "two", told)), bus, told), true


async def do_all(one: Inner, stopping: asyncio.Event) -> None:
    """Do again and again all that is due, each loop by itself, as a process does; a sequencer that was overtaken goes on."""

    async def sequence() -> int:
        with suppress(InvariantError):
            return await one.sequencer.run_once()
        return 0

    async def again(once: Callable[[], Awaitable[int]]) -> None:
        while not stopping.is_set():
            await once()
            await asyncio.sleep(0.002)

    await asyncio.gather(*(again(once) for once in (one.house.seal.run_once, one.house.timers.run_once, sequence, one.events.run_once)))


async def submit(houses: list[House]) -> list[Jti]:
    """Submit several notices about each subject, one after another, at the one and the other inner in turn."""

    async def about(subject: int) -> list[Jti]:
        return [await houses[(subject + n) % 2].submit(notice("FR", "ES", subject=f"s-{subject:06}")) for n in range(NOTICES)]

    return [jti for found in await asyncio.gather(*map(about, range(SUBJECTS))) for jti in found]


async def lines_of(h: House, jtis: list[Jti]) -> dict[tuple[PartnerId, SubjectKey], list[LegRow]]:
    lines: dict[tuple[PartnerId, SubjectKey], list[LegRow]] = defaultdict(list)
    async with h.store.reading() as work:
        for jti in jtis:
            for leg in await work.legs_of(Ref(PartnerId("gb-register"), jti)):
                lines[leg.partner, leg.subject].append(leg)
    return {line: sorted(legs, key=lambda leg: leg.seq) for line, legs in lines.items()}


def firsts(attempts: list[Got]) -> list[Got]:
    """Return what a partner got, each document when it first came."""
    seen: dict[Jti, Got] = {}
    for got in attempts:
        seen.setdefault(got.jti, got)
    return list(seen.values())


@pytest.mark.parametrize("wrong", [(30, 0), (0, -30), (30, -30), (45, -45)], ids=["ahead", "behind", "a-minute", "longer-than-a-lease"])
async def test_two_inners_with_other_clocks_send_each_leg_under_one_jti_in_its_order(tmp_path, postgres_dsn, wrong) -> None:
    async with two_inners(tmp_path, postgres_dsn, wrong) as (two, true):
        houses = [each.house for each in two.inners]
        stopping = asyncio.Event()

        async def time_goes_on() -> None:
            while not stopping.is_set():
                true.advance(seconds=1)
                await asyncio.sleep(0.03)

        async with asyncio.TaskGroup() as group:
            for each in two.inners:
                group.create_task(do_all(each, stopping))
            group.create_task(time_goes_on())
            jtis = await submit(houses)
            await two.until_idle(jtis)
            stopping.set()

        lines = await lines_of(houses[0], jtis)
        assert len(lines) == SUBJECTS * len(PARTNERS)
        assert all(len(legs) == NOTICES for legs in lines.values()), "one leg for each message and partner"
        for partner in PARTNERS:
            attempts = [got for got in houses[0].partners[partner].attempts if got.family == "travel-notification"]
            contents = {got.jti: got.digest for got in attempts}
            assert all(contents[got.jti] == got.digest for got in attempts), "one jti, one content"
            places = {got.jti: place for place, got in enumerate(firsts(attempts))}
            for legs in (legs for (to, _), legs in lines.items() if to == partner):
                assert set(places) >= {leg.jti for leg in legs}, "nothing is lost"
                assert sorted(legs, key=lambda leg: places[leg.jti]) == legs, "the first copies came in order"
                came = {got.jti: got for got in firsts(attempts)}
                named = [came[leg.jti].event.get("previous") for leg in legs]
                assert named == [None, *(leg.jti for leg in legs[:-1])], "each names the one before it"
            assert set(places) == {leg.jti for (to, _), legs in lines.items() if to == partner for leg in legs}, "no other jti"
        log = await log_of(houses[0])
        async with houses[0].store.reading() as work:
            newest = await work.latest_checkpoint()
        head = verify(newest.note, [houses[0].checkpoint_key])
        assert (head.size, head.root) == (len(log), merkle.root_of([leaf_hash(entry) for entry in log])), "one log, each leaf once"
        assert len(set(log)) == len(log)
        assert Counter(record.value for record in two.told.partitions(topics.EVENTS)[0].records).total() >= len(log)
