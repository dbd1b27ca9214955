"""Escalation: a safeguarding concern that nobody has answered in time is told to the desk, the sender and the place's police (R-SAF-04).

What is watched is a row, written in the accepting transaction. When it is due, one transaction locks the subject and then the watch, looks
at the legs again, and either ends the watch (somebody has the concern, its sender took it back, its end is past) or makes a round: an alert
to the sender and one to the national desk, a leg of the concern to each police partner of the place that has none yet, the next due time.
So rounds go on after a crash where they stood, and two processes that look at once make one round. What cannot be made for one of them is
made for the others: a round is never given up for a part of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from gateway.app.locked import Locked
from gateway.app.outgoing import Line, Outgoings
from gateway.app.ports import Clock, Dice, LegRow, MessageRow, RefusalRow, Store, StoreUnavailableError, Telemetry, UnitOfWork, WatchRow
from gateway.app.records import extended_entry
from gateway.app.rows import leg_row, refusal_row
from gateway.app.world import Holder
from gateway.contract.errors import GatewayError
from gateway.contract.values import Country, PartnerId, Ref
from gateway.core.correction import TAKEN_BACK
from gateway.core.decided import Alert, Decision
from gateway.core.decision import decide_for
from gateway.core.escalation import ALERT, UNANSWERED, WITHOUT_A_ROW, has_it, patience, police_of, watches
from gateway.core.facts import NO_FACTS, corrected
from gateway.core.families import CORRECTION
from gateway.core.message import Message
from gateway.core.rules import RuleTables


def watch_rows(row: MessageRow, message: Message, decision: Decision, *, tables: RuleTables, now: datetime) -> list[WatchRow]:
    """Return what is to be watched from the acceptance of a message on."""
    return [
        WatchRow(kind=watch.kind, message=row.ref, subject=row.subject, due_at=watch.due_at, until=row.delete_by)
        for watch in watches(message, decision, tables, now=now)
    ]


class Escalate:
    """Makes the rounds that are due. Safe in several inners."""

    def __init__(  # noqa: PLR0913 -- the ports a use case takes
        self, store: Store, holder: Holder, outgoings: Outgoings, *, clock: Clock, dice: Dice, telemetry: Telemetry, limit: int = 50
    ) -> None:
        """Take the ports; `outgoings` makes the alerts. Look at `limit` watches at a time."""
        self._store, self._holder, self._outgoings = store, holder, outgoings
        self._clock, self._dice, self._telemetry, self._limit = clock, dice, telemetry, limit

    async def run_once(self) -> int:
        """Look at every watch that is due; return how many moved. Raises `StoreUnavailableError`."""
        now = self._clock.now()
        async with self._store.reading() as work:
            due = await work.due_watches(UNANSWERED, now, limit=self._limit)
        moved = 0
        for row in due:
            try:
                moved += await self._look(row, now)
            except StoreUnavailableError:
                raise
            except Exception as exc:  # noqa: BLE001 -- whatever is wrong with this one, it must not keep the others from being told
                self._tell("escalation-incomplete", row, type(exc).__name__)
        return moved

    async def _look(self, seen: WatchRow, now: datetime) -> bool:
        async with self._store.unit_of_work() as work:
            locked = Locked(await work.relock_subjects([seen.subject]))
            watch = await work.lock_watch(seen.kind, seen.message)
            if watch is None or watch.due_at > now:  # another has looked meanwhile
                return False
            legs = await work.legs_of(watch.message)
            taken_back = await self._taken_back(work, watch, locked)
            over = _over(watch, legs, taken_back=taken_back is True, now=now)
            if over is None:
                watch = await self._round(work, watch, legs, locked, stands=taken_back is False, now=now)
            else:
                await work.end_watch(watch)
        if over is None:
            self._tell(UNANSWERED, watch, f"round-{watch.round}")
        else:
            self._tell(over, watch)
        return True

    async def _round(
        self, work: UnitOfWork, watch: WatchRow, legs: Sequence[LegRow], locked: Locked, *, stands: bool, now: datetime
    ) -> WatchRow:
        """Tell everybody once more; return the watch as it goes on."""
        original = await self._original(work, watch, locked)
        lines: list[Line] = []
        if original is not None:
            told = [to for to in dict.fromkeys((original.iss, self._holder.current.desk)) if to is not None]
            parts = [partial(self._alert, work, original, watch, to, locked=locked, now=now) for to in told]
            if stands:  # else nobody knows whether it may still go out
                parts.append(partial(self._to_police, work, original, watch, legs, locked=locked, now=now))
            for part in parts:
                lines += await self._part(watch, part)
        wait = WITHOUT_A_ROW if original is None else patience(original, self._holder.current.context.tables, now=now)
        watch = replace(watch, due_at=now + wait, round=watch.round + 1)
        await work.save_watch(watch)
        if lines:
            await work.give_turns(lines)
        await locked.save(work)
        return watch

    async def _taken_back(self, work: UnitOfWork, watch: WatchRow, locked: Locked) -> bool | None:
        """Say whether its sender took the concern back; None where what it said since cannot be read."""
        known = await work.heads([watch.subject], besides=self._holder.current.context.gateway)
        refs = [head.ref for head in known.get(watch.subject, ()) if head.family == CORRECTION and head.ref.iss == watch.message.iss]
        rows = await work.messages(refs) if refs else {}
        try:
            found = [self._outgoings.read(rows[ref], locked) for ref in refs]
        except (GatewayError, LookupError) as exc:
            self._tell("escalation-incomplete", watch, type(exc).__name__)
            return None
        return any(corrected(message) == watch.message and message.body["kind"] in TAKEN_BACK for message in found)

    async def _original(self, work: UnitOfWork, watch: WatchRow, locked: Locked) -> Message | None:
        """Read the concern; one whose key is destroyed or missing can be told to nobody, but an operator hears of it."""
        rows = await work.messages([watch.message])
        try:
            return self._outgoings.read(rows[watch.message], locked)
        except (GatewayError, LookupError) as exc:
            self._tell("escalation-incomplete", watch, type(exc).__name__)
            return None

    async def _part(self, watch: WatchRow, make: Callable[[], Awaitable[list[Line]]]) -> list[Line]:
        """Make one part of a round; one that cannot be made stops no other."""
        try:
            return await make()
        except StoreUnavailableError:
            raise
        except (GatewayError, LookupError) as exc:
            self._tell("escalation-incomplete", watch, type(exc).__name__)
            return []

    async def _alert(
        self, work: UnitOfWork, original: Message, watch: WatchRow, to: PartnerId, *, locked: Locked, now: datetime
    ) -> list[Line]:
        return await self._outgoings.alerts(work, original, [Alert(ALERT, (to,))], subject=watch.subject, locked=locked, now=now)

    async def _to_police(
        self, work: UnitOfWork, original: Message, watch: WatchRow, legs: Sequence[LegRow], *, locked: Locked, now: datetime
    ) -> list[Line]:
        """Send the concern itself to the place's police who have not got it: one leg for each, ever."""
        grounds, sender = self._holder.current.grounds, self._holder.current.directory.find(original.iss)
        home = Country(original.body["event"]["place"]["country"]) if sender is None else sender.country
        routed = police_of(original, grounds.directory, told={leg.partner for leg in legs})
        decision = decide_for(original, routed, NO_FACTS, home=home, grounds=grounds, now=now, new_id=lambda: self._dice.uuid7(now))
        refused = await self._new_refusals(work, watch.message, decision)
        if not decision.legs and not refused:
            return []
        seq = locked.next(watch.subject) if decision.legs else 0
        digest = grounds.policies.digest
        added = [leg_row(original, leg, subject=watch.subject, seq=seq, policy_digest=digest, now=now) for leg in decision.legs]
        await work.add_legs(added)
        await work.add_refusals(refused)
        await work.stage_evidence([extended_entry(watch.message, ALERT, added, refused, decided_by=grounds.digests, at=now)])
        if added:
            await work.lift({(leg.partner, leg.subject): leg.lane for leg in added})
        return [(leg.partner, leg.subject) for leg in added]

    @staticmethod
    async def _new_refusals(work: UnitOfWork, message: Ref, decision: Decision) -> list[RefusalRow]:
        """Return the refusals that are not on record yet: a round repeats none."""
        recorded = await work.refusals_of(message)
        known = {(row.partner, row.country, row.reason) for row in recorded}
        new = [r for r in decision.refusals if (r.partner, r.country, r.reason.value) not in known]
        first = max((row.position for row in recorded), default=-1) + 1
        return [refusal_row(message, position, refusal) for position, refusal in enumerate(new, start=first)]

    def _tell(self, name: str, watch: WatchRow, code: str | None = None) -> None:
        self._telemetry.event(name, partner=watch.message.iss, jti=watch.message.jti, code=code)


def _over(watch: WatchRow, legs: Sequence[LegRow], *, taken_back: bool, now: datetime) -> str | None:
    """Return why nobody needs to be told any more, None while somebody does."""
    if any(has_it(leg.state, leg.last_code) for leg in legs):
        return "safeguarding-answered"
    if taken_back:
        return "safeguarding-withdrawn"
    return "safeguarding-lapsed" if watch.until <= now else None
