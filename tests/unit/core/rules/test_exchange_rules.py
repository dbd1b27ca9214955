"""Each rule of requests, responses, corrections and transfers: one change from a valid one."""

from __future__ import annotations

import pytest

from gateway.contract.values import Family
from gateway.core.groups import GOVERNED
from gateway.core.minimise import minimise
from gateway.core.rules import RULES, check_all
from gateway.core.rules.exchange import CORRECTION, OF_ITS_DAY, RESPONSE
from gateway.core.rules.transfer import FAMILY as TRANSFER
from tests.unit.core.samples import changed, context, message, partner
from tests.unit.core.schema_samples import DAY, schemas, shipped


def put(family, *changes):
    event = shipped(Family(family, "1.0"), "valid")
    for pointer, value in changes:
        event = changed(pointer, value, event)
    return event


def found(family, event):
    problems = check_all(message(event, family=family), context())
    return [(str(p.rule), p.severity.value, p.pointer) for p in problems if p.rule != "R-GEN-10"]


def faults(family, event):
    return [p.pointer for p in schemas().check(Family(family, "1.0"), event, on=DAY)]


REPLACEMENT = "/body/replacement"
LEG = {"jti": "019a9d2e-5c00-7000-8000-000000000001", "partner": "fr-police", "role": "DESTINATION"}
SPENT, CAUTIONS, RELEASED = "/body/includes_spent", "/body/includes_cautions", "/body/supervision/release_date"
LICENCE, BASIS, PHASE = "/body/licence_end", "/body/supervision/release_basis", "/body/supervision/phase"
COMMUNITY = (("/body/orders/0/kind", "COMMUNITY_ORDER"), (LICENCE, ...), (BASIS, ...), (RELEASED, ...))


@pytest.mark.parametrize("family", [RESPONSE, CORRECTION, TRANSFER])
def test_a_valid_message_has_no_problem(family):
    assert found(family, put(family)) == []


@pytest.mark.parametrize(
    ("family", "changes", "expected"),
    [
        # R-REQ-05
        pytest.param(RESPONSE, [(SPENT, False)], [("R-REQ-05", "error", SPENT)], id="req-05-spent-left-out"),
        pytest.param(RESPONSE, [(CAUTIONS, False)], [("R-REQ-05", "error", CAUTIONS)], id="req-05-cautions-left-out"),
        pytest.param(RESPONSE, [(SPENT, ...)], [("R-REQ-05", "error", SPENT)], id="req-05-nothing-said"),
        pytest.param(RESPONSE, [(SPENT, False), ("/body/response_type", "RRT-00-01")], [], id="req-05-denied"),
        pytest.param(RESPONSE, [(SPENT, False), ("/handling/purpose", "INVESTIGATE")], [], id="req-05-for-another-purpose"),
        # R-SUP-01
        pytest.param(TRANSFER, [(RELEASED, ...)], [("R-SUP-01", "warning", RELEASED)], id="sup-01-released-on-no-day"),
        pytest.param(TRANSFER, [*COMMUNITY, (BASIS, "Fictional")], [("R-SUP-01", "warning", RELEASED)], id="sup-01-some-basis"),
        pytest.param(
            TRANSFER, [*COMMUNITY, (LICENCE, "2028-12-31")], [("R-SUP-01", "warning", RELEASED)], id="sup-01-the-end-of-a-licence"
        ),
        pytest.param(
            TRANSFER, [*COMMUNITY, ("/body/orders/0/kind", "LICENCE")], [("R-SUP-01", "warning", RELEASED)], id="sup-01-a-licence"
        ),
        pytest.param(TRANSFER, COMMUNITY, [], id="sup-01-never-in-custody"),
        pytest.param(TRANSFER, [(PHASE, "CUSTODY"), (RELEASED, ...)], [], id="sup-01-still-in-custody"),
    ],
)
def test_one_change_from_valid_is_found(family, changes, expected):
    assert found(family, put(family, *changes)) == expected


def test_rules_answer_whatever_is_missing():
    for family in (RESPONSE, CORRECTION, TRANSFER):
        for name in put(family)["body"]:
            assert isinstance(found(family, put(family, (f"/body/{name}", ...))), list)


# --- bodies that others carry ---------------------------------------------------------------------------------------------

