"""Reads the body of a travel-notification (domain.md b.2). Total: what is missing, or no date, is None."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Final

from gateway.contract.values import Country, Role

FAMILY: Final = "travel-notification"
DECLARED: Final = "DECLARED"
NOTHING: Final[Mapping[str, Any]] = {}
YEARS: Final = range(1900, 2200)  # of a journey; zone rules and date arithmetic hold well inside


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody gets on or off."""

    kind: str | None
    iata: str | None
    named: bool  # by any of its names: UN/LOCODE, IATA, text


@dataclass(frozen=True, slots=True)
class Stop:
    """One end of a segment, in the local time of its place."""

    place: Place | None
    country: Country | None
    date: date | None
    time: time | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One part of a journey. `index` is its position in the message, for pointers."""

    index: int
    seq: int
    role: Role
    mode: str | None
    carrier: str | None
    departure: Stop
    arrival: Stop


@dataclass(frozen=True, slots=True)
class Itinerary:
    """A journey, in the order of the message."""

    segments: tuple[Segment, ...]
    return_date: date | None
    return_to: Stop | None

    def countries(self) -> Iterator[tuple[Country, Role]]:
        """Yield every country of the journey with the role it has: the arrivals first, each with its segment's role.

        Where a segment leaves from a country nothing arrived in, the traveller got there by a way not told, and passes through.
        """
        for segment in self.segments:
            if segment.arrival.country is not None:
                yield segment.arrival.country, segment.role
        for stop in (*(s.departure for s in self.segments), self.return_to):
            if stop is not None and stop.country is not None:
                yield stop.country, Role.TRANSIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Travel:
    """What rules, routing and lanes ask of a travel-notification."""

    itinerary: Itinerary
    basis: str
    notified_at: datetime | None
    emergency: bool
    emergency_reason: str
    supersedes: bool
    restricted: bool
    withheld: bool  # decision_not_to_transmit
    first_night: bool

    @property
    def declared(self) -> bool:
        """Say whether the subject gave notice: what others detect, or an attempt, has no lead time (R-TRV-19)."""
        return self.basis == DECLARED

    @property
    def emergency_explained(self) -> bool:
        """Say whether it is an emergency trip that says why."""
        return self.emergency and bool(self.emergency_reason.strip())


def read_travel(body: Mapping[str, Any]) -> Travel:
    """Read a body that passed the schema."""
    itinerary = body.get("itinerary", NOTHING)
    back = itinerary.get("return", NOTHING)
    arrival = back.get("point_of_arrival")
    accommodation = body.get("accommodation", NOTHING)
    return Travel(
        itinerary=Itinerary(
            _segments(itinerary.get("segments", ())),
            _date(back.get("date")),
            None if arrival is None else Stop(_place(arrival), _country(arrival.get("country")), _date(back.get("date")), None),
        ),
        basis=_basis(body),
        notified_at=instant(body.get("notified_by_subject_at")),
        emergency=body.get("emergency", False) is True,
        emergency_reason=body.get("emergency_reason", ""),
        supersedes="supersedes" in body,
        restricted=body.get("active_travel_restriction", "NONE") != "NONE",
        withheld="decision_not_to_transmit" in body,
        first_night="first_night" in accommodation,
    )


def is_declared(body: Mapping[str, Any]) -> bool:
    """Say of a body what `Travel.declared` says, without reading the rest."""
    return _basis(body) == DECLARED


def _basis(body: Mapping[str, Any]) -> str:
    basis: str = body.get("notification_basis", "")
    return basis


def instant(text: object) -> datetime | None:
    """Read an RFC 3339 instant; None where it is none, or a leap second no datetime can hold."""
    if not isinstance(text, str):
        return None
    try:
        read = datetime.fromisoformat(text)
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _segments(segments: Sequence[Mapping[str, Any]]) -> tuple[Segment, ...]:
    return tuple(_segment(index, segment) for index, segment in enumerate(segments))


def _segment(index: int, segment: Mapping[str, Any]) -> Segment:
    return Segment(
        index=index,
        seq=segment.get("seq", index + 1),
        role=Role(segment.get("role", Role.TRANSIT)),
        mode=segment.get("mode"),
        carrier=segment.get("carrier"),
        departure=_stop(segment.get("departure", NOTHING)),
        arrival=_stop(segment.get("arrival", NOTHING)),
    )


def _stop(stop: Mapping[str, Any]) -> Stop:
    place = stop.get("place")
    return Stop(None if place is None else _place(place), _country(stop.get("country")), _date(stop.get("date")), _time(stop.get("time")))


def _place(place: Mapping[str, Any]) -> Place:
    return Place(place.get("kind"), place.get("iata"), any(place.get(name) for name in ("locode", "iata", "text")))


def _country(code: str | None) -> Country | None:
    return None if code is None else Country(code)


def _date(text: object) -> date | None:
    try:
        read = date.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return read if read is not None and read.year in YEARS else None


def _time(text: object) -> time | None:
    try:
        return time.fromisoformat(text).replace(tzinfo=None) if isinstance(text, str) else None
    except ValueError:
        return None
