"""The bus of the embedded form: one process, nothing on disk. Loses what it carries when it ends, as a bus may."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Final, Self
from zlib import crc32

from gateway.app.ports import BusUnavailableError, NoPartitionError, Outgoing, Record
from gateway.contract.errors import InvariantError
from gateway.core.limits import RECORD_BYTES_MAX

PARTITIONS_COUNT: Final = 4  # of a topic: enough to see what a rebalance does
PARTITION_BYTES_MAX: Final = 32 * 1024 * 1024  # oldest records go first, as with a broker's retention: the backlog is in rows

Place = tuple[str, int]  # topic, partition


@dataclass(slots=True)
class _Partition:
    """A log that forgets its oldest records when it grows too large."""

    records: deque[Record] = field(default_factory=deque)
    start: int = 0  # offset of the oldest record kept
    size: int = 0

    @property
    def end(self) -> int:
        """Offset of the next record."""
        return self.start + len(self.records)

    def append(self, record: Record) -> None:
        self.records.append(record)
        self.size += len(record.value)
        while self.size > PARTITION_BYTES_MAX:
            self.drop_oldest()

    def drop_oldest(self) -> None:
        self.size -= len(self.records.popleft().value)
        self.start += 1

    def read(self, offset: int, limit: int) -> list[Record]:
        skip = max(offset - self.start, 0)
        return list(islice(self.records, skip, skip + limit))


@dataclass(slots=True)
class _Group:
    """A consumer group: its members in the order they joined, and how far each partition is done."""

    members: list[MemorySubscription] = field(default_factory=list)
    done: dict[Place, int] = field(default_factory=dict)

    def rebalance(self, places: Iterable[Place]) -> None:
        """Deal the partitions out anew, each topic among the members that asked for it."""
        shares: dict[int, set[Place]] = {id(member): set() for member in self.members}
        for place in sorted(places):
            takers = [member for member in self.members if place[0] in member.topics]
            if takers:
                shares[id(takers[place[1] % len(takers)])].add(place)
        for member in self.members:
            member.assign(shares[id(member)])


class MemoryBus:
    """A `Bus` in one process: topics appear when they are named, groups share partitions, what is uncommitted comes again."""

    def __init__(self, *, partitions: int = PARTITIONS_COUNT) -> None:
        self._count = partitions
        self._topics: dict[str, list[_Partition]] = {}
        self._groups: dict[str, _Group] = {}
        self._turn = count()
        self._closed = False

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Append records. Raises `BusUnavailableError` after `close`, `InvariantError` for a record that is too large."""
        if self._closed:
            raise BusUnavailableError("closed")
        for record in records:
            if len(record.value) > RECORD_BYTES_MAX:
                raise InvariantError(record.topic, len(record.value))
        for record in records:
            if record.partition is not None and not 0 <= record.partition < len(self.partitions(record.topic)):
                raise NoPartitionError(record.topic, record.partition)
        for record in records:
            self._append(record)
        topics = {record.topic for record in records}
        for group in self._groups.values():
            for member in group.members:
                if not topics.isdisjoint(member.topics):
                    member.woken.set()

    def subscribe(self, topics: Sequence[str], *, group: str, static_id: str | None = None) -> MemorySubscription:
        """Join a group. `static_id` is for members that come back after a restart: none of ours outlives the bus."""
        del static_id
        return MemorySubscription(self, topics, group)

    async def forget(self, records: Sequence[Record]) -> None:
        """Delete these records and all before them in their partitions, for every group. Raises `BusUnavailableError` after `close`."""
        await self.check()
        for (topic, number), following in after(records).items():
            self._drop(self.partitions(topic)[number], following)

    async def check(self) -> None:
        """Raise `BusUnavailableError` after `close`."""
        if self._closed:
            raise BusUnavailableError("closed")

    async def close(self) -> None:
        """Refuse what comes later, and wake who waits."""
        self._closed = True
        for group in self._groups.values():
            for member in group.members:
                member.woken.set()

    @property
    def topics(self) -> frozenset[str]:
        """The topics that were named."""
        return frozenset(self._topics)

    def partitions(self, topic: str) -> list[_Partition]:
        """Return the partitions of a topic; make them when it is first named."""
        return self._topics.setdefault(topic, [_Partition() for _ in range(self._count)])

    def group_of(self, name: str) -> _Group:
        """Return a group; make it when it is first named."""
        return self._groups.setdefault(name, _Group())

    def rebalance(self, group: _Group) -> None:
        """Deal a group's partitions out anew."""
        topics = {topic for member in group.members for topic in member.topics}
        group.rebalance((topic, number) for topic in topics for number in range(len(self.partitions(topic))))

    def forget_done(self, places: Iterable[Place]) -> None:
        """Drop records that every group which reads their topic has done: nobody will ask again."""
        for topic, number in places:
            readers = [g for g in self._groups.values() if any(topic in member.topics for member in g.members) or (topic, number) in g.done]
            oldest = min((group.done.get((topic, number), 0) for group in readers), default=0)
            self._drop(self.partitions(topic)[number], oldest)

    @staticmethod
    def _drop(partition: _Partition, before: int) -> None:
        while partition.records and partition.start < before:
            partition.drop_oldest()

    def _append(self, record: Outgoing) -> None:
        partitions = self.partitions(record.topic)
        number = self._number(record, len(partitions))
        partition = partitions[number]
        partition.append(Record(record.topic, record.key, record.value, dict(record.headers), number, partition.end))

    def _number(self, record: Outgoing, total: int) -> int:
        if record.partition is None:
            return crc32(record.key) % total if record.key else next(self._turn) % total
        return record.partition


