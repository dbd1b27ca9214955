"""Legs that stand aside, held or dead: moving them by a person's word, and looking at one.

The subjects are locked before the legs, as everybody locks them, so that what was decided about a leg is still so when it moves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from gateway.app.locked import Locked
from gateway.app.ports import LegRow, Outgoing, UnitOfWork
from gateway.app.query import not_found
from gateway.app.rows import read_message, roles_of
from gateway.app.safe import Safe, is_referral
from gateway.app.settle import Change, Settle
from gateway.app.world import Holder
from gateway.contract.values import LegId, PartnerId, Removed
from gateway.core import jose, strict_json
from gateway.core.deadletters import side_of
from gateway.core.delivery import Event, State
from gateway.core.minimise import minimise
from gateway.core.problems import Code, MalformedError

Decide = Callable[[LegRow], Change | str]  # what is to happen to a leg, or in one word why nothing
ERASED: Final = "erased"
UNKNOWN: Final = "unknown-leg"
ASIDE: Final = frozenset({State.HELD, State.DEAD})
_BACK: Final = frozenset({Event.RELEASED, Event.RETRIED, Event.REDELIVERED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of a command: what the operator is told, and what evidence says of it."""

    value: Mapping[str, Any]
    targets: tuple[LegId, ...] = ()
    reason: str | None = None
    partner: PartnerId | None = None  # of a command about one
    records: tuple[Outgoing, ...] = ()  # for the bus, once all this is committed


async def move(work: UnitOfWork, settle: Settle, legs: Sequence[LegId], decide: Decide, *, reason: str | None = None) -> Done:
    """Move legs in the caller's transaction, in the order of their lines, each as `decide` says. One that stays fails no other."""
    lines = await work.lines_of(legs)
    locked = Locked(await work.relock_subjects(sorted({subject for _, subject in lines.values()})))
    rows = await work.legs(sorted(lines))
    changes: list[Change] = []
    why: dict[LegId, str] = {}
    for leg in sorted(rows.values(), key=lambda leg: (leg.subject, leg.seq, leg.leg_id)):
        answer = decide(leg)
        if isinstance(answer, Change) and answer.event in _BACK and leg.subject not in locked.rows:
            answer = ERASED  # there is nothing left to send
        if isinstance(answer, Change):
            changes.append(answer)
        else:
            why[leg.leg_id] = answer
    moved = {leg.leg_id: leg for leg in await settle.apply(work, changes, locked)}
    await locked.save(work)
    told = [
        {"leg": leg, "done": True, "state": moved[leg].state.value} if leg in moved
        else {"leg": leg, "done": False, "why": why.get(leg, UNKNOWN)}
        for leg in legs
    ]  # fmt: skip
    return Done(value={"legs": told}, targets=tuple(leg for leg in legs if leg in moved), reason=reason)


class Look:
    """Shows one leg that stands aside: ids and codes, or with a justification what it carries."""

    def __init__(self, holder: Holder, safe: Safe) -> None:
        """Take what opens content."""
        self._holder, self._safe = holder, safe

    async def inspect(self, work: UnitOfWork, leg_id: LegId) -> Done:
        """Return what the row says. Raises `MalformedError` (not found)."""
        leg = await self._leg(work, leg_id)
        more = {
            "lane": leg.lane.value, "seq": leg.seq, "failures": leg.failures, "roles": list(leg.roles), "groups": list(leg.groups),
            "because": list(leg.because), "policy_digest": leg.policy_digest, "signed_digest": leg.signed_digest,
            "withheld": [{"group": group, "reason": reason, "because": list(because)} for group, reason, because in leg.removed],
            "sent_at": _instant(leg.sent_at), "due_at": _instant(leg.due_at), "expires_at": _instant(leg.expires_at),
        }  # fmt: skip
        return Done(value={**row_of(leg), **more}, targets=(leg_id,))

    async def read(self, work: UnitOfWork, leg_id: LegId) -> Done:
        """Return the row and the document: as it was signed, else as it would be.

        Raises `MalformedError`: not found or erased, or of the referrals' compartment, which no officer's view reaches (R-REF-03).
        """
        leg = await self._leg(work, leg_id)
        if is_referral(leg.subject):
            raise MalformedError("a referral is shown to no operator", code=Code.NOT_ALLOWED, expected="ask who sent it, by the row's ids")
        message = (await work.messages([leg.message])).get(leg.message)
        subject = (await work.subject_keys([message.subject])).get(message.subject) if message is not None else None
        if message is None or subject is None:
            raise not_found()
        world = self._holder.current
        key = self._safe.message_key(subject, message.wrapped)
        if leg.signed is not None:
            signed = self._safe.open(key, leg.signed, of=leg.message, what=leg.jti)
            claims = strict_json.reread(jose.b64decode(signed.split(b".")[1]))
            return Done(value={**row_of(leg), "signed": True, "document": claims["events"]}, targets=(leg_id,))
        original = read_message(message, self._safe.open(key, message.payload, of=message.ref, what="payload"), world.context.uri_base)
        view = minimise(
            original, frozenset(leg.groups), world.directory.by_id(leg.partner), world.grounds.schemas,
            removed=tuple(Removed(*removed) for removed in leg.removed), roles=roles_of(leg),
        )  # fmt: skip
        return Done(value={**row_of(leg), "signed": False, "document": dict(view.event)}, targets=(leg_id,))

    @staticmethod
    async def _leg(work: UnitOfWork, leg_id: LegId) -> LegRow:
        leg = (await work.legs([leg_id])).get(leg_id)
        if leg is None or leg.state not in ASIDE:
            raise not_found()
        return leg


def row_of(leg: LegRow) -> dict[str, Any]:
    """Return what a list says of a leg: ids, codes and times, no content."""
    found: dict[str, Any] = {
        "leg": leg.leg_id, "jti": leg.jti, "message": {"iss": leg.message.iss, "jti": leg.message.jti}, "family": leg.family,
        "partner": leg.partner, "countries": list(leg.countries), "state": leg.state.value, "attempt": leg.attempt,
        "last_code": leg.last_code, "created_at": _instant(leg.created_at), "ended_at": _instant(leg.ended_at),
    }  # fmt: skip
    if leg.state is State.HELD:
        return {**found, "hold_reason": leg.hold_reason}
    return {**found, "reason": leg.reason, "side": side_of(leg.reason, leg.last_code).value}


def _instant(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
