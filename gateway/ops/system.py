"""The real clock and the real dice."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Final
from uuid import UUID

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
KEY_BYTES: Final = 32
TAIL_BITS: Final = 74  # of a UUIDv7: 12 before the variant and 62 after it
STEP_BITS: Final = 40  # within one millisecond the next id is a random step away: not to be guessed, room for 2^34 steps


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the time, with UTC."""
        return datetime.now(UTC)


class Uuid7:
    """Makes UUIDv7 (RFC 9562 section 5.7), each greater than the one before also within a millisecond (section 6.2, method 2)."""

    def __init__(self, bits: Callable[[int], int]) -> None:
        """Take random bits from `bits`, which returns a number of at most so many."""
        self._bits, self._lock = bits, Lock()
        self._last = -1  # milliseconds and tail of the last one, as one number

    def at(self, now: datetime) -> str:
        """Return the next id: of the millisecond of `now`, or of the latest so far where the clock went back."""
        fresh = ((now - EPOCH) // timedelta(milliseconds=1)) << TAIL_BITS | self._bits(TAIL_BITS)
        with self._lock:
            if fresh >> TAIL_BITS > self._last >> TAIL_BITS:
                self._last = fresh
            else:
                self._last += 1 + self._bits(STEP_BITS)  # past the last tail it carries into the next millisecond
            last = self._last
        millis, tail = last >> TAIL_BITS, last & ((1 << TAIL_BITS) - 1)
        return str(UUID(int=millis << 80 | 0x7 << 76 | (tail >> 62) << 64 | 0b10 << 62 | tail & ((1 << 62) - 1)))


class SystemDice:
    """Randomness from the operating system."""

    def __init__(self) -> None:
        self._uuid7 = Uuid7(secrets.randbits)

    def uuid7(self, now: datetime) -> str:
        """Return a new UUIDv7."""
        return self._uuid7.at(now)

    def key(self) -> bytes:
        """Return 32 secret bytes."""
        return os.urandom(KEY_BYTES)

    def jitter(self) -> float:
        """Return a number from 0 to 1."""
        return secrets.randbits(53) / (1 << 53)
