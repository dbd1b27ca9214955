"""What was said before, as decisions read it: earlier messages about one subject, with the legs they have."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any

from gateway.contract.values import Country, Family, Jti, LegId, PartnerId, Ref, Role, SubjectKey
from gateway.core.delivery import State
from gateway.core.facts import Answered, Earlier, EarlierLeg, Facts
from gateway.core.message import Message
from gateway.core.rules import RuleContext
from tests.unit.core.samples import NOW, ROOT, context, segment, stop

REGISTER, GATEWAY = PartnerId("gb-register"), PartnerId("gw")
GROUPS = frozenset({"identity", "itinerary", "exchange"})


@cache
def _valid(family: str) -> str:
    return (ROOT / "schemas" / "families" / family / "examples" / "valid.json").read_text(encoding="utf-8")


def said(family: str, jti: str = "now", *, iss: str = REGISTER, txn: str = "t", answers: str | None = None, **body: Any) -> Message:
    """Return the valid example of a family with some of its body replaced; a member set to ... is left out."""
    event = copy.deepcopy(json.loads(_valid(family)))
    event["body"] = {name: value for name, value in (event["body"] | body).items() if value is not ...}
    event["routing"].pop("in_response_to", None)
    event["subject"] |= {"ref": "TEST-1"}
    if answers is not None:
        event["subject"]["iss"] = REGISTER
        event["routing"]["in_response_to"] = {"iss": GATEWAY, "jti": answers}
    return Message(
        iss=PartnerId(iss), jti=Jti(jti), digest="", aud=GATEWAY, iat=NOW, toe=NOW, txn=txn, family=Family(family, "1.0"), event=event
    )  # fmt: skip


def changed_at(message: Message, part: str, **members: Any) -> Message:
    """Return a message with members of `routing` or `handling` replaced."""
    return replace(message, event={**message.event, part: {**message.event[part], **members}})


def told(partner: str, *countries: str, state: State = State.DELIVERED, attempt: int = 1, **more: Any) -> EarlierLeg:
    """Return a leg of an earlier message."""
    return EarlierLeg(
        leg_id=LegId(f"leg-{partner}"), partner=PartnerId(partner), jti=Jti(f"to-{partner}"), state=state, attempt=attempt,
        countries=tuple(map(Country, countries)), roles=more.pop("roles", (Role.DESTINATION,)), groups=more.pop("groups", GROUPS), **more,
    )  # fmt: skip


def before(message: Message, *legs: EarlierLeg, hours: float = 1) -> Earlier:
    """Return an earlier message."""
    return Earlier(message, NOW - timedelta(hours=hours), legs)


def facts(*earlier: Earlier, answered: Answered | None = None) -> Facts:
    """Return facts, in the order things were said."""
    return Facts(answered=answered, earlier=earlier, families=frozenset(e.message.family.name for e in earlier))


def answered(family: str, *, by: str = "fr-police", of: Ref | None = None, txn: str = "t", jti: str = "asked") -> Answered:
    """Return the leg that a reply answers."""
    return Answered(
        LegId("l"), Jti(jti), PartnerId(by), of or Ref(REGISTER, Jti("original")), family, txn, SubjectKey("s"), State.DELIVERED
    )  # fmt: skip


def journey(*stays: tuple[str, str, str | None], back: str | None = None) -> dict[str, Any]:
    """Return an itinerary from GB: stays of (country, from, to); without `to` nothing says when it ends."""
    segments, here, left = [], "GB", None
    for seq, (country, start, end) in enumerate(stays, start=1):
        segments.append(segment(seq, stop(here, left or start), stop(country, start)))
        here, left = country, end
    if left is not None:
        segments.append(segment(len(segments) + 1, stop(here, left), stop("GB", left), role="TRANSIT"))
    return {"segments": segments} | ({"return": {"date": back}} if back else {})


def notice(jti: str, itinerary: dict[str, Any], **body: Any) -> Message:
    """Return a travel notice."""
    return said("travel-notification", jti, itinerary=itinerary, **body)


def at(when: datetime, **more: Any) -> RuleContext:
    """Return the context of rules at an instant."""
    return replace(context(**more), now=when)


def day_of(text: str) -> date:
    """Return a day."""
    return date.fromisoformat(text)
