"""Each rule of travel notices: one change from a valid notice."""

from __future__ import annotations

import pytest

from gateway.core.rules import RuleTables, check_all
from gateway.core.rules.tables import RuleRow, SourceKind, Unit
from tests.unit.core.samples import NOW, changed, context, day, message, partner, register, segment, stop, travel_event

US = partner("us-registry", "US")
NIR = register(regions=frozenset({"GB-NIR"}))
ENG = register(regions=frozenset({"GB-ENG"}))
SCT = register(regions=frozenset({"GB-SCT"}))
NOTIFIED = "/body/notified_by_subject_at"
SEGMENTS = "/body/itinerary/segments"


def problems(event, sender=None):
    return check_all(message(event), context(sender))


def rules(event, sender=None):
    """Say which rules spoke, less those of text and those that a sender's law always says."""
    return [str(p.rule) for p in problems(event, sender) if p.rule not in {"R-GEN-10", "R-GEN-11", "R-TRV-17", "R-TRV-05"}]


def notified(at, event=None):
    return changed(NOTIFIED, at, event)


EMERGENCY = changed("/body/emergency", True, changed("/body/emergency_reason", "a test reason"))
UNEXPLAINED = changed("/body/emergency", True)
CHANGE = changed("/body/supersedes", {"iss": "uk-register", "jti": "0195"})


# Departure is at 09:30 in London on 2026-03-20, which is UTC that day.
@pytest.mark.parametrize(
    ("sender", "event", "expected"),
    [
        pytest.param(US, notified("2026-02-27T12:00:00Z"), [], id="us-21-days"),
        pytest.param(US, notified("2026-02-28T12:00:00Z"), ["R-TRV-01"], id="us-20-days"),
        pytest.param(US, notified("2026-03-19T12:00:00Z", EMERGENCY), [], id="us-emergency-with-reason"),
        pytest.param(US, notified("2026-03-20T12:00:00Z", EMERGENCY), ["R-TRV-02"], id="us-emergency-told-after-departure"),
        pytest.param(US, notified("2026-03-19T12:00:00Z", UNEXPLAINED), ["R-TRV-01", "R-TRV-02"], id="us-emergency-without-reason"),
        pytest.param(None, notified("2026-03-13T23:59:00Z"), [], id="uk-7-days"),
        pytest.param(None, notified("2026-03-14T00:00:00Z"), ["R-TRV-03a"], id="uk-6-days"),
        pytest.param(ENG, notified("2026-03-19T09:30:00Z"), ["R-TRV-03a"], id="england-24-hours"),
        pytest.param(ENG, notified("2026-03-19T09:31:00Z"), ["R-TRV-03a", "R-TRV-03b"], id="england-below-24-hours"),
        pytest.param(NIR, notified("2026-03-19T09:31:00Z"), ["R-TRV-03a", "R-TRV-03b"], id="northern-ireland-below-24-hours"),
        pytest.param(ENG, notified("2026-03-19T21:30:00Z", EMERGENCY), [], id="england-emergency-12-hours"),
        pytest.param(ENG, notified("2026-03-19T21:31:00Z", EMERGENCY), ["R-TRV-03c"], id="england-emergency-below-12-hours"),
        pytest.param(NIR, notified("2026-03-19T21:31:00Z", EMERGENCY), ["R-TRV-03c"], id="northern-ireland-emergency-below-12-hours"),
        pytest.param(ENG, notified("2026-03-19T21:30:00Z", UNEXPLAINED), ["R-TRV-03a", "R-TRV-03b"], id="england-emergency-without-reason"),
        pytest.param(ENG, notified("2026-03-19T09:30:00Z", CHANGE), [], id="england-change-24-hours"),
        pytest.param(ENG, notified("2026-03-19T09:31:00Z", CHANGE), ["R-TRV-03d"], id="england-change-below-24-hours"),
        pytest.param(NIR, notified("2026-03-19T09:31:00Z", CHANGE), ["R-TIM-03"], id="northern-ireland-change-has-12-hours"),
        pytest.param(NIR, notified("2026-03-19T21:31:00Z", CHANGE), ["R-TRV-03d", "R-TIM-03"], id="northern-ireland-change-below-12-hours"),
        pytest.param(SCT, notified("2026-03-14T00:00:00Z"), ["R-TRV-03a"], id="scotland-by-its-own-row-of-the-same-number"),
        pytest.param(partner("fr-police", "FR"), notified("2026-03-19T12:00:00Z"), [], id="no-law-of-ours-speaks-for-france"),
        pytest.param(
            None, changed("/body/notification_basis", "DETECTED", notified("2026-03-20T12:00:00Z")), [], id="detected-has-no-lead-time"
        ),
        pytest.param(
            None, changed("/body/notification_basis", "ATTEMPTED", notified("2026-03-20T12:00:00Z")), [], id="attempted-has-no-lead-time"
        ),
    ],
)
def test_a_late_notice_is_warned_of_and_never_rejected(sender, event, expected):
    assert sorted(rules(event, sender)) == sorted(expected)
    assert not any(p.is_error for p in problems(event, sender))


