"""A listener on a real socket, and a desk that answers as it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp.test_utils import TestClient, TestServer
from pytest_aiohttp import AiohttpClient

from gateway.api import app, public
from gateway.api.edge import Bounds, Edge, PublicInfo
from gateway.app.ports import Answer, DeskUnavailableError, Question
from gateway.contract.values import PartnerId
from gateway.core.problems import Code

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TOKEN = "e30.e30.e30"
RECEIPT = b"e30.cmVjZWlwdA.c2ln"
EMPTY = Answer(outcome="ok", body=b'{"sets":{},"moreAvailable":false}')
Script = Callable[[Question], Awaitable[Answer]]


def problem(code: Code, *, rejection: str | None = None, **more: object) -> Answer:
    """A problem as inner says it."""
    found = {
        "code": code,
        "detail": "something is wrong",
        "expected": "",
        "pointer": None,
        "claim": None,
        "rule": None,
        "severity": "error",
    }
    return Answer(outcome="problem", body=json.dumps({"problems": [{**found, **more}], "rejection": rejection}).encode(), code=code)


class FixedClock:
    def now(self) -> datetime:
        return NOW


@dataclass
class FakeDesk:
    """Implements the port. `answers` go one each to the next questions, then `then` goes to all."""

    then: Answer = field(default_factory=lambda: Answer(outcome="accepted", body=RECEIPT, media_type="application/jwt"))
    answers: list[Answer | Exception] = field(default_factory=list)
    script: Script | None = None
    questions: list[Question] = field(default_factory=list)
    deadlines: list[datetime] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0

    async def ask(self, question: Question, *, deadline: datetime) -> Answer:
        self.questions.append(question)
        self.deadlines.append(deadline)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(0)
            if self.script is not None:
                return await self.script(question)
            answer = self.answers.pop(0) if self.answers else self.then
            if isinstance(answer, Exception):
                raise answer
            return answer
        finally:
            self.under_way -= 1


@dataclass
class Seen:
    """Implements the telemetry port."""

    events: list[tuple[str, str | None]] = field(default_factory=list)

    def event(self, name: str, *, code: str | None = None, **_: object) -> None:
        self.events.append((name, code))


PUBLIC = PublicInfo(
    jwks=b'{"keys":[]}',
    key_set=b"e30.a2V5cw.c2ln",
    schemas={"families/travel-notification/1.0.json": b'{"$id":"x"}'},
    problems={code.value: f"## {code.value}\n".encode() for code in Code},
    openapi=public.openapi(),
)
Client = TestClient[object, object]


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk()


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def missing() -> list[str]:
    return []


@pytest.fixture
def bounds() -> Bounds:
    return Bounds(answer_seconds=5, body_seconds=2, poll_seconds=0.3, poll_pause_seconds=0.02)


@pytest.fixture
def edge(desk: FakeDesk, seen: Seen, missing: list[str], bounds: Bounds) -> Edge:
    async def readiness() -> list[str]:
        return missing

    return Edge(
        desk=desk, clock=FixedClock(), telemetry=seen, public=PUBLIC, readiness=readiness, bounds=bounds,
        clients={"00": PartnerId("no-register")},
    )  # fmt: skip


@pytest.fixture
async def client(edge: Edge, aiohttp_client: AiohttpClient) -> Client:
    return await aiohttp_client(TestServer(app.create(edge)))


__all__ = ["DeskUnavailableError", "timedelta"]
