"""An operator's half of the admin listener: sign a command, send it, read the answer. Used by tests and the command line."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

import aiohttp

from gateway.app.ports import Clock, Dice
from gateway.contract.values import PartnerId
from gateway.core import tokens
from gateway.core.commands import command_claims
from gateway.core.keys import SigningKey
from gateway.core.operators import Command
from gateway.ops.system import SystemClock, SystemDice
from gateway.testing.client import AnswerError, Response

PATH: Final = "/v1/commands"
_NOTHING: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorIdentity:
    """Who the operator is, and whom they command."""

    operator: str
    gateway: PartnerId
    key: SigningKey = field(repr=False)


class OperatorClient:
    """Talks to one gateway for one operator. An async context manager."""

    def __init__(
        self,
        url: str,
        identity: OperatorIdentity,
        *,
        tls: ssl.SSLContext | bool = True,
        clock: Clock | None = None,
        dice: Dice | None = None,
    ) -> None:
        """Talk to the admin listener at `url`: scheme, host and port."""
        self._url, self._identity, self._tls = url.rstrip("/"), identity, tls
        self._clock, self._dice = clock or SystemClock(), dice or SystemDice()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open; connections are made when needed."""
        connector = aiohttp.TCPConnector(ssl=self._tls)
        self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def token(self, command: Command, arguments: Mapping[str, Any] = _NOTHING, *, justification: str = "", file: str = "") -> bytes:
        """Return a signed command: good for a minute, once."""
        now, who = self._clock.now(), self._identity
        claims = command_claims(
            command,
            arguments,
            iss=who.operator,
            aud=who.gateway,
            jti=self._dice.uuid7(now),
            now=now,
            justification=justification,
            file=file,
        )
        return tokens.sign(claims, who.key, typ=tokens.COMMAND)

    async def command(self, command: Command, arguments: Mapping[str, Any] = _NOTHING, **why: str) -> Response:
        """Have a command carried out; `why` are `justification` and `file`."""
        return await self.send(self.token(command, arguments, **why))

    async def send(self, token: bytes) -> Response:
        """Send a token as it is."""
        if self._session is None:
            raise AnswerError("client", "is not open")
        headers = {"Content-Type": "application/jwt"}
        async with self._session.post(self._url + PATH, data=token, headers=headers, allow_redirects=False) as response:
            return Response(response.status, dict(response.headers), await response.read())
