"""What ends on a day that is known long before: certificates and keys. Told in time, once a day, and loudly when it has happened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gateway.app.ports import Clock, Telemetry

DAY: Final = timedelta(days=1)
ENDED_AGAIN: Final = timedelta(minutes=10)  # what has ended is an outage: partners refuse us, or nothing can be signed
LOOK_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing that ends: how it is called in events, and how long before its end somebody has to act."""

    name: str
    notice: timedelta


CERTIFICATE: Final = Kind("certificate", timedelta(days=14))  # authorities renew a month before; who has not by now has to look
KEY: Final = Kind("key", timedelta(days=30))  # its successor is published a day before it signs, and partners fetch it by themselves


class Ending:
    """Looks when each thing of a kind ends."""

    def __init__(
        self, kind: Kind, ends: Callable[[], Mapping[str, datetime]], show: Callable[[str, float], None], clock: Clock, telemetry: Telemetry
    ) -> None:
        """Ask `ends` for names and ends at each look; `show` takes a name and the seconds that are left, below zero after the end."""
        self._kind, self._ends, self._show, self._clock, self._telemetry = kind, ends, show, clock, telemetry
        self._again: dict[str, tuple[datetime, datetime]] = {}  # by name: the end that was told, and when it is told again

    async def run_once(self) -> int:
        """Look once."""
        now = self._clock.now()
        for name, end in self._ends().items():
            self._show(name, (end - now).total_seconds())
            if end - now < self._kind.notice:
                self._tell(name, end, now)
        return 0

    def _tell(self, name: str, end: datetime, now: datetime) -> None:
        told, again = self._again.get(name, (end, now))
        ended = end <= now
        if told == end and now < again and not (ended and again > now + ENDED_AGAIN):
            return
        self._telemetry.event(f"{self._kind.name}-{'ended' if ended else 'expires'}", code=f"{name} {end:%Y-%m-%dT%H:%MZ}")
        self._again[name] = end, now + (ENDED_AGAIN if ended else DAY)
