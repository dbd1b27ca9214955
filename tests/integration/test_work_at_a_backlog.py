"""Work instead of time: what a claim reads, what a leg costs and what it waits for is the same at any backlog.

On PostgreSQL the rows that each step of a plan has read are counted; on SQLite the steps of its virtual machine.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Executable, event, text

from gateway.app.settle import Change
from gateway.contract.errors import DeliveryError
from gateway.contract.values import Lane, PartnerId, SubjectKey
from gateway.core.circuit import REST
from gateway.core.delivery import Event, State
from gateway.stores import line_statements as line
from gateway.stores import statements as s
from gateway.stores.open import migrate
from gateway.stores.postgres import PostgresStore
from gateway.stores.sqlite import SqliteStore
from gateway.stores.tables import leg as legs
from gateway.testing.store_rows import NORTH, NOW, SECOND, SOUTH, UNTIL, claim, counting, leg, put
from tests.house import SHIPPED, House, house, with_delivery
from tests.notices import also, notice

FR, ES = PartnerId("fr-police"), PartnerId("es-police")
FEW, MANY, LIMIT = 100, 100_000, 16
PARTNER: dict[str, Any] = {"of_partner": NORTH, "now": NOW}
CLAIM = PARTNER | {"until": UNTIL, "limit": LIMIT}
STATEMENTS = [
    pytest.param(s.due_partners(), {"now": NOW}, id="which partners have something due"),
    pytest.param(s.claim_legs(), CLAIM | {"of_lane": Lane.ROUTINE}, id="a claim from the backlog"),
    pytest.param(s.claim_legs(), CLAIM | {"of_lane": Lane.IMMEDIATE}, id="a claim of what is urgent"),
    pytest.param(s.under_way(), PARTNER, id="what is under way"),
    pytest.param(line.circuits(), {"lines": [[NORTH]]}, id="the circuits"),
    pytest.param(s.wake(), PARTNER | {"limit": LIMIT}, id="what waits after a failure"),
    pytest.param(s.due_timers(), {"now": NOW, "limit": LIMIT}, id="what has run out"),
    pytest.param(s.oldest_due(), {}, id="the oldest due"),
    pytest.param(s.give_turns(), {"lines": [[NORTH, "long"]]}, id="the next leg's turn"),
]
NEW = {"leg_id": "'l' || n", "jti": "'jti-l' || n", "seq": "n", "subject": "{subject}", "state": "'{state}'"}


async def fill(store: SqliteStore | PostgresStore, count: int) -> None:
    """Queue legs: each of a subject of its own, as many again behind each other, a few that failed, and one urgent at the very end."""
    await put(
        store, leg("seed", SOUTH), leg("urgent", seq=2 * count, lane=Lane.IMMEDIATE, due_at=NOW), *(
            leg(f"failed{n}", subject=SubjectKey(f"f{n}"), failures=3, due_at=NOW + 60 * SECOND) for n in range(8)
        ),
    )  # fmt: skip
    numbers = f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})"  # noqa: S608 -- a number of ours
    columns = [column.name for column in legs.columns]
    async with store.engines[0].begin() as connection:
        for prefix, subject, state in (("a", "'s' || n", "ready"), ("b", "'long'", "planned")):
            new = NEW | {"leg_id": f"'{prefix}' || n", "jti": f"'jti-{prefix}' || n", "partner": f"'{NORTH}'"}
            values = ", ".join(new.get(name, name).format(subject=subject, state=state) for name in columns)
            await connection.execute(
                text(f"INSERT INTO leg ({', '.join(columns)}) {numbers} SELECT {values} FROM leg, numbers WHERE leg_id = 'seed'")  # noqa: S608
            )


async def steps(store: SqliteStore, statement: Executable, values: dict[str, Any]) -> int:
    """Return how many steps SQLite's virtual machine made."""
    made = 0

    def count() -> int:
        nonlocal made
        made += 1
        return 0

    async with store.engines[0].connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.set_progress_handler(count, 1)
        await connection.execute(statement, values)
        await driver.set_progress_handler(None, 1)
        await connection.rollback()
    return made


async def rows(store: PostgresStore, statement: Executable, values: dict[str, Any]) -> int:
    """Return how many rows the steps of PostgreSQL's plan have read, those thrown away among them."""
    async with store.engines[0].connect() as connection:
        explained = "EXPLAIN (ANALYZE, FORMAT JSON) "
        event.listen(connection.sync_connection, "before_cursor_execute", lambda *a: (explained + a[2], a[3]), retval=True)
        result = await connection.execute(statement, values)
        ((plan,),) = result.cursor.fetchall()
        await connection.rollback()
    return _read(json.loads(plan)[0]["Plan"] if isinstance(plan, str) else plan[0]["Plan"])


