"""Each rule of registration records: one change from a valid one."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from gateway.core.rules import RuleTables, check_all
from gateway.core.rules.registration import FAMILY
from tests.unit.core.samples import changed, context, message, shipped_tables
from tests.unit.core.schema_samples import DAY, FAMILIES, files, schemas, shipped

(REG,) = (family for family in FAMILIES if family.name == FAMILY)
STATUS, EXPIRES, INDEFINITE, REGISTERED = "/subject/status", "/body/expires_on", "/body/indefinite", "/body/registered_on"
DUE, CYCLE, REVIEW = "/body/notification/next_due", "/body/notification/cycle", "/body/review_eligible_on"
CHANGES, TOLD, IN_PERSON = (
    "/body/notification/changes",
    "/body/notification/changes/0/notified_on",
    "/body/notification/changes/0/in_person",
)


def put(pointer, value, event=None):
    return changed(pointer, value, shipped(REG, "valid") if event is None else event)


def record(event=None, **fields):
    """A valid record with some members of its body changed; ... takes one away."""
    event = shipped(REG, "valid") if event is None else event
    for name, value in fields.items():
        event = changed(f"/body/{name}", value, event)
    return event


def disposed(disposal, expires_on, *, minor=False):
    return record(disposal=disposal, expires_on=expires_on, is_minor_at_conviction=minor)


def found(event, ctx=None):
    problems = check_all(message(event, family=FAMILY), context() if ctx is None else ctx)
    return [(str(p.rule), p.severity.value, p.pointer) for p in problems]


LIFE = record(disposal="LIFE", period_kind="INDEFINITE", indefinite=True, expires_on=..., review_eligible_on="2037-03-12")
YOUNG_LIFE = record(LIFE, is_minor_at_conviction=True, review_eligible_on="2030-03-12")
NO_HOME = put(DUE, "2026-06-08", put(CYCLE, "WEEKLY", record(residences=[])))
SCOTTISH = put("/body/register/jurisdiction", "GB-SCT")
FRENCH = record(put("/body/register/jurisdiction", "FR"), disposal=..., lives_with_child=..., bank_and_cards_held=...)


def american(tier, expires_on, cycle, due, **fields):
    event = put(
        "/body/register/jurisdiction", "US-SD", record(tier=tier, period_kind="TIER", vehicles=[], disposal=..., expires_on=expires_on)
    )
    if expires_on is ...:
        event = changed(INDEFINITE, True, event)
    return record(put(DUE, due, put(CYCLE, cycle, event)), **fields)


ONE = american(1, "2037-03-12", "ANNUAL", "2027-06-01")
TWO = american(2, "2047-03-12", "HALF_YEARLY", "2026-12-01")
THREE = american(3, ..., "QUARTERLY", "2026-09-01")
VALID = {
    "united-kingdom": record(), "scotland": SCOTTISH, "indefinite": LIFE, "indefinite-minor": YOUNG_LIFE, "no-main-residence": NO_HOME,
    "france": FRENCH, "tier-1": ONE, "tier-2": TWO, "tier-3": THREE,
}  # fmt: skip


@pytest.mark.parametrize("event", VALID.values(), ids=VALID.keys())
def test_a_valid_record_has_no_problem(event):
    assert schemas().check(REG, event, on=DAY) == []
    assert found(event) == []


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        # R-REG-01
        pytest.param(record(registered_on="2022-03-14"), [], id="01-three-days"),
        pytest.param(record(registered_on="2022-03-15"), [("R-REG-01", "warning", REGISTERED)], id="01-four-days"),
        pytest.param(record(FRENCH, registered_on="2022-04-15"), [], id="01-not-the-law-of-france"),
        # R-REG-02
        pytest.param(put(DUE, "2027-06-02"), [("R-REG-02", "warning", DUE)], id="02-over-a-year"),
        pytest.param(put(DUE, "2027-01-01"), [], id="02-sooner-since-information-does-not-set-it-anew"),
        pytest.param(put(CYCLE, "HALF_YEARLY"), [("R-REG-02", "warning", CYCLE)], id="02-no-cycle-of-this-law"),
        pytest.param(put(CYCLE, "HALF_YEARLY", FRENCH), [], id="02-not-the-law-of-france"),
        # R-REG-03
        pytest.param(put(DUE, "2026-06-09", NO_HOME), [("R-REG-03", "warning", DUE)], id="03-over-a-week"),
        pytest.param(record(residences=[]), [("R-REG-03", "warning", CYCLE)], id="03-not-weekly"),
        pytest.param(record(residences=...), [], id="03-residence-not-said"),
        pytest.param(record(residences=[], record_as_of="2012-08-12", bank_and_cards_held=...), [("R-REG-12", "warning", "/body/record_as_of")], id="03-before-its-time"),
        # R-REG-04: each disposal, also halved; the last day or the day after
        pytest.param(record(expires_on="2032-03-10"), [], id="04-the-last-day"),
        pytest.param(record(expires_on="2032-03-09"), [("R-REG-04", "error", EXPIRES)], id="04-a-day-short"),
        pytest.param(record(expires_on="2032-03-12"), [("R-REG-04", "error", EXPIRES)], id="04-a-day-long"),
        pytest.param(disposed("PRISON_UP_TO_6M", "2029-03-11"), [], id="04-up-to-six-months"),
        pytest.param(disposed("HOSPITAL", "2029-03-11"), [], id="04-hospital"),
        pytest.param(disposed("CAUTION", "2024-03-11"), [], id="04-caution"),
        pytest.param(disposed("CAUTION", "2029-03-11"), [("R-REG-04", "error", EXPIRES)], id="04-a-caution-is-two-years"),
        pytest.param(disposed("OTHER", "2027-03-11"), [], id="04-other"),
        pytest.param(disposed("CONDITIONAL_DISCHARGE", "2023-03-11"), [], id="04-a-discharge-is-as-long-as-it-is"),
        pytest.param(disposed("PRISON_6M_TO_30M", "2027-03-11", minor=True), [], id="04-halved-10"),
        pytest.param(disposed("PRISON_UP_TO_6M", "2025-09-11", minor=True), [], id="04-halved-7"),
        pytest.param(disposed("HOSPITAL", "2025-09-11", minor=True), [], id="04-halved-hospital"),
        pytest.param(disposed("CAUTION", "2023-03-11", minor=True), [], id="04-halved-caution"),
        pytest.param(disposed("OTHER", "2024-09-11", minor=True), [], id="04-halved-other"),
        pytest.param(disposed("PRISON_6M_TO_30M", "2032-03-11", minor=True), [("R-REG-04", "error", EXPIRES)], id="04-not-halved"),
        *(
            pytest.param(record(disposal=disposal), [("R-REG-04", "error", INDEFINITE)], id=f"04-{disposal}-ends")
            for disposal in ("PRISON_30M_OR_MORE", "LIFE", "IPP", "HOSPITAL_RESTRICTION", "LIFELONG_RESTRICTION")
        ),
        pytest.param(record(LIFE, disposal="OTHER"), [("R-REG-04", "error", INDEFINITE)], id="04-finite-without-end"),
        pytest.param(record(SCOTTISH, expires_on="2033-03-11"), [("R-REG-04", "error", EXPIRES)], id="04-scotland-too"),
        # R-REG-05
        pytest.param(put(REVIEW, "2037-03-10", LIFE), [("R-REG-05", "note", REVIEW)], id="05-sooner-than-15-years"),
        pytest.param(put(REVIEW, "2030-03-10", YOUNG_LIFE), [("R-REG-05", "note", REVIEW)], id="05-sooner-than-8-years"),
        pytest.param(put(REVIEW, "2040-03-10", LIFE), [], id="05-later"),
        # R-REG-06
        pytest.param(record(lives_with_child=...), [("R-REG-06", "warning", "/body/lives_with_child")], id="06-children"),
        pytest.param(record(bank_and_cards_held=...), [("R-REG-06", "warning", "/body/bank_and_cards_held")], id="06-accounts"),
        pytest.param(put("/body/person/identity_documents", ...), [("R-REG-06", "warning", "/body/person/identity_documents")], id="06-documents"),
        # R-REG-08: 2026-10-05 is a Monday
        pytest.param(put(TOLD, "2026-10-08", ONE), [], id="08-three-business-days"),
        pytest.param(put(TOLD, "2026-10-09", ONE), [("R-REG-08", "warning", TOLD)], id="08-four-business-days"),
        pytest.param(put(f"{CHANGES}/0/changed_on", "2026-10-01", ONE), [], id="08-over-a-weekend"),
        pytest.param(put(TOLD, ..., put(f"{CHANGES}/0/changed_on", "2026-02-02", ONE)), [("R-REG-08", "warning", TOLD)], id="08-not-yet-and-late"),
        pytest.param(put(TOLD, ..., put(f"{CHANGES}/0/changed_on", "2026-02-26", ONE)), [], id="08-not-yet-in-time"),
        pytest.param(put(IN_PERSON, False, ONE), [("R-REG-08", "warning", IN_PERSON)], id="08-not-in-person"),
        pytest.param(put(IN_PERSON, False), [], id="08-not-the-law-of-the-uk"),
        # R-REG-09
        pytest.param(record(TWO, expires_on="2047-03-10"), [("R-REG-09", "warning", EXPIRES)], id="09-tier-2-too-short"),
        pytest.param(record(ONE, expires_on="2032-03-10"), [("R-REG-09", "warning", EXPIRES)], id="09-tier-1-below-the-reduction"),
        pytest.param(put(INDEFINITE, False, record(THREE, expires_on="2050-01-01")), [("R-REG-09", "warning", INDEFINITE)], id="09-tier-3-ends"),
        pytest.param(record(TWO, expires_on="2060-01-01"), [], id="09-longer"),
        pytest.param(put(CYCLE, "ANNUAL", TWO), [("R-REG-09", "warning", CYCLE)], id="09-tier-2-yearly"),
        pytest.param(put(CYCLE, "HALF_YEARLY", THREE), [("R-REG-09", "warning", CYCLE)], id="09-tier-3-half-yearly"),
        pytest.param(put(CYCLE, "QUARTERLY", ONE), [], id="09-more-often"),
        pytest.param(put(DUE, "2026-12-02", TWO), [("R-REG-09", "warning", DUE)], id="09-due-late"),
        # R-REG-10
        pytest.param(record(ONE, expires_on="2032-03-12"), [("R-REG-10", "note", EXPIRES)], id="10-five-years-less"),
        pytest.param(record(put(INDEFINITE, False, THREE), expires_on="2047-03-12", is_minor_at_conviction=True), [("R-REG-10", "note", EXPIRES)], id="10-delinquent"),
        pytest.param(record(put(INDEFINITE, False, THREE), expires_on="2046-03-12", is_minor_at_conviction=True), [("R-REG-09", "warning", INDEFINITE)], id="10-too-soon"),
        # R-REG-11
        *(pytest.param(put(STATUS, status), [("R-REG-11", "error", STATUS)], id=f"11-{status}") for status in ("SUSPECTED", "CONCERN", "SELF_REFERRED")),
        *(pytest.param(put(STATUS, status), [], id=f"11-{status}") for status in ("CAUTIONED", "UNDER_ORDER")),
        # R-REG-12
        pytest.param(record(record_as_of="2025-12-01"), [], id="12-ninety-days"),
        pytest.param(record(record_as_of="2025-11-30"), [("R-REG-12", "warning", "/body/record_as_of")], id="12-older"),
        pytest.param(record(next_review="2026-02-28"), [("R-REG-12", "warning", "/body/next_review")], id="12-review-past"),
        pytest.param(record(next_review="2026-03-01"), [], id="12-review-today"),
    ],
)  # fmt: skip
def test_one_change_from_valid_is_found(event, expected):
    assert found(event) == expected


def test_a_travel_notice_is_about_nobody_of_concern_either():
    problems = check_all(message(changed(STATUS, "CONCERN")), context())
    assert [(p.severity.value, p.pointer) for p in problems if p.rule == "R-REG-11"] == [("error", STATUS)]


def test_a_period_that_nobody_verified_warns():
    rows = tuple(replace(row, verified=False) for row in shipped_tables().rows)
    assert found(record(expires_on="2040-01-01"), context(tables=RuleTables(rows))) == [("R-REG-04", "warning", EXPIRES)]


def test_without_rows_only_what_needs_none_is_said():
    bare = context(tables=RuleTables(()))
    for event in (*VALID.values(), record(expires_on="2040-01-01"), put(IN_PERSON, False, ONE)):
        assert found(event, bare) == []
    assert found(put(STATUS, "CONCERN"), bare) == [("R-REG-11", "error", STATUS)]


@pytest.mark.parametrize("event", [record(), LIFE, NO_HOME, ONE, THREE], ids=["finite", "indefinite", "weekly", "tier-1", "tier-3"])
def test_rules_answer_whatever_is_missing(event):
    for name in list(event["body"]):
        assert isinstance(found(put(f"/body/{name}", ..., event)), list)
    for name in list(event["body"]["notification"]):
        assert isinstance(found(put(f"/body/notification/{name}", ..., event)), list)


FINANCIAL = re.compile(r"bank|account_n|sort_code|iban|swift|bic$|card_n|cvv|pan$")


def names(schema, path=""):
    if isinstance(schema, dict):
        for name, child in schema.get("properties", {}).items():
            yield f"{path}/{name}", child
            yield from names(child, f"{path}/{name}")
        yield from names(schema.get("items"), path)


def test_no_schema_has_a_place_for_financial_details():
    """R-REG-07: only whether accounts and cards were notified."""
    held = {**{str(family): schema for family, schema in files().families.items()}, **files().common, **files().extensions}
    hits = [(path, child["type"]) for schema in held.values() for path, child in names(schema) if FINANCIAL.search(path.rpartition("/")[2])]
    assert hits == [("/body/bank_and_cards_held", "boolean")]


@pytest.mark.parametrize("where", ["/body/bank_account", "/body/notification/iban", "/body/person/card_number"])
def test_financial_details_are_refused(where):
    assert [p.code.value for p in schemas().check(REG, put(where, "0000"), on=DAY)] == ["schema-invalid"]
