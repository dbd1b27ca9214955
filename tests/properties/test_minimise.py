"""P3 on the real schemas: no field reaches a view whose group is not allowed, and every group that is gone has a reason."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.contract.values import Country, Environment, Family, Jti, PartnerId, Role
from gateway.core.groups import ALWAYS, GOVERNED
from gateway.core.message import Message
from gateway.core.minimise import deliver_event, minimise
from gateway.core.profiles import Profile
from gateway.ops.reference import load_reference, load_schemas

ROOT = Path(__file__).parents[2]
SCHEMAS = load_schemas(ROOT / "schemas", load_reference(ROOT / "schemas"))
TRAVEL = Family("travel-notification", "1.0")
EVENT = json.loads((ROOT / "schemas/families/travel-notification/examples/valid.json").read_text(encoding="utf-8"))
AT = datetime(2026, 11, 5, tzinfo=UTC)
JTI = Jti("01936f3e-0000-7000-8000-000000000001")


@dataclass(frozen=True)
class Told:
    required: str = "P7D"
    given: str = "P3D"
    late: bool = True
    row: str = "gb-travel-7d"


def message() -> Message:
    return Message(
        iss=PartnerId("gb-register"), jti=JTI, digest="", aud=PartnerId("gw"), iat=AT, toe=AT, txn="", family=TRAVEL, event=EVENT
    )  # fmt: skip


def partner(country: str, kind: str) -> Profile:
    return Profile(
        id=PartnerId("a-partner"),
        name="x",
        country=Country(country),
        kind=kind,
        sector="STATUTORY",
        environment=Environment.TEST,
        delivery=None,
    )


def leaves(value: Any, schema: Mapping[str, Any], group: str | None = None) -> Iterator[tuple[str | None, Any]]:
    """Read the group of every leaf off the schema, apart from the code under test: the outermost `x-field-group` wins."""
    group = group or schema.get("x-field-group")
    if isinstance(value, dict) and "properties" in schema:
        for name, below in value.items():
            yield from leaves(below, schema["properties"][name], group)
    elif isinstance(value, list) and "items" in schema:
        for index, below in enumerate(value):
            yield from leaves(below, schema["items"], group or (schema.get("x-field-group-rest") if index else None))
    else:
        yield group, value


def groups_in(event: Mapping[str, Any]) -> set[str | None]:
    return {group for group, _ in leaves(event, SCHEMAS.document(TRAVEL))}


allowed_groups = st.frozensets(st.sampled_from(GOVERNED))
partners = st.builds(partner, st.sampled_from(["NL", "US", "TH"]), st.sampled_from(["POLICE", "BORDER", "HUB"]))


@settings(max_examples=100, deadline=None)
@given(allowed_groups, partners, st.sampled_from([(), (Role.DESTINATION,)]))
def test_no_field_reaches_a_view_whose_group_is_not_allowed(allowed, profile, roles):
    """P3: whatever is allowed, each leaf of the view is of an allowed group, and each group that is gone has a reason."""
    view = minimise(message(), allowed, profile, SCHEMAS, roles=roles)
    shown, present = groups_in(view.event), groups_in(EVENT)
    assert None not in present
    assert shown <= allowed | ALWAYS
    assert present - shown <= {r.group for r in view.removed}
    assert all(r.reason and r.because for r in view.removed)


@settings(max_examples=100, deadline=None)
@given(allowed_groups, partners, st.booleans())
def test_every_view_with_what_a_delivery_adds_fits_the_delivery_schema(allowed, profile, first):
    """Whatever was taken out, the partner gets an event its schema describes."""
    view = minimise(message(), allowed, profile, SCHEMAS)
    event = deliver_event(
        view, original=message().ref, subject_iss="gb-register", previous=None if first else JTI, prior_undelivered=not first,
        lead_time=None if first else Told(), checkpoint=None,
    )  # fmt: skip
    assert SCHEMAS.check_delivery(TRAVEL, event) == []


def test_the_example_has_enough_groups_to_prove_something():
    assert len(groups_in(EVENT) - ALWAYS) > 8
