"""Travel notices for tests: factories with safe defaults, and the worlds they need."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Final

from gateway.contract.values import PartnerId, Ref
from gateway.core.policy import PolicySet
from gateway.core.policy_source import read_policies
from gateway.core.profiles import Profile
from gateway.testing.clock import START
from gateway.testing.journeys import AGP, AMS, BKK, CDG, LHR, Hop, Journey
from gateway.testing.messages import acknowledgement, replaced, travel_notice
from tests.house import ROOT, SHIPPED

VALID: Final[Mapping[str, Any]] = json.loads(
    (ROOT / "schemas/families/travel-notification/examples/valid.json").read_text(encoding="utf-8")
)
AIRPORTS: Final = {"FR": CDG, "NL": AMS, "ES": AGP, "TH": BKK, "GB": LHR}
HELP: Final = {"partner": "help-line", "role": "NAMED"}
RESTRICTION: Final = {
    "order": {"id": "TEST-ORDER-0001", "kind": "SHPO", "jurisdiction": "GB-EAW", "court": "Example Court"},
    "scope": "ALL",
}


def notice(*to: str, subject: str = "s-000001", seed: int = 1, **overrides: Any) -> dict[str, Any]:
    """A notice of a journey by air to each country in turn; `overrides` are JSON Pointers with `__` for the strokes."""
    stops = [AIRPORTS["GB"], *(AIRPORTS[country] for country in to or ("FR",))]
    hops = [
        Hop(start, end, "AIR", "08:00", "18:00", start_day=day, end_day=day) for day, (start, end) in enumerate(itertools.pairwise(stops))
    ]
    pointers = {"/" + name.replace("__", "/"): value for name, value in overrides.items()}
    return dict(travel_notice(Random(seed), START, journey=Journey("test", hops), subject_ref=subject, overrides=pointers).event)


def answer_to(got: Any, **body: Any) -> dict[str, Any]:
    """What a recipient says to a document it received, as it received it."""
    said = {key: value for key, value in got.event.items() if key in {"handling", "subject"}}
    return dict(
        acknowledgement(Random(2), START, of=Ref(PartnerId("gw-test"), got.jti), event=said, body=body or {"stage": "RECEIVED"}).event
    )


def also(*profiles: Profile) -> dict[PartnerId, Profile]:
    """The shipped profiles, with some replaced or added."""
    return dict(SHIPPED) | {profile.id: profile for profile in profiles}


def another(of: str, id_: str, **changes: Any) -> Profile:
    """A partner like a shipped one, under another id."""
    return replace(SHIPPED[PartnerId(of)], id=PartnerId(id_), name=id_, **changes)


def policies(*more: str, without: Sequence[str] = ()) -> PolicySet:
    """The shipped policies with some texts added, or some files left out."""
    texts = {
        path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "policies").glob("*.cedar")) if path.name not in without
    }
    texts |= {f"more-{number}.cedar": text for number, text in enumerate(more)}
    schema = (ROOT / "policies" / "gateway.cedarschema").read_text(encoding="utf-8")
    return PolicySet(read_policies(texts, schema, partners=frozenset(SHIPPED)), schema)


def urgent(event: Mapping[str, Any], priority: str = "IMMEDIATE") -> dict[str, Any]:
    """The same notice in a faster lane."""
    return replaced(event, "/routing/priority", priority)


def folder_of(path: Path) -> str:
    """The address of the database a house makes in a folder."""
    return f"sqlite:///{path}/gateway.db"
