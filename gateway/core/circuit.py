"""The circuit of a partner: whether attempts make sense, from what the last ones said. A table and pure functions; the columns are inner's.

| position | attempts | answered | failed | asked to wait | contact |
| --- | --- | --- | --- | --- | --- |
| closed | the profile's window | closed, count back to 0 | one more; at the profile's number open | open until then | closed |
| open | none | closed | open as it was: an attempt from before | open until then, if later | half open, never before it asked |
| half open | one of each lane: the probes | closed | open, for twice as long | open until then | half open |

An answer is a delivery, or a refusal that judged the document: the endpoint works. Whatever says that the endpoint does not work, or does
not know us, is a failure, for it would meet every document. A contact is a signed request or message of the partner's: it is alive.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from gateway.core import limits
from gateway.core.delivery import Event
from gateway.core.profiles import Delivery

DOUBLINGS_MAX: Final = 16  # 2 ** 16 seconds are 18 hours: above any sensible pause
JUDGED: Final = frozenset({"invalid_request", "http-413", "http-422"})  # refusals of one document, not of all
WAKE_PAUSE: Final = timedelta(seconds=limits.WAKE_SECONDS_MIN)


class Position(StrEnum):
    """Whether attempts are made."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Heard(StrEnum):
    """What was heard of a partner."""

    ANSWERED = "answered"
    FAILED = "failed"
    ASKED = "asked-to-wait"
    CONTACT = "contact"


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """What is known of a partner's endpoint."""

    failures: int = 0  # in a row
    failing_since: datetime | None = None  # the first of them
    open_until: datetime | None = None  # no attempt before
    asked_until: datetime | None = None  # of this the partner asked itself: a contact does not end it
    woken_at: datetime | None = None  # the last contact that ended a pause

    @property
    def at_rest(self) -> bool:
        """Say whether there is nothing to know: the partner answers."""
        return self.failures == 0 and self.open_until is None

    def position(self, now: datetime) -> Position:
        """Return where the circuit stands."""
        if self.open_until is None:
            return Position.CLOSED
        return Position.OPEN if now < self.open_until else Position.HALF_OPEN

    def window(self, now: datetime, full: int) -> int:
        """Return how many attempts may be under way at once, of the profile's `full` window; half open, in each lane while none is."""
        return {Position.CLOSED: full, Position.OPEN: 0, Position.HALF_OPEN: 1}[self.position(now)]


REST: Final = Circuit()


def heard_of(event: Event, code: str | None, retry_after: timedelta | None) -> Heard:
    """Return what a courier's report says about the partner's endpoint."""
    if event is Event.DELIVERED or (event is Event.GAVE_UP and code in JUDGED):
        return Heard.ANSWERED
    return Heard.FAILED if retry_after is None else Heard.ASKED


def after(
    circuit: Circuit, heard: Heard, *, now: datetime, delivery: Delivery, jitter: float = 1, asked: timedelta | None = None
) -> Circuit:
    """Return the circuit after what was heard; `jitter` (0 to 1) spreads the pause, `asked` is how long the partner asked us to wait."""
    match heard:
        case Heard.ANSWERED:
            return Circuit(woken_at=circuit.woken_at)
        case Heard.ASKED:
            return _asked(circuit, now + (asked or timedelta()))
        case Heard.FAILED:
            return _failed(circuit, now, delivery, jitter)
        case Heard.CONTACT:
            return _contacted(circuit, now)


def _asked(circuit: Circuit, until: datetime) -> Circuit:
    latest = max(until, circuit.open_until or until)
    return replace(circuit, open_until=latest, asked_until=max(until, circuit.asked_until or until))


def _failed(circuit: Circuit, now: datetime, delivery: Delivery, jitter: float) -> Circuit:
    if circuit.position(now) is Position.OPEN:
        return circuit
    failures = circuit.failures + 1
    failed = replace(circuit, failures=failures, failing_since=circuit.failing_since or now)
    if failures < delivery.circuit_failures and circuit.open_until is None:
        return failed
    doubled = delivery.circuit_pause_seconds * 2 ** min(max(failures - delivery.circuit_failures, 0), DOUBLINGS_MAX)
    pause = timedelta(seconds=min(doubled, delivery.circuit_pause_max_seconds) * (0.5 + jitter / 2))
    return replace(failed, open_until=now + pause)


def _contacted(circuit: Circuit, now: datetime) -> Circuit:
    """End the pause, at most every so often: who asks us every second must not have its dead endpoint tried every second."""
    if circuit.at_rest or (circuit.woken_at is not None and now < circuit.woken_at + WAKE_PAUSE):
        return circuit
    if circuit.position(now) is not Position.OPEN:
        return replace(circuit, woken_at=now)
    return replace(circuit, woken_at=now, open_until=max(now, circuit.asked_until or now))
