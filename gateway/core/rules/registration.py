"""Rules of registration records (domain.md c.4, R-REG), by the law of the register. Dates are carried, never computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from gateway.core.message import Message
from gateway.core.problems import Problem, RuleId, Severity
from gateway.core.rules.base import FamilyRules, Rule, RuleContext, as_firm_as, broken, register, rule, shown
from gateway.core.rules.dates import after, before
from gateway.core.rules.tables import RuleRow, Unit
from gateway.core.travel import FAMILY as TRAVEL

FAMILY: Final = "registration-record"
BROUGHT_BY_NOBODY: Final = frozenset({"SUSPECTED", "CONCERN", "SELF_REFERRED"})  # before no court, under no order
NEXT_DUE: Final = "/body/notification/next_due"
CYCLE: Final = "/body/notification/cycle"
MONTHS: Final = {"QUARTERLY": 3, "HALF_YEARLY": 6, "ANNUAL": 12}
ONE_DAY: Final = timedelta(days=1)
NOTHING: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A registration record as its rules see it: read once for all of them."""

    ctx: RuleContext
    body: Mapping[str, Any]
    notification: Mapping[str, Any]
    jurisdiction: str  # of the register
    issued: date

    @classmethod
    def of(cls, msg: Message, ctx: RuleContext) -> Record:
        """Read a registration record."""
        body = msg.body
        return cls(
            ctx=ctx, body=body, notification=body.get("notification", NOTHING),
            jurisdiction=str(body.get("register", NOTHING).get("jurisdiction", "")), issued=msg.iat.date(),
        )  # fmt: skip

    @property
    def minor(self) -> bool:
        """Whether the person was under 18 when convicted, found or cautioned."""
        return self.body.get("is_minor_at_conviction") is True

    @property
    def indefinite(self) -> bool:
        """Whether the period has no end."""
        return self.body.get("indefinite") is True

    def day(self, name: str) -> date | None:
        """Return a day of the body, None where it is not there."""
        return _day(self.body, name)

    def row(self, rule_id: str, item: str = "", *, on: date | None = None) -> RuleRow | None:
        """Return the row of a rule that holds for the register on a day, else on that of the record."""
        picked = self.ctx.tables.row(rule_id, self.jurisdiction, on or self.day("record_as_of") or self.issued, item=item)
        return None if picked is None else picked.row

    def of_tier(self, what: str) -> RuleRow | None:
        """Return the row of a tier's period or cycle."""
        return self.row("R-REG-09", f"tier {self.body['tier']} {what}") if "tier" in self.body else None


RECORD: Final = FamilyRules(FAMILY, Record.of)


@RECORD.rule("R-REG-01", effect="W", source="V:UK83")
def the_first_notification_is_in_time(seen: Record) -> Iterator[Problem]:
    """UK: the first notification is within 3 days of the relevant date."""
    row, relevant, registered = seen.row("R-REG-01", on=seen.day("relevant_date")), seen.day("relevant_date"), seen.day("registered_on")
    if row is not None and relevant is not None and registered is not None and registered > after(relevant, row):
        yield broken("R-REG-01", "/body/registered_on", "first notified late", expected=f"within {shown(row)} of relevant_date")


@RECORD.rule("R-REG-02", effect="W", source="V:QA23")
def the_next_notification_is_within_a_year(seen: Record) -> Iterator[Problem]:
    """UK: a person notifies every year. A change notified sets the date anew; information under section 83 alone does not."""
    row, cycle = seen.row("R-REG-02"), seen.notification.get("cycle")
    if row is None or cycle == "WEEKLY":
        return
    if cycle is not None and cycle != "ANNUAL":
        yield broken("R-REG-02", CYCLE, "not the cycle of this law", expected="ANNUAL, or WEEKLY without a main residence")
    yield from _due_late("R-REG-02", seen, row)


@RECORD.rule("R-REG-03", effect="W", source="V:NR12")
def without_a_main_residence_a_person_notifies_weekly(seen: Record) -> Iterator[Problem]:
    """UK: who has no main residence notifies every week."""
    row = seen.row("R-REG-03")
    if row is None or seen.body.get("residences") != []:  # left out is not said; empty is none
        return
    if seen.notification.get("cycle") != "WEEKLY":
        yield broken("R-REG-03", CYCLE, "no main residence, and not every week", expected=f"WEEKLY ({row.source})")
    else:
        yield from _due_late("R-REG-03", seen, row)


