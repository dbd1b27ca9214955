"""When to try again, and when it is too late."""

from __future__ import annotations

from datetime import datetime, timedelta

from gateway.core.profiles import Delivery

DOUBLINGS_MAX = 20  # 2 ** 20 seconds are twelve days: above any `retry_max_seconds`


def next_attempt(now: datetime, failures: int, *, delivery: Delivery, jitter: float, partner_asked: timedelta | None) -> datetime:
    """Return when to try again: doubling between the profile's bounds, spread by `jitter` (0 to 1), never before the partner asked."""
    doubled = delivery.retry_base_seconds * 2 ** min(max(failures - 1, 0), DOUBLINGS_MAX)
    own = timedelta(seconds=min(doubled, delivery.retry_max_seconds) * (0.5 + jitter / 2))
    return now + max(own, partner_asked or timedelta())


def exhausted(failures: int, delivery: Delivery) -> bool:
    """Say whether the profile's number of attempts is used up: the leg becomes a dead letter."""
    return failures >= delivery.attempts_max
