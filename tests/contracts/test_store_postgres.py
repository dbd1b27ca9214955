"""The store in a real PostgreSQL keeps the contract of every store, and refuses a server that may lose commits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from gateway.app.ports import Store, StoreUnavailableError
from gateway.stores.open import check_schema, migrate, open_store
from gateway.stores.postgres import PostgresStore
from gateway.testing.contract_store import StoreContract
from gateway.testing.store_rows import Again
from tests.services.postgres import PostgresSettings
from tests.services.processes import free_port

pytestmark = pytest.mark.services


@pytest.fixture
async def again(postgres_dsn: str) -> AsyncIterator[Again]:
    opened: list[PostgresStore] = []

    async def open_again() -> PostgresStore:
        opened.append(PostgresStore(postgres_dsn))
        return opened[-1]

    yield open_again
    for store in opened:
        await store.close()


@pytest.fixture
async def store(again: Again) -> Store:
    store = await again()
    await store.migrate()
    return store


class TestPostgresStore(StoreContract):
    async def test_a_lost_connection_is_unavailable_and_the_next_unit_of_work_works(self, store: Store, postgres_dsn: str) -> None:
        async def lose() -> None:
            async with store.unit_of_work() as work:
                await work.set_cursor("c", 1)
                await terminate_others(postgres_dsn)
                await work.set_cursor("c", 2)

        with pytest.raises(StoreUnavailableError):
            await lose()
        async with store.unit_of_work() as work:
            assert await work.cursor("c") == 0

    async def test_a_connection_lost_while_idle_costs_one_unit_of_work_at_most(self, store: Store, postgres_dsn: str) -> None:
        await asyncio.gather(*(store.check() for _ in range(5)))
        await terminate_others(postgres_dsn)
        failed = 0
        for _ in range(5):
            try:
                await store.check()
            except StoreUnavailableError:
                failed += 1
        assert failed <= 1

    async def test_a_cancelled_unit_of_work_leaves_nothing_and_its_connection_is_usable(self, store: Store) -> None:
        async def hang() -> None:
            async with store.unit_of_work() as work:
                await work.set_cursor("c", 1)
                await asyncio.sleep(60)

        for _ in range(20):  # twice as many as there are connections
            task = asyncio.create_task(hang())
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        async with store.reading() as reading:
            assert await reading.cursor("c") == 0


class TestServer:
    async def test_nobody_at_the_address_is_unavailable_and_no_password_is_shown(self) -> None:
        with pytest.raises(StoreUnavailableError, match="nobody answers") as caught:
            await check_schema(f"postgresql://gateway:very-secret@127.0.0.1:{free_port()}/gateway")
        assert "very-secret" not in str(caught.value)

    async def test_a_wrong_password_is_unavailable(self, postgres: PostgresSettings) -> None:
        before, at, after = postgres.dsn.rpartition("@")
        with pytest.raises(StoreUnavailableError, match="user or password"):
            await check_schema(f"{before}wrong{at}{after}")

    async def test_a_database_that_is_not_there_is_named(self, postgres: PostgresSettings) -> None:
        with pytest.raises(StoreUnavailableError, match="nowhere: there is no such database"):
            await check_schema(postgres.database("nowhere"))

    async def test_an_empty_database_asks_to_be_migrated_and_is_then_fit(self, postgres_dsn: str) -> None:
        with pytest.raises(StoreUnavailableError, match="gateway db migrate"):
            await check_schema(postgres_dsn)
        await migrate(postgres_dsn)
        await check_schema(postgres_dsn)
        await migrate(postgres_dsn)

    async def test_two_processes_that_migrate_at_once_make_one_schema(self, postgres_dsn: str) -> None:
        await asyncio.gather(migrate(postgres_dsn), migrate(postgres_dsn))
        await check_schema(postgres_dsn)

    async def test_a_server_that_may_lose_commits_is_refused_outside_dev(self, postgres_dsn: str) -> None:
        await migrate(postgres_dsn)
        connection = await asyncpg.connect(postgres_dsn)
        try:
            await connection.execute(f"ALTER DATABASE {postgres_dsn.rsplit('/', 1)[1]} SET synchronous_commit = off")
        finally:
            await connection.close()
        with pytest.raises(StoreUnavailableError, match="synchronous_commit must not be off"):
            async with open_store(postgres_dsn):
                pass
        async with open_store(postgres_dsn, dev=True) as store:
            await store.check()


async def terminate_others(dsn: str) -> None:
    """End every other connection to this database, as a restart of the server would."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    finally:
        await connection.close()
