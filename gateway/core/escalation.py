"""What follows when nobody answers a safeguarding concern (R-SAF-04): by when one must have it, who has, who is told next. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gateway.contract.values import Country, PartnerId, Role
from gateway.core.decided import Candidate, Decision, Refusal
from gateway.core.delivery import State
from gateway.core.directory import Directory
from gateway.core.families import is_concern
from gateway.core.message import Message
from gateway.core.routing import Routed, country_bar, serves_region
from gateway.core.rules.tables import RuleTables, Unit

RULE: Final = "R-SAF-04"
UNANSWERED: Final = "safeguarding-unanswered"  # the kind of watch
ALERT: Final = "SAFEGUARDING_UNANSWERED"  # the alert's code (domain.md d.10)
POLICE: Final = "POLICE"  # domain.md d.16
UNITS: Final = {Unit.MINUTES: timedelta(minutes=1), Unit.HOURS: timedelta(hours=1)}
WITHOUT_A_ROW: Final = timedelta(minutes=15)  # a concern is watched though nobody's number speaks for its place
TAKEN: Final = frozenset({None, "RECEIVED", "VALID", "MATCHED", "ACTIONED"})  # what a receipt says of one who has it; None: a poll's `ack`


@dataclass(frozen=True, slots=True)
class Watch:
    """A deadline that begins with a message."""

    kind: str
    due_at: datetime


def watches(message: Message, decision: Decision, tables: RuleTables, *, now: datetime) -> tuple[Watch, ...]:
    """Return what must be watched once a message is accepted. A concern that goes to nobody is due at once."""
    if not is_concern(message.family.name, message.body):
        return ()
    return (Watch(UNANSWERED, now + patience(message, tables, now=now) if decision.legs else now),)


def patience(message: Message, tables: RuleTables, *, now: datetime) -> timedelta:
    """Return how long a concern may stay unanswered: the row of its place, at least a minute."""
    place = message.body["event"]["place"]
    picked = tables.row(RULE, place.get("region", place["country"]), now.date())
    if picked is None or picked.row.unit not in UNITS:
        return WITHOUT_A_ROW
    return max(picked.row.quantity * UNITS[picked.row.unit], timedelta(minutes=1))


def has_it(state: State, code: str | None) -> bool:
    """Say whether a leg's partner has signed that it has the message: a receipt that refuses it, or could not read it, is no answer."""
    return state is State.RECEIPTED and code in TAKEN


def police_of(message: Message, directory: Directory, *, told: Collection[PartnerId]) -> Routed:
    """Find the place's POLICE partners that have no leg yet, whatever their profiles receive by themselves.

    Policies are asked as for every recipient. Where the sender has no profile any more, only the message can bar a country.
    """
    sender, place = directory.find(message.iss), message.body["event"]["place"]
    country = Country(place["country"])
    candidates: list[Candidate] = []
    refusals: list[Refusal] = []
    for profile in directory:
        there = profile.kind == POLICE and profile.covers(country) and serves_region(profile, country, place.get("region"))
        if not there or profile.id in told or profile.id == message.iss:
            continue
        bar = country_bar(message, country, profile, sender=sender or profile)
        if bar is None:
            candidates.append(Candidate(profile.id, (country,), (Role.SAFEGUARDING,)))
        else:
            reason, because = bar
            refusals.append(Refusal(partner=profile.id, country=country, roles=(Role.SAFEGUARDING,), reason=reason, because=(because,)))
    return Routed(tuple(candidates), tuple(refusals), ())
