"""What somebody must know at once, and what every copy is marked with."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.contract.values import Jti, PartnerId, Ref
from gateway.core.alerts import alerts_of, marks_of
from gateway.core.directory import Directory
from gateway.core.facts import NO_FACTS
from tests.unit.core.earlier_samples import REGISTER, answered, before, changed_at, facts, journey, notice, said
from tests.unit.core.samples import NOW, context, partner, register

MANAGED = replace(register(), id=REGISTER, managing_authority=PartnerId("gb-police"))
DIRECTORY = Directory([MANAGED, partner("gb-police", "GB"), partner("fr-police", "FR")])
FRANCE = journey(("FR", "2026-03-10", "2026-03-14"))
BOTH = ("gb-register", "gb-police")


def order(jti="o", *, id_="ORDER-1", prohibition={"scope": "ALL"}, **changes):  # noqa: B006 -- never changed
    stands = {"id": id_, "kind": "SHPO", "jurisdiction": "GB-EAW", "status": "ACTIVE", "start": "2025-01-01", "end": "2029-12-31"}
    return said("order-summary", jti, order=stands | changes, travel_prohibition=prohibition)


def risk(mode="REACTIVE", jti="r", **body):
    return said("risk-update", jti, management_mode=mode, review=body.pop("review", ...), **body)


def codes(message, *earlier, sender=MANAGED, answers=None):
    known = facts(*map(before, earlier), answered=answers)
    return [(alert.code, alert.to) for alert in alerts_of(message, known, context(sender), directory=DIRECTORY)]


@pytest.mark.parametrize(
    ("carried", "forbidden"),
    [
        pytest.param(order(), True, id="every-country"),
        pytest.param(order(prohibition={"scope": "NAMED_COUNTRIES", "countries": ["FR", "TH"]}), True, id="this-country"),
        pytest.param(order(prohibition={"scope": "NAMED_COUNTRIES", "countries": ["TH"]}), False, id="another-country"),
        pytest.param(order(prohibition={"scope": "ALL_EXCEPT", "countries": ["FR"]}), False, id="all-but-this"),
        pytest.param(order(prohibition={"scope": "ALL_EXCEPT", "countries": ["IE"]}), True, id="all-but-another"),
        pytest.param(order(prohibition=...), False, id="no-travel-prohibition"),
        pytest.param(order(status="DISCHARGED"), False, id="no-longer-in-force"),
        pytest.param(order(status="VARIED"), True, id="varied"),
        pytest.param(order(end="2026-03-09"), False, id="over-before-the-journey"),
        pytest.param(order(end="2026-03-10"), True, id="over-on-its-first-day"),
        pytest.param(order(end=None), True, id="without-an-end"),
        pytest.param(order(start="2026-03-15"), False, id="from-after-the-journey"),
        pytest.param(order(start="2026-03-14"), True, id="from-its-last-day"),
    ],
)
def test_a_journey_that_a_carried_order_forbids_is_marked_and_alerts_who_manages_the_subject(carried, forbidden):
    travel = notice("n", FRANCE)
    assert codes(travel, carried) == ([("TRAVEL_RESTRICTION", BOTH)] if forbidden else [])
    assert marks_of(travel, facts(before(carried)), context(MANAGED)) == (("TRAVEL_RESTRICTION",) if forbidden else ())


def test_of_an_order_told_twice_the_later_word_counts():
    assert codes(notice("n", FRANCE), order("o1"), order("o2", status="QUASHED")) == []
    assert codes(notice("n", FRANCE), order("o1"), order("o2", id_="ORDER-2", status="QUASHED")) == [("TRAVEL_RESTRICTION", BOTH)]


def test_an_order_that_forbids_a_journey_already_told_alerts_too_while_it_is_not_over():
    assert codes(order(), notice("n", FRANCE)) == [("TRAVEL_RESTRICTION", BOTH)]
    assert codes(order(start="2024-01-01"), notice("n", journey(("FR", "2026-01-10", "2026-01-14"), back="2026-01-14"))) == []


@pytest.mark.parametrize(
    ("message", "due"),
    [
        pytest.param(said("intelligence-report"), True, id="intelligence"),
        pytest.param(said("breach-notification"), True, id="a-breach"),
        pytest.param(said("order-summary", travel_prohibition=...), False, id="an-order"),
        pytest.param(risk(review={"trigger": "NEW_RELATIONSHIP"}), True, id="a-change-not-yet-reviewed"),
        pytest.param(risk(review={"trigger": "NEW_RELATIONSHIP", "outcome": "UNCHANGED"}), False, id="a-change-that-was-reviewed"),
        pytest.param(risk(review={"trigger": "PERIODIC"}), False, id="no-change"),
        pytest.param(risk("ACTIVE", review={"trigger": "NEW_RELATIONSHIP"}), False, id="who-is-visited-anyhow"),
    ],
)
def test_news_about_a_subject_nobody_visits_asks_for_a_review(message, due):
    assert codes(message, risk()) == ([("REVIEW_DUE", BOTH)] if due else [])


@pytest.mark.parametrize("earlier", [[], [risk("ACTIVE")], [risk("REACTIVE", "r1"), risk("ACTIVE", "r2")]])
def test_news_about_any_other_subject_does_not(earlier):
    assert codes(said("breach-notification"), *earlier) == []


def test_a_review_is_due_within_ten_working_days():
    (alert,) = alerts_of(said("breach-notification"), facts(before(risk())), context(MANAGED), directory=DIRECTORY)
    assert alert.due == datetime(2026, 3, 13, 23, 59, 59, tzinfo=UTC), "NOW is a Sunday"


def test_how_a_person_is_managed_is_not_told_to_a_partner_abroad_that_gave_the_news():
    french = partner("fr-police", "FR")
    told = codes(said("breach-notification", iss="fr-police"), risk(), sender=french, answers=answered("travel-notification"))
    assert told == [("REVIEW_DUE", BOTH)]


def test_without_a_register_that_is_known_nobody_can_be_alerted():
    gone = answered("travel-notification", of=Ref(PartnerId("xx-register"), Jti("o")))
    assert codes(said("breach-notification"), replace(risk(), iss=PartnerId("xx-register")), answers=gone) == []


def test_a_reply_after_its_time_is_marked():
    asked = changed_at(said("information-request", "original"), "routing", reply_by="2026-03-01T11:59:59Z")
    reply = said("information-response", iss="fr-police", answers="asked")
    known = facts(before(asked), answered=answered("information-request"))
    assert marks_of(reply, known, context(partner("fr-police", "FR"))) == ("REPLY_LATE",)
    assert marks_of(reply, known, replace(context(), now=NOW - timedelta(seconds=1))) == ()
    assert marks_of(reply, NO_FACTS, context()) == ()
    assert asked.iss == REGISTER
