"""Fictional referrals to those who treat or support: named, by a pseudonym, or not named at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from gateway.contract.values import Family
from gateway.testing.messages import Sample, data_quality, handling_of, instant, made, person_of, routing_of

FAMILY: Final = Family("support-referral", "1.0")
GROUPS: Final = {"identity_mode": "support", "health": "health", "strictly_necessary": "health"}
PROVIDERS: Final = {"COSA": "NGO", "STOP_IT_NOW": "NGO", "TREATMENT_PROVIDER": "STATUTORY", "HEALTH_SERVICE": "STATUTORY"}


def generate(dice: Random, now: datetime) -> Sample:
    """Return a referral of one of the three modes."""
    mode = dice.choice(["ANONYMOUS", "PSEUDONYM", "IDENTIFIED"])
    provider = dice.choice(sorted(PROVIDERS))
    body: dict[str, Any] = {
        "identity_mode": mode,
        "referred_role": dice.choice(["SUBJECT", "FAMILY_FRIEND", "PROFESSIONAL"]),
        "provider": {"kind": provider, "sector": PROVIDERS[provider], "accreditation": "Fictional scheme, level 2"},
        "prevention_level": dice.randrange(1, 4),
        "support_kinds": dice.sample(["ADVICE", "COMMUNITY", "FAMILY", "TREATMENT"], 2),
        "needs": dice.sample(["FEMALE", "INTERNET_OFFENDING", "LANGUAGE"], dice.randrange(3)),
        "note_kind": dice.choice(["OFFER", "REFERRAL"]),
        "urgency": dice.choice(["ROUTINE", "SOON", "NOW"]),
        "safeguarding_flag": dice.random() < 0.1,
    }
    if mode == "IDENTIFIED":
        agreed = now - timedelta(days=dice.randrange(1, 20))
        body["person"] = person_of(dice)
        body["consent"] = {"given": True, "at": instant(agreed), "scope": "To be referred to this provider (fictional)."}
    if dice.random() < 0.3:  # so that both are seen
        body |= {"health": {"support_kinds": ["PSYCHOLOGICAL"]}, "strictly_necessary": "Fictional reason."}
    handling = {**handling_of(now, "TEST"), "purpose": "SUPPORT"}
    routing = {**routing_of("ROUTINE"), "recipients": [{"country": "FR", "role": "NAMED"}]}
    event = {"handling": handling, "routing": routing, "subject": _subject(dice, mode), "body": body}
    handling["data_quality"] = data_quality(event, GROUPS)
    sample = made(FAMILY, event, dice, now, toe=now)
    return replace(sample, txn=sample.jti) if mode == "ANONYMOUS" else sample


def _subject(dice: Random, mode: str) -> dict[str, str]:
    """Say who it is about: nobody, a pseudonym that no register has, or the sender's own reference."""
    number = f"{dice.randrange(10**6):06d}"
    known = {"ANONYMOUS": {}, "PSEUDONYM": {"ref": f"p-{number}"}, "IDENTIFIED": {"ref": f"s-{number}"}}[mode]
    return {**known, "status": "SELF_REFERRED", "is_minor": "UNKNOWN" if mode == "ANONYMOUS" else "NO"}
