"""Each rule of order summaries: one change from a valid one."""

from __future__ import annotations

import pytest

from gateway.core.rules import check_all
from gateway.core.rules.order import FAMILY
from tests.unit.core.samples import changed, context, message
from tests.unit.core.schema_samples import FAMILIES, shipped

(ORD,) = (family for family in FAMILIES if family.name == FAMILY)
KIND, END, COURT_ORDER = "/body/order/kind", "/body/order/end", "/body/order"
TRAVEL_END = "/body/conditions/0/end"


def order(**fields):
    """A valid summary with some members of its order changed; ... takes one away."""
    event = shipped(ORD, "valid")
    for name, value in fields.items():
        event = changed(f"{COURT_ORDER}/{name}", value, event)
    return event


def put(pointer, value, event=None):
    return changed(pointer, value, shipped(ORD, "valid") if event is None else event)


def without_travel(event):
    """No word on travel, and the other conditions as long as the order."""
    return changed("/body/travel_prohibition", ..., changed("/body/conditions/0", ..., event))


def found(event):
    problems = check_all(message(event, family=FAMILY), context())
    return [(str(p.rule), p.severity.value, p.pointer) for p in problems if p.rule != "R-GEN-10"]


SCOTTISH = put(TRAVEL_END, "2029-03-10", order(jurisdiction="GB-SCT", made_on="2024-03-11", end="2029-03-10"))
LICENCE = without_travel(order(kind="LICENCE"))
ANSWERED = {"id": "example-prison", "kind": "PRISON", "country": "GB"}
EXTRA = changed(
    "/body/conditions/0/approved_by", ANSWERED, changed("/body/conditions/0/requested_by", ANSWERED, LICENCE)
)  # its second condition is mandatory
SRO = without_travel(order(kind="SRO", ancillary_to=..., implies_registration=False, max_penalty_years=...))
NOTIFICATION = without_travel(order(kind="NOTIFICATION_ORDER"))
COMMUNITY = without_travel(order(kind="COMMUNITY_ORDER", end="2027-03-11"))
FTO = without_travel(order(kind="FTO", jurisdiction="GB", made_on="2014-05-01", start="2014-05-01", end="2014-11-01"))
FTO_OLD = changed("/body/travel_prohibition", {"scope": "NAMED_COUNTRIES", "countries": ["TH"]}, FTO)
ALL = put(
    "/body/passport_surrender",
    {"required": True, "due": "2024-03-18", "station": "Test"},
    put("/body/travel_prohibition", {"scope": "ALL"}),
)
INDEFINITE = order(indefinite=True, end=...)


