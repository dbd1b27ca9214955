"""The words of the gateway as types: what core, shells and adapters all speak of.

Standard library only, because adapters of other people build against it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NewType

PartnerId = NewType("PartnerId", str)  # [a-z0-9-]{2,32}: it goes into topic names
KeyId = NewType("KeyId", str)
Jti = NewType("Jti", str)  # of a token: UUIDv7
LegId = NewType("LegId", str)  # UUIDv7
SubjectKey = NewType("SubjectKey", str)  # HMAC over (channel's partner, subject.iss, subject.ref), see app/safe.py
Country = NewType("Country", str)  # ISO 3166-1 alpha-2, or XK


class Lane(StrEnum):
    """The lanes of delivery: `routing.priority`, slowest first."""

    ROUTINE = "routine"
    PRIORITY = "priority"
    IMMEDIATE = "immediate"

    @property
    def rank(self) -> int:
        """Order among lanes: a greater rank overtakes a smaller one."""
        return LANES.index(self)


LANES: Sequence[Lane] = (Lane.ROUTINE, Lane.PRIORITY, Lane.IMMEDIATE)


class Environment(StrEnum):
    """What a message, a profile and a gateway are for; the three never mix (R-GEN-16)."""

    PRODUCTION = "PRODUCTION"
    ACCEPTANCE = "ACCEPTANCE"
    TEST = "TEST"


class Role(StrEnum):
    """Why a country or partner is a recipient (domain.md b.0, `routing.recipients`)."""

    DESTINATION = "DESTINATION"
    TRANSIT = "TRANSIT"
    NATIONALITY = "NATIONALITY"
    RESIDENCE = "RESIDENCE"
    HUB = "HUB"
    INTEREST = "INTEREST"
    NAMED = "NAMED"
    SAFEGUARDING = "SAFEGUARDING"
    REPLY = "REPLY"  # ours: the sender of what an acknowledgement answers (R-RTE-07)


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """A message reference: who issued it, and its `jti`."""

    iss: PartnerId
    jti: Jti


@dataclass(frozen=True, slots=True, order=True)
class Family:
    """A message family in one schema version."""

    name: str
    version: str  # major.minor


@dataclass(frozen=True, slots=True)
class Removed:
    """A field group taken out of a view, and why (domain.md d.15)."""

    group: str
    reason: str
    because: tuple[str, ...]  # ids of the policies that said so; ("default-deny",) where none did


@dataclass(frozen=True, slots=True)
class View:
    """A message minimised for one partner: what a format renders.

    `event` is the value of the one member of `events` (handling, routing, subject, body, …), without what was removed.
    """

    family: Family
    event: Mapping[str, Any]
    removed: tuple[Removed, ...]
    environment: Environment


@dataclass(frozen=True, slots=True)
class Document:
    """A view rendered in a partner's format: the value of one member of `events`."""

    event_uri: str
    event: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sealed:
    """A signed and encrypted document on its way: what the outer zone may hold. No personal data in clear."""

    leg_id: LegId
    jti: Jti
    partner: PartnerId
    attempt: int
    not_after: datetime  # end of the lease: a courier must have stopped by then
    body: bytes  # compact JWE
    media_type: str = "application/secevent+jwt"
