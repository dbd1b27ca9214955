"""docs/rules.md, the code and the fact book's list of ids say the same."""

from __future__ import annotations

from importlib import import_module

import pytest

from gateway.core.problems import RuleId
from gateway.core.rules import RULES
from gateway.core.rules.page import page, waiting
from tests.unit.core.samples import ROOT, shipped_tables

FACT_BOOK = {
    *(f"R-GEN-{n:02}" for n in range(1, 22)), *(f"R-RTE-{n:02}" for n in range(1, 10)), *(f"R-TIM-{n:02}" for n in range(1, 6)),
    *(f"R-TRV-{n:02}" for n in range(1, 20) if n != 3), *(f"R-TRV-03{letter}" for letter in "abcde"),
    *(f"R-RSK-{n:02}" for n in range(1, 18)),
    *(f"R-ORD-{n:02}" for n in range(1, 18)),
    *(f"R-REG-{n:02}" for n in range(1, 14)), "R-BRE-01",
    *(f"R-REQ-{n:02}" for n in range(1, 8)), *(f"R-CNV-{n:02}" for n in range(1, 4)), "R-SUP-01",
    *(f"R-INT-{n:02}" for n in range(1, 7)), *(f"R-SAF-{n:02}" for n in range(1, 6)), *(f"R-REF-{n:02}" for n in range(1, 4)),
}  # fmt: skip


def test_the_committed_page_is_what_code_and_tables_say():
    text = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    assert text == page(shipped_tables()), "run .venv/bin/python -m gateway.ops.rulespage"


def test_every_rule_of_the_fact_book_is_in_the_catalogue_and_no_other():
    assert set(RULES) == FACT_BOOK


def test_what_waits_is_the_closed_list():
    assert set(waiting(RULES.values())) == set()


TESTED = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests" / "unit" / "core" / "rules").glob("test_*.py")))


@pytest.mark.parametrize("rule_id", sorted(r.id for r in RULES.values() if r.kind == "message"))
def test_every_rule_over_a_message_is_put_to_the_test(rule_id):
    assert f'"{rule_id}"' in TESTED or RULES[RuleId(rule_id)].effect == "-"


@pytest.mark.parametrize("rule_id", sorted(r.id for r in RULES.values() if r.where))
def test_what_holds_a_rule_exists(rule_id):
    where = RULES[RuleId(rule_id)].where
    module, _, name = where.rpartition(".")
    try:
        import_module(where)
    except ModuleNotFoundError:
        assert callable(getattr(import_module(module), name))


def test_every_rule_of_a_table_row_is_in_the_catalogue():
    assert {row.rule for row in shipped_tables().rows} <= set(RULES)


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda r: r.id)
def test_a_rule_s_text_is_one_sentence(rule):
    assert rule.text.endswith((".", ").")), rule.id
    assert "|" not in rule.text + rule.source, "it would break the table of docs/rules.md"
