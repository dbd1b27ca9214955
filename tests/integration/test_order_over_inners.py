"""Per subject and partner strictly in order, over lanes, retries, lost answers, and inners with their couriers that come and go (PostgreSQL)."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from gateway.app.ports import StoreUnavailableError
from gateway.buses.memory import MemoryBus
from gateway.contract.errors import DeliveryError
from gateway.contract.transports import Outcome, Reply
from gateway.contract.values import Jti, PartnerId, Ref
from gateway.core.delivery import State
from gateway.core.limits import LEASE_SECONDS_MAX
from gateway.stores.open import migrate
from tests.house import SHIPPED, Got, House, house, with_delivery
from tests.notices import also, notice, urgent

pytestmark = pytest.mark.services

FR = PartnerId("fr-police")
LANES = ("ROUTINE", "ROUTINE", "PRIORITY", "IMMEDIATE")
ANSWERS = (
    *[Reply(Outcome.DELIVERED)] * 5,
    *[Reply(Outcome.FAILED, "http-503")] * 2,
    DeliveryError("timeout"),  # the partner has it, and its answer was lost
)
SUBJECTS, ROUNDS, EACH, DELIVERED_SECONDS = 5, 3, 4, 120
ROW = {"retry_base_seconds": 1, "retry_max_seconds": 2, "attempts_max": 200, "circuit_pause_seconds": 1, "circuit_pause_max_seconds": 2}


@dataclass(slots=True)
class Inner:
    """One process on the shared ground: use cases, a courier, and loops."""

    house: House
    context: AbstractAsyncContextManager[House]
    task: asyncio.Task[None] = field(init=False)

    def __post_init__(self) -> None:
        self.task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        h = self.house
        while True:
            with suppress(StoreUnavailableError):  # a deadlock that PostgreSQL ended: the supervisor begins again, too
                await asyncio.gather(h.seal.run_once(), h.timers.run_once())
            await asyncio.sleep(0.001)

    async def end(self) -> None:
        """End as a process that is killed, whatever it was doing: in transactions, with attempts under way and reports unread."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.context.__aexit__(None, None, None)


class Course:
    """Inners that come and go, and what the one partner sees of all their couriers."""

    def __init__(self, folder: Path, dsn: str, seed: int) -> None:
        self.folder, self.dsn, self.dice, self.bus = folder, dsn, Random(seed), MemoryBus()
        self.inners: list[Inner] = []
        self.seen: list[Got] = []  # each attempt
        self.taken: dict[Jti, Got] = {}  # each document, when the partner took it first
        self.accepted: dict[str, list[Jti]] = defaultdict(list)  # by subject, in the order of acceptance
        self._made = 0

    async def start(self) -> None:
        """Add an inner, on the ground of the first."""
        self._made += 1
        profiles = also(with_delivery(SHIPPED[FR], window=8, **ROW))
        first = self.inners[0].house if self.inners else None
        ground = {} if first is None else {"keys": first.keys, "clock": first.clock}
        context = house(self.folder, url=self.dsn, bus=self.bus, profiles=profiles, seed=self._made, **ground)  # type: ignore[arg-type]
        made = await context.__aenter__()
        partner = made.partners[FR]
        partner.attempts, partner.received = self.seen, self.taken
        partner.answers = [self.dice.choice(ANSWERS) for _ in range(5_000)]
        self.inners.append(Inner(made, context))

    async def submit(self) -> None:
        """Accept messages about each subject, one after the other, at any inner and in any lane; the subjects all at once."""

        async def about(subject: str) -> None:
            for _ in range(EACH):
                event = urgent(notice("FR", subject=subject), self.dice.choice(LANES))
                self.accepted[subject].append(await self.dice.choice(self.inners).house.submit(event))

        await asyncio.gather(*(about(f"s-{number:06}") for number in range(SUBJECTS)))

    async def restart_one(self) -> None:
        """Kill one inner in the middle of its work, and start another."""
        await asyncio.sleep(self.dice.uniform(0, 0.3))
        await self.inners.pop(self.dice.randrange(1, len(self.inners))).end()  # the first holds the keys and the clock
        await self.start()

    async def until_delivered(self) -> None:
        """Let time pass until every leg has its end."""
        h = self.inners[0].house
        refs = [Ref(PartnerId("gb-register"), jti) for jtis in self.accepted.values() for jti in jtis]
        async with asyncio.timeout(DELIVERED_SECONDS):
            while not any(inner.task.done() for inner in self.inners):
                async with h.store.reading() as work:
                    legs = [leg for ref in refs for leg in await work.legs_of(ref)]
                if all(leg.state is State.DELIVERED for leg in legs):
                    return
                h.clock.advance(seconds=1 if self.dice.random() < 0.9 else LEASE_SECONDS_MAX)
                await asyncio.sleep(0.05)
        await asyncio.gather(*(inner.task for inner in self.inners if inner.task.done()))  # raises what ended it


@pytest.mark.filterwarnings("ignore:unclosed connection:ResourceWarning")  # of inners that end within a transaction
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # what the same looks like from a finaliser
@pytest.mark.timeout(400)
async def test_what_concerns_one_subject_comes_in_order_whatever_happens_to_who_brings_it(
    tmp_path: Path, postgres_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await migrate(postgres_dsn)
    seed = time.time_ns()
    course = Course(tmp_path, postgres_dsn, seed)
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await course.start()
        stack.push_async_callback(_end_all, course)
        for _ in range(ROUNDS):
            await asyncio.gather(course.submit(), course.restart_one())
            await course.until_delivered()
    came: dict[str, list[Jti]] = defaultdict(list)
    for got in course.taken.values():
        came[got.event["subject"]["ref"]].append(Jti(got.event["original"]["jti"]))
    with capsys.disabled():
        print(f"\nseed {seed}: {len(course.taken)} documents in {len(course.seen)} attempts")  # noqa: T201 -- how hard it was
    assert dict(came) == dict(course.accepted), f"seed {seed}"
    assert len(course.seen) > len(course.taken), "some went more than once"


async def _end_all(course: Course) -> None:
    for each in reversed(course.inners):
        await each.end()
