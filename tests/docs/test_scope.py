"""docs/scope.md has a line for every point of the documents the project comes from, and what each line names is there."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Final

import pytest

from gateway.core.problems import RuleId
from gateway.core.rules import RULES
from gateway.core.rules.page import waiting
from tests.unit.core.samples import ROOT
from tests.unit.core.schema_samples import FAMILIES, reference, schemas

Schema = Mapping[str, Any]
PAGE: Final = (ROOT / "docs" / "scope.md").read_text(encoding="utf-8")
ITEMS: Final = [item["id"] for item in tomllib.loads((ROOT / "tests/docs/seed_items.toml").read_text(encoding="utf-8"))["item"]]
ROW: Final = re.compile(r"^\| (S\d{3}-\d{2}|H-\d{2}) \| (.*) \|$", re.MULTILINE)
ROWS: Final = {point: cells.split(" | ") for point, cells in ROW.findall(PAGE)}
WHERE: Final = {point: cells[-1] for point, cells in ROWS.items()}
CARRIES: Final = re.compile(r"`([A-Z]{3}):([^`]+)`")
RULE: Final = re.compile(r"\bR-[A-Z]{3}-\d{2}[a-z]?\b")
OUT: Final = re.compile(r"\bH-\d{2}\b")
CODE: Final = re.compile(r"`(gateway(?:\.\w+)+)`")
# What the page names and a later feature brings; docs/rules.md says what of each. Take out what is built: the list only shrinks.
STILL_WAITING: Final[set[str]] = set()


def bodies() -> dict[str, Schema]:
    """The body of each family by its key on the page, the parts of several families as `PER`, and the envelope as `ENV`."""
    documents = {family.name: schemas().document(family) for family in FAMILIES}
    keys = dict(re.findall(r"^\| `([A-Z]{3}):path` \| a property of the body of \[([a-z-]+)\]", PAGE, re.MULTILINE))
    assert sorted(keys.values()) == sorted(documents), "every family has its key on the page"
    found = {key: documents[family]["properties"]["body"] for key, family in keys.items()}
    travel = found["TRV"]["properties"]
    shared = {**travel["person"]["properties"], "narratives": travel["narratives"]}
    return {**found, "PER": {"properties": shared}, "ENV": documents["travel-notification"]}


BODIES: Final = bodies()


def resolve(schema: Schema, path: str) -> Schema:
    """Follow a path as the page has it: members by points, `[]` into the items of a list. Raises `KeyError` where it does not lead on."""
    node = schema
    for step in path.split("."):
        node = node["properties"][step.removesuffix("[]")]
        if step.endswith("[]"):
            node = node["items"]
    return node


def named(text: str) -> Iterator[tuple[str, str]]:
    yield from CARRIES.findall(text)


def test_there_is_a_line_for_every_point_and_none_for_another():
    assert [point for point, _ in ROW.findall(PAGE)] == ITEMS


def test_the_points_of_each_document_are_numbered_without_a_gap():
    for key in ("S000", "S001", "S002", "S003", "S004", "H"):
        of = [point for point in ITEMS if point.startswith(f"{key}-")]
        assert of == [f"{key}-{number:02}" for number in range(1, len(of) + 1)]
        assert of, key


@pytest.mark.parametrize("point", ITEMS)
def test_a_line_names_what_carries_its_point_or_says_why_nothing_does(point):
    where = WHERE[point]
    if point.startswith("H-"):
        assert len(where.split()) >= 10, "why, and what instead"
        return
    assert next(named(where), None) or RULE.search(where) or CODE.search(where) or where.startswith("not carried: H-")


@pytest.mark.parametrize("point", ITEMS)
def test_every_property_and_code_a_line_names_exists(point):
    for key, what in named(WHERE[point]):
        if key == "LST":
            list_id, _, code = what.partition("=")
            assert list_id in reference().codes.editions, what
            entries = reference().codes.editions[list_id][-1].entries
            assert not code or code in entries, what
        else:
            assert resolve(BODIES[key], what)["title"], f"{key}:{what}"


@pytest.mark.parametrize("point", ITEMS)
def test_every_rule_module_and_line_a_line_names_exists(point):
    where = WHERE[point]
    for rule_id in RULE.findall(where):
        assert RuleId(rule_id) in RULES, rule_id
    for out in OUT.findall(where):
        assert out in ROWS, out
    for name in CODE.findall(where):
        module, _, attribute = name.rpartition(".")
        assert hasattr(import_module(module), attribute), name


def test_every_backticked_word_of_a_line_is_one_of_those():
    """A reference with a slip in its form would otherwise be passed over."""
    for point, where in WHERE.items():
        for word in re.findall(r"`([^`]+)`", where):
            assert CARRIES.fullmatch(f"`{word}`") or CODE.fullmatch(f"`{word}`"), (point, word)


def test_the_rules_the_page_names_are_in_force_save_a_closed_list():
    cited = {rule_id for where in WHERE.values() for rule_id in RULE.findall(where)}
    not_built = {str(one.id) for one in RULES.values() if not one.where}
    assert cited & (set(waiting(RULES.values())) | not_built) <= STILL_WAITING <= set(RULES)


@pytest.mark.parametrize(
    ("key", "path"),
    [
        pytest.param("REG", "offences.mode", id="a-list-is-entered-with-brackets"),
        pytest.param("REG", "offences[].colour", id="no-such-member"),
        pytest.param("REG", "status[]", id="no-list"),
        pytest.param("PER", "victim", id="no-such-part"),
        pytest.param("ENV", "routing.priority.colour", id="nothing-below-a-leaf"),
    ],
)
def test_a_property_that_does_not_exist_is_found_out(key, path):
    with pytest.raises(KeyError):
        resolve(BODIES[key], path)
