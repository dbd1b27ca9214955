"""The rules with the schemas, code lists, airports and zones as shipped."""

from __future__ import annotations

import json

import pytest

from gateway.contract.values import Environment, Family
from gateway.core.problems import Severity
from gateway.core.rules import RuleContext, check_all, lead_time
from gateway.ops.reference import load_reference, load_schemas
from gateway.testing.messages import Label, fictional_register
from tests.unit.core.samples import NOW, ROOT, ZONES_BY_COUNTRY, message, reference, register, shipped_tables, travel_event

TRAVEL = Family("travel-notification", "1.0")


@pytest.fixture(scope="module")
def shipped():
    return load_reference(ROOT / "schemas")


def test_the_sample_these_tests_change_is_valid_by_the_schema(shipped):
    assert load_schemas(ROOT / "schemas", shipped).check(TRAVEL, travel_event(), on=NOW.date()) == []


def test_the_schema_s_own_example_breaks_no_rule(shipped):
    event = json.loads((ROOT / "schemas/families/travel-notification/examples/valid.json").read_text(encoding="utf-8"))
    environment = Environment(event["handling"]["environment"])
    ctx = RuleContext(
        reference=shipped, tables=shipped_tables(), sender=register(environment=environment), environment=environment, now=NOW
    )
    assert [p for p in check_all(message(event), ctx) if p.severity is Severity.ERROR] == []


@pytest.mark.parametrize("region", [(), ("GB-EAW",), ("GB-NIR",), ("GB-SCT",)])
def test_what_the_fictional_register_calls_late_is_late_and_only_its_faulty_notices_are_rejected(shipped, region):
    ctx = RuleContext(
        reference=shipped, tables=shipped_tables(), sender=register(regions=frozenset(region)), environment=Environment.TEST, now=NOW
    )  # fmt: skip
    for scenario in fictional_register(11, 120, NOW):
        notice = message(dict(scenario.sample.event))
        if scenario.label is not Label.FAULTY:
            assert not any(p.is_error for p in check_all(notice, ctx)), scenario.title
        lead = lead_time(notice, ctx)
        if scenario.label in {Label.DETECTED, Label.ATTEMPTED}:
            assert lead is None
        elif scenario.label in {Label.LATE, Label.OK}:
            assert lead is not None
            assert lead.late is (scenario.label is Label.LATE), scenario.title


@pytest.mark.parametrize("zone", sorted({zone for zones in ZONES_BY_COUNTRY.values() for zone in zones}))
def test_shipped_zones_agree_with_the_oracle_of_these_tests(shipped, zone):
    from datetime import datetime, timedelta

    for hours in range(0, 2 * 366 * 24, 7):
        local = datetime(2025, 1, 1) + timedelta(hours=hours)  # noqa: DTZ001 -- a local time has no zone
        assert shipped.zone_offsets.instants(zone, local) == reference().zone_offsets.instants(zone, local)
