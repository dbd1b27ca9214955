"""Ages and periods, at the ends of months and years."""

from __future__ import annotations

import pytest

from gateway.contract.errors import InvariantError
from gateway.core.rules.dates import after, ages, before
from gateway.core.rules.tables import RuleRow, SourceKind, Unit
from tests.unit.core.samples import day


def period(quantity, unit):
    return RuleRow(rule="R-TST-01", jurisdiction="*", quantity=quantity, unit=unit, source="t", source_kind=SourceKind.OWN, verified=True)


@pytest.mark.parametrize(
    ("birth", "on", "expected"),
    [
        ("2000-06-15", "2018-06-14", (17, 17)),
        ("2000-06-15", "2018-06-15", (18, 18)),
        ("2000-06", "2018-06-15", (17, 18)),
        ("2000", "2018-06-15", (17, 18)),
        ("2000", "2018-12-31", (18, 18)),
        ("2000-02-29", "2018-02-28", (17, 17)),
        ("2000-02-29", "2018-03-01", (18, 18)),
        ("2000-02", "2018-02-28", (17, 18)),
    ],
)
def test_an_age_is_as_sure_as_the_birth_date(birth, on, expected):
    assert ages(birth, day(on)) == expected


@pytest.mark.parametrize(
    ("start", "quantity", "unit", "end"),
    [
        ("2024-02-29", 5, Unit.YEARS, "2029-02-28"),
        ("2024-03-11", 5, Unit.YEARS, "2029-03-11"),
        ("2024-08-31", 6, Unit.MONTHS, "2025-02-28"),
        ("2024-12-01", 1, Unit.MONTHS, "2025-01-01"),
        ("2024-12-20", 15, Unit.DAYS, "2025-01-04"),
        ("2026-11-16", 3, Unit.WORKING_DAYS, "2026-11-19"),  # Monday
        ("2026-11-19", 3, Unit.WORKING_DAYS, "2026-11-24"),  # Thursday, over a weekend
        ("2026-11-21", 1, Unit.WORKING_DAYS, "2026-11-23"),  # Saturday
        ("2026-11-16", 10, Unit.WORKING_DAYS, "2026-11-30"),
    ],
)
def test_a_period_ends_on_the_same_day_or_the_last_there_is(start, quantity, unit, end):
    assert after(day(start), period(quantity, unit)) == day(end)


def test_a_period_is_counted_back_too():
    assert before(day("2027-02-28"), period(3, Unit.YEARS)) == day("2024-02-28")
    assert before(day("2025-01-31"), period(2, Unit.MONTHS)) == day("2024-11-30")
    assert before(day("2026-11-23"), period(3, Unit.WORKING_DAYS)) == day("2026-11-18")


def test_hours_are_no_period_of_days():
    with pytest.raises(InvariantError):
        after(day("2024-01-01"), period(24, Unit.HOURS))
