"""Reading a travel notice never fails, whatever is missing or no date."""

from __future__ import annotations

from datetime import date, time

import pytest

from gateway.core.travel import read_travel
from tests.unit.core.samples import changed

STOP = "/body/itinerary/segments/0/departure"


def departure(pointer, value):
    return read_travel(changed(pointer, value)["body"]).itinerary.segments[0].departure


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2026-03-20", date(2026, 3, 20)), ("2026-02-30", None), ("1899-12-31", None), ("2200-01-01", None), ("soon", None), (7, None)],
)
def test_a_date_that_is_none_is_nothing(text, expected):
    assert departure(f"{STOP}/date", text).date == expected


@pytest.mark.parametrize(("text", "expected"), [("09:30", time(9, 30)), ("25:00", None), ("noon", None), (9, None)])
def test_a_time_that_is_none_is_nothing(text, expected):
    assert departure(f"{STOP}/time", text).time == expected


def test_an_empty_body_is_an_empty_journey():
    travel = read_travel({})
    assert travel.itinerary.segments == ()
    assert not any((travel.declared, travel.emergency, travel.supersedes, travel.restricted, travel.withheld, travel.first_night))
    assert list(travel.itinerary.countries()) == []


@pytest.mark.parametrize(("restriction", "restricted"), [("NONE", False), ({"order": {"id": "X"}, "scope": "ALL"}, True)])
def test_a_restriction_is_active_unless_it_is_none(restriction, restricted):
    assert read_travel(changed("/body/active_travel_restriction", restriction)["body"]).restricted is restricted
