"""Intake: bytes in, receipts out, one commit in between.

A batch is admitted in threads (cryptography releases the interpreter lock) and then written in one transaction of three steps,
each its own statement at READ COMMITTED, because facts read in the statement that locks would come from an older snapshot:

1. claim (`iss`, `jti`), in key order; who loses the race waits for the winner's commit and reads its receipt;
2. lock the subjects' rows, in key order;
3. read the facts and decide, member by member, each seeing the earlier ones' effects.

Message, legs, refusals, staged evidence and the signed receipt commit together; only then a receipt leaves this module. No member can
fail another: one that cannot be decided rolls the batch back and is answered alone, and the rest goes again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from gateway.app import records, rows
from gateway.app.circuits import Circuits
from gateway.app.escalate import watch_rows
from gateway.app.history import History
from gateway.app.locked import Locked
from gateway.app.outgoing import Line, Outgoings
from gateway.app.ports import (
    Clock,
    Dice,
    Earlier,
    LegRow,
    MessageRow,
    RefusalRow,
    Store,
    StoreUnavailableError,
    Telemetry,
    UnitOfWork,
    WatchRow,
)
from gateway.app.quota import Quota
from gateway.app.safe import Safe
from gateway.app.settle import Change, Settle
from gateway.app.world import Holder, World
from gateway.contract.errors import InvariantError
from gateway.contract.values import Jti, Lane, PartnerId, Ref, SubjectKey
from gateway.core import receipts, tokens
from gateway.core.admission import Accepted, Rejected, admit
from gateway.core.decided import Decision, Reason
from gateway.core.decision import QUOTA_SPENT, decide
from gateway.core.delivery import Event
from gateway.core.evidence.merkle import leaf_hash
from gateway.core.facts import Answered
from gateway.core.families import ACKNOWLEDGEMENT
from gateway.core.message import Message, Signed
from gateway.core.problems import Code, Problem, UntrustedError
from gateway.core.request_tokens import RequestIdentity

INTERNAL: Final = Problem(
    code=Code.INTERNAL, detail="the message could not be decided here; an operator has been told", expected="send it again later"
)
CONFLICT: Final = Problem(
    code=Code.CONFLICT, detail="this jti was accepted before with other content", expected="a new jti for new content", claim="jti"
)
AGAIN: Final = Problem(
    code=Code.UNAVAILABLE, detail="another content under this jti was rejected this moment", expected="send it again"
)  # fmt: skip
UNMATCHED: Final = Problem(
    code=Code.REPLY_UNMATCHED, detail="no message to you has this iss and jti", expected="the iss and jti of the token you received",
    pointer="/routing/in_response_to",
)  # fmt: skip


class TokenUsedError(UntrustedError):
    """A request token was used before: replayed, or brought again by the bus after an inner died."""


REPLAYED: Final = TokenUsedError("request token used twice")


@dataclass(frozen=True, slots=True)
class Submission:
    """Bytes that came by the channel of one partner."""

    raw: bytes
    channel: PartnerId
    request: RequestIdentity | None = None  # of the request token: remembered in the same commit


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What to answer. `receipt` is the stored, signed receipt; `rejection` a signed rejection of a trusted message."""

    receipt: bytes | None = None
    repeated: bool = False
    problems: tuple[Problem, ...] = ()
    rejection: bytes | None = None
    token_used: bool = False  # the request's, before: whoever is not trusted reads the same problem


