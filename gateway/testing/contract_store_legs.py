"""The part of every store's contract that is about legs: their line, their claims, their settlement."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.app.ports import Store
from gateway.contract.values import Jti, Lane, LegId, PartnerId, SubjectKey
from gateway.core.delivery import State
from gateway.testing.store_rows import (
    ANNA,
    BERT,
    NORTH,
    NOW,
    SECOND,
    SOUTH,
    UNTIL,
    claim,
    counting,
    ids,
    leg,
    put,
    read,
)


class LineContract:
    """Order, lanes and turns."""

    async def test_a_turn_goes_to_the_planned_head_only(self, store: Store) -> None:
        await put(
            store, leg("l1", state=State.PLANNED), leg("l2", seq=2, state=State.PLANNED), leg("b1", subject=BERT, state=State.PLANNED)
        )
        async with store.unit_of_work() as work:
            assert await work.give_turns([(NORTH, ANNA), (NORTH, BERT), (SOUTH, ANNA)]) == ["b1", "l1"]
            assert await work.give_turns([(NORTH, ANNA), (NORTH, BERT)]) == []
        assert [row.state for row in await read(store, "l1", "l2", "b1")] == [State.READY, State.PLANNED, State.READY]

    @pytest.mark.parametrize("state", sorted(State))
    async def test_an_open_leg_keeps_the_turn_and_any_other_gives_it(self, store: Store, state: State) -> None:
        await put(store, leg("l1", state=state), leg("l2", seq=2, state=State.PLANNED))
        async with store.unit_of_work() as work:
            turns = await work.give_turns([(NORTH, ANNA)])
        expected = {State.PLANNED: ["l1"], State.READY: [], State.SENDING: [], State.AVAILABLE: []}
        assert turns == expected.get(state, ["l2"])

    async def test_partners_and_subjects_have_lines_of_their_own(self, store: Store) -> None:
        await put(
            store, leg("n1", state=State.SENDING), leg("s1", SOUTH, state=State.PLANNED), leg("n2", subject=BERT, state=State.PLANNED)
        )
        async with store.unit_of_work() as work:
            assert await work.give_turns([(NORTH, ANNA), (SOUTH, ANNA), (NORTH, BERT)]) == ["n2", "s1"]

    async def test_an_urgent_leg_lifts_the_open_legs_of_its_line_and_no_others(self, store: Store) -> None:
        await put(
            store,
            leg("l1", state=State.SENDING),
            leg("l2", seq=2, state=State.PLANNED, lane=Lane.PRIORITY),
            leg("l3", seq=3, state=State.PLANNED, lane=Lane.IMMEDIATE),
            leg("held", seq=0, state=State.HELD),
            leg("bert", subject=BERT),
            leg("south", SOUTH),
        )
        async with store.unit_of_work() as work:
            await work.lift({(NORTH, ANNA): Lane.PRIORITY, (SOUTH, ANNA): Lane.IMMEDIATE})
        rows = await read(store, "l1", "l2", "l3", "held", "bert", "south")
        assert [row.lane.name for row in rows] == ["PRIORITY", "PRIORITY", "IMMEDIATE", "ROUTINE", "ROUTINE", "IMMEDIATE"]

    async def test_previous_is_the_jti_last_sent_to_that_partner_on_that_subject(self, store: Store) -> None:
        await put(
            store,
            leg("l1", state=State.DELIVERED, sent_at=NOW),
            leg("l2", seq=2, state=State.DELIVERED, sent_at=NOW + SECOND),
            leg("l3", seq=3),
            leg("bert", subject=BERT),
            leg("south", SOUTH, state=State.DEAD, sent_at=NOW),
        )
        async with store.reading() as work:
            previous = await work.previous_sent([(NORTH, ANNA), (NORTH, BERT), (SOUTH, ANNA)])
        assert previous == {(NORTH, ANNA): ("jti-l2", NOW + SECOND), (SOUTH, ANNA): ("jti-south", NOW)}

    async def test_a_held_or_dead_leg_before_it_is_known_to_each_later_one(self, store: Store) -> None:
        await put(
            store,
            leg("l1"),
            leg("l2", seq=2, state=State.HELD),
            leg("l3", seq=3),
            leg("b1", subject=BERT, state=State.DEAD),
            leg("b2", subject=BERT, seq=2),
            leg("s1", SOUTH, state=State.EXPIRED),
            leg("s2", SOUTH, seq=2),
        )
        async with store.reading() as work:
            assert await work.undelivered_before([LegId(name) for name in ("l1", "l3", "b2", "s2")]) == {"l3", "b2"}

    async def test_the_line_of_a_leg_is_read_without_its_lock(self, store: Store) -> None:
        await put(store, leg("l1"), leg("l2", SOUTH, BERT))
        async with store.reading() as work:
            found = await work.lines_of([LegId("l1"), LegId("l2"), LegId("nobody's")])
        assert found == {"l1": (NORTH, ANNA), "l2": (SOUTH, BERT)}


class SealContract:
    """Claims of legs, offers, attempts."""

    async def test_due_partners_name_each_lane_with_claimable_legs(self, store: Store) -> None:
        await put(
            store,
            leg("l1"),
            leg("l2", subject=BERT, lane=Lane.IMMEDIATE),
            leg("later", SOUTH, due_at=NOW + SECOND),
            leg("leased", PartnerId("east"), lease_until=UNTIL),
            leg("planned", PartnerId("west"), state=State.PLANNED),
        )
        async with store.reading() as work:
            assert await work.due_partners(NOW) == [(NORTH, Lane.IMMEDIATE), (NORTH, Lane.ROUTINE)]
            assert await work.due_partners(NOW + SECOND) == [(NORTH, Lane.IMMEDIATE), (NORTH, Lane.ROUTINE), (SOUTH, Lane.ROUTINE)]

    async def test_only_the_head_of_a_line_is_claimed(self, store: Store) -> None:
        await put(store, leg("l1"), leg("l2", seq=2), leg("b1", subject=BERT), leg("b2", subject=BERT, seq=2, state=State.PLANNED))
        assert await claim(store) == ["b1", "l1"]
        assert await claim(store) == []

    async def test_of_two_legs_with_one_seq_one_is_the_head(self, store: Store) -> None:
        await put(store, leg("l1"), leg("l2"))
        assert await claim(store) == ["l1"]

    async def test_the_oldest_are_claimed_first_up_to_the_limit(self, store: Store) -> None:
        await put(store, *(leg(f"l{n}", subject=SubjectKey(f"s{n}"), due_at=NOW - n * SECOND) for n in range(5)))
        assert await claim(store, limit=2) == ["l4", "l3"]
        assert await claim(store, limit=0) == []
        assert await claim(store, limit=9) == ["l2", "l1", "l0"]

    async def test_a_claim_takes_its_own_lane_partner_and_due_legs_only(self, store: Store) -> None:
        await put(
            store,
            leg("l1", lane=Lane.PRIORITY),
            leg("l2", SOUTH),
            leg("l3", subject=BERT, due_at=NOW + SECOND),
        )
        assert await claim(store) == []
        assert await claim(store, lane=Lane.PRIORITY) == ["l1"]
        assert await claim(store, now=NOW + SECOND) == ["l3"]

    async def test_a_claimed_leg_is_free_again_when_its_lease_has_ended(self, store: Store) -> None:
        await put(store, leg("l1"))
        assert await claim(store) == ["l1"]
        assert await claim(store, now=UNTIL - SECOND) == []
        assert await claim(store, now=UNTIL) == ["l1"]

    async def test_the_window_counts_what_is_sending_or_claimed_now(self, store: Store) -> None:
        await put(
            store,
            leg("l1", state=State.SENDING, lease_until=NOW),
            leg("l2", subject=BERT, lease_until=UNTIL),
            leg("over", subject=SubjectKey("c"), lease_until=NOW),
            leg("free", subject=SubjectKey("d")),
            leg("offered", subject=SubjectKey("e"), state=State.AVAILABLE, lease_until=UNTIL),
            leg("south", SOUTH, state=State.SENDING),
        )
        async with store.unit_of_work() as work:
            assert await work.lock_partner(NORTH, NOW) == 2
            assert await work.lock_partner(NORTH, UNTIL) == 1
            assert await work.lock_partner(PartnerId("never-seen"), NOW) == 0

    async def test_an_offer_comes_again_when_its_visibility_has_ended(self, store: Store) -> None:
        await put(
            store,
            leg("l1", state=State.AVAILABLE, attempt=1, lease_until=NOW),
            leg("l2", subject=BERT, state=State.AVAILABLE, attempt=1, lease_until=UNTIL),
            leg("l3", subject=SubjectKey("c"), state=State.AVAILABLE, attempt=1, lease_until=NOW - SECOND, due_at=NOW + SECOND),
            leg("south", SOUTH, state=State.AVAILABLE, attempt=1, lease_until=NOW),
        )
        async with store.unit_of_work() as work:
            assert ids(await work.offered(NORTH, now=NOW, until=UNTIL, limit=1)) == ["l3"]
            assert ids(await work.offered(NORTH, now=NOW, until=UNTIL, limit=9)) == ["l1"]
            assert await work.offered(NORTH, now=NOW, until=UNTIL, limit=9) == []

    async def test_an_attempt_starts_from_a_leg_as_it_was_claimed(self, store: Store) -> None:
        await put(store, leg("l1"), leg("l2", subject=BERT))
        assert len(await claim(store)) == 2
        claimed = await read(store, "l1", "l2")
        started = [
            replace(row, state=State.SENDING, attempt=1, signed=b"signed", signed_digest="ab", sent_at=NOW, groups=("travel",))
            for row in claimed
        ]
        async with store.unit_of_work() as work:
            assert await work.start_attempts(started, claimed_until=UNTIL) == {"l1", "l2"}
        assert await read(store, "l1", "l2") == started
        async with store.unit_of_work() as work:
            assert await work.start_attempts(started, claimed_until=UNTIL) == set(), "a second worker starts nothing"

    @pytest.mark.parametrize(
        "row",
        [
            pytest.param({"state": State.HELD}, id="held meanwhile"),
            pytest.param({"state": State.SENDING}, id="started by another"),
            pytest.param({"lease_until": UNTIL + SECOND}, id="claimed by another"),
            pytest.param({"lease_until": None}, id="given back"),
            pytest.param({"attempt": 2}, id="published more often"),
            pytest.param({"signed": b"other", "signed_digest": "cd"}, id="signed with other content"),
        ],
    )
    async def test_an_attempt_on_a_leg_that_has_moved_is_dropped(self, store: Store, row: dict[str, Any]) -> None:
        moved = leg("l1", **({"lease_until": UNTIL} | row))
        await put(store, moved, leg("l2", subject=BERT, lease_until=UNTIL))
        mine = [leg("l1"), leg("l2", subject=BERT)]
        started = [replace(row, state=State.SENDING, attempt=1, lease_until=UNTIL, signed=b"s", signed_digest="ab") for row in mine]
        async with store.unit_of_work() as work:
            assert await work.start_attempts(started, claimed_until=UNTIL) == {"l2"}
        assert await read(store, "l1") == [moved]

    async def test_a_lift_while_a_leg_is_being_sealed_is_kept(self, store: Store) -> None:
        await put(store, leg("l1"))
        await claim(store)
        [claimed] = await read(store, "l1")
        async with store.unit_of_work() as work:
            await work.lift({(NORTH, ANNA): Lane.IMMEDIATE})
        async with store.unit_of_work() as work:
            assert await work.start_attempts([replace(claimed, state=State.SENDING, attempt=1)], claimed_until=UNTIL) == {"l1"}
        assert (await read(store, "l1"))[0].lane is Lane.IMMEDIATE

    async def test_signed_bytes_once_stored_stay(self, store: Store) -> None:
        await put(store, leg("l1", state=State.SENDING, attempt=1, signed=b"first", signed_digest="ab"))
        async with store.unit_of_work() as work:
            [row] = (await work.legs([LegId("l1")])).values()
            await work.save_legs([replace(row, state=State.READY, signed=b"second", signed_digest="cd")])
        [row] = await read(store, "l1")
        assert (row.state, row.signed, row.signed_digest) == (State.READY, b"first", "ab")

    async def test_statements_of_claiming_and_starting_do_not_grow_with_the_window(self, store: Store) -> None:
        await put(store, *(leg(f"l{n:02}", subject=SubjectKey(f"s{n}")) for n in range(41)))

        async def once(limit: int) -> int:
            with counting(store) as counted:
                async with store.unit_of_work() as work:
                    await work.lock_partner(NORTH, NOW)
                    legs = await work.claim_legs(NORTH, Lane.ROUTINE, now=NOW, until=UNTIL, limit=limit)
                    await work.previous_sent([(row.partner, row.subject) for row in legs])
                    await work.undelivered_before([row.leg_id for row in legs])
                    started = [replace(row, state=State.SENDING, attempt=1) for row in legs]
                    assert len(await work.start_attempts(started, claimed_until=UNTIL)) == limit
                    assert len(await work.legs([row.leg_id for row in legs])) == limit
                    await work.save_legs(started)
            return counted.calls

        assert await once(1) == await once(40)


class SettleContract:
    """Legs moved, timers, counts, requests."""

    async def test_every_mutable_column_of_a_leg_is_saved(self, store: Store) -> None:
        await put(store, leg("l1"))
        async with store.unit_of_work() as work:
            [row] = (await work.legs([LegId("l1"), LegId("nobody's")])).values()
            changed = replace(
                row,
                lane=Lane.PRIORITY,
                seq=9,
                state=State.DEAD,
                attempt=4,
                failures=3,
                due_at=NOW + SECOND,
                lease_until=UNTIL,
                expires_at=UNTIL,
                hold_reason="REVIEW",
                reason="attempts-used",
                last_code="timeout",
                groups=(),
                removed=(),
                because=("b",),
                policy_digest="p2",
                signed=b"s",
                signed_digest="ab",
                sent_at=NOW,
                ended_at=UNTIL,
                receipt_due_at=UNTIL,
                proof="cd",
            )
            await work.save_legs([changed])
        assert await read(store, "l1") == [changed]

    async def test_timers_are_leases_of_sending_expiry_and_receipts_owed(self, store: Store) -> None:
        past = NOW - SECOND
        await put(
            store,
            leg("lease", seq=1, state=State.SENDING, lease_until=past),
            *(leg(f"x-{state}", seq=2, state=state, expires_at=NOW) for state in sorted(State)),
            leg("owed", seq=3, state=State.DELIVERED, receipt_due_at=past - SECOND),
            leg("not-owed", seq=3, state=State.DELIVERED),
            leg("receipted", seq=3, state=State.RECEIPTED, receipt_due_at=past),
            leg("lasting", seq=3, state=State.SENDING, lease_until=UNTIL),
            leg("claimed", seq=3, lease_until=past),
        )
        async with store.reading() as work:
            due = ids(await work.due_timers(NOW, limit=99))
            assert due[:2] == ["owed", "lease"]
            assert due[2:] == ["x-available", "x-dead", "x-held", "x-planned", "x-ready"]
            assert ids(await work.due_timers(NOW, limit=2)) == ["owed", "lease"]
            assert ids(await work.due_timers(past, limit=99)) == ["owed", "lease"]
            assert ids(await work.due_timers(past - SECOND, limit=99)) == ["owed"]

    async def test_leases_of_workers_that_ended_are_ended_and_offers_stay(self, store: Store) -> None:
        await put(
            store,
            leg("sending", seq=1, state=State.SENDING, attempt=1, lease_until=UNTIL),
            leg("claimed", subject=BERT, lease_until=UNTIL),
            leg("free", SOUTH),
            leg("offered", SOUTH, subject=BERT, state=State.AVAILABLE, attempt=1, lease_until=UNTIL),
            leg("over", seq=9, state=State.SENDING, attempt=1, lease_until=NOW - SECOND),
        )
        async with store.unit_of_work() as work:
            assert await work.end_leases(NOW) == 2
            assert await work.end_leases(NOW) == 0
            assert set(ids(await work.due_timers(NOW, limit=9))) == {"sending", "over"}
        rows = await read(store, "sending", "claimed", "free", "offered", "over")
        assert [row.lease_until for row in rows] == [NOW, NOW, None, UNTIL, NOW - SECOND]

    async def test_legs_are_counted_by_partner_and_state(self, store: Store) -> None:
        await put(store, leg("l1"), leg("l2", seq=2), leg("l3", SOUTH, state=State.DEAD))
        async with store.reading() as work:
            assert await work.counts() == {(NORTH, State.READY): 2, (SOUTH, State.DEAD): 1}

    async def test_a_request_id_is_new_once_until_it_is_forgotten(self, store: Store) -> None:
        one, two = (NORTH, Jti("r1"), UNTIL), (SOUTH, Jti("r1"), UNTIL + SECOND)
        async with store.unit_of_work() as work:
            assert await work.remember_requests([two, one, one]) == {one[:2], two[:2]}
            assert await work.remember_requests([]) == set()
        async with store.unit_of_work() as work:
            assert await work.remember_requests([one, two]) == set()
            await work.forget_requests(UNTIL)
            assert await work.remember_requests([one, two]) == {one[:2]}
