"""When to try again, and when it is too late."""

from __future__ import annotations

from datetime import datetime, timedelta

from gateway.core.profiles import Delivery

DOUBLINGS_MAX = 20  # 2 ** 20 seconds are twelve days: above any `retry_max_seconds`


def next_attempt(now: datetime, failures: int, *, delivery: Delivery, jitter: float, partner_asked: timedelta | None) -> datetime:
    """Return when to try again: by the profile's schedule, or doubling between its bounds; spread by `jitter` (0 to 1).

    Never before the partner asked.
    """
    own = timedelta(seconds=_wait_seconds(max(failures, 1), delivery) * (0.5 + jitter / 2))
    return now + max(own, partner_asked or timedelta())


def _wait_seconds(failures: int, delivery: Delivery) -> int:
    if schedule := delivery.retry_schedule_seconds:
        return schedule[min(failures, len(schedule)) - 1]
    doubled: int = delivery.retry_base_seconds * 2 ** min(failures - 1, DOUBLINGS_MAX)
    return min(doubled, delivery.retry_max_seconds)


def exhausted(failures: int, delivery: Delivery) -> bool:
    """Say whether the profile's number of attempts is used up: the leg becomes a dead letter."""
    return failures >= delivery.attempts_max
