"""The courier: one attempt per record, one report per attempt; nothing too late, and nobody waits for somebody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from gateway.app import topics
from gateway.app.codec import CUT_SHORT, Report, decode_report, encode_sealed
from gateway.app.courier import Courier
from gateway.app.ports import BusUnavailableError, Outgoing
from gateway.buses.memory import MemoryBus
from gateway.contract.errors import DeliveryError
from gateway.contract.transports import Outcome, Reply, Transport
from gateway.contract.values import Jti, Lane, LegId, PartnerId, Sealed
from gateway.core.delivery import Event
from gateway.ops.telemetry import Metrics, Telemetry
from gateway.testing.clock import START, FakeClock

FR, ES = PartnerId("fr-police"), PartnerId("es-police")
TIMEOUT = 0.2


class Told(Transport):
    """A transport that answers as told, or never."""

    def __init__(self, answer: Reply | Exception | None) -> None:
        self.answer, self.taken = answer, 0

    async def _send(self, item: Sealed) -> Reply:
        self.taken += 1
        if self.answer is None:
            await asyncio.Event().wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        assert self.answer is not None
        return self.answer


class Bus(MemoryBus):
    """A bus whose outcomes fail to arrive a number of times."""

    failures = 0

    async def publish(self, records: Sequence[Outgoing]) -> None:
        if self.failures and records[0].topic == topics.OUTCOMES:
            self.failures -= 1
            raise BusUnavailableError("gone")
        await super().publish(records)


def item(number: int = 1, *, partner: PartnerId = FR, **changes: Any) -> Sealed:
    made: dict[str, Any] = {
        "leg_id": LegId(f"019aa5e2-8c00-7000-8000-{number:012d}"), "jti": Jti(f"019aa5e2-8c00-7000-9000-{number:012d}"),
        "partner": partner, "attempt": 1, "not_after": START + timedelta(seconds=60), "body": b"sealed",
    }  # fmt: skip
    return Sealed(**made | changes)


@asynccontextmanager
async def courier(bus: MemoryBus, **transports: Told) -> AsyncIterator[Metrics]:
    metrics, stopping = Metrics(), asyncio.Event()
    known = {PartnerId(name.replace("_", "-")): (transport, TIMEOUT) for name, transport in transports.items()}
    running = Courier(bus, known, shard="main", clock=FakeClock(), telemetry=Telemetry(metrics))
    task = asyncio.create_task(running.run(stopping))
    try:
        yield metrics
    finally:
        stopping.set()
        await asyncio.wait_for(task, 5)


async def give(bus: MemoryBus, *items: Sealed | bytes, lane: Lane = Lane.ROUTINE) -> None:
    values = [one if isinstance(one, bytes) else encode_sealed(one) for one in items]
    await bus.publish([Outgoing(topics.deliveries("main", lane), b"key", value) for value in values])


async def reports(bus: MemoryBus, count: int) -> list[Report]:
    found: list[Report] = []
    async with bus.subscribe([topics.OUTCOMES], group="inner") as outcomes, asyncio.timeout(10):
        while len(found) < count:
            batch = await outcomes.batch(max_records=100, wait_seconds=1)
            found += [decode_report(record.value) for record in batch]
            await outcomes.commit(batch)
    return found


def happened(metrics: Metrics, name: str) -> float:
    return metrics.registry.get_sample_value("gateway_events_total", {"name": name}) or 0


@pytest.mark.parametrize(
    ("answer", "outcome", "code", "after"),
    [
        (Reply(Outcome.DELIVERED), Outcome.DELIVERED, "", None),
        (Reply(Outcome.FAILED, "http-503", timedelta(seconds=7)), Outcome.FAILED, "http-503", 7.0),
        (Reply(Outcome.REFUSED, "invalid_key"), Outcome.REFUSED, "invalid_key", None),
        (Reply(Outcome.FAILED, "The subject is not known"), Outcome.FAILED, "unknown", None),
        (DeliveryError("connect"), Outcome.FAILED, "connect", None),
        (RuntimeError("a name of somebody"), Outcome.FAILED, "RuntimeError", None),
        (None, Outcome.FAILED, "timeout", None),
    ],
    ids=["delivered", "failed", "refused", "own-words", "no-answer", "broken-adapter", "never"],
)
async def test_each_attempt_has_one_report(answer: Reply | Exception | None, outcome: Outcome, code: str, after: float | None) -> None:
    bus, transport = MemoryBus(), Told(answer)
    async with courier(bus, fr_police=transport):
        await give(bus, item(attempt=3))
        (report,) = await reports(bus, 1)
    assert (report.leg_id, report.partner, report.attempt) == (item().leg_id, FR, 3)
    assert (report.outcome, report.code, report.retry_after_seconds, transport.taken) == (outcome, code, after, 1)


@pytest.mark.parametrize(("left", "taken"), [(TIMEOUT, 1), (TIMEOUT - 0.01, 0), (0, 0), (-60, 0)])
async def test_an_attempt_that_could_outlive_its_lease_is_not_started(left: float, taken: int) -> None:
    bus, transport = MemoryBus(), Told(Reply(Outcome.DELIVERED))
    async with courier(bus, fr_police=transport) as metrics:
        await give(bus, item(1, not_after=START + timedelta(seconds=left)), item(2))
        await reports(bus, 1 + taken)
    assert transport.taken == 1 + taken
    assert happened(metrics, "attempt-too-late") == 1 - taken


@pytest.mark.parametrize("raw", [b"", b"nonsense", b"\x80", encode_sealed(item())[:-3]], ids=["empty", "text", "no-members", "cut"])
async def test_a_record_that_cannot_be_read_is_counted_and_passed(raw: bytes) -> None:
    bus, transport = MemoryBus(), Told(Reply(Outcome.DELIVERED))
    async with courier(bus, fr_police=transport) as metrics:
        await give(bus, raw, item(2))
        (report,) = await reports(bus, 1)
    assert report.leg_id == item(2).leg_id
    assert happened(metrics, "record-unreadable") == 1


async def test_a_partner_of_another_shard_is_counted_and_passed() -> None:
    bus, transport = MemoryBus(), Told(Reply(Outcome.DELIVERED))
    async with courier(bus, fr_police=transport) as metrics:
        await give(bus, item(1, partner=ES), item(2))
        (report,) = await reports(bus, 1)
    assert report.partner == FR
    assert happened(metrics, "record-unreadable") == 1


async def test_who_never_answers_holds_up_nobody_else() -> None:
    bus, quick = MemoryBus(), Told(Reply(Outcome.DELIVERED))
    async with courier(bus, es_police=Told(None), fr_police=quick):
        await give(bus, *(item(number, partner=ES) for number in range(1, 6)), *(item(number) for number in range(6, 11)))
        first = await reports(bus, 5)
        assert {report.partner for report in first} == {FR}
        rest = await reports(bus, 5)
        assert {(report.partner, report.code) for report in rest} == {(ES, "timeout")}


async def test_each_lane_is_read_by_itself() -> None:
    bus = MemoryBus()
    async with courier(bus, fr_police=Told(Reply(Outcome.DELIVERED))):
        for number, lane in enumerate(Lane, 1):
            await give(bus, item(number), lane=lane)
        assert len(await reports(bus, 3)) == 3


async def test_a_report_that_is_lost_does_not_stop_the_next() -> None:
    bus = Bus()
    bus.failures = 1
    async with courier(bus, fr_police=Told(Reply(Outcome.DELIVERED))) as metrics:
        await give(bus, item(1))
        async with asyncio.timeout(5):
            while not happened(metrics, "report-lost"):
                await asyncio.sleep(0.01)
        await give(bus, item(2))
        (report,) = await reports(bus, 1)
    assert report.leg_id == item(2).leg_id


async def test_a_courier_that_is_told_to_stop_finishes_what_is_under_way() -> None:
    bus, slow = MemoryBus(), Told(None)
    async with courier(bus, fr_police=slow):
        await give(bus, item())
        async with asyncio.timeout(5):
            while not slow.taken:
                await asyncio.sleep(0.01)
    (report,) = await reports(bus, 1)  # written after the stop, before the end
    assert report.code == "timeout"


async def test_an_attempt_that_takes_too_long_after_the_stop_is_cut_short_and_reported() -> None:
    """Its leg goes again as after a lease that ended, and it is no failure of the partner's."""
    bus, slow, stopping = MemoryBus(), Told(None), asyncio.Event()
    transports: dict[PartnerId, tuple[Transport, float]] = {FR: (slow, 50.0), ES: (Told(Reply(Outcome.DELIVERED)), 1.0)}
    running = Courier(bus, transports, shard="main", clock=FakeClock(), telemetry=Telemetry(Metrics()), finish_seconds=0.1)
    task = asyncio.create_task(running.run(stopping))
    await give(bus, item(1), item(2, partner=ES))
    async with asyncio.timeout(5):
        while not slow.taken:
            await asyncio.sleep(0.01)
    stopping.set()
    await asyncio.wait_for(task, 5)
    done, cut = sorted(await reports(bus, 2), key=lambda report: report.code)
    assert (done.partner, done.event) == (ES, Event.DELIVERED)
    assert (cut.partner, cut.outcome, cut.code, cut.event) == (FR, Outcome.FAILED, CUT_SHORT, Event.LEASE_ENDED)


async def test_a_courier_that_lost_its_broker_cuts_nothing_short() -> None:
    bus, slow = MemoryBus(), Told(None)
    running = Courier(bus, {FR: (slow, 0.5)}, shard="main", clock=FakeClock(), telemetry=Telemetry(Metrics()), finish_seconds=0)
    task = asyncio.create_task(running.run(asyncio.Event()))
    await give(bus, item())
    async with asyncio.timeout(5):
        while not slow.taken:
            await asyncio.sleep(0.01)
    began = asyncio.get_running_loop().time()
    await bus.close()
    with pytest.raises(BusUnavailableError):
        await asyncio.wait_for(task, 5)
    assert asyncio.get_running_loop().time() - began > 0.3


async def test_a_broker_that_is_gone_ends_the_courier_by_one_name() -> None:
    bus = MemoryBus()
    await bus.close()
    running = Courier(bus, {}, shard="main", clock=FakeClock(), telemetry=Telemetry(Metrics()))
    with pytest.raises(BusUnavailableError):
        await running.run(asyncio.Event())
