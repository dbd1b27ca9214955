"""What a partner may ask: the status of its own messages, its own legs of others', receipts, and the evidence log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.app.locked import Locked
from gateway.app.outgoing import Outgoings
from gateway.app.ports import LegRow, MessageRow, RefusalRow, Store, UnitOfWork
from gateway.app.world import Holder
from gateway.contract.errors import GatewayError
from gateway.contract.values import Jti, PartnerId, Ref
from gateway.core.facts import corrected
from gateway.core.families import CORRECTION
from gateway.core.problems import Code, MalformedError


class Query:
    """Answers questions that change nothing."""

    def __init__(self, store: Store, holder: Holder, outgoings: Outgoings) -> None:
        """Take the ports; `outgoings` reads stored messages."""
        self._store, self._holder, self._outgoings = store, holder, outgoings

    async def status(self, partner: PartnerId, jti: Jti) -> dict[str, Any]:
        """Return the status of a message for its sender, or of the own leg for a recipient. Raises `MalformedError` (not found)."""
        ref = Ref(partner, jti)
        async with self._store.reading() as work:
            row = (await work.messages([ref])).get(ref)
            if row is not None:
                return {
                    "jti": jti,
                    "legs": [_leg(leg) for leg in await work.legs_of(ref)],
                    "refusals": [_refusal(r) for r in await work.refusals_of(ref)],
                    "corrections": await self._corrections(work, row),
                }
            own = await work.legs_by_jti(partner, [jti])
        if jti not in own:
            raise not_found()
        return {"jti": jti, "legs": [_own(own[jti])]}

    async def _corrections(self, work: UnitOfWork, of: MessageRow) -> list[dict[str, Any]]:
        """Return what its sender corrected of a message since: with their own status, the facts of the letter to the person (R-TRV-14)."""
        heads = (await work.heads([of.subject], besides=self._holder.current.context.gateway)).get(of.subject, ())
        refs = [head.ref for head in heads if head.family == CORRECTION and head.ref.iss == of.ref.iss]
        if not refs:
            return []
        locked, rows = Locked(await work.subject_keys([of.subject])), await work.messages(refs)
        return [said for ref in refs if ref in rows and (said := self._correction(rows[ref], of.ref, locked)) is not None]

    def _correction(self, row: MessageRow, of: Ref, locked: Locked) -> dict[str, Any] | None:
        try:
            message = self._outgoings.read(row, locked)
        except GatewayError:
            return {"jti": row.ref.jti, "accepted_at": row.received_at.isoformat(), "kind": None}  # its key is gone: that it was, is known
        if corrected(message) != of:
            return None
        said = {name: message.body[name] for name in ("kind", "recipients_must_do", "deadline")}
        return {"jti": row.ref.jti, "accepted_at": row.received_at.isoformat(), **said}

    async def receipt(self, partner: PartnerId, jti: Jti) -> bytes:
        """Return the stored receipt of an own message, byte for byte. Raises `MalformedError` (not found)."""
        ref = Ref(partner, jti)
        async with self._store.reading() as work:
            earlier = await work.earlier([ref])
        if ref not in earlier:
            raise not_found()
        return earlier[ref].receipt

    async def counts(self) -> Mapping[tuple[PartnerId, Any], int]:
        """Count legs by partner and state."""
        async with self._store.reading() as work:
            return await work.counts()


def not_found() -> MalformedError:
    """Say the same for what does not exist and for what is not the asker's."""
    return MalformedError("there is no such thing for you here", code=Code.NOT_FOUND, expected="an id of your own")


def _leg(leg: LegRow) -> dict[str, Any]:
    removed = [{"group": group, "reason": reason, "because": list(because)} for group, reason, because in leg.removed]
    return {**_own(leg), "partner": leg.partner, "countries": list(leg.countries), "roles": list(leg.roles), "hold_reason": leg.hold_reason,
            "reason": leg.reason, "withheld": removed}  # fmt: skip


def _own(leg: LegRow) -> dict[str, Any]:
    return {
        "jti": leg.jti, "state": leg.state.value, "attempt": leg.attempt, "lane": leg.lane.value, "last_code": leg.last_code,
        "sent_at": leg.sent_at.isoformat() if leg.sent_at else None, "ended_at": leg.ended_at.isoformat() if leg.ended_at else None,
        "expires_at": leg.expires_at.isoformat(),
    }  # fmt: skip


def _refusal(row: RefusalRow) -> dict[str, Any]:
    return {"partner": row.partner, "country": row.country, "roles": list(row.roles), "reason": row.reason, "because": list(row.because)}
