"""The rule of breach notifications: one change from a valid one."""

from __future__ import annotations

from random import Random

import pytest

from gateway.core.rules import check_all
from gateway.core.rules.breach import FAMILY
from gateway.testing.families import sample
from tests.unit.core.samples import NOW, changed, context, message
from tests.unit.core.schema_samples import FAMILIES, reference, shipped

(BRE,) = (family for family in FAMILIES if family.name == FAMILY)
KIND, NEW = "/body/breach/kind", "/body/new_offence"
KINDS = sorted(reference().codes.editions["breach-kind"][-1].entries)


def put(pointer, value, event=None):
    return changed(pointer, value, shipped(BRE, "valid") if event is None else event)


def found(event):
    return [(str(p.rule), p.severity.value, p.pointer) for p in check_all(message(event, family=FAMILY), context())]


@pytest.mark.parametrize("kind", KINDS)
def test_a_breach_of_any_kind_has_no_problem(kind):
    assert found(put(KIND, kind)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_new_offence_is_a_new_offence(kind):
    expected = [] if kind == "NEW_OFFENCE" else [("R-BRE-01", "error", NEW)]
    assert found(put(NEW, True, put(KIND, kind))) == expected


@pytest.mark.parametrize("pointer", ["/body/breach", KIND, NEW])
def test_the_rule_answers_whatever_is_missing(pointer):
    assert found(put(pointer, ...)) == []


def test_generated_breaches_are_in_the_shares_of_the_seed():
    made = [sample(BRE, Random(seed), NOW).event["body"]["new_offence"] for seed in range(3000)]
    assert 0.03 < sum(made) / len(made) < 0.06  # 0.13 % of 2.9 %
