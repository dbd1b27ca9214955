"""The lists of gateway.cedarschema, compared with the code lists and types they repeat."""

from __future__ import annotations

import re

import pytest

from gateway.contract.values import Lane, Role
from gateway.core.groups import GROUPS
from gateway.core.minimise import DOMESTIC, FIXED, VISITING, WHOLE_GROUP
from gateway.ops.reference import load_reference, load_schemas
from tests.unit.core.policy_samples import ROOT, SCHEMA

REFERENCE = load_reference(ROOT / "schemas")


def enumerated(name: str) -> set[str]:
    found = re.search(rf"entity {name} enum \[(.*?)\];", SCHEMA, re.DOTALL)
    assert found is not None
    return set(re.findall(r'"([^"]+)"', found[1]))


def codes(list_id: str) -> set[str]:
    return {code for edition in REFERENCE.codes.editions[list_id] for code in edition.entries}


@pytest.mark.parametrize(
    ("name", "list_id"),
    [
        ("Kind", "authority-kind"),
        ("Purpose", "purpose"),
        ("Classification", "classification"),
        ("Status", "subject-status"),
        ("Provider", "support-provider"),
    ],
)
def test_a_code_list_and_its_enumeration_are_the_same_set(name, list_id):
    """A code missing in the schema would hold every message that uses it."""
    assert enumerated(name) == codes(list_id)


def test_lanes_and_roles_are_the_same_set():
    assert enumerated("Lane") == {lane.upper() for lane in Lane}
    assert enumerated("Role") == set(Role)


def test_every_family_there_is_a_schema_for_can_be_decided():
    assert {f.name for f in load_schemas(ROOT / "schemas", REFERENCE).families} <= enumerated("Family")


def test_field_groups_are_those_of_the_code_list():
    assert codes("field-group") == GROUPS


def test_reasons_and_schemes_of_minimising_are_codes():
    assert {"NO_PERMIT", "POLICY_FORBID", "STAFF_SAFETY", *WHOLE_GROUP.values(), *FIXED} <= codes("removal-reason")
    assert set(DOMESTIC) <= codes("identifier-scheme")
    assert codes("authority-kind") >= VISITING
