"""Ten partners of ten countries, all pushed to, and notices that go to one of them each."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from itertools import count
from random import Random
from typing import Any

from benchmarks.notices import SENDER
from gateway.cli.kit import Kit
from gateway.core import tokens
from gateway.ops.system import SystemDice
from gateway.testing.journeys import LHR, Hop, Journey
from gateway.testing.messages import Sample, travel_notice

PLACES = {
    "FR": ("CDG", "Paris"), "ES": ("AGP", "Málaga"), "DE": ("FRA", "Frankfurt"), "NL": ("AMS", "Amsterdam"), "CZ": ("PRG", "Prague"),
    "IT": ("FCO", "Rome"), "PT": ("LIS", "Lisbon"), "AT": ("VIE", "Vienna"), "BE": ("BRU", "Brussels"), "SE": ("ARN", "Stockholm"),
}  # fmt: skip
NEIGHBOURS = {f"{country.lower()}-neighbour": country for country in PLACES}
PARTNERS = (SENDER, "gb-police", *NEIGHBOURS)
NUMBERS = count()  # of subjects: each message is about a person of its own


def profile(name: str, **delivery: Any) -> dict[str, Any]:
    """Return the whole profile of a neighbour police."""
    receives = {
        "family": "travel-notification", "roles": ["DESTINATION"], "purposes": ["PREVENT_CHILD_SEX_CRIME", "MANAGE_OFFENDER", "SAFEGUARD"],
    }  # fmt: skip
    return {
        "id": name, "name": f"Example Neighbour Police ({NEIGHBOURS[name]})", "country": NEIGHBOURS[name], "kind": "POLICE",
        "sector": "STATUTORY", "environment": "TEST", "sends": [], "receives": [receives],
        "delivery": {"format": "native", "transport": "https_push", **delivery}, "transport": {},
    }  # fmt: skip


def notice(name: str, now: datetime, dice: Random, *, priority: str = "ROUTINE") -> Sample:
    """Return a notice that goes to one neighbour alone."""
    iata, city = PLACES[NEIGHBOURS[name]]
    there = {"kind": "AIRPORT", "iata": iata, "text": city, "country": NEIGHBOURS[name]}
    journey = Journey(f"London to {city}", (Hop(LHR, there, "AIR", "09:30", "11:50"),))
    overrides = {"/routing/priority": priority, "/body/risk_level/level": "LOW", "/body/person/nationalities": ["GB"]}
    return travel_notice(dice, now, journey=journey, subject_ref=f"s-{next(NUMBERS):07d}", overrides=overrides)


def again(sample: Sample, now: datetime) -> Sample:
    """Return a notice that says the same about another person, as a message of its own: a tenth of the work of a new one."""
    jti = SystemDice().uuid7(now)
    subject = {**sample.event["subject"], "ref": f"s-{next(NUMBERS):07d}"}
    return replace(sample, event={**sample.event, "subject": subject}, jti=jti, txn=jti)


def signed(kit: Kit, sample: Sample) -> bytes:
    """Return a notice signed by the register."""
    return tokens.sign(sample.claims(iss=kit.partner, aud=kit.gateway, uri_base=kit.uri_base), kit.submit_key, typ=tokens.EVENT)
