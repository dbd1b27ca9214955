"""docs/codes.md is what lists and schemas say, and they carry what the fact book asks for as codes."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from typing import Any, Final

import pytest

from gateway.contract.values import Family
from gateway.core.decided import HoldReason, Reason
from gateway.core.reference import CodeList
from gateway.core.rules.page import CITED, SOURCES
from gateway.ops.codespage import page
from gateway.ops.familypages import shipped
from tests.docs.test_scope import resolve
from tests.unit.core.samples import ROOT, shipped_tables
from tests.unit.core.schema_samples import FAMILIES, reference, schemas

PAGE: Final = page(shipped(ROOT / "schemas"))
ITEMS: Final = tomllib.loads((ROOT / "tests/docs/code_lists.toml").read_text(encoding="utf-8"))["item"]
LISTED: Final = [item for item in ITEMS if "list" in item]
# Lists that the fact book has no table for: a field table of it asks for a code, or a library brings them.
ELSEWHERE: Final = {
    "acknowledgement-reason", "assessment-tool", "contact-level", "eye-colour", "field-group", "hair-colour", "iso-15924", "iso-3166-1",
    "order-applicant", "order-status", "person-link", "report-role", "reporter-role", "safeguarding-danger", "staff-warning",
    "transfer-basis", "transfer-instrument",
}  # fmt: skip


def newest(list_id: str) -> CodeList:
    return reference().codes.editions[list_id][-1]


def section(list_id: str) -> str:
    found = re.search(rf"^### {re.escape(list_id)}\n(.*?)(?=^###? )", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, list_id
    return found[1]


def nodes(schema, path=""):
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}" if path else name)
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


# --- the page -------------------------------------------------------------------------------------------------------------


def test_the_committed_page_is_what_lists_and_schemas_say():
    assert (ROOT / "docs" / "codes.md").read_text(encoding="utf-8") == PAGE, "run .venv/bin/python -m gateway.ops.codespage"


@pytest.mark.parametrize("list_id", reference().codes.editions)
def test_a_list_that_nobody_verified_is_marked_and_no_other(list_id):
    listing, text = newest(list_id), section(list_id)
    assert ("**Not verified.**" in text) == (not listing.verified)
    assert (f"| [{list_id}](#{list_id}) | {listing.title} | {len(listing.entries)} | **no**" in PAGE) == (not listing.verified)


@pytest.mark.parametrize("list_id", reference().codes.editions)
def test_a_code_that_nobody_verified_is_marked_and_no_other(list_id):
    rows = {row[2:].partition(" | ")[0]: row for row in section(list_id).splitlines() if row.startswith("| ")}
    for entry in newest(list_id).entries.values():
        if entry.mark != "library":
            assert rows[entry.code].endswith("**not verified** |") == (not entry.verified), entry.code


@pytest.mark.parametrize("list_id", reference().codes.editions)
def test_a_list_says_what_it_is_for(list_id):
    assert ("\nUsed by\n" in section(list_id)) or newest(list_id).use


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_every_list_and_enum_of_a_schema_is_on_the_page_with_its_property(family):
    families = {one.name for one in FAMILIES}
    for path, node in nodes(schemas().document(family)):
        if families & set(re.split(r"[.\[\]]+", path)):
            continue  # a body of another family, which has its own
        if "x-code-list" in node:
            assert f"`{path}`" in section(node["x-code-list"]), path
        if "enum" in node:
            rows = [line for line in PAGE.splitlines() if line.startswith(f"| `{path}` |")]
            values = ", ".join(str(value) for value in node["enum"])
            assert any(f"| {values} |" in row and (family.name in row or "| every family |" in row) for row in rows), path


def test_what_the_page_points_at_is_there():
    assert set(re.findall(r"\]\(#([a-z0-9-]+)\)", PAGE)) == set(re.findall(r"^### ([a-z0-9-]+)$", PAGE, re.MULTILINE))


def test_every_source_that_a_list_cites_is_named():
    for editions in reference().codes.editions.values():
        for one in editions:
            cited = {key for text in (one.source, one.note, *(e.mark for e in one.entries.values())) for key in CITED.findall(text)}
            assert cited <= SOURCES.keys(), one.id


# --- the fact book --------------------------------------------------------------------------------------------------------


def test_every_part_of_the_fact_book_has_its_items_in_order():
    parts = defaultdict(list)
    for item in ITEMS:
        part, number = re.fullmatch(r"d\.(\d+)-(\d\d)", item["id"]).groups()
        parts[int(part)].append(int(number))
    assert list(parts) == list(range(1, 19))
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in parts.values())


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item["id"])
def test_an_item_is_carried_in_one_way(item):
    assert item["says"]
    assert len({"list", "enum", "rows"} & item.keys()) == 1
    known = {"id", "says", "list", "enum", "rows", "codes", "count", "unverified", "leads", "noted", "open"}
    assert item.keys() <= known


@pytest.mark.parametrize("item", LISTED, ids=lambda item: item["id"])
def test_a_list_has_the_codes_marks_and_maps_of_its_item(item: dict[str, Any]):
    listing = newest(item["list"])
    codes = item.get("codes", listing.entries.keys())
    assert len(codes) == item.get("count", len(codes))
    entries = [listing.entries[code] for code in codes]
    assert {e.code for e in entries if not e.verified} == set(codes if "count" in item else item.get("unverified", ()))
    if not item.get("open"):
        assert {e.code: e.to for e in entries if e.to} == item.get("leads", {})
    assert all(word in listing.note for word in item.get("noted", ()))


@pytest.mark.parametrize("list_id", sorted({item["list"] for item in LISTED}))
def test_a_list_has_no_code_that_no_item_asks_for(list_id):
    of_it = [item for item in LISTED if item["list"] == list_id]
    asked = {code for item in of_it for code in item.get("codes", newest(list_id).entries)}
    assert any(item.get("open") for item in of_it) or asked == newest(list_id).entries.keys()


def test_there_is_no_list_but_those_of_the_fact_book_and_those_named_here():
    assert {item["list"] for item in LISTED} | ELSEWHERE == reference().codes.editions.keys()
    assert not ELSEWHERE & {item["list"] for item in LISTED}


@pytest.mark.parametrize("item", [item for item in ITEMS if "enum" in item], ids=lambda item: item["id"])
def test_an_enum_of_a_schema_has_the_codes_of_its_item(item):
    family, _, path = item["enum"].partition(":")
    assert {str(value) for value in resolve(schemas().document(Family(family, "1.0")), path)["enum"]} == set(item["codes"])


@pytest.mark.parametrize("item", [item for item in ITEMS if "rows" in item], ids=lambda item: item["id"])
def test_dated_rows_have_the_numbers_of_their_item(item):
    rows = {f"{r.rule} {r.item} {r.jurisdiction} {r.quantity} {r.unit.value}" for r in shipped_tables().rows}
    assert set(item["rows"]) <= rows


@pytest.mark.parametrize(("list_id", "form"), [("ecris-offence", r"[0-9]{4} [0-9]{2}"), ("ecris-sanction", r"[0-9]{4,5}")])
def test_a_code_of_ecris_has_the_form_of_its_table(list_id, form):
    assert all(re.fullmatch(form, code) for code in newest(list_id).entries)


def test_the_reasons_of_the_program_are_those_of_the_lists():
    assert newest("leg-refusal").entries.keys() == set(Reason)
    assert newest("hold-reason").entries.keys() == set(HoldReason)
    assert {*Reason, *HoldReason} <= newest("acknowledgement-reason").entries.keys()
