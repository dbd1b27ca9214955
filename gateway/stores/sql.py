"""The unit of work over a connection: the same code for SQLite and PostgreSQL. Rows become the port's dataclasses here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, Final, cast

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.app.ports import (
    AsideCount,
    AsideFilter,
    CheckpointRow,
    Earlier,
    EpochEndedError,
    LegRow,
    MessageRow,
    RefusalRow,
    SubjectRow,
    WatchRow,
    WrappedKey,
)
from gateway.contract.errors import InvariantError
from gateway.contract.values import Jti, Lane, LegId, PartnerId, Ref, SubjectKey
from gateway.core.delivery import State
from gateway.core.facts import Answered, Head
from gateway.core.message import Signed
from gateway.core.standing import Span
from gateway.stores import line_statements as line
from gateway.stores import log_statements as log
from gateway.stores import statements as s
from gateway.stores.connected import Translation, micros, singles
from gateway.stores.partner_work import PartnerWork

Line = tuple[PartnerId, SubjectKey]

NEVER: Final = datetime(9999, 12, 31, tzinfo=UTC)
LEG_FIELDS: Final = tuple(f.name for f in fields(LegRow) if f.name != "message")
REFUSAL_FIELDS: Final = tuple(f.name for f in fields(RefusalRow) if f.name != "message")
WATCH_FIELDS: Final = tuple(f.name for f in fields(WatchRow) if f.name != "message")
MESSAGE_FIELDS: Final = tuple(f.name for f in fields(MessageRow) if f.name not in {"ref", "wrapped"})


@asynccontextmanager
async def transaction(engine: AsyncEngine, translated: Translation, *, writes: bool) -> AsyncIterator[SqlUnitOfWork]:
    """Open a transaction; commit it on leaving without an exception, else roll back."""
    async with AsyncExitStack() as stack:
        with translated():
            connection = await stack.enter_async_context(engine.connect())
            await connection.begin()
        yield SqlUnitOfWork(connection, translated, writes=writes)
        with translated():
            await connection.commit()


class SqlUnitOfWork(PartnerWork):
    """One transaction on one connection."""

    # --- intake

    async def claim(self, ids: Sequence[Signed], at: datetime) -> set[Ref]:
        """Claim (`signer`, `jti`); an id given twice is claimed once, with the digest that came first."""
        first: dict[tuple[str, str], Signed] = {}
        for signed in ids:
            first.setdefault((signed.signer, signed.jti), signed)
        if not first:
            return set()
        when = micros(at)
        rows = await self._rows(s.claim(), lines=[[iss, jti, signed.digest, when] for (iss, jti), signed in sorted(first.items())])
        return {Ref(row.iss, row.jti) for row in rows}

    async def earlier(self, refs: Sequence[Ref]) -> dict[Ref, Earlier]:
        """Return what was accepted before. Raises `InvariantError` for a claim that was committed without its receipt."""
        found: dict[Ref, Earlier] = {}
        for row in await self._rows(s.earlier(), lines=_pairs(refs)) if refs else ():
            if row.receipt is None:
                raise InvariantError(row.iss, row.jti, "claimed without a receipt")
            ref = Ref(row.iss, row.jti)
            found[ref] = Earlier(ref, row.digest, row.receipt)
        return found

    async def save_receipts(self, receipts: Mapping[Ref, bytes]) -> None:
        """Store the signed receipts of claimed references."""
        rows = [{"of_iss": ref.iss, "of_jti": ref.jti, "new_receipt": receipt} for ref, receipt in sorted(receipts.items())]
        await self._many(s.save_receipt(), rows)

    async def unclaim(self, refs: Sequence[Ref]) -> None:
        """Take back claims of this transaction that have no receipt."""
        if refs:
            await self._run(s.unclaim(), lines=_pairs(refs))

    async def lock_subjects(self, keys: Mapping[SubjectKey, WrappedKey]) -> dict[SubjectKey, SubjectRow]:
        """Insert missing subjects and lock all. One whose key was destroyed (erased) gets the new key given."""
        if not keys:
            return {}
        await self._run(s.insert_subjects(), lines=singles(keys))
        seqs, wrapped = await self._lock(sorted(keys))
        missing = [key for key in seqs if key not in wrapped]
        new = [{"key": key, "epoch": keys[key].epoch, "wrapped": keys[key].wrapped} for key in missing]
        await self._many(s.insert_subject_key(), new)
        await self._refuse_ended({keys[key].epoch for key in missing})
        wrapped |= {key: keys[key] for key in missing}
        return _subjects(seqs, wrapped)

    async def relock_subjects(self, keys: Sequence[SubjectKey]) -> dict[SubjectKey, SubjectRow]:
        """Lock subjects that exist."""
        return _subjects(*await self._lock(keys)) if keys else {}

    async def _lock(self, keys: Sequence[SubjectKey]) -> tuple[dict[SubjectKey, int], dict[SubjectKey, WrappedKey]]:
        """Lock, then read the keys: in one statement they would come from the snapshot before the wait."""
        wanted = singles(keys)
        seqs = {row.key: row.seq for row in await self._rows(s.lock_subjects(), lines=wanted)}
        wrapped = {row.key: WrappedKey(row.epoch, row.wrapped) for row in await self._rows(s.subject_keys(), lines=wanted)}
        return seqs, wrapped

    async def set_seq(self, seqs: Mapping[SubjectKey, int]) -> None:
        """Store the last `seq` given out for locked subjects."""
        if seqs:
            await self._run(s.set_seq(), lines=sorted(seqs.items()))

    async def answered(self, jtis: Sequence[Jti]) -> dict[Jti, Answered]:
        """Return the legs with these `jti`, with what their originals say."""
        rows = await self._rows(s.answered(), lines=singles(jtis)) if jtis else ()
        return {
            row.jti: Answered(row.leg_id, row.jti, row.partner, Ref(row.iss, row.of_jti), row.family, row.txn, row.subject, row.state)
            for row in rows
        }

    async def heads(self, keys: Sequence[SubjectKey], *, besides: PartnerId) -> dict[SubjectKey, list[Head]]:
        """Return what was said of subjects, oldest first, without what came by the channel `besides`: the gateway's own."""
        found: dict[SubjectKey, list[Head]] = {}
        for row in await self._rows(s.heads(), lines=singles(keys), besides=besides) if keys else ():
            found.setdefault(row.subject, []).append(Head(Ref(row.iss, row.jti), row.family, row.txn, row.received_at))
        return found

    async def lock_senders(self, senders: Sequence[PartnerId]) -> dict[PartnerId, datetime | None]:
        """Insert missing senders and lock all; return when the urgent quota of each will be whole again."""
        if not senders:
            return {}
        await self._run(line.insert_senders(), lines=singles(senders))
        return {row.sender: row.urgent_until for row in await self._rows(line.lock_senders(), lines=singles(senders))}

    async def save_senders(self, until: Mapping[PartnerId, datetime]) -> None:
        """Store when the urgent quotas of locked senders will be whole again."""
        await self._many(line.save_sender(), [{"of_sender": sender, "new_until": at} for sender, at in sorted(until.items())])

    async def add_messages(self, rows: Sequence[MessageRow]) -> None:
        """Insert messages and, in a table apart, their keys."""
        data, keys = s.insert_messages()
        await self._many(data, [_values(row, MESSAGE_FIELDS, iss=row.ref.iss, jti=row.ref.jti) for row in rows])
        await self._many(keys, [{"iss": row.ref.iss, "jti": row.ref.jti, "wrapped": row.wrapped} for row in rows])

    async def add_legs(self, rows: Sequence[LegRow]) -> None:
        """Insert legs, and the rows that their partners are locked by."""
        if rows:
            await self._run(s.insert_partners(), lines=singles({row.partner for row in rows}))
        await self._many(s.insert_legs(), [_values(row, LEG_FIELDS, **_of(row.message)) for row in rows])

    async def add_refusals(self, rows: Sequence[RefusalRow]) -> None:
        """Insert refusals."""
        await self._many(s.insert_refusals(), [_values(row, REFUSAL_FIELDS, **_of(row.message)) for row in rows])

    # --- the line

    async def lift(self, lines: Mapping[Line, Lane]) -> None:
        """Raise the open legs of each (partner, subject) to at least that lane."""
        if lines:
            await self._run(s.lift(), lines=[[*line, lane.rank] for line, lane in lines.items()])

    async def give_turns(self, lines: Sequence[Line]) -> list[LegId]:
        """Make ready the planned head of each (partner, subject) that has nothing open before it."""
        rows = await self._rows(s.give_turns(), lines=sorted(set(lines))) if lines else ()
        return sorted(row.leg_id for row in rows)

    async def previous_sent(self, lines: Sequence[Line]) -> dict[Line, tuple[Jti, datetime]]:
        """Return the `jti` last sent to each partner on each subject, and when."""
        rows = await self._rows(s.previous_sent(), lines=lines) if lines else ()
        return {(row.partner, row.subject): (row.jti, row.sent_at) for row in rows if row.jti is not None}

    async def undelivered_before(self, legs: Sequence[LegId]) -> set[LegId]:
        """Return those legs that have a held or dead leg of a smaller `seq` on the same (partner, subject)."""
        return {row.leg_id for row in await self._rows(s.undelivered_before(), lines=singles(legs))} if legs else set()

    # --- seal

    async def due_partners(self, now: datetime) -> list[tuple[PartnerId, Lane]]:
        """Return which (partner, lane) have claimable legs, by partner, the fastest lane first."""
        found = [(row.partner, row.lane) for row in await self._rows(s.due_partners(), now=now)]
        return sorted(found, key=lambda pair: (pair[0], -pair[1].rank))

    async def lock_partner(self, partner: PartnerId, now: datetime) -> int:
        """Lock the partner's row and return how many of its legs are sending, or claimed by a lease that lasts."""
        if not await self._rows(s.lock_partner(), of_partner=partner):
            await self._run(s.insert_partners(), lines=[[partner]])
            await self._rows(s.lock_partner(), of_partner=partner)
        [[count]] = await self._rows(s.under_way(), of_partner=partner, now=now)
        return int(count)

    async def wake(self, partner: PartnerId, now: datetime, *, limit: int) -> int:
        """Make legs of a locked partner due that wait after a failure."""
        return len(await self._rows(s.wake(), of_partner=partner, now=now, limit=limit))

    async def taken_since(self, partner: PartnerId, span: Span, *, after: LegId | None, limit: int) -> list[LegRow]:
        """Return what a partner took in a span and what is good yet, in the order it was first sent."""
        given = {"of_partner": partner, "since": span.since, "until": span.until, "after": after or "", "limit": limit}
        return [_leg(row) for row in await self._rows(line.taken_since(), **given)]

    async def claim_legs(self, partner: PartnerId, lane: Lane, *, now: datetime, until: datetime, limit: int) -> list[LegRow]:
        """Lease due ready legs, oldest first, only the head of each (partner, subject)."""
        rows = await self._rows(s.claim_legs(), of_partner=partner, of_lane=lane, now=now, until=until, limit=limit)
        return sorted(map(_leg, rows), key=lambda leg: (leg.due_at, leg.seq, leg.leg_id))

    async def offered(self, partner: PartnerId, *, now: datetime, until: datetime, limit: int) -> list[LegRow]:
        """Lease again available legs whose visibility has ended; the longest unseen are taken, and come oldest first."""
        rows = await self._rows(s.offered(), of_partner=partner, now=now, until=until, limit=limit)
        return sorted(map(_leg, rows), key=lambda leg: (leg.due_at, leg.seq, leg.leg_id))

    async def start_attempts(self, legs: Sequence[LegRow], *, claimed_until: datetime) -> set[LegId]:
        """Save claimed legs where the row is still as claimed. `lane` stays the row's: it may have been lifted meanwhile."""
        if not legs:
            return set()
        claimed = [[leg.leg_id, leg.attempt, leg.signed_digest] for leg in legs]
        mine = {row.leg_id for row in await self._rows(s.lock_as_claimed(), lines=claimed, until=claimed_until)}
        await self._many(s.save_leg(s.STARTED), [_changes(leg, s.STARTED) for leg in legs if leg.leg_id in mine])
        return mine

    async def end_leases(self, now: datetime) -> int:
        """End the leases of workers that have ended."""
        return len(await self._rows(s.end_leases(), now=now))

    # --- settle

    async def lines_of(self, leg_ids: Sequence[LegId]) -> dict[LegId, Line]:
        """Return the (partner, subject) of legs."""
        rows = await self._rows(s.lines_of(), lines=singles(leg_ids)) if leg_ids else ()
        return {row.leg_id: (row.partner, row.subject) for row in rows}

    async def legs(self, leg_ids: Sequence[LegId]) -> dict[LegId, LegRow]:
        """Read legs, locked for update where this unit of work writes."""
        rows = await self._rows(s.legs(locked=self._writes), lines=singles(leg_ids)) if leg_ids else ()
        return {row.leg_id: _leg(row) for row in rows}

    async def legs_by_jti(self, partner: PartnerId, jtis: Sequence[Jti]) -> dict[Jti, LegRow]:
        """Read one partner's legs by their tokens' ids."""
        rows = await self._rows(s.legs_by_jti(), of_partner=partner, lines=singles(jtis)) if jtis else ()
        return {row.jti: _leg(row) for row in rows}

    async def legs_of(self, message: Ref) -> list[LegRow]:
        """Read all legs of a message, by seq and partner."""
        return [_leg(row) for row in await self._rows(s.legs_of(), iss=message.iss, jti=message.jti)]

    async def legs_of_each(self, messages: Sequence[Ref]) -> dict[Ref, list[LegRow]]:
        """Read all legs of several messages, each by seq and partner."""
        found: dict[Ref, list[LegRow]] = {}
        for row in await self._rows(s.legs_of_each(), lines=_pairs(messages)) if messages else ():
            found.setdefault(Ref(row.message_iss, row.message_jti), []).append(_leg(row))
        return found

    async def refusals_of(self, message: Ref) -> list[RefusalRow]:
        """Read all refusals of a message."""
        rows = await self._rows(s.refusals_of(), iss=message.iss, jti=message.jti)
        return [RefusalRow(message=message, **{name: getattr(row, name) for name in REFUSAL_FIELDS}) for row in rows]

    async def save_legs(self, legs: Sequence[LegRow]) -> None:
        """Write the mutable columns of legs read with `legs`."""
        await self._many(s.save_leg(s.MOVED), [_changes(leg, s.MOVED) for leg in legs])

    async def due_timers(self, now: datetime, *, limit: int) -> list[LegRow]:
        """Return legs whose time has come, the longest overdue first."""
        return [_leg(row) for row in await self._rows(s.due_timers(), now=now, limit=limit)]

    async def messages(self, refs: Sequence[Ref]) -> dict[Ref, MessageRow]:
        """Read messages; one whose key is destroyed is not found."""
        rows = await self._rows(s.messages(), lines=_pairs(refs)) if refs else ()
        return {(message := _message(row)).ref: message for row in rows}

    async def subject_keys(self, keys: Sequence[SubjectKey]) -> dict[SubjectKey, SubjectRow]:
        """Read subjects without a lock; one whose key is destroyed is not found."""
        rows = await self._rows(s.subjects(), lines=singles(keys)) if keys else ()
        return {row.key: SubjectRow(key=row.key, seq=row.seq, epoch=row.epoch, wrapped=row.wrapped) for row in rows}

    async def oldest_due(self) -> datetime | None:
        """Return since when the oldest ready leg is due."""
        row = await self._row(s.oldest_due())
        return None if row is None else cast("datetime | None", row.due_at)

    async def counts(self) -> dict[tuple[PartnerId, State], int]:
        """Count legs by partner and state."""
        return {(row.partner, row.state): row.legs for row in await self._rows(s.counts())}

    # --- what stands aside

    async def aside(self, state: State, which: AsideFilter, *, limit: int) -> list[LegRow]:
        """Read held or dead legs by id."""
        given = {"of_partner": which.partner, "of_hold_reason": which.hold_reason, "since": which.since, "after": which.after or ""}
        return [_leg(row) for row in await self._rows(s.aside(state), **given, limit=limit)]

    async def aside_counts(self) -> list[AsideCount]:
        """Count held and dead legs by partner and reason."""
        return [AsideCount(**row._asdict()) for row in await self._rows(s.aside_counts())]

    # --- watched deadlines

    async def add_watches(self, rows: Sequence[WatchRow]) -> None:
        """Insert watches."""
        await self._many(s.insert_watches(), [_values(row, WATCH_FIELDS, **_of(row.message)) for row in rows])

    async def due_watches(self, kind: str, now: datetime, *, limit: int) -> list[WatchRow]:
        """Return watches of a kind whose time has come, the longest overdue first."""
        return [_watch(row) for row in await self._rows(s.due_watches(), of_kind=kind, now=now, limit=limit)]

    async def lock_watch(self, kind: str, message: Ref) -> WatchRow | None:
        """Lock a watch; None where it has ended."""
        row = await self._row(s.lock_watch(), of_kind=kind, of_iss=message.iss, of_jti=message.jti)
        return None if row is None else _watch(row)

    async def save_watch(self, row: WatchRow) -> None:
        """Write `due_at` and `round` of a locked watch."""
        await self._run(s.save_watch(), **_key(row), new_due_at=row.due_at, new_round=row.round)

    async def end_watch(self, row: WatchRow) -> None:
        """Delete a locked watch."""
        await self._run(s.end_watch(), **_key(row))

    async def overdue_watches(self) -> dict[str, int]:
        """Count, by kind, the watches that were due at least once and have not ended."""
        return {row.kind: row.watches for row in await self._rows(s.overdue_watches())}

    # --- requests

    async def remember_requests(self, ids: Sequence[tuple[PartnerId, Jti, datetime]]) -> set[tuple[PartnerId, Jti]]:
        """Note request tokens' ids until their `exp`; return those that were new."""
        rows = [[iss, jti, micros(exp)] for iss, jti, exp in sorted(ids)]
        return {(row.iss, row.jti) for row in await self._rows(s.remember_requests(), lines=rows)} if rows else set()

    async def forget_requests(self, now: datetime) -> None:
        """Delete request ids whose `exp` is past."""
        await self._run(s.forget_requests(), now=now)

    # --- everything

    async def submissions_after(self, after: Ref | None, limit: int) -> list[Earlier]:
        """Return what was accepted, by reference."""
        iss, jti = ("", "") if after is None else (after.iss, after.jti)
        rows = await self._rows(log.submissions_after(), iss=iss, jti=jti, limit=limit)
        return [Earlier(Ref(row.iss, row.jti), row.digest, row.receipt) for row in rows]

    async def legs_after(self, after: LegId | None, limit: int) -> list[LegRow]:
        """Return all legs, by id."""
        return [_leg(row) for row in await self._rows(log.legs_after(), after=after or "", limit=limit)]

    # --- epochs

    async def epochs(self) -> dict[str, int]:
        """Count the keys of subjects by epoch."""
        return {row.epoch: row.held for row in await self._rows(log.epochs())}

    async def keys_under(self, epoch: str, limit: int) -> dict[SubjectKey, bytes]:
        """Return wrapped keys under an epoch, locked where this unit of work writes."""
        rows = await self._rows(log.keys_under(locked=self._writes), epoch=epoch, limit=limit)
        return {row.key: row.wrapped for row in rows}

    async def rewrap(self, keys: Mapping[SubjectKey, WrappedKey]) -> None:
        """Replace wrapped keys."""
        await self._many(log.rewrap(), [{"of_key": key, "new_epoch": new.epoch, "new_wrapped": new.wrapped} for key, new in keys.items()])
        await self._refuse_ended({new.epoch for new in keys.values()})

    async def end_epoch(self, epoch: str) -> int:
        """Take a lease in the name of the epoch that never ends, while nobody can put keys; return how many are under it."""
        if self._connection.dialect.name == "postgresql":  # SQLite has one writer
            await self._run(log.hold_keys())
        await self.take_lease(log.EPOCH + epoch, log.ENDED, NEVER, NEVER)
        return (await self.epochs()).get(epoch, 0)

    async def _refuse_ended(self, epochs: Iterable[str]) -> None:
        """Raise `EpochEndedError` where one has ended. Asked after the keys were written: who ends an epoch waits for us, or we see it."""
        names = singles(log.EPOCH + epoch for epoch in epochs)
        for row in await self._rows(log.ended(), lines=names) if names else ():
            epoch = row.name.removeprefix(log.EPOCH)
            raise EpochEndedError(f"the epoch {epoch} was destroyed: run gateway reload on this inner")

    # --- evidence

    async def stage_evidence(self, entries: Sequence[bytes]) -> None:
        """Stage entries in their order."""
        await self._many(log.stage(), [{"entry": entry} for entry in entries])

    async def take_lease(self, name: str, holder: str, now: datetime, until: datetime) -> int | None:
        """Take or renew the named lease; return its epoch, or None where another holds it."""
        row = await self._row(log.take_lease(), name=name, holder=holder, now=now, until=until)
        return None if row is None else int(row.epoch)

    async def staged(self, limit: int) -> list[tuple[int, bytes]]:
        """Return staged entries, oldest first, with their staged ids."""
        return [(row.staged_id, row.entry) for row in await self._rows(log.staged(), limit=limit)]

    async def log_size(self) -> int:
        """Return how many leaves are integrated."""
        [[size]] = await self._rows(log.log_size())
        return int(size)

    async def log_nodes(self, coords: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        """Return hashes of complete subtrees by (level, index)."""
        rows = await self._rows(log.log_nodes(), lines=coords) if coords else ()
        return {(row.level, row.idx): row.hash for row in rows}

    async def integrate(self, leaves: Sequence[tuple[int, int, bytes, bytes]], nodes: Sequence[tuple[int, int, bytes]]) -> None:
        """Move staged entries into the log. Raises `InvariantError` if an index is taken or an entry is not staged any more."""
        into_leaves, into_nodes = log.insert_leaves()
        await self._many(into_leaves, [{"idx": idx, "entry": entry, "leaf_hash": digest} for _, idx, entry, digest in leaves])
        if leaves and await self._run(log.unstage(), lines=[[staged_id] for staged_id, *_ in leaves]) != len(leaves):
            raise InvariantError("evidence", "another sequencer has integrated a staged entry")
        await self._many(into_nodes, [{"level": level, "idx": idx, "hash": digest} for level, idx, digest in nodes])

    async def add_checkpoint(self, size: int, root: bytes, note: str, at: datetime) -> None:
        """Store a signed checkpoint."""
        await self._run(log.insert_checkpoint(), size=size, root=root, note=note, at=at)

    async def latest_checkpoint(self) -> CheckpointRow | None:
        """Return the newest checkpoint."""
        row = await self._row(log.latest_checkpoint())
        return None if row is None else _checkpoint(row)

    async def checkpoint_at(self, size: int) -> CheckpointRow | None:
        """Return the checkpoint of that size."""
        row = await self._row(log.checkpoint_at(), size=size)
        return None if row is None else _checkpoint(row)

    async def checkpoints(self) -> list[CheckpointRow]:
        """Return all checkpoints, by size."""
        return [_checkpoint(row) for row in await self._rows(log.checkpoints())]

    async def leaf_index(self, leaf_hash: bytes) -> int | None:
        """Return where an entry stands in the log."""
        [[index]] = await self._rows(log.leaf_index(), leaf_hash=leaf_hash)
        return None if index is None else int(index)

    async def leaves(self, start: int, limit: int) -> list[tuple[int, bytes]]:
        """Return integrated entries from `start`."""
        return [(row.idx, row.entry) for row in await self._rows(log.leaves(), start=start, limit=limit)]

    # --- cursors and versions

    async def cursor(self, name: str) -> int:
        """Return the stored position of a projection, 0 at first."""
        row = await self._row(log.cursor(), name=name)
        return 0 if row is None else int(row.position)

    async def set_cursor(self, name: str, position: int) -> bool:
        """Store the position of a projection; return whether it moved. It never goes back."""
        return await self._row(log.set_cursor(), name=name, position=position) is not None

    async def replace_log(self, opening: bytes) -> None:
        """Take the log away and stage the entry that opens the next."""
        for statement in log.empty_log():
            await self._run(statement)
        await self.stage_evidence([opening])

    async def destroy_keys(self, *, messages: Sequence[Ref], subjects: Sequence[SubjectKey], epochs: Sequence[str]) -> int:
        """Delete keys; return how many there were."""
        given = {log.destroy_message_keys: [[ref.iss, ref.jti] for ref in messages], log.destroy_subject_keys: [[key] for key in subjects]}
        given[log.destroy_keys_under] = [[epoch] for epoch in epochs]
        return sum([await self._run(statement(), lines=lines) for statement, lines in given.items() if lines])

    async def versions(self) -> dict[str, int]:
        """Return the schema's version and the oldest code version it supports."""
        return {row.name: row.value for row in await self._rows(log.versions())}


def _pairs(refs: Iterable[Ref]) -> list[list[str]]:
    return [[ref.iss, ref.jti] for ref in sorted(set(refs))]


def _of(message: Ref) -> dict[str, str]:
    return {"message_iss": message.iss, "message_jti": message.jti}


def _values(row: object, names: Sequence[str], **more: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names} | more


def _changes(leg: LegRow, columns: tuple[str, ...]) -> dict[str, Any]:
    return {"of_leg_id": leg.leg_id} | {f"new_{name}": getattr(leg, name) for name in (*columns, *s.SIGNED)}


def _subjects(seqs: Mapping[SubjectKey, int], keys: Mapping[SubjectKey, WrappedKey]) -> dict[SubjectKey, SubjectRow]:
    """Join subjects and keys; what was erased has no key, and is not found."""
    return {key: SubjectRow(key=key, seq=seq, epoch=keys[key].epoch, wrapped=keys[key].wrapped) for key, seq in seqs.items() if key in keys}


def _leg(row: Row[Any]) -> LegRow:
    return LegRow(message=Ref(row.message_iss, row.message_jti), **{name: getattr(row, name) for name in LEG_FIELDS})


def _watch(row: Row[Any]) -> WatchRow:
    return WatchRow(message=Ref(row.message_iss, row.message_jti), **{name: getattr(row, name) for name in WATCH_FIELDS})


def _key(row: WatchRow) -> dict[str, str]:
    return {"of_kind": row.kind, "of_iss": row.message.iss, "of_jti": row.message.jti}


def _checkpoint(row: Row[Any]) -> CheckpointRow:
    return CheckpointRow(row.size, row.root, row.note, row.at)


def _message(row: Row[Any]) -> MessageRow:
    return MessageRow(ref=Ref(row.iss, row.jti), wrapped=row.wrapped, **{name: getattr(row, name) for name in MESSAGE_FIELDS})
