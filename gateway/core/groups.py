"""The field groups: what a policy can show or hide (domain.md b.0). A closed list; every leaf of every message schema is in one."""

from __future__ import annotations

from typing import Final

ALWAYS: Final = frozenset({"handling", "routing", "subject"})  # never removed: without them no partner can handle the message lawfully
EXTENSIONS: Final = "extensions"  # shown only where a policy names each extension's URI
GOVERNED: Final = (
    "sender_contact", "identity", "identifiers", "identity_documents", "description", "photo", "contact", "accommodation", "itinerary",
    "registration", "occupation", "vehicles", "household", "associates", "offences", "victim_profile", "risk", "staff_safety", "orders",
    "supervision", "breach", "intelligence", "support", "health", "exchange", "narrative", EXTENSIONS,
)  # fmt: skip
GROUPS: Final = ALWAYS | frozenset(GOVERNED)
