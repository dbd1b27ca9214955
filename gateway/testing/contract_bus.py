"""What every bus must do: `MemoryBus` and `KafkaBus` inherit this suite and give two fixtures.

`bus` is an open bus; `topic` the name of an empty topic with `PARTITIONS` partitions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

import pytest

from gateway.app.ports import Bus, BusUnavailableError, Outgoing, Record, Subscription
from gateway.contract.errors import InvariantError
from gateway.core.limits import RECORD_BYTES_MAX

PARTITIONS = 4
SECONDS_MAX = 30.0  # for anything that a broker takes its time over


async def read(subscription: Subscription, count: int) -> list[Record]:
    """Read until `count` records have come."""
    found: list[Record] = []
    async with asyncio.timeout(SECONDS_MAX):
        while len(found) < count:
            found += await subscription.batch(max_records=count - len(found), wait_seconds=0.2)
    return found


async def shares(topic: str, members: Sequence[Subscription]) -> list[frozenset[int]]:
    """Wait until the members own all partitions between them, each at least one; return who owns what."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            owned = [member.owned(topic) for member in members]
            if all(owned) and sorted(number for share in owned for number in share) == list(range(PARTITIONS)):
                return owned
            await asyncio.gather(*(member.batch(max_records=1, wait_seconds=0.05) for member in members))


def numbered(topic: str, count: int, *, partition: int | None = None) -> list[Outgoing]:
    """Return records that tell themselves apart."""
    return [Outgoing(topic, b"k%d" % n, b"v%d" % n, partition=partition) for n in range(count)]


