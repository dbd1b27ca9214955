"""What a transport is: one bounded attempt to hand a sealed document over. Does I/O; core must not import it."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import final

from gateway.contract.errors import DeliveryError
from gateway.contract.values import Sealed


class Outcome(StrEnum):
    """What the partner's side said to one attempt."""

    DELIVERED = "delivered"  # the transport said yes
    FAILED = "failed"  # try again: time-out, connection, 5xx, 429
    REFUSED = "refused"  # the partner says this document is wrong: no retry will mend it


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one attempt. `code` is a short word for people (RFC 8935 `err`, or ours); never the partner's free text."""

    outcome: Outcome
    code: str = ""
    retry_after: timedelta | None = None


class Transport(ABC):
    """One partner's way of taking documents. Opened once, used for many attempts, closed once."""

    @final
    async def deliver(self, item: Sealed, timeout_seconds: float) -> Reply:
        """Make one attempt within `timeout_seconds`. Raises `DeliveryError` for anything the adapter's library throws.

        A `DeliveryError` leaves open whether the partner has the document: it counts as possibly delivered.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._send(item)
        except TimeoutError as exc:
            raise DeliveryError("timeout") from exc
        except DeliveryError:
            raise
        except Exception as exc:  # contract guard: whatever the adapter's library throws becomes one kind
            raise DeliveryError(type(exc).__name__) from exc

    @abstractmethod
    async def _send(self, item: Sealed) -> Reply:
        """Hand `item` over and report what the partner's side said."""

    async def close(self) -> None:  # noqa: B027 -- nothing to close is a legitimate default
        """Release connections."""
