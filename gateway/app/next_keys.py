"""The next keys of partners: submitted by them, and approved, refused or revoked by an operator. Each step is a row, and evidence.

Nothing is believed for having been submitted: `app/trust.py` puts in force what was approved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from gateway.app import trust
from gateway.app.aside import Done
from gateway.app.partner_rows import KeyRow
from gateway.app.ports import Answer, Clock, Store, Telemetry, UnitOfWork
from gateway.app.world import Holder
from gateway.contract.values import KeyId, PartnerId
from gateway.core import jose, limits, strict_json
from gateway.core.commands import Approval, KeyListing, OfKey
from gateway.core.evidence import entries
from gateway.core.keys import KeyEntry, Use
from gateway.core.next_key import KeyState, KeyTakenError, NextKey, check_new, read_next_key, respelled, spelled
from gateway.core.operators import Operator
from gateway.core.problems import Code, MalformedError, Problem, RefusedInputError, UntrustedError

ALL: Final = frozenset(KeyState)


class TooManyKeysError(RefusedInputError):
    """The partner has as many keys waiting as it may."""

    def __init__(self) -> None:
        """Say how many."""
        expected = f"at most {limits.KEYS_PENDING_COUNT_MAX}: ask the gateway's operators"
        super().__init__(Problem(code=Code.CONFLICT, detail="too many of your keys wait for approval", expected=expected))


class NextKeys:
    """Takes keys from partners, and decides on them for operators."""

    def __init__(self, store: Store, holder: Holder, *, clock: Clock, telemetry: Telemetry, dev: bool) -> None:
        """Take the ports. `dev` lets keys through that say they are for development only."""
        self._store, self._holder, self._clock, self._telemetry, self._dev = store, holder, clock, telemetry, dev

    async def submit(self, partner: PartnerId, body: bytes) -> Answer:
        """Note a partner's next key, once, and say where it stands. Raises `RefusedInputError`s, `StoreUnavailableError`."""
        world, now = self._holder.current, self._clock.now()
        found = read_next_key(body, world.context.keyring, owner=partner, aud=world.context.gateway, now=now)
        async with self._store.unit_of_work() as work:
            await work.lock_senders([partner])  # one submission of a partner at a time, so that its count is right
            row = await work.key(found.entry.kid)
            if row is not None:
                if (row.partner, row.jwk) != (partner, found.jwk):
                    raise KeyTakenError("a key of this id is known already")
                return _answer("repeated", row)
            self._check(found, now)
            if (
                len(await work.keys(partner, {KeyState.PENDING}, after=None, limit=limits.KEYS_PENDING_COUNT_MAX))
                >= limits.KEYS_PENDING_COUNT_MAX
            ):
                raise TooManyKeysError
            row = KeyRow(
                kid=found.entry.kid, partner=partner, jwk=found.jwk, thumbprint=found.thumbprint, state=KeyState.PENDING,
                signer=found.signer, digest=found.digest, submitted_at=now,
            )  # fmt: skip
            if not await work.add_key(row):  # another partner was first, this very moment
                raise KeyTakenError("a key of this id is known already")
            await work.stage_evidence([_entry(row, now)])
        self._telemetry.event("partner-key-submitted", partner=partner, code=row.kid)
        return _answer("accepted", row)

    def _check(self, found: NextKey, now: datetime) -> None:
        world = self._holder.current
        people = [key for operator in world.operators for key in operator.keys]
        check_new(found, mine=world.context.keyring, known=(*world.signers.public.entries, *people), now=now, dev=self._dev)

    @staticmethod
    async def list(work: UnitOfWork, asked: KeyListing) -> Done:
        """Return submitted keys by their ids. Of one that waits, the thumbprint is not shown: it is to come over another channel."""
        partner = PartnerId(asked.partner) if asked.partner else None
        states = ALL if asked.state is None else {asked.state}
        rows = await work.keys(partner, states, after=KeyId(asked.after) if asked.after else None, limit=asked.limit)
        return Done(value={"keys": [_row(row) for row in rows], "next": rows[-1].kid if len(rows) == asked.limit else None})

    async def approve(self, work: UnitOfWork, asked: Approval, who: Operator) -> Done:
        """Have a key believed that waits. Raises `MalformedError` unless the thumbprint is that of the key, and all else is still so."""
        row = await self._found(work, asked)
        if row.thumbprint != asked.thumbprint:
            raise _invalid(
                "is not the thumbprint of this key: do not approve it", "what the partner says over another channel", "thumbprint"
            )
        if row.state is KeyState.APPROVED:
            return _done(row)
        if row.state is not KeyState.PENDING:
            raise _invalid(f"the key is {row.state}", "a key that waits", "kid")
        entry, now = self._still_good(row), self._clock.now()
        row = replace(row, state=KeyState.APPROVED, decided_at=now, decided_by=who.id)
        return await self._decided(work, row, [_entry(row, now), _config(None, entry, now)])

    async def refuse(self, work: UnitOfWork, asked: OfKey, who: Operator) -> Done:
        """Refuse a key that waits. Raises `MalformedError` for one that was approved."""
        row = await self._found(work, asked)
        if row.state is KeyState.REFUSED:
            return _done(row)
        if row.state is not KeyState.PENDING:
            raise _invalid(f"the key is {row.state}", "a key that waits", "kid")
        return await self._decided(work, *ended(row, KeyState.REFUSED, self._clock.now(), by=who.id))

    async def revoke(self, work: UnitOfWork, asked: OfKey, who: Operator) -> Done:
        """Revoke a key that was approved. Raises `MalformedError` for another."""
        row = await self._found(work, asked)
        if row.state is KeyState.REVOKED:
            return _done(row)
        if row.state is not KeyState.APPROVED:
            raise _invalid(f"the key is {row.state}", "a key that was approved", "kid")
        return await self._decided(work, *ended(row, KeyState.REVOKED, self._clock.now(), by=who.id))

    async def _decided(self, work: UnitOfWork, row: KeyRow, said: Sequence[bytes]) -> Done:
        await work.save_key(row)
        await work.stage_evidence(said)
        self._telemetry.event(f"partner-key-{row.state}", partner=row.partner, code=row.kid)
        return _done(row)

    @staticmethod
    async def _found(work: UnitOfWork, asked: OfKey) -> KeyRow:
        row = await work.key(KeyId(asked.kid))
        if row is None or row.partner != asked.partner:
            raise _invalid("this partner has submitted no such key", "as `gateway partner keys list` shows it", "kid")
        return row

    def _still_good(self, row: KeyRow) -> KeyEntry:
        """Return the key of a row that may be approved now. Raises `MalformedError`."""
        world, entry = self._holder.current, respelled(row.jwk, row.partner)
        if entry.valid_to <= self._clock.now():
            raise _invalid("the key has ended", "a key in its period", "kid")
        if world.directory.find(row.partner) is None:
            raise _invalid("there is no such partner", "the id of a profile", "partner")
        try:
            world.context.keyring.find(row.partner, row.signer, use=Use.SUBMIT)
        except UntrustedError as exc:
            raise _invalid("the key that signed for it is not believed any more", "refuse it; a key signed by another", "kid") from exc
        filed = trust.find(world, row.partner, row.kid)
        if filed is not None and not trust.same(filed, entry):
            raise _invalid("a file has another key of this id", "refuse it; a key of another id", "kid")
        return entry