class BusContract:
    """Inherited by the tests of every bus."""

    async def test_a_record_arrives_as_it_was_sent(self, bus: Bus, topic: str) -> None:
        await bus.publish([Outgoing(topic, b"key", b"\x00value", {"attempt": "2", "until": "2026-11-21"}, partition=3)])
        async with bus.subscribe([topic], group="readers") as readers:
            [record] = await read(readers, 1)
        assert record == Record(topic, b"key", b"\x00value", {"attempt": "2", "until": "2026-11-21"}, 3, 0)

    async def test_an_empty_key_and_an_empty_value_arrive_empty(self, bus: Bus, topic: str) -> None:
        await bus.publish([Outgoing(topic, b"", b"")])
        async with bus.subscribe([topic], group="readers") as readers:
            [record] = await read(readers, 1)
        assert (record.key, record.value) == (b"", b"")

    async def test_records_of_one_key_keep_their_order(self, bus: Bus, topic: str) -> None:
        await bus.publish([Outgoing(topic, b"one", b"%d" % n) for n in range(50)])
        async with bus.subscribe([topic], group="readers") as readers:
            records = await read(readers, 50)
        assert [record.value for record in records] == [b"%d" % n for n in range(50)]
        assert len({record.partition for record in records}) == 1

    async def test_an_empty_topic_gives_an_empty_batch_in_time(self, bus: Bus, topic: str) -> None:
        async with bus.subscribe([topic], group="readers") as readers, asyncio.timeout(SECONDS_MAX):
            assert await readers.batch(max_records=10, wait_seconds=0.1) == []

    async def test_a_flood_on_one_partition_keeps_no_record_of_another_back_for_long(self, bus: Bus, topic: str) -> None:
        """A fetch's worth of the flood at most stands before the others: a backlog of any length does not."""
        await bus.publish([Outgoing(topic, b"flood", b"x" * 5_000, partition=0) for _ in range(2_000)])
        await bus.publish([Outgoing(topic, b"other", b"y", partition=number) for number in range(1, PARTITIONS)])
        before = 0
        seen: set[int] = set()
        async with asyncio.timeout(SECONDS_MAX), bus.subscribe([topic], group="readers") as readers:
            while len(seen) < PARTITIONS - 1:
                records = await readers.batch(max_records=50, wait_seconds=0.2)
                await readers.commit(records)
                before += sum(record.key == b"flood" for record in records)
                seen |= {record.partition for record in records if record.key == b"other"}
        assert before <= 1_000, "half of the flood came before the others"

    async def test_a_batch_is_never_larger_than_asked_for(self, bus: Bus, topic: str) -> None:
        await bus.publish(numbered(topic, 20))
        async with bus.subscribe([topic], group="readers") as readers:
            sizes = [len(await readers.batch(max_records=7, wait_seconds=1)) for _ in range(3)]
        assert max(sizes) <= 7

    async def test_a_waiting_member_is_woken_by_a_record(self, bus: Bus, topic: str) -> None:
        async with bus.subscribe([topic], group="readers") as readers, asyncio.timeout(SECONDS_MAX):
            waiting = asyncio.create_task(readers.batch(max_records=1, wait_seconds=SECONDS_MAX))
            await bus.publish(numbered(topic, 1))
            assert [record.value for record in await waiting] == [b"v0"]

    async def test_what_was_not_committed_comes_again(self, bus: Bus, topic: str) -> None:
        await bus.publish(numbered(topic, 6, partition=1))
        async with bus.subscribe([topic], group="readers") as readers:
            records = await read(readers, 6)
            await readers.commit(records[:4])
        async with bus.subscribe([topic], group="readers") as readers:
            assert [record.value for record in await read(readers, 2)] == [b"v4", b"v5"]

    async def test_a_commit_counts_for_each_partition_up_to_its_highest_record(self, bus: Bus, topic: str) -> None:
        await bus.publish([*numbered(topic, 3, partition=0), *numbered(topic, 3, partition=2)])
        async with bus.subscribe([topic], group="readers") as readers:
            records = sorted(await read(readers, 6), key=lambda record: (record.partition, record.offset))
            await readers.commit([records[1], records[0], records[5]])
        async with bus.subscribe([topic], group="readers") as readers:
            [record] = await read(readers, 1)
            assert (record.partition, record.value) == (0, b"v2")
            assert await readers.batch(max_records=5, wait_seconds=0.3) == []

    async def test_a_later_commit_of_earlier_records_takes_nothing_back(self, bus: Bus, topic: str) -> None:
        await bus.publish(numbered(topic, 4, partition=0))
        async with bus.subscribe([topic], group="readers") as readers:
            records = await read(readers, 4)
            await readers.commit(records)
            await readers.commit(records[:1])
        async with bus.subscribe([topic], group="readers") as readers:
            assert await readers.batch(max_records=5, wait_seconds=0.5) == []

    async def test_two_groups_each_get_every_record(self, bus: Bus, topic: str) -> None:
        await bus.publish(numbered(topic, 5))
        async with bus.subscribe([topic], group="one") as one, bus.subscribe([topic], group="two") as two:
            for member in (one, two):
                records = await read(member, 5)
                assert {record.value for record in records} == {b"v%d" % n for n in range(5)}
                await member.commit(records)

    async def test_members_of_a_group_share_the_partitions(self, bus: Bus, topic: str) -> None:
        async with bus.subscribe([topic], group="readers") as one:
            assert one.owned(topic) == frozenset(range(PARTITIONS))
            async with AsyncExitStack() as stack:
                joining = asyncio.create_task(stack.enter_async_context(bus.subscribe([topic], group="readers")))
                while not joining.done():
                    await one.batch(max_records=1, wait_seconds=0.05)
                owned = await shares(topic, [one, await joining])
                assert [len(share) for share in owned] == [PARTITIONS // 2] * 2
            assert await shares(topic, [one]) == [frozenset(range(PARTITIONS))]

    async def test_a_commit_over_a_lost_partition_does_nothing(self, bus: Bus, topic: str) -> None:
        for partition in range(PARTITIONS):
            await bus.publish(numbered(topic, 2, partition=partition))
        async with bus.subscribe([topic], group="readers") as one, AsyncExitStack() as stack:
            before = await read(one, 2 * PARTITIONS)
            joining = asyncio.create_task(stack.enter_async_context(bus.subscribe([topic], group="readers")))
            while not joining.done():
                await one.batch(max_records=1, wait_seconds=0.05)
            two = await joining
            kept, lost = await shares(topic, [one, two])
            await one.commit([record for record in before if record.partition in lost])
            assert not kept & lost
        async with bus.subscribe([topic], group="readers") as after:
            again = await read(after, 2 * PARTITIONS)
        assert {(record.partition, record.offset) for record in again} == {(record.partition, record.offset) for record in before}

    async def test_what_is_forgotten_is_gone_for_every_group_and_nothing_else(self, bus: Bus, topic: str) -> None:
        await bus.publish([*numbered(topic, 5, partition=0), *numbered(topic, 2, partition=1)])
        async with bus.subscribe([topic], group="one") as one:
            records = sorted(await read(one, 7), key=lambda record: (record.partition, record.offset))
            await one.commit(records[:3])
        await bus.forget([records[2], records[0]])
        await bus.forget(records[:1])  # takes nothing back, and is no fault
        await bus.forget([])
        async with bus.subscribe([topic], group="two") as two:
            left = await read(two, 4)
            assert await two.batch(max_records=10, wait_seconds=0.3) == []
        assert sorted((record.partition, record.value) for record in left) == [(0, b"v3"), (0, b"v4"), (1, b"v0"), (1, b"v1")]

    async def test_a_group_that_stood_before_what_is_forgotten_goes_on_after_it(self, bus: Bus, topic: str) -> None:
        await bus.publish(numbered(topic, 4, partition=0))
        async with bus.subscribe([topic], group="one") as one:
            records = await read(one, 4)
            await one.commit(records[:1])
        await bus.forget(records[:3])
        async with bus.subscribe([topic], group="one") as again:
            assert [record.value for record in await read(again, 1)] == [b"v3"]

    async def test_the_largest_record_passes_and_a_larger_one_is_refused(self, bus: Bus, topic: str) -> None:
        await bus.publish([Outgoing(topic, b"k", b"x" * RECORD_BYTES_MAX)])
        with pytest.raises(InvariantError):
            await bus.publish([Outgoing(topic, b"k", b"x" * (RECORD_BYTES_MAX + 1))])
        async with bus.subscribe([topic], group="readers") as readers:
            [record] = await read(readers, 1)
        assert len(record.value) == RECORD_BYTES_MAX

    async def test_a_partition_that_does_not_exist_is_an_error(self, bus: Bus, topic: str) -> None:
        with pytest.raises(BusUnavailableError):
            await bus.publish([Outgoing(topic, b"k", b"v", partition=PARTITIONS)])
        await bus.publish([Outgoing(topic, b"k", b"v", partition=0)])

    async def test_an_open_bus_answers_and_a_closed_one_takes_nothing(self, bus: Bus, topic: str) -> None:
        await bus.check()
        await bus.close()
        with pytest.raises(BusUnavailableError):
            await bus.publish(numbered(topic, 1))
        with pytest.raises(BusUnavailableError):
            await bus.check()
        with pytest.raises(BusUnavailableError):
            await bus.forget([Record(topic, b"k", b"v", {}, 0, 0)])
