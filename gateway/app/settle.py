"""Settling: what happened to legs becomes rows, evidence, the sender's acknowledgement and the next leg's turn, in one transaction.

The order is fixed: subjects are locked before legs, in key order, as everybody locks them who accepts, settles, holds or recalls.
The table in `core/delivery.py` says where a leg goes; this module says what follows from having gone there:

* a courier's report moves the partner's circuit (`app/circuits.py`);
* it is the end of an attempt, which is kept for a while (`gateway partner attempts`), as is the end of a lease;
* a failure sets the next due time, or makes a dead letter when the profile's attempts are used up;
* a delivery that owes a receipt is not the end: the profile's `receipt_seconds` begin;
* at a leg's end the sender of the message is told, on its own channel, except about acknowledgements: theirs ends in row and evidence;
* whoever closes a leg gives the turn to the next leg of the same (partner, subject);
* what a person releases or retries goes to the end of its line, with a new `seq`: others of its subject have gone before it.

A courier belongs to the outer zone and may lie: a report that fits no published attempt is counted and ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from gateway.app.circuits import Circuits, Said
from gateway.app.locked import Locked
from gateway.app.outgoing import Outgoings
from gateway.app.partner_rows import AttemptRow
from gateway.app.ports import Clock, Dice, LegRow, Store, Telemetry, UnitOfWork
from gateway.app.records import leg_entry
from gateway.app.world import Holder
from gateway.contract.errors import InvariantError
from gateway.contract.values import Lane, LegId, PartnerId, SubjectKey
from gateway.core import limits
from gateway.core.deadlines import exhausted, next_attempt
from gateway.core.decided import HoldReason
from gateway.core.delivery import DONE, ENDED, OPEN, Event, State, advance, after_report
from gateway.core.profiles import Closes, Delivery
from gateway.core.standing import ANSWERED

NO_REPORT: Final = "no-report"
PAUSE: Final = timedelta(seconds=limits.LEASE_SECONDS_MAX)  # before what could not be sealed is looked at again
NO_RECEIPT: Final = "NO_RECEIPT"  # reasons are words of domain.md d.10: the sender reads them
ATTEMPTS_USED: Final = "ATTEMPTS"
GONE: Final = Delivery(format="", transport="")  # a partner without a profile any more: its legs still end, by expiry at the latest


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something that happened to a leg. `attempt` is given for a report about one attempt, else it happens now."""

    leg_id: LegId
    event: Event
    attempt: int | None = None
    partner: PartnerId | None = None  # whose document the courier says it carried
    code: str | None = None  # what the other side said, one word
    reason: str | None = None  # why the leg ends so
    hold: HoldReason | None = None
    retry_after: timedelta | None = None
    proof: str | None = None


