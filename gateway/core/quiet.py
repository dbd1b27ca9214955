"""Quiet hours: when a partner does not want to be called. Reckoned whenever legs are claimed, so that a reload is in force at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final

from gateway.contract.values import Lane
from gateway.core.reference import ZoneTable

DAYS: Final = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_AROUND: Final = (-2, -1, 0, 1)  # days whose hours may hold now: a zone is up to 14 hours away, and hours may run past midnight


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours:
    """Hours of some days by a partner's own clock. An end that is not after the start is on the next day."""

    zone: str  # IANA name
    starts: time
    ends: time
    days: frozenset[str] = frozenset(DAYS)  # on which they start
    lanes: frozenset[Lane] = frozenset({Lane.ROUTINE})  # urgent ones go on, unless the profile says otherwise


def quiet_until(now: datetime, hours: Iterable[QuietHours], lane: Lane, zones: ZoneTable) -> datetime | None:
    """Return when the quiet hours that hold now for a lane end; None where none do. Raises `InvariantError` for an unknown zone.

    An hour that comes twice is quiet both times; a skipped one is taken by the clock before the change and by that after it.
    """
    ends = [end for each in hours if lane in each.lanes for start, end in _near(now, each, zones) if start <= now < end]
    return max(ends, default=None)


def _near(now: datetime, hours: QuietHours, zones: ZoneTable) -> Iterable[tuple[datetime, datetime]]:
    for shift in _AROUND:
        day = now.date() + timedelta(days=shift)
        if DAYS[day.weekday()] in hours.days:
            last = day if hours.starts < hours.ends else day + timedelta(days=1)
            start = zones.instants(hours.zone, datetime.combine(day, hours.starts))
            yield start[0], zones.instants(hours.zone, datetime.combine(last, hours.ends))[-1]
