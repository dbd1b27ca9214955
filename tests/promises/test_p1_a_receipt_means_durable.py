"""P1. A receipt means: message, legs, refusals and evidence are durable."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from gateway.app.ports import Store, StoreUnavailableError, UnitOfWork
from gateway.contract.values import Jti, PartnerId, Ref
from gateway.core import receipts, tokens
from gateway.core.evidence.merkle import leaf_hash
from gateway.core.keys import Use
from tests.house import GATEWAY, House, house
from tests.notices import HELP, notice

REGISTER = PartnerId("gb-register")


class FullDisk:
    """A store whose commits fail when told: what was written in the transaction is gone."""

    def __init__(self, store: Store) -> None:
        self._store, self.full = store, False

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator[UnitOfWork]:
        async with self._store.unit_of_work() as work:
            yield work
            if self.full:
                raise StoreUnavailableError("the disk is full")

    def reading(self) -> AbstractAsyncContextManager[UnitOfWork]:
        return self._store.reading()

    async def check(self) -> None:
        await self._store.check()

    async def close(self) -> None:
        await self._store.close()


def statement(h: House, receipt: bytes) -> receipts.Statement:
    entry = h.keys[GATEWAY].pairs[Use.RECEIPT].entry
    token = tokens.unwrap(receipt, {}, typ=tokens.RECEIPT, encrypted="allowed")
    return receipts.read_statement(tokens.verify(token, entry), reader=REGISTER)  # type: ignore[arg-type]  # a RECEIPT entry


async def test_p1_what_a_receipt_speaks_of_is_on_the_disk_when_it_is_given(tmp_path: Path) -> None:
    first, copy = tmp_path / "first", tmp_path / "copy"
    first.mkdir()
    async with house(first) as h:
        jti = h.dice.uuid7(h.clock.now())
        outcome = await h.send(notice("FR", "NL", "TH", routing__recipients=[HELP]), jti=jti)
        assert outcome.receipt is not None
        shutil.copytree(first, copy)  # the power fails now: this is what the disk holds
    async with house(copy, keys=h.keys, seed=2) as after:
        ref = Ref(REGISTER, Jti(jti))
        async with after.store.reading() as work:
            assert ref in await work.messages([ref])
            assert (await work.earlier([ref]))[ref].receipt == outcome.receipt
            staged = {leaf_hash(entry) for _, entry in await work.staged(100)}
        assert set(await after.legs(jti)) == {"fr-police", "nl-border"}
        assert {(r.partner, r.country, r.reason) for r in await after.refusals(jti)} == {
            ("help-line", "GB", "POLICY"), (None, "TH", "NO_PARTNER")
        }  # fmt: skip
        assert statement(h, outcome.receipt).leaf in staged
        await after.run_until_idle()
        assert [got.event["original"]["jti"] for got in after.partners[PartnerId("fr-police")].received.values()] == [jti]


async def test_p1_what_is_not_durable_gets_no_receipt_and_leaves_nothing(tmp_path: Path) -> None:
    disks: list[FullDisk] = []

    def full(store: Store) -> Store:
        disks.append(FullDisk(store))
        return disks[-1]

    async with house(tmp_path, store_of=full) as h:
        token, jti = h.token(notice("FR"), jti=(id_ := h.dice.uuid7(h.clock.now()))), id_
        disks[-1].full = True
        with pytest.raises(StoreUnavailableError):
            await h.send_token(token)
        disks[-1].full = False
        assert await h.legs(jti) == {}
        async with h.store.reading() as work:
            assert await work.earlier([Ref(REGISTER, Jti(jti))]) == {}
            assert await work.staged(10) == []
        assert (outcome := await h.send_token(token)).receipt is not None
        assert not outcome.repeated
