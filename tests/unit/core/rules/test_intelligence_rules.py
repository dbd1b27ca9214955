"""Each rule of intelligence reports and safeguarding concerns: one change from a valid one."""

from __future__ import annotations

import pytest

from gateway.contract.values import Lane
from gateway.core.groups import GROUPS
from gateway.core.recipients import lane_of
from gateway.core.rules import check_all
from gateway.core.rules.intelligence import FAMILY
from tests.unit.core.samples import changed, context, message
from tests.unit.core.schema_samples import DAY, FAMILIES, leaves, schemas, shipped

(INT,) = (family for family in FAMILIES if family.name == FAMILY)
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
        (put("/routing/priority", "ROUTINE", CONCERN), [("R-INT-05", "note", "/body/immediate_risk")], Lane.IMMEDIATE),
    ],
)
def test_an_immediate_risk_is_answered_with_call_first_and_goes_at_once(event, expected, lane):
    assert found(event) == expected
    assert lane_of(message(event, family=FAMILY)) is lane


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