TRAVEL, ORDER, RISK, RECORD, BREACH = (
    "travel-notification", "order-summary", "risk-update", "registration-record", "breach-notification",
)  # fmt: skip
LATE = ("/body/notified_by_subject_at", "2026-11-30T10:00:00Z")  # of a journey on 10 December
NO_RETURN = ("/body/itinerary/return", ...)
BACKWARDS = ("/body/itinerary/segments/0/arrival/date", "2020-01-01")
A_WOMAN = ("/body/person/sex", 2)
OFFENCE = ("/body/narratives", [{"kind": "OFFENCE", "text": "Fictional.", "language": "en"}])
OLD = ("/body/record_as_of", "2020-01-01")
HALF = ("/body/expires_on", "2030-01-01")
NEW = ("/body/new_offence", True)
NO_SOPO = (("/body/order/kind", "SOPO"), ("/body/order/made_on", "2020-01-01"))


def carried(family, *changes):
    """A response with one record, or a correction, and where its body is."""
    body = put(family, *changes)["body"]
    if family in {ORDER, RISK, RECORD}:
        yield RESPONSE, put(RESPONSE, ("/body/records", [{family: body}])), f"/body/records/0/{family}"
    yield CORRECTION, put(CORRECTION, ("/body/replacement", {family: body})), f"{REPLACEMENT}/{family}"


@pytest.mark.parametrize(
    ("family", "changes", "rule_id"),
    [
        pytest.param(TRAVEL, [NO_RETURN], "R-TRV-06", id="a-return-left-out"),
        pytest.param(TRAVEL, [BACKWARDS], "R-TRV-11", id="a-journey-backwards"),
        pytest.param(ORDER, NO_SOPO, "R-ORD-07", id="a-sopo-too-late"),
        pytest.param(RISK, [A_WOMAN], "R-RSK-01", id="rm2000-of-a-woman"),
        pytest.param(RISK, [OFFENCE], "R-GEN-18", id="a-narrative-without-its-warning"),
        pytest.param(RECORD, [HALF], "R-REG-04", id="half-a-period"),
        pytest.param(BREACH, [NEW], "R-BRE-01", id="no-new-offence"),
        pytest.param(TRANSFER, [(RELEASED, ...)], "R-SUP-01", id="released-on-no-day"),
    ],
)
def test_a_body_that_is_carried_keeps_the_rules_of_its_family(family, changes, rule_id):
    alone = [(rule, severity, pointer) for rule, severity, pointer in found(family, put(family, *changes)) if rule not in OF_ITS_DAY]
    assert rule_id in {rule for rule, _, _ in alone}
    for carrier, event, place in carried(family, *changes):
        moved = [(rule, severity, pointer.replace("/body", place, 1)) for rule, severity, pointer in alone if pointer.startswith("/body/")]
        assert sorted(found(carrier, event)) == sorted(moved)


@pytest.mark.parametrize("family", [TRAVEL, ORDER, RISK, RECORD, BREACH, TRANSFER])
def test_a_valid_body_has_no_fault_where_it_is_carried(family):
    for carrier, event, _ in carried(family):
        assert found(carrier, event) == []


def test_each_record_is_judged_at_its_own_place():
    records = [{RISK: put(RISK, A_WOMAN)["body"]}, {RECORD: put(RECORD)["body"]}, {RISK: put(RISK, OFFENCE)["body"]}]
    assert {(rule, pointer) for rule, _, pointer in found(RESPONSE, put(RESPONSE, ("/body/records", records)))} == {
        ("R-RSK-01", "/body/records/0/risk-update/rm2000"),
        ("R-RSK-04", "/body/records/0/risk-update/arms"),
        ("R-GEN-18", "/body/records/2/risk-update/narratives/0/content_warning"),
    }


@pytest.mark.parametrize("rule_id", sorted(OF_ITS_DAY))
def test_what_was_judged_on_the_day_it_was_sent_is_not_judged_again(rule_id):
    """A notice that was late is marked already; a register that mends a slip gives no new notice of a journey."""
    assert RULES[rule_id].effect in {"W", "N"}, "nothing that rejects a message goes unjudged"
    for _, event, _ in carried(TRAVEL, LATE):
        assert rule_id not in {rule for rule, _, _ in found(CORRECTION, event)}


def test_the_notice_itself_is_late():
    assert "R-TRV-03a" in {rule for rule, _, _ in found(TRAVEL, put(TRAVEL, LATE))}


