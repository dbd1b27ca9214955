"""Lead times in the zone of departure, with repeated and skipped hours, dates alone and countries of many zones."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from gateway.contract.values import Country
from gateway.core.rules import lead_time
from gateway.core.rules.time import days_before, local_date, window_of
from gateway.core.travel import Place, Stop, read_travel
from tests.unit.core.samples import changed, context, message, partner, reference, register, stop

NOTIFIED = "/body/notified_by_subject_at"
DEPARTURE = "/body/itinerary/segments/0/departure"
US = partner("us-registry", "US")
ENG = register(regions=frozenset({"GB-ENG"}))


def at(text):
    return datetime.fromisoformat(text)


def where(country, when, *, time=None, iata=None):
    made = read_travel(
        {"itinerary": {"segments": [{"departure": stop(country, when, at=time, **({"iata": iata} if iata else {"text": "X"}))}]}}
    )
    return made.itinerary.segments[0].departure


@pytest.mark.parametrize(
    ("place", "earliest", "latest", "date_only"),
    [
        pytest.param(
            where("GB", "2026-01-05", time="09:30", iata="LHR"), "2026-01-05T09:30:00Z", "2026-01-05T09:30:00Z", False, id="winter"
        ),
        pytest.param(
            where("GB", "2026-07-05", time="09:30", iata="LHR"), "2026-07-05T08:30:00Z", "2026-07-05T08:30:00Z", False, id="summer"
        ),
        pytest.param(
            where("GB", "2026-10-25", time="01:30", iata="LHR"),
            "2026-10-25T00:30:00Z",
            "2026-10-25T01:30:00Z",
            False,
            id="the-hour-that-comes-twice",
        ),
        pytest.param(
            where("GB", "2026-03-29", time="01:30", iata="LHR"),
            "2026-03-29T00:30:00Z",
            "2026-03-29T01:30:00Z",
            False,
            id="the-hour-that-is-skipped",
        ),
        pytest.param(where("FR", "2026-01-05", iata="CDG"), "2026-01-04T23:00:00Z", "2026-01-05T22:59:59Z", True, id="a-date-alone"),
        pytest.param(where("GB", "2026-10-25", iata="LHR"), "2026-10-24T23:00:00Z", "2026-10-25T23:59:59Z", True, id="a-day-of-25-hours"),
        pytest.param(
            where("US", "2026-01-05", time="12:00"), "2026-01-05T17:00:00Z", "2026-01-05T22:00:00Z", False, id="a-country-of-many-zones"
        ),
        pytest.param(
            where("US", "2026-01-05", time="12:00", iata="HNL"),
            "2026-01-05T22:00:00Z",
            "2026-01-05T22:00:00Z",
            False,
            id="the-airport-settles-it",
        ),
        pytest.param(
            where("FR", "2026-01-05", time="12:00", iata="LHR"),
            "2026-01-05T12:00:00Z",
            "2026-01-05T12:00:00Z",
            False,
            id="the-airport-s-zone-not-the-country-s",
        ),
        pytest.param(
            where("PT", "2026-01-05", time="12:00"),
            "2026-01-05T12:00:00Z",
            "2026-01-05T12:00:00Z",
            False,
            id="a-country-without-zones-is-utc",
        ),
    ],
)
def test_when_a_stop_can_be(place, earliest, latest, date_only):
    window = window_of(place, reference())
    assert window is not None
    assert (window.earliest, window.latest, window.date_only) == (at(earliest), at(latest), date_only)


def test_a_stop_without_a_date_can_be_at_no_time():
    assert window_of(Stop(Place(None, "LHR", True), Country("GB"), None, None), reference()) is None


def test_departed_is_certain_only_after_the_latest_instant():
    window = window_of(where("US", "2026-01-05", time="12:00"), reference())
    assert window is not None
    assert not window.departed(at("2026-01-05T21:59:59Z"))
    assert window.departed(at("2026-01-05T22:00:00Z"))


@pytest.mark.parametrize(
    ("zone", "when", "expected"),
    [
        ("Pacific/Auckland", "2026-03-01T10:59:59Z", "2026-03-01"), ("Pacific/Auckland", "2026-03-01T11:00:00Z", "2026-03-02"),
        ("Pacific/Honolulu", "2026-03-01T09:59:59Z", "2026-02-28"), ("Pacific/Honolulu", "2026-03-01T10:00:00Z", "2026-03-01"),
        ("Europe/London", "2026-10-24T23:00:00Z", "2026-10-25"), ("Europe/London", "2026-10-25T23:30:00Z", "2026-10-25"),
    ],
)  # fmt: skip
def test_the_date_an_instant_has_in_a_zone(zone, when, expected):
    assert local_date(zone, at(when), reference()) == date.fromisoformat(expected)


def test_of_several_zones_the_one_that_gives_fewest_days_counts():
    """At 05:00 UTC the next day begins in New York, hours before it does in Los Angeles and Honolulu."""
    place = where("US", "2026-01-25")
    assert days_before(place, date(2026, 1, 25), notified=at("2026-01-04T04:59:00Z"), reference=reference()) == 22
    assert days_before(place, date(2026, 1, 25), notified=at("2026-01-04T05:00:00Z"), reference=reference()) == 21


@pytest.mark.parametrize(
    ("notified", "given", "late"),
    [
        ("2026-03-13T23:59:59Z", "P7D", False),
        ("2026-03-14T00:00:00Z", "P6D", True),
        ("2026-03-20T09:00:00Z", "P0D", True),
        ("2026-03-25T09:00:00Z", "P0D", True),
    ],
)
def test_days_count_as_dates_in_the_zone_of_departure(notified, given, late):
    lead = lead_time(message(changed(NOTIFIED, notified)), context())
    assert lead is not None
    assert (lead.required, lead.given, lead.late, lead.row) == ("P7D", given, late, "R-TRV-03a/GB/undated/guidance")


@pytest.mark.parametrize(
    ("notified", "given", "late"),
    [("2026-03-19T09:30:00Z", "PT24H", False), ("2026-03-19T10:15:00Z", "PT23H15M", True), ("2026-03-21T00:00:00Z", "PT0H", True)],
)
def test_hours_count_as_elapsed_time(notified, given, late):
    event = changed("/body/supersedes", {"iss": "x", "jti": "y"}, changed(NOTIFIED, notified))
    lead = lead_time(message(event), context(ENG))
    assert lead is not None
    assert (lead.required, lead.given, lead.late, lead.rule) == ("PT24H", given, late, "R-TRV-03d")


def test_hours_elapse_over_the_change_of_clocks():
    """From 09:30 on the day before to 09:30 on the day the clocks go forward are 23 hours, not 24."""
    event = changed(DEPARTURE, stop("GB", "2026-03-29", at="09:30", kind="AIRPORT", iata="LHR"), changed(NOTIFIED, "2026-03-28T09:30:00Z"))
    lead = lead_time(message(changed("/body/supersedes", {"iss": "x", "jti": "y"}, event)), context(ENG))
    assert lead is not None
    assert (lead.given, lead.late) == ("PT23H", True)


def test_a_date_alone_counts_from_its_first_instant():
    event = changed(f"{DEPARTURE}/time", ..., changed(NOTIFIED, "2026-03-19T00:00:01Z"))
    lead = lead_time(message(changed("/body/supersedes", {"iss": "x", "jti": "y"}, event)), context(ENG))
    assert lead is not None
    assert (lead.given, lead.late, lead.date_only) == ("PT23H59M", True, True)


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(changed("/body/notification_basis", "DETECTED"), id="detected"),
        pytest.param(changed("/body/notification_basis", "ATTEMPTED"), id="attempted"),
        pytest.param(changed(NOTIFIED, ...), id="nobody-says-when"),
        pytest.param(changed(f"{DEPARTURE}/date", ...), id="no-departure"),
        pytest.param(changed(f"{DEPARTURE}/date", "9999-12-31"), id="a-year-beyond-all-journeys"),
        pytest.param(changed("/body/itinerary/segments", []), id="no-journey"),
    ],
)
def test_no_lead_time_is_asked(event):
    assert lead_time(message(event), context(US)) is None


def test_other_families_have_no_lead_time():
    assert lead_time(message(family="acknowledgement"), context(US)) is None


def test_a_leap_second_is_no_fault_of_ours():
    assert read_travel({"notified_by_subject_at": "2026-12-31T23:59:60Z"}).notified_at is None
    assert read_travel({"notified_by_subject_at": "2026-12-31T23:59:59+02:00"}).notified_at == datetime(
        2026, 12, 31, 21, 59, 59, tzinfo=UTC
    )
    assert read_travel({"notified_by_subject_at": "2026-12-31T23:59:59"}).notified_at == datetime(2027, 1, 1, tzinfo=UTC) - timedelta(
        seconds=1
    )
