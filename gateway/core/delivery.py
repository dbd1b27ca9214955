"""The state table of a leg. No other code may set a state; the table is the documentation and the test plan.

A leg starts planned or held (a refusal never becomes a leg). The end of a lease is no expiry: the one means "no news, try again",
the other "too late for anybody". Withdrawn before the first publication or offer is REFUSED; after it, CANCELLED.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from gateway.contract.errors import InvariantError
from gateway.contract.values import LegId


class State(StrEnum):
    """Where a leg stands."""

    PLANNED = "planned"  # waits for its turn behind an earlier leg of the same (partner, subject)
    HELD = "held"  # waits for a person; out of the line
    READY = "ready"  # its turn has come: may be claimed when due
    SENDING = "sending"  # published to a courier
    AVAILABLE = "available"  # offered in the inbox
    DELIVERED = "delivered"
    RECEIPTED = "receipted"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    DEAD = "dead"


class Event(StrEnum):
    """What can happen to a leg."""

    TURN_CAME = "turn-came"
    HELD = "held"
    RELEASED = "released"
    PUBLISHED = "published"
    OFFERED = "offered"
    DELIVERED = "delivered"
    RECEIPTED = "receipted"
    FAILED = "failed"
    LEASE_ENDED = "lease-ended"
    NOT_SEALED = "not-sealed"  # nothing could be made to send: later again, so that it does not keep its place before the others
    GAVE_UP = "gave-up"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    RETRIED = "retried"
    REDELIVERED = "redelivered"  # the partner lost it: again, as it was


S, E = State, Event
OPEN: Final = frozenset({S.PLANNED, S.READY, S.SENDING, S.AVAILABLE})  # the next leg of this (partner, subject) waits
ENDED: Final = frozenset({S.DELIVERED, S.RECEIPTED, S.REFUSED, S.CANCELLED, S.EXPIRED, S.DEAD})
DONE: Final[Mapping[Event, State]] = {E.DELIVERED: S.DELIVERED, E.RECEIPTED: S.RECEIPTED}  # a success counts whenever it is reported
STOP: Final[Mapping[Event, State]] = {E.HELD: S.HELD, E.REFUSED: S.REFUSED, E.CANCELLED: S.CANCELLED, E.EXPIRED: S.EXPIRED}
UNPUBLISHED_ONLY: Final = frozenset({E.REFUSED})  # published or offered once is possibly delivered: CANCELLED, by a person or a recall
TRANSITIONS: Final[Mapping[State, Mapping[Event, State]]] = {
    S.PLANNED: {**STOP, **DONE, E.TURN_CAME: S.READY},
    S.HELD: {**STOP, **DONE, E.RELEASED: S.PLANNED},
    S.READY: {**STOP, **DONE, E.PUBLISHED: S.SENDING, E.OFFERED: S.AVAILABLE, E.NOT_SEALED: S.READY, E.GAVE_UP: S.DEAD},
    S.SENDING: {**DONE, E.FAILED: S.READY, E.LEASE_ENDED: S.READY, E.GAVE_UP: S.DEAD},
    S.AVAILABLE: {**DONE, E.HELD: S.HELD, E.CANCELLED: S.CANCELLED, E.EXPIRED: S.EXPIRED, E.GAVE_UP: S.DEAD},
    S.DELIVERED: {**DONE, E.GAVE_UP: S.DEAD, E.REDELIVERED: S.PLANNED},  # the profile wants a receipt, and none came in time
    S.RECEIPTED: {**dict.fromkeys(DONE, S.RECEIPTED), E.REDELIVERED: S.PLANNED},
    S.REFUSED: {},
    S.CANCELLED: DONE,
    S.EXPIRED: DONE,
    S.DEAD: {**DONE, E.RETRIED: S.PLANNED, E.CANCELLED: S.CANCELLED, E.EXPIRED: S.EXPIRED},
}


def advance(leg_id: LegId, state: State, event: Event, *, attempt: int) -> State:
    """Return the state that `event` leads to from `state`. Raises `InvariantError`: no row, no move."""
    after = TRANSITIONS[state].get(event)
    if after is None or (event in UNPUBLISHED_ONLY and attempt > 0):
        raise InvariantError(leg_id, state, event)
    return after


def after_report(leg_id: LegId, state: State, event: Event, *, attempt: int, reported: int) -> State:
    """Return the state after a report about attempt `reported`: a late success counts, a late failure does not.

    Does not show that the partner signed for the bytes, nor that anyone has *read* them.
    Raises `InvariantError` if the report names an attempt that was never published.
    """
    if not 1 <= reported <= attempt:
        raise InvariantError(leg_id, reported)
    late = state is not S.SENDING or reported != attempt
    if late and event not in DONE:
        return state
    return advance(leg_id, state, event, attempt=attempt)
