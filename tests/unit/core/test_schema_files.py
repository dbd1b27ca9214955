"""What holds of every schema file: documented, closed, bounded, grouped, and the same to every validator."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs
import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from gateway.core import limits
from gateway.core.groups import GROUPS
from gateway.core.rules.base import FREE_TEXTS
from gateway.core.rules.general import OF_EVERY_FAMILY
from gateway.core.schema_faults import Explainer
from gateway.core.schema_source import DELIVERY, SchemaError, SchemaFiles, submission
from gateway.core.schema_tree import code_tree, group_tree
from gateway.ops.reference import load_schema_files
from tests.unit.core.schema_samples import FAMILIES, FOLDER, TRAVEL, files, reference, schemas, shipped

RAW: dict[str, Mapping[str, Any]] = {
    **files().common,
    **{f"/schemas/families/{f.name}/{f.version}.json": schema for f, schema in files().families.items()},
    **files().extensions,
}
FLAT = {f"{family.name} {entry}": schemas().document(family, entry) for family in FAMILIES for entry in ("submission", "delivery")}


def nodes(schema: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every schema that describes a value: properties and items, not conditions."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}/{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}/-")


def everywhere(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every object of a schema file, conditions too."""
    if isinstance(value, Mapping):
        yield value
        for name, child in value.items():
            if name not in {"examples", "const", "enum"}:
                yield from everywhere(child)
    elif isinstance(value, list):
        for child in value:
            yield from everywhere(child)


def is_leaf(node: Mapping[str, Any]) -> bool:
    return not {"properties", "items", "$ref", "x-extensions"} & node.keys()


@pytest.mark.parametrize("name", RAW)
def test_every_property_says_what_it_is_and_where_it_comes_from(name):
    for path, node in nodes(RAW[name]):
        for key in ("title", "description", "x-source"):
            assert isinstance(node.get(key), str), f"{name}{path}: no {key}"
            assert node[key], f"{name}{path}: empty {key}"
        assert node.get("examples"), f"{name}{path}: no examples"


@pytest.mark.parametrize("name", RAW)
def test_every_leaf_is_in_a_field_group_of_the_closed_list(name):
    for path, node in nodes(RAW[name]):
        if is_leaf(node):
            assert "x-field-group" in node, f"{name}{path}"
        assert node.get("x-field-group", "identity") in GROUPS, f"{name}{path}"


@pytest.mark.parametrize("name", RAW)
def test_every_object_is_closed_and_everything_has_an_end(name):
    for path, node in nodes(RAW[name]):
        kinds = [node.get("type")] if isinstance(node.get("type"), str) else node.get("type", [])
        if "properties" in node:
            assert node["additionalProperties"] is False, f"{name}{path}"
            assert set(node["required"]) <= node["properties"].keys(), f"{name}{path}"
        if "array" in kinds:
            assert "maxItems" in node, f"{name}{path}"
        if kinds == ["string"]:
            bounded = "enum" in node or "maxLength" in node or not re.search(r"[*+](?![^\[]*\])|,\}", node["pattern"])
            assert bounded, f"{name}{path}: no longest text"
            assert "enum" in node or "pattern" in node, f"{name}{path}: any text at all"
        if "integer" in kinds:
            assert "enum" in node or {"minimum", "maximum"} <= node.keys(), f"{name}{path}"


@pytest.mark.parametrize("name", RAW)
def test_patterns_mean_the_same_to_every_engine(name):
    for node in everywhere(RAW[name]):
        if isinstance(pattern := node.get("pattern"), str):
            assert "\\" not in pattern, f"{name}: a class or an escape in {pattern}"
            assert pattern.startswith("^"), f"{name}: {pattern}"
            assert pattern.endswith("$"), f"{name}: {pattern}"
            assert not re.search(r"\^|\$|\(\?", re.sub(r"\[\^", "[", pattern[1:-1])), f"{name}: an anchor or look-around in {pattern}"


@pytest.mark.parametrize("name", FLAT)
def test_every_example_fits_the_schema_it_stands_in(name):
    for path, node in nodes(FLAT[name]):
        schema = dict(node)
        fast, slow = jsonschema_rs.Draft202012Validator(schema, validate_formats=True), Explainer(schema)
        for example in node["examples"]:
            assert slow.problems(example) == [], f"{name}{path}"
            assert fast.is_valid(example), f"{name}{path}"


def test_every_schema_is_a_schema():
    for schema in [*RAW.values(), *FLAT.values()]:
        Draft202012Validator.check_schema(schema)


def test_ids_say_where_files_lie():
    for name, schema in RAW.items():
        assert schema["$id"].endswith(name)


def test_a_foreign_resolver_comes_to_the_same_verdicts():
    registry = Registry().with_resources([(str(schema["$id"]), Resource.from_contents(schema)) for schema in RAW.values()])
    for family in FAMILIES:
        schema = files().families[family]
        foreign = Draft202012Validator(schema, registry=registry, format_checker=Draft202012Validator.FORMAT_CHECKER)
        assert foreign.is_valid({**shipped(family, "valid"), "extensions": {}})
        assert not foreign.is_valid({**shipped(family, "rejected"), "extensions": {}})


def test_limits_are_those_of_the_one_module():
    document = schemas().document(TRAVEL)
    segments = document["properties"]["body"]["properties"]["itinerary"]["properties"]["segments"]
    assert segments["maxItems"] == limits.SEGMENTS_COUNT_MAX
    assert segments["items"]["properties"]["seq"]["maximum"] == limits.SEGMENTS_COUNT_MAX
    assert document["properties"]["routing"]["properties"]["recipients"]["maxItems"] == limits.RECIPIENTS_COUNT_MAX


