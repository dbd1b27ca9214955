"""What several inners do at once on one PostgreSQL: each test has real concurrency, on connections of their own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest

from gateway.app.ports import EpochEndedError, LegRow, WrappedKey
from gateway.contract.errors import InvariantError
from gateway.contract.values import Jti, Lane, LegId, PartnerId, SubjectKey
from gateway.core.delivery import State
from gateway.stores.open import migrate
from gateway.stores.postgres import PostgresStore
from gateway.testing.store_rows import ANNA, BERT, KEY, NORTH, NOW, SOUTH, UNTIL, leg, message, put, read, ref, signed

pytestmark = pytest.mark.services

Pair = tuple[PostgresStore, PostgresStore]


@pytest.fixture
async def inners(postgres_dsn: str) -> AsyncIterator[Pair]:
    """Two stores with connections of their own, as two inners have them."""
    await migrate(postgres_dsn)
    one, two = PostgresStore(postgres_dsn), PostgresStore(postgres_dsn)
    yield one, two
    await one.close()
    await two.close()


async def blocked(dsn: str, count: int = 1) -> None:
    """Return when so many connections wait for a lock that another holds."""
    connection = await asyncpg.connect(dsn)
    try:
        async with asyncio.timeout(20):
            while (await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")) < count:
                await asyncio.sleep(0.01)
    finally:
        await connection.close()


async def test_claimers_never_claim_one_leg_nor_a_second_one_of_a_subject(inners: Pair) -> None:
    subjects, long = 12, 5
    await put(inners[0], *(leg(f"l{s:02}-{n}", subject=SubjectKey(f"s{s}"), seq=n) for s in range(subjects) for n in range(long)))
    open_now: Counter[SubjectKey] = Counter()
    done: list[str] = []

    async def work_off(store: PostgresStore, hold: bool) -> None:
        while len(done) < subjects * long:
            async with store.unit_of_work() as work:
                if hold:  # also without the partner's lock no leg goes twice
                    await work.lock_partner(NORTH, NOW)
                claimed = await work.claim_legs(NORTH, Lane.ROUTINE, now=NOW, until=UNTIL, limit=3)
            for row in claimed:
                open_now[row.subject] += 1
                assert open_now[row.subject] == 1, "a second leg of the subject while the first is open"
            await asyncio.sleep(0)
            async with store.unit_of_work() as work:
                rows = await work.legs([row.leg_id for row in claimed])
                for row in claimed:
                    open_now[row.subject] -= 1
                await work.save_legs([replace(row, state=State.DELIVERED, lease_until=None) for row in rows.values()])
            done.extend(row.leg_id for row in claimed)

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for n in range(6):
            group.create_task(work_off(inners[n % 2], hold=n < 3))
    assert Counter(done) == Counter(f"l{s:02}-{n}" for s in range(subjects) for n in range(long))


async def test_a_claim_skips_what_another_holds_and_does_not_wait_for_it(inners: Pair) -> None:
    await put(inners[0], leg("l1"), leg("l2", seq=2), leg("b1", subject=BERT))
    async with inners[0].unit_of_work() as first:
        assert len(await first.claim_legs(NORTH, Lane.ROUTINE, now=NOW, until=UNTIL, limit=1)) == 1
        async with asyncio.timeout(5), inners[1].unit_of_work() as second:
            assert len(await second.claim_legs(NORTH, Lane.ROUTINE, now=NOW, until=UNTIL, limit=9)) == 1


async def test_the_window_holds_over_two_inners(inners: Pair) -> None:
    window = 5
    await put(inners[0], *(leg(f"l{n}", subject=SubjectKey(f"s{n}")) for n in range(30)))

    async def claim(store: PostgresStore) -> list[LegRow]:
        async with store.unit_of_work() as work:
            room = window - await work.lock_partner(NORTH, NOW)
            await asyncio.sleep(0.01)
            return await work.claim_legs(NORTH, Lane.ROUTINE, now=NOW, until=UNTIL, limit=room) if room > 0 else []

    claimed = await asyncio.gather(*(claim(inners[n % 2]) for n in range(8)))
    assert sum(map(len, claimed)) == window


async def test_two_acceptances_on_one_subject_each_see_the_other_or_nothing(inners: Pair) -> None:
    async def accept(store: PostgresStore, n: int) -> int:
        async with store.unit_of_work() as work:
            assert len(await work.claim([signed(f"m{n}")], NOW)) == 1
            rows = await work.lock_subjects({ANNA: replace(KEY, wrapped=b"%d" % n)})
            seq = rows[ANNA].seq + 1
            await asyncio.sleep(0.005)
            await work.add_messages([message(f"m{n}")])
            await work.add_legs([leg(f"l{n}", of=f"m{n}", seq=seq, state=State.PLANNED)])
            await work.set_seq({ANNA: seq})
            await work.give_turns([(NORTH, ANNA)])
            await work.save_receipts({ref(f"m{n}"): b"r"})
        return seq

    count = 12
    seqs = await asyncio.gather(*(accept(inners[n % 2], n) for n in range(count)))
    assert sorted(seqs) == list(range(1, count + 1))
    rows = await read(inners[0], *(f"l{n}" for n in range(count)))
    assert [row.seq for row in rows if row.state is State.READY] == [1], "one head, and everyone else waits for its turn"
    async with inners[0].reading() as reading:
        assert (await reading.subject_keys([ANNA]))[ANNA].wrapped in {b"%d" % n for n in range(count)}


async def test_a_settlement_racing_an_acceptance_ends_in_a_serial_outcome(inners: Pair) -> None:
    async def settle(n: int) -> None:
        async with inners[0].unit_of_work() as work:
            await work.relock_subjects([ANNA])
            [row] = (await work.legs([LegId(f"l{n}")])).values()
            await work.save_legs([replace(row, state=State.DELIVERED)])
            await work.give_turns([(NORTH, ANNA)])

    async def accept(n: int) -> None:
        async with inners[1].unit_of_work() as work:
            await work.lock_subjects({ANNA: KEY})
            await work.add_messages([message(f"m{n}")])
            await work.add_legs([leg(f"l{n}", of=f"m{n}", seq=n, state=State.PLANNED)])
            await work.give_turns([(NORTH, ANNA)])

    await put(inners[0], leg("l1", state=State.SENDING))
    for n in range(1, 15):
        await asyncio.gather(settle(n), accept(n + 1))
        [following] = await read(inners[0], f"l{n + 1}")
        assert following.state is State.READY, "whoever came second gave the turn: it is never forgotten"


async def test_an_acceptance_waits_for_the_subject_and_reads_what_was_committed_meanwhile(inners: Pair, postgres_dsn: str) -> None:
    await put(inners[0], leg("l1"))

    async def second() -> tuple[int, State]:
        async with inners[1].unit_of_work() as work:
            seq = (await work.lock_subjects({ANNA: KEY}))[ANNA].seq
            return seq, (await work.answered([Jti("jti-l1")]))[Jti("jti-l1")].state

    async with inners[0].unit_of_work() as first:
        [row] = (await first.relock_subjects([ANNA])).values()
        waiting = asyncio.create_task(second())
        await blocked(postgres_dsn)
        await first.set_seq({ANNA: row.seq + 41})
        [held] = (await first.legs([LegId("l1")])).values()
        await first.save_legs([replace(held, state=State.DEAD)])
    assert await waiting == (41, State.DEAD)


async def test_a_subject_erased_and_rekeyed_by_another_has_the_others_key(inners: Pair, postgres_dsn: str) -> None:
    await put(inners[0], leg("l1"))
    owner = await asyncpg.connect(postgres_dsn)
    await owner.execute("DELETE FROM subject_key")
    await owner.close()

    async def second() -> bytes:
        async with inners[1].unit_of_work() as work:
            return (await work.lock_subjects({ANNA: replace(KEY, wrapped=b"second")}))[ANNA].wrapped

    async with inners[0].unit_of_work() as first:
        assert await first.relock_subjects([ANNA]) == {}, "no key: its content is gone"
        assert (await first.lock_subjects({ANNA: replace(KEY, wrapped=b"first")}))[ANNA].wrapped == b"first"
        waiting = asyncio.create_task(second())
        await blocked(postgres_dsn)
    assert await waiting == b"first"


async def test_two_batches_with_the_same_ids_in_opposite_order_do_not_deadlock(inners: Pair) -> None:
    names = [f"m{n:03}" for n in range(100)]
    subjects = [SubjectKey(f"s{n:03}") for n in range(100)]

    async def accept(store: PostgresStore, step: int, start: int) -> int:
        mine = names[start : start + 60][::step]
        async with store.unit_of_work() as work:
            claimed = await work.claim([signed(name) for name in mine], NOW)
            await work.lock_subjects(dict.fromkeys(subjects[start : start + 60][::step], KEY))
            await work.save_receipts(dict.fromkeys(claimed, b"r"))
            earlier = await work.earlier([ref(name) for name in mine])
            assert set(earlier) == {ref(name) for name in mine}
        return len(claimed)

    jobs = [accept(inners[n % 2], 1 if n % 2 else -1, start) for n in range(8) for start in (0, 20, 40)]
    async with asyncio.timeout(60):
        assert sum(await asyncio.gather(*jobs)) == 100


async def test_two_batches_with_one_id_in_common_leave_the_other_99_to_each(inners: Pair) -> None:
    async def accept(store: PostgresStore, own: str) -> int:
        async with store.unit_of_work() as work:
            claimed = await work.claim([signed("common"), *(signed(f"{own}{n}") for n in range(99))], NOW)
            await work.save_receipts(dict.fromkeys(claimed, b"r"))
        return len(claimed)

    assert sorted(await asyncio.gather(accept(inners[0], "a"), accept(inners[1], "z"))) == [99, 100]


async def test_the_loser_of_a_claim_wins_when_the_winner_rolls_back(inners: Pair, postgres_dsn: str) -> None:
    async def lose() -> int:
        async with inners[1].unit_of_work() as work:
            return len(await work.claim([signed("a"), signed("b")], NOW))

    class GoneError(Exception):
        pass

    waiting: list[asyncio.Task[int]] = []

    async def win() -> None:
        async with inners[0].unit_of_work() as work:
            await work.claim([signed("a")], NOW)
            waiting.append(asyncio.create_task(lose()))
            await blocked(postgres_dsn)
            raise GoneError

    with pytest.raises(GoneError):
        await win()
    assert await waiting[0] == 2


async def test_lifting_settling_and_starting_many_legs_at_once_do_not_deadlock(inners: Pair) -> None:
    subjects = [SubjectKey(f"s{n:02}") for n in range(30)]
    await put(inners[0], *(leg(f"l{n:02}", subject=key, lease_until=UNTIL) for n, key in enumerate(reversed(subjects))))
    names = [LegId(f"l{n:02}") for n in range(30)]
    lanes = [Lane.PRIORITY, Lane.IMMEDIATE]

    async def lift(store: PostgresStore, n: int) -> None:
        async with store.unit_of_work() as work:
            await work.lock_subjects(dict.fromkeys(subjects[n::2], KEY))
            await work.lift({(NORTH, key): lanes[n % 2] for key in subjects[n::2]})

    async def start(store: PostgresStore) -> int:
        claimed = await read(store, *reversed(names))
        async with store.unit_of_work() as work:
            return len(await work.start_attempts([replace(row, state=State.SENDING, attempt=1) for row in claimed], claimed_until=UNTIL))

    async def look(store: PostgresStore) -> None:
        async with store.unit_of_work() as work:
            await work.relock_subjects(subjects)
            await work.save_legs(list((await work.legs(names)).values()))

    async with asyncio.timeout(60):
        results = await asyncio.gather(*(job for n in range(6) for job in (lift(inners[0], n % 4), start(inners[1]), look(inners[n % 2]))))
    assert sum(result or 0 for result in results) == 30, "each leg was started once"
    assert {row.lane for row in await read(inners[0], *names)} == set(lanes)


async def test_one_of_two_sequencers_gets_the_lease_and_the_other_integrates_nothing(inners: Pair) -> None:
    async with inners[0].unit_of_work() as work:
        await work.stage_evidence([b"%d" % n for n in range(20)])

    async def sequence(store: PostgresStore, holder: str) -> int | None:
        async with store.unit_of_work() as work:
            epoch = await work.take_lease("sequencer", holder, NOW, NOW + timedelta(seconds=5))
            if epoch is not None:
                staged, size = await work.staged(99), await work.log_size()
                await work.integrate([(n, size + i, entry, entry) for i, (n, entry) in enumerate(staged)], [])
            return epoch

    epochs = await asyncio.gather(*(sequence(inners[n % 2], f"inner-{n}") for n in range(6)))
    assert sorted(epochs, key=str) == [1, *[None] * 5]
    async with inners[0].reading() as reading:
        assert [entry for _, entry in await reading.leaves(0, 99)] == [b"%d" % n for n in range(20)]


async def test_a_sequencer_that_froze_integrates_nothing_twice(inners: Pair) -> None:
    async with inners[0].unit_of_work() as work:
        await work.stage_evidence([b"one", b"two"])

    async def integrate(store: PostgresStore, start: int) -> None:
        async with store.unit_of_work() as work:
            staged = await work.staged(9)
            await asyncio.sleep(0.2)  # both have read the same
            await work.integrate([(n, start + i, entry, entry) for i, (n, entry) in enumerate(staged)], [])

    results = await asyncio.gather(integrate(inners[0], 0), integrate(inners[1], 7), return_exceptions=True)
    assert [type(result) for result in results if result is not None] == [InvariantError]
    async with inners[0].reading() as reading:
        assert sorted(entry for _, entry in await reading.leaves(0, 99)) == [b"one", b"two"]


async def test_partners_do_not_wait_for_each_other_nor_an_acceptance_for_a_claim(inners: Pair) -> None:
    await put(inners[0], leg("l1"), leg("s1", SOUTH))
    async with inners[0].unit_of_work() as slow:
        await slow.lock_partner(NORTH, NOW)
        async with asyncio.timeout(5):
            async with inners[1].unit_of_work() as work:
                assert await work.lock_partner(SOUTH, NOW) == 0
            await put(inners[1], leg("l2", subject=BERT, of="m2"), messages=["m2"])


ROWS = 20_000


@pytest.fixture
async def backlog(inners: Pair, postgres_dsn: str) -> str:
    """A partner that is down: many subjects with a ready leg, one subject with a very long line."""
    await put(inners[0], leg("first", subject=SubjectKey("long"), state=State.SENDING))
    connection = await asyncpg.connect(postgres_dsn)
    columns = [
        row["column_name"] for row in await connection.fetch("SELECT column_name FROM information_schema.columns WHERE table_name = 'leg'")
    ]
    changed = {
        "leg_id": "'x' || n",
        "jti": "'y' || n",
        "seq": "n",
        "due_at": "due_at + n",
        "subject": "CASE WHEN n % 2 = 0 THEN 'long' ELSE 's' || n END",
        "state": "CASE WHEN n % 2 = 0 THEN 'planned' ELSE 'ready' END",
    }
    chosen = ", ".join(changed.get(name, f'"{name}"') for name in columns)
    names = ", ".join(f'"{name}"' for name in columns)
    await connection.execute(f"INSERT INTO leg ({names}) SELECT {chosen} FROM leg, generate_series(1, {ROWS}) n WHERE leg_id = 'first'")  # noqa: S608
    await connection.execute("ANALYZE")
    await connection.close()
    return postgres_dsn


async def rows_read(dsn: str) -> int:
    """Return how many rows of `leg` were fetched so far, by index or by scan, in committed transactions."""
    connection = await asyncpg.connect(dsn)
    try:
        row = await connection.fetchrow(
            "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) AS heap, (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes"
            " WHERE relname = 'leg') AS entries FROM pg_stat_user_tables WHERE relname = 'leg'"
        )
    finally:
        await connection.close()
    return int(row["heap"]) + int(row["entries"])


async def settled(store: PostgresStore, dsn: str) -> int:
    """Return what was read, once the server has written its statistics: a backend reports when it ends."""
    await store.close()
    async with asyncio.timeout(20):
        before = -1
        while (now := await rows_read(dsn)) != before:
            before = now
            await asyncio.sleep(0.6)
    return now


async def test_rows_read_grow_with_the_limit_and_not_with_the_backlog(inners: Pair, backlog: str) -> None:
    limit = 20
    before = await settled(inners[0], backlog)
    store = PostgresStore(backlog)
    later = NOW + timedelta(days=1)
    async with store.unit_of_work() as work:
        await work.due_partners(later)
        await work.lock_partner(NORTH, later)
        assert len(await work.claim_legs(NORTH, Lane.ROUTINE, now=later, until=later + timedelta(seconds=60), limit=limit)) == limit
        await work.give_turns([(NORTH, SubjectKey("long"))])
        await work.previous_sent([(NORTH, SubjectKey("long"))])
        await work.undelivered_before([LegId("x2")])
        await work.due_timers(later, limit=limit)
        await work.offered(PartnerId("north"), now=later, until=later, limit=limit)
    after = await settled(store, backlog)
    assert after - before < 40 * limit, f"of {ROWS} rows"


async def test_who_ends_an_epoch_waits_for_who_is_putting_a_key_under_it_and_finds_it(inners: Pair, postgres_dsn: str) -> None:
    one, two = inners

    async def end() -> int:
        async with two.unit_of_work() as work:
            return await work.end_epoch(KEY.epoch)

    async with one.unit_of_work() as work:
        await work.lock_subjects({ANNA: KEY})
        ending = asyncio.create_task(end())
        await blocked(postgres_dsn)
        assert not ending.done()
    assert await ending == 1, "the key that was on its way is counted"


async def test_who_is_about_to_put_a_key_waits_for_who_ends_its_epoch_and_is_refused(inners: Pair, postgres_dsn: str) -> None:
    one, two = inners

    async def put_one(key: SubjectKey, wrapped: WrappedKey) -> None:
        async with one.unit_of_work() as work:
            await work.lock_subjects({key: wrapped})

    async with two.unit_of_work() as work:
        assert await work.end_epoch(KEY.epoch) == 0
        late = asyncio.create_task(put_one(ANNA, KEY))
        other = asyncio.create_task(put_one(BERT, WrappedKey("epoch-2", b"under the next")))
        await blocked(postgres_dsn, 2)
        async with one.reading() as reading:
            assert await reading.epochs() == {}, "who only reads does not wait"
    with pytest.raises(EpochEndedError):
        await late
    await other
    async with one.reading() as reading:
        assert await reading.epochs() == {"epoch-2": 1}
