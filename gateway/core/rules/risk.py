"""Rules of risk updates (domain.md c.3, R-RSK). A level is carried and never scored here; what a tool is for is checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from gateway.core.message import Message
from gateway.core.problems import Problem, RuleId, Severity
from gateway.core.rules.base import FamilyRules, Rule, RuleContext, as_firm_as, broken, register, shown
from gateway.core.rules.dates import after, ages, before
from gateway.core.rules.tables import RuleRow
from gateway.core.travel import FAMILY as TRAVEL

FAMILY: Final = "risk-update"
MALE: Final = 1  # ISO 5218
TIMED: Final = frozenset({"SENTENCE", "RELEASE"})
HIGH: Final = frozenset({"HIGH", "VERY_HIGH"})
CHANGES: Final = frozenset({"NEW_OFFENCE", "NEW_RELATIONSHIP", "NEW_ACCOMMODATION", "CHILD_CONTACT"})
SIX_PARTS: Final = ("situation", "agencies", "existing_controls", "added_measures", "conditions", "contact_level")
NEVER_CONVICTED: Final = frozenset({"SUSPECTED", "CONCERN", "SELF_REFERRED"})
NOTHING: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """A risk update as its rules see it: read once for all of them."""

    ctx: RuleContext
    body: Mapping[str, Any]
    status: str  # of the subject
    issued: date

    @classmethod
    def of(cls, msg: Message, ctx: RuleContext) -> Update:
        """Read a risk update."""
        return cls(ctx=ctx, body=msg.body, status=str(msg.event["subject"].get("status", "")), issued=msg.iat.date())

    def part(self, name: str) -> Mapping[str, Any]:
        """Return a part of the body, empty where it is not there."""
        part: Mapping[str, Any] = self.body.get(name, NOTHING)
        return part

    @property
    def male(self) -> bool:
        """Whether the person's sex is said to be male."""
        return bool(self.part("person").get("sex") == MALE)

    @property
    def levels(self) -> Iterator[tuple[str, str]]:
        """Every level that a tool found, with its pointer."""
        for tool, name in (("rm2000", "band"), ("arms", "priority"), ("oasys", "rosh"), ("oasys", "reoffending")):
            if name in self.part(tool):
                yield f"/body/{tool}/{name}", self.part(tool)[name]

    def row(self, rule_id: str, item: str = "", *, on: date | None = None) -> RuleRow | None:
        """Return the row of a rule that holds for the sender on a day, else on that of the assessment."""
        picked = self.ctx.tables.row(rule_id, self.ctx.jurisdiction, on or _day(self.body, "assessed_on") or self.issued, item=item)
        return None if picked is None else picked.row

    def younger_than(self, row: RuleRow | None, on: date | None) -> bool:
        """Say whether the person was certainly below a row's age on a day."""
        birth = self.part("person").get("birth", NOTHING).get("date")
        return row is not None and on is not None and isinstance(birth, str) and ages(birth, on)[1] < row.quantity


RISK: Final = FamilyRules(
    FAMILY, Update.of,
    texts=(
        "rmp/situation", "rmp/existing_controls/*", "rmp/added_measures/*", "rmp/conditions/*", "oasys/further_assessments/*",
        "strictly_necessary", "narratives/*/text",
    ),
)  # fmt: skip


@RISK.rule("R-RSK-01", effect="E", source="S004; V:RM2K")
def rm2000_is_for_men(seen: Update) -> Iterator[Problem]:
    """RM2000 is used only if the subject is male."""
    if "rm2000" in seen.body and not seen.male:
        yield _wrong("R-RSK-01", "/body/rm2000", "RM2000 of somebody who is not said to be male", "person.sex 1, or another tool")


