"""Two whole inners on one real PostgreSQL: each with a pool, use cases and couriers of its own, all of them at work at once."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.app import topics
from gateway.app.channels import EVENTS_LEASE_SECONDS, Events
from gateway.app.codec import decode_sealed
from gateway.app.ports import Outgoing
from gateway.app.sequence import Sequencer
from gateway.buses.memory import MemoryBus
from gateway.contract.values import Jti, PartnerId, Ref
from gateway.core.delivery import State
from gateway.core.evidence import merkle
from gateway.core.evidence.checkpoint import CheckpointSigner, verify
from gateway.core.evidence.merkle import leaf_hash
from gateway.core.keys import Use
from gateway.core.problems import Code
from gateway.ops.telemetry import Telemetry
from gateway.stores.open import migrate
from gateway.stores.postgres import PostgresStore
from tests.house import ACK, GATEWAY, House, house
from tests.integration.test_postgres_concurrency import blocked
from tests.notices import answer_to, notice

pytestmark = pytest.mark.services

FR = PartnerId("fr-police")
COUNT = 24


class SpyBus(MemoryBus):
    """Remembers which attempt of which leg was published."""

    def __init__(self) -> None:
        super().__init__()
        self.attempts: Counter[tuple[str, int]] = Counter()

    async def publish(self, records: Sequence[Outgoing]) -> None:
        items = [decode_sealed(record.value) for record in records if record.topic.startswith("gw.deliveries.")]
        self.attempts.update((item.leg_id, item.attempt) for item in items)
        await super().publish(records)


@dataclass(slots=True)
class Inner:
    """One process: what runs in it beside the house's own use cases."""

    house: House
    sequencer: Sequencer
    events: Events

    async def work(self, stopping: asyncio.Event) -> None:
        """Do again and again all that is due, as the loops of a process do."""
        h = self.house
        while not stopping.is_set():
            await asyncio.gather(h.seal.run_once(), h.timers.run_once(), self.sequencer.run_once(), self.events.run_once())
            await asyncio.sleep(0.001)


@dataclass(slots=True)
class Two:
    """Both inners, and what they share."""

    inners: tuple[Inner, Inner]
    bus: SpyBus
    told: MemoryBus  # of one partition, as gw.events is

    @property
    def received(self) -> list[Jti]:
        """Return every document a partner got, by whichever inner's courier, as often as it came."""
        return [got.jti for inner in self.inners for partner in inner.house.partners.values() for got in partner.attempts]

    async def submit(self, start: int) -> list[Jti]:
        """Submit at both at once, two notices for each subject."""
        houses = [inner.house for inner in self.inners]
        each = (houses[n % 2].submit(notice("FR", "ES", subject=f"s-{start + n // 2:06}")) for n in range(COUNT))
        return list(await asyncio.gather(*each))

    async def until_idle(self, jtis: Sequence[Jti]) -> None:
        """Wait until these are delivered, all evidence is in the log and all of the log is told."""
        h = self.inners[0].house
        async with asyncio.timeout(60):
            while True:
                async with h.store.reading() as work:
                    size, staged, cursor = await work.log_size(), await work.staged(1), await work.cursor(topics.EVENTS)
                    legs = [leg for jti in jtis for leg in await work.legs_of(Ref(PartnerId("gb-register"), jti))]
                if all(leg.state is State.DELIVERED for leg in legs) and not staged and cursor == size:
                    return
                await asyncio.sleep(0.02)


def inner(h: House, name: str, told: MemoryBus) -> Inner:
    private = h.keys[GATEWAY].pairs[Use.CHECKPOINT].private
    assert isinstance(private, Ed25519PrivateKey)
    signer = CheckpointSigner(GATEWAY, private)
    events = Events(h.store, told, h.clock, telemetry=Telemetry(h.metrics), source="https://gateway.invalid", holder=name, limit=7)
    return Inner(h, Sequencer(h.store, signer, h.clock, holder=name), events)


@pytest.fixture
async def two(tmp_path: Path, postgres_dsn: str) -> AsyncIterator[Two]:
    await migrate(postgres_dsn)
    bus, told = SpyBus(), MemoryBus(partitions=1)
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(house(tmp_path, url=postgres_dsn, bus=bus))
        other = await stack.enter_async_context(house(tmp_path, url=postgres_dsn, bus=bus, keys=one.keys, clock=one.clock, seed=2))
        yield Two((inner(one, "one", told), inner(other, "two", told)), bus, told)


async def log_of(h: House) -> list[bytes]:
    async with h.store.reading() as work:
        return [entry for _, entry in await work.leaves(0, 100_000)]


