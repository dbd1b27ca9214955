"""What every store must do for those who keep it: drills, epochs of keys, and the log after a restore."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.app.ports import EpochEndedError, Store, WrappedKey
from gateway.contract.values import LegId, SubjectKey
from gateway.core.evidence import merkle
from gateway.testing.store_rows import ANNA, BERT, KEY, NOW, leg, put, ref, signed, undone

NEXT = WrappedKey("epoch-2", b"wrapped again")


class UpkeepContract:
    """Everything page by page, epochs, and a log that is replaced."""

    async def test_what_was_accepted_is_read_page_by_page_in_its_order(self, store: Store) -> None:
        async with store.unit_of_work() as work:
            await work.claim([signed(name) for name in ("c", "a", "b", "d")], NOW)
            await work.save_receipts({ref(name): name.encode() for name in ("a", "b", "c", "d")})
        async with store.reading() as work:
            first = await work.submissions_after(None, 3)
            rest = await work.submissions_after(first[-1].ref, 3)
        assert [(each.ref, each.digest, each.receipt) for each in (*first, *rest)] == [(ref(n), "d1", n.encode()) for n in "abcd"]

    async def test_all_legs_are_read_page_by_page(self, store: Store) -> None:
        legs = [leg(name, seq=number) for number, name in enumerate(("l1", "l2", "l3"), start=1)]
        await put(store, *legs)
        async with store.reading() as work:
            assert await work.legs_after(None, 2) == legs[:2]
            assert await work.legs_after(LegId("l2"), 2) == legs[2:]
            assert await work.legs_after(LegId("l3"), 2) == []

    async def test_keys_go_from_one_epoch_to_another(self, store: Store) -> None:
        async with store.unit_of_work() as work:
            await work.lock_subjects({ANNA: KEY, BERT: replace(KEY, wrapped=b"of bert")})
        async with store.unit_of_work() as work:
            assert await work.keys_under(KEY.epoch, 1) == {min(ANNA, BERT): KEY.wrapped if ANNA < BERT else b"of bert"}
            await work.rewrap({ANNA: NEXT})
        async with store.reading() as work:
            assert await work.epochs() == {KEY.epoch: 1, NEXT.epoch: 1}
            assert await work.keys_under(NEXT.epoch, 9) == {ANNA: NEXT.wrapped}
            assert (await work.subject_keys([ANNA]))[ANNA].wrapped == NEXT.wrapped

    async def test_it_says_what_time_it_is_where_it_runs(self, store: Store) -> None:
        before = datetime.now(UTC)
        async with store.reading() as work:
            found = await work.database_time()
        assert before - timedelta(seconds=2) <= found <= datetime.now(UTC) + timedelta(seconds=2)

    async def test_under_an_epoch_that_ended_nothing_is_put_any_more(self, store: Store) -> None:
        async with store.unit_of_work() as work:
            await work.lock_subjects({ANNA: KEY})
        async with undone(store) as work:
            assert await work.end_epoch(KEY.epoch) == 1
        async with store.unit_of_work() as work:
            await work.lock_subjects({BERT: KEY})
            await work.rewrap({ANNA: NEXT, BERT: NEXT})
        for _ in range(2):  # who was cut off does it again
            async with store.unit_of_work() as work:
                assert await work.end_epoch(KEY.epoch) == 0
        with pytest.raises(EpochEndedError, match=f"{KEY.epoch} was destroyed"):
            async with store.unit_of_work() as work:
                await work.lock_subjects({SubjectKey("somebody new"): KEY})
        with pytest.raises(EpochEndedError):
            async with store.unit_of_work() as work:
                await work.rewrap({ANNA: KEY})
        async with store.unit_of_work() as work:
            assert (await work.lock_subjects({ANNA: KEY}))[ANNA].wrapped == NEXT.wrapped, "one that is known needs no new key"
            await work.lock_subjects({SubjectKey("somebody new"): NEXT})
        async with store.reading() as work:
            assert await work.epochs() == {NEXT.epoch: 3}

    async def test_destroyed_keys_are_gone_and_counted(self, store: Store) -> None:
        await put(store, messages=("m1", "m2"))
        async with store.unit_of_work() as work:
            await work.rewrap({BERT: NEXT})
            assert await work.destroy_keys(messages=[ref("m1"), ref("nobody's")], subjects=[], epochs=[NEXT.epoch]) == 2
        async with store.reading() as work:
            assert (await work.messages([ref("m1"), ref("m2")])).keys() == {ref("m2")}
            assert (await work.subject_keys([ANNA, BERT])).keys() == {ANNA}
        async with store.unit_of_work() as work:
            assert await work.destroy_keys(messages=[], subjects=[ANNA], epochs=[]) == 1
            assert await work.destroy_keys(messages=[], subjects=[], epochs=[]) == 0

    async def test_a_log_is_replaced_with_its_tree_its_checkpoints_and_how_far_it_was_told(self, store: Store) -> None:
        async with store.unit_of_work() as work:
            await work.stage_evidence([b"one", b"two", b"waits"])
            staged = await work.staged(2)
            leaves = [(id_, at, entry, merkle.leaf_hash(entry)) for at, (id_, entry) in enumerate(staged)]
            edge, nodes = merkle.append(merkle.Edge(), [digest for *_, digest in leaves])
            await work.integrate(leaves, nodes)
            await work.add_checkpoint(2, edge.root, "note", NOW)
            await work.set_cursor("gw.events", 2)
        async with store.unit_of_work() as work:
            await work.replace_log(b"opens")
        async with store.reading() as work:
            assert (await work.log_size(), await work.checkpoints(), await work.cursor("gw.events")) == (0, [], 0)
            assert await work.log_nodes([(0, 0), (1, 0)]) == {}
            assert [entry for _, entry in await work.staged(9)] == [b"waits", b"opens"]
