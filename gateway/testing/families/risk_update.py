"""Fictional risk updates, with bands in the shares of seed 001: 2 % very high, 18 % high, 30 % medium, 50 % low."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from gateway.contract.values import Family
from gateway.testing.families.subject import Subject
from gateway.testing.messages import Sample, data_quality, handling_of, made, person_of, routing_of

FAMILY: Final = Family("risk-update", "1.0")
SHARES: Final = {"VERY_HIGH": 2, "HIGH": 18, "MEDIUM": 30, "LOW": 50}  # percent; seed 001
GROUPS: Final = {
    "assessed_on": "risk",
    "staff_warning": "staff_safety",
    "visit_plan/two_person": "staff_safety",
    "oasys/risk_to_self": "health",
    "strictly_necessary": "health",
}
REACTIVE_SHARE: Final = 0.1  # of those of low risk; seed 001 has low hundreds of 16,000, too few to be seen in a test


def generate(dice: Random, now: datetime) -> Sample:
    """Return a risk update: a man of some band, actively managed, or reactively where the risk is low."""
    band = dice.choices(list(SHARES), list(SHARES.values()))[0]
    reactive = band == "LOW" and dice.random() < REACTIVE_SHARE
    review = {"trigger": "PERIODIC", "outcome": "TO_REACTIVE" if reactive else "UNCHANGED"}
    tools = _tools(dice, now, band)
    body = {"person": {**person_of(dice), "sex": 1}, **tools, **_management(dice, now, band, reactive=reactive), "review": review}
    return _sent(body, {"ref": f"s-{dice.randrange(10**6):06d}", "status": "CONVICTED", "is_minor": "NO"}, dice, now)


def of(who: Subject, dice: Random, now: datetime, *, reactive: bool, review: Mapping[str, str]) -> Sample:
    """Return the assessment of somebody on the register: the band is RM2000's of a convicted man, else the level OASys found."""
    if who.scored:
        tools = _tools(dice, now, who.band)
        tools["rm2000"] |= {"age_at_offence": who.offence["age_at_offence"], "disposal": who.disposal}
    else:
        tools = _oasys(dice, now, who.band)
    body = {"person": who.person, **tools, **_management(dice, now, who.band, reactive=reactive), "review": dict(review)}
    return _sent(body, who.said, dice, now)


def _management(dice: Random, now: datetime, band: str, *, reactive: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "assessed_on": _day(now, -dice.randrange(1, 10)),
        "assessor_kind": dice.choice(["POLICE", "PROBATION"]),
        "next_review": _day(now, 180),
        "rmp": _plan(dice, now),
        "management_mode": "REACTIVE" if reactive else "ACTIVE",
        "risk_to": dice.sample(["CHILDREN", "KNOWN_ADULT", "PUBLIC"], 2),
    }
    if reactive:
        station = {"notification_station": "Example Road Police Station", "notification_due": _day(now, 300)}
        body["reactive"] = {"since": _day(now, -1), "low_since": _day(now, -4 * 366), **station}
    else:
        body["visit_plan"] = {
            "interval_months": dice.randrange(1, 13),
            "basis": "OFFICER_PLAN",
            "two_person": band in {"VERY_HIGH", "HIGH"},
        }
        if dice.random() < 0.2:  # so that both are seen
            body["staff_warning"] = ["MANIPULATION"]
    return body


def _sent(body: Mapping[str, Any], subject: Mapping[str, str], dice: Random, now: datetime) -> Sample:
    handling = {**handling_of(now, "TEST"), "purpose": "MANAGE_OFFENDER"}
    event = {"handling": handling, "routing": routing_of("ROUTINE"), "subject": subject, "body": body}
    handling["data_quality"] = data_quality(event, GROUPS)
    return made(FAMILY, event, dice, now, toe=now)


def _tools(dice: Random, now: datetime, band: str) -> dict[str, Any]:
    scored = {
        "scale": "S",
        "band": band,
        "scored_on": _day(now, -20),
        "age_at_offence": dice.randrange(18, 60),
        "disposal": "PRISON_6M_TO_30M",
    }
    factors = dice.sample(["OPPORTUNITY", "POOR_SELF_MANAGEMENT", "HOSTILE_ORIENTATION"], 2)
    tools: dict[str, Any] = {"rm2000": scored}
    if dice.random() < 0.7:  # so that both are seen
        protective = ["EMPLOYMENT_OR_ROUTINE", "PRO_SOCIAL_NETWORK"][: dice.randrange(3)]
        tools["arms"] = {"assessed_on": _day(now, -15), "risk_factors": factors, "protective_factors": protective, "priority": band}
    if dice.random() < 0.3:  # as above
        tools |= _oasys(dice, now, band)
    if dice.random() < 0.5:  # as above
        tools["mappa"] = {"category": "1", "level": "2" if band == "VERY_HIGH" else "1", "area": "THAMES_VALLEY"}
    return tools


def _oasys(dice: Random, now: datetime, band: str) -> dict[str, Any]:
    oasys = {
        "trigger": "SIGNIFICANT_EVENT", "triggered_on": _day(now, -40), "completed_at": _day(now, -38), "locked_at": _day(now, -36),
        "rosh": band, "needs": ["RELATIONSHIPS"], "change": "SAME", "risk_to_self": dice.choice(["NONE", "POSSIBLE"]),
    }  # fmt: skip
    return {"oasys": oasys, "strictly_necessary": "Fictional reason."}


def _plan(dice: Random, now: datetime) -> dict[str, Any]:
    actions = [
        {"kind": kind, "owner": "POLICE", "due": _day(now, dice.randrange(5, 90)), "status": "OPEN"}
        for kind in ("RESTRICTIVE", "PROTECTIVE")
    ]
    return {
        "situation": "Fictional situation.",
        "agencies": ["POLICE", "PROBATION"],
        "existing_controls": ["Fictional control."],
        "added_measures": ["Fictional measure."],
        "conditions": ["Fictional condition."],
        "contact_level": "MONTHLY",
        "actions": actions,
    }


def _day(now: datetime, days: int) -> str:
    return (now + timedelta(days=days)).date().isoformat()
