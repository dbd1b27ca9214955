"""When a journey begins, and whether notice of it came in time (R-TIM-01, -02, -05). A late notice is marked and sent, never refused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final

from gateway.core.message import Message
from gateway.core.reference import Reference
from gateway.core.rules.base import RuleContext
from gateway.core.rules.tables import Picked, RuleRow, Unit
from gateway.core.travel import FAMILY, Stop, Travel, read_travel

DAY: Final = timedelta(days=1)
LAST_SECOND: Final = time(23, 59, 59)
EAST: Final = timedelta(hours=15)  # no clock has ever been further ahead of UTC


@dataclass(frozen=True, slots=True)
class Window:
    """When a local date and time can be: several zones, a date alone or a repeated hour leave more than one instant."""

    earliest: datetime  # for lateness
    latest: datetime  # for "left before the journey began" and "departed"
    date_only: bool

    def departed(self, now: datetime) -> bool:
        """Say whether the journey has begun for certain."""
        return self.latest <= now


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadTime:
    """How long before the journey notice was due, and was given. Durations are ISO 8601, down to 0 once the journey has begun."""

    required: str
    given: str
    late: bool
    row: str  # id of the row that asks
    picked: Picked
    hours: float  # given, as elapsed time
    date_only: bool

    @property
    def rule(self) -> str:
        """The rule that asks."""
        return self.picked.row.rule


def lead_time(msg: Message, ctx: RuleContext) -> LeadTime | None:
    """Return the lead time of a notice, or None where no law of ours asks one: other families, other bases than DECLARED, no row."""
    return None if msg.family.name != FAMILY else lead_time_of_travel(read_travel(msg.body), ctx)


def lead_time_of_travel(travel: Travel, ctx: RuleContext) -> LeadTime | None:
    """Return the lead time of a journey that was read."""
    start = travel.itinerary.segments[0].departure if travel.itinerary.segments else None
    window = None if start is None else window_of(start, ctx.reference)
    if not travel.declared or travel.notified_at is None or start is None or start.date is None or window is None:
        return None
    picked = _picked(travel, ctx, start.date)
    if picked is None:
        return None
    elapsed = window.earliest - travel.notified_at
    counts_days = picked.row.unit is Unit.DAYS
    days = days_before(start, start.date, notified=travel.notified_at, reference=ctx.reference) if counts_days else 0
    return LeadTime(
        required=_duration(picked.row.unit, timedelta(**{picked.row.unit.value: picked.row.quantity})),
        given=_duration(picked.row.unit, timedelta(days=days) if counts_days else elapsed),
        late=_late(picked.row, days, elapsed), row=picked.row.id, picked=picked,
        hours=elapsed / timedelta(hours=1), date_only=window.date_only,
    )  # fmt: skip


def window_of(stop: Stop, reference: Reference) -> Window | None:
    """Return when a stop can be, in the zone of its airport, else all zones of its country (R-TIM-01); None without a date."""
    if stop.date is None:
        return None
    offsets, zones = reference.zone_offsets, zones_of(stop, reference)
    first = [offsets.instants(zone, datetime.combine(stop.date, stop.time or time.min)) for zone in zones]
    last = first if stop.time is not None else [offsets.instants(zone, datetime.combine(stop.date, LAST_SECOND)) for zone in zones]
    return Window(min(found[0] for found in first), max(found[-1] for found in last), stop.time is None)


def zones_of(stop: Stop, reference: Reference) -> tuple[str, ...]:
    """Return the zones a stop can be in: its airport's, else its country's."""
    airport = None if stop.place is None or stop.place.iata is None else reference.airports.get(stop.place.iata)
    if airport is not None:
        return (airport.zone,)
    return reference.zones_of(stop.country or "")


def days_before(stop: Stop, starts: date, *, notified: datetime, reference: Reference) -> int:
    """Count days as dates in the zone of departure (R-TIM-05); of several zones the one that gives fewest."""
    return min((starts - local_date(zone, notified, reference)).days for zone in zones_of(stop, reference))


def local_date(zone: str, when: datetime, reference: Reference) -> date:
    """Return the date an instant has in a zone: the last one that has begun there."""
    day = (when + EAST).date()
    while reference.zone_offsets.instants(zone, datetime.combine(day, time.min))[0] > when:
        day -= DAY
    return day


def _picked(travel: Travel, ctx: RuleContext, on: date) -> Picked | None:
    """A change and an emergency have rules of their own where the jurisdiction has rows for them (R-TRV-02, -03c, -03d)."""
    rules = ["R-TRV-03a", "R-TRV-01"]
    if travel.emergency_explained:
        rules = ["R-TRV-03c", "R-TRV-02", *rules]
    if travel.supersedes:
        rules = ["R-TRV-03d", *rules]
    found = (ctx.tables.row(name, ctx.jurisdiction, on) for name in rules)
    return next((picked for picked in found if picked is not None), None)


def _late(row: RuleRow, days: int, elapsed: timedelta) -> bool:
    if elapsed < timedelta():
        return True
    return days < row.quantity if row.unit is Unit.DAYS else elapsed < timedelta(hours=row.quantity)


def _duration(unit: Unit, length: timedelta) -> str:
    length = max(length, timedelta())
    if unit is Unit.DAYS:
        return f"P{length.days}D"
    hours, minutes = divmod(int(length.total_seconds()) // 60, 60)
    return f"PT{hours}H{minutes}M" if minutes else f"PT{hours}H"
