"""What every store must do: `SqliteStore` and `PostgresStore` inherit this suite and give one fixture, `store`: open, migrated, empty.

Where another store on the same database is needed (a restart, a second process) the suite asks the fixture `again` for one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from gateway.app.ports import LegRow, MessageRow, RefusalRow, Store, UnitOfWork, WrappedKey
from gateway.contract.errors import InvariantError
from gateway.contract.values import Country, Jti, Lane, LegId, PartnerId, Ref, SubjectKey
from gateway.core.delivery import State
from gateway.core.facts import Answered
from gateway.core.message import Signed
from gateway.testing.clock import START as NOW

REGISTER, NORTH, SOUTH = PartnerId("register"), PartnerId("north"), PartnerId("south")
ANNA, BERT = SubjectKey("aa" * 32), SubjectKey("bb" * 32)
KEY = WrappedKey("epoch-1", b"wrapped")
SECOND = timedelta(seconds=1)
UNTIL = NOW + timedelta(seconds=60)

Again = Callable[[], Awaitable[Store]]


def ref(name: str) -> Ref:
    """Return a reference of the register."""
    return Ref(REGISTER, Jti(name))


def signed(name: str, digest: str = "d1") -> Signed:
    """Return what a good signature says of a submission."""
    return Signed(REGISTER, Jti(name), digest)


def message(name: str, subject: SubjectKey = ANNA) -> MessageRow:
    """Return the row of a message."""
    return MessageRow(
        ref=ref(name),
        channel=REGISTER,
        family="travel-notification",
        version="1.0",
        subject=subject,
        txn=f"txn-{name}",
        lane=Lane.PRIORITY,
        received_at=NOW + timedelta(microseconds=1),
        iat=NOW - SECOND,
        delete_by=NOW + timedelta(days=365),
        payload=b"\x00sealed\xff",
        wrapped=b"key of " + name.encode(),
        facts=b"",
        decision={"policies": "p1", "gateway": "0.1"},
    )


def leg(name: str, partner: PartnerId = NORTH, subject: SubjectKey = ANNA, *, seq: int = 1, of: str = "m1", **more: Any) -> LegRow:
    """Return the row of a ready leg of message `of`."""
    plain = LegRow(
        leg_id=LegId(name),
        message=ref(of),
        family="travel-notification",
        partner=partner,
        subject=subject,
        jti=Jti(f"jti-{name}"),
        country=Country("NO"),
        roles=("DESTINATION", "TRANSIT"),
        lane=Lane.ROUTINE,
        seq=seq,
        state=State.READY,
        due_at=NOW,
        created_at=NOW,
        expires_at=NOW + timedelta(days=30),
        delete_by=NOW + timedelta(days=60),
        groups=("identity", "travel"),
        removed=(("health", "POLICY", ("no-health", "default-deny")),),
        because=("neighbours",),
        policy_digest="p1",
    )
    return replace(plain, **more)


async def put(store: Store, *legs: LegRow, messages: Sequence[str] = ("m1",)) -> None:
    """Commit subjects, messages and legs."""
    async with store.unit_of_work() as work:
        await work.lock_subjects(dict.fromkeys({ANNA, BERT} | {row.subject for row in legs}, KEY))
        await work.add_messages([message(name) for name in messages])
        await work.add_legs(legs)


async def read(store: Store, *names: str) -> list[LegRow]:
    """Read legs back, in the order asked for."""
    async with store.reading() as work:
        found = await work.legs([LegId(name) for name in names])
    return [found[LegId(name)] for name in names]


async def claim(store: Store, partner: PartnerId = NORTH, lane: Lane = Lane.ROUTINE, *, now: datetime = NOW, limit: int = 64) -> list[str]:
    """Claim in a transaction of its own; return the legs' ids."""
    async with store.unit_of_work() as work:
        await work.lock_partner(partner, now)
        legs = await work.claim_legs(partner, lane, now=now, until=now + timedelta(seconds=60), limit=limit)
    return [row.leg_id for row in legs]


def ids(legs: Iterable[LegRow]) -> list[str]:
    """Return the legs' ids."""
    return [row.leg_id for row in legs]


@dataclass(slots=True)
class Counted:
    """How many calls the driver got."""

    calls: int = 0


@contextmanager
def counting(store: Any) -> Iterator[Counted]:
    """Count the statements sent inside; many rows of one statement are one call."""
    counted = Counted()

    def count(*_: object) -> None:
        counted.calls += 1

    for engine in store.engines:
        event.listen(engine.sync_engine, "before_cursor_execute", count)
    try:
        yield counted
    finally:
        for engine in store.engines:
            event.remove(engine.sync_engine, "before_cursor_execute", count)


class LeftError(Exception):
    """Leaves a unit of work without committing it."""


@asynccontextmanager
async def undone(store: Store) -> AsyncIterator[UnitOfWork]:
    """Open a unit of work that ends with an exception."""
    with suppress(LeftError):
        async with store.unit_of_work() as work:
            yield work
            raise LeftError


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
        bare = leg("bare", SOUTH, country=None, roles=(), groups=(), removed=(), because=())
        await put(store, full, bare)
        assert await read(store, "full", "bare") == [full, bare]
        async with store.reading() as work:
            assert await work.legs_of(ref("m1")) == [bare, full]
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
        assert previous == {(NORTH, ANNA): "jti-l2", (SOUTH, ANNA): "jti-south"}

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
            await work.set_cursor("events", 5)
            await work.set_cursor("events", 2**40)
        async with store.reading() as reading:
            assert await reading.cursor("events") == 2**40
            assert await reading.cursor("other") == 0

    async def test_an_open_store_of_this_schema_passes_its_check(self, store: Store) -> None:
        await store.check()


class StoreContract(IntakeContract, LineContract, SealContract, SettleContract, EvidenceContract):
    """Everything that a store promises."""
