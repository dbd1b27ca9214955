"""The part of every store's contract that is about what stands aside: held and dead legs, found and counted."""

from __future__ import annotations

from dataclasses import replace

from gateway.app.ports import AsideCount, AsideFilter, Store
from gateway.contract.values import LegId
from gateway.core.delivery import State
from gateway.testing.store_rows import ANNA, BERT, NORTH, NOW, SECOND, SOUTH, ids, leg, put, read

LATER = NOW + SECOND
LEGS = (
    leg("a-held", state=State.HELD, hold_reason="MINOR"),
    leg("b-ready", subject=BERT),
    leg("c-dead", SOUTH, state=State.DEAD, reason="ATTEMPTS", last_code="timeout", ended_at=LATER),
    leg("d-held", SOUTH, subject=BERT, state=State.HELD, hold_reason="REVIEW", created_at=LATER),
    leg("e-dead", SOUTH, seq=2, state=State.DEAD, reason="ATTEMPTS", last_code="timeout", ended_at=LATER + SECOND),
    leg("f-dead", SOUTH, seq=3, state=State.DEAD, last_code="http-413", ended_at=LATER),
)


class AsideContract:
    """Lists and counts for people."""

    async def test_what_stands_aside_is_listed_by_age_and_nothing_else_is(self, store: Store) -> None:
        await put(store, *reversed(LEGS))
        async with store.reading() as work:
            assert ids(await work.aside(State.HELD, AsideFilter(), limit=9)) == ["a-held", "d-held"]
            assert ids(await work.aside(State.DEAD, AsideFilter(), limit=9)) == ["c-dead", "e-dead", "f-dead"]

    async def test_a_list_is_read_on_from_where_it_ended(self, store: Store) -> None:
        await put(store, *LEGS)
        async with store.reading() as work:
            assert ids(await work.aside(State.DEAD, AsideFilter(), limit=2)) == ["c-dead", "e-dead"]
            assert ids(await work.aside(State.DEAD, AsideFilter(after=LegId("e-dead")), limit=2)) == ["f-dead"]

    async def test_a_list_is_of_a_partner_a_reason_or_since_when(self, store: Store) -> None:
        await put(store, *LEGS)
        async with store.reading() as work:
            assert ids(await work.aside(State.HELD, AsideFilter(partner=SOUTH), limit=9)) == ["d-held"]
            assert ids(await work.aside(State.HELD, AsideFilter(hold_reason="MINOR"), limit=9)) == ["a-held"]
            assert ids(await work.aside(State.HELD, AsideFilter(partner=NORTH, hold_reason="REVIEW"), limit=9)) == []
            assert ids(await work.aside(State.HELD, AsideFilter(since=LATER), limit=9)) == ["d-held"]
            assert ids(await work.aside(State.DEAD, AsideFilter(since=LATER + SECOND), limit=9)) == ["e-dead"]

    async def test_what_stands_aside_is_counted_by_partner_and_reason_with_the_oldest(self, store: Store) -> None:
        await put(store, *LEGS)
        async with store.reading() as work:
            counted = {(count.state, count.hold_reason or count.last_code): count for count in await work.aside_counts()}
        assert {key: (count.partner, count.legs, count.oldest) for key, count in counted.items()} == {
            (State.HELD, "MINOR"): (NORTH, 1, NOW),
            (State.HELD, "REVIEW"): (SOUTH, 1, LATER),
            (State.DEAD, "timeout"): (SOUTH, 2, LATER),
            (State.DEAD, "http-413"): (SOUTH, 1, LATER),
        }
        assert counted[State.DEAD, "timeout"] == AsideCount(
            partner=SOUTH, state=State.DEAD, hold_reason=None, reason="ATTEMPTS", last_code="timeout", legs=2, oldest=LATER
        )

    async def test_what_a_person_released_keeps_under_which_policies(self, store: Store) -> None:
        await put(store, LEGS[0])
        async with store.unit_of_work() as work:
            await work.relock_subjects([ANNA])
            (row,) = (await work.legs([LegId("a-held")])).values()
            await work.save_legs([replace(row, state=State.PLANNED, seq=7, released_under="p2")])
        (row,) = await read(store, "a-held")
        assert (row.seq, row.released_under, row.policy_digest) == (7, "p2", "p1")
