"""Contexts and policy texts that the policy tests share."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from gateway.contract.values import Country, Lane, PartnerId, Role
from gateway.core.policy import PolicyContext, PolicySet
from gateway.core.policy_source import read_policies

ROOT = Path(__file__).parents[3]
SCHEMA = (ROOT / "policies" / "gateway.cedarschema").read_text(encoding="utf-8")
KINDS = frozenset(re.findall(r'"([^"]+)"', SCHEMA[SCHEMA.index("entity Kind enum") : SCHEMA.index("entity Sector")]))
PARTNERS = frozenset({"fr-police", "nl-border", "help-line"})
POLICE = PolicyContext(
    partner=PartnerId("fr-police"),
    kind="POLICE",
    sector="STATUTORY",
    country=Country("FR"),
    family="travel-notification",
    purpose="PREVENT_CHILD_SEX_CRIME",
    legal_basis=("TRAVEL_NOTICE",),
    classification="OFFICIAL",
    handling=("H0",),
    lane=Lane.ROUTINE,
    roles=(Role.DESTINATION,),
    abroad=True,
    is_minor="NO",
    status="CONVICTED",
    same_environment=True,
    day=date(2026, 11, 5),
)
PERMIT = '@id("p") permit(principal, action in [Action::"send", Action::"see_identity"], resource);\n'


def shipped() -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "policies").glob("*.cedar")}


def policy_set(text: str) -> PolicySet:
    return PolicySet(read_policies({"test.cedar": text}, SCHEMA, partners=PARTNERS), SCHEMA)


def shipped_set() -> PolicySet:
    return PolicySet(read_policies(shipped(), SCHEMA, partners=PARTNERS), SCHEMA)


def ctx(**changes: Any) -> PolicyContext:
    return replace(POLICE, **changes)
