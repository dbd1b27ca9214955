"""What every store must do with watched deadlines: part of `StoreContract`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.app.ports import Store, WatchRow
from gateway.contract.errors import GatewayError
from gateway.testing.store_rows import ANNA, NOW, SECOND, put, ref, undone


def watch(of: str, kind: str = "unanswered", **more: Any) -> WatchRow:
    """Return a watch of the first round, due now."""
    plain = WatchRow(kind=kind, message=ref(of), subject=ANNA, due_at=NOW, until=NOW + timedelta(days=30))
    return replace(plain, **more)


async def add(store: Store, *rows: WatchRow, messages: tuple[str, ...] = ("m1", "m2", "m3")) -> None:
    """Commit messages and watches."""
    await put(store, messages=messages)
    async with store.unit_of_work() as work:
        await work.add_watches(rows)


class WatchContract:
    """Deadlines that are looked at until they are met."""

    async def test_a_watch_is_read_as_it_was_written(self, store: Store) -> None:
        row = watch("m1", due_at=NOW - SECOND / 3, round=3)
        await add(store, row)
        async with store.unit_of_work() as work:
            assert await work.due_watches("unanswered", NOW, limit=9) == [row]
            assert await work.lock_watch("unanswered", ref("m1")) == row

    async def test_what_is_due_comes_longest_overdue_first_up_to_the_limit(self, store: Store) -> None:
        rows = [watch("m1"), watch("m2", due_at=NOW - SECOND), watch("m3", due_at=NOW + SECOND), watch("m3", "other")]
        await add(store, *rows)
        async with store.reading() as work:
            assert await work.due_watches("unanswered", NOW, limit=9) == [rows[1], rows[0]]
            assert await work.due_watches("unanswered", NOW, limit=1) == [rows[1]]
            assert await work.due_watches("unanswered", NOW - 2 * SECOND, limit=9) == []
            assert await work.due_watches("other", NOW, limit=9) == [rows[3]]

    async def test_a_round_moves_one_watch_and_no_other(self, store: Store) -> None:
        await add(store, watch("m1"), watch("m2"), watch("m1", "other"))
        moved = watch("m1", due_at=NOW + SECOND, round=1)
        async with store.unit_of_work() as work:
            await work.save_watch(moved)
        async with store.unit_of_work() as work:
            assert await work.lock_watch("unanswered", ref("m1")) == moved
            assert await work.lock_watch("other", ref("m1")) == watch("m1", "other")
            assert await work.due_watches("unanswered", NOW, limit=9) == [watch("m2")]
            assert await work.overdue_watches() == {"unanswered": 1}

    async def test_a_watch_that_has_ended_is_gone_and_no_other(self, store: Store) -> None:
        await add(store, watch("m1", round=1), watch("m2", round=2), watch("m1", "other"))
        async with store.unit_of_work() as work:
            await work.end_watch(watch("m1"))
        async with store.unit_of_work() as work:
            assert await work.lock_watch("unanswered", ref("m1")) is None
            assert await work.due_watches("unanswered", NOW, limit=9) == [watch("m2", round=2)]
            assert await work.due_watches("other", NOW, limit=9) == [watch("m1", "other")]
            assert await work.overdue_watches() == {"unanswered": 1}

    async def test_a_watch_is_kept_with_its_transaction_or_not_at_all(self, store: Store) -> None:
        await add(store, watch("m1"))
        async with undone(store) as work:
            await work.add_watches([watch("m2")])
            await work.end_watch(watch("m1"))
        async with store.reading() as reading:
            assert await reading.due_watches("unanswered", NOW, limit=9) == [watch("m1")]

    async def test_a_watch_is_of_a_message_there_is_and_of_each_kind_one(self, store: Store) -> None:
        await add(store, watch("m1"))
        for wrong in ("m1", "nobody's"):
            async with undone(store) as work:
                with pytest.raises(GatewayError):
                    await work.add_watches([watch(wrong)])

    async def test_no_watches_are_no_statement(self, store: Store) -> None:
        async with store.unit_of_work() as work:
            await work.add_watches([])
            assert await work.overdue_watches() == {}

    async def test_who_comes_second_to_a_watch_sees_what_the_first_has_done(self, store: Store) -> None:
        await add(store, watch("m1"))
        locked = asyncio.Event()

        async def first() -> None:
            async with store.unit_of_work() as work:
                await work.lock_watch("unanswered", ref("m1"))
                locked.set()
                await asyncio.sleep(0.1)
                await work.save_watch(watch("m1", due_at=NOW + SECOND, round=1))

        async def second() -> WatchRow | None:
            await locked.wait()
            async with store.unit_of_work() as work:
                return await work.lock_watch("unanswered", ref("m1"))

        async with asyncio.TaskGroup() as group:
            group.create_task(first())
            seen = group.create_task(second())
        assert seen.result() == watch("m1", due_at=NOW + SECOND, round=1)
