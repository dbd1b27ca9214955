"""One visit to a connection's thread for each statement.

aiosqlite makes four of them (cursor, execute, fetch, close), and each is two changes of thread that wait for the interpreter lock.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Self

import aiosqlite

CHUNK_ROWS: Final = 64  # what aiosqlite would read ahead by; nothing here does


async def connect(path: Path, *, busy_seconds: float) -> OneVisit:
    """Open a connection in a thread of its own; the driver opens no transaction of its own."""
    connection = OneVisit(lambda: sqlite3.connect(path, timeout=busy_seconds, isolation_level=None), CHUNK_ROWS)
    connection._thread.daemon = True  # noqa: SLF001 -- as SQLAlchemy does where it opens one itself
    await connection
    return connection


class OneVisit(aiosqlite.Connection):
    """A connection whose cursors execute, fetch all rows and are closed in one go, as SQLAlchemy uses them anyway."""

    def cursor(self) -> Cursor:  # type: ignore[override]  # what SQLAlchemy asks of one
        """Return a cursor; nothing has happened yet."""
        return Cursor(self)

    async def visit(self, work: Callable[[sqlite3.Cursor], Any]) -> Any:
        """Give `work` a cursor in the connection's thread."""
        return await self._execute(self._with_cursor, work)  # type: ignore[no-untyped-call]  # aiosqlite says no types here

    def _with_cursor(self, work: Callable[[sqlite3.Cursor], Any]) -> Any:
        cursor = self._conn.cursor()
        try:
            return work(cursor)
        finally:
            cursor.close()


class Cursor:
    """Keeps what one statement left behind."""

    arraysize = 1
    lastrowid: int | None = None

    def __init__(self, connection: OneVisit) -> None:
        """Wait for a statement."""
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1

    async def __aenter__(self) -> Self:
        """Enter: there is nothing to open."""
        return self

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run a statement and fetch what it returns."""
        await self._connection.visit(lambda cursor: self._keep(cursor.execute(sql, parameters)))

    async def executemany(self, sql: str, parameters: Sequence[Sequence[Any]]) -> None:
        """Run a statement for many rows."""
        await self._connection.visit(lambda cursor: self._keep(cursor.executemany(sql, parameters)))

    async def fetchall(self) -> list[Any]:
        """Return the rows."""
        return self._rows

    async def close(self) -> None:
        """Close: it is closed already."""

    def _keep(self, cursor: sqlite3.Cursor) -> None:
        self.description, self._rows = cursor.description, cursor.fetchall()
        self.rowcount, self.lastrowid = cursor.rowcount, cursor.lastrowid
