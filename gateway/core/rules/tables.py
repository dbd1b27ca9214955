"""Law as data: dated rows by jurisdiction, and which row holds where several do (R-TIM-03). Files are read by `ops/rulefiles.py`."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from functools import lru_cache
from typing import Final

EVERYWHERE: Final = "*"  # our own numbers, and those of no jurisdiction
PARENTS: Final = {"GB-ENG": "GB-EAW", "GB-WLS": "GB-EAW"}  # England and Wales make law together; else a region's parent is its country


class Unit(StrEnum):
    """What a number counts."""

    MINUTES = "minutes"
    HOURS = "hours"
    DAYS = "days"
    WORKING_DAYS = "working days"  # Monday to Friday; the holidays of the country that must act are not known here (R-TIM-04)
    MONTHS = "months"
    YEARS = "years"
    CITATION = "citation"  # no number (0): the row says which law to cite, and from when


class SourceKind(StrEnum):
    """Where a number comes from, strongest first."""

    STATUTE = "statute"
    GUIDANCE = "guidance"
    SEED = "seed"
    OWN = "own"


SOURCE_RANK: Final = {kind: rank for rank, kind in enumerate(reversed(SourceKind))}
LENIENT_IS_GREATER: Final = frozenset({"R-TRV-03e", "R-TRV-04"})  # exempt below N days: the smaller number is the stricter


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRow:
    """One number of one rule in one jurisdiction, with its dates and its source."""

    rule: str
    jurisdiction: str
    quantity: int
    unit: Unit
    source: str
    source_kind: SourceKind
    verified: bool  # False: an error that rests on it acts as a warning
    effective_from: date | None = None  # None: its first day is not known to us, taken as always in force
    effective_to: date | None = None  # the last day in force
    item: str = ""  # which of several numbers of one rule
    note: str = ""

    @property
    def id(self) -> str:
        """A name for receipts and deliveries: rule, item, jurisdiction and first day."""
        parts = [self.rule, self.item, self.jurisdiction, str(self.effective_from or "undated"), self.source_kind.value]
        return "/".join(part for part in parts if part)

    def in_force(self, on: date) -> bool:
        """Say whether the row holds on a day."""
        return (self.effective_from is None or self.effective_from <= on) and (self.effective_to is None or on <= self.effective_to)


@dataclass(frozen=True, slots=True)
class Picked:
    """The row that holds, and those it won against."""

    row: RuleRow
    losers: tuple[RuleRow, ...]


@dataclass(frozen=True, slots=True)
class RuleTables:
    """All rows. `digest` is kept with each decision, so that it can be replayed."""

    rows: tuple[RuleRow, ...]
    digest: str = ""
    _by_rule: dict[tuple[str, str], list[RuleRow]] = field(init=False, repr=False, compare=False, default_factory=dict)
    _places: set[str] = field(init=False, repr=False, compare=False, default_factory=set)

    def __post_init__(self) -> None:
        """Index the rows: every message asks for a dozen of them."""
        for row in self.rows:
            self._by_rule.setdefault((row.rule, row.item), []).append(row)
            self._places.add(row.jurisdiction)

    def row(self, rule: str, jurisdiction: str, on: date, *, item: str = "") -> Picked | None:
        """Return the row of a rule that holds in a jurisdiction on a day, or None where no law of ours speaks.

        Of several: more specific jurisdiction, statute over guidance over seed, verified over not, later first day, stricter (R-TIM-03).
        """
        line = ladder(jurisdiction)
        fits = [r for r in self._by_rule.get((rule, item), ()) if r.jurisdiction in line and r.in_force(on)]
        if not fits:
            return None
        if len(fits) > 1:
            fits.sort(key=lambda r: _strength(r, line), reverse=True)
        return Picked(fits[0], tuple(fits[1:]))

    def speaks_for(self, jurisdiction: str) -> bool:
        """Say whether any row is of exactly this jurisdiction."""
        return jurisdiction in self._places


@lru_cache(maxsize=1024)  # there are fewer jurisdictions with partners than that
def ladder(jurisdiction: str) -> tuple[str, ...]:
    """Return a jurisdiction and those it lies in, most specific first: GB-ENG, GB-EAW, GB, everywhere."""
    steps = [jurisdiction]
    while (last := steps[-1]) in PARENTS or "-" in last:
        steps.append(PARENTS.get(last) or last.partition("-")[0])
    return (*steps, EVERYWHERE)


def _strength(row: RuleRow, line: Sequence[str]) -> tuple[int, int, bool, date, int]:
    stricter = -row.quantity if row.rule in LENIENT_IS_GREATER else row.quantity
    return (-line.index(row.jurisdiction), SOURCE_RANK[row.source_kind], row.verified, row.effective_from or date.min, stricter)


# --- reading ----------------------------------------------------------------------------------------------------------

JURISDICTION: Final = re.compile(r"\*|[A-Z]{2}(-[A-Z0-9]{1,3})?")
RULE: Final = re.compile(r"R-[A-Z]{3}-[0-9]{2}[a-z]?")
REQUIRED: Final[Mapping[str, type]] = {"rule": str, "quantity": int, "unit": str, "source": str, "source_kind": str, "verified": bool}
OPTIONAL: Final[Mapping[str, type]] = {"effective_from": date, "effective_to": date, "item": str, "note": str}


def parse_rows(document: Mapping[str, object], *, file: str) -> tuple[tuple[RuleRow, ...], tuple[str, ...]]:
    """Read one rule file's content; return its rows and every fault, each naming file and row. Nothing unknown is passed over."""
    jurisdiction, listed = document.get("jurisdiction"), document.get("row")
    faults = [f"{file}: unknown key {key}" for key in sorted(document.keys() - {"jurisdiction", "row"})]
    if not isinstance(jurisdiction, str) or not JURISDICTION.fullmatch(jurisdiction):
        return (), (*faults, f"{file}: jurisdiction must be *, a country (GB) or a region (GB-NIR)")
    if not isinstance(listed, list) or not listed:
        return (), (*faults, f"{file}: no [[row]]")
    rows: list[RuleRow] = []
    for number, entry in enumerate(listed, start=1):
        found = [f"{file} row {number}: {fault}" for fault in _faults(entry)]
        faults += found
        if not found:
            rows.append(_row(entry, jurisdiction))
    return tuple(rows), tuple(faults)


