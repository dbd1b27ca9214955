"""Rules of travel notices that need only the message (domain.md c.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Final

from gateway.contract.values import Country
from gateway.core.message import Message
from gateway.core.problems import Problem, Severity
from gateway.core.rules.base import FamilyRules, RuleContext, broken, shown
from gateway.core.rules.tables import Picked, RuleTables
from gateway.core.rules.time import LeadTime, lead_time_of_travel, window_of
from gateway.core.travel import FAMILY, Segment, Stop, Travel, read_travel

NOTIFIED: Final = "/body/notified_by_subject_at"
SEGMENTS: Final = "/body/itinerary/segments"
IRELAND: Final = Country("IE")
IN_TIME: Final = frozenset({  # the rules on whether, and how, notice was given in time
    *(f"R-TRV-{number}" for number in ("01", "02", "03a", "03b", "03c", "03d", "05", "17")), "R-TIM-02", "R-TIM-03",
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """A travel notice as its rules see it: read once for all of them."""

    ctx: RuleContext
    travel: Travel
    lead: LeadTime | None

    @classmethod
    def of(cls, msg: Message, ctx: RuleContext) -> Trip:
        """Read a travel notice."""
        travel = read_travel(msg.body)
        return cls(ctx=ctx, travel=travel, lead=lead_time_of_travel(travel, ctx))

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The parts of the journey."""
        return self.travel.itinerary.segments

    @property
    def starts(self) -> date:
        """The day of departure, or of receipt where the notice has none: picks the rows in force."""
        return next((s.departure.date for s in self.segments if s.departure.date), self.ctx.now.date())

    @property
    def days(self) -> int | None:
        """Days from departure to return, where both are told."""
        back = self.travel.itinerary.return_date
        return None if back is None or not self.segments or self.segments[0].departure.date is None else (back - self.starts).days

    @property
    def abroad(self) -> tuple[Segment, ...]:
        """The segments that end in another country than home."""
        return tuple(s for s in self.segments if s.arrival.country != self.ctx.sender.country)

    def row(self, rule_id: str) -> Picked | None:
        """Return the row of a rule that holds for this journey."""
        tables: RuleTables = self.ctx.tables
        return tables.row(rule_id, self.ctx.jurisdiction, self.starts)


TRAVEL: Final = FamilyRules(
    FAMILY, Trip.of, texts=("emergency_reason", "purpose_of_travel/*/text", "decision_not_to_transmit/text", "narratives/*/text")
)


def _late(trip: Trip, rule_id: str) -> Iterator[Problem]:
    """Yield the one warning of a notice that is late by the row of this rule."""
    lead = trip.lead
    if lead is not None and lead.late and lead.rule == rule_id:
        expected = f"at least {shown(lead.picked.row)} before departure"
        yield broken(rule_id, NOTIFIED, f"late: notice was given {lead.given} ahead; it is marked and sent", expected=expected)


@TRAVEL.rule("R-TRV-01", effect="W", source="V:SMART, V:SMART2, V:SDL")
def us_notice_comes_21_days_ahead(trip: Trip) -> Iterator[Problem]:
    """US: the subject tells its registry at least 21 days before the journey starts."""
    yield from _late(trip, "R-TRV-01")


@TRAVEL.rule("R-TRV-02", effect="W", source="V:IMLFAQ")
def us_emergency_travel_says_why(trip: Trip) -> Iterator[Problem]:
    """US: emergency travel may be told later, as soon as it is scheduled, and says why; without a reason the usual lead time stands."""
    if trip.travel.emergency and not trip.travel.emergency_explained and trip.row("R-TRV-02") is not None:
        yield broken(
            "R-TRV-02", "/body/emergency_reason", "emergency travel without its reason", expected="why it could not be told earlier"
        )
    yield from _late(trip, "R-TRV-02")


@TRAVEL.rule("R-TRV-03a", effect="W", source="V:NACRO (E, W, NI)")
def uk_notice_comes_7_days_ahead(trip: Trip) -> Iterator[Problem]:
    """UK: notice at least 7 days before departure."""
    yield from _late(trip, "R-TRV-03a")


@TRAVEL.rule("R-TRV-03b", effect="W", source="V:NI16 (violent offenders); sexual G")
def uk_late_notice_has_a_last_hour(trip: Trip) -> Iterator[Problem]:
    """UK: known over 7 days ahead but told late: as soon as practicable, with reasonable excuse, not less than 24 hours before."""
    picked = trip.row("R-TRV-03b")
    if (
        picked is not None
        and trip.lead is not None
        and trip.lead.late
        and trip.lead.rule == "R-TRV-03a"
        and trip.lead.hours < picked.row.quantity
    ):
        expected = f"at least {shown(picked.row)} before departure, with reasonable excuse"
        yield broken("R-TRV-03b", NOTIFIED, "later than a late notice may be; it is marked and sent", expected=expected)


