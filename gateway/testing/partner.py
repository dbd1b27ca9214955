"""The other side, simulated: a receiver of RFC 8935 over real TLS that opens, verifies and remembers, and can misbehave."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count, cycle
from pathlib import Path
from typing import Final, Self

from aiohttp import web

from gateway.contract.values import Jti, KeyId, PartnerId
from gateway.core import tokens
from gateway.core.keyring import Keyring
from gateway.core.keys import DecryptionKey, Use
from gateway.core.limits import SEALED_BYTES_MAX
from gateway.core.problems import RefusedInputError, UntrustedError
from gateway.core.tokens import Verified

PATH: Final = "/events"
_CHUNK: Final = b"x" * 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Opener:
    """What a partner needs to read what the gateway sends: its own decryption keys, and the gateway's public ones."""

    me: PartnerId
    gateway: PartnerId
    keyring: Keyring
    decryption_keys: Mapping[KeyId, DecryptionKey] = field(repr=False)

    def open(self, raw: bytes) -> Verified:
        """Return the gateway's document in `raw`. Raises `RefusedInputError` unless it is encrypted and signed for this partner."""
        token = tokens.unwrap(raw, self.decryption_keys, typ=tokens.EVENT, encrypted="required")
        verified = tokens.verify(token, self.keyring.find(self.gateway, token.kid, use=Use.DOCUMENT))
        if verified.claims.get("iss") != self.gateway or verified.claims.get("aud") != self.me:
            raise UntrustedError("not from the gateway to this partner")
        return verified


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How the simulator answers one request. Left alone, it does as RFC 8935 says."""

    status: int | None = None  # answer this without keeping anything; None: take the token
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay_seconds: float = 0
    drop: bool = False  # cut the connection before anything is kept
    lose_answer: bool = False  # keep the token, then cut the connection
    truncate: bool = False  # promise a longer body than is sent
    endless: bool = False  # never end the body
    endless_headers: bool = False  # never come to the body
    trickle: bool = False  # an answer that comes byte by byte, a second between each two


GOOD: Final = Behaviour()
LOST: Final = Behaviour(lose_answer=True)
DROPPED: Final = Behaviour(drop=True)
SLOW: Final = Behaviour(delay_seconds=30)  # longer than anybody waits
STRANGER: Final = Behaviour(status=403)  # it does not know us: nothing arrives, whatever it is
MIDWAY: Final = Behaviour(status=400, body=b'{"err":', truncate=True)
ENDLESS: Final = Behaviour(status=400, endless=True)
TRICKLING: Final = Behaviour(trickle=True)
HEADLONG: Final = Behaviour(endless_headers=True)
FLAPPING: Final = (*[DROPPED] * 7, *[GOOD] * 3)  # for `repeat`


@dataclass(slots=True)
class Received:
    """What came under one `jti`."""

    jti: Jti
    digest: str  # of the signing input; without an opener, of the body
    copies: int = 1
    verified: Verified | None = None
    at: float = field(default_factory=time.monotonic)  # when the first copy came


class PartnerSimulator:
    """A partner's push endpoint. An async context manager; `url` is where it listens."""

    def __init__(
        self, certificate: Path, *, opener: Opener | None = None, client_ca: Path | None = None, token: str | None = None, port: int = 0
    ) -> None:
        """Take key and chain for TLS, and what opens the documents. `client_ca` asks for mutual TLS, `token` for a bearer token.

        `port` is the one that the partner's profile names; 0: any free one.
        """
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=client_ca)
        self._tls.load_cert_chain(certificate)
        if client_ca is not None:
            self._tls.verify_mode = ssl.CERT_REQUIRED
        self._opener = opener
        self._token = token
        self._runner: web.AppRunner | None = None
        self._port = port
        self._arrived = asyncio.Event()
        self._script: deque[Behaviour] = deque()
        self._cycle: Iterator[Behaviour] | None = None
        self.behaviour = GOOD  # of every request that no `play` covers
        self.requests: list[web.BaseRequest] = []  # all that came, for their headers
        self.received: dict[Jti, Received] = {}
        self.conflicts: list[Jti] = []  # one jti with another content: must stay empty
        self.refused: list[str] = []  # codes of what did not open or verify

    async def __aenter__(self) -> Self:
        """Listen on loopback, on a free port."""
        await self.accept_connections()
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Stop listening and cut what is open."""
        await self.refuse_connections()

    @property
    def url(self) -> str:
        """The endpoint, with a host name as a profile has it."""
        return f"https://localhost:{self._port}{PATH}"

    @property
    def port(self) -> int:
        """The port it listens at; it stays the same while connections are refused."""
        return self._port

    def play(self, behaviours: Iterable[Behaviour]) -> None:
        """Answer the next requests so, one each; then as `behaviour` says."""
        self._script.extend(behaviours)

    def repeat(self, behaviours: Sequence[Behaviour]) -> None:
        """Answer all requests that no `play` covers by these in turn, again and again."""
        self._cycle = cycle(behaviours)

    async def refuse_connections(self) -> None:
        """Close the port and every open connection."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def accept_connections(self) -> None:
        """Open the port again: the same as before."""
        app = web.Application(client_max_size=SEALED_BYTES_MAX)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=self._tls, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def until_asked(self, count: int, *, timeout_seconds: float = 30) -> None:
        """Wait until `count` requests have come, whatever is answered."""
        async with asyncio.timeout(timeout_seconds):
            while len(self.requests) < count:
                self._arrived.clear()
                await self._arrived.wait()

    async def until_received(self, count: int, *, timeout_seconds: float = 30) -> None:
        """Wait until `count` different tokens have come."""
        async with asyncio.timeout(timeout_seconds):
            while len(self.received) < count:
                self._arrived.clear()
                await self._arrived.wait()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        how = self._next()
        self.requests.append(request)
        self._arrived.set()
        body = await request.read()
        if how.delay_seconds:
            await asyncio.sleep(how.delay_seconds)
        if how.drop:
            return _cut(request)
        if how.endless_headers or how.trickle:
            return await _write_raw(request, how)
        if how.endless or how.truncate:
            return await _misanswer(request, how)
        if how.status is not None:
            return web.Response(status=how.status, headers=how.headers, body=how.body)
        answer = self._take(request, body)
        return _cut(request) if how.lose_answer else answer

    def _next(self) -> Behaviour:
        if self._script:
            return self._script.popleft()
        return self.behaviour if self._cycle is None else next(self._cycle)

    def _take(self, request: web.Request, body: bytes) -> web.Response:
        if self._token is not None and request.headers.get("Authorization") != f"Bearer {self._token}":
            return self._refuse("authentication_failed")
        if request.method != "POST" or request.path != PATH or request.content_type != "application/secevent+jwt":
            return self._refuse("invalid_request")
        try:
            verified = self._opener.open(body) if self._opener is not None else None
        except UntrustedError:
            return self._refuse("invalid_key")
        except RefusedInputError:
            return self._refuse("invalid_request")
        digest = verified.digest if verified is not None else sha256(body).hexdigest()
        if not self._keep(verified.jti if verified is not None else Jti(digest), digest, verified):
            return self._refuse("invalid_request")
        return web.Response(status=202)

    def _keep(self, jti: Jti, digest: str, verified: Verified | None) -> bool:
        known = self.received.setdefault(jti, Received(jti, digest, 0, verified))
        if known.digest != digest:
            self.conflicts.append(jti)
            return False
        known.copies += 1
        self._arrived.set()
        return True

    def _refuse(self, code: str) -> web.Response:
        self.refused.append(code)
        body = {"err": code, "description": "text that must not be kept: Ola Nordmann"}
        return web.json_response(body, status=400, headers={"Content-Language": "en"})


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)  # goes nowhere: the connection is gone


async def _misanswer(request: web.Request, how: Behaviour) -> web.StreamResponse:
    response = web.StreamResponse(status=how.status or 400, headers={"Content-Type": "application/json", **how.headers})
    if how.truncate:
        response.content_length = len(how.body) + 100
    await response.prepare(request)
    await response.write(how.body)
    if how.truncate:
        return _cut_stream(request, response)
    try:
        while True:
            await response.write(_CHUNK)
    except ConnectionError:
        return response


async def _write_raw(request: web.Request, how: Behaviour) -> web.StreamResponse:
    """Write an answer past the library, which would not write such a one, until the other side has enough of it."""
    wire = request.transport
    if wire is None:
        return web.Response(status=500)
    wire.write(b"HTTP/1.1 202 Accepted\r\n")
    for number in count():
        if wire.is_closing():
            break
        wire.write(b"x" if how.trickle else b"x-%d: %s\r\n" % (number, b"y" * 1_000))
        await asyncio.sleep(1 if how.trickle else 0)
    return _cut(request)


def _cut_stream(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return response
