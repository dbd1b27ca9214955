"""Rules of every family that need only the message (domain.md c.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final

from gateway.core.families import ACKNOWLEDGEMENT
from gateway.core.message import Message
from gateway.core.problems import Code, Problem, RuleId, Severity
from gateway.core.rules.base import FREE_TEXTS, RuleContext, as_firm_as, broken, rule, shown
from gateway.core.rules.dates import ages
from gateway.core.travel import FAMILY as TRAVEL

HURTFUL: Final = frozenset({"OFFENCE", "MODUS_OPERANDI"})
OF_EVERY_FAMILY: Final = ("/handling/conditions/*", "/body/person/description/marks")  # free texts, beside a family's own
NOTHING: Final[Mapping[str, Any]] = {}
FREE_TEXTS[ACKNOWLEDGEMENT] = ("/body/text",)


@rule("R-GEN-03", effect="E", source="V:RPDR")
def delete_by_keeps_the_sender_s_own_rule(msg: Message, ctx: RuleContext) -> Iterator[Problem]:
    """A message says when it is deleted, and no later than the sender's own retention rule (its profile) allows."""
    pointer, text = "/handling/retention/delete_by", msg.event["handling"].get("retention", NOTHING).get("delete_by")
    if not isinstance(text, str):
        yield broken("R-GEN-03", pointer, "no day of deletion", expected="a date", severity=Severity.ERROR)
        return
    days = ctx.sender.retention_days_max
    if days is not None and date.fromisoformat(text) > msg.iat.date() + timedelta(days=days):
        expected = f"at most {days} days after iat, as your profile says"
        yield broken("R-GEN-03", pointer, "kept longer than your own retention rule", expected=expected, severity=Severity.ERROR)


@rule("R-GEN-10", effect="W", source="G (LED Art 10); V:INTN")
def free_text_is_answered_with_a_reminder(msg: Message, ctx: RuleContext) -> Iterator[Problem]:  # noqa: ARG001 -- one signature for all rules
    """Religion, race, politics and sexual orientation have no field, health only its own; filled free text gets a reminder."""
    for pointer in free_texts(msg):
        yield broken(
            "R-GEN-10", pointer, "free text is not read by anybody here",
            expected="nothing on religion, race, politics or sexual orientation; health only in its own group; no victim's identity",
        )  # fmt: skip


@rule("R-GEN-11", effect="W", source="V:IMLFAQ", families=(TRAVEL,))
def entry_is_the_destination_s_own_decision(msg: Message, ctx: RuleContext) -> Iterator[Problem]:  # noqa: ARG001 -- see above
    """No list value recommends or decides entry; a travel notice with free text is reminded that this is the destination's decision."""
    first = next(free_texts(msg), None)
    if first is not None:
        yield broken("R-GEN-11", first, "entry is the destination's own decision", expected="facts, no advice to allow or refuse entry")


@rule("R-GEN-16", effect="E", source="own")
def environments_agree(msg: Message, ctx: RuleContext) -> Iterator[Problem]:
    """The environment of a message is its sender's and this gateway's; no leg to a partner of another, and each format shows the mark."""
    said = msg.event["handling"].get("environment", ctx.environment)  # a message that says nothing is the schema's to refuse
    if not said == ctx.sender.environment == ctx.environment:
        yield Problem(
            code=Code.ENVIRONMENT_WRONG, detail="the message, your profile and this gateway are not of one environment",
            expected=ctx.environment.value, pointer="/handling/environment", rule=RuleId("R-GEN-16"),
        )  # fmt: skip


@rule("R-GEN-18", effect="W", source="S004; own")
def hurtful_narratives_are_announced(msg: Message, ctx: RuleContext) -> Iterator[Problem]:  # noqa: ARG001 -- see above
    """A narrative of kind OFFENCE or MODUS_OPERANDI names its content_warning, so that screens can fold it."""
    for index, narrative in enumerate(msg.body.get("narratives", ())):
        if narrative.get("kind") in HURTFUL and not narrative.get("content_warning"):
            pointer = f"/body/narratives/{index}/content_warning"
            yield broken("R-GEN-18", pointer, "no content warning", expected="what hurts to read in it: SEXUAL_VIOLENCE, CHILD_ABUSE, …")


@rule("R-GEN-20", effect="E", source="own")
def the_subject_is_whole(msg: Message, ctx: RuleContext) -> Iterator[Problem]:
    """Only an anonymous referral, and its acknowledgement, has no `subject.ref`; `is_minor` agrees with the birth date, if that says."""
    subject = msg.event["subject"]
    anonymous = msg.family.name == "support-referral" and msg.body.get("identity_mode") == "ANONYMOUS"
    repeated = msg.family.name == ACKNOWLEDGEMENT  # whatever the subject of what it answers
    if "ref" not in subject and not anonymous and not repeated:
        yield broken("R-GEN-20", "/subject/ref", "no reference to the subject", expected="your opaque reference", severity=Severity.ERROR)
    picked = ctx.tables.row("R-GEN-20", ctx.jurisdiction, msg.iat.date())
    birth = _text(_person(msg.body).get("birth", NOTHING).get("date"))
    if picked is None or birth is None:
        return
    is_minor = _minor(birth, msg.iat.date(), years=picked.row.quantity)
    if is_minor is not None and subject.get("is_minor") == ("NO" if is_minor else "YES"):
        expected = f"{'YES' if is_minor else 'NO'}: a minor is below {shown(picked.row)}"
        yield broken("R-GEN-20", "/subject/is_minor", "does not agree with birth.date", expected=expected, severity=as_firm_as(picked.row))


def _person(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the person a message is about: of several the first."""
    first = next(iter(body.get("persons", ())), body)
    person: Mapping[str, Any] = first.get("person", NOTHING)
    return person


def free_texts(msg: Message) -> Iterator[str]:
    """Yield pointers to every filled free text of a message."""
    for way in (*OF_EVERY_FAMILY, *FREE_TEXTS.get(msg.family.name, ())):
        yield from _filled(msg.event, way.split("/")[1:], "")


def _filled(node: object, way: Sequence[str], pointer: str) -> Iterator[str]:
    """Follow a way with `*` for every item of a list; what is not there, or has another shape, is passed over."""
    if not way:
        if node:
            yield pointer
        return
    step, *rest = way
    if step == "*" and isinstance(node, list):
        for index, item in enumerate(node):
            yield from _filled(item, rest, f"{pointer}/{index}")
    elif isinstance(node, Mapping) and step in node:
        yield from _filled(node[step], rest, f"{pointer}/{step}")


def _minor(birth: str, on: date, *, years: int) -> bool | None:
    """Say whether somebody born on a day of any precision (YYYY, YYYY-MM, YYYY-MM-DD) is a minor; None where it does not settle it."""
    least, greatest = ages(birth, on)
    if greatest < years:
        return True
    return False if least >= years else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
