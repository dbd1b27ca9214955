"""What every store must do with attempts: kept in the order of their reports, read newest first, forgotten by their age."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from gateway.app.partner_rows import AttemptFilter, AttemptRow
from gateway.app.ports import Store
from gateway.contract.values import Jti, LegId
from gateway.testing.store_rows import NORTH, NOW, SECOND, SOUTH, counting, undone

ALL = AttemptFilter(partner=NORTH)


def tried(number: int, at: datetime = NOW, **more: object) -> AttemptRow:
    """Return the row of an attempt that was answered."""
    plain = AttemptRow(partner=NORTH, leg_id=LegId("l1"), jti=Jti("j1"), number=number, at=at, code="delivered")
    return replace(plain, **more)  # type: ignore[arg-type]  # a field each


ROWS = (
    tried(1, code="http-503", retry_after=120, again_at=NOW + 120 * SECOND),
    tried(1, partner=SOUTH, leg_id=LegId("l2"), code="timeout", again_at=NOW + SECOND),
    tried(2, NOW + 121 * SECOND),
    tried(1, NOW + 121 * SECOND, leg_id=LegId("l3"), code="no-report"),
)


async def numbers(store: Store, which: AttemptFilter = ALL, *, limit: int = 9) -> list[tuple[str, int]]:
    """Return legs and numbers of attempts as they are read."""
    async with store.reading() as work:
        return [(row.leg_id, row.number) for row in await work.attempts(which, limit=limit)]


async def put(store: Store, *rows: AttemptRow) -> None:
    """Commit attempts."""
    async with store.unit_of_work() as work:
        await work.add_attempts(rows)


class AttemptContract:
    """The list of attempts."""

    async def test_attempts_are_read_as_they_were_written_newest_first(self, store: Store) -> None:
        await put(store, *ROWS)
        async with store.reading() as work:
            found = await work.attempts(ALL, limit=9)
        assert [replace(row, attempt_id=0) for row in found] == [ROWS[3], ROWS[2], ROWS[0]]
        assert sorted({row.attempt_id for row in found}, reverse=True) == [row.attempt_id for row in found]

    async def test_a_list_of_attempts_is_read_on_page_by_page(self, store: Store) -> None:
        await put(store, *ROWS)
        pages, which = list[tuple[str, int]](), ALL
        for _ in range(3):
            async with store.reading() as work:
                (row,) = await work.attempts(which, limit=1)
            pages.append((row.leg_id, row.number))
            which = replace(which, before=row.attempt_id)
        assert pages == [("l3", 1), ("l1", 2), ("l1", 1)]
        assert await numbers(store, which) == []

    async def test_a_page_is_not_moved_by_what_is_tried_meanwhile(self, store: Store) -> None:
        await put(store, *ROWS)
        async with store.reading() as work:
            (last,) = await work.attempts(ALL, limit=1)
        await put(store, tried(3, NOW + 200 * SECOND))
        assert await numbers(store, replace(ALL, before=last.attempt_id)) == [("l1", 2), ("l1", 1)]

    async def test_attempts_are_listed_since_when_or_those_that_failed(self, store: Store) -> None:
        await put(store, *ROWS)
        assert await numbers(store, replace(ALL, since=NOW + SECOND)) == [("l3", 1), ("l1", 2)]
        assert await numbers(store, replace(ALL, failed=True)) == [("l3", 1), ("l1", 1)]
        assert await numbers(store, replace(ALL, failed=True, since=NOW + SECOND)) == [("l3", 1)]

    async def test_many_attempts_are_one_statement_and_none_is_none(self, store: Store) -> None:
        async with store.unit_of_work() as work:
            with counting(store) as counted:
                await work.add_attempts([tried(number) for number in range(1, 200)])
            assert counted.calls == 1
            with counting(store) as counted:
                await work.add_attempts([])
            assert counted.calls == 0
        assert len(await numbers(store, limit=500)) == 199

    async def test_attempts_of_a_transaction_that_fails_are_not_kept(self, store: Store) -> None:
        async with undone(store) as work:
            await work.add_attempts(ROWS)
        assert await numbers(store) == []

    async def test_old_attempts_are_forgotten_in_portions_and_younger_ones_stay(self, store: Store) -> None:
        await put(store, *(tried(number, NOW - (9 - number) * SECOND) for number in range(1, 6)), tried(6))
        counts = []
        for _ in range(4):
            async with store.unit_of_work() as work:
                counts.append(await work.forget_attempts(NOW - 3 * SECOND, limit=2))
        assert counts == [2, 2, 1, 0]
        assert await numbers(store) == [("l1", 6)]
