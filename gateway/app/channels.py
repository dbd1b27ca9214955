"""The loops between bus and use cases in inner: outcomes to settle, a register's submissions to intake, evidence to `gw.events`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from gateway.app import topics
from gateway.app.codec import decode_report
from gateway.app.intake import Intake, Outcome, Submission
from gateway.app.ports import Bus, BusUnavailableError, Clock, Outgoing, Record, Store, Telemetry
from gateway.app.requests import problems_answer
from gateway.app.sequence import origin_in
from gateway.app.settle import Change, Settle
from gateway.contract.errors import InvariantError
from gateway.contract.values import PartnerId
from gateway.core import strict_json
from gateway.core.evidence.succession import source_of
from gateway.core.limits import BATCH_COUNT_MAX

CURSOR: Final = "gw.events"
WAIT_SECONDS: Final = 0.5
EVENTS_LEASE: Final = "events"
EVENTS_LEASE_SECONDS: Final = 45  # longer than a publication may take, its connection too; a dead process delays events by at most this


class _Head(msgspec.Struct, frozen=True):
    """What an event's envelope takes from its entry."""

    kind: str
    at: str


_HEADS: Final = msgspec.json.Decoder(_Head)


class Outcomes:
    """Settles couriers' reports: one transaction per batch, then the offsets."""

    def __init__(self, bus: Bus, settle: Settle, telemetry: Telemetry) -> None:
        """Take the ports."""
        self._bus, self._settle, self._telemetry = bus, settle, telemetry

    async def run(self, stopping: asyncio.Event) -> None:
        """Settle until `stopping`, then what is there. A failure ends the subscription, and what was not committed comes again."""
        async with self._bus.subscribe([topics.OUTCOMES], group=topics.OUTCOMES_GROUP) as subscription:
            last = False
            while not last:
                last = stopping.is_set()  # asked before the look: reports that came until now are seen
                records = await subscription.batch(max_records=BATCH_COUNT_MAX * 2, wait_seconds=WAIT_SECONDS)
                await self._settle.run([change for record in records if (change := self._read(record)) is not None])
                await subscription.commit(records)

    def _read(self, record: Record) -> Change | None:
        try:
            report = decode_report(record.value)
        except InvariantError:
            self._telemetry.event("record-unreadable", code=record.topic)
            return None
        return Change(
            leg_id=report.leg_id,
            event=report.event,
            attempt=report.attempt,
            partner=report.partner,
            code=report.code or None,
            retry_after=report.retry_after,
        )


class Submissions:
    """Takes registers' messages from their topics: commit, then the result, then the offset; what is answered is deleted (P11)."""

    def __init__(self, bus: Bus, intake: Intake, telemetry: Telemetry, partners: Sequence[PartnerId]) -> None:
        """Serve the channels of `partners`."""
        self._bus, self._intake, self._telemetry = bus, intake, telemetry
        self._answered: dict[tuple[str, int], Record] = {}  # the last one of each partition, until it is deleted
        self._channels = {topics.submissions(partner): partner for partner in partners}

    async def run(self, stopping: asyncio.Event) -> None:
        """Accept until `stopping`. A record that is no message is answered by its coordinates and never blocks."""
        if not self._channels:
            await stopping.wait()  # a loop that returns ends its process
            return
        async with self._bus.subscribe(sorted(self._channels), group=topics.SUBMISSIONS_GROUP) as subscription:
            while not stopping.is_set():
                records = await subscription.batch(max_records=BATCH_COUNT_MAX, wait_seconds=WAIT_SECONDS)
                if not records:
                    continue
                outcomes = await self._intake.accept([Submission(record.value, self._channels[record.topic]) for record in records])
                await self._bus.publish([self._result(r, o) for r, o in zip(records, outcomes, strict=True)])
                await subscription.commit(records)
                await self._forget(records)

    async def _forget(self, records: Sequence[Record]) -> None:
        """Delete what is answered. Where that fails it is tried again with the next batch; the topic's age limit stands behind it."""
        self._answered |= {(record.topic, record.partition): record for record in sorted(records, key=lambda record: record.offset)}
        try:
            await self._bus.forget(list(self._answered.values()))
        except BusUnavailableError as exc:
            self._telemetry.event("answered-not-deleted", code=str(exc), count=len(self._answered))
        else:
            self._answered.clear()

    def _result(self, record: Record, outcome: Outcome) -> Outgoing:
        partner = self._channels[record.topic]
        headers = {"partition": str(record.partition), "offset": str(record.offset), "outcome": _word(outcome)}
        if outcome.receipt is not None:
            return Outgoing(topics.results(partner), record.key, outcome.receipt, {**headers, "content-type": "application/jwt"})
        body = problems_answer(outcome.problems, outcome.rejection).body
        return Outgoing(topics.results(partner), record.key, body, {**headers, "content-type": "application/json"})