def going(*segments, back="2026-03-27"):
    event = changed(SEGMENTS, list(segments))
    return changed("/body/itinerary/return/date", back, event) if back else changed("/body/itinerary/return", ..., event)


OUT = segment(1, stop("GB", "2026-03-20", at="09:30"), stop("FR", "2026-03-20", at="11:50"))
ON = segment(2, stop("FR", "2026-03-22"), stop("BE", "2026-03-22"))


def without(pointer):
    return changed(pointer, ...)


@pytest.mark.parametrize(
    ("sender", "event", "expected"),
    [
        pytest.param(None, without(f"{SEGMENTS}/0/departure/date"), [("R-TRV-06", "error", f"{SEGMENTS}/0/departure/date")], id="no-departure-date"),
        pytest.param(None, without(f"{SEGMENTS}/0/arrival/place"), [("R-TRV-06", "error", f"{SEGMENTS}/0/arrival/place")], id="no-point-of-arrival"),
        pytest.param(None, changed(f"{SEGMENTS}/0/arrival/place", {"kind": "AIRPORT"}), [("R-TRV-06", "error", f"{SEGMENTS}/0/arrival/place")], id="a-place-without-a-name"),
        pytest.param(None, changed(f"{SEGMENTS}/1/arrival/place", ..., going(OUT, ON)), [("R-TRV-06", "warning", f"{SEGMENTS}/1/arrival/place")], id="no-later-point-of-arrival"),
        pytest.param(None, without(f"{SEGMENTS}/0/carrier"), [("R-TRV-06", "warning", f"{SEGMENTS}/0/carrier")], id="no-carrier"),
        pytest.param(None, without("/body/accommodation"), [("R-TRV-06", "warning", "/body/accommodation/first_night")], id="no-first-night"),
        pytest.param(None, without("/body/itinerary/return"), [("R-TRV-06", "warning", "/body/itinerary/return/date")], id="no-return"),
        pytest.param(None, changed("/body/notification_basis", "DETECTED", without(f"{SEGMENTS}/0/arrival/place")), [("R-TRV-06", "warning", f"{SEGMENTS}/0/arrival/place")], id="detected-all-warnings"),
        pytest.param(partner("de-police", "DE"), without("/body/accommodation"), [], id="not-the-law-of-germany"),
        pytest.param(None, changed(f"{SEGMENTS}/0/arrival/place", {"kind": "CITY", "text": "PARIS"}), [("R-TRV-07", "warning", f"{SEGMENTS}/0/arrival/place/kind")], id="a-city-is-no-point-of-arrival"),
        pytest.param(partner("de-police", "DE"), changed(f"{SEGMENTS}/0/arrival/place", {"kind": "CITY", "text": "PARIS"}), [], id="a-city-will-do-for-germany"),
        pytest.param(None, changed(f"{SEGMENTS}/0/arrival/country", "BE"), [("R-TRV-18", "warning", f"{SEGMENTS}/0/arrival/country")], id="airport-in-another-country"),
        pytest.param(None, changed(f"{SEGMENTS}/0/departure/place/iata", "CDG"), [("R-TRV-18", "warning", f"{SEGMENTS}/0/departure/country")], id="departs-from-an-airport-abroad"),
        pytest.param(None, changed(f"{SEGMENTS}/0/departure/place/iata", "QQQ"), [], id="an-airport-nobody-knows-proves-nothing"),
        pytest.param(None, without(f"{SEGMENTS}/0/departure/time"), [("R-TIM-02", "note", f"{SEGMENTS}/0/departure/time")], id="date-only"),
    ],
)  # fmt: skip
def test_one_change_from_valid_is_found(sender, event, expected):
    assert [(p.rule, p.severity.value, p.pointer) for p in problems(event, sender)] == expected


BACKWARDS = segment(2, stop("FR", "2026-03-19"), stop("BE", "2026-03-22"))
SAME_DAY_EARLIER = segment(2, stop("FR", "2026-03-20", at="08:00"), stop("BE", "2026-03-20", at="13:00"))
ROUND = segment(1, stop("GB", "2026-03-20"), stop("GB", "2026-03-21"))
DATE_LINE = segment(
    1, stop("NZ", "2026-03-20", at="09:00", kind="AIRPORT", iata="AKL"), stop("US", "2026-03-19", at="19:00", kind="AIRPORT", iata="HNL")
)
TOO_FAST = segment(
    1, stop("GB", "2026-03-20", at="09:30", kind="AIRPORT", iata="LHR"), stop("FR", "2026-03-20", at="10:00", kind="AIRPORT", iata="CDG")
)


