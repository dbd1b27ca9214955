"""Policies through `decide`: what could not be evaluated becomes a held leg, never a sent one."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count

import pytest

from gateway.contract.values import Country, Environment, Family, Jti, PartnerId, Role
from gateway.core.admission import Accepted
from gateway.core.decided import HoldReason, Reason
from gateway.core.decision import Grounds, decide
from gateway.core.directory import Directory
from gateway.core.facts import NO_FACTS
from gateway.core.message import Message
from gateway.core.policy import PolicySet
from gateway.core.policy_source import read_policies
from gateway.core.profiles import Delivery, Profile, Receives
from gateway.ops.reference import load_reference, load_schemas
from gateway.ops.rulefiles import load_rule_tables
from tests.unit.core.policy_samples import ROOT, SCHEMA, shipped

REFERENCE = load_reference(ROOT / "schemas")
SCHEMAS = load_schemas(ROOT / "schemas", REFERENCE)
TABLES = load_rule_tables(ROOT / "schemas" / "rules")
EVENT = json.loads((ROOT / "schemas/families/travel-notification/examples/valid.json").read_text(encoding="utf-8"))
NOW = datetime(2026, 11, 20, tzinfo=UTC)
ERRS = '@id("errs") forbid(principal, action == Action::"%s", resource) when { 9223372036854775807 + 1 > 0 };'


def partner(id_: str, country: str, kind: str, *serves: str) -> Profile:
    receives = (Receives("travel-notification", frozenset(Role), frozenset({EVENT["handling"]["purpose"]})),)
    return Profile(
        id=PartnerId(id_), name=id_, country=Country(country), kind=kind, sector="STATUTORY", environment=Environment.TEST,
        delivery=Delivery(format="native", transport="inbox"), receives=receives, sends=frozenset({"travel-notification"}),
        serves=frozenset(map(Country, serves)),
    )  # fmt: skip


def decided(extra: str = "", *, serves: tuple[str, ...] = ()):
    partners = [partner("gb-register", "GB", "REGISTER"), partner("nl-border", "NL", "BORDER", *serves)]
    policies = read_policies({**shipped(), "extra.cedar": extra}, SCHEMA, partners={p.id for p in partners})
    grounds = Grounds(
        environment=Environment.TEST, directory=Directory(partners), policies=PolicySet(policies, SCHEMA), schemas=SCHEMAS,
        reference=REFERENCE, tables=TABLES, shows_conditions={"native": True}, digests={},
    )  # fmt: skip
    message = Message(
        iss=PartnerId("gb-register"), jti=Jti("j"), digest="", aud=PartnerId("gw"), iat=NOW, toe=NOW, txn="",
        family=Family("travel-notification", "1.0"), event=EVENT,
    )  # fmt: skip
    return decide(Accepted(message, b"", ()), NO_FACTS, grounds=grounds, now=NOW, new_id=_ids())


def _ids() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"id-{next(numbers)}"


def test_a_permitted_leg_goes_and_names_its_policy():
    (leg,) = decided().legs
    assert (leg.partner, leg.hold, leg.because) == ("nl-border", None, ("travel-to-authorities",))
    assert "offences" not in leg.groups
    assert {"offences", "risk"} <= {r.group for r in leg.removed}


@pytest.mark.parametrize("action", ["send", "send_unreviewed", "see_identity", "see_health"])
def test_an_erring_forbid_holds_the_leg_whatever_it_forbids(action):
    (leg,) = decided(ERRS % action).legs
    assert (leg.hold, leg.hold_because) == (HoldReason.POLICY_ERROR, ("policy-error",))


def test_a_forbid_is_a_recorded_refusal_that_names_it():
    decision = decided('@id("not-nl") forbid(principal == Partner::"nl-border", action == Action::"send", resource);')
    assert decision.legs == ()
    assert [(r.partner, r.reason, r.because) for r in decision.refusals if r.partner] == [("nl-border", Reason.POLICY, ("not-nl",))]


def test_a_leg_that_policy_forbids_is_refused_for_each_country_it_was_for():
    decision = decided('@id("not-nl") forbid(principal == Partner::"nl-border", action == Action::"send", resource);', serves=("TH",))
    assert decision.legs == ()
    assert [(r.partner, r.country, r.reason) for r in decision.refusals] == [
        ("nl-border", "TH", Reason.POLICY),
        ("nl-border", "NL", Reason.POLICY),
    ]


def test_a_leg_names_each_country_it_is_for():
    (leg,) = decided(serves=("TH",)).legs
    assert (leg.country, leg.countries) == ("TH", ("TH", "NL"))
