"""Acknowledgements of fictional notices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from random import Random
from typing import Any, Final

from gateway.contract.values import Jti, PartnerId, Ref
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


def generate(dice: Random, now: datetime) -> Sample:
    """Return an answer to a notice that nobody sent."""
    notice = travel_notice(dice, now)
    heard = {**notice.event, "subject": {**notice.event["subject"], "iss": "gb-register"}}
    return acknowledgement(dice, now, of=Ref(PartnerId("gateway"), Jti(notice.jti)), event=heard, txn=notice.txn, body=dice.choice(SAID))
