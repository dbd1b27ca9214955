"""Rules of requests, responses and corrections (domain.md c.5, R-REQ and R-CNV)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from typing import Any, Final

from gateway.contract.values import Family
from gateway.core.families import ACKNOWLEDGEMENT
from gateway.core.message import Message
from gateway.core.problems import Problem, RuleId, Severity
from gateway.core.rules import breach, general, order, registration, risk, transfer, travel
from gateway.core.rules.base import CHECKS, FREE_TEXTS, Check, Kind, Rule, RuleContext, broken, register, rule, shown
from gateway.core.rules.dates import after
from gateway.core.travel import FAMILY as TRAVEL

REQUEST: Final = "information-request"
RESPONSE: Final = "information-response"
CORRECTION: Final = "correction"
SUCCESSFUL: Final = "RRT-00-00"
HELD: Final = (registration.FAMILY, order.FAMILY, risk.FAMILY)  # whose bodies a response carries
CORRECTED: Final = (TRAVEL, *HELD, breach.FAMILY, transfer.FAMILY)  # and a correction
MARKS: Final = "/body/person/description/marks"
BODY: Final = "/body"
NOTHING: Final[Mapping[str, Any]] = {}
OF_ANY_BODY: Final[tuple[Check, ...]] = (general.hurtful_narratives_are_announced, general.the_subject_is_whole)
OF_RECIPIENTS: Final = ("RECEIVED", "VALID", "MATCHED", "ACTIONED", "REFUSED")  # stages of an acknowledgement; the others are the gateway's
OF_ITS_DAY: Final = travel.IN_TIME | {"R-REG-12"}  # what was judged on the day a message was sent, and stands


def _carried(way: str, families: tuple[str, ...]) -> Iterator[str]:
    """Yield where the free texts of other families are, carried under their names."""
    for family in families:
        for text in (*FREE_TEXTS[family], MARKS):
            yield f"/body/{way}/{family}/{text.removeprefix('/body/')}"


FREE_TEXTS[REQUEST] = ()
FREE_TEXTS[RESPONSE] = ("/body/more_information_needed/*", *_carried("records/*", HELD))
FREE_TEXTS[CORRECTION] = ("/body/reason", *_carried("replacement", CORRECTED))


@rule("R-REQ-05", effect="E", source="V:FRA20 s.5(6); S004", families=(RESPONSE,))
def suitability_is_answered_in_full(msg: Message, ctx: RuleContext) -> Iterator[Problem]:  # noqa: ARG001 -- one signature for all rules
    """On suitability to work with children a response includes child sexual offences even if spent, and cautions, and says so."""
    if msg.event["handling"].get("purpose") != "SUITABILITY_WITH_CHILDREN" or msg.body.get("response_type") != SUCCESSFUL:
        return
    for name, what in (("includes_spent", "child sexual offences, even if spent"), ("includes_cautions", "cautions")):
        if msg.body.get(name) is not True:
            expected = f"true: the records include {what}"
            yield broken(
                "R-REQ-05", f"/body/{name}", "an answer that leaves out what was asked", expected=expected, severity=Severity.ERROR
            )


def to_be_kept_informed_has_an_end(msg: Message, ctx: RuleContext) -> Iterator[Problem]:
    """R-RTE-06: warn a recipient that asks to be kept informed for longer than our own row says. Nobody may ask for ever by one word."""
    picked, until = ctx.tables.row("R-RTE-06", ctx.jurisdiction, msg.iat.date(), item="asked"), msg.body.get("keep_informed_until")
    if picked is None or not isinstance(until, str) or date.fromisoformat(until) <= after(msg.iat.date(), picked.row):
        return
    expected = f"at most {shown(picked.row)} from iat; acknowledge again when it ends"
    yield broken("R-RTE-06", "/body/keep_informed_until", "asks to be kept informed for too long", expected=expected)


def a_recipient_speaks_for_itself(msg: Message, ctx: RuleContext) -> Iterator[Problem]:  # noqa: ARG001 -- see above
    """R-CNV-02: alerts, and how legs ended, are for the gateway to say: a partner that says it would speak as the gateway."""
    stage = msg.body.get("stage")
    if isinstance(stage, str) and stage not in OF_RECIPIENTS:
        expected = f"one of {', '.join(OF_RECIPIENTS)}"
        yield broken("R-CNV-02", "/body/stage", "only the gateway says this", expected=expected, severity=Severity.ERROR)
    if "leg" in msg.body:
        yield broken("R-CNV-02", "/body/leg", "only the gateway says whose leg ended", expected="no leg", severity=Severity.ERROR)


CHECKS[ACKNOWLEDGEMENT] += [to_be_kept_informed_has_an_end, a_recipient_speaks_for_itself]


def records_keep_the_rules_of_their_families(msg: Message, ctx: RuleContext) -> Iterator[Problem]:
    """Check each record of a response by the message rules of its own family; pointers are into the response.

    The subject of a response is what the request said of a person, and not what the holder of the record knows: a suspect who
    is asked about may well be on a register. So no rule compares a record with it.
    """
    asked = replace(msg, event={**msg.event, "subject": NOTHING})
    for index, record in enumerate(msg.body.get("records", ())):
        for family, body in record.items():
            place = f"{BODY}/records/{index}/{family}"
            yield from (problem for problem in _judged(asked, family, body, place, ctx) if (problem.pointer or "").startswith(place))


def a_replacement_keeps_the_rules_of_its_family(msg: Message, ctx: RuleContext) -> Iterator[Problem]:
    """Check what replaces a body by the message rules of its family; pointers are into the correction.

    Whether the notice came in time, and the record was of late, was judged on the day the message that is corrected was sent, and its
    mark stands. A register that mends a slip gives no new notice of a journey, which may be long past: those rules say nothing here.
    """
    for family, body in msg.body.get("replacement", NOTHING).items():
        place = f"{BODY}/replacement/{family}"
        yield from (problem for problem in _judged(msg, family, body, place, ctx) if problem.rule not in OF_ITS_DAY)


CHECKS[RESPONSE].append(records_keep_the_rules_of_their_families)
CHECKS[CORRECTION].append(a_replacement_keeps_the_rules_of_its_family)


def _judged(msg: Message, family: str, body: Mapping[str, Any], place: str, ctx: RuleContext) -> Iterator[Problem]:
    """Yield what the rules of a family find in a body that another message carries at a place."""
    carried = replace(msg, family=Family(family, msg.family.version), event={**msg.event, "body": body})
    for check in (*OF_ANY_BODY, *CHECKS[family]):
        for problem in check(carried, ctx):
            head, _, below = (problem.pointer or "").partition(f"{BODY}/")
            yield replace(problem, pointer=f"{place}/{below}") if below and not head else problem


EARLIER: Final = "gateway.core.rules.earlier"

# (id, kind, effect, source, where it is held, text, families, what of it waits)
ENTRIES: Final[tuple[tuple[str, Kind, str, str, str, str, tuple[str, ...], str], ...]] = (
    ("R-REQ-01", "system", "-", "V:FRA20 s.5(4)", "",
     "A conviction request from the UK to the EU is answered as soon as practicable, within 20 working days.", (REQUEST, RESPONSE), ""),
    ("R-REQ-02", "system", "-", "V:FRA20 s.1(5), (7)", "",
     "A conviction is notified from the UK to the EU within 28 days of its record, and again when amended.", ("registration-record",), ""),
    ("R-REQ-03", "decision", "-", "V:FRA20 s.1(4)", "gateway.core.routing.route",
     "Every member State of nationality is notified of a conviction.", ("registration-record",), ""),
    ("R-REQ-04", "facts", "E", "V:FRA20 s.4(4), (5)", f"{EARLIER}.a_response_serves_the_purpose_asked",
     "A response serves the purpose asked, on the conditions given, save for an immediate serious threat to public security.",
     (RESPONSE,), ""),
    ("R-REQ-06", "system", "-", "V:FD315 (instrument); Art 8 numbers G", "",
     "Between member States a request is answered within 10 working days for criminal proceedings, else 20.", (REQUEST, RESPONSE), ""),
    ("R-REQ-07", "decision", "R", "V:CSOD; V:CSOL", "gateway.core.recipients.leg_refusal",
     "A disclosure-scheme check runs between police and children's services, and names no applicant or child; the answer is one value.",
     (REQUEST, RESPONSE), ""),
    ("R-CNV-01", "facts", "E", "own", f"{EARLIER}.a_reply_fits_its_conversation",
     "A reply fits an open conversation, by `txn` and `in_response_to`.", (), ""),
    ("R-CNV-02", "facts", "E", "own", f"{EARLIER}.stages_come_in_order",
     "Stages come in order: PROPOSED, ACCEPTED or REFUSED, COMPLETED, RETURNED; acknowledgements go only forward.",
     ("acknowledgement", transfer.FAMILY), ""),
    ("R-CNV-03", "facts", "W", "own", f"{EARLIER}.a_late_reply_is_marked",
     "A reply after its deadline is taken, and marked.", ("acknowledgement", RESPONSE, transfer.FAMILY), ""),
)  # fmt: skip

for _id, _kind, _effect, _source, _where, _text, _families, _waits in ENTRIES:
    register(Rule(RuleId(_id), _kind, _effect, _source, _text, _where, _families, _waits))
