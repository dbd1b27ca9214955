"""What holds for every journey, every set of partners, and every notice that passed its schema."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway.contract.values import Country, Role
from gateway.core.directory import Directory
from gateway.core.routing import route
from gateway.core.rules import check_all
from gateway.core.rules.time import window_of
from gateway.core.travel import Place, Stop
from gateway.testing.clock import START
from tests.unit.core.samples import (
    AIRPORTS,
    ZONES_BY_COUNTRY,
    changed,
    context,
    message,
    partner,
    receives,
    reference,
    register,
    segment,
    stop,
)

COUNTRIES = sorted(ZONES_BY_COUNTRY)
DAYS = st.dates(date(2025, 1, 1), date(2027, 12, 1))
HOME = Country("GB")

segments = st.lists(
    st.tuples(st.sampled_from(COUNTRIES), st.sampled_from(COUNTRIES), st.sampled_from(["DESTINATION", "TRANSIT"]), DAYS),
    min_size=1,
    max_size=6,
)
profiles = st.lists(
    st.tuples(
        st.sampled_from(COUNTRIES),
        st.frozensets(st.sampled_from(COUNTRIES), max_size=3),
        st.frozensets(st.sampled_from(Role)),
        st.booleans(),
    ),
    max_size=6,
)


def made(parts):
    return changed(
        "/body/itinerary/segments",
        [
            segment(n, stop(leaves, str(on)), stop(enters, str(on)), role=role)
            for n, (leaves, enters, role, on) in enumerate(parts, start=1)
        ],
    )


def world(parts):
    return [
        partner(f"p{n}", country, serves=serves, receives=receives(roles=roles), **({} if takes else {"delivery": None}))
        for n, (country, serves, roles, takes) in enumerate(parts)
    ]


@given(
    segments,
    profiles,
    st.sampled_from(["NONE", "ORIGINATOR_CONSENT", "NAMED", "MEMBER_COUNTRIES"]),
    st.frozensets(st.sampled_from(COUNTRIES), max_size=2),
)
def test_every_country_entered_is_named_by_a_candidate_or_a_refusal(journey, partners, onward, excluded):
    event = changed("/handling/onward_sharing", onward, changed("/handling/excluded_countries", sorted(excluded), made(journey)))
    directory = Directory([register(), *world(partners)])
    found = route(message(event), directory, reference(), home=HOME, now=START)
    told = {country for c in found.candidates for country in c.countries}
    refused = {r.country for r in found.refusals}
    for _, enters, _, _ in journey:
        assert enters == HOME or enters in told or enters in refused
    assert all(r.country != HOME for r in found.refusals)


@given(segments, profiles)
def test_nobody_is_a_recipient_twice_and_no_sender_of_its_own_notice(journey, partners):
    found = route(message(made(journey)), Directory([register(receives=receives()), *world(partners)]), reference(), home=HOME, now=START)
    ids = [c.partner for c in found.candidates]
    assert len(ids) == len(set(ids))
    assert "uk-register" not in ids


@given(segments, profiles)
def test_no_candidate_lacks_what_routing_promised(journey, partners):
    directory = Directory([register(), *world(partners)])
    for candidate in route(message(made(journey)), directory, reference(), home=HOME, now=START).candidates:
        profile = directory.by_id(candidate.partner)
        assert profile.delivery is not None
        assert candidate.countries
        assert all(profile.covers(country) for country in candidate.countries)
        assert len(candidate.countries) == len(set(candidate.countries))
        assert all(profile.receives_for("travel-notification", role, "PREVENT_CHILD_SEX_CRIME") for role in candidate.roles)


@given(segments, st.builds(datetime.combine, DAYS, st.times()), st.sampled_from(["GB-EAW", "GB-NIR", "GB-SCT"]))
def test_rules_answer_and_never_reject_for_lateness(journey, notified, region):
    event = changed("/body/notified_by_subject_at", notified.isoformat(timespec="seconds") + "Z", made(journey))
    problems = check_all(message(event), context(register(regions=frozenset({region}))))
    assert not any(p.is_error for p in problems if p.pointer == "/body/notified_by_subject_at")


@given(st.sampled_from(COUNTRIES), st.none() | st.sampled_from(sorted(AIRPORTS)), DAYS, st.none() | st.times())
def test_a_window_is_ordered_and_no_longer_than_a_day_and_the_zones_of_a_country(country, iata, on, at):
    clock = None if at is None else time(at.hour, at.minute)
    window = window_of(Stop(Place(None, iata, named=True), Country(country), on, clock), reference())
    assert window is not None
    assert window.earliest <= window.latest <= window.earliest + timedelta(hours=25 + 6)