def test_an_old_record_is_warned_of_in_a_response_and_not_in_a_correction():
    (response, answer, place), (correction, mended, _) = carried(RECORD, OLD)
    assert ("R-REG-12", "warning", f"{place}/record_as_of") in found(response, answer)
    assert "R-REG-12" not in {rule for rule, _, _ in found(correction, mended)}


@pytest.mark.parametrize(
    ("family", "subject", "expected"),
    [
        pytest.param(RISK, ("/subject/status", "SUSPECTED"), "R-RSK-03", id="a-suspect"),
        pytest.param(RECORD, ("/subject/status", "SUSPECTED"), "R-REG-11", id="on-a-register"),
        pytest.param(ORDER, ("/subject/is_minor", "YES"), "R-GEN-20", id="called-a-minor"),
    ],
)
def test_the_subject_is_the_sender_s_word_in_a_correction_and_the_asker_s_in_a_response(family, subject, expected):
    """Whoever asks about a suspect may get the record of somebody convicted: what the asker said of them is not the holder's fault."""
    (response, answer, _), (correction, mended, _) = carried(family)
    assert found(response, changed(*subject, answer)) == []
    assert (expected, "error", subject[0]) in found(correction, changed(*subject, mended))


def test_health_that_is_carried_goes_with_the_reason_of_its_own_body_alone():
    with_reason, without, order = (put(family)["body"] for family in (RISK, RISK, ORDER))
    del without["strictly_necessary"]
    event = put(RESPONSE, ("/body/records", [{RISK: with_reason}, {ORDER: order}, {RISK: without}]))
    view = minimise(message(event, family=RESPONSE), frozenset(GOVERNED), partner("fr-police", "FR"), schemas())
    kept = [next(iter(record.values())) for record in view.event["body"]["records"]]
    assert kept[:2] == [with_reason, order]
    assert "risk_to_self" in with_reason["oasys"]
    assert kept[2]["oasys"].keys() == without["oasys"].keys() - {"risk_to_self"}
    assert [(one.group, one.reason) for one in view.removed] == [("health", "SPECIAL_CATEGORY")]


@pytest.mark.parametrize(("reason", "seen"), [("Fictional reason.", True), (..., False)])
def test_health_alone_is_seen_with_its_reason_alone(reason, seen):
    """Nothing else of the replacement is allowed, so nothing else can hold its place."""
    event = changed(f"{REPLACEMENT}/{RISK}/strictly_necessary", reason, put(CORRECTION, (REPLACEMENT, {RISK: put(RISK)["body"]})))
    view = minimise(message(event, family=CORRECTION), frozenset({"health"}), partner("fr-police", "FR"), schemas())
    assert ("replacement" in view.event.get("body", {})) is seen
    assert ("SPECIAL_CATEGORY" in {one.reason for one in view.removed}) is not seen


# --- acknowledgements -----------------------------------------------------------------------------------------------------

ACK = "acknowledgement"
UNTIL = "/body/keep_informed_until"


@pytest.mark.parametrize(
    ("until", "expected"),
    [
        pytest.param("2026-06-01", [], id="some-months"),
        pytest.param("2027-03-01", [], id="a-year-to-the-day"),
        pytest.param("2027-03-02", [("R-RTE-06", "warning", UNTIL)], id="R-RTE-06-a-day-longer"),
    ],
)
def test_who_asks_to_be_kept_informed_is_held_to_a_year(until, expected):
    assert found(ACK, put(ACK, (UNTIL, until))) == expected


def test_an_acknowledgement_of_something_anonymous_repeats_its_subject():
    """R-GEN-20 asks a reference of every other family but the anonymous referral itself."""
    event = put(ACK, ("/subject/ref", ...))
    assert faults(ACK, event) == []
    assert found(ACK, event) == []
    assert found(ORDER, put(ORDER, ("/subject/ref", ...))) == [("R-GEN-20", "error", "/subject/ref")]


