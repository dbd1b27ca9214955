"""A fictional register has exactly the shares of the seeds, and says one thing of each subject in every family."""

from __future__ import annotations

import json
from collections import Counter
from fractions import Fraction
from itertools import islice
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.rules import check_all
from gateway.testing.clock import START
from gateway.testing.families.register import SEEDS, Tally, main, places, register
from tests.properties.test_families import admitted
from tests.unit.core.rules.test_examples import context
from tests.unit.core.samples import message

COUNT = 5_000


@pytest.fixture(scope="module")
def entries():
    return list(register(1, COUNT, START))


def bodies(entry, family):
    return [sample.event["body"] for sample in entry.messages if sample.family.name == family]


def counted(entries):
    return Counter(trait for entry in entries for trait in entry.traits())


def test_five_thousand_subjects_have_the_shares_of_the_seeds_to_the_person(entries):
    assert counted(entries) == {
        "risk VERY_HIGH": 100, "risk HIGH": 900, "risk MEDIUM": 1500, "risk LOW": 2500,
        "breached notification": 145, "charged with a serious further offence": 7,
        "eligible for reactive management": 1538, "moved to it": 29, "under an SHPO of this year": 372,
    }  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100, 997, 2000])
@pytest.mark.parametrize("seed", [0, 5])
def test_any_register_is_off_by_less_than_one_person(seed, count):
    found = counted(register(seed, count, START))
    assert sum(number for name, number in found.items() if name.startswith("risk ")) == count
    for name, share in SEEDS.words().items():
        assert abs(found[name] - share * count) <= 1, name


@pytest.mark.parametrize("seed", [0, 5])
def test_the_shares_are_spread_and_not_in_a_row(seed):
    """The first fifth of a register has some of every band, as a draw would."""
    found = counted(islice(register(seed, 5000, START), 1000))
    assert all(found[f"risk {band}"] > share * 1000 / 3 for band, share in SEEDS.bands.items())


@given(seed=st.integers(0, 2**32), count=st.integers(1, 600))
def test_every_number_has_a_place_of_its_own(seed, count):
    place = places(Random(seed), count)
    assert sorted(map(place, range(count))) == list(range(count))


def test_messages_bear_the_shares_out(entries):
    """What the entries say of themselves is read off the messages alone."""
    risk = [bodies(entry, "risk-update")[0] for entry in entries]
    bands = Counter(body["rm2000"]["band"] if "rm2000" in body else body["oasys"]["rosh"] for body in risk)
    assert bands == {"VERY_HIGH": 100, "HIGH": 900, "MEDIUM": 1500, "LOW": 2500}
    breaches = [body for entry in entries for body in bodies(entry, "breach-notification")]
    assert Counter(body["new_offence"] for body in breaches) == {False: 145, True: 7}
    assert {body["allegation_status"] for body in breaches if not body["new_offence"]} == {"CAUTIONED", "CONVICTED"}
    assert {body["allegation_status"] for body in breaches if body["new_offence"]} == {"CHARGED"}
    assert sum(len(bodies(entry, "order-summary")) for entry in entries) == 372
    assert all(len(bodies(entry, "registration-record")) == 1 for entry in entries)


def test_reactive_management_is_for_low_risk_that_qualifies_alone(entries):
    back = 0
    for entry in entries:
        body, record = bodies(entry, "risk-update")[0], bodies(entry, "registration-record")[0]
        assert (body["management_mode"] == "REACTIVE") == entry.reactive
        if entry.moved:
            assert entry.eligible
            assert entry.who.band == "LOW"
        if entry.reactive:
            assert "visit_plan" not in body
            assert not bodies(entry, "breach-notification")
            assert record["relevant_date"] <= body["reactive"]["low_since"], "low before anything was known of the person"
        elif entry.moved:
            back += 1
            assert body["review"]["outcome"] == "TO_ACTIVE"
    assert sum(entry.reactive for entry in entries) + back == 29


def test_a_subject_is_the_same_in_every_family(entries):
    refs = set()
    for entry in entries:
        (subject,) = {json.dumps(sample.event["subject"], sort_keys=True) for sample in entry.messages}
        (person,) = {json.dumps(sample.event["body"]["person"], sort_keys=True) for sample in entry.messages}
        refs.add(json.loads(subject)["ref"])
        record = bodies(entry, "registration-record")[0]
        assert (json.loads(subject)["status"] == "CAUTIONED") == (record["disposal"] == "CAUTION")
        for travel in bodies(entry, "travel-notification"):
            assert travel["risk_level"]["level"] == entry.who.band
            assert travel["offence_summary"] == record["offences"]
            assert (travel["active_travel_restriction"] != "NONE") == any(
                "travel_prohibition" in body for body in bodies(entry, "order-summary")
            )
        assert json.loads(person)["names"]
    assert len(refs) == COUNT


def test_what_is_dated_comes_in_order(entries):
    for entry in entries:
        record = bodies(entry, "registration-record")[0]
        assert record["offences"][0]["start"] < record["relevant_date"]
        assert record["offences"][0]["age_at_offence"] >= 18
        for order in bodies(entry, "order-summary"):
            assert order["order"]["made_on"] >= record["relevant_date"]
        for breach in bodies(entry, "breach-notification"):
            assert record["registered_on"] < breach["occurred_on"] <= breach["discovered_on"]


def test_every_message_of_a_register_is_admitted(entries):
    seen = Counter(admitted(sample).message.family.name for entry in entries[:300] for sample in entry.messages)
    assert seen.keys() == {"registration-record", "risk-update", "order-summary", "breach-notification", "travel-notification"}


def test_no_rule_finds_an_error_in_a_large_register(entries):
    for entry in entries:
        for sample in entry.messages:
            problems = check_all(message(dict(sample.event), family=sample.family.name, iat=sample.iat), context())
            assert not [problem for problem in problems if problem.is_error], sample


def test_the_same_seed_count_and_instant_give_the_same_and_another_seed_does_not():
    assert list(register(1, 60, START)) == list(register(1, 60, START))
    assert list(register(1, 60, START)) != list(register(2, 60, START))


def test_a_register_streams():
    """The first subjects of ten million come without the others."""
    first = list(islice(register(3, 10_000_000, START), 3))
    assert [entry.who.ref for entry in first] == ["r-0000000", "r-0000001", "r-0000002"]


def test_the_environment_is_the_one_asked_for():
    (entry,) = register(1, 1, START, environment="ACCEPTANCE")
    assert {sample.event["handling"]["environment"] for sample in entry.messages} == {"ACCEPTANCE"}


def test_the_command_writes_one_message_in_a_line_and_says_the_shares(capsys):
    main(["--subjects", "100", "--seed", "4", "--now", "2026-11-21T13:00:00+00:00"])
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert len(lines) >= 200
    assert {line["family"] for line in lines} >= {"registration-record/1.0", "risk-update/1.0"}
    assert "100 fictional subjects, in the shares of seed 001" in err
    assert "risk LOW: 50 (50.00%; seed 50.00%)" in err
    assert "breached notification: 3 (3.00%; seed 2.90%)" in err
    assert "charged with a serious further offence: 0 (0.00%; seed 0.13%)" in err


def test_a_tally_of_nobody_has_no_percentages():
    assert "  risk LOW: 0 (none; seed 50.00%)" in list(Tally().lines())


def test_the_bands_of_the_seeds_are_the_whole():
    assert sum(SEEDS.bands.values()) == Fraction(1)
