"""What the store must say before a decision."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.contract.values import Jti, LegId, PartnerId, Ref, SubjectKey
from gateway.core.delivery import State


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
class Facts:
    """Everything a decision may know beside the message. Kept, encrypted, with the decision (R-GEN-21)."""

    answered: Answered | None = None
    unread: tuple[str, ...] = ()  # names of facts that could not be read: every leg is then held (FACT_UNREAD)


NO_FACTS = Facts()