SAID = "/body/outcome"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        *(pytest.param({"stage": "ACTIONED", "outcome": word}, [], id=word) for word in ("UPDATED", "DELETED", "RESTRICTED")),
        pytest.param({"stage": "REFUSED", "outcome": "REFUSED", "reason": "POLICY"}, [], id="REFUSED"),
        pytest.param({"stage": "REFUSED", "outcome": "REFUSED"}, ["/body/reason"], id="refused-why"),
        pytest.param({"stage": "MATCHED", "outcome": "UPDATED"}, ["/body/stage"], id="updated-is-done"),
        pytest.param({"stage": "RECEIVED", "outcome": "DELETED"}, ["/body/stage"], id="deleted-is-done"),
        pytest.param({"stage": "ACTIONED", "outcome": "REFUSED"}, ["/body/stage"], id="refused-is-a-stage"),
        pytest.param({"stage": "ACTIONED", "outcome": "MENDED"}, [SAID], id="no-such-answer"),
        *(
            pytest.param({"stage": stage, "outcome": "MATCHED", "keep_informed_until": "2026-06-01"}, [], id=f"{stage}-may-ask-for-more")
            for stage in ("RECEIVED", "VALID", "MATCHED", "ACTIONED")
        ),
        *(
            pytest.param({"stage": stage, "reason": "POLICY", "keep_informed_until": "2026-06-01", "leg": LEG}, ["/body/stage"], id=stage)
            for stage in ("REFUSED", "DELIVERED", "RECEIPTED", "CANCELLED", "EXPIRED", "DEAD", "HELD", "ALERT")
        ),
        pytest.param({"stage": "RECEIVED", "keep_informed_until": "2026-02-30"}, [UNTIL], id="no-such-day"),
    ],
)
def test_an_acknowledgement_says_what_its_stage_can(body, expected):
    assert faults(ACK, put(ACK, ("/body", body))) == expected


# --- what the schema asks of each kind ------------------------------------------------------------------------------------

REQUEST = "information-request"
KIND, STAGE = "/body/kind", "/body/stage"
WITHDRAWN = ((KIND, "WITHDRAW"), (REPLACEMENT, ...), ("/body/fields_changed", ...))
DISCLOSED = (("/handling/purpose", "DISCLOSURE_SCHEME"), ("/body/records", []), ("/body/disclosure", {"result": "CONCERN"}))
CHECK = (("/handling/purpose", "DISCLOSURE_SCHEME"), (KIND, "DISCLOSURE_SCHEME"))
ASKS = ("/body/disclosure", {"contact_kind": "ONLINE", "applicant_role": "CARER"})
ORIGINAL = {"iss": "gateway", "jti": "019a9d2e-5c00-7000-8000-000000000001"}
ACCEPTED = ((STAGE, "ACCEPTED"), ("/routing/in_response_to", ORIGINAL))
PROPOSAL = ("legal_instrument", "effective_on", "supervision", "orders", "risk", "conditions")


