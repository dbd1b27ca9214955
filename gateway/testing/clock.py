"""A clock that stands still until told, and dice that fall the same way every time. For tests only: what they make is no secret."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Final

from gateway.contract.errors import InvariantError
from gateway.ops.system import KEY_BYTES, Uuid7

START: Final = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class FakeClock:
    """Implements `Clock`."""

    def __init__(self, now: datetime = START) -> None:
        """Start at `now`."""
        self._now = now

    def now(self) -> datetime:
        """Return the time it was set to, with UTC."""
        return self._now

    def advance(self, by: timedelta | None = None, *, seconds: float = 0) -> datetime:
        """Go on by so much and return the new time. Time does not go back: raises `InvariantError`."""
        step = (by or timedelta()) + timedelta(seconds=seconds)
        if step < timedelta():
            raise InvariantError("a clock that goes back")
        self._now += step
        return self._now


class SeededDice:
    """Implements `Dice`."""

    def __init__(self, seed: int = 1) -> None:
        """Two with the same seed give the same, call by call."""
        self._random = random.Random(seed)  # noqa: S311 -- to be repeated is the point
        self._uuid7 = Uuid7(self._random.getrandbits)

    def uuid7(self, now: datetime) -> str:
        """Return the next UUIDv7."""
        return self._uuid7.at(now)

    def key(self) -> bytes:
        """Return the next 32 bytes."""
        return self._random.randbytes(KEY_BYTES)

    def jitter(self) -> float:
        """Return the next number from 0 to 1."""
        return self._random.random()