@TRAVEL.rule("R-TRV-03c", effect="W", source="V:NI16; E&W, NI sexual G")
def uk_short_notice_comes_12_hours_ahead(trip: Trip) -> Iterator[Problem]:
    """UK: a journey not known 7 days ahead (emergency, with its reason) is told not less than 12 hours before."""
    yield from _late(trip, "R-TRV-03c")


@TRAVEL.rule("R-TRV-03d", effect="W", source="V:NI14; V:NACRO")
def uk_change_comes_in_time(trip: Trip) -> Iterator[Problem]:
    """UK: a change to a notice (supersedes): Northern Ireland 12 hours before, England and Wales 24."""
    yield from _late(trip, "R-TRV-03d")


@TRAVEL.rule("R-TRV-03e", effect="N", source="V:NI16; sexual G")
def short_trips_to_ireland_need_no_notice(trip: Trip) -> Iterator[Problem]:
    """Northern Ireland: a journey to the Republic of Ireland alone is told only if it lasts 3 days or longer."""
    only_ireland = bool(trip.abroad) and all(s.arrival.country == IRELAND for s in trip.abroad)
    if only_ireland:
        yield from _below(trip, "R-TRV-03e", Severity.NOTE)


@TRAVEL.rule("R-TRV-04", effect="W", source="V:NR12, V:NACRO")
def every_length_of_trip_is_told(trip: Trip) -> Iterator[Problem]:
    """England and Wales: every length of journey since 13 August 2012; before, those under 3 days were exempt."""
    yield from _below(trip, "R-TRV-04", Severity.WARNING)


def _below(trip: Trip, rule_id: str, severity: Severity) -> Iterator[Problem]:
    picked = trip.row(rule_id)
    if picked is not None and trip.days is not None and trip.days < picked.row.quantity:
        expected = f"a journey of at least {shown(picked.row)}"
        yield broken(
            rule_id, "/body/itinerary/return/date", "no notice was due for so short a journey", expected=expected, severity=severity
        )


@TRAVEL.rule("R-TRV-05", effect="N", source="existence V:NACRO; numbers G")
def scotland_has_rows_of_its_own(trip: Trip) -> Iterator[Problem]:
    """Scotland: its own regulations (SSI 2004/205 as amended), in rows of its own that nobody has verified yet."""
    if trip.ctx.within("GB-SCT") and trip.lead is not None:
        yield broken("R-TRV-05", NOTIFIED, f"judged by Scottish rows: {shown(trip.lead.picked.row)}", severity=Severity.NOTE)


@TRAVEL.rule("R-TRV-06", effect="E, W", source="V:NACRO, V:HALS; other bases own")
def uk_notice_holds_what_the_law_asks(trip: Trip) -> Iterator[Problem]:
    """UK: a DECLARED notice says departure, first destination and point of arrival; later points, carriers, first night, return if held."""
    if not trip.ctx.within("GB"):
        return
    firm = Severity.ERROR if trip.travel.declared else Severity.WARNING
    if not trip.segments or trip.segments[0].departure.date is None:
        yield broken("R-TRV-06", f"{SEGMENTS}/0/departure/date", "no date of departure", expected="a date", severity=firm)
    if not any(s.arrival.country for s in trip.abroad):
        yield broken(
            "R-TRV-06", f"{SEGMENTS}/0/arrival/country", "no first destination", expected="the first country abroad", severity=firm
        )
    for position, segment in enumerate(trip.abroad):
        if segment.arrival.place is None or not segment.arrival.place.named:
            pointer = f"{SEGMENTS}/{segment.index}/arrival/place"
            yield broken(
                "R-TRV-06",
                pointer,
                "no point of arrival",
                expected="port, airport or station",
                severity=Severity.WARNING if position else firm,
            )
    yield from _if_held(trip)


def _if_held(trip: Trip) -> Iterator[Problem]:
    for segment in trip.segments:
        if not segment.carrier:
            yield broken("R-TRV-06", f"{SEGMENTS}/{segment.index}/carrier", "no carrier", expected="the carrier, if held")
    if not trip.travel.first_night:
        yield broken("R-TRV-06", "/body/accommodation/first_night", "no first night", expected="where the first night is spent, if held")
    if trip.travel.itinerary.return_date is None:
        yield broken(
            "R-TRV-06", "/body/itinerary/return/date", "no date of return", expected="date and point of arrival of the return, if held"
        )


