"""Each general rule: one change from a valid message."""

from __future__ import annotations

import pytest

from gateway.contract.values import Environment
from gateway.core.problems import Code, Severity
from gateway.core.rules import RuleTables, check_all
from tests.unit.core.samples import changed, context, message, partner, register, shipped_tables

LONG = "the words of somebody"
ACK = {"subject": {"ref": "R", "is_minor": "NO", "status": "CONVICTED"}}


def found(event, sender=None, **fields):
    problems = check_all(message(event, **fields), context(sender))
    return [(p.rule, p.severity.value, p.pointer) for p in problems]


def test_a_valid_message_has_no_problem():
    assert found(None) == []


@pytest.mark.parametrize(
    ("pointer", "value", "expected"),
    [
        pytest.param(
            "/handling/retention/delete_by", ..., [("R-GEN-03", "error", "/handling/retention/delete_by")], id="no-day-of-deletion"
        ),
        pytest.param(
            "/body/emergency_reason",
            LONG,
            [("R-GEN-10", "warning", "/body/emergency_reason"), ("R-GEN-11", "warning", "/body/emergency_reason")],
            id="free-text",
        ),
        pytest.param("/body/emergency_reason", "", [], id="empty-text-is-none"),
        pytest.param(
            "/body/purpose_of_travel/0/text",
            LONG,
            [("R-GEN-10", "warning", "/body/purpose_of_travel/0/text"), ("R-GEN-11", "warning", "/body/purpose_of_travel/0/text")],
            id="purpose-in-words",
        ),
        pytest.param(
            "/handling/conditions",
            [LONG],
            [("R-GEN-10", "warning", "/handling/conditions/0"), ("R-GEN-11", "warning", "/handling/conditions/0")],
            id="conditions-in-words",
        ),
        pytest.param(
            "/body/decision_not_to_transmit",
            {"reason": "OTHER", "text": LONG},
            [
                ("R-GEN-10", "warning", "/body/decision_not_to_transmit/text"),
                ("R-GEN-11", "warning", "/body/decision_not_to_transmit/text"),
            ],
            id="decision-in-words",
        ),
        pytest.param(
            "/body/person/description",
            {"marks": LONG},
            [("R-GEN-10", "warning", "/body/person/description/marks"), ("R-GEN-11", "warning", "/body/person/description/marks")],
            id="marks-in-words",
        ),
        pytest.param("/handling/environment", "PRODUCTION", [("R-GEN-16", "error", "/handling/environment")], id="another-environment"),
        pytest.param("/subject/ref", ..., [("R-GEN-20", "error", "/subject/ref")], id="nobody-meant"),
        pytest.param("/subject/is_minor", "YES", [("R-GEN-20", "error", "/subject/is_minor")], id="an-adult-called-minor"),
        pytest.param("/subject/is_minor", "UNKNOWN", [], id="unknown-is-honest"),
        pytest.param("/body/person/birth/date", "2010-06-01", [("R-GEN-20", "error", "/subject/is_minor")], id="a-minor-called-adult"),
        pytest.param("/body/person/birth/date", "2008-03-01", [], id="eighteen-today"),
        pytest.param("/body/person/birth/date", "2008-03-02", [("R-GEN-20", "error", "/subject/is_minor")], id="eighteen-tomorrow"),
        pytest.param("/body/person/birth/date", "2008-03", [], id="eighteen-some-day-this-month"),
        pytest.param("/body/person/birth/date", "2008-04", [("R-GEN-20", "error", "/subject/is_minor")], id="eighteen-next-month"),
        pytest.param("/body/person/birth/date", "2008", [], id="eighteen-some-day-this-year"),
        pytest.param("/body/person/birth/date", "2009", [("R-GEN-20", "error", "/subject/is_minor")], id="eighteen-next-year"),
        pytest.param("/body/person/birth", ..., [], id="birth-not-told"),
    ],
)
def test_one_change_from_valid_is_found(pointer, value, expected):
    assert found(changed(pointer, value)) == expected


@pytest.mark.parametrize(("kind", "warned"), [("OFFENCE", True), ("MODUS_OPERANDI", True), ("BACKGROUND", False)])
@pytest.mark.parametrize("warning", [[], ["VIOLENCE"]])
def test_a_hurtful_narrative_names_its_content_warning(kind, warned, warning):
    narrative = {"kind": kind, "text": LONG, "language": "en", "content_warning": warning}
    rules = [p for p in found(changed("/body/narratives", [narrative])) if p[0] == "R-GEN-18"]
    assert rules == ([("R-GEN-18", "warning", "/body/narratives/0/content_warning")] if warned and not warning else [])


@pytest.mark.parametrize(("days", "wrong"), [(None, False), (365, False), (364, True)])
def test_delete_by_is_no_later_than_the_sender_s_own_rule(days, wrong):
    problems = check_all(message(), context(register(retention_days_max=days)))
    assert [p.rule for p in problems if p.is_error] == (["R-GEN-03"] if wrong else [])


def test_a_sender_of_another_environment_is_told_which_is_right():
    (problem,) = check_all(message(), context(register(environment=Environment.ACCEPTANCE)))
    assert (problem.code, problem.expected) == (Code.ENVIRONMENT_WRONG, "TEST")


def test_an_anonymous_referral_needs_no_reference():
    event = changed("/body", {"identity_mode": "ANONYMOUS"}, changed("/subject/ref", ...))
    assert found(event, family="support-referral") == []
    assert found(changed("/body/identity_mode", "PSEUDONYM", event), family="support-referral") == [("R-GEN-20", "error", "/subject/ref")]


def test_an_acknowledgement_in_words_is_reminded_but_not_of_entry():
    event = changed("/body", {"stage": "MATCHED", "text": LONG})
    assert found(event, family="acknowledgement") == [("R-GEN-10", "warning", "/body/text")]


def test_an_error_that_rests_on_an_unverified_number_acts_as_a_warning():
    rows = tuple(_unverified(r) for r in shipped_tables().rows)
    event = changed("/subject/is_minor", "YES")
    (problem,) = check_all(message(event), context(tables=RuleTables(rows)))
    assert (problem.rule, problem.severity) == ("R-GEN-20", Severity.WARNING)
    assert "not verified" in problem.expected


def _unverified(row):
    from dataclasses import replace

    return replace(row, verified=False)


def test_without_a_row_for_the_age_nothing_is_said_of_it():
    assert (
        check_all(message(changed("/subject/is_minor", "YES")), context(partner("x", "TR", sends=frozenset()), tables=RuleTables(()))) == []
    )


def test_no_problem_repeats_what_was_written():
    event = changed("/body/emergency_reason", "SECRET-WORD", changed("/handling/environment", "PRODUCTION"))
    for problem in check_all(message(event), context()):
        assert "SECRET-WORD" not in problem.detail + problem.expected
