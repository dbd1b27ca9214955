"""SQLite for the embedded form: one writer connection behind a lock, any number of readers beside it.

Python's driver opens no transaction before a WITH or a SELECT, so we send BEGIN ourselves: IMMEDIATE for the writer, so that a
transaction that has read never meets "locked" when it writes. WAL with full synchronisation: a commit is on the disk when it
returns. Deleted content, keys above all, is overwritten (`secure_delete`).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from gateway.app.ports import StoreUnavailableError, UnitOfWork
from gateway.contract.errors import GatewayError, InvariantError
from gateway.stores.connected import Translation
from gateway.stores.schema import check_versions, upgrade
from gateway.stores.sql import SqlUnitOfWork, transaction
from gateway.stores.sqlite_thread import connect

READERS_COUNT_MAX: Final = 4
PRAGMAS: Final = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "secure_delete=ON",
    "trusted_schema=OFF",
    "temp_store=MEMORY",  # nothing of the content in temporary files
)
WORDS: Final = {
    "SQLITE_BUSY": "another process holds its write lock",
    "SQLITE_LOCKED": "another connection holds its lock",
    "SQLITE_FULL": "the disk is full",
    "SQLITE_READONLY": "the file or its folder may only be read",
    "SQLITE_CORRUPT": "the file is damaged: restore it from a backup",
    "SQLITE_NOTADB": "the file is no SQLite database, or is damaged",
    "SQLITE_CANTOPEN": "the file cannot be opened",
    "SQLITE_IOERR": "the disk does not read or write",
}


class SqliteStore:
    """The store in one file."""

    def __init__(self, path: Path, *, busy_seconds: float = 5.0) -> None:
        """Use `path`; wait at most `busy_seconds` for a write lock that another process holds."""
        self._path, self._lock = path, asyncio.Lock()
        self._writer = _engine(path, "BEGIN IMMEDIATE", busy_seconds=busy_seconds, connections=1)
        self._readers = _engine(path, "BEGIN", busy_seconds=busy_seconds, connections=READERS_COUNT_MAX, only_reads=True)
        self._translated = Translation((SQLAlchemyError, sqlite3.Error, OSError), self._explain)

    @property
    def engines(self) -> tuple[AsyncEngine, ...]:
        """The engines, for a test that counts statements."""
        return self._writer, self._readers

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator[UnitOfWork]:
        """Open the one transaction that writes. Raises `StoreUnavailableError`."""
        async with self._writing() as work:
            yield work

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[SqlUnitOfWork]:
        async with self._lock, transaction(self._writer, self._translated, writes=True) as work:
            yield work

    def reading(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """Open a transaction that sees one state of everything and cannot write."""
        return transaction(self._readers, self._translated, writes=False)

    async def migrate(self) -> None:
        """Make the file, for its owner alone, and bring its schema to this code's. Raises `StoreUnavailableError`."""
        with self._translated():
            self._path.touch(mode=0o600)
            async with self._lock, self._writer.begin() as connection:
                await connection.run_sync(upgrade)

    async def check(self) -> None:
        """Say that the file can be read and its schema fits. Raises `StoreUnavailableError`."""
        if not self._path.exists():
            raise StoreUnavailableError(f"{self._path}: there is no such file; run `gateway db migrate`")
        async with transaction(self._readers, self._translated, writes=False) as work:
            check_versions(await work.versions())

    async def close(self) -> None:
        """Release connections; the last one to close folds the write-ahead log into the file."""
        await self._readers.dispose()
        await self._writer.dispose()

    def _explain(self, exc: Exception) -> GatewayError:
        if isinstance(exc, IntegrityError):
            return InvariantError("store", str(exc.orig))  # names the constraint, never a value
        if isinstance(exc, PoolTimeoutError):
            return StoreUnavailableError(f"{self._path}: all its connections are busy")
        if isinstance(exc, OSError):
            return StoreUnavailableError(f"{self._path}: {exc.strerror or 'the disk does not answer'}")
        orig = getattr(exc, "orig", exc)
        name = getattr(orig, "sqlite_errorname", "") or ""
        words = next((words for code, words in WORDS.items() if name.startswith(code)), None)
        if words is None and "no such table" in str(orig):
            words = "it has no schema, or an older one; run `gateway db migrate`"
        return InvariantError("store", name or type(exc).__name__) if words is None else StoreUnavailableError(f"{self._path}: {words}")


def _engine(path: Path, begin: str, *, busy_seconds: float, connections: int, only_reads: bool = False) -> AsyncEngine:
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(path)),
        async_creator=partial(connect, path, busy_seconds=busy_seconds),
        pool_size=connections,
        max_overflow=0,
        hide_parameters=True,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _configure(dbapi_connection: Any, _record: object) -> None:
        cursor = dbapi_connection.cursor()
        for pragma in (*PRAGMAS, *(["query_only=ON"] if only_reads else [])):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
