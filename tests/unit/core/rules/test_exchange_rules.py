"""Each rule of requests, responses, corrections and transfers: one change from a valid one."""

from __future__ import annotations

import pytest

from gateway.contract.values import Family
from gateway.core.rules import RULES, check_all
from gateway.core.rules.exchange import CORRECTION, RESPONSE
from gateway.core.rules.transfer import FAMILY as TRANSFER
from tests.unit.core.samples import changed, context, message
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


# --- what the schema asks of each kind ------------------------------------------------------------------------------------

REQUEST = "information-request"
KIND, STAGE, REPLACEMENT = "/body/kind", "/body/stage", "/body/replacement"
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
def test_what_needs_more_than_the_message_waits(rule_id):
    assert RULES[rule_id].where == ""
