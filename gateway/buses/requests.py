"""Question and answer over the bus: how an edge, which has no database and no key, asks inner.

A question names a partition of the replies that its edge owns, and an absolute deadline. Whoever loses a partition gives up its
waiters (the client gets "unavailable", and a repeat is safe); an answer nobody waits for any more is dropped.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final, NoReturn

import msgspec

from gateway.app.codec import UNREADABLE
from gateway.app.inside import READY, Insider
from gateway.app.ports import (
    Answer,
    Bus,
    BusUnavailableError,
    Clock,
    DeskUnavailableError,
    NoPartitionError,
    Outgoing,
    Question,
    Record,
    Subscription,
    Telemetry,
)
from gateway.app.supervise import wait
from gateway.app.topics import EDGE_GROUP, REPLIES, REQUESTS, REQUESTS_GROUP
from gateway.contract.errors import OperatorError
from gateway.core.limits import BATCH_COUNT_MAX, RECORD_BYTES_MAX
from gateway.core.problems import Code

WAITING_COUNT_MAX: Final = 2048  # questions of one edge under way: the next one is told to come back
REPLIES_COUNT_MAX: Final = 500  # taken from the bus at a time
LOOK_SECONDS: Final = 0.5  # how soon a lost partition is noticed where no reply comes
COMMIT_SECONDS: Final = 2.0  # replies are worthless when read again: their offsets need no hurry
REJOIN_SECONDS: Final = 1.0  # after the bus failed
TAKE_SECONDS: Final = 0.5  # how soon inner notices that it is to stop where no question comes
DEADLINE_SECONDS_MAX: Final = 120  # a question from an edge that asks for more is not ours: no question may keep inner busy for long
RETRY_SECONDS: Final = 0.2  # after the store failed: a question is tried until its deadline


@dataclass(frozen=True, slots=True)
class Request:
    """A question on its way in."""

    id: bytes
    partition: int  # of the replies
    deadline: Annotated[datetime, msgspec.Meta(tz=True)]
    question: Question


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer on its way out."""

    id: bytes
    answer: Answer


_encode = msgspec.msgpack.Encoder().encode
_requests: Final = msgspec.msgpack.Decoder(Request)
_replies: Final = msgspec.msgpack.Decoder(Reply)
TOO_LARGE: Final = Answer(outcome="problem", code=Code.INTERNAL)


