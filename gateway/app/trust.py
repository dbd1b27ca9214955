"""The partners' keys in force: those of the files, and those that partners submitted and an operator approved, which are rows.

Every inner looks at the rows again and again, so that a key is believed, or revoked, everywhere within seconds and without a restart; a
reload puts the same rows over the files it has read. Who approves or revokes puts the evidence of it into that transaction, so it is
there once, however many inners there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Final

from gateway.app.configured import digests_of, record
from gateway.app.partner_rows import KeyRow
from gateway.app.ports import Store, Telemetry
from gateway.app.world import Holder, World
from gateway.contract.values import KeyId, PartnerId
from gateway.core import jwks
from gateway.core.jwks import JwksError
from gateway.core.keyring import Keyring
from gateway.core.keys import KeyEntry
from gateway.core.next_key import KeyState, respelled
from gateway.core.problems import RefusedInputError

DECIDED: Final = frozenset({KeyState.APPROVED, KeyState.REVOKED})
PAGE: Final = 500


class Trust:
    """Puts submitted keys in force."""

    def __init__(self, store: Store, holder: Holder, *, telemetry: Telemetry) -> None:
        """Take the ports."""
        self._store, self._holder, self._telemetry = store, holder, telemetry

    async def run_once(self) -> int:
        """Put the rows in force where they are others than those in force. Raises `StoreUnavailableError`: what was believed still is."""
        rows = await self.rows()
        if rows != self._holder.current.submitted:
            self._holder.current = self.over(self._holder.current, rows)
            self._telemetry.event("partner-keys-in-force", count=len(rows))
        return 0

    async def rows(self) -> tuple[KeyRow, ...]:
        """Return the keys that were approved, those revoked since among them."""
        found: list[KeyRow] = []
        async with self._store.reading() as work:
            while True:
                page = await work.keys(None, DECIDED, after=found[-1].kid if found else None, limit=PAGE)
                found += page
                if len(page) < PAGE:
                    return tuple(found)

    async def put(self, world: World, *, at: datetime) -> None:
        """Put a world in force that was read from files, the rows over it; what files changed is evidence before.

        The same rows are put over what was and what is to be, so that nothing of theirs is told here a second time.
        """
        rows = await self.rows()
        before, after = self.over(self._holder.current, rows), self.over(world, rows)
        await record(self._store, digests_of(before), digests_of(after), at=at)
        self._holder.current = after

    def over(self, world: World, rows: tuple[KeyRow, ...]) -> World:
        """Return `world` with these rows over the keys of its files."""
        filed = world.context.keyring if world.filed is None else world.filed
        context = replace(world.context, keyring=Keyring(self._merged(filed, rows)))
        return replace(world, context=context, filed=filed, submitted=rows)

    def _merged(self, filed: Keyring, rows: Iterable[KeyRow]) -> Iterator[KeyEntry]:
        """Yield the keys of both. Of one id the file's word counts, except that what either revokes is revoked.

        A row counts only beside a key in a file: who takes a partner's file away ends all that is believed of it.
        """
        entries = {(entry.owner, entry.kid): entry for entry in filed.entries}
        owners = {owner for owner, _ in entries}
        for row in rows:
            if row.partner not in owners:
                continue
            try:
                entry = respelled(row.jwk, row.partner, revoked_at=row.revoked_at)
            except (JwksError, RefusedInputError):
                self._telemetry.event("partner-key-unreadable", partner=row.partner, code=row.kid)
                continue
            place = entry.owner, entry.kid
            in_file = entries.setdefault(place, entry)
            if in_file is entry:
                continue
            if not same(in_file, entry):
                self._telemetry.event("partner-key-hidden", partner=row.partner, code=row.kid)
            elif entry.revoked_at is not None and in_file.revoked_at is None:
                entries[place] = replace(in_file, revoked_at=entry.revoked_at)
        yield from entries.values()


def same(one: KeyEntry, other: KeyEntry) -> bool:
    """Say whether two entries are one key for one use."""
    return one.use is other.use and jwks.thumbprint(one) == jwks.thumbprint(other)


def find(world: World, owner: PartnerId, kid: KeyId) -> KeyEntry | None:
    """Return what the files say of a key."""
    filed = world.context.keyring if world.filed is None else world.filed
    return next((entry for entry in filed.entries if (entry.owner, entry.kid) == (owner, kid)), None)
