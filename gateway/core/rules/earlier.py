"""Rules of kind *facts*: what a message says is held to what was said before (domain.md c)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from gateway.contract.values import Country
from gateway.core import correction
from gateway.core.alerts import is_late, is_restricted
from gateway.core.conversation import FORWARD, NEXT_STAGE, acknowledged_before, answered_before, original_of, stage_before
from gateway.core.facts import Earlier, Facts, superseded
from gateway.core.families import ACKNOWLEDGEMENT, CORRECTION, ORDER, REFERRAL, REGISTRATION, REQUEST, RESPONSE, TRANSFER, TRAVEL
from gateway.core.message import Message
from gateway.core.problems import Code, Problem, RuleId, Severity
from gateway.core.referral import is_anonymous
from gateway.core.restriction import scottish_prevention_orders
from gateway.core.rules.base import RuleContext, broken
from gateway.core.rules.time import window_of
from gateway.core.travel import Travel, read_travel

IN_RESPONSE_TO: Final = "/routing/in_response_to"
ANSWERS: Final = {RESPONSE: REQUEST, TRANSFER: TRANSFER, REFERRAL: REFERRAL}  # what a reply of a family can answer
REPEATED: Final = frozenset({"MATCHED", "ACTIONED"})  # stages that may have several outcomes, one after the other
OF_CORRECTIONS: Final = frozenset({"UPDATED", "DELETED", "RESTRICTED"})
SHPO: Final = frozenset({"SHPO", "INTERIM_SHPO"})
E: Final = Severity.ERROR
Found = Iterator[Problem]


def check_earlier(msg: Message, facts: Facts, ctx: RuleContext) -> Found:
    """Yield every problem a message has with what was said before."""
    for check in (a_referral_is_joined_by_nothing, a_reply_is_about_the_same_person, *CHECKS.get(msg.family.name, ())):
        yield from check(msg, facts, ctx)


# --- conversations ----------------------------------------------------------------------------------------------------


def a_reply_fits_its_conversation(msg: Message, facts: Facts, ctx: RuleContext) -> Found:  # noqa: ARG001 -- one signature for all checks
    """R-CNV-01: a reply answers something it can answer, in the conversation it was asked in, that is still open."""
    answered = facts.answered
    if answered is None:
        if msg.family.name == TRANSFER and msg.body["stage"] != "PROPOSED" and stage_before(msg, facts) is None:
            detail = "no open conversation of yours about this subject has this txn"
            yield _unmatched("R-CNV-01", detail, "the txn of the proposal, and in_response_to if you received it", claim="txn")
        return
    asked = ANSWERS.get(msg.family.name)
    if asked is not None and answered.family != asked:
        yield _unmatched("R-CNV-01", f"what this answers is no {asked}", f"the iss and jti of the {asked} you received", IN_RESPONSE_TO)
    if answered.txn != msg.txn:
        yield _unmatched("R-CNV-01", "txn is not that of what this answers", "the txn of the token you received", claim="txn")
    if msg.family.name in ANSWERS and answered.message in correction.taken_back(facts):
        yield _unmatched("R-CNV-01", "what this answers was taken back", "nothing: it is not asked any more", IN_RESPONSE_TO)
    if msg.family.name == RESPONSE and answered_before(msg, facts):
        yield _unmatched(
            "R-CNV-01", "you have answered this request: the conversation is closed", "a correction of that answer", IN_RESPONSE_TO
        )


def a_referral_is_joined_by_nothing(msg: Message, facts: Facts, ctx: RuleContext) -> Found:  # noqa: ARG001
    """R-REF-03: what is kept among registers' messages is in no conversation that a referral began."""
    if facts.of_referral:
        expected = "a txn of its own, and no in_response_to; a support-referral or an acknowledgement, if it answers one"
        if msg.in_response_to is not None:
            yield _unmatched("R-REF-03", "this answers a referral, and referrals live apart", expected, IN_RESPONSE_TO)
        else:
            yield _unmatched("R-REF-03", "this txn is that of a referral, and referrals live apart", expected, claim="txn")


