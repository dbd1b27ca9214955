"""Fictional requests, the responses to them, and corrections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from gateway.contract.values import Family
from gateway.testing.families import order_summary, risk_update
from gateway.testing.messages import Sample, data_quality, handling_of, instant, made, person_of, routing_of, uuid7

REQUEST: Final = Family("information-request", "1.0")
RESPONSE: Final = Family("information-response", "1.0")
CORRECTION: Final = Family("correction", "1.0")
SUITABILITY: Final = "SUITABILITY_WITH_CHILDREN"
DISCLOSURE: Final = "DISCLOSURE_SCHEME"
ASKED: Final[Sequence[tuple[str, str, Mapping[str, Any]]]] = (  # kind, purpose, what that kind has beside
    ("CONVICTIONS", "INVESTIGATE", {}),
    ("WHEREABOUTS", "MANAGE_OFFENDER", {}),
    ("SUITABILITY", SUITABILITY, {"disclosure_level": "ENHANCED"}),
    ("DISCLOSURE_SCHEME", DISCLOSURE, {"disclosure": {"contact_kind": "LIVES_WITH", "applicant_role": "PARENT"}}),
)
MUST_DO: Final = {"CORRECT": "UPDATE", "REPLACE": "UPDATE", "WITHDRAW": "DELETE", "RECALL": "DELETE"}


def request(dice: Random, now: datetime) -> Sample:
    """Return a question about a person, with its urgency and until when an answer helps."""
    kind, purpose, beside = dice.choice(ASKED)
    body = {
        "person": person_of(dice),
        "kind": kind,
        "purpose_category": "Fictional check",
        "urgency": dice.random() < 0.2,
        "requested_blocks": ["offences", "orders"],
        "offence_category": dice.choice(["1000 00", "1009 00"]),
        "requesting_authority": {"id": "example-police", "kind": "POLICE", "country": "GB"},
        "subject_consent": kind == "SUITABILITY",
        **beside,
    }
    routing = {"recipients": [{"partner": "fr-police", "role": "NAMED"}], "action_requested": "REPLY"}
    routing["reply_by"] = instant(now + timedelta(days=28))
    return _sent(REQUEST, body, dice, now, purpose=purpose, routing=routing, groups={"exchange"})


def response(dice: Random, now: datetime) -> Sample:
    """Return an answer to a request nobody sent: what is held, that nothing is, one value, or a plea for more time."""
    purpose = dice.choice(["INVESTIGATE", SUITABILITY, DISCLOSURE])
    held = [make(dice, now) for make in dice.sample([order_summary.generate, risk_update.generate], dice.randrange(3))]
    body: dict[str, Any] = {"response_type": "RRT-00-00", "records": [{one.family.name: one.event["body"]} for one in held]}
    if dice.random() < 0.2:  # so that both are seen
        held, body = [], {"deadline_extension": instant(now + timedelta(days=10))}
    elif purpose == SUITABILITY:
        body |= {"includes_spent": True, "includes_cautions": True}
    elif purpose == DISCLOSURE:
        held, body = [], {**body, "records": [], "disclosure": {"result": dice.choice(["NOTHING_HELD", "HELD_NO_CONCERN", "CONCERN"])}}
    routing = {"in_response_to": {"iss": "gateway", "jti": uuid7(dice, now)}}
    return _sent(RESPONSE, body, dice, now, purpose=purpose, routing=routing, groups={"exchange"} | _groups(held))


def correction(dice: Random, now: datetime) -> Sample:
    """Return a correction of a message nobody sent: what is right instead, or that it is taken back."""
    kind = dice.choice(sorted(MUST_DO))
    right = dice.choice([order_summary.generate, risk_update.generate])(dice, now)
    body: dict[str, Any] = {
        "corrects": {"iss": "gb-register", "jti": uuid7(dice, now)},
        "kind": kind,
        "reason": "Fictional clerical error.",
        "recipients_must_do": MUST_DO[kind],
        "deadline": instant(now + timedelta(days=3)),
    }
    if MUST_DO[kind] == "UPDATE":
        body |= {"fields_changed": ["/body/person/description/height_cm"], "replacement": {right.family.name: right.event["body"]}}
    groups = {"exchange"} | (_groups([right]) if "replacement" in body else set())
    return _sent(CORRECTION, body, dice, now, purpose="MANAGE_OFFENDER", routing={}, groups=groups)


def _sent(  # noqa: PLR0913 -- each is a part of the message
    family: Family, body: Mapping[str, Any], dice: Random, now: datetime, *, purpose: str, routing: Mapping[str, Any], groups: set[str]
) -> Sample:
    handling = {**handling_of(now, "TEST"), "purpose": purpose}
    subject = {"ref": f"s-{dice.randrange(10**6):06d}", "status": "CONVICTED", "is_minor": "NO"}
    event = {"handling": handling, "routing": {**routing_of("ROUTINE"), **routing}, "subject": subject, "body": body}
    risky = {"risk", "health", "staff_safety"} & groups
    said = {entry["group"]: entry for entry in data_quality(event, {})}
    said |= {group: {"group": group, "kind": "ASSESSMENT" if group in risky else "FACT"} for group in groups}
    handling["data_quality"] = [said[group] for group in sorted(said)]
    return made(family, event, dice, now, toe=now)


def _groups(carried: Iterable[Sample]) -> set[str]:
    """Return the field groups that carried bodies hold."""
    return {entry["group"] for one in carried for entry in one.event["handling"]["data_quality"]} - {"sender_contact"}
