"""Rules of kind facts: what a message says, held to what was said before. Each is a table: what was said, what is said now, what is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.contract.values import Country
from gateway.core.rules import RULES
from gateway.core.rules.earlier import check_earlier, is_marked_wrong
from tests.unit.core.earlier_samples import answered, before, changed_at, facts, journey, notice, said
from tests.unit.core.samples import context, register

HOME = replace(register(), id="gb-register", country=Country("GB"))
REQUEST, RESPONSE, TRANSFER, ACK = "information-request", "information-response", "supervision-transfer", "acknowledgement"
PURPOSE = "MANAGE_OFFENDER"


def faults(message, *earlier, answers=None, now=None):
    ctx = context(HOME) if now is None else replace(context(HOME), now=now)
    found = check_earlier(message, facts(*map(before, earlier), answered=answers), ctx)
    return [(p.rule, p.severity.value, p.pointer or p.claim) for p in found]


# --- conversations ----------------------------------------------------------------------------------------------------


def stage(name, jti, *, iss="gb-register", answers=None, **more):
    return said(TRANSFER, jti, stage=name, iss=iss, answers=answers, **more)


def reply(name, jti="now"):
    return stage(name, jti, iss="fr-probation", answers="asked")


P, A, C = stage("PROPOSED", "p"), stage("ACCEPTED", "a", iss="fr-probation", answers="asked"), stage("COMPLETED", "c")
REF = stage("REFUSED", "x", iss="fr-probation", answers="asked")
RET = stage("RETURNED", "z")
AT_STAGE = [("R-CNV-02", "error", "/body/stage")]
NO_TALK = [("R-CNV-01", "error", "txn")]


@pytest.mark.parametrize(
    ("earlier", "message", "wrong"),
    [
        pytest.param([], P, [], id="a-proposal"),
        pytest.param([P], stage("PROPOSED", "q"), AT_STAGE, id="proposed-twice"),
        pytest.param([P], reply("ACCEPTED"), [], id="accepted"),
        pytest.param([P], reply("REFUSED"), [], id="refused"),
        pytest.param([P], reply("COMPLETED"), AT_STAGE, id="completed-before-it-was-accepted"),
        pytest.param([P, A], reply("ACCEPTED"), AT_STAGE, id="accepted-twice"),
        pytest.param([P, A], reply("REFUSED"), AT_STAGE, id="refused-after-it-was-accepted"),
        pytest.param([P, A], C, [], id="completed-by-who-proposed"),
        pytest.param([P, A], reply("COMPLETED"), [], id="completed-by-who-accepted"),
        pytest.param([P, A], RET, AT_STAGE, id="returned-before-it-was-completed"),
        pytest.param([P, A, C], reply("RETURNED"), [], id="returned"),
        pytest.param([P, A, C, RET], stage("RETURNED", "y"), AT_STAGE, id="returned-twice"),
        pytest.param([P, REF], reply("ACCEPTED"), AT_STAGE, id="accepted-after-it-was-refused"),
        pytest.param([P, A, C, RET], stage("PROPOSED", "q", txn="u"), [], id="proposed-again-in-a-conversation-of-its-own"),
        pytest.param([], stage("COMPLETED", "c"), NO_TALK, id="completed-out-of-the-blue"),
        pytest.param([P, A], stage("COMPLETED", "c", txn="u"), NO_TALK, id="completed-in-another-conversation"),
    ],
)
def test_the_stages_of_a_transfer_come_in_order(earlier, message, wrong):
    is_reply = message.in_response_to is not None
    assert faults(message, *earlier, answers=answered(TRANSFER) if is_reply else None) == wrong


def ack(name, jti="now", *, iss="fr-police", to="asked", **more):
    return said(ACK, jti, stage=name, iss=iss, answers=to, outcome=..., **more)


@pytest.mark.parametrize(
    ("earlier", "now", "right"),
    [
        ([], "RECEIVED", True), ([], "ACTIONED", True), ([], "REFUSED", True),
        (["RECEIVED"], "VALID", True), (["RECEIVED"], "RECEIVED", False), (["VALID"], "VALID", False), (["MATCHED"], "MATCHED", True),
        (["ACTIONED"], "ACTIONED", True),
        (["MATCHED"], "VALID", False), (["ACTIONED"], "RECEIVED", False), (["RECEIVED"], "REFUSED", True),
        (["REFUSED"], "ACTIONED", False), (["REFUSED"], "REFUSED", False), (["RECEIVED", "ACTIONED"], "MATCHED", False),
    ],
)  # fmt: skip
def test_acknowledgements_go_only_forward(earlier, now, right):
    steps = [ack(name, f"a{n}") for n, name in enumerate(earlier)]
    assert faults(ack(now), *steps, answers=answered("travel-notification")) == ([] if right else AT_STAGE)


def test_what_others_acknowledged_and_what_was_acknowledged_otherwhere_does_not_count():
    others = [ack("ACTIONED", "a", iss="es-police"), ack("ACTIONED", "b", to="else"), ack("ACTIONED", "c", txn="u")]
    assert faults(ack("RECEIVED"), *others, answers=answered("travel-notification")) == []


@pytest.mark.parametrize("outcome", ["UPDATED", "DELETED", "RESTRICTED", "MONITORED"])
@pytest.mark.parametrize("family", ["correction", "travel-notification"])
def test_only_a_correction_is_answered_with_what_was_done_about_it(family, outcome):
    answer = said(ACK, "now", stage="ACTIONED", iss="fr-police", answers="asked", outcome=outcome)
    wrong = family != "correction" and outcome != "MONITORED"
    assert faults(answer, answers=answered(family)) == ([("R-CNV-01", "error", "/body/outcome")] if wrong else [])


@pytest.mark.parametrize("subject", [{"ref": "TEST-2"}, {"iss": "fr-police"}, {"ref": ...}])
@pytest.mark.parametrize("family", [ACK, RESPONSE, "breach-notification"])
def test_a_reply_is_about_the_person_it_was_told_of(family, subject):
    event = said(family, iss="fr-police", answers="asked", outcome=...)
    other = {name: value for name, value in (event.event["subject"] | subject).items() if value is not ...}
    another = replace(event, event={**event.event, "subject": other})
    asked = request()
    assert ("R-CNV-01", "error", "/subject") not in faults(event, asked, answers=answered(REQUEST))
    assert ("R-CNV-01", "error", "/subject") in faults(another, asked, answers=answered(REQUEST))


def request(**routing):
    return changed_at(changed_at(said(REQUEST, "original"), "handling", purpose=PURPOSE), "routing", **routing)


def response(jti="now", *, purpose=PURPOSE, priority="ROUTINE", **body):
    message = said(RESPONSE, jti, iss="fr-police", answers="asked", **body)
    return changed_at(changed_at(message, "handling", purpose=purpose), "routing", priority=priority)


EXTENSION = {"response_type": ..., "records": ..., "deadline_extension": "2026-03-02T12:00:00Z"}
QUESTION = {"response_type": "RRT-00-05", "records": ..., "more_information_needed": ["TEST QUESTION"]}
CLOSED = [("R-CNV-01", "error", "/routing/in_response_to")]


@pytest.mark.parametrize(
    ("earlier", "message", "answers", "wrong"),
    [
        pytest.param([], response(), answered(REQUEST), [], id="the-answer"),
        pytest.param([response("r")], response(), answered(REQUEST), CLOSED, id="a-second-answer"),
        pytest.param([response("r", **EXTENSION)], response(), answered(REQUEST), [], id="after-more-time-was-asked"),
        pytest.param([response("r", **QUESTION)], response(), answered(REQUEST), [], id="after-a-question-back"),
        pytest.param([], response(), answered("travel-notification"), CLOSED, id="an-answer-to-a-notice"),
        pytest.param([], response(), answered(REQUEST, txn="u"), NO_TALK, id="in-another-conversation"),
        pytest.param([], reply("ACCEPTED"), answered(REQUEST), [("R-CNV-01", "error", "/routing/in_response_to")], id="a-transfer-to-a-request"),
    ],
)  # fmt: skip
def test_a_reply_fits_an_open_conversation(earlier, message, answers, wrong):
    assert faults(message, request(), *earlier, answers=answers) == wrong


@pytest.mark.parametrize(
    ("asked_by", "earlier", "late"),
    [
        ("2026-03-01T12:00:00Z", [], False), ("2026-03-01T11:59:59Z", [], True), (None, [], False),
        ("2026-02-20T12:00:00Z", [response("r", **EXTENSION)], False),
        ("2026-02-20T12:00:00Z", [response("r", **EXTENSION | {"deadline_extension": "2026-02-28T12:00:00Z"})], True),
    ],
)  # fmt: skip
def test_a_reply_after_its_deadline_is_taken_and_warned_of(asked_by, earlier, late):
    asked = request(reply_by=asked_by) if asked_by else request()
    asked.event["routing"].pop("reply_by", None) if asked_by is None else None
    found = faults(response(), asked, *earlier, answers=answered(REQUEST))
    assert found == ([("R-CNV-03", "warning", "/routing/in_response_to")] if late else [])


def test_an_answer_to_a_correction_is_due_by_its_deadline():
    correction = said("correction", "original", deadline="2026-03-01T11:00:00Z")
    found = faults(ack("ACTIONED"), correction, answers=answered("correction"))
    assert found == [("R-CNV-03", "warning", "/routing/in_response_to")]


@pytest.mark.parametrize(
    ("purpose", "priority", "right"),
    [(PURPOSE, "ROUTINE", True), ("INVESTIGATE", "ROUTINE", False), ("SAFEGUARD", "IMMEDIATE", True), ("SAFEGUARD", "ROUTINE", False)],
)
def test_a_response_serves_the_purpose_asked(purpose, priority, right):
    found = faults(response(purpose=purpose, priority=priority), request(), answers=answered(REQUEST))
    assert found == ([] if right else [("R-REQ-04", "error", "/handling/purpose")])


def test_an_anonymous_referral_is_found_by_no_conversation():
    referral = said("support-referral", "now", txn="t", identity_mode="ANONYMOUS")
    assert faults(referral) == [("R-REF-01", "error", "txn")]
    assert faults(replace(referral, txn="now")) == []
    assert faults(said("support-referral", "now", txn="t", identity_mode="PSEUDONYM")) == []


# --- corrections ------------------------------------------------------------------------------------------------------

FRANCE, SPAIN = journey(("FR", "2026-03-10", "2026-03-14")), journey(("ES", "2026-03-10", "2026-03-14"))


def correction(jti="n", kind="REPLACE", **body):
    return said("correction", "c", corrects={"iss": "gb-register", "jti": jti}, kind=kind, **body)


def replacing(itinerary):
    return {"replacement": {"travel-notification": notice("x", itinerary).body}}


TAKEN_BACK = said("correction", "b", corrects={"iss": "gb-register", "jti": "n"}, kind="WITHDRAW")


@pytest.mark.parametrize(
    ("earlier", "message", "wrong"),
    [
        pytest.param([notice("n", FRANCE)], correction(kind="WITHDRAW", replacement=...), [], id="a-withdrawal"),
        pytest.param([], correction(), [("R-GEN-05", "error", "/body/corrects")], id="of-nothing"),
        pytest.param([notice("m", FRANCE)], correction(), [("R-GEN-05", "error", "/body/corrects")], id="of-another"),
        pytest.param(
            [said("order-summary", "n")], correction(**replacing(FRANCE)), [("R-GEN-05", "error", "/body/replacement")], id="another-family"
        ),
        pytest.param(
            [notice("n", FRANCE), TAKEN_BACK],
            correction(replacement=...),
            [("R-GEN-05", "error", "/body/corrects")],
            id="taken-back-before",
        ),
    ],
)
def test_a_correction_names_what_it_corrects(earlier, message, wrong):
    assert [fault for fault in faults(message, *earlier) if fault[1] == "error"] == wrong


def test_countries_that_a_corrected_journey_concerns_for_the_first_time_need_a_notice_of_their_own():
    assert faults(correction(**replacing(SPAIN)), notice("n", FRANCE)) == [
        ("R-GEN-05", "warning", "/body/replacement/travel-notification/itinerary")
    ]


# --- travel -----------------------------------------------------------------------------------------------------------


def supersedes(jti="n"):
    return {"supersedes": {"iss": "gb-register", "jti": jti}}


LEFT = journey(("FR", "2026-02-20", "2026-03-14"))  # the way out is over, the way back to come
BACK_LATER = journey(("FR", "2026-02-20", "2026-03-20"))
LEFT_LATER = journey(("FR", "2026-02-21", "2026-03-14"))


@pytest.mark.parametrize(
    ("earlier", "message", "wrong"),
    [
        pytest.param([notice("n", FRANCE)], notice("m", SPAIN, **supersedes()), [], id="nobody-has-left"),
        pytest.param([notice("n", LEFT)], notice("m", BACK_LATER, **supersedes()), [], id="the-way-back-changes"),
        pytest.param(
            [notice("n", LEFT)], notice("m", LEFT_LATER, **supersedes()), [("R-TRV-12", "error", "/body/itinerary/segments")],
            id="what-is-past-changes",
        ),
        pytest.param(
            [notice("n", LEFT)], notice("m", SPAIN, **supersedes()), [("R-TRV-12", "error", "/body/itinerary/segments")],
            id="what-is-past-is-left-out",
        ),
        pytest.param([], notice("m", SPAIN, **supersedes()), [("R-TRV-12", "warning", "/body/supersedes")], id="of-nothing"),
        pytest.param([said("order-summary", "n")], notice("m", SPAIN, **supersedes()), [("R-TRV-12", "warning", "/body/supersedes")],
                     id="of-an-order"),
    ],
)  # fmt: skip
def test_a_segment_that_has_departed_is_not_changed(earlier, message, wrong):
    assert [fault for fault in faults(message, *earlier) if fault[0] == "R-TRV-12"] == wrong


def order(jti="o", **changes):
    stands = {"id": jti, "kind": "SHPO", "jurisdiction": "GB-EAW", "status": "ACTIVE", "start": "2025-01-01", "end": "2029-12-31"}
    return said("order-summary", jti, order=stands | changes, travel_prohibition={"scope": "ALL"})


def test_a_notice_that_says_nothing_of_an_order_in_force_is_told_of_it():
    said_so = {"active_travel_restriction": {"order": {"id": "o", "kind": "SHPO", "jurisdiction": "GB-EAW"}, "scope": "ALL"}}
    assert faults(notice("n", FRANCE), order()) == [("R-TRV-09", "note", "/body/active_travel_restriction")]
    assert faults(notice("n", FRANCE, **said_so), order()) == []
    assert faults(notice("n", FRANCE)) == []


def withdrawal(do="DELETE"):
    return said("correction", "c", corrects={"iss": "gb-register", "jti": "n"}, kind="WITHDRAW", recipients_must_do=do)


@pytest.mark.parametrize(
    ("message", "took_back", "wrong"),
    [
        pytest.param(notice("m", FRANCE), withdrawal(), True, id="the-same-journey"),
        pytest.param(notice("m", SPAIN), withdrawal(), False, id="another-journey"),
        pytest.param(notice("m", FRANCE), withdrawal("UPDATE"), False, id="withdrawn-but-not-wrong"),
        pytest.param(order(), withdrawal(), False, id="no-notice"),
    ],
)
def test_what_was_withdrawn_as_wrong_is_not_sent_again(message, took_back, wrong):
    earlier = (notice("n", FRANCE), took_back)
    assert is_marked_wrong(message, facts(*map(before, earlier))) is wrong
    assert (("R-TRV-14", "warning", "/body/itinerary") in faults(message, *earlier)) is wrong


# --- orders -----------------------------------------------------------------------------------------------------------

IMPLIES = ("R-ORD-05", "warning", "/body/order/kind")


@pytest.mark.parametrize(
    ("kind", "earlier", "warned"),
    [("SHPO", [], True), ("SHPO", [said("registration-record", "r")], False), ("SRO", [], False), ("INTERIM_SHPO", [], True)],
)
def test_a_prevention_order_comes_with_a_register_entry(kind, earlier, warned):
    assert faults(order(kind=kind), *earlier) == ([IMPLIES] if warned else [])


@pytest.mark.parametrize(
    ("earlier", "changes", "warned"),
    [
        ({"jurisdiction": "GB-SCT"}, {"jurisdiction": "GB-SCT"}, True),
        ({"jurisdiction": "GB-SCT"}, {"jurisdiction": "GB-SCT", "replaces": "old"}, False),
        ({"jurisdiction": "GB-SCT", "status": "REPLACED"}, {"jurisdiction": "GB-SCT"}, False),
        ({"jurisdiction": "GB-SCT", "id": "new"}, {"jurisdiction": "GB-SCT"}, False),
        ({"jurisdiction": "GB-EAW"}, {"jurisdiction": "GB-SCT"}, False),
        ({"jurisdiction": "GB-SCT"}, {"jurisdiction": "GB-EAW"}, False),
        ({"jurisdiction": "GB-SCT"}, {"jurisdiction": "GB-SCT", "status": "DISCHARGED"}, False),
    ],
)
def test_a_later_scottish_order_replaces_the_earlier(earlier, changes, warned):
    found = faults(order("new", **changes), said("registration-record", "r"), order("old", **earlier))
    assert found == ([("R-ORD-14", "warning", "/body/order/replaces")] if warned else [])


@pytest.mark.parametrize("rule", sorted(r.id for r in RULES.values() if r.where.startswith(check_earlier.__module__)))
def test_every_rule_of_this_kind_is_put_to_the_test(rule):
    with open(__file__, encoding="utf-8") as source:  # noqa: PTH123 -- this file
        assert f'"{rule}"' in source.read()
