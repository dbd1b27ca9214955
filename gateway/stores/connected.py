"""A connection with a transaction on it: statements run, rows read, and what the driver raises put into our words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Executable, Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.contract.errors import GatewayError
from gateway.stores.types import EPOCH, MICROSECOND


@dataclass(frozen=True, slots=True)
class Translation:
    """Turns what the library, the driver or the network raises into our errors."""

    kinds: tuple[type[Exception], ...]
    explain: Callable[[Exception], GatewayError]

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Translate what is raised inside."""
        try:
            yield
        except self.kinds as exc:
            own = getattr(exc, "orig", None)  # of a column type that refused a value
            raise (own if isinstance(own, GatewayError) else self.explain(exc)) from exc


class Connected:
    """What every part of a unit of work stands on."""

    def __init__(self, connection: AsyncConnection, translated: Translation, *, writes: bool) -> None:
        """Work on an open transaction. One that only reads takes no locks."""
        self._connection, self._translated, self._writes = connection, translated, writes

    async def _rows(self, statement: Executable, **values: Any) -> Sequence[Row[Any]]:
        with self._translated():
            return (await self._connection.execute(statement, values)).all()

    async def _row(self, statement: Executable, **values: Any) -> Row[Any] | None:
        rows = await self._rows(statement, **values)
        return rows[0] if rows else None

    async def _run(self, statement: Executable, **values: Any) -> int:
        """Run one statement; return how many rows it touched."""
        with self._translated():
            return (await self._connection.execute(statement, values)).rowcount

    async def database_time(self) -> datetime:
        """Return the time of the database: PostgreSQL's with its zone, SQLite's in whole seconds and UTC."""
        [[now]] = await self._rows(select(func.current_timestamp()))
        found: datetime = now
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)

    async def _many(self, statement: Executable, rows: Sequence[dict[str, Any]]) -> None:
        """Run one statement for many rows, in their order, in one call to the driver."""
        if rows:
            with self._translated():
                await self._connection.execute(statement, rows)


def micros(moment: datetime) -> int:
    """Return a time as `Moment` stores it, for rows that come as one parameter."""
    return (moment - EPOCH) // MICROSECOND


def singles(values: Iterable[str]) -> list[list[str]]:
    """Return values as rows of one column, each once, in their order."""
    return [[value] for value in sorted(set(values))]