def test_every_code_list_used_is_shipped_and_every_code_fits_its_pattern():
    for family in FAMILIES:
        tree = code_tree(schemas().document(family))
        assert tree is not None
        assert set(tree.lists()) <= reference().codes.editions.keys()
    for schema in FLAT.values():
        for path, node in nodes(schema):
            for edition in reference().codes.editions.get(node.get("x-code-list", ""), ()):
                for code in edition.entries:
                    assert re.fullmatch(node["pattern"], code), f"{path}: {code}"


def test_the_field_groups_of_the_code_list_are_the_closed_list():
    (edition,) = reference().codes.editions["field-group"]
    assert edition.entries.keys() == GROUPS


def test_no_family_has_a_place_for_a_victim_s_identity():
    (profile,) = [schema for name, schema in RAW.items() if name.endswith("victim-profile.json")]
    assert profile["properties"].keys() == {"age_band", "sex", "relationship"}
    names = {path.rsplit("/", 1)[-1] for schema in FLAT.values() for path, _ in nodes(schema)}
    assert not names & {"victim_name", "victim", "victims", "victim_id"}


NAMES_A_PERSON = re.compile(r"/(person|reported-person|name)\.json(#/properties/names)?$")
PERSONS = {
    "/person": {"breach-notification", "order-summary", "registration-record", "risk-update", "supervision-transfer", "support-referral",
                "travel-notification"},
    "/person/names": {"information-request"},
    "/persons/-/person": {"intelligence-report"},
}  # fmt: skip
"""Where the body of a family names anybody: whom the message is about, and with whom, in a report (R-GEN-08)."""


def test_nobody_is_named_but_whom_a_message_is_about():
    """A place for one more person, in a family or an extension, is a place for a victim: it is argued here first."""
    found: dict[str, set[str]] = {}
    for name, schema in RAW.items():
        if name.startswith("/schemas/common/"):
            continue  # blocks: what refers to them is looked at
        for path, node in nodes(schema):
            if NAMES_A_PERSON.search(node.get("$ref", "")):
                found.setdefault(path.partition("/body")[2] or f"{name} {path}", set()).add(name.split("/")[-2])
    assert found == PERSONS


def test_a_block_that_names_somebody_is_part_of_a_person():
    names = {name for name, schema in RAW.items() for _, node in nodes(schema) if NAMES_A_PERSON.search(node.get("$ref", ""))}
    assert {name for name in names if name.startswith("/schemas/common/")} == {
        "/schemas/common/person.json", "/schemas/common/reported-person.json",
    }  # fmt: skip


def test_examples_are_no_families():
    assert load_schema_files(FOLDER).families.keys() == set(FAMILIES)


BROKEN = {
    "a reference to nowhere": {"$ref": "/schemas/common/nowhere.json"},
    "a reference to a part that is not there": {"$ref": "/schemas/common/person.json#/properties/nowhere"},
    "a reference to a part below a text": {"$ref": "/schemas/common/person.json#/title/nowhere"},
    "a reference to a whole family": {"$ref": "/schemas/families/travel-notification/1.0.json"},
    "a reference to its own body": {"$ref": "/schemas/families/travel-notification/1.0.json#/properties/body"},
    "more than annotations beside a reference": {"$ref": DELIVERY, "required": []},
    "a reference to itself": {"$ref": "/schemas/common/loop.json"},
}


@pytest.mark.parametrize("why", BROKEN)
def test_a_reference_that_cannot_be_followed_stops_the_start(why):
    common = {**files().common, "/schemas/common/loop.json": {"properties": {"again": {"$ref": "/schemas/common/loop.json"}}}}
    broken = SchemaFiles(common=common, families={TRAVEL: {"properties": {"body": BROKEN[why]}}}, extensions={})
    with pytest.raises(SchemaError):
        submission(broken, TRAVEL)


def test_a_leaf_without_a_field_group_stops_the_start():
    with pytest.raises(SchemaError):
        group_tree({"properties": {"name": {"type": "string", "title": "Name"}}})


LONG = 200  # characters: more than a name, a title or an address
NOT_READ = {  # names, titles, addresses and citations
    "/body/persons/*/person/names/*/full", "/body/persons/*/person/names/*/latin",
    "/body/person/names/*/full", "/body/person/names/*/latin", "/routing/contact/email", "/body/offence_summary/*/title", "/body/offences/*/title",
    "/handling/legal_basis/*/citation", "/handling/transfer_basis/citation",
}  # fmt: skip


CARRIED = re.compile(r"^/body/(records/[*]|replacement)/[a-z-]+/")  # bodies of other families, in responses and corrections


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_every_long_text_of_a_family_is_answered_with_a_reminder(family):
    found = {path.replace("/-", "/*") for path, node in nodes(FLAT[f"{family.name} submission"]) if node.get("maxLength", 0) >= LONG}
    read = {path for path in found if CARRIED.sub("/body/", path) not in NOT_READ}
    assert read <= {*OF_EVERY_FAMILY, *FREE_TEXTS[family.name]}


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_every_free_text_of_a_family_is_in_its_schema(family):
    paths = {path.replace("/-", "/*") for path, _ in nodes(FLAT[f"{family.name} submission"])}
    assert set(FREE_TEXTS[family.name]) <= paths
