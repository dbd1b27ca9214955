"""So many in so long: the one reckoning behind every limit of a rate, in memory and in rows. It keeps one time for each who is limited.

The time is when everything that was taken will have been given back (the generic cell rate algorithm of ATM traffic management): whoever
has taken nothing for the whole span may take all of it at once, and from then on one each `seconds / count`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` in any `seconds` on average, all of them at once where nothing was taken before."""

    count: int
    seconds: int

    def wait(self, whole_at: datetime | None, now: datetime) -> timedelta:
        """Return how long until one more may be taken: nothing, where it may be now."""
        return max(self.after(whole_at, now) - now - timedelta(seconds=self.seconds), timedelta())

    def after(self, whole_at: datetime | None, now: datetime) -> datetime:
        """Return when all will have been given back after one more is taken now."""
        return max(whole_at or now, now) + timedelta(seconds=self.seconds) / self.count