@RISK.rule("R-RSK-02", effect="E", source="S004; V:RM2K")
def rm2000_is_for_adults(seen: Update) -> Iterator[Problem]:
    """RM2000 is used only if the subject was 18 or over when assessed."""
    row, scored_on = seen.row("R-RSK-02"), _day(seen.part("rm2000"), "scored_on")
    if row is not None and seen.younger_than(row, scored_on):
        expected = f"an age of at least {shown(row)} on that day"
        yield broken("R-RSK-02", "/body/rm2000/scored_on", "RM2000 of a minor", expected=expected, severity=as_firm_as(row))


@RISK.rule("R-RSK-03", effect="E", source="S004; V:RM2K; caution own")
def rm2000_is_for_the_convicted(seen: Update) -> Iterator[Problem]:
    """RM2000 is used only for one convicted of a sexual offence committed at 16 or over; a caution alone does not do."""
    rm2000, row = seen.part("rm2000"), seen.row("R-RSK-03")
    if "rm2000" not in seen.body:
        return
    if seen.status != "CONVICTED":
        yield _wrong("R-RSK-03", "/subject/status", "RM2000 of somebody not convicted", "CONVICTED, or another tool")
    if rm2000.get("disposal") == "CAUTION":
        yield _wrong("R-RSK-03", "/body/rm2000/disposal", "a caution is no conviction", "the disposal of a conviction")
    if row is not None and rm2000.get("age_at_offence", row.quantity) < row.quantity:
        expected = f"at least {shown(row)}"
        yield broken(
            "R-RSK-03", "/body/rm2000/age_at_offence", "younger than RM2000 reckons with", expected=expected, severity=as_firm_as(row)
        )


@RISK.rule("R-RSK-04", effect="E, W", source="S004, S001")
def arms_is_for_convicted_men(seen: Update) -> Iterator[Problem]:
    """ARMS is used only for males of 18 or over convicted of a sexual offence; one dated before 2014 is warned of."""
    assessed_on, row = _day(seen.part("arms"), "assessed_on"), seen.row("R-RSK-04", "age")
    if "arms" not in seen.body:
        return
    if not seen.male:
        yield _wrong("R-RSK-04", "/body/arms", "ARMS of somebody who is not said to be male", "person.sex 1, or another tool")
    if seen.status != "CONVICTED":
        yield _wrong("R-RSK-04", "/subject/status", "ARMS of somebody not convicted", "CONVICTED, or another tool")
    if row is not None and seen.younger_than(row, assessed_on):
        expected = f"an age of at least {shown(row)} on that day"
        yield broken("R-RSK-04", "/body/arms/assessed_on", "ARMS of a minor", expected=expected, severity=as_firm_as(row))
    if assessed_on is not None and (unknown := seen.row("R-RSK-04", "not-yet", on=assessed_on)) is not None:
        yield broken("R-RSK-04", "/body/arms/assessed_on", "policing did not use ARMS then", expected=f"a later day ({unknown.source})")


@RISK.rule("R-RSK-05", effect="E", source="S001")
def reactive_management_rests_on_years_of_low_risk(seen: Update) -> Iterator[Problem]:
    """REACTIVE management only if the level is low, without a break for 3 years."""
    row, reactive = seen.row("R-RSK-05"), _reactive(seen)
    if row is None or reactive is None:
        return
    since, low_since = _day(reactive, "since"), _day(reactive, "low_since")
    if since is not None and low_since is not None and after(low_since, row) > since:
        expected = f"at least {shown(row)} before `since`"
        yield broken("R-RSK-05", "/body/reactive/low_since", "low for too short a time", expected=expected, severity=as_firm_as(row))
    for pointer, level in seen.levels:
        if level != "LOW":
            yield broken("R-RSK-05", pointer, "reactive, and the level is not low", expected="LOW, or ACTIVE", severity=as_firm_as(row))