def a_reply_is_about_the_same_person(msg: Message, facts: Facts, ctx: RuleContext) -> Found:  # noqa: ARG001
    """R-CNV-01: a reply repeats the subject it received, to which it counts (domain.md b.0)."""
    original = original_of(facts)
    if original is None:
        return
    asked, said = original.message.event["subject"], msg.event["subject"]
    if (said.get("iss", msg.iss), said.get("ref")) != (original.message.subject[1], asked.get("ref")):
        yield _unmatched("R-CNV-01", "another person than that of what this answers", "the subject as you received it", "/subject")


def an_anonymous_referral_begins_a_conversation(msg: Message, facts: Facts, ctx: RuleContext) -> Found:  # noqa: ARG001
    """R-REF-01: by the txn of another message, whoever got both would know of whom it speaks."""
    if is_anonymous(msg) and msg.in_response_to is None and msg.txn != msg.jti:
        detail = "an anonymous referral begins a conversation of its own"
        yield _unmatched("R-REF-01", detail, "txn equal to jti", claim="txn")


def stages_come_in_order(msg: Message, facts: Facts, ctx: RuleContext) -> Found:  # noqa: ARG001
    """R-CNV-02: PROPOSED, ACCEPTED or REFUSED, COMPLETED, RETURNED."""
    before, stage = stage_before(msg, facts), msg.body["stage"]
    allowed = NEXT_STAGE[before]
    if stage not in allowed and not (before is None and stage != "PROPOSED"):  # the latter has no conversation at all: R-CNV-01
        expected = f"one of {', '.join(sorted(allowed))}" if allowed else "a new proposal with a txn of its own"
        yield broken("R-CNV-02", "/body/stage", f"the conversation stands at {before}", expected=expected, severity=E)


def acknowledgements_go_forward(msg: Message, facts: Facts, ctx: RuleContext) -> Found:  # noqa: ARG001
    """R-CNV-02: RECEIVED, VALID, MATCHED, ACTIONED; a refusal is the last word."""
    before, stage = acknowledged_before(msg, facts), msg.body["stage"]
    if before not in FORWARD or stage not in FORWARD:
        return
    least = FORWARD[before] + (before not in REPEATED)
    if FORWARD[stage] < least:
        later = [name for name, rank in FORWARD.items() if rank >= least]
        expected = "nothing more: a refusal is the last word" if before == "REFUSED" else f"one of {', '.join(later)}"
        yield broken("R-CNV-02", "/body/stage", f"you have acknowledged it as {before} already", expected=expected, severity=E)


def answers_to_corrections_answer_corrections(msg: Message, facts: Facts, ctx: RuleContext) -> Found:  # noqa: ARG001
    """R-CNV-01: who has updated, deleted or restricted something was asked to by a correction (domain.md d.10)."""
    if facts.answered is not None and msg.body.get("outcome") in OF_CORRECTIONS and facts.answered.family != CORRECTION:
        yield _unmatched("R-CNV-01", "this outcome answers a correction, and that is none", "another outcome", "/body/outcome")


def a_late_reply_is_marked(msg: Message, facts: Facts, ctx: RuleContext) -> Found:
    """R-CNV-03: it is taken, and marked."""
    if is_late(msg, facts, ctx.now):
        yield broken("R-CNV-03", IN_RESPONSE_TO, "the reply comes after it was asked for; it is taken, and marked late")


def a_response_serves_the_purpose_asked(msg: Message, facts: Facts, ctx: RuleContext) -> Found:  # noqa: ARG001
    """R-REQ-04: an answer may be used for what it was asked for alone, save for an immediate serious threat."""
    request = original_of(facts)
    if request is None or request.message.family.name != REQUEST:
        return
    asked, said = (m.event["handling"]["purpose"] for m in (request.message, msg))
    threat = said == "SAFEGUARD" and msg.event["routing"]["priority"] == "IMMEDIATE"
    if said != asked and not threat:
        expected = f"{asked}, as asked; SAFEGUARD and IMMEDIATE for an immediate serious threat"
        yield broken("R-REQ-04", "/handling/purpose", "another purpose than the request's", expected=expected, severity=E)


