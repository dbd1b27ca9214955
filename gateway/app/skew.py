"""Clocks of hosts that differ: noticed where something comes from the future, told, and measured against the database.

Each process says on our own topics when it sent a record. One that arrives before it was sent shows that the two clocks differ by at least
so much. Nobody can tell an old record from a slow sender's clock; but whoever is behind is answered, and so hears from the future himself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from gateway.app.ports import Clock, Store, Telemetry

SKEW_SECONDS_MAX: Final = 2.0  # hosts that keep their time differ by thousandths; partners' request tokens allow us five seconds
AGAIN: Final = timedelta(minutes=5)  # before the same process is spoken of again
NAMES_COUNT_MAX: Final = 256  # processes that are remembered: the outer zone may invent names
COMPARE_SECONDS: Final = 30.0  # between two looks at the database's clock
DATABASE: Final = "database"
NAME: Final = re.compile(r"(edge|inner|courier)(/[A-Za-z0-9._-]{1,64})?")
UNNAMED: Final = "unnamed"  # whatever else the outer zone writes: its own words are not for our log


class Skew:
    """Judges how far another's clock is from ours."""

    def __init__(self, show: Callable[[str, float], None], clock: Clock, telemetry: Telemetry) -> None:
        """`show` takes a role, or `database`, and by how many seconds its clock is ahead of ours, at least."""
        self._show, self._clock, self._telemetry = show, clock, telemetry
        self._again: dict[str, datetime] = {}

    def saw(self, name: str, sent_at: datetime) -> None:
        """Note a record: `name` is the process that says it sent it at that time."""
        name = name if NAME.fullmatch(name) else UNNAMED
        self.differs(name, max((sent_at - self._clock.now()).total_seconds(), 0.0))

    def differs(self, name: str, seconds: float) -> None:
        """Note that a clock is ahead of ours by so much, or behind where it is below zero; tell it where that is too much."""
        self._show(name.partition("/")[0], seconds)
        if abs(seconds) <= SKEW_SECONDS_MAX:
            return
        now = self._clock.now()
        if name not in self._again and len(self._again) >= NAMES_COUNT_MAX:
            name = name.partition("/")[0]
        if now < self._again.get(name, now):
            return
        self._again[name] = now + AGAIN
        self._telemetry.event("clock-skew", code=name, seconds=round(seconds))


class Comparison:
    """Compares our clock with that of the database, again and again."""

    def __init__(self, store: Store, skew: Skew, clock: Clock) -> None:
        """Take the ports."""
        self._store, self._skew, self._clock = store, skew, clock

    async def run_once(self) -> int:
        """Compare once: what the question took is no difference. Raises `StoreUnavailableError`."""
        before = self._clock.now()
        async with self._store.reading() as work:
            theirs = await work.database_time()
        after = self._clock.now()
        ahead, behind = (theirs - after).total_seconds(), (before - theirs).total_seconds()
        self._skew.differs(DATABASE, max(ahead, 0.0) - max(behind, 0.0))
        return 0


def written(at: datetime) -> str:
    """Return a time as it stands in a record's header: milliseconds since 1970."""
    return str(int(at.timestamp() * 1000))


def read(text: str) -> datetime | None:
    """Read a time from a record's header, None where it is none."""
    if not re.fullmatch(r"[0-9]{1,14}", text):
        return None
    return datetime.fromtimestamp(int(text) / 1000, UTC)
