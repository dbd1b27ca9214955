"""An edge, a courier and an inner whose clocks differ: what still works, what is told, and the numbers where it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.app import topics
from gateway.app.codec import Report, decode_report, encode_sealed
from gateway.app.courier import Courier
from gateway.app.forget import REMEMBERED, Forget
from gateway.app.ports import Answer, DeskUnavailableError, Outgoing, Question
from gateway.app.skew import Skew
from gateway.buses.memory import MemoryBus
from gateway.buses.requests import DEADLINE_SECONDS_MAX, BusDesk, RequestServer
from gateway.buses.stamped import StampedBus
from gateway.contract.transports import Outcome, Reply, Transport
from gateway.contract.values import Jti, Lane, LegId, PartnerId, Sealed
from gateway.core import limits
from gateway.core.problems import Code
from gateway.ops.telemetry import Metrics, Telemetry
from gateway.testing.clock import START, FakeClock
from tests.house import House, house
from tests.integration.app.test_requests import REGISTER
from tests.integration.app.test_requests import question as question_of

FR = PartnerId("fr-police")
TIMEOUT = 10.0
LEASE = limits.LEASE_SECONDS_MAX
ANSWER_SECONDS = 20


class Notes(Telemetry):
    """Telemetry that remembers."""

    def __init__(self) -> None:
        super().__init__(Metrics())
        self.told: list[tuple[str, Any, Any]] = []

    def event(self, name: str, **fields: Any) -> None:
        self.told.append((name, fields.get("code"), fields.get("seconds")))

    def skews(self) -> set[tuple[str, float]]:
        return {(code, seconds) for name, code, seconds in self.told if name == "clock-skew"}


class Process:
    """One process: a clock of its own, and the bus as it sees it."""

    def __init__(self, shared: MemoryBus, name: str, *, ahead: float = 0) -> None:
        self.clock, self.notes = FakeClock(START + timedelta(seconds=ahead)), Notes()
        self.bus = StampedBus(shared, Skew(Metrics().show_skew, self.clock, self.notes), self.clock, name=name)


class Yes(Transport):
    taken = 0

    async def _send(self, item: Sealed) -> Reply:
        self.taken += 1
        return Reply(Outcome.DELIVERED)


def document(*, not_after: float) -> bytes:
    ids = {"leg_id": LegId("019aa5e2-8c00-7000-8000-000000000001"), "jti": Jti("019aa5e2-8c00-7000-9000-000000000001")}
    return encode_sealed(Sealed(partner=FR, attempt=1, not_after=START + timedelta(seconds=not_after), body=b"sealed", **ids))


@asynccontextmanager
async def delivering(process: Process, transport: Transport) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    courier = Courier(process.bus, {FR: (transport, TIMEOUT)}, shard="main", clock=process.clock, telemetry=process.notes)
    task = asyncio.create_task(courier.run(stopping))
    try:
        yield
    finally:
        stopping.set()
        await asyncio.wait_for(task, 5)


async def reports(inner: Process, *, seconds: float) -> list[Report]:
    async with inner.bus.subscribe([topics.OUTCOMES], group="inner") as outcomes:
        return [decode_report(record.value) for record in await outcomes.batch(max_records=9, wait_seconds=seconds)]


@pytest.mark.parametrize("ahead", [30, -30, LEASE - TIMEOUT, -600])
async def test_a_courier_ahead_or_behind_delivers_and_the_difference_is_told(ahead: float) -> None:
    shared, transport = MemoryBus(), Yes()
    inner, courier = Process(shared, "inner/inner-1"), Process(shared, "courier/main-1", ahead=ahead)
    async with delivering(courier, transport):
        await inner.bus.publish([Outgoing(topics.deliveries("main", Lane.ROUTINE), b"k", document(not_after=LEASE))])
        [report] = await reports(inner, seconds=10)
    assert (report.outcome, transport.taken) == (Outcome.DELIVERED, 1)
    assert inner.notes.skews() == ({("courier/main-1", ahead)} if ahead > 0 else set())
    assert courier.notes.skews() == ({("inner/inner-1", -ahead)} if ahead < 0 else set()), "who is behind hears it"


async def test_a_courier_too_far_ahead_begins_nothing_and_says_so() -> None:
    shared, transport = MemoryBus(), Yes()
    inner, courier = Process(shared, "inner"), Process(shared, "courier", ahead=LEASE - TIMEOUT + 1)
    async with delivering(courier, transport):
        await inner.bus.publish([Outgoing(topics.deliveries("main", Lane.ROUTINE), b"k", document(not_after=LEASE))])
        assert await reports(inner, seconds=0.5) == []
    assert transport.taken == 0
    assert [name for name, _, _ in courier.notes.told] == ["attempt-too-late"], "its lease ends, and it goes again"


async def echo(questions: Any) -> list[Answer]:
    return [Answer(outcome="ok", body=question.body) for question in questions]


async def ask(edge: Process, desk: BusDesk) -> bool:
    """Say whether a question was answered; the edge waits as long as it would, on a clock that stands, so we do."""
    try:
        async with asyncio.timeout(1):
            deadline = edge.clock.now() + timedelta(seconds=ANSWER_SECONDS)
            return (await desk.ask(Question(kind="submit", body=b"b"), deadline=deadline)).body == b"b"
    except (TimeoutError, DeskUnavailableError):
        return False


@pytest.mark.parametrize(
    ("ahead", "answered"),
    [
        (0, True),
        (-ANSWER_SECONDS + 1, True),
        (-ANSWER_SECONDS, False),
        (DEADLINE_SECONDS_MAX - ANSWER_SECONDS, True),
        (DEADLINE_SECONDS_MAX - ANSWER_SECONDS + 1, False),
    ],
)
async def test_an_edge_is_answered_while_its_clock_is_off_by_less_than_its_questions_last(ahead: float, answered: bool) -> None:
    shared = MemoryBus()
    inner, edge = Process(shared, "inner/inner-1"), Process(shared, "edge/edge-1", ahead=ahead)
    desk = BusDesk(edge.bus, edge.clock, edge.notes, static_id="edge-1")
    server = RequestServer(inner.bus, echo, inner.clock, inner.notes)
    tasks = [asyncio.create_task(desk.run()), asyncio.create_task(server.run())]
    async with asyncio.timeout(5):
        while not desk.ready:
            await asyncio.sleep(0.01)
    assert await ask(edge, desk) is answered
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert inner.notes.skews() == ({("edge/edge-1", ahead)} if ahead > 0 else set())
    if answered:
        assert edge.notes.skews() == ({("inner/inner-1", -ahead)} if ahead < 0 else set())


async def status(h: House, question: Question) -> str | None:
    """Ask again with the very same request, token and all."""
    return (await h.requests.answer(question)).code


@pytest.mark.parametrize("ahead", [0, 30, REMEMBERED.total_seconds()])
async def test_a_used_request_token_is_remembered_though_another_inner_that_forgets_is_ahead(tmp_path: Any, ahead: float) -> None:
    async with house(tmp_path) as h:
        other = FakeClock(START + timedelta(seconds=ahead))
        forget = Forget(h.store, clock=other)
        question = captured(h)
        assert await status(h, question) == Code.NOT_FOUND, "asked the first time, it is answered"
        for _ in range(limits.REQUEST_SECONDS_MAX + limits.REQUEST_SKEW_SECONDS_MAX):
            await forget.run_once()
            assert await status(h, question) == Code.UNTRUSTED
            h.clock.advance(seconds=1)
            other.advance(seconds=1)


def captured(h: House) -> Question:
    """Return a question as an edge passes it on, with a token that a partner made this moment."""
    path = "/v1/messages/019aa5e2-8c00-7000-8000-000000000001"
    return question_of(h, kind="status", path=path, method="GET", body=b"", who=REGISTER)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (0, Code.NOT_FOUND),
        (-limits.REQUEST_SKEW_SECONDS_MAX, Code.NOT_FOUND),
        (-limits.REQUEST_SKEW_SECONDS_MAX - 1, Code.UNTRUSTED),
        (limits.REQUEST_SECONDS_MAX - 1, Code.NOT_FOUND),
        (limits.REQUEST_SECONDS_MAX + limits.REQUEST_SKEW_SECONDS_MAX, Code.UNTRUSTED),
    ],
)
async def test_an_inner_takes_the_tokens_of_partners_while_its_clock_is_off_by_less_than_so_much(
    tmp_path: Any, wrong: float, code: Code
) -> None:
    async with house(tmp_path, clock=FakeClock(START - timedelta(seconds=100))) as h:
        partner = replace(h, clock=FakeClock(START))
        question = captured(partner)
        h.clock.advance(seconds=100 + wrong)
        assert await status(h, question) == code
