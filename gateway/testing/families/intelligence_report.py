"""Fictional intelligence reports, and safeguarding concerns of volunteers."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from gateway.contract.values import Family
from gateway.testing.messages import VICTIM_PROFILES, Sample, data_quality, handling_of, instant, made, person_of, routing_of

FAMILY: Final = Family("intelligence-report", "1.0")
GROUPS: Final = {"kind": "intelligence", "text": "narrative", "persons": "identity", "links": "associates"}
KNOWN: Final = ("names", "birth", "sex", "nationalities")  # of the persons of a report
PLACE: Final = {"text": "Example Road 1, Exampleville", "country": "GB", "region": "GB-ENG"}
CONDITION: Final = {"code": "NO_ONWARD_SHARING", "words": "Not to be shared onward (fictional)."}


def generate(dice: Random, now: datetime) -> Sample:
    """Return an intelligence report, or, one in five, a safeguarding concern."""
    return _concern(dice, now) if dice.random() < 0.2 else _report(dice, now)  # so that both are seen


def _report(dice: Random, now: datetime) -> Sample:
    handling = dice.choice("PC")
    persons = [{"role": "SUBJECT", "person": _person(dice)}]
    persons += [{"role": dice.choice(["ASSOCIATE", "COMPANION"]), "person": _person(dice)} for _ in range(dice.randrange(3))]
    body: dict[str, Any] = {
        **_words(dice, now, "intelligence"),
        "source_evaluation": dice.choice("123"),
        "information_assessment": dice.choice("ABCDE"),
        "handling_code": handling,
        **({"handling_conditions": [dict(CONDITION)]} if handling == "C" else {}),
        "event": {"at": instant(now - timedelta(hours=dice.randrange(1, 200)))},
        "persons": persons,
        "immediate_risk": dice.random() < 0.1,
    }
    if len(persons) > 1:
        body["links"] = [{"from": 0, "to": to, "kind": dice.choice(["FRIEND", "ONLINE", "TRAVELS_WITH"])} for to in range(1, len(persons))]
    routing = {**routing_of("PRIORITY"), "recipients": [{"partner": "fr-police", "role": "NAMED"}]}
    return _made(dice, now, body, routing=routing, purpose="INVESTIGATE", subject={"status": "SUSPECTED", "is_minor": "NO"})


def _concern(dice: Random, now: datetime) -> Sample:
    danger = dice.choice(["IMMEDIATE", "SOON", "UNKNOWN"])
    body = {
        **_words(dice, now, "safeguarding-concern"),
        "event": {"place": dict(PLACE)},
        "immediate_risk": danger == "IMMEDIATE",
        "safeguarding": {
            "danger": danger,
            "at_risk": [dict(dice.choice(VICTIM_PROFILES))],
            "emergency_called": danger == "IMMEDIATE",
            "reporter_role": dice.choice(["VOLUNTEER", "SUPPORT_NGO", "POLICE"]),
        },
    }
    return _made(
        dice, now, body, routing=routing_of("IMMEDIATE"), purpose="SAFEGUARD", subject={"status": "CONCERN", "is_minor": "UNKNOWN"}
    )


def _words(dice: Random, now: datetime, kind: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "text": "Fictional text.",
        "sanitised": True,
        "content_warning": ["CHILD_ABUSE"],
        "fact_or_opinion": dice.choice(["FACT", "ASSESSMENT"]),
        "expires_on": (now + timedelta(days=365)).date().isoformat(),
    }


def _person(dice: Random) -> dict[str, Any]:
    whole = person_of(dice)
    return {name: whole[name] for name in KNOWN}


def _made(dice: Random, now: datetime, body: dict[str, Any], *, routing: dict[str, Any], purpose: str, subject: dict[str, str]) -> Sample:
    handling = {**handling_of(now, "TEST"), "purpose": purpose}
    known = {"ref": f"s-{dice.randrange(10**6):06d}", **subject}
    event = {"handling": handling, "routing": routing, "subject": known, "body": body}
    handling["data_quality"] = data_quality(event, GROUPS)
    return made(FAMILY, event, dice, now, toe=now)
