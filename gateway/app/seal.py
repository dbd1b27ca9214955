"""Sealing: due legs become signed, encrypted documents on the bus.

Three steps, of which only the first and the last touch the database, each in one short transaction for all partners:

1. claim: per partner at most what its circuit lets through of its window, outside its quiet hours, only the head of each
   (partner, subject), leased, urgent lanes first;
2. seal, in a thread: view → document → signed once → encrypted anew. What was signed before is sent again as it was: other content never
   goes out under the same `jti`. The first sealing asks the policies in force now: the narrower answer wins;
3. start: the row moves before the bus does, `attempt + 1`, fenced by the claim's lease. What is lost between here and the bus goes again
   when the lease ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from gateway.app import codec, rows, topics
from gateway.app.ports import Bus, Clock, LegRow, MessageRow, Outgoing, Store, SubjectRow, Telemetry
from gateway.app.records import leg_entry
from gateway.app.safe import Safe
from gateway.app.settle import Change, Settle
from gateway.app.world import Holder, World
from gateway.contract.errors import InvariantError
from gateway.contract.values import Jti, Lane, LegId, PartnerId, Ref, Removed, Sealed, SubjectKey
from gateway.core import limits, tokens
from gateway.core.circuit import Position
from gateway.core.decided import HoldReason, Reason
from gateway.core.decision import hold_of, look_again
from gateway.core.delivery import Event, State, advance
from gateway.core.facts import NO_FACTS
from gateway.core.message import Message
from gateway.core.minimise import deliver_event, minimise, reasons
from gateway.core.policy import Effect
from gateway.core.profiles import Delivery, Profile
from gateway.core.quiet import quiet_until
from gateway.core.recipients import LeadTime, lead_time_of
from gateway.core.referral import is_barred
from gateway.core.standing import Standing

INBOX: Final = "inbox"
NOT_SEALED: Final = "not-sealed"
CHANNEL: Final = "channel"  # a register's own Kafka topic: ours to write, so no courier is asked


@dataclass(frozen=True, slots=True)
class Material:
    """Everything sealing reads beside the legs, fetched in a few statements for a whole batch."""

    messages: Mapping[Ref, MessageRow]
    subjects: Mapping[SubjectKey, SubjectRow]
    previous: Mapping[tuple[PartnerId, SubjectKey], tuple[Jti, datetime]]
    undelivered: frozenset[LegId]
    checkpoint: str | None
    standings: Mapping[PartnerId, Standing]


@dataclass(frozen=True, slots=True)
class Opened:
    """A stored message, opened once for all its legs in a batch."""

    key: bytes
    message: Message
    lead: LeadTime | None  # None too where the sender left: it has no law of its own to reckon by
    marks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """What sealing made of claimed legs: those to start, with their bytes, and those that stop here."""

    started: tuple[tuple[LegRow, bytes], ...]
    stopped: tuple[Change, ...]


class Sealer:
    """Turns claimed legs into sealed bytes. Used for push by `Seal` and for polls by `Inbox`."""

    def __init__(self, holder: Holder, safe: Safe, telemetry: Telemetry) -> None:
        """Take the world and the safe; `telemetry` hears of what cannot be sealed: a key or an epoch is missing, a row is broken."""
        self._holder, self._safe, self._telemetry = holder, safe, telemetry

    async def seal(self, work_store: Store, legs: Sequence[LegRow], *, now: datetime, event: Event) -> Batch:
        """Seal legs; `event` is what starting them will be: published or offered."""
        if not legs:
            return Batch((), ())
        material = await self._material(work_store, legs)
        return await asyncio.to_thread(self._seal_all, legs, material, now, event)

    async def _material(self, store: Store, legs: Sequence[LegRow]) -> Material:
        unsigned = [leg for leg in legs if leg.signed is None]
        async with store.reading() as work:
            standings = await work.standings()
            messages = await work.messages(sorted({leg.message for leg in legs}))
            subjects = await work.subject_keys(sorted({row.subject for row in messages.values()}))
            previous = await work.previous_sent(sorted({(leg.partner, leg.subject) for leg in unsigned})) if unsigned else {}
            undelivered = await work.undelivered_before([leg.leg_id for leg in unsigned]) if unsigned else set()
            checkpoint = await work.latest_checkpoint() if unsigned else None
        return Material(messages, subjects, previous, frozenset(undelivered), checkpoint.note if checkpoint else None, standings)

    def _seal_all(self, legs: Sequence[LegRow], material: Material, now: datetime, event: Event) -> Batch:
        started: list[tuple[LegRow, bytes]] = []
        stopped: list[Change] = []
        opened: dict[Ref, Opened] = {}
        for leg in legs:
            try:
                result = self._seal_one(leg, material, opened, now=now, event=event)
            except Exception as exc:  # noqa: BLE001 -- a key is missing, a row broken, a format fails: the other legs do not wait for it
                self._telemetry.event("leg-not-sealed", partner=leg.partner, leg_id=leg.leg_id, code=type(exc).__name__)
                result = Change(leg_id=leg.leg_id, event=Event.NOT_SEALED, code=NOT_SEALED)
            if isinstance(result, Change):
                stopped.append(result)
            else:
                started.append(result)
        return Batch(tuple(started), tuple(stopped))

    def _seal_one(
        self, leg: LegRow, material: Material, opened: dict[Ref, Opened], *, now: datetime, event: Event
    ) -> tuple[LegRow, bytes] | Change:
        world = self._holder.current
        profile = world.directory.by_id(leg.partner)
        if material.standings.get(leg.partner) is Standing.SUSPENDED:
            profile = replace(profile, suspended=True)
        if leg.expires_at <= now or leg.delete_by <= now:  # R-GEN-04, asked again at sealing
            return Change(leg_id=leg.leg_id, event=Event.EXPIRED, reason=Reason.EXPIRED.value)
        original = opened.get(leg.message) or opened.setdefault(leg.message, self._open(material, leg.message))
        looked = _look(leg, original.message, profile, world, now)
        if isinstance(looked, Change):
            return looked
        state = looked.state if looked.state is State.AVAILABLE else advance(leg.leg_id, leg.state, event, attempt=leg.attempt)
        if leg.signed is not None:
            signed = self._safe.open(original.key, leg.signed, of=leg.message, what=leg.jti)
            if _is_revoked(signed, world):
                return Change(leg_id=leg.leg_id, event=Event.HELD, hold=HoldReason.KEY_REVOKED)
            started = replace(looked, state=state, attempt=leg.attempt + 1)
        else:
            signed = self._sign(looked, original, material, now)
            kept = self._safe.seal(original.key, signed, of=leg.message, what=leg.jti)
            digest, sent_at = tokens.digest_of(signed), _after(material.previous.get((leg.partner, leg.subject)), now)
            started = replace(looked, state=state, attempt=leg.attempt + 1, signed=kept, signed_digest=digest, sent_at=sent_at)
        return started, encrypted(signed, profile, world, now)

    def _open(self, material: Material, ref: Ref) -> Opened:
        context, row = self._holder.current.context, material.messages[ref]
        key = self._safe.message_key(material.subjects[row.subject], row.wrapped)
        message = rows.read_message(row, self._safe.open(key, row.payload, of=ref, what="payload"), context.uri_base)
        known = context.directory.find(message.iss) is not None
        lead = lead_time_of(message, context, received_at=row.received_at) if known else None
        return Opened(key, message, lead, rows.read_marks(self._safe.open(key, row.facts, of=ref, what="facts")))

    def record_key(self, leg: LegRow) -> bytes:
        """Return the bus key of a leg: an HMAC over partner and subject, so that the outer zone cannot link a person over countries."""
        return self._safe.record_key(leg.partner, leg.subject)

    def _sign(self, leg: LegRow, original: Opened, material: Material, now: datetime) -> bytes:
        world, message = self._holder.current, original.message
        previous = material.previous.get((leg.partner, leg.subject))
        profile = world.directory.by_id(leg.partner)
        delivery = _delivery(profile)
        removed = tuple(Removed(*r) for r in leg.removed)
        view = minimise(message, frozenset(leg.groups), profile, world.grounds.schemas, removed=removed, roles=rows.roles_of(leg))
        event = deliver_event(
            view, original=message.ref, subject_iss=message.subject[1], previous=None if previous is None else previous[0],
            prior_undelivered=leg.leg_id in material.undelivered, lead_time=original.lead, checkpoint=material.checkpoint,
            marks=original.marks,
        )  # fmt: skip
        document = world.formats[delivery.format].render(replace(view, event=event))
        claims = {
            "iss": world.context.gateway, "aud": leg.partner, "jti": leg.jti, "iat": int(now.timestamp()),
            "toe": int(message.toe.timestamp()), "txn": message.txn, "events": {document.event_uri: document.event},
        }  # fmt: skip
        return tokens.sign(claims, world.signers.document, typ=tokens.EVENT)


def _after(previous: tuple[Jti, datetime] | None, now: datetime) -> datetime:
    """Return when something is sent: after what was sent before it on its line, though the clock of who sent that be ahead of ours."""
    return now if previous is None else max(now, previous[1] + timedelta(microseconds=1))


def _delivery(profile: Profile) -> Delivery:
    if profile.delivery is None:
        raise InvariantError(profile.id, "takes no deliveries")
    return profile.delivery


def encrypted(signed: bytes, profile: Profile, world: World, now: datetime) -> bytes:
    """Return a signed document as it leaves: encrypted to the partner, anew each time, unless its profile waives that."""
    if not _delivery(profile).encrypt:
        return signed
    return tokens.encrypt(signed, world.context.keyring.encryption_key(profile.id, now))


def _is_revoked(signed: bytes, world: World) -> bool:
    """Say whether the key that signed a document of ours was revoked since: nobody believes it any more, and it is signed once."""
    kid = tokens.unwrap(signed, {}, typ=tokens.EVENT, encrypted="allowed").kid
    return any(entry.kid == kid and entry.revoked_at is not None for entry in world.signers.public.entries)


def _stopped(leg: LegRow, profile: Profile) -> Change | None:
    """Return what stops a leg because of what its partner is now, whatever policy says: suspended, or no provider of support any more."""
    if profile.suspended:
        return Change(leg_id=leg.leg_id, event=Event.HELD, hold=HoldReason.SUSPENDED)
    if not is_barred(leg.family, profile.kind):
        return None
    if leg.attempt > 0 or leg.signed is not None:
        return Change(leg_id=leg.leg_id, event=Event.HELD, hold=HoldReason.POLICY_CHANGED)
    return Change(leg_id=leg.leg_id, event=Event.REFUSED, reason=Reason.POLICY.value)


def _look(leg: LegRow, message: Message, profile: Profile, world: World, now: datetime) -> LegRow | Change:
    """Look again where partner or policies changed since the decision. Stricter after the first attempt: held, never other content."""
    stopped = _stopped(leg, profile)
    if stopped is not None:
        return stopped
    policies = world.grounds.policies
    if leg.policy_digest == policies.digest:
        return leg
    sender = world.directory.find(message.iss)
    home = sender.country if sender is not None else profile.country  # what the gateway says itself is at home everywhere
    answer = look_again(message, profile, rows.roles_of(leg), home=home, grounds=world.grounds, now=now)
    released = leg.released_under == policies.digest  # a person has looked at it under these very policies: what they forbid stays so
    hold = None if released else hold_of(message, profile, answer, facts=NO_FACTS, home=home)[0]
    stricter = answer.send.effect is Effect.DENY or hold is not None or not set(leg.groups) <= answer.allowed
    if leg.attempt > 0 or leg.signed is not None:
        return Change(leg_id=leg.leg_id, event=Event.HELD, hold=HoldReason.POLICY_CHANGED) if stricter else leg
    if answer.send.effect is Effect.DENY:
        return Change(leg_id=leg.leg_id, event=Event.REFUSED, reason=Reason.POLICY.value)
    if hold is not None:
        return Change(leg_id=leg.leg_id, event=Event.HELD, hold=hold)
    groups = answer.allowed & set(leg.groups)
    _, missing = world.grounds.schemas.cut(message.family, message.event, frozenset(groups))
    earlier = {group: (group, reason, because) for group, reason, because in leg.removed}
    now_removed = {r.group: (r.group, r.reason, r.because) for r in reasons(missing, answer.groups, profile)}
    removed = tuple(earlier.get(group) or now_removed[group] for group in sorted(now_removed))
    return replace(leg, groups=tuple(sorted(groups)), removed=removed, policy_digest=policies.digest)


class Seal:
    """Claims, seals and publishes what is due, for push transports."""

    def __init__(  # noqa: PLR0913 -- the ports a use case takes
        self,
        store: Store,
        bus: Bus,
        sealer: Sealer,
        *,
        settle: Settle,
        holder: Holder,
        clock: Clock,
        telemetry: Telemetry,
        lease_seconds: int = limits.LEASE_SECONDS_MAX,
    ) -> None:
        """Take the ports. A claim and the attempt after it are leased for `lease_seconds`."""
        self._store, self._bus, self._sealer, self._settle = store, bus, sealer, settle
        self._holder, self._clock, self._telemetry = holder, clock, telemetry
        self._lease = timedelta(seconds=lease_seconds)

    async def run_once(self) -> int:
        """Publish what is due now; return how many legs were claimed."""
        now = self._clock.now()
        until = now + self._lease
        claimed = await self._claim(now, until)
        if not claimed:
            return 0
        batch = await self._sealer.seal(self._store, claimed, now=now, event=Event.PUBLISHED)
        await self._settle.run(batch.stopped)
        await self._start(batch, until)
        self._telemetry.took("seal-batch", (self._clock.now() - now).total_seconds())
        return len(claimed)

    async def _claim(self, now: datetime, until: datetime) -> list[LegRow]:
        async with self._store.reading() as work:
            due = await work.due_partners(now)
        directory = self._holder.current.directory
        wanted = sorted(((partner, lane) for partner, lane in due if self._may_go(partner, lane, now)), key=lambda p: (p[0], -p[1].rank))
        if not wanted:
            return []
        claimed: list[LegRow] = []
        async with self._store.unit_of_work() as work:
            room: dict[PartnerId, int] = {}
            circuits = await work.circuits(sorted({partner for partner, _ in wanted}))
            for partner, lane in wanted:
                if partner not in circuits:  # another inner claims or settles for it this moment, and nobody waits for that
                    continue
                if partner not in room:
                    full = min(_delivery(directory.by_id(partner)).window, limits.WINDOW_COUNT_MAX)
                    window = circuits[partner].window(now, full)
                    room[partner] = window - await work.lock_partner(partner, now)
                if room[partner] > 0:
                    legs = await work.claim_legs(partner, lane, now=now, until=until, limit=room[partner])
                    if circuits[partner].position(now) is Position.CLOSED:
                        room[partner] -= len(legs)  # half open, each lane has its probe: no leg that always fails keeps the others' out
                    claimed += legs
        return claimed

    def _may_go(self, partner: PartnerId, lane: Lane, now: datetime) -> bool:
        """Say whether a partner's legs of a lane are pushed now; those of one whose profile is gone wait for it, or expire."""
        world = self._holder.current
        profile = world.directory.find(partner)
        if profile is None or profile.delivery is None or profile.delivery.transport == INBOX:
            return False
        return quiet_until(now, profile.delivery.quiet, lane, world.context.reference.zone_offsets) is None

    async def _start(self, batch: Batch, until: datetime) -> None:
        legs = [replace(leg, lease_until=until) for leg, _ in batch.started]
        if not legs:
            return
        async with self._store.unit_of_work() as work:
            saved = await work.start_attempts(legs, claimed_until=until)
            now = self._clock.now()
            await work.stage_evidence([leg_entry(leg, now) for leg in legs if leg.leg_id in saved and leg.attempt == 1])
        sent = [(leg, body) for leg, body in batch.started if leg.leg_id in saved]
        await self._bus.publish([self._record(leg, body, until) for leg, body in sent])
        delivered = [Change(leg_id=leg.leg_id, event=Event.DELIVERED, attempt=leg.attempt) for leg, _ in sent if self._is_channel(leg)]
        await self._settle.run(delivered)  # the broker's acknowledgement is this transport's yes

    def _is_channel(self, leg: LegRow) -> bool:
        return _delivery(self._holder.current.directory.by_id(leg.partner)).transport == CHANNEL

    def _record(self, leg: LegRow, body: bytes, until: datetime) -> Outgoing:
        delivery = _delivery(self._holder.current.directory.by_id(leg.partner))
        if delivery.transport == CHANNEL:
            return Outgoing(topics.results(leg.partner), self._sealer.record_key(leg), body, {"content-type": "application/secevent+jwt"})
        sealed = Sealed(leg_id=leg.leg_id, jti=leg.jti, partner=leg.partner, attempt=leg.attempt, not_after=until, body=body)
        return Outgoing(topics.deliveries(delivery.shard, leg.lane), self._sealer.record_key(leg), codec.encode_sealed(sealed))