@RECORD.rule("R-REG-04", effect="E", source="V:UK82, V:DEL, S004")
def a_period_is_that_of_its_disposal(seen: Record) -> Iterator[Problem]:
    """UK: the period is that of the disposal, a caution's 2 years; what is finite is halved for those under 18 then."""
    row, relevant = _period(seen), seen.day("relevant_date")
    if row is None or relevant is None:
        return
    if (row.unit is Unit.CITATION) != seen.indefinite:
        expected = f"true ({row.source})" if row.unit is Unit.CITATION else f"false: {shown(row)} from relevant_date"
        yield broken("R-REG-04", "/body/indefinite", "not the period of the disposal", expected=expected, severity=as_firm_as(row))
        return
    expires = seen.day("expires_on")
    if row.unit is not Unit.CITATION and expires is not None and expires not in {after(relevant, row), after(relevant, row) - ONE_DAY}:
        expected = f"{shown(row)} from relevant_date"
        yield broken("R-REG-04", "/body/expires_on", "not the period of the disposal", expected=expected, severity=as_firm_as(row))


@RECORD.rule("R-REG-05", effect="N", source="V:DEL; under 18 G")
def an_indefinite_period_is_reviewed_after_years(seen: Record) -> Iterator[Problem]:
    """UK: an indefinite period may be reviewed after 15 years, after 8 for those under 18 then."""
    row = seen.row("R-REG-05", "under 18" if seen.minor else "")
    registered, eligible = seen.day("registered_on"), seen.day("review_eligible_on")
    if row is None or not seen.indefinite or registered is None or eligible is None:
        return
    if eligible < after(registered, row) - ONE_DAY:
        expected = f"{shown(row)} from registered_on"
        yield broken("R-REG-05", "/body/review_eligible_on", "sooner than known here", expected=expected, severity=Severity.NOTE)


@RECORD.rule("R-REG-06", effect="W", source="V:NR12, V:HMI")
def what_is_notified_is_in_the_record(seen: Record) -> Iterator[Problem]:
    """UK: living with a child, passports and identity documents, and that bank accounts and cards are held are notified too."""
    row = seen.row("R-REG-06")
    if row is None:
        return
    for name in ("lives_with_child", "bank_and_cards_held"):
        if name not in seen.body:
            yield broken("R-REG-06", f"/body/{name}", "notified by law, and not in the record", expected=f"true or false ({row.source})")
    if not seen.body.get("person", NOTHING).get("identity_documents"):
        pointer = "/body/person/identity_documents"
        yield broken("R-REG-06", pointer, "notified by law, and not in the record", expected=f"documents, where any is held ({row.source})")


register(Rule(
    id=RuleId("R-REG-07"), kind="schema", effect="E", source="V:APPN", where="gateway.core.schema.Schemas",
    text="Financial details never sit in a message: a record says whether accounts and cards were notified, never what they are.",
    families=(FAMILY,),
))  # fmt: skip


@RECORD.rule("R-REG-08", effect="W", source="V:US34 §20913(c)")
def a_change_is_notified_in_days_and_in_person(seen: Record) -> Iterator[Problem]:
    """US: a change of name, residence, job or school is notified within 3 business days, in person."""
    row = seen.row("R-REG-08")
    if row is None:
        return
    for index, change in enumerate(seen.notification.get("changes", ())):
        changed_on, notified_on = _day(change, "changed_on"), _day(change, "notified_on")
        if changed_on is not None and (notified_on or seen.issued) > after(changed_on, row):
            pointer = f"/body/notification/changes/{index}/notified_on"
            yield broken("R-REG-08", pointer, "a change notified late, or not yet", expected=f"within {shown(row)} of changed_on")
        if change.get("in_person") is False:
            yield broken("R-REG-08", f"/body/notification/changes/{index}/in_person", "not in person", expected=f"true ({row.source})")


@RECORD.rule("R-REG-09", effect="W", source="V:US34 §§20915, 20918")
def a_period_and_cycle_are_those_of_the_tier(seen: Record) -> Iterator[Problem]:
    """US: tier I is registered for 15 years, II for 25, III for life; they come in person every 12, 6, 3 months."""
    row, cycle = seen.of_tier("period"), seen.of_tier("cycle")
    if row is not None and _too_short(seen, row) and _reduced(seen) is None:
        pointer = "/body/indefinite" if row.unit is Unit.CITATION else "/body/expires_on"
        expected = "true: for life" if row.unit is Unit.CITATION else f"{shown(row)} from registered_on"
        yield broken("R-REG-09", pointer, "shorter than the tier's period", expected=expected)
    if cycle is None:
        return
    if MONTHS.get(str(seen.notification.get("cycle")), 0) > cycle.quantity:
        yield broken("R-REG-09", CYCLE, "rarer than the tier's cycle", expected=f"every {shown(cycle)}")
    yield from _due_late("R-REG-09", seen, cycle)


