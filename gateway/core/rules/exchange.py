"""Rules of requests, responses and corrections (domain.md c.5, R-REQ and R-CNV)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.core.message import Message
from gateway.core.problems import Problem, RuleId, Severity
from gateway.core.rules import breach, general, order, registration, risk, transfer, travel  # noqa: F401 -- their bodies are carried here
from gateway.core.rules.base import FREE_TEXTS, Kind, Rule, RuleContext, broken, register, rule
from gateway.core.travel import FAMILY as TRAVEL

REQUEST: Final = "information-request"
RESPONSE: Final = "information-response"
CORRECTION: Final = "correction"
SUCCESSFUL: Final = "RRT-00-00"
HELD: Final = (registration.FAMILY, order.FAMILY, risk.FAMILY)  # whose bodies a response carries
CORRECTED: Final = (TRAVEL, *HELD, breach.FAMILY, transfer.FAMILY)  # and a correction
MARKS: Final = "/body/person/description/marks"


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


# (id, kind, effect, source, where it is held, text, families, what of it waits)
ENTRIES: Final[tuple[tuple[str, Kind, str, str, str, str, tuple[str, ...], str], ...]] = (
    ("R-REQ-01", "system", "-", "V:FRA20 s.5(4)", "",
     "A conviction request from the UK to the EU is answered as soon as practicable, within 20 working days.", (REQUEST, RESPONSE), ""),
    ("R-REQ-02", "system", "-", "V:FRA20 s.1(5), (7)", "",
     "A conviction is notified from the UK to the EU within 28 days of its record, and again when amended.", ("registration-record",), ""),
    ("R-REQ-03", "decision", "-", "V:FRA20 s.1(4)", "",
     "Every member State of nationality is notified of a conviction.", ("registration-record",), ""),
    ("R-REQ-04", "facts", "E", "V:FRA20 s.4(4), (5)", "",
     "A response serves the purpose asked, on the conditions given, save for an immediate serious threat to public security.",
     (RESPONSE,), ""),
    ("R-REQ-06", "system", "-", "V:FD315 (instrument); Art 8 numbers G", "",
     "Between member States a request is answered within 10 working days for criminal proceedings, else 20.", (REQUEST, RESPONSE), ""),
    ("R-REQ-07", "decision", "R", "V:CSOD; V:CSOL", "gateway.core.schema.Schemas",
     "A disclosure-scheme check runs between police and children's services, and names no applicant or child; the answer is one value.",
     (REQUEST, RESPONSE), "who may ask and answer"),
    ("R-CNV-01", "facts", "E", "own", "",
     "A reply fits an open conversation, by `txn` and `in_response_to`.", ("acknowledgement", RESPONSE, transfer.FAMILY), ""),
    ("R-CNV-02", "facts", "E", "own", "",
     "Stages come in order: PROPOSED, ACCEPTED or REFUSED, COMPLETED, RETURNED; acknowledgements go only forward.",
     ("acknowledgement", transfer.FAMILY), ""),
    ("R-CNV-03", "facts", "W", "own", "",
     "A reply after its deadline is taken, and marked.", ("acknowledgement", RESPONSE, transfer.FAMILY), ""),
)  # fmt: skip

for _id, _kind, _effect, _source, _where, _text, _families, _waits in ENTRIES:
    register(Rule(RuleId(_id), _kind, _effect, _source, _text, _where, _families, _waits))