def _read(node: dict[str, Any]) -> int:
    own = node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return round(own * node["Actual Loops"]) + sum(map(_read, node.get("Plans", ())))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Two databases, one with a thousand times the backlog of the other."""

    async def make(path: Path, count: int) -> Path:
        store = SqliteStore(path)
        await store.migrate()
        await fill(store, count)
        await store.close()
        return path

    folder = tmp_path_factory.mktemp("backlog")
    return {count: asyncio.run(make(folder / f"{count}.db", count)) for count in (FEW, MANY)}


@pytest.mark.parametrize(("statement", "values"), STATEMENTS)
async def test_sqlite_makes_as_many_steps_at_a_hundred_thousand_as_at_a_hundred(
    files: dict[int, Path], statement: Executable, values: dict[str, Any]
) -> None:
    needed = {}
    for count, path in files.items():
        store = SqliteStore(path)
        needed[count] = await steps(store, statement, values)
        await store.close()
    assert 0 < needed[MANY] <= needed[FEW] * 1.02


@pytest.mark.services
async def test_postgresql_reads_no_more_rows_at_a_hundred_thousand_than_at_a_hundred(postgres_dsn: str) -> None:
    needed: dict[int, list[int]] = {}
    await migrate(postgres_dsn)
    store = PostgresStore(postgres_dsn)
    for count in (FEW, MANY):
        if count == MANY:
            async with store.engines[0].begin() as connection:
                await connection.execute(text("TRUNCATE leg, message, subject, partner_line CASCADE"))
                await connection.execute(text("TRUNCATE message_key, subject_key"))
        await fill(store, count)
        async with store.engines[0].begin() as connection:
            await connection.execute(text("ANALYZE"))
        needed[count] = [await rows(store, *param.values) for param in STATEMENTS]
    await store.close()
    more = {
        param.id: (few, many) for param, few, many in zip(STATEMENTS, needed[FEW], needed[MANY], strict=True) if many > max(few, 8 * LIMIT)
    }
    assert more == {}


async def test_of_a_hundred_thousand_legs_the_urgent_one_is_claimed_first_and_a_claim_holds_a_window(
    files: dict[int, Path], tmp_path: Path
) -> None:
    copy = tmp_path / "gateway.db"
    shutil.copy(files[MANY], copy)
    store = SqliteStore(copy)
    async with store.reading() as work:
        due = await work.due_partners(NOW)
    assert due[0] == (NORTH, Lane.IMMEDIATE)
    tracemalloc.start()
    try:
        taken = [await claim(store, lane=lane, limit=LIMIT) for _, lane in due[:2]]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    await store.close()
    assert taken == [["urgent"], [f"a{n}" for n in range(1, LIMIT + 1)]]
    assert most < 4 * 1024 * 1024


async def submitted(h: House, count: int, first: int = 0) -> list[str]:
    return [await h.submit(notice("FR", subject=f"s-{number:06d}")) for number in range(first, first + count)]


async def test_the_statements_of_a_round_do_not_grow_with_the_legs_in_it(tmp_path: Path) -> None:
    """Whatever a round costs, sixteen legs share it: claimed, sealed, started, settled, and their senders told."""
    async with house(tmp_path, profiles=also(with_delivery(SHIPPED[FR], window=16))) as h:
        needed: dict[str, dict[int, int]] = {}
        first = 0
        for count in (1, 2, 16):
            jtis = await submitted(h, count, first)
            first += count
            h.partners[FR].gate = asyncio.Event()
            with counting(h.store) as counted:
                assert await h.seal.run_once() == count
            needed.setdefault("seal", {})[count] = counted.calls
            changes = [
                Change(leg_id=(await h.legs(jti))[FR].leg_id, event=Event.DELIVERED, attempt=1, partner=FR)
                for jti in jtis
            ]  # fmt: skip
            with counting(h.store) as counted:
                assert len(await h.settle.run(changes)) == count
            needed.setdefault("settle", {})[count] = counted.calls
            h.partners[FR].gate.set()
            await h.run_until_idle()
        assert needed["seal"][16] == needed["seal"][2]
        assert needed["settle"][16] == needed["settle"][2]
        assert max(needed["seal"][1], needed["settle"][1]) <= 40, needed
        assert (needed["seal"][16] + needed["settle"][16]) / 16 <= 5, "statements for each leg of a full window"


@pytest.mark.services
async def test_no_partner_s_legs_wait_for_the_row_or_the_legs_of_another(tmp_path: Path, postgres_dsn: str) -> None:
    """Another inner was frozen while it held a failing partner's row and legs: everybody else's go on, their settlement too."""
    await migrate(postgres_dsn)
    frozen = PostgresStore(postgres_dsn)
    async with house(tmp_path, url=postgres_dsn) as h:
        h.partners[FR].answers = [DeliveryError("connect")]
        jti = await h.submit(notice("ES", "FR"))
        await h.run_until_idle()
        h.clock.advance(seconds=10)
        async with asyncio.timeout(20), frozen.unit_of_work() as work:
            stuck = (await h.legs(jti))[FR]
            assert (await work.circuits([FR]))[FR] != REST
            assert await work.claim_legs(FR, stuck.lane, now=h.clock.now(), until=h.clock.now() + 60 * SECOND, limit=9)
            others = [await h.submit(notice("ES", subject=f"s-{number:06d}")) for number in range(20)]
            both = [await h.submit(notice("ES", "FR", subject=f"b-{number:06d}")) for number in range(4)]
            await h.run_until(lambda: len(h.partners[ES].received) == 1 + len(others) + len(both))
            await until_delivered(h, [*others, *both])
            assert {(await h.legs(each))[FR].attempt for each in both} == {0}, "the partner whose row is held waits"
        await h.run_until(lambda: len(h.partners[FR].attempts) > 1)
    await frozen.close()


async def until_delivered(h: House, jtis: list[str]) -> None:
    while {(await h.legs(jti))[ES].state for jti in jtis} != {State.DELIVERED}:
        await asyncio.sleep(0.01)
