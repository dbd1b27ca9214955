"""Fictional entries of registers of the United Kingdom and the United States: periods and duties are those of disposal or tier."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from random import Random
from typing import Any, Final

from gateway.contract.values import Family
from gateway.testing.families.subject import Subject
from gateway.testing.messages import OFFENCES, Sample, data_quality, handling_of, made, person_of, routing_of

FAMILY: Final = Family("registration-record", "1.0")
GROUPS: Final = {
    "register": "registration", "residences": "contact", "employers": "occupation", "vehicles": "vehicles",
    "lives_with_child": "household", "offences": "offences",
}  # fmt: skip
DISPOSALS: Final[Mapping[str, tuple[int | None, int]]] = {  # years, None without end; share, ours
    "PRISON_6M_TO_30M": (10, 40), "PRISON_UP_TO_6M": (7, 20), "OTHER": (5, 20), "CAUTION": (2, 10), "PRISON_30M_OR_MORE": (None, 10),
}  # fmt: skip
REVIEW_YEARS: Final = 15
TIERS: Final[Mapping[int, tuple[int | None, str, int]]] = {1: (15, "ANNUAL", 365), 2: (25, "HALF_YEARLY", 180), 3: (None, "QUARTERLY", 90)}
HOME: Final = {"lines": ["1 Example Street"], "city": "Exampleville", "postcode": "00000", "country": "GB"}
STATUSES: Final = {"ACTIVE": 95, "ABSCONDED": 3, "TRANSFERRED": 2}  # shares, ours


def generate(dice: Random, now: datetime) -> Sample:
    """Return a record: mostly of the United Kingdom, some without a main residence, some after a caution alone."""
    relevant = now.date() - timedelta(days=dice.randrange(30, 700))
    body = _american(dice, now, relevant) if dice.random() < 0.25 else _british(dice, now, relevant, disposal_of(dice))
    status = "CAUTIONED" if body.get("disposal") == "CAUTION" else "CONVICTED"
    return _sent(body, {"ref": f"s-{dice.randrange(10**6):06d}", "status": status, "is_minor": "NO"}, dice, now)


def of(who: Subject, dice: Random, now: datetime) -> Sample:
    """Return the record of somebody on a register of England and Wales."""
    body = {**_british(dice, now, who.relevant, who.disposal), "person": who.person, "offences": [who.offence]}
    return _sent(body, who.said, dice, now)


def disposal_of(dice: Random) -> str:
    """Return a disposal of the United Kingdom."""
    return dice.choices(list(DISPOSALS), [share for _, share in DISPOSALS.values()])[0]


def _sent(body: Mapping[str, Any], subject: Mapping[str, str], dice: Random, now: datetime) -> Sample:
    handling = {**handling_of(now, "TEST"), "purpose": "MANAGE_OFFENDER"}
    event = {"handling": handling, "routing": routing_of("ROUTINE"), "subject": subject, "body": body}
    handling["data_quality"] = data_quality(event, GROUPS)
    return made(FAMILY, event, dice, now, toe=now)


def _british(dice: Random, now: datetime, relevant: date, disposal: str) -> dict[str, Any]:
    years, _ = DISPOSALS[disposal]
    homeless = dice.random() < 0.1  # so that both are seen
    return {
        **_entry(dice, now, relevant, jurisdiction="GB-EAW"),
        **_period(relevant, years, kind="FINITE"),
        **({} if years else {"review_eligible_on": _later(relevant + timedelta(days=1), REVIEW_YEARS)}),
        "disposal": disposal,
        "notification": _notification(dice, now, *(("WEEKLY", 7) if homeless else ("ANNUAL", 365))),
        "residences": [] if homeless else [HOME],
        "bank_and_cards_held": dice.random() < 0.9,
        "lives_with_child": dice.random() < 0.1,
        "convictions": [] if disposal == "CAUTION" else [_conviction(relevant, disposal)],
    }


def _american(dice: Random, now: datetime, relevant: date) -> dict[str, Any]:
    tier = dice.choice(list(TIERS))
    years, cycle, days = TIERS[tier]
    return {
        **_entry(dice, now, relevant, jurisdiction="US-SD"),
        **_period(relevant + timedelta(days=1), years, kind="TIER"),
        "tier": tier,
        "notification": _notification(dice, now, cycle, days),
        "residences": [{**HOME, "country": "US"}],
        "employers": [{"name": "Example Works"}],
        "vehicles": [{"plate": f"TEST {dice.randrange(1000):03d}"}],
        "convictions": [_conviction(relevant, "OTHER")],
    }


def _entry(dice: Random, now: datetime, relevant: date, *, jurisdiction: str) -> dict[str, Any]:
    register = {"id": "example-register", "jurisdiction": jurisdiction, "source_register": "example-national-database"}
    return {
        "person": person_of(dice),
        "register": {**register, "record_id": f"TEST-RECORD-{dice.randrange(10**4):04d}"},
        "record_as_of": _day(now, -dice.randrange(1, 30)),
        "next_review": _day(now, dice.randrange(30, 300)),
        "disclosure": {
            "permitted_agencies": ["POLICE", "PROBATION", *dice.sample(["SOCIAL_SERVICES", "CHILDREN_SERVICES"], dice.randrange(3))]
        },
        "registered_on": (relevant + timedelta(days=1)).isoformat(),
        "relevant_date": relevant.isoformat(),
        "status": dice.choices(list(STATUSES), list(STATUSES.values()))[0],
        "is_minor_at_conviction": False,
        "offences": [dict(dice.choice(OFFENCES))],
    }


def _period(start: date, years: int | None, *, kind: str) -> dict[str, Any]:
    if years is None:
        return {"period_kind": "INDEFINITE" if kind == "FINITE" else kind, "indefinite": True}
    return {"period_kind": kind, "indefinite": False, "expires_on": _later(start, years)}


def _notification(dice: Random, now: datetime, cycle: str, days: int) -> dict[str, Any]:
    since = dice.randrange(days)
    return {"last": _day(now, -since), "next_due": _day(now, days - since), "cycle": cycle}


def _conviction(on: date, disposal: str) -> dict[str, Any]:
    return {"date": on.isoformat(), "court": "Example Court", "sentence": "Fictional sentence", "disposal": disposal}


def _later(start: date, years: int) -> str:
    """Return the same day so many years later; of 29 February, 28 February."""
    day = 28 if (start.month, start.day) == (2, 29) else start.day
    return date(start.year + years, start.month, day).isoformat()


def _day(now: datetime, days: int) -> str:
    return (now + timedelta(days=days)).date().isoformat()