def repeated(rows: Sequence[RuleRow]) -> tuple[str, ...]:
    """Name the rows that say the same thing twice: same rule, place, first day and source kind."""
    return tuple(f"row {name} is there {count} times" for name, count in sorted(Counter(r.id for r in rows).items()) if count > 1)


def _faults(entry: object) -> Iterator[str]:
    if not isinstance(entry, Mapping):
        yield "must be a table"
        return
    known = {**REQUIRED, **OPTIONAL}
    yield from (f"unknown key {key}" for key in sorted(entry.keys() - known.keys()))
    yield from (f"{key} is missing" for key in REQUIRED if key not in entry)
    for key in known.keys() & entry.keys():
        if type(entry[key]) is not known[key]:  # bool is an int, datetime is a date: neither may pass for the other
            yield f"{key} must be of type {known[key].__name__}"
    yield from _value_faults(entry)


def _value_faults(entry: Mapping[str, object]) -> Iterator[str]:
    rule, quantity, unit = entry.get("rule"), entry.get("quantity"), entry.get("unit")
    if isinstance(rule, str) and not RULE.fullmatch(rule):
        yield "rule must look like R-TRV-03a"
    if type(quantity) is int and (quantity < 0 or (unit == Unit.CITATION and quantity != 0)):
        yield "quantity must be 0 or more, and 0 for a citation"
    if isinstance(unit, str) and unit not in set(Unit):
        yield f"unit must be one of {', '.join(Unit)}"
    kind = entry.get("source_kind")
    if isinstance(kind, str) and kind not in set(SourceKind):
        yield f"source_kind must be one of {', '.join(SourceKind)}"
    if entry.get("source") == "":
        yield "source must name where the number stands"
    first, last = entry.get("effective_from"), entry.get("effective_to")
    if type(first) is date and type(last) is date and last < first:
        yield "effective_to is before effective_from"


def _row(entry: Mapping[str, object], jurisdiction: str) -> RuleRow:
    values: dict[str, object] = defaultdict(str, entry)
    return RuleRow(
        rule=str(values["rule"]), jurisdiction=jurisdiction, item=str(values["item"]),
        quantity=_int(values["quantity"]), unit=Unit(str(values["unit"])),
        source=str(values["source"]), source_kind=SourceKind(str(values["source_kind"])),
        verified=values["verified"] is True, note=str(values["note"]),
        effective_from=_date(entry.get("effective_from")), effective_to=_date(entry.get("effective_to")),
    )  # fmt: skip


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def _date(value: object) -> date | None:
    return value if isinstance(value, date) else None
