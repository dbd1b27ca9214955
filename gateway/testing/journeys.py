"""Journeys for fictional notices: real places, so that countries and time zones are right; carriers and hotels that do not exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Hop:
    """One segment: from, to, by what, local times, and how many days later it ends or starts than the journey."""

    start: Mapping[str, str]
    end: Mapping[str, str]
    mode: str
    leaves: str
    arrives: str
    start_day: int = 0
    end_day: int = 0


@dataclass(frozen=True, slots=True)
class Journey:
    """A journey out, whose last hop ends at the destination, and back to where it began."""

    title: str
    hops: Sequence[Hop]

    def itinerary(self, first_day: datetime, *, nights: int) -> dict[str, Any]:
        """Return the itinerary of a message, starting on a day."""
        segments = [_segment(hop, seq, first_day, last=seq == len(self.hops)) for seq, hop in enumerate(self.hops, start=1)]
        back = first_day + timedelta(days=self.hops[-1].end_day + nights)
        return {"segments": segments, "return": {"date": back.date().isoformat(), "point_of_arrival": dict(self.hops[0].start)}}

    @property
    def first_night(self) -> dict[str, Any]:
        """The fictional hotel at the destination."""
        end = self.hops[-1].end
        return {"lines": ["Example Hotel", "1 Example Street"], "city": end["text"], "country": end["country"]}


def _segment(hop: Hop, seq: int, first_day: datetime, *, last: bool) -> dict[str, Any]:
    vehicle = {"AIR": {"carrier": "ZZ", "service_no": f"ZZ {1000 + seq}"}, "SEA": {"vessel_imo": "9074729"}}.get(hop.mode, {})
    return {
        "seq": seq,
        "role": "DESTINATION" if last else "TRANSIT",
        "mode": hop.mode,
        "departure": _stop(hop.start, first_day + timedelta(days=hop.start_day), hop.leaves),
        "arrival": _stop(hop.end, first_day + timedelta(days=hop.end_day), hop.arrives),
        **vehicle,
    }


def _stop(place: Mapping[str, str], day: datetime, time: str) -> dict[str, Any]:
    return {"place": dict(place), "country": place["country"], "date": day.date().isoformat(), "time": time}


def _airport(iata: str, text: str, country: str) -> Mapping[str, str]:
    return {"kind": "AIRPORT", "iata": iata, "text": text, "country": country}


LHR, MAN, EDI = _airport("LHR", "London Heathrow", "GB"), _airport("MAN", "Manchester", "GB"), _airport("EDI", "Edinburgh", "GB")
CDG, AMS, FRA = _airport("CDG", "Paris", "FR"), _airport("AMS", "Amsterdam", "NL"), _airport("FRA", "Frankfurt", "DE")
BKK, MNL, PRG = _airport("BKK", "Bangkok", "TH"), _airport("MNL", "Manila", "PH"), _airport("PRG", "Prague", "CZ")
AGP, IST = _airport("AGP", "Málaga", "ES"), _airport("IST", "Istanbul", "TR")
DOVER = {"kind": "SEAPORT", "locode": "GBDVR", "text": "Dover", "country": "GB"}
CALAIS = {"kind": "SEAPORT", "locode": "FRCQF", "text": "Calais", "country": "FR"}
BRUGES = {"kind": "STATION", "text": "Brugge", "country": "BE"}
ST_PANCRAS = {"kind": "STATION", "text": "London St Pancras", "country": "GB"}
GARE_DU_NORD = {"kind": "STATION", "text": "Paris Gare du Nord", "country": "FR"}

JOURNEYS: Final[Sequence[Journey]] = (
    Journey("London to Paris by air", (Hop(LHR, CDG, "AIR", "09:30", "11:50"),)),
    Journey(
        "London by Amsterdam to Bangkok",
        (Hop(LHR, AMS, "AIR", "09:30", "11:45"), Hop(AMS, BKK, "AIR", "14:10", "06:35", end_day=1)),
    ),
    Journey("London to Paris by rail", (Hop(ST_PANCRAS, GARE_DU_NORD, "RAIL", "07:01", "10:20"),)),
    Journey(
        "Manchester by Istanbul to Manila",
        (Hop(MAN, IST, "AIR", "16:20", "23:25"), Hop(IST, MNL, "AIR", "02:00", "18:30", start_day=1, end_day=1)),
    ),
    Journey("Edinburgh to Amsterdam by air", (Hop(EDI, AMS, "AIR", "06:10", "08:45"),)),
    Journey("Dover by Calais to Bruges", (Hop(DOVER, CALAIS, "SEA", "10:15", "12:45"), Hop(CALAIS, BRUGES, "ROAD", "13:15", "15:00"))),
    Journey("London by Frankfurt to Prague", (Hop(LHR, FRA, "AIR", "11:00", "13:40"), Hop(FRA, PRG, "AIR", "15:05", "16:05"))),
    Journey("London to Málaga by air", (Hop(LHR, AGP, "AIR", "12:45", "16:30"),)),
)
