"""Acknowledgements of fictional notices, corrections and referrals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from gateway.contract.values import Jti, PartnerId, Ref
from gateway.testing.families import exchange, support_referral
from gateway.testing.messages import Sample, acknowledgement, travel_notice

SAID: Final[Sequence[Mapping[str, Any]]] = (
    {"stage": "RECEIVED"},
    {"stage": "VALID"},
    {"stage": "MATCHED", "outcome": "MATCHED"},
    {"stage": "MATCHED", "outcome": "NO_MATCH"},
    {"stage": "ACTIONED", "outcome": "MONITORED"},
    {"stage": "ACTIONED", "outcome": "ARRIVED", "entered_country": "FR"},
    {"stage": "REFUSED", "reason": "POLICY"},
)
OF_A_CORRECTION: Final[Sequence[Mapping[str, Any]]] = (
    {"stage": "RECEIVED"},
    {"stage": "ACTIONED", "outcome": "UPDATED"},
    {"stage": "ACTIONED", "outcome": "DELETED"},
    {"stage": "ACTIONED", "outcome": "RESTRICTED"},
    {"stage": "REFUSED", "outcome": "REFUSED", "reason": "NOT_COMPETENT"},
)
OF_A_REFERRAL: Final[Sequence[Mapping[str, Any]]] = ({"stage": "RECEIVED"}, {"stage": "ACTIONED", "outcome": "NO_ACTION"})
TAKES: Final = frozenset({"RECEIVED", "VALID", "MATCHED", "ACTIONED"})  # stages of a recipient that may ask for more


def generate(dice: Random, now: datetime) -> Sample:
    """Return an answer to something that nobody sent: mostly a notice, else a correction, or a referral, of which some are anonymous."""
    of, said = dice.choices(
        [(travel_notice, SAID), (exchange.correction, OF_A_CORRECTION), (support_referral.generate, OF_A_REFERRAL)], [6, 2, 2]
    )[0]
    answered, body = of(dice, now), dict(dice.choice(said))
    if of is travel_notice and body["stage"] in TAKES and dice.random() < 0.3:  # so that both are seen
        body["keep_informed_until"] = (now + timedelta(days=dice.randrange(30, 365))).date().isoformat()
    heard = {**answered.event, "subject": {**answered.event["subject"], "iss": "gb-register"}}
    return acknowledgement(dice, now, of=Ref(PartnerId("gateway"), Jti(answered.jti)), event=heard, txn=answered.txn, body=body)
