"""R-SAF-04, the pure half: what is watched, how long, and who has a concern."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from gateway.contract.values import Country, Jti, Lane, LegId, PartnerId, Role
from gateway.core.decided import Decision, PlannedLeg, Reason
from gateway.core.delivery import State
from gateway.core.directory import Directory
from gateway.core.escalation import RULE, UNANSWERED, WITHOUT_A_ROW, has_it, patience, police_of, watches
from gateway.core.rules.intelligence import FAMILY
from gateway.core.rules.tables import RuleRow, RuleTables, SourceKind, Unit
from tests.unit.core.samples import NOW, changed, message, partner, register, shipped_tables
from tests.unit.core.schema_samples import FAMILIES, shipped

(INT,) = (family for family in FAMILIES if family.name == FAMILY)
CONCERN = shipped(INT, "warnings")
LEG = PlannedLeg(
    leg_id=LegId("1"), jti=Jti("2"), partner=PartnerId("gb-children"), countries=(Country("GB"),), roles=(Role.SAFEGUARDING,),
    lane=Lane.IMMEDIATE, groups=frozenset(), removed=(), because=(), expires_at=NOW, delete_by=NOW,
)  # fmt: skip


def concern(**changes: Any):
    event = CONCERN
    for pointer, value in changes.items():
        event = changed("/" + pointer.replace("__", "/"), value, event)
    return message(event, family=FAMILY)


def row(quantity: int, unit: Unit = Unit.MINUTES, jurisdiction: str = "*", **more: Any) -> RuleRow:
    return RuleRow(
        rule=RULE, jurisdiction=jurisdiction, quantity=quantity, unit=unit, source="own", source_kind=SourceKind.OWN, verified=False, **more
    )


def test_a_concern_is_due_when_its_time_is_over_and_one_for_nobody_at_once():
    due = [watches(concern(), Decision(legs=legs), shipped_tables(), now=NOW) for legs in ((LEG,), ())]
    assert [[(w.kind, w.due_at - NOW) for w in found] for found in due] == [
        [(UNANSWERED, timedelta(minutes=15))],
        [(UNANSWERED, timedelta())],
    ]


@pytest.mark.parametrize("other", [message(), message(shipped(INT, "valid"), family=FAMILY)], ids=["travel", "intelligence"])
def test_nothing_else_is_watched(other):
    assert watches(other, Decision(), shipped_tables(), now=NOW) == ()


TODAY = NOW.date()
TABLES = [
    pytest.param([row(15)], timedelta(minutes=15), id="ours"),
    pytest.param([row(15), row(5, jurisdiction="GB")], timedelta(minutes=5), id="of-the-country"),
    pytest.param([row(15), row(5, jurisdiction="GB"), row(2, Unit.HOURS, "GB-ENG")], timedelta(hours=2), id="of-the-region"),
    pytest.param([row(15), row(5, jurisdiction="FR")], timedelta(minutes=15), id="of-another-country"),
    pytest.param([row(15, effective_to=TODAY - timedelta(days=1)), row(10, effective_from=TODAY)], timedelta(minutes=10), id="in-force"),
    pytest.param([row(0)], timedelta(minutes=1), id="never-without-a-pause"),
    pytest.param([], WITHOUT_A_ROW, id="nobody-says"),
    pytest.param([row(15, effective_from=date(2999, 1, 1))], WITHOUT_A_ROW, id="nobody-says-yet"),
    pytest.param([row(1, Unit.WORKING_DAYS)], WITHOUT_A_ROW, id="no-unit-of-an-emergency"),
]


@pytest.mark.parametrize(("rows", "wait"), TABLES)
def test_how_long_it_may_wait_is_the_number_of_its_place(rows, wait):
    assert patience(concern(), RuleTables(tuple(rows)), now=NOW) == wait


def test_a_place_without_a_region_has_its_country_s_number():
    tables = RuleTables((row(15), row(5, jurisdiction="GB"), row(2, jurisdiction="GB-ENG")))
    assert patience(concern(body__event__place__region=...), tables, now=NOW) == timedelta(minutes=5)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("code", [None, "RECEIVED", "VALID", "MATCHED", "ACTIONED", "REFUSED", "invalid_key", "unknown", "timeout", ""])
def test_only_a_signed_receipt_that_takes_it_is_an_answer(state, code):
    takes = code in {None, "RECEIVED", "VALID", "MATCHED", "ACTIONED"}
    assert has_it(state, code) is (state is State.RECEIPTED and takes)


def found(*profiles, told=(), event=None):
    routed = police_of(event or concern(), Directory([register(), *profiles]), told=set(told))
    return [c.partner for c in routed.candidates], [(r.partner, r.reason) for r in routed.refusals]


NEAR = partner("gb-police", "GB", receives=())
POLICE = [
    pytest.param(NEAR, True, id="that-asked-for-nothing"),
    pytest.param(replace(NEAR, kind="REGISTER"), False, id="no-police"),
    pytest.param(replace(NEAR, country=Country("FR")), False, id="of-another-country"),
    pytest.param(replace(NEAR, country=Country("IE"), serves=frozenset({Country("GB")})), True, id="that-serve-the-country"),
    pytest.param(replace(NEAR, regions=frozenset({"GB-ENG", "GB-WLS"})), True, id="of-the-region"),
    pytest.param(replace(NEAR, regions=frozenset({"GB-SCT"})), False, id="of-another-region"),
]


@pytest.mark.parametrize(("profile", "there"), POLICE)
def test_the_place_s_police_are_found_whatever_they_receive_by_themselves(profile, there):
    assert found(profile) == ([profile.id] if there else [], [])


def test_police_who_have_a_leg_and_the_sender_itself_are_not_found():
    sender = replace(register(), kind="POLICE")
    routed = police_of(concern(), Directory([sender, NEAR]), told={NEAR.id})
    assert (routed.candidates, routed.refusals) == ((), ())


def test_what_bars_the_country_bars_its_police_and_is_recorded():
    barred = concern(handling__excluded_countries=["GB"])
    assert found(NEAR, event=barred) == ([], [(NEAR.id, Reason.COUNTRY_EXCLUDED_BY_SENDER)])
    assert found(replace(NEAR, excluded_countries=frozenset({Country("GB")}))) == ([], [(NEAR.id, Reason.COUNTRY_EXCLUDED_BY_PROFILE)])


def test_a_sender_without_a_profile_any_more_keeps_nobody_from_being_told():
    assert [c.partner for c in police_of(concern(), Directory([NEAR]), told=()).candidates] == [NEAR.id]
