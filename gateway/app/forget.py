"""What is kept for a while only is forgotten: request tokens after their end, attempts after some weeks. A portion at a time."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from gateway.app.ports import Clock, Store
from gateway.core import limits

REMEMBERED: Final = timedelta(seconds=60)  # a token that was used, after its end: the clock of another inner may be so far behind
TRIED: Final = timedelta(days=limits.ATTEMPT_DAYS_MAX)


class Forget:
    """Forgets. Safe in several inners: what one has deleted the other does not find."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        """Take the ports."""
        self._store, self._clock = store, clock

    async def run_once(self) -> int:
        """Forget a portion; return how much, 0 where it was the last."""
        now = self._clock.now()
        async with self._store.unit_of_work() as work:
            await work.forget_requests(now - REMEMBERED)
            count = await work.forget_attempts(now - TRIED, limit=limits.FORGET_COUNT_MAX)
        return count if count == limits.FORGET_COUNT_MAX else 0
