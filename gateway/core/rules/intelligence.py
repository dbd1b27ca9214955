"""Rules of intelligence reports and safeguarding concerns (domain.md c.5, R-INT and R-SAF)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gateway.core.families import is_concern
from gateway.core.message import Message
from gateway.core.problems import Problem, RuleId, Severity
from gateway.core.reference import Entry
from gateway.core.rules.base import CHECKS, FamilyRules, Kind, Rule, RuleContext, broken, register

FAMILY: Final = "intelligence-report"
REFERRAL: Final = "support-referral"
NUMBERS: Final = "emergency-number"  # a code list: by country
NO_SUBSTITUTE: Final = "a message is no substitute for calling; give a child's name by voice, never in a message"


@dataclass(frozen=True, slots=True)
class _Report:
    """A report with what its rules ask about it."""

    msg: Message
    ctx: RuleContext

    @property
    def country(self) -> str | None:
        """Where it happens, None where nobody says."""
        place = self.msg.body.get("event", {}).get("place", {})
        country: str | None = place.get("country")
        return country

    @property
    def number(self) -> Entry | None:
        """The emergency number of the place, of the list in force when the message was made; None where none is known."""
        codes = self.ctx.reference.codes
        listing = codes.listing(NUMBERS, self.msg.iat.date()) if NUMBERS in codes.editions else None  # a concern is taken without it
        return None if listing is None or self.country is None else listing.entries.get(self.country)


REPORT: Final = FamilyRules(FAMILY, _Report, texts=("text", "handling_conditions/*/words", "persons/*/person/description/marks"))


@REPORT.rule("R-INT-05", effect="N", source="S004")
def who_is_in_danger_now_is_helped_by_a_call(report: _Report) -> Iterator[Problem]:
    """A report with immediate_risk goes in the lane IMMEDIATE; its receipt says to call first and report after."""
    if report.msg.body.get("immediate_risk") is True:
        detail, expected = "somebody is in danger now", "call the emergency number first, report after"
        yield broken("R-INT-05", "/body/immediate_risk", detail, expected=expected, severity=Severity.NOTE)


@REPORT.rule("R-SAF-03", effect="N", source="S004; own")
def who_raises_a_concern_is_told_whom_to_call(report: _Report) -> Iterator[Problem]:
    """The receipt of a concern has the place's emergency number, says it is no substitute for calling; a child's name is given by voice."""
    if not is_concern(report.msg.family.name, report.msg.body):
        return
    number = report.number
    if number is None:
        detail = "no emergency number is known here for the place"
        expected = f"find it, and call: {NO_SUBSTITUTE}"
    else:
        detail = f"the emergency number in {number.code} is {number.title}{'' if number.verified else ' (not verified)'}"
        expected = f"call: {NO_SUBSTITUTE}"
    yield broken("R-SAF-03", "/body/event/place", detail, expected=expected, severity=Severity.NOTE)


def a_concern_is_there_to_safeguard(msg: Message, ctx: RuleContext) -> Iterator[Problem]:  # noqa: ARG001 -- as every check
    """R-SAF-02: another purpose would route it to nobody, and have policies judge it as what it is not."""
    if is_concern(msg.family.name, msg.body) and msg.event["handling"].get("purpose") != "SAFEGUARD":
        yield broken("R-SAF-02", "/handling/purpose", "a concern for another purpose", expected="SAFEGUARD", severity=Severity.ERROR)


def intelligence_comes_from_authorities(msg: Message, ctx: RuleContext) -> Iterator[Problem]:
    """R-SAF-01: whoever helps may raise a concern; what is graded and kept on persons is for authorities."""
    if msg.body.get("kind") == "intelligence" and ctx.sender.sector == "NGO":
        detail, expected = "a non-governmental body sends no graded intelligence", "safeguarding-concern, if somebody may be in danger"
        yield broken("R-SAF-01", "/body/kind", detail, expected=expected, severity=Severity.ERROR)


def who_flags_danger_is_told_to_raise_a_concern(msg: Message, ctx: RuleContext) -> Iterator[Problem]:  # noqa: ARG001 -- as every check
    """R-SAF-05: say in the receipt of a flagged referral that it waits, and what helps instead. The hold itself is of decision."""
    if msg.body.get("safeguarding_flag") is True:
        detail = "somebody may be in danger: this referral is held, and helps nobody now"
        expected = f"call the emergency number now, and send an intelligence-report of kind safeguarding-concern: {NO_SUBSTITUTE}"
        yield broken("R-SAF-05", "/body/safeguarding_flag", detail, expected=expected, severity=Severity.NOTE)


CHECKS[FAMILY] += [a_concern_is_there_to_safeguard, intelligence_comes_from_authorities]
CHECKS[REFERRAL].append(who_flags_danger_is_told_to_raise_a_concern)


SCHEMA: Final = "gateway.core.schema.Schemas"
HOLD: Final = "gateway.core.recipients.leg_hold"
POLICY: Final = "gateway.core.policy.PolicySet"  # a forbid of policies/general.cedar, by the rule's id

# (id, kind, effect, source, where it is held, families, text)
ENTRIES: Final[tuple[tuple[str, Kind, str, str, str, tuple[str, ...], str], ...]] = (
    ("R-INT-01", "schema", "E", "V:I352", SCHEMA, (FAMILY,),
     "Intelligence has a source of 1 to 3 and an assessment of A to E: no third letter or digit."),
    ("R-INT-02", "schema", "E", "V:I352", SCHEMA, (FAMILY,), "Handling C has its condition in words."),
    ("R-INT-03", "schema", "E", "V:I352", SCHEMA, (FAMILY,), "The words are sanitised: what could identify the source is taken out."),
    ("R-INT-04", "decision", "H", "own", HOLD, (FAMILY,),
     "Every leg abroad of what is graded 3-E (unreliable source, suspected false) is held (GRADED_3E)."),
    ("R-INT-06", "decision", "R", "S003; own", POLICY, (FAMILY, "registration-record"),
     "A non-governmental body never gets intelligence or a register entry."),
    ("R-SAF-01", "schema", "-", "S002 to S004; own", SCHEMA, (FAMILY,),
     "A safeguarding concern comes from whoever policy lets send one; it needs place, danger and words, no grading and no known person."),
    ("R-SAF-02", "decision", "-", "S004; own", "gateway.core.routing.route", (FAMILY,),
     "It goes IMMEDIATE to every partner that receives it as SAFEGUARDING for the country and region of event.place."),
    ("R-SAF-04", "system", "-", "own", "gateway.app.escalate.Escalate", (FAMILY,),
     "Not acknowledged in time, it goes to the national desk, the place's POLICE partners and the sender, until somebody has it."),
    ("R-SAF-05", "decision", "H", "S004; own", HOLD, (REFERRAL,),
     "A referral with safeguarding_flag is held (SAFEGUARDING_FLAG), its sender told to send a safeguarding concern and to call."),
)  # fmt: skip

for _id, _kind, _effect, _source, _where, _families, _text in ENTRIES:
    register(Rule(RuleId(_id), _kind, _effect, _source, _text, _where, _families))