# --- corrections ------------------------------------------------------------------------------------------------------


def a_correction_corrects_something(msg: Message, facts: Facts, ctx: RuleContext) -> Found:
    """R-GEN-05: it names a message of its sender about this subject, and puts a body of the same family in its place."""
    original = correction.original_of(msg, facts)
    if original is None and facts.unread:
        detail = "what this corrects could not be read here; an operator has been told"
        yield Problem(
            code=Code.UNAVAILABLE, detail=detail, expected="send it again later", pointer="/body/corrects", rule=RuleId("R-GEN-05")
        )
        return
    if original is None:
        detail = "no message of yours about this subject has this iss and jti"
        expected = "iss and jti of your message, with its subject; a referral is never corrected: send another with note_kind END"
        yield _unmatched("R-GEN-05", detail, expected, "/body/corrects")
        return
    family = original.message.family.name
    for name in msg.body.get("replacement", {}):
        if name != family:
            yield _unmatched("R-GEN-05", f"what this corrects is of family {family}", f"a replacement under {family}", "/body/replacement")
    if original.message.ref in correction.taken_back(facts):
        yield _unmatched("R-GEN-05", "what this corrects was taken back before", "a new message", "/body/corrects")
    yield from _nobody_told(msg, original, ctx)


def _nobody_told(msg: Message, original: Earlier, ctx: RuleContext) -> Found:
    """A correction reaches who got the original. Who a corrected journey concerns for the first time does not hear of it by that."""
    replaced = msg.body.get("replacement", {}).get(TRAVEL)
    if replaced is None:
        return
    countries = frozenset(country for country, _ in read_travel(replaced).itinerary.countries()) - {ctx.sender.country}
    if missing := correction.not_told(original, countries):
        detail = f"countries that were told nothing of the original, and do not get its correction: {', '.join(sorted(missing))}"
        yield broken("R-GEN-05", f"/body/replacement/{TRAVEL}/itinerary", detail, expected="a travel-notification for them")


# --- travel -----------------------------------------------------------------------------------------------------------


def a_departed_segment_stays(msg: Message, facts: Facts, ctx: RuleContext) -> Found:
    """R-TRV-12: who has left has left; what was told wrong of it is corrected."""
    ref = superseded(msg)
    if ref is None:
        return
    earlier = facts.find(ref)
    if earlier is None or earlier.message.family.name != TRAVEL or ref.iss != msg.iss:
        detail = "no notice of yours about this subject has this iss and jti; this goes out as a notice of its own"
        yield broken("R-TRV-12", "/body/supersedes", detail, expected="iss and jti of the notice this takes the place of")
        return
    kept = list(msg.body["itinerary"]["segments"])
    for index, segment in enumerate(read_travel(earlier.message.body).itinerary.segments):
        window = window_of(segment.departure, ctx.reference)
        if window is not None and window.departed(ctx.now) and earlier.message.body["itinerary"]["segments"][index] not in kept:
            detail = f"segment {segment.seq} has departed, and is changed or left out"
            expected = "the segment as it was; a correction, if it was told wrong"
            yield broken("R-TRV-12", "/body/itinerary/segments", detail, expected=expected, severity=E)


def an_order_in_force_is_told(msg: Message, facts: Facts, ctx: RuleContext) -> Found:
    """R-TRV-09: the notice goes out, marked; who manages the subject is alerted."""
    if is_restricted(msg, facts, ctx) and not read_travel(msg.body).restricted:
        yield broken(
            "R-TRV-09", "/body/active_travel_restriction", "an order carried here forbids this journey; it is sent, marked, and alerted",
            expected="the order and its scope, unless that order is wrong", severity=Severity.NOTE,
        )  # fmt: skip


