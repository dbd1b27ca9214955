"""What every store must do: `SqliteStore` and `PostgresStore` inherit this suite and give one fixture, `store`: open, migrated, empty.

Where another store on the same database is needed (a restart, a second process) the suite asks the fixture `again` for one.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.app.ports import RefusalRow, Store, WrappedKey
from gateway.contract.errors import InvariantError
from gateway.contract.values import Country, Jti, Lane, LegId, SubjectKey
from gateway.core.delivery import State
from gateway.core.facts import Answered, Head
from gateway.core.message import Signed
from gateway.testing.contract_store_aside import AsideContract
from gateway.testing.contract_store_attempts import AttemptContract
from gateway.testing.contract_store_circuits import CircuitContract
from gateway.testing.contract_store_keys import KeyContract
from gateway.testing.contract_store_legs import LineContract, SealContract, SettleContract
from gateway.testing.contract_store_upkeep import UpkeepContract
from gateway.testing.contract_store_watches import WatchContract
from gateway.testing.store_rows import (
    ANNA,
    BERT,
    KEY,
    NORTH,
    NOW,
    SECOND,
    SOUTH,
    UNTIL,
    Again,
    counting,
    ids,
    leg,
    message,
    put,
    read,
    ref,
    signed,
    undone,
)


class IntakeContract:
    """Claims, subjects, messages, legs, refusals."""

    async def test_a_free_id_is_claimed_and_a_taken_one_is_not(self, store: Store) -> None:
        async with store.unit_of_work() as work:
            assert await work.claim([signed("b"), signed("a")], NOW) == {ref("a"), ref("b")}
            await work.save_receipts({ref("a"): b"receipt a", ref("b"): b"receipt b"})
        async with store.unit_of_work() as work:
            assert await work.claim([signed("c"), signed("a", "other")], NOW) == {ref("c")}
            found = await work.earlier([ref("a"), ref("nobody's")])
            await work.save_receipts({ref("c"): b"receipt c"})
        assert {key: (value.digest, value.receipt) for key, value in found.items()} == {ref("a"): ("d1", b"receipt a")}

    async def test_an_id_twice_in_a_batch_is_claimed_once_with_its_first_digest(self, store: Store) -> None:
        async with store.unit_of_work() as work:
            assert await work.claim([signed("a", "first"), signed("a", "second")], NOW) == {ref("a")}
            await work.save_receipts({ref("a"): b"r"})
            assert (await work.earlier([ref("a")]))[ref("a")].digest == "first"

    async def test_one_repeated_id_in_a_batch_leaves_the_other_99_claimable(self, store: Store) -> None:
        async with store.unit_of_work() as work:
            await work.claim([signed("j50")], NOW)
        async with store.unit_of_work() as work:
            batch = [signed(f"j{n}") for n in range(100)]
            assert await work.claim(batch, NOW) == {ref(f"j{n}") for n in range(100)} - {ref("j50")}

    async def test_one_jti_of_two_signers_is_two_ids(self, store: Store) -> None:
        async with store.unit_of_work() as work:
            assert len(await work.claim([signed("a"), Signed(NORTH, Jti("a"), "d1")], NOW)) == 2

    async def test_a_claim_committed_without_a_receipt_is_an_error_and_no_answer(self, store: Store) -> None:
        async with store.unit_of_work() as work:
            await work.claim([signed("a")], NOW)
        async with store.reading() as reading:
            with pytest.raises(InvariantError):
                await reading.earlier([ref("a")])

    async def test_a_claim_that_is_rolled_back_is_free_again(self, store: Store) -> None:
        async with undone(store) as work:
            assert await work.claim([signed("a")], NOW) == {ref("a")}
        async with store.unit_of_work() as work:
            assert await work.claim([signed("a")], NOW) == {ref("a")}

    async def test_a_claim_taken_back_is_free_again_and_one_with_a_receipt_stays(self, store: Store) -> None:
        async with store.unit_of_work() as work:
            await work.claim([signed("m1"), signed("m2")], NOW)
            await work.save_receipts({ref("m2"): b"receipt"})
            await work.unclaim([ref("m1"), ref("m2"), ref("nobody's")])
        async with store.unit_of_work() as work:
            assert await work.claim([signed("m1", "d2"), signed("m2")], NOW) == {ref("m1")}
            await work.save_receipts({ref("m1"): b"receipt"})

    async def test_the_loser_of_a_claim_reads_the_winners_receipt(self, store: Store) -> None:
        claimed = asyncio.Event()

        async def win() -> None:
            async with store.unit_of_work() as work:
                assert await work.claim([signed("a")], NOW) == {ref("a")}
                claimed.set()
                await asyncio.sleep(0.1)
                await work.save_receipts({ref("a"): b"the winner's"})

        async def lose() -> bytes:
            await claimed.wait()
            async with store.unit_of_work() as work:
                assert await work.claim([signed("a")], NOW) == set()
                return (await work.earlier([ref("a")]))[ref("a")].receipt

        async with asyncio.TaskGroup() as group:
            group.create_task(win())
            loser = group.create_task(lose())
        assert loser.result() == b"the winner's"

    async def test_a_new_subject_gets_the_key_given_and_a_known_one_keeps_its_own(self, store: Store) -> None:
        async with store.unit_of_work() as work:
            first = await work.lock_subjects({ANNA: WrappedKey("e1", b"one")})
        async with store.unit_of_work() as work:
            both = await work.lock_subjects({BERT: WrappedKey("e2", b"b"), ANNA: WrappedKey("e2", b"two")})
        assert (first[ANNA].seq, first[ANNA].epoch, first[ANNA].wrapped) == (0, "e1", b"one")
        assert both[ANNA] == first[ANNA]
        assert (both[BERT].epoch, both[BERT].wrapped) == ("e2", b"b")

    async def test_relocking_finds_the_subjects_that_exist(self, store: Store) -> None:
        async with store.unit_of_work() as work:
            await work.lock_subjects({ANNA: KEY})
            assert set(await work.relock_subjects([BERT, ANNA])) == {ANNA}

    async def test_the_last_seq_given_out_is_stored(self, store: Store) -> None:
        async with store.unit_of_work() as work:
            await work.lock_subjects({ANNA: KEY, BERT: KEY})
            await work.set_seq({ANNA: 7, BERT: 2**40})
        async with store.reading() as reading:
            found = await reading.subject_keys([ANNA, BERT, SubjectKey("cc")])
        assert {key: row.seq for key, row in found.items()} == {ANNA: 7, BERT: 2**40}

    async def test_a_message_is_read_as_it_was_written(self, store: Store) -> None:
        await put(store)
        async with store.reading() as work:
            assert await work.messages([ref("m1"), ref("nobody's")]) == {ref("m1"): message("m1")}

    async def test_what_was_said_of_a_subject_is_found_without_its_content_and_without_what_the_gateway_said(self, store: Store) -> None:
        rows = [replace(message("m2"), received_at=NOW + SECOND), message("m1"), message("m3", BERT), replace(message("m4"), channel=NORTH)]
        async with store.unit_of_work() as work:
            await work.lock_subjects({ANNA: KEY, BERT: KEY})
            await work.add_messages(rows)
        heads = {
            name: Head(ref(name), "travel-notification", f"txn-{name}", row.received_at)
            for name, row in zip(("m2", "m1", "m3"), rows, strict=False)
        }
        async with store.reading() as reading:
            assert await reading.heads([ANNA, BERT], besides=NORTH) == {ANNA: [heads["m1"], heads["m2"]], BERT: [heads["m3"]]}
            assert [head.ref for head in (await reading.heads([ANNA], besides=SOUTH))[ANNA]] == [ref("m1"), ref("m4"), ref("m2")]

    async def test_a_leg_is_read_as_it_was_written(self, store: Store) -> None:
        full = leg(
            "full",
            seq=2,
            lane=Lane.IMMEDIATE,
            state=State.DELIVERED,
            attempt=3,
            failures=2,
            lease_until=UNTIL,
            hold_reason="MINOR",
            reason="EXPIRED",
            last_code="http-503",
            signed=b"\x00signed",
            signed_digest="ab",
            sent_at=NOW,
            ended_at=NOW,
            receipt_due_at=UNTIL,
            proof="cd",
        )
        bare = leg("bare", SOUTH, countries=(), roles=(), groups=(), removed=(), because=())
        await put(store, full, bare)
        assert await read(store, "full", "bare") == [full, bare]
        async with store.reading() as work:
            assert await work.legs_of(ref("m1")) == [bare, full]
            assert await work.legs_of_each([ref("m1"), ref("nobody's")]) == {ref("m1"): [bare, full]}
            assert await work.legs_by_jti(NORTH, [full.jti, bare.jti]) == {full.jti: full}

    async def test_a_refusal_is_read_as_it_was_written(self, store: Store) -> None:
        await put(store)
        rows = [
            RefusalRow(
                message=ref("m1"), position=1, partner=None, country=Country("SE"), roles=("TRANSIT",), reason="NO_PARTNER", because=()
            ),
            RefusalRow(message=ref("m1"), position=0, partner=NORTH, country=None, roles=(), reason="POLICY", because=("a", "b")),
        ]
        async with store.unit_of_work() as work:
            await work.add_refusals(rows)
        async with store.reading() as reading:
            assert await reading.refusals_of(ref("m1")) == rows[::-1]
            assert await reading.refusals_of(ref("m2")) == []

    async def test_what_a_reply_answers_is_found_by_the_legs_jti(self, store: Store) -> None:
        await put(store, leg("l1"))
        async with store.reading() as work:
            found = await work.answered([Jti("jti-l1"), Jti("unknown")])
        expected = Answered(LegId("l1"), Jti("jti-l1"), NORTH, ref("m1"), "travel-notification", "txn-m1", ANNA, State.READY)
        assert found == {Jti("jti-l1"): expected}

    async def test_a_jti_is_of_one_leg_only(self, store: Store) -> None:
        await put(store, leg("l1"))
        with pytest.raises(InvariantError):
            await put(store, leg("l2", SOUTH, jti=Jti("jti-l1")), messages=())

    async def test_a_leg_without_its_message_is_refused(self, store: Store) -> None:
        with pytest.raises(InvariantError):
            await put(store, leg("l1", of="nobody's"))

    async def test_a_time_without_a_zone_is_refused(self, store: Store) -> None:
        with pytest.raises(InvariantError, match="zone"):
            await put(store, leg("l1", due_at=NOW.replace(tzinfo=None)))

    async def test_a_time_of_another_zone_is_the_same_moment(self, store: Store) -> None:
        east = NOW.astimezone(tz=datetime.fromisoformat("2026-01-01T00:00+09:00").tzinfo)
        await put(store, leg("l1", due_at=east))
        [found] = await read(store, "l1")
        assert (found.due_at, found.due_at.tzinfo) == (NOW, UTC)

    async def test_an_exception_leaves_nothing(self, store: Store) -> None:
        async with undone(store) as work:
            await work.claim([signed("a")], NOW)
            await work.lock_subjects({ANNA: KEY})
            await work.add_messages([message("m1")])
            await work.add_legs([leg("l1")])
            await work.stage_evidence([b"entry"])
            await work.set_cursor("c", 1)
        async with store.reading() as reading:
            assert await reading.earlier([ref("a")]) == {}
            assert await reading.subject_keys([ANNA]) == {}
            assert await reading.messages([ref("m1")]) == {}
            assert await reading.legs([LegId("l1")]) == {}
            assert await reading.staged(10) == []
            assert await reading.cursor("c") == 0

    async def test_a_commit_is_there_after_reopening(self, store: Store, again: Again) -> None:
        async with store.unit_of_work() as work:
            await work.claim([signed("a")], NOW)
            await work.save_receipts({ref("a"): b"receipt"})
            await work.stage_evidence([b"entry"])
        await put(store, leg("l1"))
        await store.close()
        reopened = await again()
        async with reopened.reading() as reading:
            assert (await reading.earlier([ref("a")]))[ref("a")].receipt == b"receipt"
            assert [entry for _, entry in await reading.staged(10)] == [b"entry"]
            assert ids(await reading.legs_of(ref("m1"))) == ["l1"]
            assert await reading.messages([ref("m1")]) == {ref("m1"): message("m1")}

    async def test_a_reader_sees_one_state_and_never_what_is_not_committed(self, store: Store) -> None:
        async with store.unit_of_work() as work:
            await work.set_cursor("c", 1)
            async with store.reading() as reading:
                assert await reading.cursor("c") == 0
        async with store.reading() as reading:
            assert await reading.cursor("c") == 1
            async with store.unit_of_work() as work:
                await work.set_cursor("c", 2)
            assert await reading.cursor("c") == 1

    async def test_a_reader_cannot_write(self, store: Store) -> None:
        with pytest.raises(Exception):  # noqa: B017, PT011 -- each database has its own words
            async with store.reading() as reading:
                await reading.set_cursor("c", 1)
        async with store.reading() as reading:
            assert await reading.cursor("c") == 0

    async def test_statements_do_not_grow_with_the_batch(self, store: Store) -> None:
        async def accept(count: int, *, start: int) -> int:
            names = [f"s{n}" for n in range(start, start + count)]
            subjects = dict.fromkeys((SubjectKey(name) for name in names), KEY)
            legs = [leg(f"l-{name}", subject=SubjectKey(name), of=name, state=State.PLANNED) for name in names]
            with counting(store) as counted:
                async with store.unit_of_work() as work:
                    await work.claim([signed(name) for name in names], NOW)
                    await work.save_receipts({ref(name): b"r" for name in names})
                    assert len(await work.earlier([ref(name) for name in names])) == count
                    await work.lock_subjects(subjects)
                    await work.answered([Jti(name) for name in names])
                    await work.add_messages([message(name, SubjectKey(name)) for name in names])
                    await work.add_legs(legs)
                    await work.lift({(NORTH, row.subject): Lane.IMMEDIATE for row in legs})
                    await work.give_turns([(NORTH, row.subject) for row in legs])
                    await work.set_seq(dict.fromkeys(subjects, 1))
                    await work.stage_evidence([name.encode() for name in names])
            return counted.calls

        assert await accept(1, start=0) == await accept(60, start=1)

    async def test_nothing_asked_is_no_statement(self, store: Store) -> None:
        async with store.unit_of_work() as work:
            await work.cursor("c")
            with counting(store) as counted:
                assert await work.claim([], NOW) == set()
                assert await work.earlier([]) == {}
                assert await work.lock_subjects({}) == {}
                assert await work.relock_subjects([]) == {}
                assert await work.answered([]) == {}
                await work.add_legs([])
                await work.add_messages([])
                await work.lift({})
                assert await work.give_turns([]) == []
                assert await work.start_attempts([], claimed_until=NOW) == set()
                await work.save_legs([])
                await work.stage_evidence([])
        assert counted.calls == 0


class EvidenceContract:
    """The log, its lease, cursors."""

    async def test_entries_are_staged_in_order_and_moved_into_the_log(self, store: Store) -> None:
        async with store.unit_of_work() as work:
            await work.stage_evidence([b"one", b"two"])
            await work.stage_evidence([b"three"])
        async with store.unit_of_work() as work:
            staged = await work.staged(2)
            assert [entry for _, entry in staged] == [b"one", b"two"]
            assert await work.log_size() == 0
            leaves = [(staged_id, index, entry, b"hash of " + entry) for index, (staged_id, entry) in enumerate(staged)]
            await work.integrate(leaves, [(0, 0, b"n0"), (0, 1, b"n1"), (1, 0, b"root")])
        async with store.reading() as reading:
            assert await reading.log_size() == 2
            assert [entry for _, entry in await reading.staged(9)] == [b"three"]
            assert await reading.log_nodes([(1, 0), (0, 1), (5, 5)]) == {(1, 0): b"root", (0, 1): b"n1"}
            assert await reading.leaves(0, 1) == [(0, b"one")]
            assert await reading.leaves(1, 9) == [(1, b"two")]
            assert await reading.leaf_index(b"hash of two") == 1
            assert await reading.leaf_index(b"hash of three") is None

    async def test_an_index_that_is_taken_raises_and_changes_nothing(self, store: Store) -> None:
        async with store.unit_of_work() as work:
            await work.stage_evidence([b"one", b"two"])
            (one, _), (two, _) = await work.staged(2)
            await work.integrate([(one, 0, b"one", b"h1")], [])
        with pytest.raises(InvariantError):
            async with store.unit_of_work() as work:
                await work.integrate([(two, 0, b"two", b"h2")], [])
        async with store.reading() as reading:
            assert await reading.leaves(0, 9) == [(0, b"one")]
            assert await reading.staged(9) == [(two, b"two")]

    async def test_an_entry_that_another_has_integrated_is_not_integrated_again(self, store: Store) -> None:
        async with store.unit_of_work() as work:
            await work.stage_evidence([b"one"])
            [(one, _)] = await work.staged(1)
            await work.integrate([(one, 0, b"one", b"h1")], [])
        with pytest.raises(InvariantError):
            async with store.unit_of_work() as work:
                await work.integrate([(one, 1, b"one", b"h1")], [])
        async with store.reading() as reading:
            assert await reading.log_size() == 1

    async def test_checkpoints_are_kept_by_size(self, store: Store) -> None:
        async with store.unit_of_work() as work:
            assert await work.latest_checkpoint() is None
            await work.add_checkpoint(7, b"r7", "note 7", NOW)
            await work.add_checkpoint(3, b"r3", "note 3", UNTIL)
        async with store.reading() as reading:
            latest, three = await reading.latest_checkpoint(), await reading.checkpoint_at(3)
            assert latest is not None
            assert three is not None
            assert (latest.size, latest.root, latest.note, latest.at) == (7, b"r7", "note 7", NOW)
            assert await reading.checkpoints() == [three, latest]
            assert await reading.checkpoint_at(4) is None

    async def test_one_size_has_one_checkpoint(self, store: Store) -> None:
        async with store.unit_of_work() as work:
            await work.add_checkpoint(7, b"r7", "note", NOW)
        with pytest.raises(InvariantError):
            async with store.unit_of_work() as work:
                await work.add_checkpoint(7, b"other", "note", NOW)

    async def test_a_lease_has_one_holder_and_each_new_one_a_new_epoch(self, store: Store) -> None:
        async def take(holder: str, now: datetime, name: str = "sequencer") -> int | None:
            async with store.unit_of_work() as work:
                return await work.take_lease(name, holder, now, now + timedelta(seconds=10))

        assert await take("one", NOW) == 1
        assert await take("one", NOW + SECOND) == 1
        assert await take("two", NOW + 2 * SECOND) is None
        assert await take("two", NOW + 2 * SECOND, "other") == 1
        assert await take("two", NOW + 11 * SECOND) == 2
        assert await take("one", NOW + 12 * SECOND) is None
        assert await take("one", NOW + 60 * SECOND) == 3

    async def test_a_cursor_starts_at_nought_and_stays_where_it_was_put(self, store: Store) -> None:
        async with store.unit_of_work() as work:
            assert await work.cursor("events") == 0
            assert await work.set_cursor("events", 5)
            assert await work.set_cursor("events", 2**40)
        async with store.reading() as reading:
            assert await reading.cursor("events") == 2**40
            assert await reading.cursor("other") == 0

    @pytest.mark.parametrize("late", [7, 6, 0])
    async def test_a_cursor_never_goes_back(self, store: Store, late: int) -> None:
        async with store.unit_of_work() as work:
            assert await work.set_cursor("events", 7)
        async with store.unit_of_work() as work:
            assert not await work.set_cursor("events", late)
            assert await work.cursor("events") == 7
            assert await work.set_cursor("events", 8)

    async def test_an_open_store_of_this_schema_passes_its_check(self, store: Store) -> None:
        await store.check()


class StoreContract(
    IntakeContract,
    LineContract,
    SealContract,
    CircuitContract,
    SettleContract,
    AsideContract,
    WatchContract,
    EvidenceContract,
    UpkeepContract,
    AttemptContract,
    KeyContract,
):
    """Everything that a store promises."""
