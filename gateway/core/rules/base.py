"""What a rule is: one function, one id, one source (domain.md part c). It yields problems; it never raises, logs or stops others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Generic, Literal, TypeVar

from gateway.contract.errors import InvariantError
from gateway.contract.values import Environment
from gateway.core.message import Message
from gateway.core.problems import Code, Problem, RuleId, Severity
from gateway.core.profiles import Profile
from gateway.core.reference import Reference
from gateway.core.rules.tables import RuleRow, RuleTables, ladder

Kind = Literal["message", "facts", "decision", "schema", "system"]
Seen = TypeVar("Seen")
ALL: Final = ""  # among `CHECKS`: the checks of every family


@dataclass(frozen=True, slots=True)
class Rule:
    """An entry of docs/rules.md. `where` is the dotted name of what holds the rule; "" for one that waits for a later feature."""

    id: RuleId
    kind: Kind
    effect: str  # domain.md: E, W, N, R, H, or - for a duty or a way of reckoning
    source: str
    text: str
    where: str
    families: tuple[str, ...] = ()  # those it applies to; () for all
    waits: str = ""  # what part of it a later feature brings

    def applies_to(self, family: str) -> bool:
        """Say whether the rule is one for messages of a family."""
        return not self.families or family in self.families


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
CHECKS: Final[defaultdict[str, list[Check]]] = defaultdict(list)  # by family
FREE_TEXTS: Final[dict[str, tuple[str, ...]]] = {}  # by family: where its free texts are, `*` for every item of a list


def register(entry: Rule) -> None:
    """Enter a rule in the catalogue. Raises `InvariantError` where its id is taken."""
    if entry.id in RULES:
        raise InvariantError(entry.id)
    RULES[entry.id] = entry


def checks_of(family: str) -> Iterator[Check]:
    """Yield what a message of a family is checked with: the checks of every family, then its own."""
    yield from CHECKS[ALL]
    yield from CHECKS.get(family, ())


def rule(rule_id: str, *, effect: str, source: str, families: tuple[str, ...] = ()) -> Callable[[Check], Check]:
    """Register a check of kind *message*, for some families or all. Its docstring is its text in docs/rules.md."""

    def add(check: Check) -> Check:
        register(_described(rule_id, check, effect=effect, source=source, families=families))
        for family in families or (ALL,):
            CHECKS[family].append(check)
        return check

    return add


class FamilyRules(Generic[Seen]):
    """The rules of one family: a message is read once for all of them."""

    def __init__(self, family: str, read: Callable[[Message, RuleContext], Seen], *, texts: tuple[str, ...] = ()) -> None:
        """Take the family, how its messages are read, and where in the body its free texts are."""
        self._family, self._read = family, read
        self._checks: list[Callable[[Seen], Iterator[Problem]]] = []
        CHECKS[family].append(self._check)
        FREE_TEXTS[family] = tuple(f"/body/{text}" for text in texts)

    def rule(
        self, rule_id: str, *, effect: str, source: str
    ) -> Callable[[Callable[[Seen], Iterator[Problem]]], Callable[[Seen], Iterator[Problem]]]:
        """Register a check of kind *message*. Its docstring is its text in docs/rules.md."""

        def add(check: Callable[[Seen], Iterator[Problem]]) -> Callable[[Seen], Iterator[Problem]]:
            register(_described(rule_id, check, effect=effect, source=source, families=(self._family,)))
            self._checks.append(check)
            return check

        return add

    def _check(self, msg: Message, ctx: RuleContext) -> Iterator[Problem]:
        seen = self._read(msg, ctx)
        for check in self._checks:
            yield from check(seen)


def _described(rule_id: str, check: Callable[..., object], *, effect: str, source: str, families: tuple[str, ...]) -> Rule:
    where = f"{check.__module__}.{getattr(check, '__name__', '')}"
    return Rule(RuleId(rule_id), "message", effect, source, (check.__doc__ or "").partition("\n")[0], where, families)


def broken(rule_id: str, pointer: str, detail: str, *, expected: str = "", severity: Severity = Severity.WARNING) -> Problem:
    """Make a problem of a rule."""
    return Problem(code=Code.RULE_BROKEN, detail=detail, expected=expected, pointer=pointer, rule=RuleId(rule_id), severity=severity)


def as_firm_as(row: RuleRow) -> Severity:
    """Return how hard an error may be that rests on a number: as a warning until its row is verified."""
    return Severity.ERROR if row.verified else Severity.WARNING


def shown(row: RuleRow) -> str:
    """Name a row for people: number, unit, source, and whether anybody checked it."""
    return f"{row.quantity} {row.unit.value} ({row.source}{'' if row.verified else '; not verified'})"
