"""What every handler needs: the desk with its bounds, the public documents, and the reading of bodies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from aiohttp import web

from gateway.api import auth
from gateway.api.places import Places, Sender, sender_of
from gateway.app.ports import Answer, Clock, Desk, DeskUnavailableError, Question, Telemetry
from gateway.contract.values import PartnerId
from gateway.core.problems import Code, MalformedError

Readiness = Callable[[], Awaitable[list[str]]]
_CHUNK_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one edge takes on at once, and how long it waits."""

    answer_seconds: float = 10  # for inner to answer one question
    body_seconds: float = 15  # for a body to arrive: a slow sender must not hold a place
    poll_seconds: float = 25  # of a long poll: below the 30 s after which many middle boxes cut
    poll_pause_seconds: float = 0.5  # between two asks of a long poll
    questions_max: int = 256  # under way at inner at once: then 503
    polls_max: int = 512  # waiting at once: then a poll is answered at once
    bodies_max: int = 4  # JSON-lines bodies in memory at once: then 503
    lines_at_once_max: int = 32  # questions of one JSON-lines body under way
    senders_min: int = 4  # who must be able to come at once: a sender that takes more than its part of questions gets 429
    polls_share: int = 32  # polls of one sender that wait
    bodies_share: int = 2  # JSON-lines bodies of one sender

    @property
    def questions_share(self) -> int:
        """Questions of one sender under way."""
        return max(self.questions_max // self.senders_min, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicInfo:
    """Documents anybody may read. A convenience: no trust comes from where they were fetched."""

    jwks: bytes
    key_set: bytes  # signed by the root key (gw-keys+jwt)
    schemas: Mapping[str, bytes]  # path below /v1/schemas/ → JSON
    problems: Mapping[str, bytes]  # code → Markdown
    openapi: bytes


@dataclass(slots=True, kw_only=True)
class Edge:
    """One edge. `clients` is hex SHA-256 of a client certificate → partner."""

    desk: Desk
    clock: Clock
    telemetry: Telemetry
    public: PublicInfo
    readiness: Readiness
    bounds: Bounds = field(default_factory=Bounds)
    clients: Mapping[str, PartnerId] = field(default_factory=dict)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    questions: Places = field(init=False)
    polls: Places = field(init=False)
    bodies: Places = field(init=False)

    def __post_init__(self) -> None:
        """Make the places that senders share."""
        self.questions = Places(self.bounds.questions_max, self.bounds.questions_share)
        self.polls = Places(self.bounds.polls_max, self.bounds.polls_share)
        self.bodies = Places(self.bounds.bodies_max, self.bounds.bodies_share)

    async def ask(self, question: Question, sender: Sender) -> Answer:
        """Return inner's answer. Raises `DeskUnavailableError` at once where too much is under way, or when inner is late.

        Raises `TooManyError` at once where too much of this sender's is under way.
        """
        with self.questions.take(sender, DeskUnavailableError("queue full")):
            return await self.desk.ask(question, deadline=self.clock.now() + timedelta(seconds=self.bounds.answer_seconds))

    async def ask_for(self, request: web.Request, kind: str, body: bytes = b"") -> Answer:
        """Return inner's answer to one request: see `question` and `ask`."""
        question = self.question(request, kind, body)
        return await self.ask(question, sender_of(request, mtls=question.mtls, token=question.token))

    def question(self, request: web.Request, kind: str, body: bytes = b"") -> Question:
        """Return `request` as a question. Path and query as they came: the request token signs these very bytes.

        Raises `MalformedError` for an address that is not a path, `UntrustedError` for an Authorization header or certificate not ours.
        """
        path, _, query = request.raw_path.partition("?")
        if not path.startswith("/") or not request.raw_path.isascii():
            raise MalformedError("the address is not a path", code=Code.REQUEST_INVALID, expected="origin-form (RFC 9112, section 3.2.1)")
        return Question(
            kind=kind,
            method=request.method,
            path=path,
            query=query,
            token=auth.bearer(request),
            body=body,
            mtls=auth.peer(request, self.clients),
        )

    async def read(self, request: web.Request, bytes_max: int) -> bytes:
        """Return the body. Raises `MalformedError` where it is too large, packed, or does not arrive in time."""
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise MalformedError("the body is packed", code=Code.MEDIA_TYPE_WRONG, expected="no Content-Encoding")
        body = bytearray()
        try:
            async with asyncio.timeout(self.bounds.body_seconds):
                while len(body) <= bytes_max and (request.content_length or 0) <= bytes_max:
                    chunk = await request.content.read(_CHUNK_BYTES)
                    if not chunk:
                        return bytes(body)
                    body += chunk
        except TimeoutError as exc:
            raise MalformedError("the body did not arrive in time", code=Code.REQUEST_INVALID) from exc
        raise MalformedError("the body is too large", code=Code.MESSAGE_TOO_LARGE, expected=f"at most {bytes_max} bytes")


EDGE: Final = web.AppKey("edge", Edge)


def media_type(request: web.Request, *accepted: str) -> str:
    """Return the body's media type. Raises `MalformedError` unless it is one of `accepted`."""
    found = request.content_type if "Content-Type" in request.headers else ""
    if found not in accepted:
        raise MalformedError("this media type is not taken here", code=Code.MEDIA_TYPE_WRONG, expected=" or ".join(accepted))
    return found