@RECORD.rule("R-REG-10", effect="N", source="V:US34 §20915(b)")
def a_reduced_period_needs_a_clean_record(seen: Record) -> Iterator[Problem]:
    """US: tier I is 5 years less after 10 years clean; tier III of one adjudicated delinquent ends after 25."""
    row, clean = seen.of_tier("period"), _reduced(seen)
    if row is not None and clean is not None and _too_short(seen, row):
        expected = f"a clean record of {shown(clean)}"
        yield broken("R-REG-10", "/body/expires_on", "a reduced period", expected=expected, severity=Severity.NOTE)


@rule("R-REG-11", effect="E", source="S002, S003; own", families=(FAMILY, TRAVEL))
def who_was_never_before_a_court_is_on_no_register(msg: Message, ctx: RuleContext) -> Iterator[Problem]:  # noqa: ARG001 -- one signature for all rules
    """No registration record and no travel notice is about somebody SUSPECTED, of CONCERN or SELF_REFERRED: other families carry those."""
    if msg.event["subject"].get("status") in BROUGHT_BY_NOBODY:
        expected = "CONVICTED, CAUTIONED or UNDER_ORDER; else an intelligence-report or a support-referral"
        yield broken("R-REG-11", "/subject/status", "nobody a register holds", expected=expected, severity=Severity.ERROR)


@RECORD.rule("R-REG-12", effect="W", source="S000; own")
def a_record_is_of_late_and_reviewed(seen: Record) -> Iterator[Problem]:
    """A record that is too old by its row, or whose review is past, is warned of."""
    row, as_of, review = seen.row("R-REG-12", on=seen.issued), seen.day("record_as_of"), seen.day("next_review")
    if row is not None and as_of is not None and as_of < before(seen.issued, row):
        yield broken("R-REG-12", "/body/record_as_of", "an old record", expected=f"no older than {shown(row)}")
    if review is not None and review < seen.issued:
        yield broken("R-REG-12", "/body/next_review", "the review is past", expected="a day to come: review the record, and send it again")


register(Rule(
    id=RuleId("R-REG-13"), kind="decision", effect="R", source="S000", where="gateway.core.recipients.leg_refusal",
    text="A record goes only to a recipient whose kind is in disclosure.permitted_agencies (AGENCY_NOT_PERMITTED).", families=(FAMILY,),
))  # fmt: skip


def _period(seen: Record) -> RuleRow | None:
    """Return the row of the disposal's period; that of a conditional discharge is its own length, so it has none."""
    disposal, relevant = str(seen.body.get("disposal", "")), seen.day("relevant_date")
    halved = seen.row("R-REG-04", f"{disposal} under 18", on=relevant) if seen.minor else None
    return halved or seen.row("R-REG-04", disposal, on=relevant)


def _due_late(rule_id: str, seen: Record, row: RuleRow) -> Iterator[Problem]:
    last, due = _day(seen.notification, "last"), _day(seen.notification, "next_due")
    if last is not None and due is not None and due > after(last, row):
        yield broken(rule_id, NEXT_DUE, "later than the duty", expected=f"within {shown(row)} of the last")


def _too_short(seen: Record, row: RuleRow) -> bool:
    """Say whether the period certainly ends before a row's is full; no row's number is life."""
    registered, expires = seen.day("registered_on"), seen.day("expires_on")
    if seen.indefinite or registered is None or expires is None:
        return False
    return row.unit is Unit.CITATION or expires < after(registered, row) - ONE_DAY


def _reduced(seen: Record) -> RuleRow | None:
    """Return the row of the clean record that lets a tier's period be as short as it is; None where nothing does."""
    registered, expires, tier = seen.day("registered_on"), seen.day("expires_on"), seen.body.get("tier")
    clean, period = seen.row("R-REG-10", f"tier {tier} clean"), seen.of_tier("period")
    if registered is None or expires is None or clean is None or period is None:
        return None
    if period.unit is Unit.CITATION:
        ends = after(registered, clean) if seen.minor else date.max
    else:
        less = seen.row("R-REG-10", f"tier {tier} less")
        ends = date.max if less is None else before(after(registered, period), less)
    return clean if expires >= ends - ONE_DAY else None


def _day(holder: Mapping[str, Any], name: str) -> date | None:
    text = holder.get(name)
    return date.fromisoformat(text) if isinstance(text, str) else None
