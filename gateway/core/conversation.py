"""Conversations (R-CNV): what a reply answers, in which order things are said, and by when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from gateway.contract.values import Ref
from gateway.core.facts import Earlier, Facts
from gateway.core.families import ACKNOWLEDGEMENT, CORRECTION, RESPONSE, TRANSFER
from gateway.core.message import Message
from gateway.core.travel import instant

NEXT_STAGE: Final[Mapping[str | None, frozenset[str]]] = {
    None: frozenset({"PROPOSED"}),
    "PROPOSED": frozenset({"ACCEPTED", "REFUSED"}),
    "ACCEPTED": frozenset({"COMPLETED"}),
    "COMPLETED": frozenset({"RETURNED"}),
    "REFUSED": frozenset(),
    "RETURNED": frozenset(),
}
"""What may follow a stage of a transfer (R-CNV-02)."""
FORWARD: Final = {stage: rank for rank, stage in enumerate(("RECEIVED", "VALID", "MATCHED", "ACTIONED", "REFUSED"))}
"""The stages of a recipient's acknowledgements, which go only forward; a refusal is the last word."""
OPEN_ANSWERS: Final = frozenset({"RRT-00-05"})  # several people found: the requester tells more, and asks again


def stage_before(message: Message, facts: Facts) -> str | None:
    """Return the stage a transfer had reached in this conversation."""
    said = [e.message.body["stage"] for e in _joined(message, facts, TRANSFER)]
    return said[-1] if said else None


def acknowledged_before(message: Message, facts: Facts) -> str | None:
    """Return the last stage this partner acknowledged what it acknowledges now."""
    said = [e.message.body["stage"] for e in _own_replies(message, facts, ACKNOWLEDGEMENT)]
    return said[-1] if said else None


def answered_before(message: Message, facts: Facts) -> bool:
    """Say whether this partner has answered this request for good: not with a later deadline, or a question back."""
    return any(not _leaves_open(e.message) for e in _own_replies(message, facts, RESPONSE))


def reply_is_due(message: Message, facts: Facts) -> datetime | None:
    """Return by when the reply was asked for: by the original, or by the latest extension the replier gave notice of."""
    original = original_of(facts)
    if original is None:
        return None
    asked = original.message.event["routing"].get("reply_by")
    if asked is None and original.message.family.name == CORRECTION:
        asked = original.message.body["deadline"]
    extended = [e.message.body.get("deadline_extension") for e in _own_replies(message, facts, RESPONSE)]
    return max((found for text in (asked, *extended) if (found := instant(text)) is not None), default=None) if asked else None


def original_of(facts: Facts) -> Earlier | None:
    """Return the message that the reply answers, where it was read."""
    return None if facts.answered is None else facts.find(facts.answered.message)


def _leaves_open(response: Message) -> bool:
    body = response.body
    return "deadline_extension" in body or "more_information_needed" in body or body.get("response_type") in OPEN_ANSWERS


def _joined(message: Message, facts: Facts, family: str) -> list[Earlier]:
    return [e for e in facts.of(family) if e.message.txn == message.txn]


def _own_replies(message: Message, facts: Facts, family: str) -> list[Earlier]:
    """Return what the same partner replied before to the same message."""
    to: Ref | None = message.in_response_to
    return [e for e in _joined(message, facts, family) if e.message.iss == message.iss and e.message.in_response_to == to]
