"""Who holds a live interest in a subject (R-RTE-06): a stay that ended ends it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.contract.values import Role
from gateway.core.delivery import State
from gateway.core.interest import end_of, interested
from tests.unit.core.earlier_samples import before, day_of, facts, journey, notice, said, told

FRANCE_TO_THE_14TH = journey(("FR", "2026-03-10", "2026-03-14"))
OPEN_ENDED = journey(("FR", "2026-03-10", None))
THROUGH_BELGIUM = journey(("BE", "2026-03-10", "2026-03-10"), ("FR", "2026-03-10", "2026-03-20"))
TWICE = journey(("FR", "2026-03-10", "2026-03-12"), ("ES", "2026-03-12", "2026-03-15"), ("FR", "2026-03-15", "2026-03-20"))
LATER = datetime(2026, 3, 15, 11, 59, 59, tzinfo=UTC)  # the 14th is over everywhere at noon of the 15th, UTC


def on(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T12:00:00+00:00")


@pytest.mark.parametrize(
    ("itinerary", "leg", "now", "live"),
    [
        pytest.param(FRANCE_TO_THE_14TH, told("p", "FR"), on("2026-03-01"), True, id="before-the-journey"),
        pytest.param(FRANCE_TO_THE_14TH, told("p", "FR"), LATER, True, id="while-the-last-day-lasts-anywhere"),
        pytest.param(FRANCE_TO_THE_14TH, told("p", "FR"), LATER + timedelta(seconds=1), False, id="once-the-last-day-is-over"),
        pytest.param(THROUGH_BELGIUM, told("p", "BE", roles=(Role.TRANSIT,)), on("2026-03-12"), False, id="a-transit-is-soon-over"),
        pytest.param(THROUGH_BELGIUM, told("p", "FR"), on("2026-03-12"), True, id="while-the-destination-goes-on"),
        pytest.param(THROUGH_BELGIUM, told("p", "BE", "FR"), on("2026-03-12"), True, id="of-two-countries-the-longer-stay"),
        pytest.param(TWICE, told("p", "FR"), on("2026-03-18"), True, id="a-second-stay-in-the-same-country"),
        pytest.param(TWICE, told("p", "ES"), on("2026-03-18"), False, id="the-stay-between-is-over"),
        pytest.param(OPEN_ENDED, told("p", "FR"), on("2026-09-01"), True, id="no-end-told-no-end"),
        pytest.param(OPEN_ENDED | {"return": {"date": "2026-03-14"}}, told("p", "FR"), on("2026-03-16"), False, id="until-the-return"),
        pytest.param(
            OPEN_ENDED | {"return": {"date": "2026-03-14"}}, told("p", "DE", roles=(Role.NATIONALITY,)), on("2026-03-10"), True,
            id="a-country-not-of-the-journey-while-it-lasts",
        ),
        pytest.param(
            OPEN_ENDED | {"return": {"date": "2026-03-14"}}, told("p", "DE", roles=(Role.NATIONALITY,)), on("2026-03-16"), False,
            id="a-country-not-of-the-journey-after-it",
        ),
        pytest.param(OPEN_ENDED, told("p", "FR", state=State.PLANNED, attempt=0), on("2026-03-11"), True, id="its-turn-is-before-this-one"),
        pytest.param(OPEN_ENDED, told("p", "FR", state=State.HELD, attempt=0), on("2026-03-11"), False, id="held-is-not-told"),
        pytest.param(OPEN_ENDED, told("p", "FR", state=State.REFUSED, attempt=0), on("2026-03-11"), False, id="refused-is-not-told"),
        pytest.param(OPEN_ENDED, told("p", "FR", state=State.EXPIRED, attempt=0), on("2026-03-11"), False, id="expired-unsent-is-not-told"),
        pytest.param(OPEN_ENDED, told("p", "FR", state=State.DEAD, attempt=3), on("2026-03-11"), True, id="dead-after-attempts-may-be-told"),
    ],
)  # fmt: skip
def test_a_partner_is_interested_while_the_stay_it_was_told_of_lasts(itinerary, leg, now, live):
    found = interested(facts(before(notice("n", itinerary), leg)), now)
    assert found == ({"p": leg.countries} if live else {})


def test_a_stay_whose_end_is_not_told_ends_with_the_notice():
    kept = notice("n", OPEN_ENDED)
    last = end_of(day_of(kept.event["handling"]["retention"]["delete_by"]))
    known = facts(before(kept, told("p", "FR")))
    assert interested(known, last - timedelta(seconds=1)) == {"p": ("FR",)}
    assert interested(known, last) == {}


def test_a_notice_that_another_took_the_place_of_gives_no_interest():
    first, changed = notice("n1", OPEN_ENDED), notice("n2", journey(("ES", "2026-03-10", None)), supersedes=ref("n1"))
    known = facts(before(first, told("fr", "FR")), before(changed, told("es", "ES")))
    assert interested(known, on("2026-03-11")) == {"es": ("ES",)}


def ref(jti: str) -> dict[str, str]:
    return {"iss": "gb-register", "jti": jti}


@pytest.mark.parametrize(("kind", "live"), [("WITHDRAW", False), ("RECALL", False), ("CORRECT", True), ("REPLACE", True)])
def test_what_is_taken_back_gives_no_interest_and_what_is_corrected_does(kind, live):
    correction = said("correction", "c", corrects=ref("n"), kind=kind, replacement=..., fields_changed=...)
    known = facts(before(notice("n", OPEN_ENDED), told("fr", "FR")), before(correction, told("fr", "FR")))
    assert interested(known, on("2026-03-11")) == ({"fr": ("FR",)} if live else {})


def test_what_a_correction_puts_in_its_place_says_when_the_stay_ends():
    put = {"travel-notification": notice("x", FRANCE_TO_THE_14TH).body}
    correction = said("correction", "c", corrects=ref("n"), kind="REPLACE", replacement=put)
    known = facts(before(notice("n", OPEN_ENDED), told("fr", "FR")), before(correction, told("fr", "FR")))
    assert interested(known, on("2026-03-11")) == {"fr": ("FR",)}
    assert interested(known, on("2026-03-16")) == {}


def test_who_asked_to_be_kept_informed_is_until_the_day_it_named_last():
    order = before(said("order-summary", "o"), told("p", "DE", roles=(Role.NAMED,)))
    asked = [
        before(said("acknowledgement", f"a{n}", iss="p", keep_informed_until=day)) for n, day in enumerate(("2026-05-01", "2026-04-01"))
    ]
    stranger = before(said("acknowledgement", "b", iss="q", keep_informed_until="2027-01-01"))
    known = facts(order, *asked, stranger)
    assert interested(known, on("2026-03-31")) == {"p": ("DE",)}, "and nobody who was never told of the subject"
    assert interested(known, on("2026-04-03")) == {}
