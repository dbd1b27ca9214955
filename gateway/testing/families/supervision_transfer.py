"""Fictional transfers of supervision, each a proposal: from a licence or an order here to an authority abroad."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from gateway.contract.values import Family
from gateway.testing.messages import Sample, data_quality, handling_of, made, person_of, routing_of

FAMILY: Final = Family("supervision-transfer", "1.0")
GROUPS: Final = {"stage": "supervision", "orders": "orders", "risk": "risk"}
RECEIVERS: Final = (("fr-probation", "FR"), ("ie-probation", "IE"), ("de-probation", "DE"))


def generate(dice: Random, now: datetime) -> Sample:
    """Return a proposal to take over supervision: of somebody released on licence, in custody, or under a community order."""
    kind, phase = dice.choice([("LICENCE", "COMMUNITY"), ("LICENCE", "CUSTODY"), ("COMMUNITY_ORDER", "COMMUNITY")])
    partner, country = dice.choice(RECEIVERS)
    order_id = f"TEST-ORDER-{dice.randrange(10**4):04d}"
    end = {"licence_end": _day(now, 700), "sentence_end": _day(now, 900)} if kind == "LICENCE" else {"sentence_end": _day(now, 400)}
    body: dict[str, Any] = {
        "person": person_of(dice),
        "from_authority": {"id": "example-probation", "kind": "PROBATION", "country": "GB"},
        "to_authority": {"id": f"example-{partner}", "kind": "PROBATION", "country": country},
        "stage": "PROPOSED",
        "legal_instrument": "BILATERAL",
        "effective_on": _day(now, 60),
        **end,
        "supervision": _supervision(now, phase, released=kind == "LICENCE" and phase == "COMMUNITY"),
        "supervision_plan": {
            "goals": ["Fictional goal."],
            "actions": [{"kind": "PROTECTIVE", "owner": "PROBATION", "due": _day(now, 90), "status": "OPEN"}],
        },
        "orders": [{"id": order_id, "kind": kind, "jurisdiction": "GB-EAW", "court": "Example Court"}],
        "risk": {"assessments": [_assessment(dice, now)]},
        "conditions": [
            {"order_id": order_id, "id": str(number), "category": category, "nature": "REQUIREMENT"}
            for number, category in enumerate(dice.sample(["RESIDENCE", "REPORTING", "PROGRAMME", "CURFEW"], 2), start=1)
        ],
        "compliance": [{
            "condition_id": "1", "period": {"start": _day(now, -40), "end": _day(now, -10)}, "complied": dice.choice(["YES", "PARTLY"]),
        }],
        "address_verified": dice.random() < 0.5,
        "programmes": [{"code": "COMMUNITY_SOTP", "state": dice.choice(["DONE", "RUNNING", "OUTSTANDING"]), "accredited": True}],
    }  # fmt: skip
    handling = {**handling_of(now, "TEST"), "purpose": "MANAGE_OFFENDER"}
    routing = {**routing_of("ROUTINE"), "recipients": [{"partner": partner, "role": "NAMED"}]}
    subject = {"ref": f"s-{dice.randrange(10**6):06d}", "status": "CONVICTED", "is_minor": "NO"}
    event = {"handling": handling, "routing": routing, "subject": subject, "body": body}
    handling["data_quality"] = data_quality(event, GROUPS)
    return made(FAMILY, event, dice, now, toe=now)


def _supervision(now: datetime, phase: str, *, released: bool) -> dict[str, Any]:
    told = {"release_date": _day(now, -50), "release_basis": "Fictional release on licence"} if released else {}
    return {"phase": phase, "level": "Standard", "officer": "Duty officer", "contact_frequency": "Each week", **told}


def _assessment(dice: Random, now: datetime) -> dict[str, str]:
    level = dice.choice(["LOW", "MEDIUM", "HIGH"])
    return {"tool": "RM2000", "level": level, "assessed_on": _day(now, -30), "assessor_kind": "PROBATION"}


def _day(now: datetime, days: int) -> str:
    return (now + timedelta(days=days)).date().isoformat()
