"""From an address to an open store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from gateway.app.ports import Store, StoreUnavailableError
from gateway.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from gateway.stores.postgres import PostgresStore

SQLITE: Final = "sqlite:///"  # three strokes and a path, as SQLAlchemy spells it; an absolute one makes four
POSTGRES: Final = ("postgresql://", "postgres://")
SPELLED: Final = "postgresql+asyncpg"  # as the settings have it, after SQLAlchemy: with `ssl` for libpq's `sslmode`


@asynccontextmanager
async def open_store(url: str, *, password: str | None = None, dev: bool = False) -> AsyncIterator[Store]:
    """Open a store that is fit to give receipts; SQLite's schema is brought up to date first.

    `dev` alone admits a PostgreSQL that may lose commits. Raises `StoreUnavailableError` with what an operator should do.
    """
    store = _store(url, password)
    try:
        if isinstance(store, SqliteStore):
            await store.migrate()
        elif not dev:
            await store.check_durable()
        await store.check()
        yield store
    finally:
        await store.close()


async def migrate(url: str, *, password: str | None = None, finish: bool = False) -> None:
    """Bring a database to this code's schema; with `finish` also by the steps that no older code survives.

    A file of SQLite has one process, which is stopped meanwhile: all steps are run. Raises `StoreUnavailableError`.
    """
    store = _store(url, password)
    try:
        await (store.migrate() if isinstance(store, SqliteStore) else store.migrate(finish=finish))
    finally:
        await store.close()


async def check_schema(url: str, *, password: str | None = None) -> None:
    """Say that a database answers and its schema fits this code. Raises `StoreUnavailableError`."""
    store = _store(url, password)
    try:
        await store.check()
    finally:
        await store.close()


def _store(url: str, password: str | None = None) -> SqliteStore | PostgresStore:
    if url.startswith(SQLITE) and url != SQLITE and ":memory:" not in url:
        return SqliteStore(Path(url.removeprefix(SQLITE)))
    if url.startswith((*POSTGRES, f"{SPELLED}://")):
        from gateway.stores.postgres import PostgresStore  # noqa: PLC0415 -- the embedded form loads no asyncpg, and starts the sooner

        return PostgresStore(_for_libpq(url, password))
    raise StoreUnavailableError("the address of the database must be sqlite:///PATH or postgresql://USER@HOST/NAME")


def _for_libpq(url: str, password: str | None) -> str:
    """Return an address as asyncpg reads it: without the driver's name, and with the password that is kept apart from it."""
    if not url.startswith(SPELLED) and password is None:
        return url
    try:
        parsed = make_url(url)
    except ArgumentError as exc:
        raise StoreUnavailableError("the address of the database is no URL") from exc
    query = {"sslmode" if name == "ssl" else name: value for name, value in parsed.query.items()}
    whole = parsed.set(drivername="postgresql", query=query)
    return (whole if password is None else whole.set(password=password)).render_as_string(hide_password=False)
