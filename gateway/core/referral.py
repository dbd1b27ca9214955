"""Support referrals: help, not policing. Who may ever get one (R-REF-02), and what policies may know of one (R-GEN-09)."""

from __future__ import annotations

from typing import Final

from gateway.core.message import Message

FAMILY: Final = "support-referral"
RULE: Final = "R-REF-02"
PROVIDERS: Final = frozenset({"HEALTH", "SUPPORT_SERVICE", "SUPPORT_NGO"})  # kinds of partners (domain.md d.16) that support or treat


def is_barred(family: str, kind: str) -> bool:
    """Say whether a partner of this kind must never be sent this family, whatever the operator's policies permit."""
    return family == FAMILY and kind not in PROVIDERS


def provider_of(message: Message) -> str | None:
    """Return the kind of provider a referral is for (d.9), None for a message that is no referral."""
    if message.family.name != FAMILY:
        return None
    kind: str | None = message.body.get("provider", {}).get("kind")
    return kind


def is_anonymous(message: Message) -> bool:
    """Say whether a message is a referral of somebody it does not name in any way."""
    return message.family.name == FAMILY and message.body.get("identity_mode") == "ANONYMOUS"
