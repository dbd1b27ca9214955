"""A bus that says when and by whom each record of ours was sent, and looks at that in what it reads: clocks that differ are noticed.

Only on topics that no partner reads or writes: what registers find in their results stays as it is described to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, Self

from gateway.app import topics
from gateway.app.ports import Bus, Clock, Outgoing, Record, Subscription
from gateway.app.skew import Skew, read, written

SENT_AT: Final = "gw-sent-at"
SENT_BY: Final = "gw-sent-by"
OURS: Final = (topics.REQUESTS, topics.REPLIES, topics.OUTCOMES, topics.DELIVERIES)


class StampedBus:
    """A `Bus` before another."""

    def __init__(self, bus: Bus, skew: Skew, clock: Clock, *, name: str) -> None:
        """Send as `name`: the role, and which of its processes where that has a name."""
        self._bus, self._skew, self._clock, self._name = bus, skew, clock, name

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Publish, stamped. Raises what the bus raises."""
        stamp = {SENT_AT: written(self._clock.now()), SENT_BY: self._name}
        await self._bus.publish([_stamped(record, stamp) for record in records])

    def subscribe(self, wanted: Sequence[str], *, group: str, static_id: str | None = None) -> Subscription:
        """Join a consumer group on topics."""
        return _Looking(self._bus.subscribe(wanted, group=group, static_id=static_id), self._skew)

    async def forget(self, records: Sequence[Record]) -> None:
        """Delete these records and all before them. Raises what the bus raises."""
        await self._bus.forget(records)

    async def check(self) -> None:
        """Say that the bus answers. Raises what the bus raises."""
        await self._bus.check()

    async def close(self) -> None:
        """Flush and release."""
        await self._bus.close()


class _Looking:
    """A subscription that looks at the stamps of what comes."""

    def __init__(self, inner: Subscription, skew: Skew) -> None:
        self._inner, self._skew = inner, skew

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._inner.__aexit__(*exc)

    async def batch(self, *, max_records: int, wait_seconds: float) -> list[Record]:
        records = await self._inner.batch(max_records=max_records, wait_seconds=wait_seconds)
        latest: dict[str, datetime] = {}  # of each sender its newest record: the others are older, and say less
        for record in records:
            if record.topic.startswith(OURS) and (sent_at := read(record.headers.get(SENT_AT, ""))) is not None:
                name = record.headers.get(SENT_BY, "")
                latest[name] = max(latest.get(name, sent_at), sent_at)
        for name, sent_at in latest.items():
            self._skew.saw(name, sent_at)
        return records

    async def commit(self, records: Sequence[Record]) -> None:
        await self._inner.commit(records)

    def owned(self, topic: str) -> frozenset[int]:
        return self._inner.owned(topic)


def _stamped(record: Outgoing, stamp: dict[str, str]) -> Outgoing:
    return replace(record, headers={**record.headers, **stamp}) if record.topic.startswith(OURS) else record
