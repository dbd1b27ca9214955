"""The in-process bus keeps the contract of every bus, and forgets what nobody will ask for again."""

from __future__ import annotations

import pytest

from gateway.app.ports import Outgoing
from gateway.buses.memory import PARTITION_BYTES_MAX, MemoryBus
from gateway.core.limits import RECORD_BYTES_MAX
from gateway.testing.contract_bus import PARTITIONS, BusContract, read


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus(partitions=PARTITIONS)


@pytest.fixture
def topic() -> str:
    return "gw.test"


class TestMemoryBus(BusContract):
    async def test_what_every_group_has_done_is_forgotten(self, bus: MemoryBus, topic: str) -> None:
        async with bus.subscribe([topic], group="one") as one, bus.subscribe([topic], group="two") as two:
            await bus.publish([Outgoing(topic, b"k", b"v", partition=0)])
            await one.commit(await read(one, 1))
            assert len(bus.partitions(topic)[0].records) == 1
            await two.commit(await read(two, 1))
            assert len(bus.partitions(topic)[0].records) == 0

    async def test_a_topic_that_nobody_reads_stays_below_its_limit(self, bus: MemoryBus, topic: str) -> None:
        value = b"x" * RECORD_BYTES_MAX
        for _ in range(PARTITION_BYTES_MAX // RECORD_BYTES_MAX + 5):
            await bus.publish([Outgoing(topic, b"k", value, partition=0)])
        partition = bus.partitions(topic)[0]
        assert partition.size <= PARTITION_BYTES_MAX
        assert partition.start > 0
        async with bus.subscribe([topic], group="late") as late:
            [record] = await read(late, 1)
            assert record.offset == partition.start
