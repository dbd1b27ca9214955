"""What somebody must know at once (alerts), and what every copy says of a message beside its content (marks)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, time
from typing import Final

from gateway.contract.values import PartnerId
from gateway.core.conversation import reply_is_due
from gateway.core.correction import standing
from gateway.core.decided import Alert
from gateway.core.directory import Directory
from gateway.core.facts import Facts
from gateway.core.families import BREACH, CORRECTION, INTELLIGENCE, ORDER, RISK, TRAVEL
from gateway.core.message import Message
from gateway.core.restriction import forbids, orders
from gateway.core.rules.base import RuleContext
from gateway.core.rules.dates import after
from gateway.core.travel import read_travel

TRAVEL_RESTRICTION: Final = "TRAVEL_RESTRICTION"
REVIEW_DUE: Final = "REVIEW_DUE"
REPLY_LATE: Final = "REPLY_LATE"
REVIEW_TRIGGERS: Final = frozenset(
    {"NEW_OFFENCE", "NEW_RELATIONSHIP", "NEW_ACCOMMODATION", "CHILD_CONTACT", "INTELLIGENCE", "BREACH"}
)  # domain.md d.5, what is a change or news; PERIODIC and TRANSFER are none
REVIEW: Final = "R-RSK-08"


def alerts_of(message: Message, facts: Facts, ctx: RuleContext, *, directory: Directory) -> tuple[Alert, ...]:
    """Return the alerts a message gives rise to. It is delivered all the same."""
    owner = owner_of(message, facts)
    found = []
    if is_restricted(message, facts, ctx) or (message.family.name == ORDER and _forbids_a_notice(message, facts, ctx)):
        found.append(Alert(TRAVEL_RESTRICTION, _told(owner, directory)))
    if is_review_due(message, facts):
        found.append(Alert(REVIEW_DUE, _told(owner, directory), due=_review_by(ctx)))
    return tuple(alert for alert in found if alert.to)


def owner_of(message: Message, facts: Facts) -> PartnerId:
    """Return whose subject it is: replies count to the subject of what they answer, so it is who spoke of the subject without answering."""
    if facts.answered is None:
        return message.iss
    first = next((e.message for e in facts.earlier if e.message.in_response_to is None), None)
    return facts.answered.message.iss if first is None else first.iss


def marks_of(message: Message, facts: Facts, ctx: RuleContext) -> tuple[str, ...]:
    """Return what is marked on every copy: a journey that an order forbids (R-TRV-09), a reply after its deadline (R-CNV-03)."""
    restricted = (TRAVEL_RESTRICTION,) if is_restricted(message, facts, ctx) else ()
    late = (REPLY_LATE,) if is_late(message, facts, ctx.now) else ()
    return restricted + late


def is_restricted(message: Message, facts: Facts, ctx: RuleContext) -> bool:
    """Say whether an order forbids the journey of a notice: as its sender says, or as one carried here says (R-TRV-09)."""
    notice = _notice_of(message)
    if notice is None:
        return False
    return notice.body.get("active_travel_restriction", "NONE") != "NONE" or forbids(orders(facts).values(), notice, ctx.sender.country)


def _notice_of(message: Message) -> Message | None:
    """Return a message as the notice it is, or puts in the place of one."""
    put = message.body.get("replacement", {}).get(TRAVEL) if message.family.name == CORRECTION else None
    if put is not None:
        return replace(message, event={**message.event, "body": put})
    return message if message.family.name == TRAVEL else None


def is_review_due(message: Message, facts: Facts) -> bool:
    """Say whether there is news about a subject that nobody visits: reactive management rests on there being none (R-RSK-08)."""
    if message.family.name in {INTELLIGENCE, BREACH}:
        if facts.unread and RISK in facts.families:
            return True  # rather once too often than never
        said = {e.message.iss: e.message.body["management_mode"] for e in standing(facts, RISK)}  # by each its last word
        return said.get(owner_of(message, facts), "REACTIVE" if "REACTIVE" in said.values() else None) == "REACTIVE"
    review = message.body.get("review", {}) if message.family.name == RISK else {}
    reactive = message.body.get("management_mode") == "REACTIVE"
    return reactive and review.get("trigger") in REVIEW_TRIGGERS and "outcome" not in review


def is_late(message: Message, facts: Facts, now: datetime) -> bool:
    """Say whether a reply comes after it was asked for (R-CNV-03)."""
    due = reply_is_due(message, facts)
    return due is not None and now > due


def _forbids_a_notice(message: Message, facts: Facts, ctx: RuleContext) -> bool:
    """Say whether a new order forbids a journey that notice was given of, and that is not over."""
    notices: Iterator[Message] = (e.message for e in standing(facts, TRAVEL))
    return any(_not_over(notice, ctx) and forbids((message.body,), notice, ctx.sender.country) for notice in notices)


def _not_over(notice: Message, ctx: RuleContext) -> bool:
    itinerary = read_travel(notice.body).itinerary
    days = [s.arrival.date for s in itinerary.segments if s.arrival.date is not None]
    last = itinerary.return_date or max(days, default=None)
    return last is None or last >= ctx.now.date()


def _told(owner: PartnerId, directory: Directory) -> tuple[PartnerId, ...]:
    """Return who answers for the subject: the register that has it, and the managing authority its profile names.

    A partner abroad that told us something about the subject is not among them: how the person is managed is not its business.
    """
    profile = directory.find(owner)
    if profile is None:
        return ()
    managing = None if profile.managing_authority is None else directory.find(profile.managing_authority)
    return (owner,) if managing is None else (owner, managing.id)


def _review_by(ctx: RuleContext) -> datetime | None:
    picked = ctx.tables.row(REVIEW, ctx.jurisdiction, ctx.now.date())
    return None if picked is None else datetime.combine(after(ctx.now.date(), picked.row), time(23, 59, 59), ctx.now.tzinfo)
