"""Quiet hours: by the partner's clock, over midnight, over changes of clocks, and never for urgent lanes unless the profile says so."""

from __future__ import annotations

from datetime import UTC, datetime, time
from pathlib import Path

import pytest

from gateway.contract.errors import InvariantError
from gateway.contract.values import Lane
from gateway.core.quiet import QuietHours, quiet_until
from gateway.ops.reference import load_reference

ZONES = load_reference(Path(__file__).parents[3] / "schemas").zone_offsets
NIGHT = QuietHours(zone="Europe/Paris", starts=time(22), ends=time(6))
WEEKEND = QuietHours(zone="Europe/Paris", starts=time(0), ends=time(0), days=frozenset({"SAT", "SUN"}))
NOON = QuietHours(zone="America/New_York", starts=time(12), ends=time(13, 30), days=frozenset({"MON"}))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "now", "expected"),
    [
        pytest.param(NIGHT, "2026-01-14 20:59:59", None, id="a second before"),
        pytest.param(NIGHT, "2026-01-14 21:00", "2026-01-15 05:00", id="at the start, an hour east of us"),
        pytest.param(NIGHT, "2026-01-15 00:30", "2026-01-15 05:00", id="over midnight"),
        pytest.param(NIGHT, "2026-01-15 04:59:59", "2026-01-15 05:00", id="a second before the end"),
        pytest.param(NIGHT, "2026-01-15 05:00", None, id="at the end"),
        pytest.param(NIGHT, "2026-07-14 20:00", "2026-07-15 04:00", id="in summer two hours east"),
        pytest.param(NIGHT, "2026-03-29 00:30", "2026-03-29 04:00", id="the night when clocks go forward is shorter"),
        pytest.param(NIGHT, "2026-10-25 04:30", "2026-10-25 05:00", id="the night when they go back is longer"),
        pytest.param(WEEKEND, "2026-01-16 22:59", None, id="Friday"),
        pytest.param(WEEKEND, "2026-01-16 23:00", "2026-01-17 23:00", id="whole days begin at the partner's midnight"),
        pytest.param(WEEKEND, "2026-01-18 12:00", "2026-01-18 23:00", id="Sunday"),
        pytest.param(WEEKEND, "2026-01-18 23:00", None, id="Monday"),
        pytest.param(NOON, "2026-01-12 17:00", "2026-01-12 18:30", id="behind us"),
        pytest.param(NOON, "2026-01-13 17:00", None, id="another day"),
    ],
)
def test_hours_are_those_of_the_partner_s_clock(hours: QuietHours, now: str, expected: str | None) -> None:
    assert quiet_until(utc(now), [hours], Lane.ROUTINE, ZONES) == (utc(expected) if expected else None)


def test_of_hours_that_overlap_the_last_end_counts() -> None:
    assert quiet_until(utc("2026-01-17 04:00"), [NIGHT, WEEKEND], Lane.ROUTINE, ZONES) == utc("2026-01-17 23:00")


@pytest.mark.parametrize("lane", [Lane.PRIORITY, Lane.IMMEDIATE])
def test_urgent_lanes_are_not_quiet_unless_the_profile_says_so(lane: Lane) -> None:
    night = utc("2026-01-15 00:30")
    assert quiet_until(night, [NIGHT], lane, ZONES) is None
    strict = QuietHours(zone="Europe/Paris", starts=time(22), ends=time(6), lanes=frozenset(Lane))
    assert quiet_until(night, [strict], lane, ZONES) == utc("2026-01-15 05:00")


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_the_most_distant_zones_are_right_all_day(zone: str) -> None:
    day = QuietHours(zone=zone, starts=time(0), ends=time(0), days=frozenset({"WED"}))
    (start,) = ZONES.instants(zone, datetime(2026, 1, 14))  # noqa: DTZ001 -- local times are naive
    (end,) = ZONES.instants(zone, datetime(2026, 1, 15))  # noqa: DTZ001 -- same
    middle = start + (end - start) / 2
    assert [quiet_until(when, [day], Lane.ROUTINE, ZONES) for when in (start, middle, end)] == [end, end, None]


def test_a_zone_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(InvariantError):
        quiet_until(utc("2026-01-14 12:00"), [QuietHours(zone="Mars/Olympus", starts=time(0), ends=time(1))], Lane.ROUTINE, ZONES)