class _PoisonError(Exception):
    """A member of the batch broke an invariant: the transaction is rolled back, and the rest goes again without it."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.index = index


@dataclass(slots=True)
class _Batch:
    """What one transaction writes, gathered over the members."""

    now: datetime
    world: World
    locked: Locked
    history: History
    quota: Quota
    checkpoint: str | None
    messages: list[MessageRow] = field(default_factory=list)
    legs: list[LegRow] = field(default_factory=list)
    refusals: list[RefusalRow] = field(default_factory=list)
    watches: list[WatchRow] = field(default_factory=list)
    entries: list[bytes] = field(default_factory=list)
    receipts: dict[Ref, bytes] = field(default_factory=dict)
    rejected: dict[Ref, Outcome] = field(default_factory=dict)
    lifts: dict[Line, Lane] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    async def flush(self, work: UnitOfWork) -> None:
        """Write the rows gathered so far."""
        await work.add_messages(self.messages)
        await work.add_legs(self.legs)
        await work.add_refusals(self.refusals)
        await work.add_watches(self.watches)
        for rows_ in (self.messages, self.legs, self.refusals, self.watches):
            rows_.clear()


class Intake:
    """Accepts or rejects submissions."""

    def __init__(  # noqa: PLR0913 -- the ports a use case takes
        self,
        store: Store,
        holder: Holder,
        safe: Safe,
        *,
        settle: Settle,
        outgoings: Outgoings,
        clock: Clock,
        dice: Dice,
        telemetry: Telemetry,
    ) -> None:
        """Take the ports."""
        self._store, self._holder, self._safe, self._settle, self._outgoings = store, holder, safe, settle, outgoings
        self._clock, self._dice, self._telemetry = clock, dice, telemetry

    @property
    def circuits(self) -> Circuits:
        """Where it is noted that partners came to us."""
        return self._settle.circuits

    async def accept(self, submissions: Sequence[Submission]) -> list[Outcome]:
        """Answer each submission, in order. Raises `StoreUnavailableError`: then nothing of the batch was accepted."""
        now, world = self._clock.now(), self._holder.current
        judged = await asyncio.to_thread(lambda: [admit(s.raw, channel=s.channel, ctx=world.context, now=now) for s in submissions])
        outcomes: list[Outcome | None] = [None] * len(submissions)
        while True:
            members = {i: judgement for i, judgement in enumerate(judged) if outcomes[i] is None}
            try:
                done = await self._transact(members, submissions, world, now)
            except _PoisonError as exc:
                outcomes[exc.index] = Outcome(problems=(INTERNAL,))
                self._telemetry.event("message-quarantined", partner=submissions[exc.index].channel, code=Code.INTERNAL.value)
                continue
            break
        for i, outcome in done.items():
            outcomes[i] = outcome
        answers = [outcome for outcome in outcomes if outcome is not None]
        self._tell(submissions, judged, answers)
        self._telemetry.took("intake-batch", (self._clock.now() - now).total_seconds())
        return answers

    def _tell(self, submissions: Sequence[Submission], judged: Sequence[Accepted | Rejected], answers: Sequence[Outcome]) -> None:
        for submission, judgement, answer in zip(submissions, judged, answers, strict=True):
            if answer.receipt is not None:
                self._telemetry.event("message-repeated" if answer.repeated else "message-accepted", partner=submission.channel)
            else:
                reason = judgement.reason if isinstance(judgement, Rejected) else ""
                self._telemetry.event("message-rejected", partner=submission.channel, code=answer.problems[0].code.value)
                if reason and answer.problems[0].code is Code.UNTRUSTED:
                    self._telemetry.event("message-untrusted", partner=submission.channel, code=reason)

    async def _transact(
        self, members: Mapping[int, Accepted | Rejected], submissions: Sequence[Submission], world: World, now: datetime
    ) -> dict[int, Outcome]:
        told = {i: Outcome(problems=m.problems) for i, m in members.items() if isinstance(m, Rejected) and m.signed is None}
        requests = {i: request for i in members if (request := submissions[i].request) is not None}
        if len(told) == len(members) and not requests:
            return told
        async with self._store.unit_of_work() as work:
            told |= await _again(work, {i: members[i] for i in await _replayed(work, requests)})
            known = {i: m for i, m in members.items() if i not in told}
            told |= await self._decide_all(work, known, world, now) if known else {}
            came = {submissions[i].channel for i, m in known.items() if isinstance(m, Accepted) or i in requests}
            await self.circuits.contact(work, came)
            return told

    async def _decide_all(
        self, work: UnitOfWork, members: Mapping[int, Accepted | Rejected], world: World, now: datetime
    ) -> dict[int, Outcome]:
        answered = await self._answered(work, [m.message for m in members.values() if isinstance(m, Accepted)])
        outcomes: dict[int, Outcome] = {}
        fresh = {i: m for i, m in members.items() if isinstance(m, Accepted) and not _unmatched(m.message, answered)}
        ids = {i: _signed_of(member) for i, member in members.items()}
        wanted: dict[Ref, Signed] = {}
        for i in fresh:
            wanted.setdefault(_ref(ids[i]), ids[i])  # one id with two contents in one batch: the first is kept, as it is the one decided
        claimed = await work.claim([wanted[ref] for ref in sorted(wanted)], now)
        first: dict[Ref, int] = {}
        for i in fresh:
            if _ref(ids[i]) in claimed:
                first.setdefault(_ref(ids[i]), i)
        others = {_ref(ids[i]) for i in members if tokens.is_uuid7(ids[i].jti)} - set(first)  # no other jti was ever accepted
        earlier = await work.earlier(sorted(others))
        batch = await self._open_batch(work, {i: fresh[i] for i in first.values()}, answered, world, now)
        answered = await self._answered(work, [fresh[i].message for i in first.values()])  # again: no fact is older than the locks
        await batch.history.prepare([(fresh[i].message, self._subject(fresh[i].message, answered)) for i in first.values()])
        for i, member in members.items():
            ref = _ref(ids[i])
            if first.get(ref) == i:
                outcomes[i] = await self._accept_one(work, i, fresh[i], answered, batch)
            elif ref in batch.rejected:
                outcomes[i] = batch.rejected[ref] if ids[i].digest == ids[first[ref]].digest else Outcome(problems=(AGAIN,))
            elif first.get(ref, i) < i:  # twice in one batch: the first decides
                outcomes[i] = _repeat(ids[i], Earlier(ref, ids[first[ref]].digest, batch.receipts[ref]))
            elif ref in earlier:
                outcomes[i] = _repeat(ids[i], earlier[ref])
            else:
                outcomes[i] = self._reject(ids[i], member, batch)
        await self._write(work, batch)
        return outcomes

    async def _answered(self, work: UnitOfWork, messages: Sequence[Message]) -> dict[Jti, Answered]:
        jtis = {m.in_response_to.jti for m in messages if m.in_response_to is not None}
        return await work.answered(sorted(jtis)) if jtis else {}

    async def _open_batch(
        self, work: UnitOfWork, fresh: Mapping[int, Accepted], answered: Mapping[Jti, Answered], world: World, now: datetime
    ) -> _Batch:
        keys = {self._subject(accepted.message, answered) for accepted in fresh.values()}
        rows_locked = await work.lock_subjects({key: self._safe.new_subject_key(key) for key in sorted(keys)}) if keys else {}
        checkpoint = await work.latest_checkpoint()
        note = None if checkpoint is None else checkpoint.note
        locked = Locked(rows_locked)
        history = History(work, self._safe, self._outgoings, locked=locked, world=world)
        quota = await Quota.lock(work, [accepted.message for accepted in fresh.values()], directory=world.directory, now=now)
        return _Batch(now, world, locked, history, quota, note)

    def _subject(self, message: Message, answered: Mapping[Jti, Answered]) -> SubjectKey:
        """Return the subject's key; a reply counts to the original's."""
        told = _told(message, answered)
        return self._safe.index(message, None if told is None else told.subject)

    async def _accept_one(
        self, work: UnitOfWork, index: int, accepted: Accepted, answered: Mapping[Jti, Answered], batch: _Batch
    ) -> Outcome:
        try:
            return await self._accept(work, accepted, answered, batch)
        except StoreUnavailableError:
            raise
        except Exception as exc:  # whatever is wrong with this member, no member can fail another
            raise _PoisonError(index) from exc

    async def _accept(self, work: UnitOfWork, accepted: Accepted, answered: Mapping[Jti, Answered], batch: _Batch) -> Outcome:
        message, world, now = accepted.message, batch.world, batch.now
        told = _told(message, answered)
        subject = batch.locked.rows[self._subject(message, answered)]
        facts = await batch.history.facts(message, subject.key, self._spelt(told, message))
        facts = replace(facts, urgent_spent=batch.quota.spent(message))
        decision = decide(accepted, facts, grounds=world.grounds, now=now, new_id=lambda: self._dice.uuid7(now))
        if isinstance(decision, Rejected):
            batch.rejected[message.ref] = self._reject(_signed_of(accepted), decision, batch)
            return batch.rejected[message.ref]
        row = rows.message_row(
            message, accepted.token, facts, channel=message.iss, subject=subject, safe=self._safe, digests=world.grounds.digests,
            marks=decision.marks, now=now,
        )  # fmt: skip
        legs, refusals = rows.rows_of(
            message, decision, subject=subject.key, seq=batch.locked.next(subject.key), policy_digest=world.grounds.policies.digest, now=now
        )
        batch.quota.use(message)
        if QUOTA_SPENT in decision.notices:
            self._telemetry.event("rate-limited", partner=message.iss, code="urgent")
        entry = records.accepted_entry(row, message.digest, legs, refusals, now)
        batch.messages.append(row)
        batch.watches += watch_rows(row, message, decision, tables=world.context.tables, now=now)
        batch.legs += legs
        batch.refusals += refusals
        batch.entries.append(entry)
        batch.lifts |= {
            (leg.partner, leg.subject): max(leg.lane, batch.lifts.get((leg.partner, leg.subject), leg.lane), key=lambda x: x.rank)
            for leg in legs
            if leg.lane is not Lane.ROUTINE
        }
        batch.lines += [(leg.partner, leg.subject) for leg in legs]
        batch.history.add(message, subject.key, legs, now)
        batch.changes += [Change(leg_id=r.leg_id, event=r.event, reason=Reason.WITHDRAWN.value) for r in decision.recalls]
        if told is not None and message.family.name == ACKNOWLEDGEMENT:
            batch.changes.append(Change(leg_id=told.leg_id, event=Event.RECEIPTED, proof=message.digest, code=_answer_code(message)))
        receipt = self._receipt(message, entry, accepted, decision, batch)
        batch.receipts[message.ref] = receipt
        if decision.alerts:
            await batch.flush(work)  # alerts are written after what they are about
            batch.lines += await self._outgoings.alerts(work, message, decision.alerts, subject=subject.key, locked=batch.locked, now=now)
        return Outcome(receipt=receipt)

    def _spelt(self, told: Answered | None, message: Message) -> Answered | None:
        """Return what is answered with its `txn` as messages spell it, where the reply has the same: rows of referrals do not say it."""
        if told is None or told.txn != self._safe.conversation(told.subject, message.txn):
            return told
        return replace(told, txn=message.txn)

    def _receipt(self, message: Message, entry: bytes, accepted: Accepted, decision: Decision, batch: _Batch) -> bytes:
        claims = receipts.receipt_claims(
            self._head(batch),
            Signed(message.iss, message.jti, message.digest),
            leaf=leaf_hash(entry),
            warnings=(*accepted.notices, *decision.notices),
            checkpoint=batch.checkpoint,
        )
        return tokens.sign(claims, batch.world.signers.receipt, typ=tokens.RECEIPT)

    def _reject(self, signed: Signed, member: Accepted | Rejected, batch: _Batch) -> Outcome:
        problems = member.problems if isinstance(member, Rejected) else (UNMATCHED,)
        if isinstance(member, Rejected) and not member.trusted:
            return Outcome(problems=problems)  # counted only: the key was outside its period
        batch.entries.append(records.rejected_entry(signed, problems, batch.now))
        claims = receipts.rejection_claims(self._head(batch), signed, problems=problems)
        return Outcome(problems=problems, rejection=tokens.sign(claims, batch.world.signers.receipt, typ=tokens.REJECTION))

    def _head(self, batch: _Batch) -> receipts.Head:
        return receipts.Head(batch.world.context.gateway, self._dice.uuid7(batch.now), batch.now)

    async def _write(self, work: UnitOfWork, batch: _Batch) -> None:
        await batch.flush(work)
        await work.stage_evidence(batch.entries)
        if batch.lifts:
            await work.lift(batch.lifts)
        if batch.changes:
            await self._settle.apply(work, batch.changes, batch.locked)
        if batch.lines:
            await work.give_turns(batch.lines)
        await batch.locked.save(work)
        await batch.quota.save(work)
        await work.save_receipts(batch.receipts)
        await work.unclaim(sorted(batch.rejected))


async def _replayed(work: UnitOfWork, requests: Mapping[int, RequestIdentity]) -> list[int]:
    """Remember request tokens; return the members whose token was used before, in this batch too."""
    if not requests:
        return []
    new = await work.remember_requests([(r.partner, r.jti, r.exp) for r in requests.values()])
    replayed = []
    for i, request in requests.items():
        if (request.partner, request.jti) in new:
            new.discard((request.partner, request.jti))
        else:
            replayed.append(i)
    return replayed


async def _again(work: UnitOfWork, members: Mapping[int, Accepted | Rejected]) -> dict[int, Outcome]:
    """Answer requests that came before: what such a request had accepted gets its stored receipt, and nothing else is looked at.

    The bus brings a request again when inner was killed between commit and answer: its sender asked once, and must not hear "untrusted".
    """
    signed = {i: _signed_of(member) for i, member in members.items() if isinstance(member, Accepted) or member.signed is not None}
    ids = {i: one for i, one in signed.items() if tokens.is_uuid7(one.jti)}  # no other jti was ever accepted
    earlier = await work.earlier(sorted({_ref(signed) for signed in ids.values()})) if ids else {}
    refused = Outcome(problems=(REPLAYED.problem,), token_used=True)
    return {i: _repeat(ids[i], earlier[_ref(ids[i])]) if i in ids and _ref(ids[i]) in earlier else refused for i in members}


def _signed_of(member: Accepted | Rejected) -> Signed:
    if isinstance(member, Accepted):
        return Signed(member.message.iss, member.message.jti, member.message.digest)
    if member.signed is None:
        raise InvariantError("unsigned")
    return member.signed


def _ref(signed: Signed) -> Ref:
    return Ref(signed.signer, signed.jti)


def _repeat(signed: Signed, earlier: Earlier) -> Outcome:
    if signed.digest != earlier.digest:
        return Outcome(problems=(CONFLICT,))
    return Outcome(receipt=earlier.receipt, repeated=True)


def _told(message: Message, answered: Mapping[Jti, Answered]) -> Answered | None:
    """Return the leg a reply answers: one to its sender."""
    if message.in_response_to is None:
        return None
    told = answered.get(message.in_response_to.jti)
    return told if told is not None and told.partner == message.iss and message.in_response_to.iss == message.aud else None


def _unmatched(message: Message, answered: Mapping[Jti, Answered]) -> bool:
    """Say whether a reply answers nothing that was sent to its sender (R-CNV-01)."""
    return message.in_response_to is not None and _told(message, answered) is None


def _answer_code(message: Message) -> str:
    stage: str = message.body["stage"]
    return stage