@pytest.mark.parametrize(
    ("event", "pointer"),
    [
        pytest.param(going(OUT, BACKWARDS), f"{SEGMENTS}/1/departure/date", id="goes-backwards"),
        pytest.param(going(OUT, SAME_DAY_EARLIER), f"{SEGMENTS}/1/departure/date", id="goes-backwards-by-hours"),
        pytest.param(going(OUT, {**ON, "seq": 1}), f"{SEGMENTS}/1/seq", id="one-number-twice"),
        pytest.param(changed(f"{SEGMENTS}/0/arrival/date", "2026-03-19"), f"{SEGMENTS}/0/arrival/date", id="arrives-the-day-before"),
        pytest.param(going(TOO_FAST), f"{SEGMENTS}/0/arrival/date", id="arrives-before-it-departs-in-true-time"),
        pytest.param(going(ROUND), SEGMENTS, id="never-leaves-home"),
    ],
)
def test_a_journey_that_cannot_be_is_rejected(event, pointer):
    assert [p.pointer for p in problems(event) if p.rule == "R-TRV-11" and p.is_error] == [pointer]


@pytest.mark.parametrize(
    "event", [going(OUT, ON), going(DATE_LINE)], ids=["on-to-the-next-country", "arrives-the-day-before-over-the-date-line"]
)
def test_a_journey_that_can_be_is_not(event):
    assert not any(p.rule == "R-TRV-11" for p in problems(event))


TO_IRELAND = segment(1, stop("GB", "2026-03-20", at="09:30"), stop("IE", "2026-03-20", at="11:00"))


@pytest.mark.parametrize(
    ("sender", "event", "noted"),
    [
        pytest.param(NIR, going(TO_IRELAND, back="2026-03-22"), True, id="two-days-in-ireland"),
        pytest.param(NIR, going(TO_IRELAND, back="2026-03-23"), False, id="three-days-in-ireland"),
        pytest.param(NIR, going(OUT, back="2026-03-22"), False, id="two-days-in-france"),
        pytest.param(NIR, going(TO_IRELAND, back=None), False, id="no-return-told"),
        pytest.param(ENG, going(TO_IRELAND, back="2026-03-22"), False, id="from-england"),
    ],
)
def test_a_short_trip_from_northern_ireland_to_ireland_needed_no_notice(sender, event, noted):
    assert ("R-TRV-03e" in rules(event, sender)) is noted


@pytest.mark.parametrize(("year", "warned"), [("2026", False), ("2012", True)])
def test_england_asks_every_length_of_trip_since_august_2012(year, warned):
    """The row in force on the day of departure decides: before, journeys under 3 days were exempt."""
    trip = segment(1, stop("GB", f"{year}-08-10", at="09:30"), stop("FR", f"{year}-08-10", at="11:50"))
    assert ("R-TRV-04" in rules(going(trip, back=f"{year}-08-11"), ENG)) is warned


@pytest.mark.parametrize(("on", "cited"), [("2022-01-06", False), ("2022-01-07", True)])
def test_part_72_is_cited_from_its_first_day(on, cited):
    event = going(segment(1, stop("US", on), stop("FR", on)))
    assert any(p.rule == "R-TRV-17" for p in problems(event, US)) is cited


def test_scotland_is_told_that_its_numbers_are_not_verified():
    (note,) = (p for p in problems(None, SCT) if p.rule == "R-TRV-05")
    assert "not verified" in note.detail
    assert not any(p.rule == "R-TRV-05" for p in problems(None, ENG))


def test_a_late_notice_names_what_is_asked_what_was_given_and_where_it_says_so():
    (problem,) = problems(notified("2026-03-14T12:00:00Z"))
    assert "P6D" in problem.detail
    assert "7 days (Nacro" in problem.expected
    assert problem.pointer == NOTIFIED


def test_a_state_s_own_row_goes_before_its_country_s():
    rows = [
        RuleRow(rule="R-TRV-01", jurisdiction=j, quantity=q, unit=Unit.DAYS, source="t", source_kind=SourceKind.STATUTE, verified=True, effective_from=day("2020-01-01"))
        for j, q in (("US", 21), ("US-SD", 30))
    ]  # fmt: skip
    sender = partner("sd-registry", "US", regions=frozenset({"US-SD"}))
    found = check_all(message(), context(sender, tables=RuleTables(tuple(rows))))
    assert {str(p.rule) for p in found} == {"R-TRV-01", "R-TIM-03"}
    assert any("not by R-TRV-01/US/2020-01-01/statute" in p.detail for p in found)


@pytest.mark.parametrize(
    ("regions", "law"), [((), "GB"), (("GB-NIR",), "GB-NIR"), (("GB-ENG",), "GB-ENG"), (("GB-NIR", "GB-SCT"), "GB"), (("FR-IDF",), "GB")]
)
def test_a_sender_acts_under_its_one_region_where_that_has_rows(regions, law):
    assert context(register(regions=frozenset(regions))).jurisdiction == law


def test_rules_answer_whatever_optional_parts_are_missing():
    """Take every member away, one at a time, at every depth: check_all never raises."""
    event = travel_event()
    for pointer in _members(event, ""):
        if pointer.split("/")[1] in {"body", "subject"} and pointer not in {"/body", "/subject"}:
            assert isinstance(check_all(message(changed(pointer, ...)), context(now=NOW)), list)


def _members(node, path):
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        yield f"{path}/{key}"
        yield from _members(value, f"{path}/{key}")
