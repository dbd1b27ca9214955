"""Whether anybody inside can keep a message: over a bus, as an edge asks it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from gateway.app.inside import HEARD_SECONDS_MAX, READY, Inside, Insider
from gateway.app.ports import Answer, Outgoing, Question, StoreUnavailableError
from gateway.app.topics import REPLIES, REQUESTS
from gateway.buses.memory import MemoryBus
from gateway.buses.requests import DEADLINE_SECONDS_MAX, BusDesk, Request, RequestServer
from gateway.core import limits


class Clock:
    """The time, and so much."""

    def __init__(self, seconds: float = 0) -> None:
        self.ahead = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class Notes:
    def __init__(self) -> None:
        self.events: list[str] = []

    def event(self, name: str, **fields: Any) -> None:
        self.events.append(name)


async def nothing(questions: Sequence[Question]) -> list[Answer]:
    raise StoreUnavailableError("down")  # readiness must not wait for what needs the store


class Zone:
    """A bus, an edge that asks, and inners that come and go."""

    def __init__(self, *, edge_ahead: float = 0) -> None:
        self.bus, clock = MemoryBus(), Clock(edge_ahead)
        self.desk = BusDesk(self.bus, clock, Notes(), static_id="edge-1")
        self.inside = Inside(self.desk, clock, answer_seconds=20)

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        stopping = asyncio.Event()
        async with running(self.desk.run()):
            await until(lambda: self.desk.ready)
            task = asyncio.create_task(self.inside.run(stopping))
            yield
            stopping.set()
            await asyncio.wait_for(task, 5)

    def inner(self, name: str, *missing: str) -> Any:
        return running(RequestServer(self.bus, nothing, Clock(), Notes(), insider=Insider(name, lambda: list(missing))).run())


@asynccontextmanager
async def running(loop: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(loop)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool], *, seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def test_nobody_has_answered_yet_so_inner_is_missing() -> None:
    zone = Zone()
    async with zone.asking():
        await asyncio.sleep(0.2)
        assert zone.inside.missing() == ["inner"]


async def test_an_inner_that_keeps_makes_ready_and_one_that_ended_is_noticed_in_the_time_named() -> None:
    zone = Zone()
    async with zone.asking():
        async with zone.inner("one"):
            await until(lambda: zone.inside.missing() == [], seconds=4)
        loop = asyncio.get_running_loop()
        ended = loop.time()
        await until(lambda: zone.inside.missing() == ["inner"], seconds=HEARD_SECONDS_MAX + 1)
        assert loop.time() - ended <= HEARD_SECONDS_MAX + 0.5
        async with zone.inner("one"):
            await until(lambda: zone.inside.missing() == [], seconds=4)


async def test_what_an_inner_lacks_is_named_and_one_that_lacks_nothing_is_enough() -> None:
    zone = Zone()
    async with zone.asking(), zone.inner("one", "store"):
        await until(lambda: zone.inside.missing() == ["inner-store"], seconds=4)
        async with zone.inner("two"):
            await until(lambda: zone.inside.missing() == [], seconds=8)
            end = asyncio.get_running_loop().time() + 3
            while asyncio.get_running_loop().time() < end:
                assert zone.inside.missing() == []
                await asyncio.sleep(0.05)


@pytest.mark.parametrize(("ahead", "missing"), [(-15, []), (15, []), (-30, ["inner-clock"])])
async def test_an_edge_whose_questions_inner_drops_because_of_its_clock_is_told_so(ahead: float, missing: list[str]) -> None:
    zone = Zone(edge_ahead=ahead)
    async with zone.asking(), zone.inner("one"):
        await until(lambda: zone.inside.missing() == missing, seconds=4)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"inner":7}', b'{"inner":"one\\n"}', b'{"inner":"one","missing":["A Person"]}'])
async def test_an_answer_that_is_no_word_says_only_that_somebody_is_there(body: bytes) -> None:
    class Old:
        async def ask(self, question: Question, *, deadline: datetime) -> Answer:
            return Answer(outcome="problem", body=body)

    inside, stopping = Inside(Old(), Clock(), answer_seconds=20), asyncio.Event()
    task = asyncio.create_task(inside.run(stopping))
    await until(lambda: inside.missing() == [], seconds=2)
    stopping.set()
    await task


async def test_a_question_is_answered_late_but_not_when_it_is_long_forgotten() -> None:
    bus = MemoryBus()
    for name, late in ((b"forgotten", DEADLINE_SECONDS_MAX + 1), (b"late", DEADLINE_SECONDS_MAX - 5)):
        asked = Request(name, 0, datetime.now(UTC) - timedelta(seconds=late), Question(kind=READY))
        await bus.publish([Outgoing(REQUESTS, b"one key", msgspec.msgpack.encode(asked))])
    server = RequestServer(bus, nothing, Clock(), Notes(), insider=Insider("one", list))
    async with running(server.run()), bus.subscribe([REPLIES], group="edge") as replies:
        found = await replies.batch(max_records=9, wait_seconds=5)
        found += await replies.batch(max_records=9, wait_seconds=0.3)
    assert [msgspec.msgpack.decode(record.value)["id"] for record in found] == [b"late"]


def test_an_answer_is_small() -> None:
    answer = Insider("019aa5e2-8c00-7000-8000-000000000001", lambda: ["store"]).answer(late=True)
    assert msgspec.json.decode(answer.body) == {"inner": "019aa5e2-8c00-7000-8000-000000000001", "missing": ["store", "clock"]}
    assert len(answer.body) < limits.RECORD_BYTES_MAX / 1000
