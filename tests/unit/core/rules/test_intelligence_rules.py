"""Each rule of intelligence reports and safeguarding concerns: one change from a valid one."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.contract.values import Lane
from gateway.core.groups import GROUPS
from gateway.core.problems import Severity
from gateway.core.recipients import lane_of
from gateway.core.reference import CodeLists, Entry
from gateway.core.rules import check_all
from gateway.core.rules.intelligence import FAMILY, NUMBERS, REFERRAL
from tests.unit.core.samples import NOW, changed, context, message
from tests.unit.core.schema_samples import DAY, FAMILIES, leaves, schemas, shipped
from tests.unit.core.schema_samples import reference as lists

(INT,) = (family for family in FAMILIES if family.name == FAMILY)
(REF,) = (family for family in FAMILIES if family.name == REFERRAL)
REFERRAL_SENT = shipped(REF, "valid")
REPORT, CONCERN = shipped(INT, "valid"), shipped(INT, "warnings")
SUBJECT = REPORT["body"]["persons"][0]


def put(pointer, value, event=REPORT):
    return changed(pointer, value, event)


def refused(event):
    return sorted({p.pointer for p in schemas().check(INT, event, on=DAY)})


@pytest.mark.parametrize("event", [REPORT, CONCERN, put("/body/handling_code", "P", put("/body/handling_conditions", ...))])
def test_a_valid_report_has_no_problem(event):
    assert refused(event) == []


@pytest.mark.parametrize(
    ("event", "pointers"),
    [
        pytest.param(put("/body/source_evaluation", "4"), ["/body/source_evaluation"], id="R-INT-01-a-fourth-source"),
        pytest.param(put("/body/source_evaluation", "22"), ["/body/source_evaluation"], id="R-INT-01-two-digits"),
        pytest.param(put("/body/source_evaluation", ...), ["/body/source_evaluation"], id="R-INT-01-no-source"),
        pytest.param(put("/body/information_assessment", "F"), ["/body/information_assessment"], id="R-INT-01-a-sixth-letter"),
        pytest.param(put("/body/information_assessment", ...), ["/body/information_assessment"], id="R-INT-01-no-assessment"),
        pytest.param(put("/body/handling_code", ...), ["/body/handling_code"], id="R-INT-01-no-handling"),
        pytest.param(put("/body/handling_conditions", ...), ["/body/handling_conditions"], id="R-INT-02-no-condition"),
        pytest.param(put("/body/handling_conditions", []), ["/body/handling_conditions"], id="R-INT-02-none-of-them"),
        pytest.param(put("/body/handling_conditions/0/words", ""), ["/body/handling_conditions/0/words"], id="R-INT-02-no-words"),
        pytest.param(put("/body/sanitised", False), ["/body/sanitised"], id="R-INT-03-not-sanitised"),
        pytest.param(put("/body/sanitised", ...), ["/body/sanitised"], id="R-INT-03-no-word-on-it"),
        pytest.param(put("/body/persons", ...), ["/body/persons"], id="nobody-it-is-about"),
        pytest.param(put("/body/persons", []), ["/body/persons"], id="none-it-is-about"),
        pytest.param(put("/body/persons/0/role", "ASSOCIATE"), ["/body/persons", "/body/persons/0/role"], id="an-associate-first"),
        pytest.param(put("/body/persons", [SUBJECT, SUBJECT]), ["/body/persons"], id="two-subjects"),
        pytest.param(put("/routing/recipients", ...), ["/routing/recipients"], id="for-nobody"),
        pytest.param(put("/body/event/place", ..., CONCERN), ["/body/event/place"], id="R-SAF-01-no-place"),
        pytest.param(put("/body/event/place/country", ..., CONCERN), ["/body/event/place/country"], id="R-SAF-01-no-country"),
        pytest.param(put("/body/safeguarding/danger", ..., CONCERN), ["/body/safeguarding/danger"], id="R-SAF-01-no-danger"),
        pytest.param(put("/body/safeguarding", ..., CONCERN), ["/body/safeguarding"], id="R-SAF-01-no-facts"),
        pytest.param(put("/body/text", ..., CONCERN), ["/body/text"], id="R-SAF-01-no-words"),
        pytest.param(
            put("/body/safeguarding/at_risk/0/name", "TEST", CONCERN), ["/body/safeguarding/at_risk/0"], id="R-GEN-08-a-child-s-name"
        ),
    ],
)  # fmt: skip
def test_one_change_from_valid_is_refused(event, pointers):
    assert refused(event) == pointers


def test_what_a_concern_does_not_need_it_may_have():
    """R-SAF-01: a register that raises one may grade it and name the person."""
    graded = {name: REPORT["body"][name] for name in ("source_evaluation", "information_assessment", "persons")}
    event = put("/body", {**CONCERN["body"], **graded}, CONCERN)
    quality = [{"group": group, "kind": "FACT"} for group in ("associates", "identity")]
    event = put("/handling/data_quality", [*CONCERN["handling"]["data_quality"], *quality], event)
    assert refused(event) == []


def found(event):
    problems = check_all(message(event, family=FAMILY), context())
    return [(str(p.rule), p.severity.value, p.pointer) for p in problems if p.rule != "R-GEN-10"]


@pytest.mark.parametrize(
    ("event", "expected", "lane"),
    [
        (REPORT, [], Lane.PRIORITY),
        (put("/body/immediate_risk", True), [("R-INT-05", "note", "/body/immediate_risk")], Lane.IMMEDIATE),
        (
            put("/routing/priority", "ROUTINE", CONCERN),
            [("R-INT-05", "note", "/body/immediate_risk"), ("R-SAF-03", "note", "/body/event/place")],
            Lane.IMMEDIATE,
        ),
    ],
)
def test_an_immediate_risk_is_answered_with_call_first_and_goes_at_once(event, expected, lane):
    assert found(event) == expected
    assert lane_of(message(event, family=FAMILY)) is lane


def called(event, country, on=NOW, reference=None):
    """Return what a receipt says about calling."""
    rules = replace(context(), reference=reference or lists())
    problems = check_all(message(put("/body/event/place/country", country, event), family=FAMILY, iat=on), rules)
    return [(p.severity, p.detail, p.expected) for p in problems if p.rule == "R-SAF-03"]


@pytest.mark.parametrize(
    ("country", "said"),
    [
        ("GB", "the emergency number in GB is 999 or 112"),
        ("FR", "the emergency number in FR is 112 (not verified)"),
        ("JP", "the emergency number in JP is 110 (police) (not verified)"),
    ],
)
def test_a_concern_is_answered_with_the_number_of_its_place(country, said):
    """R-SAF-03."""
    ((severity, detail, expected),) = called(CONCERN, country)
    assert (severity, detail) == (Severity.NOTE, said)
    assert expected == "call: a message is no substitute for calling; give a child's name by voice, never in a message"


def without_numbers():
    return replace(lists(), codes=CodeLists({}))


@pytest.mark.parametrize(
    ("country", "on", "reference"),
    [
        pytest.param("AQ", NOW, None, id="a-country-of-no-number"),
        pytest.param("GB", datetime(2019, 12, 31, tzinfo=UTC), None, id="a-day-before-the-list"),
        pytest.param("GB", NOW, without_numbers(), id="no-list"),
    ],
)
def test_where_no_number_is_known_the_receipt_says_so_and_still_to_call(country, on, reference):
    ((severity, detail, expected),) = called(CONCERN, country, on, reference)
    assert (severity, detail) == (Severity.NOTE, "no emergency number is known here for the place")
    assert expected.startswith("find it, and call: a message is no substitute for calling")


def test_the_number_is_that_of_the_edition_in_force_when_the_message_was_made():
    listing = lists().codes.editions[NUMBERS][0]
    until = replace(listing, effective_to=NOW.date())
    after = replace(listing, effective_from=NOW.date() + timedelta(days=1), entries={"GB": Entry("GB", "111", "P")})
    both = replace(lists(), codes=CodeLists({NUMBERS: (until, after)}))
    assert "999 or 112" in called(CONCERN, "GB", NOW, both)[0][1]
    assert called(CONCERN, "GB", NOW + timedelta(days=1), both)[0][1] == "the emergency number in GB is 111"


def test_intelligence_is_no_concern_and_gets_no_number():
    assert called(REPORT, "GB") == []


def test_every_country_of_the_list_is_one_and_has_a_number_of_digits():
    for entry in lists().codes.editions[NUMBERS][0].entries.values():
        assert entry.code in lists().countries
        assert re.match("[0-9]{2,5}( |$)", entry.title), entry


@pytest.mark.parametrize(("flag", "told"), [(True, ["/body/safeguarding_flag"]), (False, [])])
def test_a_flagged_referral_is_answered_with_call_and_raise_a_concern(flag, told):
    """R-SAF-05."""
    event = put("/body/safeguarding_flag", flag, REFERRAL_SENT)
    problems = [p for p in check_all(message(event, family=REFERRAL), context()) if p.rule == "R-SAF-05"]
    assert [p.pointer for p in problems] == told
    for problem in problems:
        assert problem.severity is Severity.NOTE
        assert "held" in problem.detail
        assert "call the emergency number now" in problem.expected
        assert "safeguarding-concern" in problem.expected


@pytest.mark.parametrize(("birth", "is_minor", "right"), [("2012-01-01", "NO", False), ("2012-01-01", "YES", True), ("1980", "NO", True)])
def test_the_age_of_the_first_person_is_that_of_the_subject(birth, is_minor, right):
    event = put("/subject/is_minor", is_minor, put("/body/persons/0/person/birth", {"date": birth}))
    assert [p[0] for p in found(event)] == ([] if right else ["R-GEN-20"])


COMPANION = {value for pointer, value in leaves(REPORT) if pointer.startswith("/body/persons/1/") and "GAMMA" in str(value)}


@pytest.mark.parametrize(
    ("allowed", "subject", "companion"),
    [(GROUPS, True, True), (GROUPS - {"associates"}, True, False), (GROUPS - {"identity"}, False, True), (GROUPS - {"identity", "associates"}, False, False)],
    ids=["all", "without-associates", "without-identity", "without-both"],
)  # fmt: skip
def test_who_may_see_the_subject_does_not_see_a_companion(allowed, subject, companion):
    kept, _ = schemas().cut(INT, REPORT, frozenset(allowed))
    values = {str(value) for _, value in leaves(kept)}
    assert ("TEST BETA" in values, values >= COMPANION) == (subject, companion)
    assert ("links" in kept["body"]) == companion


@pytest.mark.parametrize(
    ("event", "sector", "said"),
    [
        pytest.param(CONCERN, "NGO", [], id="a-concern-by-volunteers"),
        pytest.param(
            put("/handling/purpose", "INVESTIGATE", CONCERN), "NGO", [("R-SAF-02", "/handling/purpose")], id="for-another-purpose"
        ),
        pytest.param(REPORT, "STATUTORY", [], id="intelligence-by-an-authority"),
        pytest.param(REPORT, "NGO", [("R-SAF-01", "/body/kind")], id="intelligence-by-volunteers"),
    ],
)
def test_who_says_what_and_what_for(event, sector, said):
    ctx = replace(context(), sender=replace(context().sender, sector=sector), reference=lists())
    found = check_all(message(event, family=FAMILY), ctx)
    assert [(p.rule, p.pointer) for p in found if p.severity is Severity.ERROR] == said
