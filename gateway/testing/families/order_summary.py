"""Fictional orders of the kinds a register tells of, each by the law of its own place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from random import Random
from typing import Any, Final

from gateway.contract.values import Family
from gateway.testing.families.subject import Subject
from gateway.testing.messages import Sample, data_quality, handling_of, made, person_of, routing_of

FAMILY: Final = Family("order-summary", "1.0")
GROUPS: Final = dict.fromkeys(("order", "conditions", "travel_prohibition", "passport_surrender"), "orders")
KINDS: Final[Sequence[tuple[str, str, int]]] = (  # kind, jurisdiction, years
    ("SHPO", "GB-EAW", 7), ("SHPO", "GB-SCT", 5), ("SOPO", "GB-NIR", 5), ("SRO", "GB-EAW", 2), ("LICENCE", "GB-EAW", 2),
    ("COMMUNITY_ORDER", "GB-EAW", 2), ("NOTIFICATION_ORDER", "GB-EAW", 5), ("CONDITIONAL_DISCHARGE", "GB-EAW", 1),
    ("SUPERVISED_RELEASE", "US", 3),
)  # fmt: skip
WORDS: Final[Mapping[str, str]] = {
    "WORK_WITH_CHILDREN": "Not to work with children (fictional).",
    "CONTACT_WITH_CHILDREN": "No contact alone with children under 16 (fictional).",
    "INTERNET": "Not to use the internet without the software named (fictional).",
    "PLACE_BAN": "Not to enter the places named (fictional).",
}
SCOPES: Final[Sequence[Mapping[str, Any]]] = (
    {"scope": "NAMED_COUNTRIES", "countries": ["TH", "KH"]},
    {"scope": "ALL_EXCEPT", "countries": ["IE"]},
    {"scope": "ALL"},
)


def generate(dice: Random, now: datetime) -> Sample:
    """Return an order summary: some forbid travel, and some forbid all of it."""
    kind, jurisdiction, years = dice.choice(KINDS)
    made_on = now.date() - timedelta(days=dice.randrange(10, 300))
    order = _order(dice, kind=kind, jurisdiction=jurisdiction, made_on=made_on, end=_end(made_on, years))
    body = _body(dice, person_of(dice), order, made_on)
    status = "UNDER_ORDER" if kind == "SRO" else "CONVICTED"
    return _sent(body, {"ref": f"s-{dice.randrange(10**6):06d}", "status": status, "is_minor": "NO"}, dice, now)


def of(who: Subject, dice: Random, now: datetime) -> Sample:
    """Return a sexual harm prevention order made in the last year: with the sentence or caution where that is as new, else later."""
    kind, jurisdiction, years = KINDS[0]
    made_on = max(who.relevant, now.date() - timedelta(days=dice.randrange(10, 360)))
    order = _order(dice, kind=kind, jurisdiction=jurisdiction, made_on=made_on, end=_end(made_on, years))
    if made_on == who.relevant:
        order["ancillary_to"] = {"kind": "CAUTION" if who.cautioned else "SENTENCE", "reference": f"TEST-{who.ref}"}
    return _sent(_body(dice, who.person, order, made_on), who.said, dice, now)


def _body(dice: Random, person: Mapping[str, Any], order: Mapping[str, Any], made_on: date) -> dict[str, Any]:
    kind = str(order["kind"])
    bans_travel = kind == "SHPO" and dice.random() < 0.5
    body: dict[str, Any] = {
        "person": person,
        "order": order,
        "conditions": _conditions(dice, kind, made_on, bans_travel=bans_travel),
    }
    if bans_travel:
        body["travel_prohibition"] = dict(dice.choice(SCOPES))
        if body["travel_prohibition"]["scope"] == "ALL":
            due = (made_on + timedelta(days=7)).isoformat()
            body["passport_surrender"] = {"required": True, "due": due, "station": "Example Road Police Station"}
    return body


def _sent(body: Mapping[str, Any], subject: Mapping[str, str], dice: Random, now: datetime) -> Sample:
    handling = {**handling_of(now, "TEST"), "purpose": "MANAGE_OFFENDER"}
    event = {"handling": handling, "routing": routing_of("ROUTINE"), "subject": subject, "body": body}
    handling["data_quality"] = data_quality(event, GROUPS)
    return made(FAMILY, event, dice, now, toe=now)


def _order(dice: Random, *, kind: str, jurisdiction: str, made_on: date, end: date) -> dict[str, Any]:
    return {
        "kind": kind,
        "id": f"TEST-ORDER-{dice.randrange(10**4):04d}",
        "court": "Example Court",
        "made_on": made_on.isoformat(),
        "jurisdiction": jurisdiction,
        "applied_by": dice.choice(["POLICE", "COURT"]) if kind != "NOTIFICATION_ORDER" else "POLICE",
        "interim": False,
        "start": made_on.isoformat(),
        "end": end.isoformat(),
        "indefinite": False,
        "status": "ACTIVE",
        "applies_in": [jurisdiction],
        **({"max_penalty_years": 5, "implies_registration": True} if kind == "SHPO" else {}),
    }


def _conditions(dice: Random, kind: str, made_on: date, *, bans_travel: bool) -> list[dict[str, Any]]:
    extra = kind == "LICENCE"
    conditions = [_condition(category, "PROHIBITION", WORDS[category], made_on) for category in dice.sample(sorted(WORDS), 2)]
    conditions.append({**_condition("REPORTING", "REQUIREMENT", "To report each month (fictional).", made_on), "mandatory": True})
    if bans_travel:
        ban = _condition("TRAVEL", "PROHIBITION", "Not to travel as said below (fictional).", made_on)
        conditions.append({**ban, "end": _end(made_on, 5).isoformat()})
    return [
        {**condition, "id": str(number), **(AUTHORITIES if extra and not condition["mandatory"] else {})}
        for number, condition in enumerate(conditions, start=1)
    ]


def _condition(category: str, nature: str, text: str, start: date) -> dict[str, Any]:
    return {"category": category, "nature": nature, "text": text, "start": start.isoformat(), "mandatory": False}


def _end(start: date, years: int) -> date:
    """Return the last day of so many years; of one that began on 29 February, 28 February."""
    day = 28 if (start.month, start.day) == (2, 29) else start.day
    return date(start.year + years, start.month, day) - timedelta(days=1 if day == start.day else 0)


AUTHORITIES: Final = {
    "requested_by": {"id": "example-probation", "kind": "PROBATION", "country": "GB"},
    "approved_by": {"id": "example-prison", "kind": "PRISON", "country": "GB"},
}
