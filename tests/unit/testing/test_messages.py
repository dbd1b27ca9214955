"""The fictional register: right where it says so, wrong where it says so, and the same each time."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from random import Random

import pytest

from gateway.contract.values import Jti, PartnerId, Ref
from gateway.core.travel import read_travel
from gateway.testing.journeys import JOURNEYS
from gateway.testing.messages import (
    ACKNOWLEDGEMENT,
    FAULTS,
    MISSING,
    NAMES,
    TRAVEL,
    Label,
    acknowledgement,
    fictional_register,
    replaced,
    travel_notice,
    uuid7,
)
from tests.unit.core.schema_samples import reference, schemas

NOW = datetime(2026, 11, 21, 13, tzinfo=UTC)
BASE = "https://gateway.example/events"
REGISTER = list(fictional_register(7, 200, NOW))


@pytest.mark.parametrize("scenario", REGISTER, ids=lambda s: f"{s.number}-{s.label}")
def test_a_scenario_is_what_its_label_says(scenario):
    problems = schemas().check(TRAVEL, scenario.sample.event, on=NOW.date())
    if scenario.label is Label.FAULTY:
        assert len(problems) >= 2
        return
    assert problems == []
    travel = read_travel(scenario.sample.event["body"])
    first = travel.itinerary.segments[0].departure.date
    assert first is not None
    assert travel.emergency == (scenario.label is Label.EMERGENCY)
    assert travel.restricted == (scenario.label is Label.RESTRICTED)
    assert travel.basis == (scenario.label.value.upper() if scenario.label in {Label.DETECTED, Label.ATTEMPTED} else "DECLARED")
    if scenario.label in {Label.OK, Label.LATE}:
        assert ((first - NOW.date()).days >= 9) == (scenario.label is Label.OK)


def test_the_register_has_every_kind_of_notice():
    counts = Counter(s.label for s in REGISTER)
    assert counts.keys() == set(Label)
    assert counts[Label.OK] > 150
    assert counts[Label.FAULTY] >= 5
    scripts = {name.get("script") for s in REGISTER for name in s.sample.event["body"]["person"]["names"]}
    assert {None, "Cyrl", "Grek", "Arab", "Jpan"} <= scripts
    assert any(len(s.sample.event["body"]["itinerary"]["segments"]) > 1 for s in REGISTER)


def test_the_same_seed_gives_the_same_register_and_another_another():
    assert list(fictional_register(7, 200, NOW)) == REGISTER
    assert list(fictional_register(8, 200, NOW)) != REGISTER


def test_no_two_messages_share_an_identifier_or_a_subject():
    assert len({s.sample.jti for s in REGISTER}) == len({s.sample.event["subject"]["ref"] for s in REGISTER}) == 200
    assert all(re.fullmatch("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", s.sample.jti) for s in REGISTER)
    assert uuid7(Random(1), NOW)[:13].replace("-", "") == f"{int(NOW.timestamp() * 1000):012x}"


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_alone_is_found(fault):
    sample = travel_notice(Random(3), NOW, overrides=FAULTS[fault])
    (problem, *_) = schemas().check(TRAVEL, sample.event, on=NOW.date())
    assert problem.is_error


def test_names_and_hotels_are_clearly_fictional():
    for name in NAMES:
        assert any(word in str(name) for word in ("TEST", "EXAMPLE", "ТЕСТ", "ΔΟΚΙΜΗ", "تجريبي", "試験"))  # noqa: RUF001 -- "test" in several scripts
    assert {journey.first_night["lines"][0] for journey in JOURNEYS} == {"Example Hotel"}


@pytest.mark.parametrize("journey", JOURNEYS, ids=lambda j: j.title)
def test_places_of_a_journey_lie_where_they_say_and_follow_each_other(journey):
    for hop in journey.hops:
        for place in (hop.start, hop.end):
            if "iata" in place:
                assert reference().airports[place["iata"]].country == place["country"]
    assert all(one.end == following.start for one, following in zip(journey.hops, journey.hops[1:], strict=False))
    itinerary = travel_notice(Random(1), NOW, journey=journey).event["body"]["itinerary"]
    roles = [segment["role"] for segment in itinerary["segments"]]
    assert roles == ["TRANSIT"] * (len(roles) - 1) + ["DESTINATION"]


def test_an_answer_repeats_the_subject_and_fits_its_schema():
    notice = travel_notice(Random(1), NOW)
    heard = {**notice.event, "subject": {**notice.event["subject"], "iss": "gb-register"}}
    of = Ref(PartnerId("gateway"), Jti(notice.jti))
    answer = acknowledgement(Random(2), NOW, of=of, event=heard, txn=notice.txn, body={"stage": "ACTIONED", "outcome": "MONITORED"})
    assert schemas().check(ACKNOWLEDGEMENT, answer.event, on=NOW.date()) == []
    assert answer.event["subject"] == heard["subject"]
    assert answer.event["routing"]["in_response_to"] == {"iss": "gateway", "jti": notice.jti}
    assert answer.txn == notice.txn


def test_claims_are_those_of_one_event_token():
    claims = travel_notice(Random(1), NOW).claims(iss="gb-register", aud="gateway", uri_base=BASE)
    assert claims.keys() == {"iss", "aud", "jti", "iat", "toe", "txn", "events"}
    assert list(claims["events"]) == [f"{BASE}/travel-notification/1.0"]
    assert claims["iat"] == int(NOW.timestamp()) >= claims["toe"]


CHANGES = [
    ("/a", 2, {"a": 2, "l": [{"b": 1}], "x/y": 0}),
    ("/a", MISSING, {"l": [{"b": 1}], "x/y": 0}),
    ("/l/0/b", 3, {"a": 1, "l": [{"b": 3}], "x/y": 0}),
    ("/l/-", 4, {"a": 1, "l": [{"b": 1}, 4], "x/y": 0}),
    ("/l/0", MISSING, {"a": 1, "l": [], "x/y": 0}),
    ("/x~1y", 5, {"a": 1, "l": [{"b": 1}], "x/y": 5}),
    ("/new", 6, {"a": 1, "l": [{"b": 1}], "x/y": 0, "new": 6}),
]


@pytest.mark.parametrize(("pointer", "value", "after"), CHANGES)
def test_replaced_changes_a_copy_at_the_pointer(pointer, value, after):
    event = {"a": 1, "l": [{"b": 1}], "x/y": 0}
    assert replaced(event, pointer, value) == after
    assert event == {"a": 1, "l": [{"b": 1}], "x/y": 0}


@pytest.mark.parametrize("pointer", ["/none/x", "/l/7/b", "/none"])
def test_replaced_makes_no_way_that_is_not_there(pointer):
    with pytest.raises((KeyError, IndexError)):
        replaced({"l": []}, pointer, MISSING)