def what_was_wrong_is_not_sent_again(msg: Message, facts: Facts, ctx: RuleContext) -> Found:  # noqa: ARG001
    """R-TRV-14: each leg is refused (DO_NOT_SEND)."""
    if is_marked_wrong(msg, facts):
        detail = "this journey was withdrawn as wrong, for recipients to delete: it is refused to each of them"
        yield broken("R-TRV-14", "/body/itinerary", detail, expected="the journey as it will be, if it is another")


def is_marked_wrong(msg: Message, facts: Facts) -> bool:
    """Say whether a notice repeats one that was taken back as wrong: the same stops on the same days (R-TRV-14)."""
    if msg.family.name != TRAVEL:
        return False
    wrong = correction.taken_back(facts, as_wrong=True)
    journeys = {_journey(read_travel(e.message.body)) for e in facts.of(TRAVEL) if e.message.ref in wrong}
    return bool(journeys) and _journey(read_travel(msg.body)) in journeys


def _journey(travel: Travel) -> tuple[tuple[Country | None, str, Country | None, str], ...]:
    return tuple(
        (s.departure.country, str(s.departure.date), s.arrival.country, str(s.arrival.date)) for s in travel.itinerary.segments
    )  # fmt: skip


# --- orders -----------------------------------------------------------------------------------------------------------


def prevention_orders_come_with_a_register_entry(msg: Message, facts: Facts, ctx: RuleContext) -> Found:  # noqa: ARG001
    """R-ORD-05: who has such an order is on the register."""
    if msg.body["order"]["kind"] in SHPO and REGISTRATION not in facts.families:
        detail = "this order makes its subject notify, and no register entry about the subject came here"
        yield broken("R-ORD-05", "/body/order/kind", detail, expected="a registration-record, before or after")


def a_later_scottish_order_replaces_the_earlier(msg: Message, facts: Facts, ctx: RuleContext) -> Found:  # noqa: ARG001
    """R-ORD-14: the earlier is REPLACED."""
    order = msg.body["order"]
    if order["kind"] != "SHPO" or order["jurisdiction"] != "GB-SCT" or order["status"] != "ACTIVE":
        return
    others = [other for other in scottish_prevention_orders(facts) if other["id"] not in {order["id"], order.get("replaces")}]
    if others:
        detail = "another order of this kind stands as in force here; in Scotland a later one ends it"
        yield broken("R-ORD-14", "/body/order/replaces", detail, expected="the earlier order's id, and an order-summary of it as REPLACED")


def _unmatched(rule: str, detail: str, expected: str, pointer: str | None = None, *, claim: str | None = None) -> Problem:
    return Problem(code=Code.REPLY_UNMATCHED, detail=detail, expected=expected, pointer=pointer, claim=claim, rule=RuleId(rule))


CHECKS: Final[dict[str, tuple[Callable[[Message, Facts, RuleContext], Found], ...]]] = {
    TRAVEL: (a_departed_segment_stays, an_order_in_force_is_told, what_was_wrong_is_not_sent_again),
    ORDER: (prevention_orders_come_with_a_register_entry, a_later_scottish_order_replaces_the_earlier),
    ACKNOWLEDGEMENT: (
        a_reply_fits_its_conversation,
        answers_to_corrections_answer_corrections,
        acknowledgements_go_forward,
        a_late_reply_is_marked,
    ),
    RESPONSE: (a_reply_fits_its_conversation, a_response_serves_the_purpose_asked, a_late_reply_is_marked),
    TRANSFER: (a_reply_fits_its_conversation, stages_come_in_order, a_late_reply_is_marked),
    REFERRAL: (a_reply_fits_its_conversation, an_anonymous_referral_begins_a_conversation),
    CORRECTION: (a_correction_corrects_something,),
}
