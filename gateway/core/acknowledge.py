"""What the gateway itself says: an acknowledgement for the end of a leg, or an alert. Pure; sealed like any other message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from gateway.contract.values import Country, Family, Jti, Lane, PartnerId
from gateway.core.decided import Alert
from gateway.core.families import ACKNOWLEDGEMENT
from gateway.core.limits import OWN_MESSAGE_DAYS_MIN
from gateway.core.message import Message

FAMILY = Family(ACKNOWLEDGEMENT, "1.0")
GROUPS = ("exchange", "sender_contact")  # what an acknowledgement of ours holds beside the envelope


@dataclass(frozen=True, slots=True, kw_only=True)
class LegEnd:
    """Which leg of a message ended, and how."""

    jti: Jti
    partner: PartnerId
    country: Country | None
    role: str
    stage: str  # domain.md d.10, "end of a leg"
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who speaks: the gateway, with the desk to ask."""

    gateway: PartnerId
    contact: Mapping[str, str]
    jti: Jti
    now: datetime


def of_leg(original: Message, end: LegEnd, author: Author) -> Message:
    """Return the acknowledgement to the original's sender that a leg has ended."""
    body: dict[str, Any] = {
        "stage": end.stage,
        "leg": {"jti": end.jti, "partner": end.partner, "role": end.role} | ({"country": end.country} if end.country else {}),
        "at": _instant(author.now),
    }
    if end.reason is not None:
        body["reason"] = end.reason
    return _message(original, body, Lane.ROUTINE, author)


def of_alert(original: Message, alert: Alert, author: Author) -> Message:
    """Return an alert about a message: stage ALERT, in the fastest lane; with a deadline where something is to be done by then."""
    body = {"stage": "ALERT", "reason": alert.code, "at": _instant(author.now)}
    message = _message(original, body, Lane.IMMEDIATE, author)
    if alert.due is None:
        return message
    routing = {**message.event["routing"], "action_requested": "VERIFY", "reply_by": _instant(alert.due)}
    return replace(message, event={**message.event, "routing": routing})


def _message(original: Message, body: Mapping[str, Any], lane: Lane, author: Author) -> Message:
    event = {
        "handling": _handling(original.event["handling"], author.now),
        "routing": {
            "priority": lane.value.upper(),
            "language": original.event["routing"]["language"],
            "action_requested": "INFORMATION_ONLY",
            "in_response_to": {"iss": original.iss, "jti": original.jti},
            "contact": dict(author.contact),
        },
        "subject": {**original.event["subject"], "iss": original.subject[1]},  # an anonymous referral has no `ref`, and gets none
        "body": dict(body),
    }
    return Message(
        iss=author.gateway, jti=author.jti, digest="", aud=author.gateway, iat=author.now, toe=author.now,
        txn=original.txn, family=FAMILY, event=event,
    )  # fmt: skip


def _handling(handling: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Carry the original's handling on; what is said is the gateway's own, as a fact, and must reach who is told it.

    The original's end may be the very news, and the countries it bars are not those of its sender and its managing authority.
    """
    keep = (now + timedelta(days=OWN_MESSAGE_DAYS_MIN)).date().isoformat()
    retention = {**handling["retention"], "delete_by": max(handling["retention"]["delete_by"], keep)}
    own = {name: value for name, value in handling.items() if name != "excluded_countries"}
    return {**own, "retention": retention, "data_quality": [{"group": group, "kind": "FACT"} for group in GROUPS]}


def _instant(when: datetime) -> str:
    return when.isoformat(timespec="seconds").replace("+00:00", "Z")
