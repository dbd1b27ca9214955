"""The courier: one attempt per record, one report per attempt. Outer zone: no database, no content key.

A record is committed when it is taken, not when it is done: the row is the truth, so a record lost with this process only waits for its
lease to end. Nothing slow is therefore ever in front of another partner's record. What is under way is bounded by the partners' windows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from gateway.app import topics
from gateway.app.codec import CUT_SHORT, Report, decode_sealed, encode_report
from gateway.app.ports import Bus, Clock, Outgoing, Record, Telemetry
from gateway.contract.errors import DeliveryError, InvariantError, OperatorError
from gateway.contract.transports import Outcome, Reply, Transport
from gateway.contract.values import LANES, Lane, PartnerId, Sealed

BATCH_RECORDS_MAX = 200
WAIT_SECONDS = 0.5
REPORTS_MAX = 500
FINISH_SECONDS_MAX: Final = 10.5  # for attempts under way when told to stop: as long as most partners are given for one


class Courier:
    """Delivers what a shard's topics carry."""

    def __init__(
        self,
        bus: Bus,
        transports: Mapping[PartnerId, tuple[Transport, float]],
        *,
        shard: str,
        clock: Clock,
        telemetry: Telemetry,
        finish_seconds: float = FINISH_SECONDS_MAX,
    ) -> None:
        """Take one transport for each partner of the shard, with the time-out of an attempt in seconds."""
        self._finish_seconds = finish_seconds
        self._bus, self._transports, self._shard, self._clock, self._telemetry = bus, transports, shard, clock, telemetry
        self._reports: asyncio.Queue[Report] = asyncio.Queue(REPORTS_MAX)
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Deliver until `stopping`, then finish what is under way.

        What takes too long then is cut short, and reported so that it goes again at once.
        """
        reporter = asyncio.create_task(self._report_all())
        try:
            async with asyncio.TaskGroup() as lanes:
                for lane in LANES:
                    lanes.create_task(self._take(lane, stopping))
        except* OperatorError as group:
            raise first_of(group) from group
        finally:
            try:
                await self._finish(stopping)
                await self._reports.join()
            finally:
                reporter.cancel()

    async def _finish(self, stopping: asyncio.Event) -> None:
        """Wait for the attempts under way: as long as they take, but only a while once we were told to stop."""
        stopper = asyncio.create_task(stopping.wait())
        while self._under_way and not stopper.done():
            await asyncio.wait({*self._under_way, stopper}, return_when=asyncio.FIRST_COMPLETED)
        stopper.cancel()
        if not self._under_way:
            return
        _, late = await asyncio.wait(self._under_way, timeout=self._finish_seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _take(self, lane: Lane, stopping: asyncio.Event) -> None:
        async with self._bus.subscribe([topics.deliveries(self._shard, lane)], group=topics.courier_group(self._shard, lane)) as records:
            while not stopping.is_set():
                batch = await records.batch(max_records=BATCH_RECORDS_MAX, wait_seconds=WAIT_SECONDS)
                for record in batch:
                    self._start(record)
                await records.commit(batch)

    def _start(self, record: Record) -> None:
        try:
            item = decode_sealed(record.value)
        except InvariantError:
            self._telemetry.event("record-unreadable", code=record.topic)
            return
        task = asyncio.create_task(self._attempt(item))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _attempt(self, item: Sealed) -> None:
        entry = self._transports.get(item.partner)
        if entry is None:
            self._telemetry.event("record-unreadable", partner=item.partner, code="not-of-this-shard")
            return
        transport, timeout = entry
        if self._clock.now() + timedelta(seconds=timeout) > item.not_after:
            self._telemetry.event("attempt-too-late", partner=item.partner, leg_id=item.leg_id)
            return  # the lease ends, and it goes again
        try:
            reply = await transport.deliver(item, timeout)
        except DeliveryError as exc:
            reply = Reply(Outcome.FAILED, str(exc))
        except asyncio.CancelledError:  # its only caller is `_finish`, which waits for the report: nobody needs to know of the cancel
            reply = Reply(Outcome.FAILED, CUT_SHORT)
        await self._reports.put(Report.of(item, reply))

    async def _report_all(self) -> None:
        while True:
            reports = [await self._reports.get()]
            while not self._reports.empty():
                reports.append(self._reports.get_nowait())
            records = [Outgoing(topics.OUTCOMES, report.leg_id.encode(), encode_report(report)) for report in reports]
            try:
                await self._bus.publish(records)
            except Exception as exc:  # noqa: BLE001 -- a report lost is a delay: the lease ends; the reporter must live
                self._telemetry.event("report-lost", code=type(exc).__name__, count=len(reports))
            for _ in reports:
                self._reports.task_done()


def first_of(group: BaseExceptionGroup[OperatorError]) -> OperatorError:
    """Return the first error of a group: the supervisor tells dependencies apart by one name."""
    first = group.exceptions[0]
    return first_of(first) if isinstance(first, BaseExceptionGroup) else first