@pytest.mark.parametrize(
    ("family", "changes", "expected"),
    [
        pytest.param(REQUEST, [("/body/person/birth", ...)], [], id="a-request-may-lack-the-birth-date"),
        pytest.param(REQUEST, [("/body/person/sex", ...)], ["/body/person/sex"], id="but-not-the-sex"),
        pytest.param(REQUEST, [("/body/disclosure_level", ...)], ["/body/disclosure_level"], id="suitability-has-a-level"),
        pytest.param(REQUEST, [("/handling/purpose", "INVESTIGATE")], ["/handling/purpose"], id="suitability-is-its-own-purpose"),
        pytest.param(REQUEST, [*CHECK, ASKS], [], id="disclosure-scheme"),
        pytest.param(REQUEST, CHECK, ["/body/disclosure"], id="disclosure-scheme-says-what-contact"),
        pytest.param(
            REQUEST, [*CHECK, ASKS, ("/body/disclosure/applicant", "TEST PERSON")], ["/body/disclosure"], id="R-REQ-07-no-applicant"
        ),
        pytest.param(REQUEST, [*CHECK, ASKS, ("/body/disclosure/child", "TEST CHILD")], ["/body/disclosure"], id="R-REQ-07-no-child"),
        pytest.param(REQUEST, [("/routing/recipients", ...)], ["/routing/recipients"], id="a-request-names-whom-it-asks"),
        pytest.param(RESPONSE, [("/routing/in_response_to", ...)], ["/routing/in_response_to"], id="a-response-says-what-it-answers"),
        pytest.param(RESPONSE, [("/body/records", ...)], ["/body/records"], id="a-response-has-records"),
        pytest.param(RESPONSE, [("/body/records", [])], [], id="of-which-there-may-be-none"),
        pytest.param(RESPONSE, [("/body/records/0", {})], ["/body/records/0"], id="no-empty-record"),
        pytest.param(RESPONSE, [("/body", {"deadline_extension": "2026-12-18T12:00:00Z"})], [], id="an-answer-may-wait"),
        pytest.param(RESPONSE, [(SPENT, ...)], [SPENT], id="suitability-says-whether-spent"),
        pytest.param(RESPONSE, DISCLOSED, [], id="one-value"),
        pytest.param(RESPONSE, [*DISCLOSED, ("/body/disclosure", ...)], ["/body/disclosure"], id="R-REQ-07-no-value"),
        pytest.param(
            RESPONSE, [("/handling/purpose", "DISCLOSURE_SCHEME"), DISCLOSED[2]], ["/body/records"], id="R-REQ-07-one-value-alone"
        ),
        pytest.param(CORRECTION, WITHDRAWN, [], id="withdrawn"),
        pytest.param(CORRECTION, [(KIND, "RECALL")], [REPLACEMENT], id="nothing-replaces-what-is-recalled"),
        pytest.param(CORRECTION, [(REPLACEMENT, ...)], [REPLACEMENT], id="a-correction-says-what-is-right"),
        pytest.param(CORRECTION, [(REPLACEMENT, {})], [REPLACEMENT], id="in-some-family"),
        pytest.param(
            CORRECTION, [(f"{REPLACEMENT}/order-summary/order/kind", ...)], [f"{REPLACEMENT}/order-summary/order/kind"], id="whole"
        ),
        pytest.param(CORRECTION, [(f"{REPLACEMENT}/order-summary/victim", "TEST")], [f"{REPLACEMENT}/order-summary"], id="and-closed"),
        pytest.param(CORRECTION, [("/body/fields_changed", ["/handling/codes"])], ["/body/fields_changed/0"], id="only-the-body-changes"),
        pytest.param(TRANSFER, ACCEPTED, [], id="accepted"),
        pytest.param(TRANSFER, [*ACCEPTED, *((f"/body/{name}", ...) for name in PROPOSAL)], [], id="an-answer-need-not-repeat"),
        pytest.param(TRANSFER, [(STAGE, "ACCEPTED")], ["/routing/in_response_to"], id="accepted-what"),
        pytest.param(TRANSFER, [*ACCEPTED, (STAGE, "REFUSED")], ["/body/refusal_reason"], id="refused-why"),
        pytest.param(TRANSFER, [("/body/sentence_end", ...)], [], id="a-licence-ends"),
        pytest.param(TRANSFER, [("/body/sentence_end", ...), (LICENCE, ...)], ["/body/sentence_end"], id="else-the-sentence-does"),
        *(pytest.param(TRANSFER, [(f"/body/{name}", ...)], [f"/body/{name}"], id=f"a-proposal-has-{name}") for name in PROPOSAL),
    ],
)
def test_the_schema_asks_what_each_kind_needs(family, changes, expected):
    assert faults(family, put(family, *changes)) == expected


@pytest.mark.parametrize(("family", "way"), [(RESPONSE, "/body/records/0"), (CORRECTION, REPLACEMENT)])
def test_a_specimen_is_refused_in_production_wherever_it_is_carried(family, way):
    event = put(family, (f"{way}/order-summary/person/nationalities", ["UTO"]))
    assert faults(family, event) == []
    assert faults(family, changed("/handling/environment", "PRODUCTION", event)) == [f"{way}/order-summary/person/nationalities/0"]


@pytest.mark.parametrize(("family", "way"), [(RESPONSE, "/body/records/0"), (CORRECTION, REPLACEMENT)])
def test_what_is_carried_is_cut_by_its_own_field_groups(family, way):
    kept, removed = schemas().cut(Family(family, "1.0"), put(family), frozenset({"exchange", "identity"}))
    carried = kept["body"]["records"][0] if family == RESPONSE else kept["body"]["replacement"]
    assert carried["order-summary"].keys() == {"person"}, way
    assert {"orders", "identity_documents"} <= removed


@pytest.mark.parametrize("rule_id", ["R-REQ-03", "R-REQ-04", "R-CNV-01", "R-CNV-02", "R-CNV-03"])
def test_what_needs_more_than_the_message_is_no_rule_over_one(rule_id):
    assert RULES[rule_id].kind != "message"
    assert not RULES[rule_id].where.startswith("gateway.core.rules.exchange")
