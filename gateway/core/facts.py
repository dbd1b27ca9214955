"""What the store must say before a decision: the leg a reply answers, and what was said earlier about the subject.

The app asks twice: for the heads of what is known of a subject (no content is opened for that), then for the messages that `wanted` names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.contract.values import Country, Jti, LegId, PartnerId, Ref, Role, SubjectKey
from gateway.core.delivery import OPEN, State
from gateway.core.families import (
    ACKNOWLEDGEMENT,
    BREACH,
    CORRECTION,
    INTELLIGENCE,
    ORDER,
    RESPONSE,
    RISK,
    TRANSFER,
    TRAVEL,
)  # fmt: skip
from gateway.core.message import Message

INTEREST: Final = frozenset({TRAVEL, ACKNOWLEDGEMENT, CORRECTION})  # what a live interest is read from (R-RTE-06)
ASKED_OF_SUBJECT: Final = {
    TRAVEL: frozenset({ORDER, CORRECTION}),  # R-TRV-09, R-TRV-14
    ORDER: frozenset({ORDER}) | INTEREST,  # R-ORD-14
    RISK: frozenset({RISK}) | INTEREST,
    BREACH: frozenset({RISK}) | INTEREST,  # R-RSK-08
    INTELLIGENCE: frozenset({RISK}),
    RESPONSE: frozenset({CORRECTION}),  # R-CNV-01: what was taken back is not asked any more
    TRANSFER: frozenset({CORRECTION}),
    CORRECTION: frozenset({CORRECTION, ORDER}),  # R-GEN-05: taken back before? R-TRV-09 of a journey put in place
}
"""Families of earlier messages that a decision on a message of a family asks for, over the whole life of the subject."""
NEWEST_WORDS: Final = 4  # acknowledgements of one partner in one conversation that can still decide something: stage and interest
CONVERSATIONS: Final = frozenset({TRANSFER, RESPONSE, ACKNOWLEDGEMENT})  # what is judged by what was said in its own conversation (R-CNV)


@dataclass(frozen=True, slots=True)
class Answered:
    """The leg that a reply answers: `in_response_to` named its `jti`."""

    leg_id: LegId
    jti: Jti
    partner: PartnerId  # who was told
    message: Ref  # the original, of its sender
    family: str  # the original's
    txn: str
    subject: SubjectKey
    state: State


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of an earlier message without opening it."""

    ref: Ref
    family: str
    txn: str  # as its row spells it
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierLeg:
    """Whom an earlier message went to, or is going to."""

    leg_id: LegId
    partner: PartnerId
    jti: Jti
    state: State
    attempt: int
    countries: tuple[Country, ...]
    roles: tuple[Role, ...]
    groups: frozenset[str]
    hold: str | None = None

    @property
    def perhaps_sent(self) -> bool:
        """Say whether the partner may have got it: published or offered once counts."""
        return self.attempt > 0

    @property
    def told(self) -> bool:
        """Say whether the partner knows, or will know before anything later on this subject: order holds per subject and partner."""
        return self.perhaps_sent or self.state in OPEN


@dataclass(frozen=True, slots=True)
class Earlier:
    """A message accepted earlier about the same subject."""

    message: Message
    received_at: datetime
    legs: tuple[EarlierLeg, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a decision may know beside the message. Which messages they were is kept, encrypted, with the decision (R-GEN-21)."""

    answered: Answered | None = None
    earlier: tuple[Earlier, ...] = ()  # oldest first
    families: frozenset[str] = frozenset()  # of all that is known of the subject, opened or not
    of_referral: bool = False  # it takes up the conversation of a referral, or answers one, and is none (R-REF-03)
    urgent_spent: bool = False  # its sender's quota of the fastest lane is used up
    unread: tuple[str, ...] = ()  # names of facts that could not be read: every leg is then held (FACT_UNREAD)

    def of(self, *families: str) -> tuple[Earlier, ...]:
        """Return what was said earlier in some families, oldest first."""
        return tuple(e for e in self.earlier if e.message.family.name in families)

    def find(self, ref: Ref) -> Earlier | None:
        """Return one earlier message."""
        return next((e for e in self.earlier if e.message.ref == ref), None)


NO_FACTS = Facts()


def wanted(message: Message, heads: Iterable[Head], *, conversation: str) -> frozenset[Ref]:
    """Return which earlier messages a decision has to read. `conversation` is the message's `txn` as heads spell it.

    Of acknowledgements only the newest of each partner: who sends many must not use up what one decision may read.
    """
    heads = _without_old_words(heads)
    families = ASKED_OF_SUBJECT.get(message.family.name, frozenset())
    if message.family.name == TRAVEL and any(head.family == CORRECTION for head in heads):
        families |= {TRAVEL}  # a notice withdrawn as wrong is not sent again (R-TRV-14)
    by_family = {head.ref for head in heads if head.family in families}
    named = {ref for ref in (superseded(message), corrected(message)) if ref is not None}
    joined = message.family.name in CONVERSATIONS
    replies = {
        head.ref
        for head in heads
        if joined and head.txn == conversation and (head.family != ACKNOWLEDGEMENT or head.ref.iss == message.iss)
    }
    return frozenset(by_family | replies | (named & {head.ref for head in heads}))


def _without_old_words(heads: Iterable[Head]) -> tuple[Head, ...]:
    """Leave out all but the newest acknowledgements of each partner in each conversation; `heads` are oldest first."""
    left: Counter[tuple[PartnerId, str]] = Counter()
    kept: list[Head] = []
    for head in reversed(tuple(heads)):
        said = (head.ref.iss, head.txn)
        left[said] += head.family == ACKNOWLEDGEMENT
        if head.family != ACKNOWLEDGEMENT or left[said] <= NEWEST_WORDS:
            kept.append(head)
    return tuple(reversed(kept))


def superseded(message: Message) -> Ref | None:
    """Return the notice that a notice takes the place of."""
    return _reference(message, TRAVEL, "supersedes")


def corrected(message: Message) -> Ref | None:
    """Return the message that a correction is about."""
    return _reference(message, CORRECTION, "corrects")


def _reference(message: Message, family: str, name: str) -> Ref | None:
    value = message.body.get(name) if message.family.name == family else None
    return None if value is None else Ref(PartnerId(value["iss"]), Jti(value["jti"]))
