"""Question and answer over a bus: what arrives, what is given up, what is dropped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from gateway.app.ports import Answer, BusUnavailableError, DeskUnavailableError, Outgoing, Question, StoreUnavailableError
from gateway.app.topics import EDGE_GROUP, REPLIES, REQUESTS
from gateway.buses.memory import MemoryBus
from gateway.buses.requests import AnswerBatch, BusDesk, Request, RequestServer
from gateway.contract.values import PartnerId
from gateway.core.limits import RECORD_BYTES_MAX


class SystemTime:
    def now(self) -> datetime:
        return datetime.now(UTC)


class Notes:
    """Telemetry that remembers."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def event(self, name: str, **fields: Any) -> None:
        self.events.append(name)


async def echo(questions: Sequence[Question]) -> list[Answer]:
    return [Answer(outcome="ok", body=question.body + question.path.encode()) for question in questions]


@asynccontextmanager
async def running(*loops: Any) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def soon(seconds: float = 10) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


class Pair:
    """An edge and an inner over one bus."""

    def __init__(self, answer: AnswerBatch = echo) -> None:
        self.bus = MemoryBus()
        self.notes = Notes()
        self.desk = self.edge("edge-1")
        self.server = RequestServer(self.bus, answer, SystemTime(), self.notes)

    def edge(self, static_id: str) -> BusDesk:
        return BusDesk(self.bus, SystemTime(), self.notes, static_id=static_id)

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        async with running(self.desk.run(), self.server.run()):
            await until(lambda: self.desk.ready)
            yield


async def test_a_question_gets_its_own_answer() -> None:
    pair = Pair()
    async with pair.up():
        questions = [Question(kind="submit", path=f"/{n}", body=b"\x00b", mtls=PartnerId("gb-register")) for n in range(200)]
        answers = await asyncio.gather(*(pair.desk.ask(question, deadline=soon()) for question in questions))
    assert [answer.body for answer in answers] == [b"\x00b/%d" % n for n in range(200)]


async def test_inner_sees_the_question_as_the_edge_took_it() -> None:
    seen: list[Question] = []

    async def note(questions: Sequence[Question]) -> list[Answer]:
        seen.extend(questions)
        return await echo(questions)

    pair = Pair(note)
    question = Question(kind="poll", method="POST", path="/v1/poll", query="a=%20b", token="e30.e30.x", body=b'{"ack":[]}', mtls=None)
    async with pair.up():
        await pair.desk.ask(question, deadline=soon())
    assert seen == [question]


async def test_before_an_edge_owns_a_partition_it_is_unavailable() -> None:
    pair = Pair()
    assert not pair.desk.ready
    with pytest.raises(DeskUnavailableError):
        await pair.desk.ask(Question(kind="poll"), deadline=soon())


async def test_without_inner_the_edge_is_unavailable_at_the_deadline() -> None:
    pair = Pair()
    async with running(pair.desk.run()):
        await until(lambda: pair.desk.ready)
        with pytest.raises(DeskUnavailableError, match="in time"):
            await pair.desk.ask(Question(kind="poll"), deadline=soon(0.2))


async def test_a_question_whose_deadline_has_passed_is_dropped_by_inner() -> None:
    seen: list[str] = []

    async def note(questions: Sequence[Question]) -> list[Answer]:
        seen.extend(question.kind for question in questions)
        return await echo(questions)

    pair = Pair(note)
    async with running(pair.desk.run()):
        await until(lambda: pair.desk.ready)
        with pytest.raises(DeskUnavailableError):
            await pair.desk.ask(Question(kind="late"), deadline=soon(0.05))
        async with running(pair.server.run()):
            await pair.desk.ask(Question(kind="timely"), deadline=soon())
    assert seen == ["timely"]


async def test_a_late_answer_is_dropped_and_disturbs_nobody() -> None:
    gate = asyncio.Event()

    async def slow(questions: Sequence[Question]) -> list[Answer]:
        if questions[0].kind == "slow":
            await gate.wait()
        return await echo(questions)

    pair = Pair(slow)
    async with pair.up():
        with pytest.raises(DeskUnavailableError):
            await pair.desk.ask(Question(kind="slow"), deadline=soon(0.1))
        gate.set()
        answer = await pair.desk.ask(Question(kind="quick", path="/q"), deadline=soon())
    assert answer.body == b"/q"


