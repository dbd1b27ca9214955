"""What every store must do with partners' circuits: part of `StoreContract`."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from gateway.app.ports import Store
from gateway.contract.values import Lane, LegId, PartnerId, SubjectKey
from gateway.core.circuit import REST, Circuit
from gateway.core.delivery import State
from gateway.core.standing import Line, Span, Standing
from gateway.testing.store_rows import BERT, NORTH, NOW, SECOND, SOUTH, UNTIL, claim, leg, put, read

OPEN = Circuit(
    failures=7, failing_since=NOW - SECOND, open_until=NOW + 30 * SECOND, asked_until=NOW + SECOND, woken_at=NOW - timedelta(days=1)
)


CHECK = LegId("019a9d2e-5c00-7000-8000-000000000001")


async def set_circuit(store: Store, partner: PartnerId, circuit: Circuit) -> None:
    """Commit a circuit."""
    async with store.unit_of_work() as work:
        await work.circuits([partner])
        await work.save_circuits({partner: circuit})


class CircuitContract:
    """What is known of partners' endpoints, and of what senders have used."""

    async def test_a_sender_s_quota_is_whole_at_first_and_read_as_it_was_written(self, store: Store) -> None:
        async with store.unit_of_work() as work:
            assert await work.lock_senders([SOUTH, NORTH]) == {NORTH: None, SOUTH: None}
            await work.save_senders({NORTH: UNTIL})
        async with store.unit_of_work() as work:
            assert await work.lock_senders([NORTH, SOUTH]) == {NORTH: UNTIL, SOUTH: None}
            assert await work.lock_senders([]) == {}

    async def test_who_uses_a_quota_at_once_uses_it_one_after_the_other(self, store: Store) -> None:
        async def use() -> None:
            async with store.unit_of_work() as work:
                before = (await work.lock_senders([NORTH]))[NORTH]
                await asyncio.sleep(0)
                await work.save_senders({NORTH: (before or NOW) + SECOND})

        await asyncio.gather(*(use() for _ in range(8)))
        async with store.unit_of_work() as work:
            assert await work.lock_senders([NORTH]) == {NORTH: NOW + 8 * SECOND}

    async def test_a_circuit_is_at_rest_at_first_and_read_as_it_was_written(self, store: Store) -> None:
        await put(store, leg("l1"), leg("s1", SOUTH))
        async with store.unit_of_work() as work:
            assert await work.circuits([SOUTH, NORTH, PartnerId("never-seen")]) == {NORTH: REST, SOUTH: REST}
            await work.save_circuits({NORTH: OPEN})
        async with store.unit_of_work() as work:
            assert await work.circuits([NORTH, SOUTH]) == {NORTH: OPEN, SOUTH: REST}

    async def test_troubles_are_the_circuits_that_are_not_at_rest(self, store: Store) -> None:
        await put(store, leg("l1"), leg("s1", SOUTH), leg("e1", PartnerId("east")))
        failing, asked = Circuit(failures=1, failing_since=NOW), Circuit(open_until=NOW, asked_until=NOW)
        await set_circuit(store, NORTH, failing)
        await set_circuit(store, SOUTH, asked)
        await set_circuit(store, PartnerId("east"), Circuit(woken_at=NOW))
        async with store.reading() as work:
            assert await work.troubles() == {NORTH: failing, SOUTH: asked}

    async def test_a_partner_whose_circuit_is_open_has_nothing_due_until_its_time(self, store: Store) -> None:
        await put(store, leg("l1"), leg("s1", SOUTH))
        await set_circuit(store, NORTH, OPEN)
        async with store.reading() as work:
            assert await work.due_partners(NOW) == [(SOUTH, Lane.ROUTINE)]
            assert await work.due_partners(NOW + 30 * SECOND) == [(NORTH, Lane.ROUTINE), (SOUTH, Lane.ROUTINE)]

    async def test_what_waits_after_a_failure_is_due_when_its_partner_is_back(self, store: Store) -> None:
        later = NOW + timedelta(hours=1)
        await put(
            store,
            leg("failed", failures=3, due_at=later, lane=Lane.IMMEDIATE),
            leg("not-sealed", subject=BERT, due_at=later),
            leg("dead", subject=SubjectKey("c"), failures=3, due_at=later, state=State.DEAD),
            leg("claimed", subject=SubjectKey("d"), failures=1, lease_until=UNTIL),
            leg("south", SOUTH, failures=3, due_at=later),
        )
        async with store.unit_of_work() as work:
            await work.circuits([NORTH])
            assert await work.wake(NORTH, NOW, limit=9) == 1
            assert await work.wake(NORTH, NOW, limit=9) == 0
        rows = await read(store, "failed", "not-sealed", "dead", "south")
        assert [row.due_at for row in rows] == [NOW, later, later, later]
        assert await claim(store, lane=Lane.IMMEDIATE) == ["failed"]

    async def test_so_many_are_woken_and_no_more(self, store: Store) -> None:
        await put(store, *(leg(f"l{n}", subject=SubjectKey(f"s{n}"), failures=1, due_at=UNTIL) for n in range(5)))
        async with store.unit_of_work() as work:
            assert await work.wake(NORTH, NOW, limit=3) == 3
            assert await work.wake(NORTH, NOW, limit=3) == 2

    async def test_a_paused_partner_is_not_due_and_a_suspended_one_is(self, store: Store) -> None:
        await put(store, leg("l1", SOUTH))
        for standing, due in [(Standing.PAUSED, 0), (Standing.SUSPENDED, 1), (Standing.OPEN, 1)]:
            async with store.unit_of_work() as work:
                await work.set_standing(SOUTH, standing)
            async with store.reading() as work:
                assert len(await work.due_partners(NOW)) == due
                assert await work.standings() == ({} if standing is Standing.OPEN else {SOUTH: standing})

    async def test_a_partner_without_legs_can_stand_otherwise_and_its_line_is_read_as_it_was_written(self, store: Store) -> None:
        async with store.unit_of_work() as work:
            await work.set_standing(NORTH, Standing.PAUSED)
            await work.begin_check(NORTH, CHECK, NOW)
        async with store.reading() as work:
            assert await work.partner_lines() == {NORTH: Line(standing=Standing.PAUSED, check_id=CHECK, checked_at=NOW)}

    async def test_a_line_says_since_when_the_oldest_leg_is_due(self, store: Store) -> None:
        await put(store, leg("l1", due_at=NOW - SECOND), leg("l2", subject=BERT, due_at=NOW - 2 * SECOND, lane=Lane.IMMEDIATE))
        async with store.reading() as work:
            assert {partner: line.oldest_due for partner, line in (await work.partner_lines()).items()} == {NORTH: NOW - 2 * SECOND}

    async def test_a_check_ends_once_and_only_as_that_partner_s_last(self, store: Store) -> None:
        other = LegId(CHECK[:-1] + "9")
        async with store.unit_of_work() as work:
            await work.begin_check(NORTH, CHECK, NOW)
            assert not await work.end_check(SOUTH, CHECK, "delivered")
            assert not await work.end_check(NORTH, other, "delivered")
            assert await work.end_check(NORTH, CHECK, "http-503")
            assert not await work.end_check(NORTH, CHECK, "delivered")
        async with store.reading() as work:
            assert (await work.partner_lines())[NORTH].check_code == "http-503"
        async with store.unit_of_work() as work:
            await work.begin_check(NORTH, other, NOW)
        async with store.reading() as work:
            assert (await work.partner_lines())[NORTH].check_code is None

    async def test_what_was_taken_since_is_read_in_the_order_it_was_sent(self, store: Store) -> None:
        taken: dict[str, Any] = {"state": State.DELIVERED, "due_at": NOW - 9 * SECOND, "sent_at": NOW - 5 * SECOND, "ended_at": NOW}
        await put(
            store,
            leg("l1", seq=1, **taken),
            leg("l2", seq=2, **taken | {"state": State.RECEIPTED, "sent_at": NOW - 6 * SECOND}),
            leg("l3", seq=3, **taken | {"ended_at": None}),  # owes a receipt
            leg("x1", seq=4, **taken | {"ended_at": NOW - 2 * SECOND}),  # before
            leg("x2", seq=5, **taken | {"due_at": NOW + SECOND}),  # sent again since
            leg("x3", seq=6, **taken | {"state": State.DEAD}),
            leg("x4", seq=7, **taken | {"expires_at": NOW}),
            leg("x5", SOUTH, **taken),
        )
        span = Span(since=NOW - SECOND, until=NOW)
        async with store.reading() as work:
            assert [found.leg_id for found in await work.taken_since(NORTH, span, after=None, limit=9)] == ["l2", "l1", "l3"]
            assert [found.leg_id for found in await work.taken_since(NORTH, span, after=None, limit=1)] == ["l2"]
            assert [found.leg_id for found in await work.taken_since(NORTH, span, after=LegId("l1"), limit=9)] == ["l3"]