class MemorySubscription:
    """One member of a group."""

    def __init__(self, bus: MemoryBus, topics: Sequence[str], group: str) -> None:
        self.topics = frozenset(topics)
        self.woken = asyncio.Event()
        self._bus = bus
        self._group = bus.group_of(group)
        self._next: dict[Place, int] = {}  # where to read on, by partition owned
        self._read: dict[Place, int] = {}  # first offset read or committed since the partition is ours: no commit goes below

    async def __aenter__(self) -> Self:
        """Join."""
        self._group.members.append(self)
        self._bus.rebalance(self._group)
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Leave; the others take over from what was committed."""
        self._group.members.remove(self)
        self._next = {}
        self._bus.rebalance(self._group)

    async def batch(self, *, max_records: int, wait_seconds: float) -> list[Record]:
        """Return what is there, waiting at most `wait_seconds` for the first record. Raises `BusUnavailableError`."""
        try:
            async with asyncio.timeout(wait_seconds):
                while True:
                    await self._bus.check()
                    self.woken.clear()
                    if found := self._take(max_records):
                        return found
                    await self.woken.wait()
        except TimeoutError:
            return []

    async def commit(self, records: Sequence[Record]) -> None:
        """Say that these records are done, up to the highest offset of each partition that is still ours."""
        await self._bus.check()
        done = {place: following for place, following in after(records).items() if following > self._read.get(place, following)}
        self._group.done.update(done)
        self._read.update(done)
        self._bus.forget_done(done)

    def owned(self, topic: str) -> frozenset[int]:
        """Return the partitions this member owns now."""
        return frozenset(number for name, number in self._next if name == topic)

    def assign(self, places: set[Place]) -> None:
        """Own exactly these partitions from now on; new ones are read from where the group stands."""
        self._next = {place: self._next.get(place, self._group.done.get(place, 0)) for place in sorted(places)}
        self._read = {place: offset for place, offset in self._read.items() if place in places}
        self.woken.set()

    def _take(self, limit: int) -> list[Record]:
        found: list[Record] = []
        for place, offset in list(self._next.items()):
            records = self._bus.partitions(place[0])[place[1]].read(offset, limit - len(found))
            if records:
                del self._next[place]  # to the end of the line: the next batch starts with another partition
                self._next[place] = records[-1].offset + 1
                self._read.setdefault(place, records[0].offset)
                found += records
        return found


def after(records: Iterable[Record]) -> Mapping[Place, int]:
    """Return the offset after the highest of each partition: what a commit says."""
    ends: dict[Place, int] = {}
    for record in records:
        place = (record.topic, record.partition)
        ends[place] = max(ends.get(place, 0), record.offset + 1)
    return ends