async def test_waiters_of_a_lost_partition_are_told_and_others_are_not() -> None:
    pair = Pair()
    async with running(pair.desk.run()):
        await until(lambda: pair.desk.ready)
        asked = [asyncio.create_task(pair.desk.ask(Question(kind="poll", path=f"/{n}"), deadline=soon())) for n in range(40)]
        await asyncio.sleep(0)  # each has named its partition
        async with pair.bus.subscribe([REPLIES], group=EDGE_GROUP):  # another edge takes half of them
            await until(lambda: any(task.done() for task in asked))
            lost = [task for task in asked if task.done()]
            for task in lost:
                with pytest.raises(DeskUnavailableError, match="another edge"):
                    task.result()
            async with running(pair.server.run()):
                kept = await asyncio.gather(*(task for task in asked if task not in lost))
    assert lost
    assert kept
    assert {answer.outcome for answer in kept} == {"ok"}


async def test_while_the_store_fails_a_question_waits_and_is_answered_after() -> None:
    failures = iter([StoreUnavailableError("down"), StoreUnavailableError("down")])

    async def flaky(questions: Sequence[Question]) -> list[Answer]:
        for failure in failures:
            raise failure
        return await echo(questions)

    pair = Pair(flaky)
    async with pair.up():
        assert (await pair.desk.ask(Question(kind="poll"), deadline=soon())).outcome == "ok"
    assert pair.notes.events.count("answer-failed") == 2


async def test_an_inner_that_ends_unanswered_leaves_the_question_to_the_next() -> None:
    started = asyncio.Event()

    async def stuck(questions: Sequence[Question]) -> list[Answer]:
        started.set()
        await asyncio.Event().wait()
        return []

    pair = Pair(stuck)
    async with running(pair.desk.run()):
        await until(lambda: pair.desk.ready)
        asking = asyncio.create_task(pair.desk.ask(Question(kind="poll", path="/x"), deadline=soon()))
        async with running(pair.server.run()):
            await started.wait()
        async with running(RequestServer(pair.bus, echo, SystemTime(), pair.notes).run()):
            assert (await asking).body == b"/x"


async def test_an_answer_too_large_for_a_record_is_a_problem_and_stops_nobody() -> None:
    async def huge(questions: Sequence[Question]) -> list[Answer]:
        return [Answer(outcome="ok", body=b"x" * (RECORD_BYTES_MAX if question.kind == "huge" else 1)) for question in questions]

    pair = Pair(huge)
    async with pair.up():
        answers = await asyncio.gather(*(pair.desk.ask(Question(kind=kind), deadline=soon()) for kind in ("huge", "small")))
    assert [(answer.outcome, answer.code) for answer in answers] == [("problem", "internal"), ("ok", None)]


async def test_a_closed_bus_is_unavailable() -> None:
    pair = Pair()
    async with pair.up():
        await pair.bus.close()
        with pytest.raises(DeskUnavailableError):
            await pair.desk.ask(Question(kind="poll"), deadline=soon())
        await until(lambda: "bus-unavailable" in pair.notes.events)
        with pytest.raises(BusUnavailableError):
            await pair.bus.check()


ENCODE = msgspec.msgpack.encode
FIELDS = {"id": b"i" * 16, "partition": 0, "deadline": soon(3600), "question": {"kind": "poll"}}


@pytest.mark.parametrize(
    ("value", "event"),
    [
        pytest.param(b"", "request-malformed", id="empty"),
        pytest.param(b"\xff\x00", "request-malformed", id="not-msgpack"),
        pytest.param(ENCODE([1, 2]), "request-malformed", id="not-a-map"),
        pytest.param(ENCODE({"id": b"x"}), "request-malformed", id="fields-missing"),
        pytest.param(ENCODE(FIELDS | {"deadline": "2026-11-21T00:00:00"}), "request-malformed", id="deadline-without-zone"),
        pytest.param(ENCODE(FIELDS | {"question": {"kind": 7}}), "request-malformed", id="kind-is-a-number"),
        pytest.param(ENCODE(FIELDS), "request-deadline-too-far", id="deadline-in-an-hour"),
    ],
)
async def test_a_record_no_edge_of_ours_writes_is_skipped(value: bytes, event: str) -> None:
    pair = Pair()
    async with pair.up():
        await pair.bus.publish([Outgoing(REQUESTS, b"k", value)])
        assert (await pair.desk.ask(Question(kind="poll"), deadline=soon())).outcome == "ok"
        await until(lambda: event in pair.notes.events)


def test_the_wire_form_keeps_every_field() -> None:
    question = Question(kind="poll", method="POST", path="/v1/poll", query="q", token="t", body=b"\xff", mtls=PartnerId("fr-border"))
    request = Request(b"1", 3, soon(), question)
    assert msgspec.msgpack.decode(ENCODE(request), type=Request) == request
