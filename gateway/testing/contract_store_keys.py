"""What every store must do with keys that partners submitted: an id is of who comes first, and what was decided of it stays."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from gateway.app.partner_rows import KeyRow
from gateway.app.ports import Store
from gateway.contract.values import KeyId, PartnerId
from gateway.core.next_key import KeyState
from gateway.testing.store_rows import NORTH, NOW, SECOND, SOUTH, Again, undone

ALL = frozenset(KeyState)


def submitted(kid: str, partner: PartnerId = NORTH, state: KeyState = KeyState.PENDING) -> KeyRow:
    """Return the row of a key that waits."""
    return KeyRow(
        kid=KeyId(kid), partner=partner, jwk="{}", thumbprint="t", state=state, signer=KeyId("s1"), digest="d1", submitted_at=NOW,
    )  # fmt: skip


class KeyContract:
    """Keys of partners."""

    async def test_a_key_is_read_as_it_was_submitted_and_as_it_was_decided(self, store: Store) -> None:
        async with store.unit_of_work() as work:
            assert await work.add_key(submitted("k1"))
        async with store.unit_of_work() as work:
            row = await work.key(KeyId("k1"))
            assert row == submitted("k1")
            decided = replace(row, state=KeyState.REVOKED, decided_at=NOW + SECOND, decided_by="anna", revoked_at=NOW + SECOND)
            await work.save_key(decided)
        async with store.reading() as work:
            assert await work.key(KeyId("k1")) == decided
            assert await work.key(KeyId("k2")) is None

    async def test_an_id_is_of_who_comes_first_of_everybody(self, store: Store) -> None:
        async with store.unit_of_work() as work:
            assert await work.add_key(submitted("k1"))
            assert not await work.add_key(submitted("k1", SOUTH))
        async with store.unit_of_work() as work:
            assert not await work.add_key(submitted("k1"))
            assert (await work.key(KeyId("k1"))) == submitted("k1")

    async def test_of_two_at_once_one_has_the_id(self, store: Store, again: Again) -> None:
        other = await again()

        async def add(to: Store, partner: PartnerId) -> bool:
            async with to.unit_of_work() as work:
                return await work.add_key(submitted("k1", partner))

        assert sorted(await asyncio.gather(add(store, NORTH), add(other, SOUTH))) == [False, True]

    async def test_keys_are_listed_by_their_ids_of_a_partner_or_all_in_some_states(self, store: Store) -> None:
        async with store.unit_of_work() as work:
            for row in (submitted("c"), submitted("a", SOUTH), submitted("b", state=KeyState.APPROVED), submitted("d")):
                await work.add_key(row)
        async with store.reading() as work:

            async def listed(partner: PartnerId | None, *states: KeyState, after: str | None = None, limit: int = 9) -> str:
                rows = await work.keys(partner, states or ALL, after=None if after is None else KeyId(after), limit=limit)
                return "".join(row.kid for row in rows)

            assert await listed(None) == "abcd"
            assert await listed(NORTH) == "bcd"
            assert await listed(None, KeyState.APPROVED, KeyState.REVOKED) == "b"
            assert await listed(NORTH, KeyState.PENDING) == "cd"
            assert await listed(None, after="b", limit=1) == "c"

    async def test_a_key_of_a_transaction_that_fails_is_not_there(self, store: Store) -> None:
        async with undone(store) as work:
            await work.add_key(submitted("k1"))
        async with store.reading() as work:
            assert await work.key(KeyId("k1")) is None