def ended(row: KeyRow, state: KeyState, at: datetime, *, by: str | None) -> tuple[KeyRow, list[bytes]]:
    """Return a key refused or revoked, and the entries that say so."""
    after = replace(row, state=state, decided_at=at, decided_by=by, revoked_at=at if state is KeyState.REVOKED else None)
    said = [_entry(after, at)]
    if row.state is KeyState.APPROVED:
        before = respelled(row.jwk, row.partner)
        said.append(_config(before, replace(before, revoked_at=at), at))
    return after, said


def _entry(row: KeyRow, at: datetime) -> bytes:
    return entries.PartnerKey(
        at=entries.moment(at), partner=row.partner, key=row.kid, use=_use(row), state=row.state.value,
        thumbprint=jose.b64decode(row.thumbprint.encode()).hex(), signer=row.signer, digest=row.digest,
    ).encode()  # fmt: skip


def _config(before: KeyEntry | None, after: KeyEntry, at: datetime) -> bytes:
    """Return the entry that a reload would make of such a change in a file."""
    digests = [None if entry is None else sha256(spelled(entry).encode()).hexdigest() for entry in (before, after)]
    name = f"{after.owner}.{after.kid}"[:64]
    return entries.Config(at=entries.moment(at), what="key", name=name, digest=digests[1], previous=digests[0]).encode()


def _use(row: KeyRow) -> Any:
    return respelled(row.jwk, row.partner).use.value


def _answer(outcome: str, row: KeyRow) -> Answer:
    entry = respelled(row.jwk, row.partner)
    value = {"kid": row.kid, "use": entry.use.value, "thumbprint": row.thumbprint, "state": row.state.value}
    return Answer(outcome=outcome, body=strict_json.canonical(value))


def _done(row: KeyRow) -> Done:
    return Done(value={"partner": row.partner, "kid": row.kid, "state": row.state.value}, partner=row.partner)


def _row(row: KeyRow) -> dict[str, Any]:
    entry = respelled(row.jwk, row.partner)
    waits = row.state is KeyState.PENDING
    return {
        "partner": row.partner, "kid": row.kid, "use": entry.use.value, "state": row.state.value, "signer": row.signer,
        "thumbprint": None if waits else row.thumbprint, "valid_from": entry.valid_from.isoformat(), "valid_to": entry.valid_to.isoformat(),
        "submitted_at": row.submitted_at.isoformat(), "decided_at": None if row.decided_at is None else row.decided_at.isoformat(),
        "decided_by": row.decided_by,
    }  # fmt: skip


def _invalid(detail: str, expected: str, name: str) -> MalformedError:
    return MalformedError(detail, code=Code.REQUEST_INVALID, expected=expected, claim=f"arguments.{name}")
