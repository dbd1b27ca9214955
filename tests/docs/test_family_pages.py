"""docs/families/ is what schemas, rules and lists say."""

from __future__ import annotations

import re

import pytest

from gateway.core.rules import RULES
from gateway.ops.familypages import pages, shipped
from tests.unit.core.samples import ROOT
from tests.unit.core.schema_samples import FAMILIES, reference, schemas

FOLDER = ROOT / "docs" / "families"
PAGES = pages(shipped(ROOT / "schemas"))


def nodes(schema, path=""):
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}/{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}/-")


@pytest.mark.parametrize("name", PAGES)
def test_a_committed_page_is_current(name):
    assert (FOLDER / name).read_text(encoding="utf-8") == PAGES[name], "run .venv/bin/python -m gateway.ops.familypages"


def test_there_is_no_page_of_a_family_that_is_gone():
    assert {file.name for file in FOLDER.iterdir()} == PAGES.keys() >= {f"{family.name}.md" for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_every_condition_of_an_object_is_said_in_words(family):
    """A conditional requirement that has no title would be on no page."""
    for path, node in nodes(schemas().document(family)):
        if node["type"] == "object":
            assert "if" not in node, f"{path}: put it into allOf, with a title"
        for condition in node.get("allOf", ()):
            assert condition["title"].endswith("."), path
            where = "envelope.md" if path.split("/")[1:2] in (["handling"], ["routing"], ["subject"]) else f"{family.name}.md"
            assert condition["title"] in PAGES[where], path


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_a_page_has_every_rule_member_and_code_list_of_its_family(family):
    page = PAGES[f"{family.name}.md"]
    for rule in RULES.values():
        listed = f"| {rule.id} | {rule.effect} |" in page
        assert listed == (rule.applies_to(family.name) and (bool(rule.families) or rule.kind != "system")), rule.id
    for path, node in nodes(schemas().document(family)["properties"]["body"]):
        if path and not path.endswith("/-"):
            assert f"| `{path[1:].replace('/-', '[]').replace('/', '.')}` |" in page
        if "x-code-list" in node:
            assert f"\n### {node['x-code-list']}\n" in page


def test_what_nobody_verified_is_marked():
    for page in PAGES.values():
        for section in re.split(r"\n### ", page)[1:]:
            list_id = section.partition("\n")[0]
            if list_id in reference().codes.editions:
                newest = reference().codes.editions[list_id][-1]
                assert ("**Not verified.**" in section.partition("\n| code")[0]) == (not newest.verified), list_id


def test_the_envelope_s_page_is_what_most_families_have_and_the_others_say_what_is_their_own():
    assert "| `subject.ref` | Opaque: no name" in PAGES["envelope.md"]
    own = {name for name, page in PAGES.items() if "\n### Its own `subject`\n" in page}
    usual = schemas().document(FAMILIES[0])["properties"]["subject"]["required"]
    assert own == {f"{one.name}.md" for one in FAMILIES if schemas().document(one)["properties"]["subject"]["required"] != usual}
    assert own


@pytest.mark.parametrize("name", PAGES)
def test_every_list_a_page_points_at_is_on_it(name):
    assert set(re.findall(r"\]\(#([a-z0-9-]+)\)", PAGES[name])) <= set(re.findall(r"^### ([a-z0-9-]+)$", PAGES[name], re.MULTILINE))
