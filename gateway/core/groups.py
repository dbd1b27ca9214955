"""The field groups: what a policy can show or hide (domain.md b.0). A closed list; every leaf of every message schema is in one."""

from __future__ import annotations

from typing import Final

ALWAYS: Final = frozenset({"handling", "routing", "subject"})  # never removed: without them no partner can handle the message lawfully
EXTENSIONS: Final = "extensions"  # shown only where a policy names each extension's URI
HEALTH: Final = "health"  # never travels without its reason
HEALTH_WITH_REASON: Final = "health:with-reason"  # to whoever cuts: health alone below what has its reason
GOVERNED: Final = (
    "sender_contact", "identity", "identifiers", "identity_documents", "description", "photo", "contact", "accommodation", "itinerary",
    "registration", "occupation", "vehicles", "household", "associates", "offences", "victim_profile", "risk", "staff_safety", "orders",
    "supervision", "breach", "intelligence", "support", HEALTH, "exchange", "narrative", EXTENSIONS,
)  # fmt: skip
GROUPS: Final = ALWAYS | frozenset(GOVERNED)
