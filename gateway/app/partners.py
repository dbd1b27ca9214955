"""A partner's life, by its operators' word: paused, suspended, resumed, checked, listed. Rows say how it stands, so every inner knows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from gateway.app import codec, topics
from gateway.app.aside import Done, move
from gateway.app.hold import NOT_HELD
from gateway.app.locked import Locked
from gateway.app.outgoing import Outgoings
from gateway.app.partner_rows import AttemptFilter, AttemptRow
from gateway.app.ports import AsideFilter, Clock, Dice, LegRow, Outgoing, UnitOfWork
from gateway.app.seal import CHANNEL, INBOX, encrypted
from gateway.app.settle import Change, Settle
from gateway.app.world import Holder, World
from gateway.contract.errors import GatewayError
from gateway.contract.values import Jti, Lane, LegId, PartnerId, Ref, Sealed, SubjectKey
from gateway.core import limits, tokens
from gateway.core.commands import AttemptListing, Nothing, OfPartner, Paged, Redelivery
from gateway.core.correction import taken_back
from gateway.core.decided import HoldReason
from gateway.core.delivery import Event, State
from gateway.core.facts import Earlier, Facts
from gateway.core.families import CORRECTION
from gateway.core.problems import Code, MalformedError
from gateway.core.profiles import Delivery, Profile
from gateway.core.standing import VERIFICATION, Line, Span, Standing

TAKEN_BACK: Final = "taken-back"
NOT_TAKEN: Final = "not-delivered"
_NO_LINE: Final = Line()


class PartnerDesk:
    """What an operator does about a partner."""

    def __init__(self, holder: Holder, settle: Settle, outgoings: Outgoings, *, clock: Clock, dice: Dice) -> None:
        """Take what moves legs, what reads messages, and what a check is made with."""
        self._holder, self._settle, self._outgoings, self._clock, self._dice = holder, settle, outgoings, clock, dice

    async def list(self, work: UnitOfWork, _asked: Nothing) -> Done:
        """Return how every partner stands: those with a profile, and those that only have rows any more."""
        now = self._clock.now()
        lines, directory = await work.partner_lines(), self._holder.current.directory
        counts: dict[PartnerId, dict[str, int]] = {}
        for (partner, state), count in (await work.counts()).items():
            counts.setdefault(partner, {})[state.value] = count
        ids = sorted({profile.id for profile in directory} | lines.keys())
        return Done(
            value={"partners": [_row(id_, directory.find(id_), lines.get(id_, _NO_LINE), counts.get(id_, {}), now=now) for id_ in ids]}
        )

    async def attempts(self, work: UnitOfWork, asked: AttemptListing) -> Done:
        """Return what was tried at a partner, newest first, with `next` where there is more. Raises `MalformedError` for one unknown."""
        which = AttemptFilter(partner=PartnerId(asked.partner), since=asked.since, failed=asked.failed, before=asked.after)
        rows = await work.attempts(which, limit=asked.limit)
        if not rows and asked.partner not in await work.partner_lines():
            self._profile(asked)
        more = rows[-1].attempt_id if len(rows) == asked.limit else None
        return Done(value={"attempts": [_tried(row) for row in rows], "next": more})

    async def pause(self, work: UnitOfWork, asked: OfPartner) -> Done:
        """Claim nothing more for a partner; what is under way comes to its end."""
        return await self._stand(work, asked, Standing.PAUSED)

    async def suspend(self, work: UnitOfWork, asked: OfPartner) -> Done:
        """Hold a partner's legs as their turn comes."""
        return await self._stand(work, asked, Standing.SUSPENDED)

    async def resume(self, work: UnitOfWork, asked: Paged) -> Done:
        """Let a partner's legs go again, those that its suspension held first: a page of them at a time, in their order.

        Until the last page the partner is paused, so that nothing is held anew. Raises `MalformedError` where its profile suspends it.
        """
        if self._profile(asked).suspended:
            raise MalformedError(
                "the partner's profile suspends it", code=Code.REQUEST_INVALID, expected="change the profile and reload first",
                claim="arguments.partner",
            )  # fmt: skip
        partner = PartnerId(asked.partner)
        which = AsideFilter(
            partner=partner, hold_reason=HoldReason.SUSPENDED.value, after=LegId(asked.after) if asked.after else None
        )  # fmt: skip
        legs = await work.aside(State.HELD, which, limit=limits.COMMAND_LEGS_COUNT_MAX)
        more = legs[-1].leg_id if len(legs) == limits.COMMAND_LEGS_COUNT_MAX else None
        done = await move(work, self._settle, [leg.leg_id for leg in legs], _released)
        standing = Standing.PAUSED if more else Standing.OPEN
        await work.set_standing(partner, standing)
        value = {**done.value, "partner": partner, "standing": standing.value, "next": more}
        return Done(value=value, targets=done.targets, partner=partner)

    async def redeliver(self, work: UnitOfWork, asked: Redelivery) -> Done:
        """Send again what a partner took and lost, as it was signed, in its order: a page at a time.

        What has expired is left out; what was erased or taken back stays, and so does what nobody can say this of.
        """
        partner, now = self._profile(asked).id, self._clock.now()
        span = Span(since=asked.since, until=min(asked.until or now, now))
        after, limit = LegId(asked.after) if asked.after else None, limits.COMMAND_LEGS_COUNT_MAX
        legs = await work.taken_since(partner, span, after=after, limit=limit)
        gone = await self._taken_back(work, legs)
        done = await move(work, self._settle, [leg.leg_id for leg in legs], lambda leg: _again(leg, gone))
        more = legs[-1].leg_id if len(legs) == limit else None
        value = {**done.value, "partner": partner, "until": span.until.isoformat(), "next": more}
        return Done(value=value, targets=done.targets, partner=partner)

    async def _taken_back(self, work: UnitOfWork, legs: Sequence[LegRow]) -> frozenset[Ref]:
        """Return the messages that their senders took back. One correction that cannot be read puts all of its subject in doubt."""
        subjects = sorted({leg.subject for leg in legs})
        heads = await work.heads(subjects, besides=self._holder.current.context.gateway)
        refs = {head.ref: subject for subject, found in heads.items() for head in found if head.family == CORRECTION}
        rows, locked = await work.messages(sorted(refs)), Locked(await work.subject_keys(subjects))
        earlier: list[Earlier] = []
        doubtful: set[SubjectKey] = set()
        for ref, subject in refs.items():
            try:
                earlier.append(Earlier(self._outgoings.read(rows[ref], locked), rows[ref].received_at, ()))
            except (GatewayError, LookupError):
                doubtful.add(subject)
        gone = taken_back(Facts(earlier=tuple(sorted(earlier, key=lambda e: (e.received_at, e.message.jti)))))
        return gone | {leg.message for leg in legs if leg.subject in doubtful}

    async def check(self, work: UnitOfWork, asked: OfPartner) -> Done:
        """Send a partner a verification message by its own transport, signed and encrypted as everything is.

        The list says what became of it.
        Raises `MalformedError` for a partner that nothing is pushed to.
        """
        profile, now = self._profile(asked), self._clock.now()
        delivery = profile.delivery
        if delivery is None or delivery.transport in {INBOX, CHANNEL}:
            raise MalformedError(
                "nothing is pushed to this partner", code=Code.REQUEST_INVALID, expected="a partner with a push transport",
                claim="arguments.partner",
            )  # fmt: skip
        check_id = LegId(self._dice.uuid7(now))
        await work.begin_check(profile.id, check_id, now)
        record = self._verification(profile, delivery, check_id, now)
        value = {"partner": profile.id, "check": check_id, "answers_by": (now + _life(delivery)).isoformat()}
        return Done(value=value, partner=profile.id, records=(record,))

    def _verification(self, profile: Profile, delivery: Delivery, check_id: LegId, now: datetime) -> Outgoing:
        world, jti = self._holder.current, Jti(self._dice.uuid7(now))
        body = encrypted(_signed(profile, world, jti, check_id, now), profile, world, now)
        sealed = Sealed(leg_id=check_id, jti=jti, partner=profile.id, attempt=1, not_after=now + _life(delivery), body=body)
        return Outgoing(topics.deliveries(delivery.shard, Lane.PRIORITY), check_id.encode(), codec.encode_sealed(sealed))

    async def _stand(self, work: UnitOfWork, asked: OfPartner, standing: Standing) -> Done:
        partner = self._profile(asked).id
        await work.set_standing(partner, standing)
        return Done(value={"partner": partner, "standing": standing.value}, partner=partner)

    def _profile(self, asked: OfPartner) -> Profile:
        profile = self._holder.current.directory.find(asked.partner)
        if profile is None:
            raise MalformedError(
                "there is no such partner", code=Code.REQUEST_INVALID, expected="the id of a profile", claim="arguments.partner"
            )  # fmt: skip
        return profile


