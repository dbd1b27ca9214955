"""A generator for each family: `sample(family, dice, now)` makes a message that its schema and rules accept, fictional in every name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from random import Random
from typing import Final

from gateway.contract.values import Family
from gateway.testing.families import (
    acknowledgement,
    breach_notification,
    exchange,
    intelligence_report,
    order_summary,
    registration_record,
    risk_update,
    supervision_transfer,
    support_referral,
)
from gateway.testing.messages import ACKNOWLEDGEMENT, TRAVEL, Sample, travel_notice

Generator = Callable[[Random, datetime], Sample]
GENERATORS: Final[Mapping[Family, Generator]] = {
    TRAVEL: travel_notice,
    ACKNOWLEDGEMENT: acknowledgement.generate,
    order_summary.FAMILY: order_summary.generate,
    risk_update.FAMILY: risk_update.generate,
    registration_record.FAMILY: registration_record.generate,
    breach_notification.FAMILY: breach_notification.generate,
    supervision_transfer.FAMILY: supervision_transfer.generate,
    exchange.REQUEST: exchange.request,
    exchange.RESPONSE: exchange.response,
    exchange.CORRECTION: exchange.correction,
    intelligence_report.FAMILY: intelligence_report.generate,
    support_referral.FAMILY: support_referral.generate,
}


def sample(family: Family, dice: Random, now: datetime) -> Sample:
    """Return a message of a family: the same dice and `now` give the same. Raises `KeyError` for a family without a generator."""
    return GENERATORS[family](dice, now)