@RISK.rule("R-RSK-06", effect="E", source="S001")
def reactive_management_ends_with_reoffending(seen: Update) -> Iterator[Problem]:
    """REACTIVE management only if there was no reoffending in those 3 years."""
    row, reactive = seen.row("R-RSK-05"), _reactive(seen)
    if row is None or reactive is None:
        return
    since, last = _day(reactive, "since"), _day(reactive, "last_reoffence")
    if since is not None and last is not None and last > before(since, row):
        expected = f"at least {shown(row)} before `since`"
        yield broken("R-RSK-06", "/body/reactive/last_reoffence", "reoffended in that time", expected=expected, severity=as_firm_as(row))


@RISK.rule("R-RSK-07", effect="E", source="S001")
def reactive_management_has_no_visits(seen: Update) -> Iterator[Problem]:
    """REACTIVE management has no home visits, so no visit_plan, and a notification due within a year at a named station."""
    row, reactive = seen.row("R-RSK-07"), _reactive(seen)
    if reactive is None:
        return
    if "visit_plan" in seen.body:
        yield _wrong("R-RSK-07", "/body/visit_plan", "reactive management has no visits", "left out, or ACTIVE")
    due = _day(reactive, "notification_due")
    if row is not None and due is not None and due > after(seen.issued, row):
        expected = f"within {shown(row)}"
        pointer = "/body/reactive/notification_due"
        yield broken("R-RSK-07", pointer, "notification is due too late", expected=expected, severity=as_firm_as(row))


register(Rule(
    id=RuleId("R-RSK-08"), kind="facts", effect="-", source="S001; length own", where="gateway.core.alerts.is_review_due",
    text="Intelligence, a breach or a change of circumstances on a REACTIVE subject alerts the managing authority to a review, by a day.",
    families=(FAMILY, "intelligence-report", "breach-notification"),
))  # fmt: skip


@RISK.rule("R-RSK-09", effect="W", source="S004, S001")
def a_plan_is_whole(seen: Update) -> Iterator[Problem]:
    """A risk management plan has all six parts and an action, and each action its owner and date."""
    if "rmp" not in seen.body:
        return
    for name in (*SIX_PARTS, "actions"):
        if not seen.part("rmp").get(name):
            yield broken("R-RSK-09", f"/body/rmp/{name}", "the plan lacks a part", expected="six parts and an action")
    for index, action in enumerate(seen.part("rmp").get("actions", ())):
        for name in ("owner", "due"):
            if name not in action:
                yield broken("R-RSK-09", f"/body/rmp/actions/{index}/{name}", "nobody, or no day, to hold to", expected="owner and due")


@RISK.rule("R-RSK-10", effect="W", source="S004; V:APPN (release)")
def oasys_is_locked_in_time(seen: Update) -> Iterator[Problem]:
    """OASys is locked within 15 days of sentence or release, and is for those of 18 or over."""
    row, age = seen.row("R-RSK-10", "locked"), seen.row("R-RSK-10", "age")
    triggered_on = _day(seen.part("oasys"), "triggered_on")
    if row is not None and _late(seen, row):
        yield broken("R-RSK-10", "/body/oasys/locked_at", "locked late, or not yet", expected=f"within {shown(row)}")
    if age is not None and seen.younger_than(age, triggered_on):
        yield broken("R-RSK-10", "/body/oasys/triggered_on", "OASys of a minor", expected=f"an age of at least {shown(age)}")


@RISK.rule("R-RSK-11", effect="W", source="S004")
def oasys_of_high_risk_is_locked_sooner(seen: Update) -> Iterator[Problem]:
    """Of high risk, 5 days are good practice."""
    row = seen.row("R-RSK-11")
    if row is not None and seen.part("oasys").get("rosh") in HIGH and _late(seen, row):
        yield broken("R-RSK-11", "/body/oasys/locked_at", "later than is good practice", expected=f"within {shown(row)}")


