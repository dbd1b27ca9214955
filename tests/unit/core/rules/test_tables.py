"""Which row holds where several do, and what a rule file must not say."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from gateway.core.rules.tables import RuleRow, RuleTables, SourceKind, Unit, ladder, parse_rows, repeated
from tests.unit.core.samples import day, shipped_tables

ROW = {"rule": "R-TRV-01", "quantity": 21, "unit": "days", "source": "test", "source_kind": "statute", "verified": True}
ON = date(2026, 3, 1)


def row(**fields):
    base = {"rule": "R-TRV-01", "jurisdiction": "US", "quantity": 21, "unit": Unit.DAYS, "source": "t", "source_kind": SourceKind.GUIDANCE}
    return RuleRow(**{**base, "verified": True, **fields})


@pytest.mark.parametrize(
    ("better", "worse", "jurisdiction"),
    [
        pytest.param(
            row(jurisdiction="US-SD", source_kind=SourceKind.OWN), row(source_kind=SourceKind.STATUTE), "US-SD", id="specific-over-statute"
        ),
        pytest.param(row(jurisdiction="GB-EAW"), row(jurisdiction="GB"), "GB-ENG", id="england-is-england-and-wales-first"),
        pytest.param(row(), row(jurisdiction="*"), "US", id="a-country-over-everywhere"),
        pytest.param(row(source_kind=SourceKind.STATUTE, verified=False), row(), "US", id="statute-over-guidance-even-unverified"),
        pytest.param(row(), row(source_kind=SourceKind.SEED), "US", id="guidance-over-seed"),
        pytest.param(row(), row(verified=False, effective_from=day("2025-01-01")), "US", id="verified-over-later"),
        pytest.param(
            row(effective_from=day("2025-01-01")), row(effective_from=day("2020-01-01"), quantity=30), "US", id="later-over-stricter"
        ),
        pytest.param(row(quantity=30), row(quantity=21), "US", id="stricter-is-more-notice"),
        pytest.param(row(rule="R-TRV-04", quantity=0), row(rule="R-TRV-04", quantity=3), "US", id="stricter-is-the-smaller-exemption"),
    ],
)
@pytest.mark.parametrize("turned", [False, True], ids=["listed-first", "listed-last"])
def test_of_two_rows_the_better_holds_and_the_other_is_named(better, worse, jurisdiction, turned):
    rows = (worse, better) if turned else (better, worse)
    picked = RuleTables(rows).row(better.rule, jurisdiction, ON)
    assert picked is not None
    assert (picked.row, picked.losers) == (better, (worse,))


@pytest.mark.parametrize(
    ("first", "last", "on", "holds"),
    [
        (None, None, "1990-01-01", True), ("2026-03-01", None, "2026-03-01", True), ("2026-03-01", None, "2026-02-28", False),
        (None, "2026-03-01", "2026-03-01", True), (None, "2026-03-01", "2026-03-02", False),
    ],
)  # fmt: skip
def test_a_row_holds_from_its_first_day_to_its_last(first, last, on, holds):
    one = row(effective_from=day(first) if first else None, effective_to=day(last) if last else None)
    assert (RuleTables((one,)).row("R-TRV-01", "US", day(on)) is not None) is holds


def test_no_row_of_another_place_rule_or_item_is_taken():
    tables = RuleTables((row(jurisdiction="US-SD"), row(rule="R-TRV-02"), row(item="x")))
    assert tables.row("R-TRV-01", "US", ON) is None


def test_a_region_lies_in_its_country_and_everything_lies_everywhere():
    assert ladder("GB-ENG") == ("GB-ENG", "GB-EAW", "GB", "*")
    assert ladder("US-SD") == ("US-SD", "US", "*")
    assert ladder("FR") == ("FR", "*")


def test_northern_ireland_has_12_hours_for_a_change_and_england_24():
    northern = shipped_tables().row("R-TRV-03d", "GB-NIR", ON)
    english = shipped_tables().row("R-TRV-03d", "GB-EAW", ON)
    assert northern is not None
    assert english is not None
    assert (northern.row.quantity, [r.quantity for r in northern.losers]) == (12, [24])
    assert (english.row.quantity, english.losers) == (24, ())


def test_a_good_file_is_read_whole():
    document = {"jurisdiction": "US", "row": [{**ROW, "effective_from": day("2020-01-01"), "item": "a", "note": "n"}]}
    rows, faults = parse_rows(document, file="us.toml")
    assert faults == ()
    assert rows == (row(source="test", source_kind=SourceKind.STATUTE, effective_from=day("2020-01-01"), item="a", note="n"),)
    assert rows[0].id == "R-TRV-01/a/US/2020-01-01/statute"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        pytest.param({"quantity": "21"}, "quantity must be of type int", id="text-for-a-number"),
        pytest.param({"quantity": True}, "quantity must be of type int", id="bool-for-a-number"),
        pytest.param({"quantity": -1}, "quantity must be 0 or more", id="negative"),
        pytest.param({"unit": "citation"}, "0 for a citation", id="citation-with-a-number"),
        pytest.param({"unit": "weeks"}, "unit must be one of", id="unknown-unit"),
        pytest.param({"source_kind": "rumour"}, "source_kind must be one of", id="unknown-source-kind"),
        pytest.param({"source": ""}, "source must name", id="no-source"),
        pytest.param({"verified": "yes"}, "verified must be of type bool", id="verified-in-words"),
        pytest.param({"rule": "TRV-1"}, "rule must look like", id="no-rule-id"),
        pytest.param({"effective_from": "2020-01-01"}, "effective_from must be of type date", id="date-in-quotes"),
        pytest.param({"effective_from": datetime(2020, 1, 1)}, "effective_from must be of type date", id="date-with-a-time"),  # noqa: DTZ001
        pytest.param(
            {"effective_from": day("2020-01-02"), "effective_to": day("2020-01-01")}, "before effective_from", id="ends-before-it-begins"
        ),
        pytest.param({"effectve_to": day("2020-01-01")}, "unknown key effectve_to", id="misspelt-key"),
    ],
)
def test_one_fault_in_a_row_is_named_with_file_and_row(change, fault):
    rows, faults = parse_rows({"jurisdiction": "US", "row": [ROW, {**ROW, **change}]}, file="us.toml")
    assert len(rows) == 1
    assert len(faults) == 1
    assert faults[0].startswith("us.toml row 2: ")
    assert fault in faults[0]


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ({"row": [ROW]}, "jurisdiction must be"), ({"jurisdiction": "GBR", "row": [ROW]}, "jurisdiction must be"),
        ({"jurisdiction": "US"}, "no [[row]]"), ({"jurisdiction": "US", "row": []}, "no [[row]]"),
        ({"jurisdiction": "US", "row": [ROW], "rows": []}, "unknown key rows"), ({"jurisdiction": "US", "row": [1]}, "row 1: must be a table"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_rule_file_says_why(document, fault):
    assert any(fault in one for one in parse_rows(document, file="x.toml")[1])


@pytest.mark.parametrize("key", sorted(ROW))
def test_a_missing_key_is_named(key):
    assert parse_rows({"jurisdiction": "US", "row": [{k: v for k, v in ROW.items() if k != key}]}, file="f")[1] == (
        f"f row 1: {key} is missing",
    )


def test_every_fault_is_reported_at_once():
    faults = parse_rows({"jurisdiction": "US", "row": [{**ROW, "unit": "weeks"}, {**ROW, "source": ""}], "x": 1}, file="f")[1]
    assert len(faults) == 3


def test_a_row_that_is_there_twice_is_named():
    assert repeated((row(), row(), row(item="b"))) == ("row R-TRV-01/US/undated/guidance is there 2 times",)