@TRAVEL.rule("R-TRV-07", effect="W", source="V:TRV01 reg.3; later ones G")
def a_point_of_arrival_is_no_city(trip: Trip) -> Iterator[Problem]:
    """UK: a point of arrival is the station, port or airport where the traveller disembarks, so no place of kind CITY."""
    if not trip.ctx.within("GB"):
        return
    for segment in trip.abroad:
        if segment.arrival.place is not None and segment.arrival.place.kind == "CITY":
            pointer = f"{SEGMENTS}/{segment.index}/arrival/place/kind"
            yield broken("R-TRV-07", pointer, "a city is no point of arrival", expected="AIRPORT, SEAPORT, STATION or BORDER_POST")


@TRAVEL.rule("R-TRV-11", effect="E", source="own")
def a_journey_goes_forward_and_abroad(trip: Trip) -> Iterator[Problem]:
    """Segments are numbered upwards, their dates do not go backwards, none arrives before it departs, and one country is not home."""
    for one, following in pairwise(trip.segments):
        here = f"{SEGMENTS}/{following.index}"
        if following.seq <= one.seq:
            yield _order(f"{here}/seq", "segments are not in the order of the journey", "a greater number than the segment before")
        if _before(following.departure, one.arrival, trip):
            yield _order(f"{here}/departure/date", "leaves before the segment before arrives", "dates in the order of the journey")
    for segment in trip.segments:
        if _before(segment.arrival, segment.departure, trip):
            yield _order(f"{SEGMENTS}/{segment.index}/arrival/date", "arrives before it departs", "arrival at or after departure")
    home = trip.ctx.sender.country
    if all(country == home for country, _ in trip.travel.itinerary.countries()):
        yield _order(SEGMENTS, "no country of the journey is abroad", "at least one country that is not your own")


def _order(pointer: str, detail: str, expected: str) -> Problem:
    return broken("R-TRV-11", pointer, detail, expected=expected, severity=Severity.ERROR)


def _before(later: Stop, earlier: Stop, trip: Trip) -> bool:
    """Say whether what should be later is certainly earlier. Local dates compare in one country; across zones only instants do."""
    if later.date is None or earlier.date is None:
        return False
    if later.country == earlier.country and later.date < earlier.date:
        return True
    reference = trip.ctx.reference
    one, other = window_of(later, reference), window_of(earlier, reference)
    return one is not None and other is not None and one.latest < other.earliest


@TRAVEL.rule("R-TRV-17", effect="N", source="V:CFR72")
def us_time_and_manner_are_in_part_72(trip: Trip) -> Iterator[Problem]:
    """US: time and manner of the notice are in 28 CFR Part 72, from 7 January 2022; its text on travel was not verified."""
    picked = trip.row("R-TRV-17")
    if picked is not None:
        yield broken("R-TRV-17", NOTIFIED, f"time and manner of the notice: {picked.row.source}", severity=Severity.NOTE)


@TRAVEL.rule("R-TRV-18", effect="W", source="own; V:APD")
def a_segment_s_country_is_its_airport_s(trip: Trip) -> Iterator[Problem]:
    """The country of a segment's end is that of its airport."""
    for segment in trip.segments:
        for name, stop in (("departure", segment.departure), ("arrival", segment.arrival)):
            airport = None if stop.place is None or stop.place.iata is None else trip.ctx.reference.airports.get(stop.place.iata)
            if airport is not None and airport.country != stop.country:
                pointer = f"{SEGMENTS}/{segment.index}/{name}/country"
                yield broken("R-TRV-18", pointer, "the airport lies in another country", expected=airport.country)


@TRAVEL.rule("R-TIM-02", effect="N", source="own")
def a_date_without_time_is_said(trip: Trip) -> Iterator[Problem]:
    """A date without time counts from its earliest instant for lateness, to its latest for "left before"; the answer says date only."""
    if trip.lead is not None and trip.lead.date_only:
        detail = "date only: lateness is counted from the first instant of that day"
        yield broken("R-TIM-02", f"{SEGMENTS}/0/departure/time", detail, expected="the local time, if known", severity=Severity.NOTE)


@TRAVEL.rule("R-TIM-03", effect="N", source="own")
def losing_rows_are_named(trip: Trip) -> Iterator[Problem]:
    """Of dated rows in conflict the more specific jurisdiction holds, then the source, verified, later, stricter; the losers are named."""
    if trip.lead is None:
        return
    picked = trip.lead.picked
    losers = ", ".join(row.id for row in picked.losers if (row.quantity, row.unit) != (picked.row.quantity, picked.row.unit))
    if losers:
        yield broken("R-TIM-03", NOTIFIED, f"judged by {trip.lead.row}, not by {losers}", severity=Severity.NOTE)
