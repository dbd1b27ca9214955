"""A bus that stamps: what is ours says when it was sent, what partners read stays as it was, and what comes is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from gateway.app import topics
from gateway.app.ports import Outgoing, Record
from gateway.app.skew import Skew, written
from gateway.buses.memory import MemoryBus
from gateway.buses.stamped import SENT_AT, SENT_BY, StampedBus
from gateway.contract.values import Lane, PartnerId
from gateway.testing.clock import START, FakeClock

REGISTER = PartnerId("gb-register")
OURS = [topics.REQUESTS, topics.REPLIES, topics.OUTCOMES, topics.deliveries("main", Lane.ROUTINE), topics.deliveries("eu", Lane.IMMEDIATE)]
OTHERS = [topics.EVENTS, topics.submissions(REGISTER), topics.results(REGISTER)]


class Notes:
    def __init__(self) -> None:
        self.events: list[tuple[str, float]] = []

    def event(self, name: str, *, code: str = "", seconds: float = 0, **fields: Any) -> None:
        assert name == "clock-skew"
        self.events.append((code, seconds))


class Side:
    """A process on a bus that others are on, too."""

    def __init__(self, bus: MemoryBus, name: str, *, ahead: float = 0) -> None:
        self.clock, self.notes, self.shown = FakeClock(START + timedelta(seconds=ahead)), Notes(), dict[str, float]()
        skew = Skew(lambda whose, seconds: self.shown.update({whose: seconds}), self.clock, self.notes)
        self.bus = StampedBus(bus, skew, self.clock, name=name)

    async def take(self, topic: str) -> list[Record]:
        async with self.bus.subscribe([topic], group="g") as subscription:
            records = await subscription.batch(max_records=99, wait_seconds=1)
            await subscription.commit(records)
            assert subscription.owned(topic)
            return records


@pytest.mark.parametrize("topic", OURS)
async def test_what_is_ours_is_stamped_and_who_is_behind_hears_from_the_future(topic: str) -> None:
    shared = MemoryBus()
    ahead, behind = Side(shared, "inner/inner-2", ahead=31), Side(shared, "courier", ahead=1)
    await ahead.bus.publish([Outgoing(topic, b"k", b"one", {"own": "header"})])
    [record] = await behind.take(topic)
    assert record.headers == {"own": "header", SENT_AT: written(ahead.clock.now()), SENT_BY: "inner/inner-2"}
    assert behind.notes.events == [("inner/inner-2", 30)]
    assert behind.shown == {"inner": 30}
    await behind.bus.publish([Outgoing(topic, b"k", b"back")])
    await ahead.take(topic)
    assert ahead.notes.events == [], "what is old may only have waited"


@pytest.mark.parametrize("topic", OTHERS)
async def test_what_partners_read_or_write_is_neither_stamped_nor_looked_at(topic: str) -> None:
    shared = MemoryBus()
    ahead, behind = Side(shared, "inner", ahead=60), Side(shared, "inner")
    lies = {SENT_AT: written(START + timedelta(days=1)), SENT_BY: "inner"}
    await ahead.bus.publish([Outgoing(topic, b"k", b"one", {"own": "header"}), Outgoing(topic, b"k", b"two", lies)])
    assert [record.headers for record in await behind.take(topic)] == [{"own": "header"}, lies]
    assert behind.notes.events == []


@pytest.mark.parametrize("headers", [{}, {SENT_AT: "soon"}, {SENT_AT: ""}, {SENT_BY: "inner"}])
async def test_a_record_without_a_time_is_taken_as_it_is(headers: Mapping[str, str]) -> None:
    shared = MemoryBus()
    await shared.publish([Outgoing(topics.OUTCOMES, b"k", b"one", headers)])
    side = Side(shared, "inner")
    [record] = await side.take(topics.OUTCOMES)
    assert record.value == b"one"
    assert side.notes.events == []


async def test_of_many_records_of_one_sender_the_newest_counts() -> None:
    shared = MemoryBus()
    side = Side(shared, "inner")
    times = [5, 40, 9.9, 30]
    stamps = [{SENT_AT: written(START + timedelta(seconds=seconds)), SENT_BY: "courier/c-1"} for seconds in times]
    await shared.publish([Outgoing(topics.OUTCOMES, b"k", b"one", stamp) for stamp in stamps])
    await side.take(topics.OUTCOMES)
    assert side.notes.events == [("courier/c-1", 40)]


async def test_everything_else_is_the_bus_before_which_it_stands() -> None:
    shared = MemoryBus()
    side = Side(shared, "inner")
    await side.bus.check()
    await side.bus.publish([Outgoing(topics.submissions(REGISTER), b"k", b"one")])
    async with shared.subscribe([topics.submissions(REGISTER)], group="g") as subscription:
        records = await subscription.batch(max_records=9, wait_seconds=1)
        await side.bus.forget(records)
    assert all(not partition.records for partition in shared.partitions(topics.submissions(REGISTER)))
    await side.bus.close()
    with pytest.raises(Exception, match="closed"):
        await shared.check()
