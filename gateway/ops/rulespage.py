"""Writes docs/rules.md: `.venv/bin/python -m gateway.ops.rulespage`."""

from __future__ import annotations

from pathlib import Path

from gateway.core.rules.page import page
from gateway.ops.rulefiles import load_rule_tables

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Write the page into the repository this file lies in. Raises `RuleFilesError`."""
    (ROOT / "docs" / "rules.md").write_text(page(load_rule_tables(ROOT / "schemas" / "rules")), encoding="utf-8")


if __name__ == "__main__":
    main()
