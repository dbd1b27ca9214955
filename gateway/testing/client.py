"""The partner's half of the API: submit, check receipts, poll, ask. Used by tests, the demonstration and the command line.

It believes nothing that is not signed: receipts and rejections are verified with the gateway's keys as the partner has pinned them, never
with keys fetched from the gateway's own address.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Self
from urllib.parse import urlencode

import aiohttp
import msgspec
from yarl import URL

from gateway.app.ports import Clock, Dice
from gateway.contract.errors import PartnerError
from gateway.contract.values import Jti, PartnerId
from gateway.core import receipts, tokens
from gateway.core.keyring import Keyring
from gateway.core.keys import EncryptionKey, SigningKey, Use, VerifyKey
from gateway.core.next_key import next_key_claims
from gateway.core.receipts import Statement
from gateway.core.request_tokens import HttpRequest, request_claims
from gateway.ops.system import SystemClock, SystemDice

JOSE: Final = "application/jose"
JSON_LINES: Final = "application/jsonl"


class AnswerError(PartnerError):
    """The gateway answered what it should not: another status, or a statement that is not about what was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who the client is, and whom it talks to."""

    partner: PartnerId
    gateway: PartnerId
    request_key: SigningKey = field(repr=False)
    gateway_keys: Keyring  # pinned: receipts are verified with these


@dataclass(frozen=True, slots=True)
class Response:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def value(self) -> Any:
        """The body as JSON."""
        return msgspec.json.decode(self.body)

    @property
    def problems(self) -> list[dict[str, Any]]:
        """The faults of a problem; none where it is no problem."""
        if not self.headers.get("Content-Type", "").startswith("application/problem+json"):
            return []
        found: list[dict[str, Any]] = self.value["errors"]
        return found


@dataclass(frozen=True, slots=True)
class LineAnswer:
    """The answer to one line of many."""

    line: int
    status: int
    receipt: bytes | None
    problem: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Batch:
    """What a poll brought: sealed tokens by their `jti`."""

    sets: Mapping[Jti, bytes]
    more_available: bool


class PartnerClient:
    """Talks to one gateway for one partner. An async context manager."""

    def __init__(
        self, origin: str, identity: Identity, *, tls: ssl.SSLContext | bool = True, clock: Clock | None = None, dice: Dice | None = None
    ) -> None:
        """Talk to `origin`: scheme, host and port, as the gateway knows itself. `tls` has the pinned authority and a client certificate."""
        self._origin, self._identity, self._tls = origin.rstrip("/"), identity, tls
        self._clock, self._dice = clock or SystemClock(), dice or SystemDice()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open; connections are made when needed."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def submit(self, token: bytes) -> Response:
        """Submit one token: 202 with the receipt, 200 where it is a repeat, or a problem."""
        return await self.request("POST", "/v1/messages", body=token, media_type=JOSE)

    async def submit_lines(self, submitted: Sequence[bytes]) -> list[LineAnswer]:
        """Submit many tokens at once; return an answer for each, in order. Raises `AnswerError` where the body as a whole was not taken."""
        body = b"".join(msgspec.json.encode(token.decode("ascii")) + b"\n" for token in submitted)
        response = await self.request("POST", "/v1/messages", body=body, media_type=JSON_LINES)
        if response.status != 200:
            raise AnswerError("status", response.status)
        return [_line(msgspec.json.decode(line)) for line in response.body.splitlines()]

    async def poll(
        self,
        *,
        max_events: int | None = None,
        wait: bool = False,
        ack: Sequence[Jti] = (),
        errors: Mapping[Jti, str] = MappingProxyType({}),
    ) -> Batch:
        """Acknowledge and fetch (RFC 8936). Raises `AnswerError` for anything but 200."""
        asked: dict[str, Any] = {"returnImmediately": not wait, "ack": list(ack)}
        asked |= {} if max_events is None else {"maxEvents": max_events}
        asked |= {"setErrs": {jti: {"err": err, "description": err} for jti, err in errors.items()}} if errors else {}
        response = await self.request("POST", "/v1/poll", body=msgspec.json.encode(asked), media_type="application/json")
        if response.status != 200:
            raise AnswerError("status", response.status)
        return Batch({Jti(jti): sealed.encode() for jti, sealed in response.value["sets"].items()}, response.value["moreAvailable"])

    async def status(self, jti: Jti) -> Response:
        """Ask what became of a message."""
        return await self.request("GET", f"/v1/messages/{jti}")

    async def receipt(self, jti: Jti) -> Response:
        """Fetch the stored receipt of an own message."""
        return await self.request("GET", f"/v1/messages/{jti}/receipt")

    async def submit_key(
        self, entry: VerifyKey | EncryptionKey, private: SigningKey | None, *, current: SigningKey, by: VerifyKey
    ) -> Response:
        """Submit the next key: `private` is its private half, none of a key to encrypt to; `current` signs, and `by` is its public half.

        202 where it waits for approval from now on, 200 where it is known: `thumbprint` and `state`.
        """
        now, who = self._clock.now(), self._identity
        claims = next_key_claims(entry, private, by=by, aud=who.gateway, jti=self._dice.uuid7(now), now=now)
        return await self.request("POST", "/v1/keys", body=tokens.sign(claims, current, typ=tokens.KEY), media_type=JOSE)

    async def get(self, path: str, parameters: Mapping[str, str] = MappingProxyType({})) -> Response:
        """Ask for anything else, such as a proof."""
        return await self.request("GET", path, query=urlencode(parameters))

    def read_receipt(self, receipt: bytes, submitted: bytes) -> Statement:
        """Return what a receipt says about the signed message `submitted` (the JWS, before it was encrypted).

        Raises `RefusedInputError` where the gateway has not signed it, `AnswerError` where it speaks of other bytes.
        """
        return self._statement(receipt, submitted, tokens.RECEIPT)

    def read_rejection(self, rejection: bytes, submitted: bytes) -> Statement:
        """Return what a rejection says about `submitted`. Raises as `read_receipt` does."""
        return self._statement(rejection, submitted, tokens.REJECTION)

    def _statement(self, raw: bytes, submitted: bytes, typ: str) -> Statement:
        who = self._identity
        token = tokens.unwrap(raw, {}, typ=typ, encrypted="allowed")
        verified = tokens.verify(token, who.gateway_keys.find(who.gateway, token.kid, use=Use.RECEIPT))
        statement = receipts.read_statement(verified, reader=who.partner)
        if statement.received.signer != who.partner or statement.received.digest != tokens.digest_of(submitted):
            raise AnswerError("statement", "is about another message")
        return statement

    async def request(self, method: str, path: str, *, query: str = "", body: bytes = b"", media_type: str | None = None) -> Response:
        """Make any request, signed for exactly this: method, address, query and body."""
        if self._session is None:
            raise AnswerError("client", "is not open")
        asked = HttpRequest(method, self._origin + path, query.encode(), body)
        headers = {"Authorization": f"Bearer {self.request_token(asked)}"}
        if media_type is not None:
            headers["Content-Type"] = media_type
        url = URL(self._origin + path + (f"?{query}" if query else ""), encoded=True)
        async with self._session.request(method, url, data=body or None, headers=headers, allow_redirects=False) as response:
            return Response(response.status, dict(response.headers), await response.read())

    def request_token(self, asked: HttpRequest) -> str:
        """Return a token for one request: good for a minute, once."""
        now = self._clock.now()
        who = self._identity
        claims = request_claims(asked, iss=who.partner, aud=who.gateway, jti=self._dice.uuid7(now), now=now)
        return tokens.sign(claims, who.request_key, typ=tokens.REQUEST).decode()


def sealed_message(claims: Mapping[str, object], key: SigningKey, gateway: EncryptionKey) -> tuple[bytes, bytes]:
    """Return a message as a compact JWS, and the JWE of it that is submitted."""
    jws = tokens.sign(claims, key, typ=tokens.EVENT)
    return jws, tokens.encrypt(jws, gateway)


def _line(found: Mapping[str, Any]) -> LineAnswer:
    receipt = found.get("receipt")
    return LineAnswer(found["line"], found["status"], receipt.encode() if receipt is not None else None, found.get("problem"))
