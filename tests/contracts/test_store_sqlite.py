"""The store in one file keeps the contract of every store, and says in words what is wrong with its file."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.app.ports import Store, StoreUnavailableError
from gateway.stores.open import check_schema, migrate, open_store
from gateway.stores.sqlite import SqliteStore
from gateway.testing.contract_store import StoreContract
from gateway.testing.store_rows import ANNA, KEY, NOW, Again, ref, signed


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty file, made once."""
    path = tmp_path_factory.mktemp("store") / "template.db"
    asyncio.run(migrate(f"sqlite:///{path}"))
    return path


@pytest.fixture
def path(template: Path, tmp_path: Path) -> Path:
    return shutil.copy(template, tmp_path / "gateway.db")


@pytest.fixture
async def again(path: Path) -> AsyncIterator[Again]:
    opened: list[SqliteStore] = []

    async def open_again() -> SqliteStore:
        opened.append(SqliteStore(path, busy_seconds=0.2))
        return opened[-1]

    yield open_again
    for store in opened:
        await store.close()


@pytest.fixture
async def store(again: Again) -> Store:
    return await again()


class TestSqliteStore(StoreContract):
    async def test_units_of_work_of_one_process_wait_for_each_other(self, store: Store) -> None:
        async def add() -> None:
            async with store.unit_of_work() as work:
                await work.set_cursor("c", await work.cursor("c") + 1)

        await asyncio.gather(*(add() for _ in range(20)))
        async with store.reading() as reading:
            assert await reading.cursor("c") == 20

    async def test_readers_do_not_wait_for_the_writer(self, store: Store) -> None:
        async with asyncio.timeout(5), store.unit_of_work() as work:
            await work.set_cursor("c", 1)
            async with store.reading() as one, store.reading() as two:
                assert await one.cursor("c") == await two.cursor("c") == 0

    async def test_a_cancelled_unit_of_work_leaves_nothing_and_the_next_one_works(self, store: Store) -> None:
        inside = asyncio.Event()

        async def hang() -> None:
            async with store.unit_of_work() as work:
                await work.claim([signed("a")], NOW)
                inside.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(hang())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with store.unit_of_work() as work:
            assert await work.claim([signed("a")], NOW) == {ref("a")}

    async def test_a_write_lock_of_another_process_is_unavailable_after_a_while(self, store: Store, path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailableError, match="write lock"):
                async with store.unit_of_work():
                    pass
            async with store.reading() as reading:
                assert await reading.cursor("c") == 0
        async with store.unit_of_work() as work:
            await work.set_cursor("c", 1)

    async def test_every_commit_is_synchronised_and_keys_are_overwritten(self, store: SqliteStore) -> None:
        found = {}
        async with store.engines[0].connect() as connection:
            for pragma in ("journal_mode", "synchronous", "foreign_keys", "secure_delete"):
                found[pragma] = (await connection.exec_driver_sql(f"PRAGMA {pragma}")).scalar_one()
        assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}

    async def test_a_full_disk_is_unavailable_and_nothing_of_the_unit_is_done(self, store: SqliteStore) -> None:
        async with store.engines[0].connect() as connection:
            pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one()
            await connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 4}")

        async def fill() -> None:
            async with store.unit_of_work() as work:
                await work.lock_subjects({ANNA: KEY})
                await work.stage_evidence([b"x" * 100_000])

        with pytest.raises(StoreUnavailableError, match="full"):
            await fill()
        async with store.unit_of_work() as work:
            assert await work.relock_subjects([ANNA]) == {}


class TestFile:
    async def test_a_damaged_file_is_said_to_be_damaged(self, path: Path) -> None:
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (size - 4096))
        with pytest.raises(StoreUnavailableError, match="damaged"):
            async with open_store(f"sqlite:///{path}") as store, store.unit_of_work() as work:
                await work.lock_subjects({ANNA: KEY})

    async def test_another_file_is_said_to_be_no_database(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("no database\n" * 1000, encoding="utf-8")
        with pytest.raises(StoreUnavailableError, match="no SQLite database"):
            await check_schema(f"sqlite:///{tmp_path}/notes.txt")

    async def test_a_missing_file_is_named_and_not_made_by_a_check(self, tmp_path: Path) -> None:
        with pytest.raises(StoreUnavailableError, match=r"gateway db migrate"):
            await check_schema(f"sqlite:///{tmp_path}/none.db")
        assert not (tmp_path / "none.db").exists()

    async def test_a_missing_folder_is_unavailable(self, tmp_path: Path) -> None:
        with pytest.raises(StoreUnavailableError, match=r"none/gateway\.db"):
            await migrate(f"sqlite:///{tmp_path}/none/gateway.db")

    async def test_a_new_file_belongs_to_its_owner_alone(self, tmp_path: Path) -> None:
        async with open_store(f"sqlite:///{tmp_path}/new.db") as store, store.unit_of_work() as work:
            await work.set_cursor("c", 1)
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
        assert modes == dict.fromkeys(("new.db", "new.db-wal", "new.db-shm"), 0o600)

    async def test_opening_twice_migrates_once(self, tmp_path: Path) -> None:
        for expected in (0, 1):
            async with open_store(f"sqlite:///{tmp_path}/new.db") as store, store.unit_of_work() as work:
                assert await work.cursor("c") == expected
                await work.set_cursor("c", 1)

    @pytest.mark.parametrize("url", ["", "sqlite:///", "sqlite:///:memory:", "gateway.db", "mysql://root@host/x"])
    async def test_any_other_address_is_refused(self, url: str) -> None:
        with pytest.raises(StoreUnavailableError, match="the address of the database"):
            await migrate(url)

    @pytest.mark.parametrize(
        ("name", "value", "words"),
        [("schema", 0, "run `gateway db migrate`"), ("oldest_code", 99, "install a newer one")],
    )
    async def test_a_schema_that_does_not_fit_this_code_is_refused(self, path: Path, name: str, value: int, words: str) -> None:
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("UPDATE meta SET value = ? WHERE name = ?", (value, name))
        with pytest.raises(StoreUnavailableError, match=words):
            await check_schema(f"sqlite:///{path}")
