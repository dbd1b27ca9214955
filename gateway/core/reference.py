"""What the world's lists say: codes, countries, airports, time zones. Plain tables, read at start by `ops/reference.py`.

Core reads no file and knows no time-zone database: all of it is here, frozen, with a digest that is kept with each decision.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from gateway.contract.errors import InvariantError


@dataclass(frozen=True, slots=True)
class Entry:
    """One code of a list. `mark` tells where it comes from (V:KEY verified, S seed, P ours, G unverified)."""

    code: str
    title: str
    mark: str = ""
    to: str = ""  # the code it answers to in the list that `CodeList.maps_to` names; "" where there is none

    @property
    def verified(self) -> bool:
        """Say whether nothing of it rests on general knowledge alone: its mark does not end in G."""
        return not f" {self.mark}".endswith(" G")


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeList:
    """One edition of a code list, in force between two days."""

    id: str
    title: str
    source: str
    verified: bool
    effective_from: date
    effective_to: date | None = None  # the last day in force
    entries: Mapping[str, Entry]
    maps_to: str = ""  # the id of the list that `Entry.to` is of
    use: str = ""  # what it is for, where no schema names it
    note: str = ""  # what else a reader must know

    def in_force(self, on: date) -> bool:
        """Say whether this edition holds on a day."""
        return self.effective_from <= on and (self.effective_to is None or on <= self.effective_to)


@dataclass(frozen=True, slots=True)
class CodeLists:
    """All code lists, each with its editions."""

    editions: Mapping[str, tuple[CodeList, ...]]

    def listing(self, list_id: str, on: date) -> CodeList | None:
        """Return the edition in force on a day, None where there is none. Raises `InvariantError` for a list nobody shipped."""
        if list_id not in self.editions:
            raise InvariantError("no such code list", list_id)
        return next((edition for edition in self.editions[list_id] if edition.in_force(on)), None)

    def in_force(self, on: date) -> Mapping[str, Mapping[str, Entry]]:
        """Return the codes of every list on a day; a list without an edition then has none."""
        listings = {list_id: self.listing(list_id, on) for list_id in self.editions}
        return {list_id: {} if listing is None else listing.entries for list_id, listing in listings.items()}

    def has(self, list_id: str, code: str, on: date) -> bool:
        """Say whether `code` is in the edition in force on a day."""
        listing = self.listing(list_id, on)
        return listing is not None and code in listing.entries


@dataclass(frozen=True, slots=True)
class Airport:
    """Where an airport is."""

    country: str
    zone: str  # IANA name


@dataclass(frozen=True, slots=True)
class Zone:
    """The offsets of one time zone. `offsets[i]` holds before `transitions[i]` (UTC epoch seconds), the last one after all of them."""

    transitions: tuple[int, ...]
    offsets: tuple[int, ...]  # seconds east of UTC


@dataclass(frozen=True, slots=True)
class ZoneTable:
    """When it is what time where."""

    zones: Mapping[str, Zone]

    def instants(self, zone: str, local: datetime) -> tuple[datetime, ...]:
        """Return the UTC instants that clocks of `zone` may have meant by a naive `local` time, earliest first; never none.

        An hour that comes twice gives two. A skipped hour gives two as well: by the clock before and after the change.
        Raises `InvariantError` for a zone that was not loaded.
        """
        if zone not in self.zones:
            raise InvariantError("no such time zone", zone)
        table = self.zones[zone]
        wall = int(local.replace(tzinfo=UTC).timestamp())
        first, last = (bisect_right(table.transitions, wall + shift) for shift in (-_DAY, _DAY))
        near = table.offsets[first : last + 1]
        found = {wall - offset for offset in near if table.offsets[bisect_right(table.transitions, wall - offset)] == offset}
        return tuple(_EPOCH + timedelta(seconds=at) for at in sorted(found or {wall - offset for offset in near}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """All lists together."""

    codes: CodeLists
    countries: frozenset[str]  # ISO 3166-1 alpha-2, and XK
    airports: Mapping[str, Airport]  # by IATA code
    zones_by_country: Mapping[str, tuple[str, ...]]
    zone_offsets: ZoneTable
    extensions: frozenset[str] = field(default_factory=frozenset)  # registered URIs (R-GEN-19)
    digest: str = ""  # hex SHA-256 over all of it

    def zones_of(self, country: str) -> tuple[str, ...]:
        """Return the zones of a country; ("UTC",) for one without any (uninhabited)."""
        return self.zones_by_country.get(country) or ("UTC",)


_DAY = 86_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
