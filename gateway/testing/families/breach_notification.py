"""Fictional breaches in the shares of seed 001: 2.9 % of a register breach, 0.13 % commit a serious further offence."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from gateway.contract.values import Family
from gateway.testing.families.subject import Subject
from gateway.testing.messages import Sample, data_quality, handling_of, made, person_of, routing_of

FAMILY: Final = Family("breach-notification", "1.0")
BREACHED_SHARE, REOFFENDED_SHARE = 0.029, 0.0013  # of those registered; seed 001
GROUPS: Final = {"breach": "breach", "narratives": "narrative"}
OTHER_KINDS: Final = {
    "NOTIFICATION_LATE": 40,
    "REGISTRATION_FAILURE": 20,
    "FALSE_INFORMATION": 10,
    "TRAVEL_WITHOUT_NOTICE": 10,
    "ORDER_BREACH": 15,
    "ABSCONDED": 5,
}  # fmt: skip -- shares, ours
OF_NOTIFICATION: Final = frozenset({"NOTIFICATION_LATE", "REGISTRATION_FAILURE", "FALSE_INFORMATION", "TRAVEL_WITHOUT_NOTICE"})
ENDS: Final = {"ALLEGED": "WARNED", "CAUTIONED": "CAUTIONED", "CHARGED": "CHARGED", "CONVICTED": "CHARGED"}


def generate(dice: Random, now: datetime) -> Sample:
    """Return a breach: most are of registration; one in twenty-two is a new offence."""
    new_offence = dice.random() < REOFFENDED_SHARE / BREACHED_SHARE
    kind = "NEW_OFFENCE" if new_offence else dice.choices(list(OTHER_KINDS), list(OTHER_KINDS.values()))[0]
    gone = kind in {"ABSCONDED", "TRAVEL_WITHOUT_NOTICE"}
    status = "ALLEGED" if gone else dice.choice(list(ENDS))
    body: dict[str, Any] = {
        "person": person_of(dice),
        "breach": {"kind": kind, "breached_ref": f"TEST-DUTY-{dice.randrange(10**4):04d}"},
        "occurred_on": _day(now, -dice.randrange(5, 60)),
        "discovered_on": _day(now, -dice.randrange(5)),
        "allegation_status": status,
        "new_offence": new_offence,
        "action_taken": "ARREST_SOUGHT" if gone else ENDS[status],
    }
    if gone:
        body["last_known_location"] = {"lines": ["1 Example Street"], "city": "Exampleville", "country": "GB"}
        body["believed_abroad_in"] = dice.choice(["FR", "ES", "TH"])
        body["warrant"] = {"issued_on": _day(now, -1), "country": "GB", "scope": "All of the United Kingdom (fictional)"}
    if dice.random() < 0.2:  # so that both are seen
        body["narratives"] = [{"kind": "BACKGROUND", "text": "Fictional background.", "language": "en"}]
    subject = {"ref": f"s-{dice.randrange(10**6):06d}", "status": "CONVICTED", "is_minor": "NO"}
    return _sent(body, subject, dice, now, priority="PRIORITY" if gone else "ROUTINE")


def of(who: Subject, dice: Random, now: datetime, *, new_offence: bool) -> Sample:
    """Return a breach as seed 001 counts them: of notification, ended by caution or conviction; or the charge of a new offence."""
    kinds = {kind: share for kind, share in OTHER_KINDS.items() if kind in OF_NOTIFICATION}
    status = "CHARGED" if new_offence else dice.choice(["CAUTIONED", "CONVICTED"])
    body = {
        "person": who.person,
        "breach": {
            "kind": "NEW_OFFENCE" if new_offence else dice.choices(list(kinds), list(kinds.values()))[0],
            "breached_ref": f"TEST-DUTY-{dice.randrange(10**4):04d}",
        },
        "occurred_on": _day(now, -dice.randrange(5, 60)),
        "discovered_on": _day(now, -dice.randrange(5)),
        "allegation_status": status,
        "new_offence": new_offence,
        "action_taken": ENDS[status],
    }
    return _sent(body, who.said, dice, now, priority="PRIORITY" if new_offence else "ROUTINE")


def _sent(body: Mapping[str, Any], subject: Mapping[str, str], dice: Random, now: datetime, *, priority: str) -> Sample:
    handling = {**handling_of(now, "TEST"), "purpose": "MANAGE_OFFENDER"}
    event = {"handling": handling, "routing": routing_of(priority), "subject": subject, "body": body}
    handling["data_quality"] = data_quality(event, GROUPS)
    return made(FAMILY, event, dice, now, toe=now)


def _day(now: datetime, days: int) -> str:
    return (now + timedelta(days=days)).date().isoformat()
