"""The values a decision is made of: legs, refusals, holds and alerts, each with reasons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from gateway.contract.values import Country, Jti, Lane, LegId, PartnerId, Removed, Role
from gateway.core.delivery import Event
from gateway.core.problems import Problem


class Reason(StrEnum):
    """Why a leg is refused (domain.md d.10)."""

    NO_PARTNER = "NO_PARTNER"
    NOT_RECEIVING = "NOT_RECEIVING"
    POLICY = "POLICY"
    COUNTRY_EXCLUDED_BY_SENDER = "COUNTRY_EXCLUDED_BY_SENDER"
    COUNTRY_EXCLUDED_BY_PROFILE = "COUNTRY_EXCLUDED_BY_PROFILE"
    HANDLING = "HANDLING"
    AGENCY_NOT_PERMITTED = "AGENCY_NOT_PERMITTED"
    NO_LEGAL_BASIS = "NO_LEGAL_BASIS"
    TRANSFER_BASIS = "TRANSFER_BASIS"
    ENVIRONMENT = "ENVIRONMENT"
    DO_NOT_SEND = "DO_NOT_SEND"
    HOLD = "HOLD"
    WITHDRAWN = "WITHDRAWN"
    EXPIRED = "EXPIRED"


class HoldReason(StrEnum):
    """Why a leg waits for a person (domain.md d.10)."""

    MINOR = "MINOR"
    COMPLAINT = "COMPLAINT"
    REVIEW = "REVIEW"
    POLICY_ERROR = "POLICY_ERROR"
    FACT_UNREAD = "FACT_UNREAD"
    GRADED_3E = "GRADED_3E"
    SAFEGUARDING_FLAG = "SAFEGUARDING_FLAG"
    SUSPENDED = "SUSPENDED"
    POLICY_CHANGED = "POLICY_CHANGED"
    KEY_REVOKED = "KEY_REVOKED"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A recipient that routing found, before policy: one partner in two roles is one candidate (R-RTE-01)."""

    partner: PartnerId
    countries: tuple[Country, ...]  # each that it is told for; the one that brought the first role first
    roles: tuple[Role, ...]  # most important first: NAMED, DESTINATION, TRANSIT, …
    bound: frozenset[str] | None = None  # a correction shows no group that the original's view withheld (NOT_IN_ORIGINAL)
    hold: HoldReason | None = None  # it waits, as what it is about waits

    @property
    def country(self) -> Country:
        """The country of the most important role."""
        return self.countries[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The recorded decision not to send. `partner` is None where nobody receives for the country."""

    partner: PartnerId | None
    country: Country | None
    roles: tuple[Role, ...]
    reason: Reason
    because: tuple[str, ...] = ()  # policy ids or a rule id


def for_each_country(refusal: Refusal, candidate: Candidate) -> Iterator[Refusal]:
    """Yield the refusal of a whole leg once for each country the partner was to be told for, so that each finds its own (R-TRV-08)."""
    return (replace(refusal, country=country) for country in candidate.countries)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedLeg:
    """One message to one partner, as decided."""

    leg_id: LegId
    jti: Jti
    partner: PartnerId
    countries: tuple[Country, ...]  # of its candidate
    roles: tuple[Role, ...]
    lane: Lane
    groups: frozenset[str]  # field groups the partner may see
    removed: tuple[Removed, ...]  # groups present in the message and withheld
    because: tuple[str, ...]  # policies that permitted `send`
    expires_at: datetime  # earliest of delete_by, the recipient's rule, the profile's limit (R-GEN-17)
    delete_by: datetime
    hold: HoldReason | None = None
    hold_because: tuple[str, ...] = ()

    @property
    def country(self) -> Country:
        """The country of the most important role."""
        return self.countries[0]


@dataclass(frozen=True, slots=True)
class Alert:
    """Something somebody must know at once: an acknowledgement of stage ALERT, in the IMMEDIATE lane."""

    code: str  # e.g. TRAVEL_RESTRICTION
    to: tuple[PartnerId, ...]  # the sender and the managing authority
    due: datetime | None = None  # by when something is to be done


@dataclass(frozen=True, slots=True)
class Recall:
    """An unfinished leg of a message that was taken back (WITHDRAWN)."""

    leg_id: LegId
    event: Event  # refused where it was never published, else cancelled


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Everything that follows from one accepted message."""

    legs: tuple[PlannedLeg, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    alerts: tuple[Alert, ...] = ()
    recalls: tuple[Recall, ...] = ()
    marks: tuple[str, ...] = ()  # what every copy says beside the content: domain.md R-TRV-09, R-CNV-03
    notices: tuple[Problem, ...] = ()  # warnings and notes for the receipt