def legs_decided(log: Sequence[bytes]) -> list[str]:
    return [leg["leg_id"] for entry in map(json.loads, log) if entry["kind"] == "accepted" for leg in entry["legs"]]


async def test_two_inners_log_and_tell_each_leaf_once_in_order_and_send_each_leg_once(two: Two) -> None:
    """In the middle the leases run out while nothing is under way, and the other inner is the first to ask for them."""
    submitted: list[Jti] = []
    h = two.inners[0].house
    for turn, inners in enumerate((two.inners, two.inners[::-1])):
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for each in inners:
                group.create_task(each.work(stopping))
            jtis = await two.submit(start=turn * COUNT)
            await two.until_idle(jtis)
            stopping.set()
        submitted += jtis
        h.clock.advance(seconds=EVENTS_LEASE_SECONDS)

    log = await log_of(h)
    events: list[dict[str, Any]] = [json.loads(record.value) for record in two.told.partitions(topics.EVENTS)[0].records]
    assert [event["id"] for event in events] == [str(index) for index in range(len(log))]
    assert [event["data"] for event in events] == [json.loads(entry) for entry in log]
    assert len(set(log)) == len(log)
    accepted = [entry["jti"] for entry in map(json.loads, log) if entry["kind"] == "accepted"]
    assert Counter(accepted) == Counter(set(accepted))
    assert set(submitted) <= set(accepted)
    async with h.store.reading() as work:
        newest = await work.latest_checkpoint()
    assert newest is not None
    head = verify(newest.note, [h.checkpoint_key])
    assert (head.size, head.root) == (len(log), merkle.root_of([leaf_hash(entry) for entry in log]))

    assert set(two.bus.attempts.values()) == {1}
    assert {attempt for _, attempt in two.bus.attempts} == {1}
    assert len({leg_id for leg_id, _ in two.bus.attempts} & set(legs_decided(log))) == 2 * len(submitted)
    assert Counter(two.received) == Counter(set(two.received))
    assert len(two.received) == 2 * len(submitted)


async def test_the_facts_of_a_reply_are_not_older_than_the_lock_it_waited_for(two: Two, postgres_dsn: str) -> None:
    """Its leg is closed by the other inner between the first look, which finds its subject, and the lock."""
    h = two.inners[0].house
    jti = await h.submit(notice("FR"))
    async with asyncio.timeout(20):
        while FR not in (legs := await h.legs(jti)) or legs[FR].state is not State.DELIVERED:
            await h.seal.run_once()
            await asyncio.sleep(0.002)
    [got] = [got for each in two.inners for got in each.house.partners[FR].attempts]
    leg = legs[FR]
    other = PostgresStore(postgres_dsn)
    async with other.unit_of_work() as work:
        await work.relock_subjects([leg.subject])
        reply = asyncio.create_task(h.submit(answer_to(got), sender=FR, family=ACK))
        await blocked(postgres_dsn)
        await work.save_legs([replace(leg, state=State.RECEIPTED, last_code="ACTIONED", proof="a" * 64, ended_at=h.clock.now())])
    ref = Ref(FR, await reply)
    async with other.reading() as reading:
        row = (await reading.messages([ref]))[ref]
        subject = (await reading.subject_keys([row.subject]))[row.subject]
    await other.close()
    safe = h.intake._safe  # the only holder of the keys
    facts = json.loads(safe.open(safe.message_key(subject, row.wrapped), row.facts, of=ref, what="facts"))
    assert facts["answered"]["state"] == State.RECEIPTED.value
    assert (await h.legs(jti))[FR].last_code == "ACTIONED"  # and the first word stands


async def test_one_id_raced_to_two_inners_by_two_edges_is_one_message_with_one_receipt(two: Two) -> None:
    one, other = (each.house for each in two.inners)
    for content in ("the same", "another"):
        jti = Jti(one.dice.uuid7(one.clock.now()))
        tokens = [one.token(notice("FR", subject="s-raced"), jti=jti)] * 2
        if content == "another":
            tokens[1] = one.token(notice("NL", subject="s-raced"), jti=jti)
        ways = [(h, token) for _ in range(8) for h, token in zip((one, other), tokens, strict=True)]
        outcomes = await asyncio.gather(*(h.send_token(token) for h, token in ways))
        fresh = [outcome for outcome in outcomes if outcome.receipt is not None and not outcome.repeated]
        assert len(fresh) == 1, "one of them accepted it"
        assert {outcome.receipt for outcome in outcomes if outcome.receipt is not None} == {fresh[0].receipt}
        refused = [problem.code for outcome in outcomes for problem in outcome.problems]
        assert refused == [Code.CONFLICT] * (0 if content == "the same" else len(ways) // 2)
        assert len(await one.legs(jti)) == 1
