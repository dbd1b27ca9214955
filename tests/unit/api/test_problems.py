from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from gateway.api import problems, public
from gateway.contract.errors import InvariantError
from gateway.core.problems import Code, Problem, RuleId, Severity

PAGE = Path(__file__).parents[3] / "docs" / "problems.md"


def test_problem_codes_and_their_page_are_the_same_set():
    assert set(re.findall(r"^## ([a-z-]+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)) == {code.value for code in Code}


def test_each_section_says_the_status_who_must_act_and_what_to_mend():
    for code, page in public.problem_pages(PAGE.read_text(encoding="utf-8")).items():
        text = page.decode()
        assert f"Status {problems.STATUS[Code(code)]}" in text, code
        assert re.search(r"^\*\*Who acts:\*\* (the sender|the operator)", text, re.MULTILINE), code
        assert re.search(r"^\*\*What to mend:\*\* .{20,}", text, re.MULTILINE), code


@pytest.mark.parametrize("change", [
    pytest.param(("## conflict\n", "## conflicts\n"), id="another-name"),
    pytest.param(("## conflict\n", "## not-found\n"), id="one-twice"),
    pytest.param(("## conflict\n", "### conflict\n"), id="one-missing"),
])  # fmt: skip
def test_pages_that_differ_from_the_catalogue_are_refused(change):
    with pytest.raises(InvariantError):
        public.problem_pages(PAGE.read_text(encoding="utf-8").replace(*change))


def test_a_fault_says_where_what_and_what_would_be_right():
    problem = Problem(
        code=Code.RULE_BROKEN, detail="the journey goes backwards", expected="segments in order", pointer="/body/itinerary/segments/1",
        rule=RuleId("R-TRV-11"), severity=Severity.ERROR,
    )  # fmt: skip
    response = problems.respond_one(problem)
    body = json.loads(response.body)
    assert (response.status, response.content_type) == (422, "application/problem+json")
    assert body == {
        "type": "/v1/problems/rule-broken", "title": "Rule broken", "status": 422, "detail": "the journey goes backwards",
        "errors": [{
            "code": "rule-broken", "detail": "the journey goes backwards", "expected": "segments in order",
            "pointer": "/body/itinerary/segments/1", "rule": "R-TRV-11", "severity": "error",
        }],
    }  # fmt: skip


def test_the_pointer_to_the_whole_is_kept():
    """ "" is a JSON Pointer: it points at the whole event."""
    assert problems.fault(Problem(code=Code.SCHEMA_INVALID, detail="x", pointer=""))["pointer"] == ""


@pytest.mark.parametrize("body", [
    pytest.param(b"", id="empty"),
    pytest.param(b"[]", id="a-list"),
    pytest.param(b'{"problems":[]}', id="no-problem"),
    pytest.param(b'{"problems":[{"code":"made-up","detail":"x"}]}', id="unknown-code"),
    pytest.param(b'{"problems":[3]}', id="a-number"),
])  # fmt: skip
def test_an_answer_that_is_no_list_of_problems_is_a_fault_of_ours(body):
    with pytest.raises(InvariantError):
        problems.read_faults(body)
