"""A register's Kafka channel and the projection of evidence, over the memory bus."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from gateway.app import topics
from gateway.app.channels import CURSOR, EVENTS_LEASE_SECONDS, Events, Submissions
from gateway.app.ports import BusUnavailableError, Outgoing, Record
from gateway.buses.memory import MemoryBus
from gateway.contract.values import PartnerId
from gateway.core.delivery import State
from gateway.ops.telemetry import Telemetry
from gateway.testing.clock import FakeClock
from tests.house import House, house
from tests.notices import notice

REGISTER, FR = PartnerId("gb-register"), PartnerId("fr-police")
SOURCE = "https://gateway.invalid"


@asynccontextmanager
async def channel(h: House) -> AsyncIterator[None]:
    """Inner's side of the register's channel, running."""
    stopping = asyncio.Event()
    task = asyncio.create_task(Submissions(h.bus, h.intake, Telemetry(h.metrics), [REGISTER]).run(stopping))
    try:
        yield
    finally:
        stopping.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def say(h: House, *values: bytes) -> None:
    await h.bus.publish([Outgoing(topics.submissions(REGISTER), b"key", value) for value in values])


async def results(h: House, count: int) -> list[Record]:
    """What the register reads, in order of what it wrote."""
    found: list[Record] = []
    async with h.bus.subscribe([topics.results(REGISTER)], group=topics.results_group(REGISTER)) as mine, asyncio.timeout(10):
        while len(found) < count:
            found += await mine.batch(max_records=100, wait_seconds=1)
    return sorted(found, key=lambda record: int(record.headers["offset"]))


async def test_each_record_is_answered_by_its_coordinates(tmp_path: Path) -> None:
    async with house(tmp_path) as h, channel(h):
        good, wrong = h.token(notice("FR"), jti=(jti := h.dice.uuid7(h.clock.now()))), h.token(notice("FR", handling__codes=[]))
        await say(h, good, wrong, b"nonsense", good)
        answers = await results(h, 4)
        assert [record.headers["outcome"] for record in answers] == ["accepted", "rejected", "rejected", "repeated"]
        assert [record.headers["offset"] for record in answers] == ["0", "1", "2", "3"]
        assert len({record.headers["partition"] for record in answers}) == 1
        assert answers[0].value == answers[3].value
        assert [record.headers["content-type"] for record in answers] == ["application/jwt", *["application/json"] * 2, "application/jwt"]
        assert json.loads(answers[1].value)["rejection"].count(".") == 2
        assert json.loads(answers[2].value)["problems"][0]["code"] == "not-a-token"
        await h.run_until_idle()
        assert (await h.legs(jti))[FR].state is State.DELIVERED


async def test_a_malformed_record_never_blocks_the_channel(tmp_path: Path) -> None:
    async with house(tmp_path) as h, channel(h):
        for raw in (b"", b"\x00" * 100, b"." * 5, b"x" * 600_000):
            await say(h, raw)
        await say(h, h.token(notice("FR")))
        assert [record.headers["outcome"] for record in await results(h, 5)] == [*["rejected"] * 4, "accepted"]


async def test_the_topic_is_the_channel_and_another_s_message_is_not_believed(tmp_path: Path) -> None:
    async with house(tmp_path) as h, channel(h):
        await say(h, h.token(notice("FR"), sender=FR))
        (answer,) = await results(h, 1)
        assert json.loads(answer.value)["problems"][0]["code"] == "untrusted"


async def test_a_record_is_done_only_after_its_result(tmp_path: Path) -> None:
    """A process that dies between commit and result reads the record again: the same receipt."""
    async with house(tmp_path) as h:
        await say(h, h.token(notice("FR")))
        async with h.bus.subscribe([topics.submissions(REGISTER)], group=topics.SUBMISSIONS_GROUP) as dying:
            (record,) = await dying.batch(max_records=10, wait_seconds=1)
            outcome = await h.send_token(record.value)  # committed, and then it dies: no result, no offset
        async with channel(h):
            (answer,) = await results(h, 1)
        assert (answer.headers["outcome"], answer.value) == ("repeated", outcome.receipt)


def kept(h: House) -> list[Record]:
    return [record for partition in h.bus.partitions(topics.submissions(REGISTER)) for record in partition.records]


async def until_nothing_is_kept(h: House) -> None:
    async with asyncio.timeout(10):
        while kept(h):
            await asyncio.sleep(0.002)


async def test_what_is_answered_is_deleted_whoever_else_may_read_the_topic(tmp_path: Path) -> None:
    async with house(tmp_path) as h, h.bus.subscribe([topics.submissions(REGISTER)], group="spy"):
        await say(h, h.token(notice("FR")), b"nonsense")
        assert len(kept(h)) == 2
        async with channel(h):
            assert len(await results(h, 2)) == 2
            await until_nothing_is_kept(h)


class Forgetful(MemoryBus):
    """A bus that lost the right to delete, for its first tries."""

    def __init__(self, refusals: int) -> None:
        super().__init__()
        self.refusals = refusals

    async def forget(self, records: Sequence[Record]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise BusUnavailableError("TopicAuthorizationFailedError")
        await super().forget(records)


async def test_what_could_not_be_deleted_is_reported_and_deleted_with_the_next_batch(tmp_path: Path) -> None:
    async with house(tmp_path, bus=Forgetful(1)) as h, h.bus.subscribe([topics.submissions(REGISTER)], group="spy"):
        async with channel(h):
            await say(h, h.token(notice("FR")))
            await results(h, 1)
            assert len(kept(h)) == 1
            await say(h, h.token(notice("FR", subject="s-000002")))
            await results(h, 2)
            await until_nothing_is_kept(h)
        assert h.metrics.registry.get_sample_value("gateway_events_total", {"name": "answered-not-deleted"}) == 1


async def test_without_channels_the_loop_only_waits_to_be_stopped(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        stopping = asyncio.Event()
        task = asyncio.create_task(Submissions(h.bus, h.intake, Telemetry(h.metrics), []).run(stopping))
        await asyncio.sleep(0.01)
        assert not task.done()  # a loop that ends would end the process
        stopping.set()
        await asyncio.wait_for(task, 1)


async def events(h: House) -> list[dict[str, object]]:
    async with h.bus.subscribe([topics.EVENTS], group="reader") as reader:
        found = await reader.batch(max_records=1000, wait_seconds=0.05)
        await reader.commit(found)
    return sorted((json.loads(record.value) for record in found), key=lambda event: int(str(event["sequence"])))


async def test_events_are_the_log_in_leaf_order_and_nothing_is_told_twice(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        projection = events_of(h, limit=2)
        await h.submit(notice("FR"))
        assert await projection.run_once() == 0  # staged is not in the log
        await h.run_until_idle()
        while await projection.run_once():
            pass
        first = await events(h)
        await h.submit(notice("NL"))
        await h.run_until_idle()
        while await projection.run_once():
            pass
        second = await events(h)
        async with h.store.reading() as work:
            log = await work.leaves(0, 1000)
        told = [*first, *second]
        assert [event["sequence"] for event in told] == [str(index) for index, _ in log]
        assert [event["data"] for event in told] == [json.loads(entry) for _, entry in log]
        assert {str(event["specversion"]) for event in told} == {"1.0"}
        assert [event["type"] for event in told] == [f"gateway.evidence.{json.loads(entry)['kind']}" for _, entry in log]


async def test_events_go_on_where_another_process_stopped(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.submit(notice("FR"))
        await h.run_until_idle()
        first, second = (events_of(h, holder=name, limit=1) for name in ("one", "two"))
        assert await first.run_once() == 1
        assert await second.run_once() == 0  # the first may only be slow
        h.clock.advance(seconds=EVENTS_LEASE_SECONDS)
        while await second.run_once():
            pass
        assert sorted(await told(h), key=int) == await log_of(h)


class Slow(MemoryBus):
    """A bus whose first publication waits, before the records are there, until it is let go."""

    def __init__(self) -> None:
        super().__init__(partitions=1)  # as the broker has it: the order is that of the log
        self.waits, self.go = asyncio.Event(), asyncio.Event()

    async def publish(self, records: Sequence[Outgoing]) -> None:
        if not self.waits.is_set():
            self.waits.set()
            await self.go.wait()
        await super().publish(records)


async def test_two_projections_on_one_store_tell_each_leaf_once_in_order(tmp_path: Path) -> None:
    """The second runs all the while that the first has read what is new and not yet stored how far it came."""
    async with house(tmp_path) as h:
        for country in ("FR", "NL"):
            await h.submit(notice(country))
        await h.run_until_idle()
        bus = Slow()
        one, two = (events_of(h, holder=name, bus=bus, limit=2) for name in ("one", "two"))
        first = asyncio.create_task(one.run_once())
        await bus.waits.wait()
        assert await two.run_once() == 0
        bus.go.set()
        assert await first == 2
        while await two.run_once() + await one.run_once():
            pass
        assert await told(h, bus) == await log_of(h)


async def test_a_projection_that_was_overtaken_while_it_published_stops_and_moves_nothing_back(tmp_path: Path) -> None:
    """Frozen for longer than its lease: what it then publishes is a repeat, under the same ids, and the cursor stays."""
    async with house(tmp_path) as h:
        await h.submit(notice("FR"))
        await h.run_until_idle()
        bus = Slow()
        frozen, other = (events_of(h, holder=name, bus=bus, limit=limit) for name, limit in (("frozen", 1), ("other", 100)))
        late = asyncio.create_task(frozen.run_once())
        await bus.waits.wait()
        h.clock.advance(seconds=EVENTS_LEASE_SECONDS)
        log = await log_of(h)
        assert await other.run_once() == len(log)
        bus.go.set()
        assert await late == 0
        assert await told(h, bus) == [*log, log[0]]
        async with h.store.reading() as work:
            assert await work.cursor(CURSOR) == len(log)


async def test_a_projection_that_slept_through_its_lease_publishes_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.submit(notice("FR"))
        await h.run_until_idle()
        sleepy = Sleepy(h.clock)
        bus = MemoryBus(partitions=1)
        projection = Events(h.store, bus, sleepy, telemetry=Telemetry(h.metrics), source=SOURCE, holder="sleepy")
        assert await projection.run_once() == 0
        assert bus.partitions(topics.EVENTS)[0].end == 0


class Sleepy:
    """A process that is frozen once, between taking the lease and looking at the clock again."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock, self._looks = clock, 0

    def now(self) -> datetime:
        self._looks += 1
        if self._looks == 3:  # until when it would be ours; when it is taken; whether it still is
            self._clock.advance(seconds=EVENTS_LEASE_SECONDS)
        return self._clock.now()


def events_of(h: House, *, holder: str = "house", bus: MemoryBus | None = None, limit: int = 500) -> Events:
    return Events(h.store, bus or h.bus, h.clock, telemetry=Telemetry(h.metrics), source=SOURCE, holder=holder, limit=limit)


async def told(h: House, bus: MemoryBus | None = None) -> list[str]:
    """The ids of the events, as they stand in the topic."""
    async with (bus or h.bus).subscribe([topics.EVENTS], group="told") as reader:
        found = await reader.batch(max_records=1000, wait_seconds=0.05)
    return [json.loads(record.value)["id"] for record in found]


async def log_of(h: House) -> list[str]:
    async with h.store.reading() as work:
        return [str(index) for index, _ in await work.leaves(0, 1000)]
