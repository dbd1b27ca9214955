"""The catalogue of rules."""

from __future__ import annotations

import pytest

from gateway.contract.errors import InvariantError
from gateway.core.rules import RULES, Rule
from gateway.core.rules.base import register


def test_no_two_rules_have_one_id():
    taken: Rule = next(iter(RULES.values()))
    with pytest.raises(InvariantError):
        register(taken)
