"""What a rule is: one function, one id, one source (domain.md part c). It yields problems; it never raises, logs or stops others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from gateway.contract.errors import InvariantError
from gateway.contract.values import Environment
from gateway.core.message import Message
from gateway.core.problems import Code, Problem, RuleId, Severity
from gateway.core.profiles import Profile
from gateway.core.reference import Reference
from gateway.core.rules.tables import RuleRow, RuleTables, ladder

Kind = Literal["message", "facts", "decision", "schema", "system"]


@dataclass(frozen=True, slots=True)
class Rule:
    """An entry of docs/rules.md. `where` is the dotted name of what holds the rule; "" for one that waits for a later feature."""

    id: RuleId
    kind: Kind
    effect: str  # domain.md: E, W, N, R, H, or - for a duty or a way of reckoning
    source: str
    text: str
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleContext:
    """What a rule may know beside the message."""

    reference: Reference
    tables: RuleTables
    sender: Profile
    environment: Environment  # the gateway's
    now: datetime  # of receipt

    @property
    def jurisdiction(self) -> str:
        """The law the sender acts under: its one region where that has rows of its own, else its country."""
        if len(self.sender.regions) == 1:
            (region,) = self.sender.regions
            if any(self.tables.speaks_for(step) for step in ladder(region) if "-" in step):
                return region
        return self.sender.country

    def within(self, jurisdiction: str) -> bool:
        """Say whether the sender acts under a jurisdiction or a part of it."""
        return jurisdiction in ladder(self.jurisdiction)


Check = Callable[[Message, RuleContext], Iterator[Problem]]
RULES: Final[dict[RuleId, Rule]] = {}  # filled by the decorators while `rules` is imported, never after
CHECKS: Final[list[Check]] = []


def register(entry: Rule) -> None:
    """Enter a rule in the catalogue. Raises `InvariantError` where its id is taken."""
    if entry.id in RULES:
        raise InvariantError(entry.id)
    RULES[entry.id] = entry


def rule(rule_id: str, *, effect: str, source: str) -> Callable[[Check], Check]:
    """Register a check of kind *message*. Its docstring is its text in docs/rules.md."""

    def add(check: Check) -> Check:
        register(described(rule_id, check, effect=effect, source=source))
        CHECKS.append(check)
        return check

    return add


def described(rule_id: str, check: Callable[..., object], *, effect: str, source: str) -> Rule:
    """Make the catalogue's entry of a check of kind *message*."""
    where = f"{check.__module__}.{getattr(check, '__name__', '')}"
    return Rule(RuleId(rule_id), "message", effect, source, (check.__doc__ or "").partition("\n")[0], where)


def broken(rule_id: str, pointer: str, detail: str, *, expected: str = "", severity: Severity = Severity.WARNING) -> Problem:
    """Make a problem of a rule."""
    return Problem(code=Code.RULE_BROKEN, detail=detail, expected=expected, pointer=pointer, rule=RuleId(rule_id), severity=severity)


def as_firm_as(row: RuleRow) -> Severity:
    """Return how hard an error may be that rests on a number: as a warning until its row is verified."""
    return Severity.ERROR if row.verified else Severity.WARNING


def shown(row: RuleRow) -> str:
    """Name a row for people: number, unit, source, and whether anybody checked it."""
    return f"{row.quantity} {row.unit.value} ({row.source}{'' if row.verified else '; not verified'})"