@RISK.rule("R-RSK-12", effect="W", source="S004")
def a_change_is_assessed(seen: Update) -> Iterator[Problem]:
    """A new offence, relationship, accommodation or contact with children leads to a new OASys, or a review with its outcome."""
    review = seen.part("review")
    assessed = seen.part("oasys").get("trigger") == "SIGNIFICANT_EVENT"
    if review.get("trigger") in CHANGES and "outcome" not in review and not assessed:
        expected = "the outcome of the review, or an OASys of trigger SIGNIFICANT_EVENT"
        yield broken("R-RSK-12", "/body/review/outcome", "a change nobody assessed yet", expected=expected)


@RISK.rule("R-RSK-13", effect="W", source="S001")
def a_cadence_by_band_is_that_of_the_band(seen: Update) -> Iterator[Problem]:
    """Visits every 1, 3, 6, 12 months from very high to low only with basis LEGACY_BAND; else the officer sets the interval."""
    plan, band = seen.part("visit_plan"), seen.part("rm2000").get("band")
    row = None if band is None else seen.row("R-RSK-13", band)
    if row is not None and plan.get("basis") == "LEGACY_BAND" and plan.get("interval_months", row.quantity) != row.quantity:
        expected = f"{shown(row)}, or basis OFFICER_PLAN"
        yield broken("R-RSK-13", "/body/visit_plan/interval_months", "not the interval of the band", expected=expected)


@RISK.rule("R-RSK-14", effect="W", source="V:DEL")
def a_mappa_category_fits(seen: Update) -> Iterator[Problem]:
    """MAPPA 1 is a registered sex offender; 2 violent, 12 months or more; 3 other dangerous, at level 2 or 3."""
    mappa = seen.part("mappa")
    if mappa.get("category") == "3" and mappa.get("level") == "1":
        yield broken("R-RSK-14", "/body/mappa/level", "category 3 at level 1", expected="level 2 or 3, or another category")
    if mappa.get("category") in {"1", "2"} and seen.status in NEVER_CONVICTED:
        yield broken("R-RSK-14", "/body/mappa/category", "a category of those convicted", expected="3, or another subject.status")


@RISK.rule("R-RSK-15", effect="W", source="V:MOJ2; meaning G")
def mappa_4_is_not_our_purpose(seen: Update) -> Iterator[Problem]:
    """MAPPA 4 (terrorism, state threat) is outside our purpose: accepted, never originated."""
    if seen.part("mappa").get("category") == "4":
        yield broken("R-RSK-15", "/body/mappa/category", "outside the purpose of this gateway", expected="category 1, 2 or 3")


register(Rule(
    id=RuleId("R-RSK-16"), kind="schema", effect="E", source="G (LED Art 7)", where="gateway.core.schema.Schemas",
    text="A risk level travels only as an assessment with tool, date and assessor kind, never as a bare fact.", families=(FAMILY, TRAVEL),
))  # fmt: skip
register(Rule(
    id=RuleId("R-RSK-17"), kind="decision", effect="-", source="S000; own", where="gateway.core.recipients.lane_of",
    text="A message with a level VERY_HIGH goes at least in the PRIORITY lane.", families=(FAMILY, TRAVEL),
))  # fmt: skip


def _reactive(seen: Update) -> Mapping[str, Any] | None:
    return seen.part("reactive") if seen.body.get("management_mode") == "REACTIVE" else None


def _late(seen: Update, row: RuleRow) -> bool:
    """Say whether an OASys of a sentence or release was locked later than a row asks, or is not locked by now."""
    oasys = seen.part("oasys")
    triggered_on = _day(oasys, "triggered_on")
    if oasys.get("trigger") not in TIMED or triggered_on is None:
        return False
    return (_day(oasys, "locked_at") or seen.issued) > after(triggered_on, row)


def _wrong(rule_id: str, pointer: str, detail: str, expected: str) -> Problem:
    return broken(rule_id, pointer, detail, expected=expected, severity=Severity.ERROR)


def _day(holder: Mapping[str, Any], name: str) -> date | None:
    text = holder.get(name)
    return date.fromisoformat(text) if isinstance(text, str) else None
