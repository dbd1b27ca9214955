"""Rule files are read whole or not at all."""

from __future__ import annotations

import pytest

from gateway.ops.rulefiles import RuleFilesError, load_rule_tables
from tests.unit.core.samples import ROOT

GOOD = """jurisdiction = "US"
[[row]]
rule = "R-TRV-01"
quantity = 21
unit = "days"
source = "test"
source_kind = "statute"
verified = true
"""


def test_the_shipped_files_load():
    tables = load_rule_tables(ROOT / "schemas" / "rules")
    assert {"US", "EU", "GB", "GB-EAW", "GB-NIR", "GB-SCT", "*"} == {row.jurisdiction for row in tables.rows}
    assert len(tables.digest) == 64


def test_the_digest_covers_names_and_bytes(tmp_path):
    (tmp_path / "us.toml").write_text(GOOD)
    one = load_rule_tables(tmp_path).digest
    (tmp_path / "us.toml").write_text(GOOD + "# a comment\n")
    two = load_rule_tables(tmp_path).digest
    (tmp_path / "us.toml").rename(tmp_path / "usa.toml")
    assert len({one, two, load_rule_tables(tmp_path).digest}) == 3


def test_faults_of_all_files_are_named_together(tmp_path):
    (tmp_path / "a.toml").write_text(GOOD.replace("days", "weeks"))
    (tmp_path / "b.toml").write_text("jurisdiction = ")
    (tmp_path / "c.toml").write_bytes(b"\xff")
    (tmp_path / "d.toml").write_text(GOOD)
    (tmp_path / "e.toml").write_text(GOOD)
    with pytest.raises(RuleFilesError) as caught:
        load_rule_tables(tmp_path)
    for part in ("a.toml row 1: unit", "b.toml: not TOML", "c.toml: not TOML", "row R-TRV-01/US/undated/statute is there 2 times"):
        assert part in str(caught.value)


def test_an_empty_folder_is_no_law(tmp_path):
    with pytest.raises(RuleFilesError, match="no rule files"):
        load_rule_tables(tmp_path)
