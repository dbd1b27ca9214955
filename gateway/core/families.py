"""The names of the twelve message families (domain.md b)."""

from __future__ import annotations

from typing import Final

TRAVEL: Final = "travel-notification"
ORDER: Final = "order-summary"
RISK: Final = "risk-update"
REGISTRATION: Final = "registration-record"
INTELLIGENCE: Final = "intelligence-report"
BREACH: Final = "breach-notification"
TRANSFER: Final = "supervision-transfer"
REFERRAL: Final = "support-referral"
REQUEST: Final = "information-request"
RESPONSE: Final = "information-response"
ACKNOWLEDGEMENT: Final = "acknowledgement"
CORRECTION: Final = "correction"

SAFEGUARDING_CONCERN: Final = "safeguarding-concern"  # a kind of intelligence-report: whoever sees a child in danger


def is_concern(family: str, body: object) -> bool:
    """Say whether a message is a safeguarding concern."""
    return family == INTELLIGENCE and isinstance(body, dict) and body.get("kind") == SAFEGUARDING_CONCERN
