"""How a partner stands with the desk, as its operators say: rows say it, so that it holds over restarts and in every inner."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from gateway.contract.values import LegId
from gateway.core.circuit import REST, Circuit

VERIFICATION: Final = "https://schemas.openid.net/secevent/ssf/event-type/verification"  # OpenID SSF 1.0, section 8.1.4
ANSWERED: Final = "delivered"  # a check's code where all went well


class Standing(StrEnum):
    """Whether a partner's legs go."""

    OPEN = "open"
    PAUSED = "paused"  # nothing is claimed: its legs wait in their lines
    SUSPENDED = "suspended"  # its legs are held when their turn comes


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What a partner lost: taken from `since` on, and due before `until`, when somebody asked."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What is known of a partner beside its profile and its legs."""

    standing: Standing = Standing.OPEN
    circuit: Circuit = REST
    check_id: LegId | None = None  # the last check
    checked_at: datetime | None = None
    check_code: str | None = None  # what became of it; None while nobody knows
    oldest_due: datetime | None = None
