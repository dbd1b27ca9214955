"""Rules of intelligence reports and safeguarding concerns (domain.md c.5, R-INT and R-SAF)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.core.message import Message
from gateway.core.problems import Problem, RuleId, Severity
from gateway.core.rules.base import FamilyRules, Kind, Rule, RuleContext, broken, register

FAMILY: Final = "intelligence-report"
REFERRAL: Final = "support-referral"


def _read(msg: Message, ctx: RuleContext) -> Message:  # noqa: ARG001 -- one signature for all families
    return msg


REPORT: Final = FamilyRules(FAMILY, _read, texts=("text", "handling_conditions/*/words", "persons/*/person/description/marks"))


@REPORT.rule("R-INT-05", effect="N", source="S004")
def who_is_in_danger_now_is_helped_by_a_call(msg: Message) -> Iterator[Problem]:
    """A report with immediate_risk goes in the lane IMMEDIATE; its receipt says to call first and report after."""
    if msg.body.get("immediate_risk") is True:
        detail, expected = "somebody is in danger now", "call the emergency number first, report after"
        yield broken("R-INT-05", "/body/immediate_risk", detail, expected=expected, severity=Severity.NOTE)


SCHEMA: Final = "gateway.core.schema.Schemas"
WAITS: Final = ""
POLICY: Final = "gateway.core.policy.PolicySet"  # a forbid of policies/general.cedar, by the rule's id

# (id, kind, effect, source, where it is held, families, text)
ENTRIES: Final[tuple[tuple[str, Kind, str, str, str, tuple[str, ...], str], ...]] = (
    ("R-INT-01", "schema", "E", "V:I352", SCHEMA, (FAMILY,),
     "Intelligence has a source of 1 to 3 and an assessment of A to E: no third letter or digit."),
    ("R-INT-02", "schema", "E", "V:I352", SCHEMA, (FAMILY,), "Handling C has its condition in words."),
    ("R-INT-03", "schema", "E", "V:I352", SCHEMA, (FAMILY,), "The words are sanitised: what could identify the source is taken out."),
    ("R-INT-04", "decision", "H", "own", WAITS, (FAMILY,),
     "Every leg abroad of what is graded 3-E (unreliable source, suspected false) is held (GRADED_3E)."),
    ("R-INT-06", "decision", "R", "S003; own", POLICY, (FAMILY, "registration-record"),
     "A non-governmental body never gets intelligence or a register entry."),
    ("R-SAF-01", "schema", "-", "S002 to S004; own", SCHEMA, (FAMILY,),
     "A safeguarding concern comes from whoever policy lets send one; it needs place, danger and words, no grading and no known person."),
    ("R-SAF-02", "decision", "-", "S004; own", WAITS, (FAMILY,),
     "It goes IMMEDIATE to every partner that receives it as SAFEGUARDING for the country and region of event.place."),
    ("R-SAF-03", "system", "-", "S004; own", WAITS, (FAMILY,),
     "Its receipt carries the emergency number of the place, and that it is no substitute for calling; a child's name is given by voice."),
    ("R-SAF-04", "system", "-", "own", WAITS, (FAMILY,),
     "Not acknowledged in time, it goes to the national desk, the place's POLICE partners and the sender, until somebody has it."),
    ("R-SAF-05", "decision", "H", "S004; own", WAITS, (REFERRAL,),
     "A referral with safeguarding_flag is held (SAFEGUARDING_FLAG), its sender told to send a safeguarding concern and to call."),
)  # fmt: skip

for _id, _kind, _effect, _source, _where, _families, _text in ENTRIES:
    register(Rule(RuleId(_id), _kind, _effect, _source, _text, _where, _families))