@pytest.mark.parametrize(
    "event",
    [order(), SCOTTISH, EXTRA, SRO, NOTIFICATION, COMMUNITY, FTO_OLD, ALL, INDEFINITE],
    ids=["shpo", "scottish", "licence", "sro", "notification-order", "community-order", "fto", "no-travel-at-all", "indefinite"],
)
def test_a_valid_summary_has_no_problem(event):
    assert found(event) == []


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        # R-ORD-01: England and Wales, travel at most 5 years
        pytest.param(put(TRAVEL_END, "2029-03-11"), [], id="01-five-years-to-the-day"),
        pytest.param(put(TRAVEL_END, "2029-03-12"), [("R-ORD-01", "error", TRAVEL_END)], id="01-a-day-over-five-years"),
        pytest.param(put(TRAVEL_END, ..., INDEFINITE), [("R-ORD-01", "error", TRAVEL_END)], id="01-not-fixed"),
        pytest.param(put(TRAVEL_END, ...), [("R-ORD-01", "error", TRAVEL_END)], id="01-as-long-as-a-longer-order"),
        pytest.param(put("/body/conditions", []), [("R-ORD-01", "error", END)], id="01-no-condition-so-the-order-s-time"),
        pytest.param(put(TRAVEL_END, "2029-03-12", order(jurisdiction="GB-ENG")), [("R-ORD-01", "error", TRAVEL_END)], id="01-england-alone"),
        pytest.param(put(TRAVEL_END, "2030-01-01", order(jurisdiction="GB-NIR")), [], id="01-not-the-law-of-northern-ireland"),
        pytest.param(put(TRAVEL_END, "2030-01-01", order(jurisdiction="FR")), [], id="01-not-the-law-of-france"),
        # R-ORD-02: Scotland
        pytest.param(put(TRAVEL_END, "2029-03-12", SCOTTISH), [("R-ORD-02", "error", TRAVEL_END)], id="02-travel-too-long"),
        pytest.param(put("/body/conditions/1/end", "2029-03-09", SCOTTISH), [("R-ORD-02", "error", "/body/conditions/1/end")], id="02-a-day-too-short"),
        pytest.param(changed("/body/order/indefinite", True, changed(END, ..., SCOTTISH)), [("R-ORD-02", "error", "/body/conditions/1/end")], id="02-not-fixed"),
        pytest.param(put("/body/conditions/1/nature", "REQUIREMENT", put("/body/conditions/1/end", "2025-01-01", SCOTTISH)), [], id="02-a-requirement-may-be-short"),
        pytest.param(put("/body/conditions/1/end", "2025-01-01", changed("/body/order/interim", True, SCOTTISH)), [], id="02-an-interim-order-may-be-short"),
        pytest.param(put("/body/conditions/1/end", "2025-01-01", changed("/body/order/made_on", "2023-03-30", SCOTTISH)), [], id="02-made-before-the-act"),
        # R-ORD-03
        pytest.param(put("/body/passport_surrender/required", False, ALL), [("R-ORD-03", "error", "/body/passport_surrender/required")], id="03-passports-kept"),
        pytest.param(put("/body/passport_surrender", ..., ALL), [("R-ORD-03", "error", "/body/passport_surrender/required")], id="03-nothing-said"),
        # R-ORD-06
        pytest.param(order(max_penalty_years=6), [("R-ORD-06", "note", "/body/order/max_penalty_years")], id="06-more-than-the-law"),
        pytest.param(order(max_penalty_years=6, jurisdiction="US"), [], id="06-not-the-law-of-the-us"),
        pytest.param(order(max_penalty_years=...), [], id="06-not-said"),
        # R-ORD-07
        pytest.param(order(kind="SOPO"), [("R-ORD-07", "warning", KIND)], id="07-a-sopo-of-2024"),
        pytest.param(order(kind="SOPO", made_on="2015-03-09"), [("R-ORD-07", "warning", KIND)], id="07-the-day-after"),
        pytest.param(order(kind="SOPO", made_on="2015-03-08"), [], id="07-the-last-day"),
        pytest.param(order(kind="SOPO", jurisdiction="GB-NIR"), [], id="07-northern-ireland-goes-on"),
        # R-ORD-08
        pytest.param(changed(END, "2027-03-12", COMMUNITY), [("R-ORD-08", "warning", END)], id="08-over-36-months"),
        pytest.param(changed("/body/order/indefinite", True, changed(END, ..., COMMUNITY)), [("R-ORD-08", "warning", END)], id="08-without-end"),
        # R-ORD-09
        pytest.param(changed("/body/conditions/0/approved_by", ..., EXTRA), [("R-ORD-09", "warning", "/body/conditions/0/approved_by")], id="09-nobody-approved"),
        pytest.param(changed("/body/conditions/0/requested_by", ..., EXTRA), [("R-ORD-09", "warning", "/body/conditions/0/requested_by")], id="09-nobody-asked"),
        pytest.param(changed("/body/conditions/0/mandatory", True, LICENCE), [], id="09-a-standard-condition"),
        # R-ORD-10
        pytest.param(changed(END, "2014-11-02", FTO_OLD), [("R-ORD-10", "note", END)], id="10-over-six-months"),
        pytest.param(changed(END, "2015-11-02", changed("/body/order/made_on", "2015-03-08", FTO_OLD)), [], id="10-made-after-its-time"),
        # R-ORD-11: unverified, so a warning
        pytest.param(put(TRAVEL_END, "2026-01-01", order(end="2029-03-09")), [("R-ORD-11", "warning", END)], id="11-a-day-under-five-years"),
        pytest.param(put(TRAVEL_END, "2026-01-01", order(end="2025-03-09", interim=True)), [], id="11-an-interim-order-may-be-short"),
        # R-ORD-12: unverified, so warnings
        pytest.param(changed("/body/order/ancillary_to", {"kind": "CAUTION"}, SRO), [("R-ORD-12", "warning", "/body/order/ancillary_to")], id="12-beside-a-caution"),
        pytest.param(changed("/body/order/implies_registration", True, SRO), [("R-ORD-12", "warning", "/body/order/implies_registration")], id="12-registers"),
        pytest.param(changed(END, "2026-03-09", SRO), [("R-ORD-12", "warning", END)], id="12-under-two-years"),
        pytest.param(changed("/body/travel_prohibition", {"scope": "NAMED_COUNTRIES", "countries": ["TH"]}, SRO), [("R-ORD-12", "warning", END)], id="12-travel-over-five-years"),
        # R-ORD-15
        pytest.param(changed("/body/order/applied_by", "COURT", NOTIFICATION), [("R-ORD-15", "note", "/body/order/applied_by")], id="15-not-the-police"),
        pytest.param(changed("/body/order/implies_registration", False, NOTIFICATION), [("R-ORD-15", "note", "/body/order/implies_registration")], id="15-registers-nobody"),
        # R-ORD-16
        pytest.param(put("/body/conditions/1/category", "OTHER"), [("R-ORD-16", "warning", "/body/conditions/1/category")], id="16-no-category"),
    ],
)  # fmt: skip
def test_one_change_from_valid_is_found(event, expected):
    assert found(event) == expected


def test_the_words_of_a_condition_are_free_text():
    problems = check_all(message(shipped(ORD, "valid"), family=FAMILY), context())
    assert [p.pointer for p in problems if p.rule == "R-GEN-10"] == [f"/body/conditions/{n}/text" for n in range(3)]


def test_rules_answer_whatever_is_missing():
    for pointer in (
        "/body/order",
        "/body/conditions",
        "/body/travel_prohibition",
        "/body/order/kind",
        "/body/order/start",
        "/body/order/jurisdiction",
        "/body/order/made_on",
    ):
        assert isinstance(found(put(pointer, ...)), list)
