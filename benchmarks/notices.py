"""The messages of a run: distinct fictional notices, each with two recipients: one country in transit, one at the end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from random import Random

from gateway.testing.journeys import AGP, CDG, LHR, Hop, Journey
from gateway.testing.messages import Sample, travel_notice

SENDER = "gb-register"
RECIPIENTS = ("fr-police", "es-police")
PARTNERS = (*RECIPIENTS, SENDER, "gb-police")
LEGS = len(RECIPIENTS)
WINDOW = 64  # legs of one partner under way: the most a profile may ask for
JOURNEY = Journey("London by Paris to Málaga", (Hop(LHR, CDG, "AIR", "09:30", "11:50"), Hop(CDG, AGP, "AIR", "14:10", "16:20")))


def notices(count: int, now: datetime, *, seed: int = 1) -> Iterator[Sample]:
    """Yield notices, each about another person; the same seed and time give the same."""
    dice = Random(seed)  # noqa: S311 -- repeatable on purpose
    for number in range(count):
        yield travel_notice(dice, now, journey=JOURNEY, subject_ref=f"s-{seed}-{number:06d}")