class Settle:
    """Applies changes to legs."""

    def __init__(self, store: Store, holder: Holder, outgoings: Outgoings, *, clock: Clock, dice: Dice, telemetry: Telemetry) -> None:
        """Take the ports; `outgoings` makes the acknowledgements."""
        self._store, self._holder, self._outgoings = store, holder, outgoings
        self._clock, self._dice, self._telemetry = clock, dice, telemetry
        self.circuits = Circuits(holder, clock=clock, dice=dice, telemetry=telemetry)

    async def run(self, changes: Sequence[Change]) -> list[LegRow]:
        """Apply changes in a transaction of their own. Raises `StoreUnavailableError`: then nothing was applied."""
        if not changes:
            return []
        async with self._store.unit_of_work() as work:
            return await self.apply(work, changes)

    async def apply(self, work: UnitOfWork, changes: Sequence[Change], locked: Locked | None = None) -> list[LegRow]:
        """Apply changes in the caller's transaction; `locked` are the subjects it has locked already. Returns the legs that moved."""
        now = self._clock.now()
        lines = await work.lines_of([change.leg_id for change in changes])
        own = locked is None
        if locked is None:
            locked = Locked(await work.relock_subjects(sorted({subject for _, subject in lines.values()})))
        circuits = await self.circuits.lock(work, filter(None, map(_said, changes)))
        rows = await work.legs(sorted(lines))
        said: list[Said] = []
        changes = await _but_checks(work, changes, rows)
        attempts: list[AttemptRow] = []
        moved = self._moved(rows, changes, locked, said, attempts, now=now)
        if not moved:
            return []
        await work.save_legs(moved)
        await work.add_attempts(attempts)
        closed = [leg for leg in moved if leg.state not in OPEN and rows[leg.leg_id].state in OPEN | {State.HELD}]
        ended = [leg for leg in moved if leg.ended_at is not None and leg.state is not rows[leg.leg_id].state]
        await work.stage_evidence([leg_entry(leg, now) for leg in moved if leg.state in ENDED | {State.HELD, State.PLANNED}])
        opened, untold = await self._outgoings.ends(work, ended, locked, now)
        back = await self._lift(work, [leg for leg in moved if leg.state is State.PLANNED])
        await work.give_turns([*((leg.partner, leg.subject) for leg in closed), *opened, *back])
        if own:
            await locked.save(work)
        await self.circuits.settle(work, circuits, said)
        for leg, why in untold:
            self._telemetry.event("sender-not-told", partner=leg.partner, leg_id=leg.leg_id, code=type(why).__name__)
        for leg in ended:
            self._telemetry.took(f"leg-{leg.state.value}", (now - leg.created_at).total_seconds())
            self._telemetry.event(
                f"leg-{leg.state.value}", partner=leg.partner, leg_id=leg.leg_id, jti=leg.jti, code=leg.reason or leg.last_code
            )
        return moved

    @staticmethod
    async def _lift(work: UnitOfWork, back: Iterable[LegRow]) -> list[tuple[PartnerId, SubjectKey]]:
        """Let what is back in its line lift what stands before it, as an acceptance does; return the lines."""
        lanes: dict[tuple[PartnerId, SubjectKey], Lane] = {}
        for leg in back:
            line = leg.partner, leg.subject
            lanes[line] = max(lanes.get(line, leg.lane), leg.lane, key=lambda lane: lane.rank)
        if urgent := {line: lane for line, lane in lanes.items() if lane is not Lane.ROUTINE}:
            await work.lift(urgent)
        return list(lanes)

    def _moved(
        self,
        rows: Mapping[LegId, LegRow],
        changes: Iterable[Change],
        locked: Locked,
        said: list[Said],
        attempts: list[AttemptRow],
        *,
        now: datetime,
    ) -> list[LegRow]:
        moved: dict[LegId, LegRow] = {}
        for change in changes:
            before = moved.get(change.leg_id) or rows.get(change.leg_id)
            if before is None:
                self._telemetry.event("report-ignored", leg_id=change.leg_id, code="unknown-leg")
                continue
            try:
                after = self._after(before, change, locked, now=now)
            except InvariantError:
                self._telemetry.event("report-ignored", leg_id=change.leg_id, code=change.event.value)
                continue
            if after is not None:
                moved[change.leg_id] = after
                said += filter(None, [_said(change)])
                attempts += filter(None, [_tried(after, change, now)])
        return list(moved.values())

    def _after(self, leg: LegRow, change: Change, locked: Locked, *, now: datetime) -> LegRow | None:
        """Return the leg after one change, None where it stays. Raises `InvariantError` for what cannot be."""
        delivery, event = self._delivery(leg), change.event
        if change.partner is not None and (change.partner != leg.partner or leg.state is State.AVAILABLE):
            raise InvariantError(leg.leg_id, "not this courier's")  # an offered leg is the partner's to answer, never a courier's
        if event is Event.FAILED and exhausted(leg.failures + 1, delivery):  # the end of a lease is no news, and no fault of the partner
            event = Event.GAVE_UP
        state = self._state(leg, event, change)
        if event is Event.NOT_SEALED:  # no attempt was made: none of those the profile allows is used up
            return replace(leg, last_code=change.code, lease_until=None, due_at=now + PAUSE)
        if state is leg.state and not (state is State.RECEIPTED and leg.proof is None):
            refuses = change.proof is not None and change.code == State.REFUSED.name != leg.last_code  # who refuses in the end has it not
            return replace(leg, last_code=change.code, proof=change.proof) if refuses else None
        code = change.code if event in DONE else change.code or leg.last_code  # a success is not spoken of in the words of a failure
        leg = replace(leg, state=state, last_code=code, proof=change.proof or leg.proof, lease_until=None)
        if state is State.READY:
            return self._again(leg, event, change, now=now, delivery=delivery)
        if state is State.PLANNED:
            return self._back(leg, event, locked, now=now)
        if state is State.HELD:
            return replace(leg, hold_reason=(change.hold or HoldReason.REVIEW).value, ended_at=None)
        return self._after_end(leg, event, change, now=now)

    def _after_end(self, leg: LegRow, event: Event, change: Change, *, now: datetime) -> LegRow:
        """Return a leg that has come to an end, or to one that still owes a receipt."""
        state, delivery = leg.state, self._delivery(leg)
        if state is State.DELIVERED and delivery.closes is Closes.RECEIPTED:
            return replace(leg, receipt_due_at=now + timedelta(seconds=delivery.receipt_seconds), ended_at=None, reason=None)
        reason = change.reason or (ATTEMPTS_USED if event is Event.GAVE_UP and change.event is not Event.GAVE_UP else None)
        return replace(leg, ended_at=now, receipt_due_at=None, reason=reason)

    def _again(self, leg: LegRow, event: Event, change: Change, *, now: datetime, delivery: Delivery) -> LegRow:
        """Say when a leg goes again: after a lease that ended at once, as the lease was pause enough; after a failure later each time."""
        if event is Event.LEASE_ENDED:
            return replace(leg, due_at=now)
        failures = leg.failures + 1
        due = next_attempt(now, failures, delivery=delivery, jitter=self._dice.jitter(), partner_asked=change.retry_after)
        return replace(leg, failures=failures, due_at=due)

    def _back(self, leg: LegRow, event: Event, locked: Locked, *, now: datetime) -> LegRow:
        """Put a leg at the end of its line, with all its attempts before it. Raises `InvariantError` where its subject was erased."""
        if leg.subject not in locked.rows:
            raise InvariantError(leg.leg_id, "its subject was erased")
        if event is Event.RELEASED:
            leg = self._released(leg)
        if event is Event.REDELIVERED:
            leg = replace(leg, proof=None, last_code=None)  # what was said of it before the partner lost it is in evidence
        seq = locked.next(leg.subject)
        return replace(leg, seq=seq, due_at=now, failures=0, receipt_due_at=None, reason=None, ended_at=None)

    def _released(self, leg: LegRow) -> LegRow:
        """Say for what a release is good. One from a suspension is about the partner: nobody has looked at what the leg carries.

        A suspension may have hidden that the policies ask for review, so sealing asks them, where it has not done so before.
        """
        if leg.hold_reason == HoldReason.SUSPENDED.value:
            return replace(leg, hold_reason=None, policy_digest=leg.policy_digest if leg.signed is not None else "")
        return replace(leg, hold_reason=None, released_under=self._holder.current.grounds.policies.digest)

    @staticmethod
    def _state(leg: LegRow, event: Event, change: Change) -> State:
        if change.attempt is not None:
            return after_report(leg.leg_id, leg.state, event, attempt=leg.attempt, reported=change.attempt)
        return advance(leg.leg_id, leg.state, event, attempt=leg.attempt)

    def _delivery(self, leg: LegRow) -> Delivery:
        profile = self._holder.current.directory.find(leg.partner)
        if profile is None or profile.delivery is None:
            return GONE
        return profile.delivery


