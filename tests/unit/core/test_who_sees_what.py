"""docs/policies.md, row by row, compared with the shipped policies: a changed policy is a changed line there, or a failing test here."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import pytest

from gateway.contract.values import Country, Jti, Lane, PartnerId, Role
from gateway.core.groups import ALWAYS
from gateway.core.message import Message
from gateway.core.minimise import minimise
from gateway.core.policy import Effect, PolicyContext, context_of
from gateway.testing.clock import START
from gateway.testing.families import sample
from gateway.testing.families.intelligence_report import FAMILY as INTELLIGENCE
from tests.house import SCHEMAS, SHIPPED
from tests.unit.core.policy_samples import ROOT, ctx, shipped_set
from tests.unit.core.test_policy_lists import enumerated

PAGE: Final = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
POLICIES: Final = shipped_set()
KINDS, PURPOSES, FAMILIES = (sorted(enumerated(name)) for name in ("Kind", "Purpose", "Family"))
THE_FOUR: Final = "PREVENT_CHILD_SEX_CRIME, MANAGE_OFFENDER, INVESTIGATE, SAFEGUARD"
TRANSIT, STAY, NAMED, PROTECT = (Role.TRANSIT,), (Role.DESTINATION, Role.TRANSIT), (Role.NAMED,), (Role.SAFEGUARDING,)
EVERY: Final = tuple(sorted(Role))
ROLES: Final = {
    "any": (TRANSIT, EVERY),
    "TRANSIT alone": (TRANSIT,),
    "otherwise": (STAY, EVERY),
    "NAMED": (NAMED, EVERY),
    "not NAMED": (TRANSIT, PROTECT),
    "SAFEGUARDING": (PROTECT, EVERY),
}
READ_UNLESS: Final = {  # what leaves unread: by status of the subject, and lane
    "no": {("CONVICTED", Lane.ROUTINE), ("SUSPECTED", Lane.ROUTINE), ("SUSPECTED", Lane.IMMEDIATE)},
    "unless dealt with": {("CONVICTED", Lane.ROUTINE)},
    "unless IMMEDIATE or dealt with": {("CONVICTED", Lane.ROUTINE), ("SUSPECTED", Lane.IMMEDIATE)},
}
DEALT_WITH: Final = {"CONVICTED", "CAUTIONED", "UNDER_ORDER"}


@dataclass(frozen=True)
class Row:
    """One row of the page."""

    family: str
    kinds: frozenset[str]
    purposes: frozenset[str]
    roles: tuple[tuple[Role, ...], ...]
    read_first: str
    groups: frozenset[str]

    def __str__(self) -> str:
        return f"{self.family}-{'-'.join(sorted(self.kinds)[:3])}-{'-'.join(sorted(self.purposes)[:2])}"

    def asked(self) -> Iterator[PolicyContext]:
        for kind, purpose, roles in itertools.product(sorted(self.kinds), sorted(self.purposes), self.roles):
            yield question(self.family, kind, purpose, roles)


def question(family: str, kind: str, purpose: str, roles: tuple[Role, ...], **more: object) -> PolicyContext:
    sector = "NGO" if kind == "SUPPORT_NGO" else "STATUTORY"
    return ctx(family=family, kind=kind, sector=sector, purpose=purpose, roles=roles, **more)


def rows() -> Iterator[Row]:
    for section in PAGE.split("\n## ")[1:]:
        family = section.split("\n")[0]
        for line in re.findall(r"^\| (.*) \|$", section, re.MULTILINE)[2:]:
            kinds, purposes, roles, read_first, groups = (cell.strip() for cell in line.split("|"))
            yield Row(
                family,
                codes(kinds, "every kind", KINDS),
                codes(purposes.replace("the four", THE_FOUR), "every purpose", PURPOSES),
                ROLES[roles],
                read_first,
                codes(groups, "", []),
            )


def codes(cell: str, every: str, known: list[str]) -> frozenset[str]:
    return frozenset(known) if cell == every else frozenset(cell.split(", "))


ROWS: Final = tuple(rows())


def test_the_page_has_a_section_for_each_family_and_names_what_there_is():
    assert {row.family for row in ROWS} == set(FAMILIES)
    assert set().union(*(row.kinds for row in ROWS)) == set(KINDS)
    assert set().union(*(row.purposes for row in ROWS)) == set(PURPOSES)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_row_is_what_the_policies_say(row):
    for asked in row.asked():
        answer = POLICIES.decide_partner(asked)
        assert (answer.send.effect, answer.allowed - ALWAYS) == (Effect.ALLOW, row.groups), (asked.kind, asked.purpose, asked.roles)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_row_says_whether_a_person_reads_it_first(row):
    kind, purpose, roles = min(row.kinds), min(row.purposes), row.roles[0]
    unread = {
        (status, lane)
        for status, lane in READ_UNLESS["no"]
        if POLICIES.decide_partner(question(row.family, kind, purpose, roles, status=status, lane=lane)).unreviewed.effect is Effect.ALLOW
    }
    assert unread == READ_UNLESS[row.read_first]


@pytest.mark.slow  # every pair of kind and purpose, for each family
@pytest.mark.parametrize("family", FAMILIES)
def test_what_has_no_row_is_not_sent(family):
    said: dict[tuple[str, str], set[tuple[Role, ...]]] = {}
    for row in ROWS:
        for pair in itertools.product(row.kinds, row.purposes) if row.family == family else ():
            said.setdefault(pair, set()).update(row.roles)
    for kind, purpose in itertools.product(KINDS, PURPOSES):
        unsaid = [roles for roles in ROLES["any"] if roles not in said[kind, purpose]] if (kind, purpose) in said else [EVERY]
        for roles in unsaid:
            answer = POLICIES.decide_partner(question(family, kind, purpose, roles))
            assert answer.send.effect is Effect.DENY, (kind, purpose, roles)


@pytest.mark.parametrize("status", sorted(enumerated("Status")))
def test_dealt_with_is_what_the_page_says_it_is(status):
    answer = POLICIES.decide_partner(question("order-summary", "POLICE", "MANAGE_OFFENDER", STAY, status=status))
    assert (answer.unreviewed.effect is Effect.ALLOW) is (status in DEALT_WITH)


@pytest.mark.parametrize("code", ["H1", "H2"])
def test_a_state_that_cannot_keep_a_condition_gets_nothing_under_it(code):
    asked = question("travel-notification", "POLICE", "MANAGE_OFFENDER", STAY, country="CA")
    assert POLICIES.decide_partner(asked).send.effect is Effect.ALLOW
    bound = question("travel-notification", "POLICE", "MANAGE_OFFENDER", STAY, country="CA", handling=("H0", code))
    assert POLICIES.decide_partner(bound).send.because == ("states-that-cannot-keep-h1-h2",)
    again = question("correction", "POLICE", "MANAGE_OFFENDER", STAY, country="CA", handling=(code,))
    assert POLICIES.decide_partner(again).send.effect is Effect.ALLOW


@pytest.mark.parametrize(("recipient", "sees"), [("fr-police", 2), ("se-hub", 1)])
def test_who_may_not_see_associates_does_not_learn_a_companion_s_name(recipient, sees):
    event = report_with_companion()
    profile = SHIPPED[PartnerId(recipient)]
    message = Message(
        iss=PartnerId("gb-register"), jti=Jti("j"), digest="", aud=PartnerId("gw"), iat=START, toe=START, txn="", family=INTELLIGENCE,
        event=event,
    )  # fmt: skip
    answer = POLICIES.decide_partner(context_of(message, profile, (Role.NAMED,), home=Country("GB"), on=START.date()))
    view = minimise(message, answer.allowed, profile, SCHEMAS)
    families = [name["family"] for person in event["body"]["persons"] for name in person["person"]["names"]]
    assert [name for name in families if name in str(view.event)] == families[:sees]
    assert ("associates" in {removed.group for removed in view.removed}) is (sees == 1)


def report_with_companion() -> dict[str, Any]:
    """An intelligence report about two persons, whose names differ."""
    event = next(
        made.event for seed in range(99) if len((made := sample(INTELLIGENCE, Random(seed), START)).event["body"].get("persons", ())) == 2
    )
    for number, person in enumerate(event["body"]["persons"]):
        person["person"]["names"] = [{"kind": "LEGAL", "family": f"FICTIONAL-{number}"}]
    return dict(event)
