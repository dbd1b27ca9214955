"""Places at an edge that senders share: a flood of one leaves room for the others.

Who sends is what the request says of itself and where it comes from: nobody has checked that here. So a stranger that borrows a
partner's name takes places of that name from its own address alone, and what counts against the partner itself is counted in inner,
after its signature.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from gateway.contract.values import PartnerId
from gateway.core import jose, strict_json
from gateway.core.problems import RefusedInputError, TooManyError

WAIT_SECONDS: Final = 1  # asked of a sender that has its share: places are given back within a second or two


@dataclass(frozen=True, slots=True)
class Sender:
    """Who a request says it is from, and from which address it came."""

    name: str
    address: str


def sender_of(request: web.Request, *, mtls: PartnerId | None, token: str | None) -> Sender:
    """Return whose places a request takes: of the certificate that TLS verified, else of the issuer its token names."""
    return Sender(mtls or _issuer(token), request.remote or "")


def _issuer(token: str | None) -> str:
    try:
        iss = strict_json.parse_object(jose.b64decode((token or "").split(".")[1].encode("ascii"))).get("iss")
    except (IndexError, UnicodeEncodeError, RefusedInputError):
        return ""
    return iss if isinstance(iss, str) else ""


@dataclass(slots=True)
class Places:
    """So many places in all, and so many for each sender."""

    total: int
    share: int
    count: int = 0  # taken in all
    taken: dict[Sender, int] = field(default_factory=dict)  # by whom

    def is_free(self, sender: Sender) -> bool:
        """Say whether a sender may take one."""
        return self.count < self.total and self.taken.get(sender, 0) < self.share

    @contextmanager
    def take(self, sender: Sender, full: Exception) -> Iterator[None]:
        """Hold a place. Raises `full` where all are taken, `TooManyError` where the sender has its share."""
        if self.count >= self.total:
            raise full
        if self.taken.get(sender, 0) >= self.share:
            raise TooManyError("too many of your requests are under way", WAIT_SECONDS)
        self._change(sender, 1)
        try:
            yield
        finally:
            self._change(sender, -1)

    def _change(self, sender: Sender, by: int) -> None:
        self.count += by
        left = self.taken.pop(sender, 0) + by
        if left:
            self.taken[sender] = left