@dataclass(frozen=True, slots=True)
class _Waiter:
    partition: int
    answer: asyncio.Future[Answer]

    def give_up(self, because: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(DeskUnavailableError(because))


class BusDesk:
    """The edge's side: a `Desk` over the bus. `run` must be running while questions are asked."""

    def __init__(self, bus: Bus, clock: Clock, telemetry: Telemetry, *, static_id: str) -> None:
        self._bus = bus
        self._clock = clock
        self._telemetry = telemetry
        self._static_id = static_id  # unique among edges, and the same after a restart
        self._replies: Subscription | None = None
        self._waiting: dict[bytes, _Waiter] = {}

    @property
    def ready(self) -> bool:
        """Say whether this edge can be answered: it owns a partition of the replies."""
        return bool(self._owned())

    async def ask(self, question: Question, *, deadline: datetime) -> Answer:
        """Return inner's answer. Raises `DeskUnavailableError`: in time, nobody inside answered, or the bus does not work."""
        owned = sorted(self._owned())
        if not owned:
            raise DeskUnavailableError("no partition for replies")
        if len(self._waiting) >= WAITING_COUNT_MAX:
            raise DeskUnavailableError("too many questions under way")
        request = Request(secrets.token_bytes(16), random.choice(owned), deadline, question)  # noqa: S311 -- spreads load, hides nothing
        waiter = _Waiter(request.partition, asyncio.get_running_loop().create_future())
        self._waiting[request.id] = waiter
        try:
            async with asyncio.timeout((deadline - self._clock.now()).total_seconds()):
                await self._bus.publish([Outgoing(REQUESTS, request.id, _encode(request))])
                return await waiter.answer
        except TimeoutError as exc:
            raise DeskUnavailableError("no answer in time") from exc
        except BusUnavailableError as exc:
            raise DeskUnavailableError("the bus does not answer") from exc
        finally:
            del self._waiting[request.id]
            waiter.answer.cancel()

    async def run(self) -> NoReturn:
        """Take replies until cancelled; join again after the bus has failed."""
        while True:
            try:
                async with self._bus.subscribe([REPLIES], group=EDGE_GROUP, static_id=self._static_id) as self._replies:
                    await self._read(self._replies)
            except BusUnavailableError as exc:
                self._telemetry.event("bus-unavailable", code=str(exc))
            finally:
                self._replies = None
                self._give_up_lost()
            await asyncio.sleep(REJOIN_SECONDS)

    async def _read(self, replies: Subscription) -> NoReturn:
        loop = asyncio.get_running_loop()
        last: dict[int, Record] = {}  # by partition: what the next commit names
        commit_at = loop.time() + COMMIT_SECONDS
        while True:
            for record in await replies.batch(max_records=REPLIES_COUNT_MAX, wait_seconds=LOOK_SECONDS):
                self._take(record)
                last[record.partition] = record
            self._give_up_lost()
            if last and loop.time() >= commit_at:
                await replies.commit(list(last.values()))
                last, commit_at = {}, loop.time() + COMMIT_SECONDS

    def _take(self, record: Record) -> None:
        try:
            reply = _replies.decode(record.value)
        except UNREADABLE:
            self._telemetry.event("reply-malformed")
            return
        waiter = self._waiting.get(reply.id)
        if waiter is not None and not waiter.answer.done():  # else late, or read again
            waiter.answer.set_result(reply.answer)

    def _give_up_lost(self) -> None:
        owned = self._owned()
        for waiter in self._waiting.values():
            if waiter.partition not in owned:
                waiter.give_up("the replies went to another edge")

    def _owned(self) -> frozenset[int]:
        return self._replies.owned(REPLIES) if self._replies is not None else frozenset()


AnswerBatch = Callable[[Sequence[Question]], Awaitable[list[Answer]]]


class RequestServer:
    """Inner's side: takes questions in batches, answers them, and only then says that they are done."""

    def __init__(self, bus: Bus, answer_batch: AnswerBatch, clock: Clock, telemetry: Telemetry, *, insider: Insider | None = None) -> None:
        """Answer by `answer_batch`; `insider` says to edges how this process is: without one, that nothing is missing."""
        self._bus = bus
        self._answer_batch = answer_batch
        self._clock = clock
        self._telemetry = telemetry
        self._insider = insider or Insider("inner", list)

    async def run(self, stopping: asyncio.Event | None = None) -> None:
        """Serve until `stopping`, the questions taken before answered; join again after the bus has failed.

        A question cut short, by a cancellation, comes again to another inner.
        """
        stopping = stopping or asyncio.Event()
        while not stopping.is_set():
            try:
                async with self._bus.subscribe([REQUESTS], group=REQUESTS_GROUP) as requests:
                    while not stopping.is_set():
                        records = await requests.batch(max_records=BATCH_COUNT_MAX, wait_seconds=TAKE_SECONDS)
                        asked = self._decoded(records)
                        if words := self._say(asked):  # before the rest: a store that does not answer holds up that
                            await self._publish(words)
                        if replies := await self._answer([request for request in asked if request.question.kind != READY]):
                            await self._publish(replies)
                        await requests.commit(records)
            except BusUnavailableError as exc:
                self._telemetry.event("bus-unavailable", code=str(exc))
                await wait(stopping, REJOIN_SECONDS)

    async def _publish(self, replies: Sequence[Outgoing]) -> None:
        """Publish replies; one whose question named a partition that does not exist is dropped, and takes no other with it."""
        try:
            await self._bus.publish(replies)
        except NoPartitionError:
            self._telemetry.event("request-malformed")
            if len(replies) > 1:
                middle = len(replies) // 2
                await self._publish(replies[:middle])
                await self._publish(replies[middle:])

    def _decoded(self, records: Sequence[Record]) -> list[Request]:
        found: list[Request] = []
        latest = self._clock.now() + timedelta(seconds=DEADLINE_SECONDS_MAX)
        for record in records:
            try:
                request = _requests.decode(record.value)
            except UNREADABLE:
                self._telemetry.event("request-malformed")
                continue
            if request.deadline <= latest:
                found.append(request)
            else:
                self._telemetry.event("request-deadline-too-far")
        return found

    def _say(self, asked: Sequence[Request]) -> list[Outgoing]:
        """Answer edges that ask how we are: late ones, too, for an edge whose clock is behind must hear that; not those long forgotten."""
        now = self._clock.now()
        oldest = now - timedelta(seconds=DEADLINE_SECONDS_MAX)
        return [
            _reply(request, self._insider.answer(late=request.deadline <= now))
            for request in asked
            if request.question.kind == READY and request.deadline > oldest
        ]

    async def _answer(self, requests: Sequence[Request]) -> list[Outgoing]:
        """Answer what is still waited for; while the store does not work, try until nobody waits any more."""
        while waited := [request for request in requests if request.deadline > self._clock.now()]:
            try:
                answers = await self._answer_batch([request.question for request in waited])
            except OperatorError as exc:
                self._telemetry.event("answer-failed", code=type(exc).__name__, count=len(waited))
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return [_reply(request, answer) for request, answer in zip(waited, answers, strict=True)]
        return []


def _reply(request: Request, answer: Answer) -> Outgoing:
    value = _encode(Reply(request.id, answer))
    if len(value) > RECORD_BYTES_MAX:  # polls are cut before: one that is not must not stop the others
        value = _encode(Reply(request.id, TOO_LARGE))
    return Outgoing(REPLIES, request.id, value, partition=request.partition)
