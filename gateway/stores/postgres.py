"""PostgreSQL for the scaled-out form: READ COMMITTED, so that each statement sees what was committed before it.

What must be seen together is locked first and read by a later statement (see `statements.py`). A reading transaction has one
snapshot for all its statements. A server that could lose a committed transaction is refused: a receipt is a promise.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, Final

import asyncpg  # type: ignore[import-untyped]  # ships no types
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import create_async_engine

from gateway.app.ports import StoreUnavailableError, UnitOfWork
from gateway.contract.errors import GatewayError, InvariantError
from gateway.stores.connected import Translation
from gateway.stores.schema import APPLICATION, check_versions, refuse_older, upgrade
from gateway.stores.sql import transaction
from gateway.stores.tables import SCHEMA_VERSION

CONNECTIONS_COUNT_MAX: Final = 10  # of one process
CONNECT_SECONDS_MAX: Final = 10
STATEMENT_SECONDS_MAX: Final = 30  # no statement of ours takes that long unless it waits for a lock that nobody releases
MIGRATION_LOCK: Final = 0x6761_7465  # any number, the same in every process: two migrations never run at once
DURABLE: Final = ("fsync", "synchronous_commit", "full_page_writes")
LOCK_SECONDS_MAX: Final = 3  # for a migration to get a table that the gateway is working on
CONNECTED: Final = text("SELECT application_name FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
WORDS: Final = {  # by class or code of SQLSTATE, the longest that fits
    "08": "the connection is lost",
    "25006": "it takes no writes: is it a standby?",
    "28": "it refuses our user or password",
    "3D": "there is no such database",
    "40": "it ended our transaction in favour of another one",
    "42501": "our user lacks a privilege",
    "42P01": "it has no schema, or an older one; run `gateway db migrate`",
    "42703": "it has an older schema; run `gateway db migrate`",
    "53": "it has no room: disk, memory or connections",
    "55P03": "a lock was not released in time",
    "57": "it is shutting down, or ended our statement",
    "58": "its disk does not read or write",
    "XX001": "its data is damaged: restore it from a backup",
}


class PostgresStore:
    """The store in a PostgreSQL database."""

    def __init__(self, dsn: str, *, connections: int = CONNECTIONS_COUNT_MAX) -> None:
        """Connect when needed; `dsn` is a `postgresql://` address as libpq takes it (`sslmode`, `sslrootcert`, …)."""
        self._name = _name(dsn)
        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=lambda **_: _connect(dsn),
            pool_size=connections,
            max_overflow=0,
            pool_timeout=CONNECT_SECONDS_MAX,
            hide_parameters=True,
        )
        self._writers = engine.execution_options(isolation_level="READ COMMITTED")
        self._readers = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._translated = Translation((SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError), self._explain)

    @property
    def engines(self) -> tuple[Any, ...]:
        """The engines, for a test that counts statements."""
        return self._writers, self._readers

    def unit_of_work(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """Open a transaction that writes. Raises `StoreUnavailableError`."""
        return transaction(self._writers, self._translated, writes=True)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[UnitOfWork]:
        """Open a transaction that sees one state of everything and cannot write."""
        async with transaction(self._readers, self._translated, writes=False) as work:
            yield work

    async def migrate(self, *, finish: bool = False) -> None:
        """Bring the schema to this code's, one process at a time: what older code survives, or all once no older code is connected.

        Raises `StoreUnavailableError`, also where a lock is not to be had: who waits for one holds up everybody behind it.
        """
        with self._translated():
            async with self._writers.begin() as connection:
                await connection.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK)))
                await connection.execute(select(func.set_config("lock_timeout", f"{LOCK_SECONDS_MAX}s", True)))  # noqa: FBT003 -- of this transaction
                if finish:
                    refuse_older((await connection.execute(CONNECTED)).scalars())
                await connection.run_sync(partial(upgrade, finish=finish))

    async def check(self) -> None:
        """Say that the server answers and the schema fits. Raises `StoreUnavailableError`."""
        async with transaction(self._readers, self._translated, writes=False) as work:
            check_versions(await work.versions())

    async def check_durable(self) -> None:
        """Refuse a server that acknowledges what it may lose. Raises `StoreUnavailableError`."""
        with self._translated():
            async with self._readers.connect() as connection:
                settings = [(name, (await connection.execute(select(func.current_setting(name)))).scalar_one()) for name in DURABLE]
        off = [name for name, value in settings if value == "off"]
        if off:
            raise StoreUnavailableError(
                f"{self._name}: {' and '.join(off)} must not be off: a power cut would lose what we gave receipts for"
            )

    async def close(self) -> None:
        """Release connections."""
        await self._writers.dispose()

    def _explain(self, exc: Exception) -> GatewayError:
        orig = getattr(exc, "orig", None) or exc
        if isinstance(exc, IntegrityError):
            cause = getattr(orig, "__cause__", None)
            return InvariantError("store", getattr(cause, "constraint_name", None) or "constraint")  # names the constraint, never a value
        if isinstance(exc, PoolTimeoutError):
            return StoreUnavailableError(f"{self._name}: all our connections are busy")
        code = getattr(orig, "sqlstate", None) or ""
        fits = [prefix for prefix in WORDS if code.startswith(prefix)]
        if fits:
            return StoreUnavailableError(f"{self._name}: {WORDS[max(fits, key=len)]}")
        if isinstance(exc, OSError):
            return StoreUnavailableError(f"{self._name}: {_unreachable(exc)}")
        if isinstance(orig, asyncpg.InterfaceError) or (isinstance(exc, DBAPIError) and (exc.connection_invalidated or not code)):
            return StoreUnavailableError(f"{self._name}: the connection is lost")
        return InvariantError("store", code or type(exc).__name__)


def _unreachable(exc: OSError) -> str:
    """Return which part of the way to the server failed."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"we do not trust its certificate: {exc.verify_message}"
    return "its name does not resolve" if isinstance(exc, socket.gaierror) else "nobody answers"


async def _connect(dsn: str) -> asyncpg.Connection[Any]:
    return await asyncpg.connect(
        dsn,
        timeout=CONNECT_SECONDS_MAX,
        command_timeout=STATEMENT_SECONDS_MAX,
        server_settings={"application_name": f"{APPLICATION}{SCHEMA_VERSION}", "jit": "off"},
    )


def _name(dsn: str) -> str:
    """Return what may be shown of an address: no user, no password."""
    return dsn.rsplit("@", 1)[-1].split("?", 1)[0].removeprefix("postgresql://").removeprefix("postgres://")