def _said(change: Change) -> Said | None:
    """Return what a courier's report says of the partner; nothing else says anything of it, nor an attempt that we cut short ourselves."""
    if change.partner is None or change.event is Event.LEASE_ENDED:
        return None
    return Said(partner=change.partner, event=change.event, code=change.code, retry_after=change.retry_after)


def _tried(leg: LegRow, change: Change, now: datetime) -> AttemptRow | None:
    """Return the attempt that a change tells the end of; what a person or a clock does to a leg is none."""
    if change.attempt is None:
        return None
    code = ANSWERED if change.event is Event.DELIVERED else change.code or "unknown"
    return AttemptRow(
        partner=leg.partner, leg_id=leg.leg_id, jti=leg.jti, number=change.attempt, at=now, code=code,
        retry_after=None if change.retry_after is None else int(change.retry_after.total_seconds()),
        again_at=leg.due_at if leg.state is State.READY else None,
    )  # fmt: skip


async def _but_checks(work: UnitOfWork, changes: Sequence[Change], rows: Mapping[LegId, LegRow]) -> list[Change]:
    """Take out the reports about checks of partners, and note them: a check has no leg, and is of nobody."""
    left: list[Change] = []
    for change in changes:
        code = ANSWERED if change.event is Event.DELIVERED else change.code or "unknown"
        if change.leg_id in rows or change.partner is None or not await work.end_check(change.partner, change.leg_id, code):
            left.append(change)
    return left


class Timers:
    """What is due without anybody reporting it: leases, expiry, receipts owed. Safe in several inners: settling looks again."""

    def __init__(self, store: Store, settle: Settle, *, clock: Clock, limit: int = 200) -> None:
        """Look at `limit` legs at a time."""
        self._store, self._settle, self._clock, self._limit = store, settle, clock, limit

    async def run_once(self) -> int:
        """Settle what is due; return how many legs moved."""
        now = self._clock.now()
        async with self._store.reading() as work:
            due = await work.due_timers(now, limit=self._limit)
        return len(await self._settle.run([change for leg in due if (change := _due(leg, now)) is not None]))


def _due(leg: LegRow, now: datetime) -> Change | None:
    if leg.state is State.SENDING and leg.lease_until is not None and leg.lease_until <= now:
        return Change(leg_id=leg.leg_id, event=Event.LEASE_ENDED, attempt=leg.attempt, code=NO_REPORT)
    if leg.state is State.DELIVERED and leg.receipt_due_at is not None and leg.receipt_due_at <= now:
        return Change(leg_id=leg.leg_id, event=Event.GAVE_UP, reason=NO_RECEIPT)
    if leg.state not in {State.SENDING, State.DELIVERED} and leg.expires_at <= now:
        return Change(leg_id=leg.leg_id, event=Event.EXPIRED, reason="EXPIRED")
    return None