def _life(delivery: Delivery) -> timedelta:
    """Return how long a courier may take to begin and end a check: twice an attempt, and a while for the bus."""
    return timedelta(seconds=2 * delivery.timeout_seconds + 10)


def _signed(profile: Profile, world: World, jti: Jti, check_id: LegId, now: datetime) -> bytes:
    iat = int(now.timestamp())
    claims = {
        "iss": world.context.gateway, "aud": profile.id, "jti": jti, "iat": iat, "toe": iat, "txn": jti,
        "events": {VERIFICATION: {"state": check_id}},
    }  # fmt: skip
    return tokens.sign(claims, world.signers.document, typ=tokens.EVENT)


def _again(leg: LegRow, gone: frozenset[Ref]) -> Change | str:
    if leg.state not in {State.DELIVERED, State.RECEIPTED}:
        return NOT_TAKEN
    return TAKEN_BACK if leg.message in gone else Change(leg_id=leg.leg_id, event=Event.REDELIVERED)


def _released(leg: LegRow) -> Change | str:
    held = leg.state is State.HELD and leg.hold_reason == HoldReason.SUSPENDED.value
    return Change(leg_id=leg.leg_id, event=Event.RELEASED) if held else NOT_HELD


def _row(id_: PartnerId, profile: Profile | None, line: Line, counts: dict[str, int], *, now: datetime) -> dict[str, Any]:
    circuit, delivery = line.circuit, profile.delivery if profile is not None else None
    check = {"id": line.check_id, "at": _instant(line.checked_at), "code": line.check_code} if line.check_id else None
    suspended = profile is not None and profile.suspended
    return {
        "partner": id_, "standing": Standing.SUSPENDED.value if suspended else line.standing.value, "by_profile": suspended,
        "transport": delivery.transport if delivery is not None else None, "circuit": circuit.position(now).value,
        "failures": circuit.failures, "open_until": _instant(circuit.open_until), "legs": counts,
        "oldest_due": _instant(line.oldest_due), "check": check,
    }  # fmt: skip


def _tried(row: AttemptRow) -> dict[str, Any]:
    return {
        "at": row.at.isoformat(), "leg": row.leg_id, "jti": row.jti, "attempt": row.number, "code": row.code,
        "retry_after": row.retry_after, "again_at": _instant(row.again_at),
    }  # fmt: skip


def _instant(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