def _word(outcome: Outcome) -> str:
    if outcome.receipt is None:
        return "rejected"
    return "repeated" if outcome.repeated else "accepted"


class Events:
    """Projects the integrated evidence log to `gw.events` as CloudEvents, in leaf order, with a stored cursor.

    One projection at a time holds the lease, and reads the cursor after it has it. A holder that dies between publication and cursor
    makes its successor repeat events: `id` is the leaf index, so a reader sees which it has.
    """

    def __init__(  # noqa: PLR0913 -- the ports a use case takes
        self, store: Store, bus: Bus, clock: Clock, *, telemetry: Telemetry, source: str, holder: str, limit: int = 500
    ) -> None:
        """Publish events of `source`, `limit` at a time. `holder` names this process."""
        self._store, self._bus, self._clock, self._telemetry = store, bus, clock, telemetry
        self._source, self._holder, self._limit = source, holder, limit

    async def run_once(self) -> int:
        """Publish what is new; return how much: 0 also where another process publishes.

        Raises `StoreUnavailableError`, `BusUnavailableError`.
        """
        async with self._store.reading() as work:
            if not await work.leaves(await work.cursor(CURSOR), 1):
                return 0
        until = self._clock.now() + timedelta(seconds=EVENTS_LEASE_SECONDS)
        if not await self._lead(until):
            return 0
        async with self._store.reading() as work:
            leaves = await work.leaves(await work.cursor(CURSOR), self._limit)
            first = await work.leaves(0, 1)
        if not leaves or self._clock.now() >= until:  # told meanwhile, or frozen until the lease was over: another may be at it
            return 0
        source = source_of(self._source, origin_in(first[0][1]))
        await self._bus.publish([Outgoing(topics.EVENTS, b"", _event(source, index, entry)) for index, entry in leaves])
        async with self._store.unit_of_work() as work:
            moved = await work.set_cursor(CURSOR, leaves[-1][0] + 1)
        if not moved:
            self._telemetry.event("events-overtaken", count=len(leaves))
            return 0
        return len(leaves)

    async def release(self) -> None:
        """End the lease if it is ours: another process need not wait until it is over. Raises `StoreUnavailableError`."""
        now = self._clock.now()
        async with self._store.unit_of_work() as work:
            await work.take_lease(EVENTS_LEASE, self._holder, now, now)

    async def _lead(self, until: datetime) -> bool:
        async with self._store.unit_of_work() as work:
            return await work.take_lease(EVENTS_LEASE, self._holder, self._clock.now(), until) is not None


def _event(source: str, index: int, entry: bytes) -> bytes:
    head = _HEADS.decode(entry)
    return strict_json.canonical(
        {
            "specversion": "1.0", "id": str(index), "source": source, "type": f"gateway.evidence.{head.kind}", "time": head.at,
            "sequence": str(index), "datacontenttype": "application/json", "data": msgspec.Raw(entry),  # canonical already
        }
    )  # fmt: skip
