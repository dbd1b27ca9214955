"""Rules of order summaries (domain.md c.4, R-ORD). An order is held to the law of its own place on the day it was made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from gateway.core.message import Message
from gateway.core.problems import Problem, RuleId, Severity
from gateway.core.rules.base import FamilyRules, Rule, RuleContext, as_firm_as, broken, register, shown
from gateway.core.rules.dates import after
from gateway.core.rules.tables import RuleRow

FAMILY: Final = "order-summary"
ORDER_END: Final = "/body/order/end"
CONDITIONS: Final = "/body/conditions"
TRAVEL_BANNING: Final = frozenset({"SHPO", "INTERIM_SHPO", "TRAVEL_PROHIBITION"})
UNDER_FIVE_YEARS: Final = frozenset({"SOPO", "INTERIM_SOPO", "SHPO", "INTERIM_SHPO", "TRAVEL_PROHIBITION", "NOTIFICATION_ORDER"})
ONE_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Period:
    """From when to when something binds. Without an end it is not fixed: it lasts until further order."""

    start: date | None
    end: date | None
    pointer: str  # to its end

    def longer_than(self, row: RuleRow) -> bool:
        """Say whether it certainly lasts longer than a row's period; what is not fixed does."""
        return self.end is None or (self.start is not None and self.end > after(self.start, row))

    def shorter_than(self, row: RuleRow) -> bool:
        """Say whether it certainly ends before a row's period is full; its last day counts."""
        return self.end is not None and self.start is not None and self.end + ONE_DAY < after(self.start, row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """An order summary as its rules see it: read once for all of them."""

    ctx: RuleContext
    body: Mapping[str, Any]
    order: Mapping[str, Any]
    conditions: tuple[tuple[str, Mapping[str, Any]], ...]  # each with its pointer
    made_on: date

    @classmethod
    def of(cls, msg: Message, ctx: RuleContext) -> Summary:
        """Read an order summary."""
        body = msg.body
        order = body.get("order", {})
        listed = tuple((f"{CONDITIONS}/{index}", condition) for index, condition in enumerate(body.get("conditions", ())))
        return cls(ctx=ctx, body=body, order=order, conditions=listed, made_on=_day(order, "made_on") or msg.iat.date())

    @property
    def kind(self) -> str:
        """The kind of order; an SHPO, SOPO or SRO marked interim is of the interim kind."""
        kind = str(self.order.get("kind", ""))
        return f"INTERIM_{kind}" if self.order.get("interim") is True and kind in {"SHPO", "SOPO", "SRO"} else kind

    @property
    def period(self) -> Period:
        """How long the order itself lasts."""
        return Period(_day(self.order, "start"), _day(self.order, "end"), ORDER_END)

    @property
    def prohibitions(self) -> Iterator[tuple[str, Mapping[str, Any], Period]]:
        """The conditions that forbid, each with its pointer and period."""
        for pointer, condition in self.conditions:
            if condition.get("nature") == "PROHIBITION":
                start, end = _day(condition, "start") or self.period.start, _day(condition, "end") or self.period.end
                yield pointer, condition, Period(start, end, f"{pointer}/end")

    @property
    def travel_bans(self) -> tuple[Period, ...]:
        """How long travel is forbidden: by the conditions that do, else as long as the order."""
        bans = tuple(period for _, condition, period in self.prohibitions if condition.get("category") == "TRAVEL")
        return bans or ((self.period,) if "travel_prohibition" in self.body else ())

    def row(self, rule_id: str, item: str = "") -> RuleRow | None:
        """Return the row of a rule that holds where and when the order was made."""
        picked = self.ctx.tables.row(rule_id, str(self.order.get("jurisdiction", "")), self.made_on, item=item)
        return None if picked is None else picked.row


ORDER: Final = FamilyRules(FAMILY, Summary.of, texts=("conditions/*/text",))


@ORDER.rule("R-ORD-01", effect="E", source="V:UK103D(1), (3)")
def a_travel_prohibition_is_fixed_and_ends_in_time(seen: Summary) -> Iterator[Problem]:
    """England and Wales: an SHPO's travel prohibition is for a fixed period of at most 5 years, and extended by at most 5 each time."""
    row = seen.row("R-ORD-01")
    if row is not None and seen.kind in TRAVEL_BANNING:
        yield from _too_long("R-ORD-01", seen.travel_bans, row, as_firm_as(row))


@ORDER.rule("R-ORD-02", effect="E", source="V:SCO16")
def scottish_prohibitions_have_their_periods(seen: Summary) -> Iterator[Problem]:
    """Scotland: each prohibition of an SHPO is for a fixed period of at least 5 years, one of travel at most 5."""
    least, most = seen.row("R-ORD-02", "minimum"), seen.row("R-ORD-02", "travel")
    if seen.kind != "SHPO" or least is None or most is None:
        return
    yield from _too_long("R-ORD-02", seen.travel_bans, most, as_firm_as(most))
    for _, condition, period in seen.prohibitions:
        if condition.get("category") != "TRAVEL" and (period.end is None or period.shorter_than(least)):
            detail = "a prohibition that is not fixed, or too short"
            yield broken("R-ORD-02", period.pointer, detail, expected=f"at least {shown(least)}", severity=as_firm_as(least))


@ORDER.rule("R-ORD-03", effect="E", source="V:UK103D(4), (5)")
def who_may_not_travel_at_all_surrenders_passports(seen: Summary) -> Iterator[Problem]:
    """A travel prohibition of scope ALL has passports surrendered at a named police station, and returned when it ends."""
    scope = seen.body.get("travel_prohibition", {}).get("scope")
    if scope == "ALL" and seen.body.get("passport_surrender", {}).get("required") is not True:
        expected = "true, with the day and the police station: they are returned when the prohibition ends"
        pointer = "/body/passport_surrender/required"
        yield broken("R-ORD-03", pointer, "all travel is forbidden, and passports are kept", expected=expected, severity=Severity.ERROR)


register(Rule(
    id=RuleId("R-ORD-04"), kind="schema", effect="E", source="V:UK103D(2)", where="gateway.core.schema.Schemas",
    text="A travel prohibition of scope NAMED_COUNTRIES or ALL_EXCEPT lists a country, one of scope ALL none.", families=(FAMILY,),
))  # fmt: skip
register(Rule(
    id=RuleId("R-ORD-05"), kind="facts", effect="W", source="S001",
    where="gateway.core.rules.earlier.prevention_orders_come_with_a_register_entry",
    text="An SHPO implies notification: a registration record exists or follows.", families=(FAMILY,),
))  # fmt: skip


@ORDER.rule("R-ORD-06", effect="N", source="V:UK122; V:QA23; S001")
def the_penalty_of_a_breach_has_an_end(seen: Summary) -> Iterator[Problem]:
    """UK: breach of a SOPO, an SHPO, its travel ban or notification: at most 5 years on indictment; SOPO and ban 6 months summary."""
    row, summary = seen.row("R-ORD-06", "indictment"), seen.row("R-ORD-06", "summary")
    told = seen.order.get("max_penalty_years")
    if row is None or summary is None or seen.kind not in UNDER_FIVE_YEARS or told is None or told <= row.quantity:
        return
    expected = f"at most {shown(row)} on indictment; of a SOPO or a travel ban {shown(summary)} on summary conviction"
    pointer = "/body/order/max_penalty_years"
    yield broken("R-ORD-06", pointer, "more than the law known here", expected=expected, severity=Severity.NOTE)


@ORDER.rule("R-ORD-07", effect="W", source="V:UK14 (date); rest G")
def no_sopo_is_made_any_more(seen: Summary) -> Iterator[Problem]:
    """England and Wales: no SOPO is made after 8 March 2015; older ones stand, and in Northern Ireland they go on."""
    row = seen.row("R-ORD-07")
    if row is not None and seen.kind in {"SOPO", "INTERIM_SOPO"}:
        expected = f"an SHPO, or an earlier day ({row.source})"
        yield broken("R-ORD-07", "/body/order/kind", "a SOPO made after SHPOs took its place", expected=expected)


@ORDER.rule("R-ORD-08", effect="W", source="S004")
def a_community_order_ends_in_time(seen: Summary) -> Iterator[Problem]:
    """A community order for a sexual offence: 24 months are usual, 36 the most."""
    usual, most = seen.row("R-ORD-08", "usual"), seen.row("R-ORD-08", "maximum")
    if usual is not None and most is not None and seen.kind == "COMMUNITY_ORDER" and seen.period.longer_than(most):
        yield broken("R-ORD-08", ORDER_END, "longer than such orders are", expected=f"at most {shown(most)}; usual are {usual.quantity}")


@ORDER.rule("R-ORD-09", effect="W", source="S004")
def an_extra_condition_of_a_licence_has_its_authorities(seen: Summary) -> Iterator[Problem]:
    """An extra condition of a licence names who asked for it and who approved it, and relates to the offence."""
    for pointer, condition in seen.conditions if seen.kind == "LICENCE" else ():
        for name in ("requested_by", "approved_by"):
            if condition.get("mandatory") is False and name not in condition:
                expected = "who asked and who approved; the condition relates to the offence"
                yield broken("R-ORD-09", f"{pointer}/{name}", "an extra condition nobody answers for", expected=expected)


@ORDER.rule("R-ORD-10", effect="N", source="V:UK117N")
def a_foreign_travel_order_was_short(seen: Summary) -> Iterator[Problem]:
    """A foreign travel order (before 2015) lasted, as enacted, at most 6 months."""
    row = seen.row("R-ORD-10")
    if row is not None and seen.kind == "FTO" and seen.period.longer_than(row):
        detail = "longer than such an order lasted as enacted"
        yield broken("R-ORD-10", ORDER_END, detail, expected=f"at most {shown(row)}", severity=Severity.NOTE)


@ORDER.rule("R-ORD-11", effect="E", source="G")
def an_shpo_lasts_long_enough(seen: Summary) -> Iterator[Problem]:
    """England and Wales: an SHPO lasts at least 5 years, or until further order."""
    row = seen.row("R-ORD-11")
    if row is not None and seen.kind == "SHPO" and seen.period.shorter_than(row):
        expected = f"at least {shown(row)}, or until further order"
        yield broken("R-ORD-11", ORDER_END, "shorter than an SHPO is", expected=expected, severity=as_firm_as(row))


@ORDER.rule("R-ORD-12", effect="E", source="G; breach an offence V:UK122H")
def a_sexual_risk_order_needs_no_conviction(seen: Summary) -> Iterator[Problem]:
    """An SRO stands beside no conviction, lasts 2 years or more or until further order, bans travel 5 at most; breach registers."""
    least, most = seen.row("R-ORD-12", "minimum"), seen.row("R-ORD-12", "travel")
    if seen.kind != "SRO" or least is None or most is None:
        return
    firm = as_firm_as(least)
    if "ancillary_to" in seen.order:
        yield broken("R-ORD-12", "/body/order/ancillary_to", "an SRO rests on no conviction", expected="left out", severity=firm)
    if seen.order.get("implies_registration") is True:
        pointer, expected = "/body/order/implies_registration", "false: its breach is what makes a registered offender"
        yield broken("R-ORD-12", pointer, "an SRO by itself registers nobody", expected=expected, severity=firm)
    if seen.period.shorter_than(least):
        expected = f"at least {shown(least)}, or until further order"
        yield broken("R-ORD-12", ORDER_END, "shorter than an SRO is", expected=expected, severity=firm)
    yield from _too_long("R-ORD-12", seen.travel_bans, most, as_firm_as(most))


register(Rule(
    id=RuleId("R-ORD-13"), kind="schema", effect="E", source="V:SCO16, V:UK122H", where="gateway.core.schema.Schemas",
    text="A condition says whether it is a PROHIBITION or a REQUIREMENT.", families=(FAMILY,),
))  # fmt: skip
register(Rule(
    id=RuleId("R-ORD-14"), kind="facts", effect="W", source="V:SCO16",
    where="gateway.core.rules.earlier.a_later_scottish_order_replaces_the_earlier",
    text="Scotland: a later SHPO ends the earlier one, which is REPLACED.", families=(FAMILY,),
))  # fmt: skip


@ORDER.rule("R-ORD-15", effect="N", source="existence V:UK83; detail G")
def a_notification_order_registers_on_police_application(seen: Summary) -> Iterator[Problem]:
    """A notification order makes a foreign conviction registrable, on application of the police."""
    if seen.kind != "NOTIFICATION_ORDER":
        return
    said = {
        "applied_by": ("POLICE", "POLICE: it is made on their application"),
        "implies_registration": (True, "true: that is what it is for"),
    }
    for name, (usual, expected) in said.items():
        if seen.order.get(name, usual) != usual:
            detail = "not what is known here of notification orders"
            yield broken("R-ORD-15", f"/body/order/{name}", detail, expected=expected, severity=Severity.NOTE)


@ORDER.rule("R-ORD-16", effect="W", source="S000; own")
def a_condition_has_a_category(seen: Summary) -> Iterator[Problem]:
    """A condition of category OTHER is asked for a category that others can act on."""
    for pointer, condition in seen.conditions:
        if condition.get("category") == "OTHER":
            detail, expected = "a category nobody can act on", "one of the other categories, if any fits"
            yield broken("R-ORD-16", f"{pointer}/category", detail, expected=expected)


register(Rule(
    id=RuleId("R-ORD-17"), kind="schema", effect="-", source="S004", where="gateway.core.schema.Schemas",
    text="An order may stand beside any sentence, or a caution.", families=(FAMILY,),
))  # fmt: skip


def _too_long(rule_id: str, periods: tuple[Period, ...], row: RuleRow, severity: Severity) -> Iterator[Problem]:
    for period in periods:
        if period.longer_than(row):
            detail = "forbids travel for no fixed period, or too long"
            yield broken(rule_id, period.pointer, detail, expected=f"at most {shown(row)}", severity=severity)


def _day(holder: Mapping[str, Any], name: str) -> date | None:
    text = holder.get(name)
    return date.fromisoformat(text) if isinstance(text, str) else None
