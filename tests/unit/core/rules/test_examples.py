"""The shipped examples of every family, and what its generator makes: what the rules say of them is what examples/expected.toml says."""

from __future__ import annotations

from random import Random

import pytest

from gateway.contract.values import Environment
from gateway.core.rules import RuleContext, check_all
from gateway.testing.families import GENERATORS, sample
from tests.unit.core.samples import NOW, message, register, shipped_tables
from tests.unit.core.schema_samples import FAMILIES, expected, reference, schemas, shipped


def context():
    return RuleContext(reference=reference(), tables=shipped_tables(), sender=register(), environment=Environment.TEST, now=NOW)


def said(family, event, issued=NOW):
    return check_all(message(dict(event), family=family.name, iat=issued), context())


@pytest.mark.parametrize("family", FAMILIES, ids=str)
@pytest.mark.parametrize("name", ["valid", "warnings"])
def test_an_example_breaks_no_rule_but_those_it_is_an_example_of(family, name):
    problems = said(family, shipped(family, name))
    assert [(str(p.rule), p.pointer) for p in problems] == expected(family)[name]
    assert not any(p.is_error for p in problems)


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_the_warnings_example_is_warned_of_more_than_the_valid_one(family):
    assert set(expected(family)["warnings"]) - set(expected(family)["valid"])


def test_every_family_has_a_generator():
    assert set(GENERATORS) == set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_what_a_generator_makes_is_taken_and_the_same_each_time(family):
    made = [sample(family, Random(seed), NOW) for seed in range(60)]
    assert made == [sample(family, Random(seed), NOW) for seed in range(60)]
    for one in made:
        assert schemas().check(family, one.event, on=NOW.date()) == []
        assert not [p for p in said(family, one.event) if p.is_error]
