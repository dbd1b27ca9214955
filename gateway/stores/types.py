"""Column types that compare alike on both databases, and rows handed over as one parameter."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import ARRAY, BigInteger, ColumnElement, Dialect, Integer, SmallInteger, Text, TypeDecorator, bindparam, cast, func
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.sql.selectable import TableValuedAlias
from sqlalchemy.types import TypeEngine

from gateway.contract.errors import InvariantError
from gateway.contract.values import LANES, Lane
from gateway.core.delivery import State

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
BIG_ID: Final = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers only INTEGER PRIMARY KEY by itself


class Moment(TypeDecorator[datetime]):
    """A time as microseconds since 1970 in UTC: one comparison on both databases, whatever the session's time zone."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 -- the library's signature
        """Return the number that is stored."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise InvariantError("a time without its zone")
        return (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return the time in UTC."""
        return None if value is None else EPOCH + timedelta(microseconds=value)


class LaneRank(TypeDecorator[Lane]):
    """A lane as its rank: a greater one overtakes."""

    impl = SmallInteger
    cache_ok = True

    def process_bind_param(self, value: Lane | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        """Return the rank."""
        return None if value is None else value.rank

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Lane | None:  # noqa: ARG002
        """Return the lane."""
        return None if value is None else LANES[value]


class StateName(TypeDecorator[State]):
    """A state by its name."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: State | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Return the name."""
        return None if value is None else value.value

    def process_result_value(self, value: Any | None, dialect: Dialect) -> State | None:  # noqa: ARG002
        """Return the state."""
        return None if value is None else State(value)


class Packed(TypeDecorator[Any]):
    """A small immutable value as JSON text. Nothing is ever searched inside it."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: Any) -> None:
        """Read values back as `kind`."""
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: Any | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Return the JSON text."""
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Any:  # noqa: ARG002
        """Return the value."""
        return None if value is None else msgspec.json.decode(value, type=self.kind)


# Many rows as one parameter: the statement's text never changes, so both SQLAlchemy and the database keep it prepared,
# and no batch meets the limit on parameters. PostgreSQL gets an array, whose length its planner can see.


class Lines(TypeDecorator[Sequence[Sequence[Any]]]):
    """Rows of texts and numbers."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the type of the parameter."""
        return dialect.type_descriptor(ARRAY(Text()) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Sequence[Sequence[Any]] | None, dialect: Dialect) -> Any:
        """Return the rows as the database takes them."""
        if dialect.name == "postgresql":
            return [msgspec.json.encode(row).decode() for row in value or ()]
        return msgspec.json.encode(value or ()).decode()


class json_lines(GenericFunction[Any]):  # noqa: N801 -- named like the SQL functions it stands for
    """One row for each member of a JSON array, in a column `value`."""

    name = "json_lines"
    inherit_cache = True


class json_at(GenericFunction[str]):  # noqa: N801
    """The member of a JSON array at a position."""

    name = "json_at"
    type = Text()
    inherit_cache = True


@compiles(json_lines, "sqlite")
def _lines_sqlite(element: json_lines, compiler: SQLCompiler, **kw: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **kw)})"


@compiles(json_lines, "postgresql")
def _lines_postgres(element: json_lines, compiler: SQLCompiler, **kw: Any) -> str:
    return f"(SELECT value FROM unnest(CAST({compiler.process(element.clauses, **kw)} AS JSONB[])) AS line (value))"  # noqa: S608 -- a bound parameter


@compiles(json_at, "sqlite")
def _at_sqlite(element: json_at, compiler: SQLCompiler, **kw: Any) -> str:
    array, position = element.clauses
    return f"json_extract({compiler.process(array, **kw)}, '$[' || {compiler.process(position, **kw)} || ']')"


@compiles(json_at, "postgresql")
def _at_postgres(element: json_at, compiler: SQLCompiler, **kw: Any) -> str:
    array, position = element.clauses
    return f"({compiler.process(array, **kw)} ->> {compiler.process(position, **kw)})"


def lines(name: str = "lines") -> TableValuedAlias:
    """Return the rows of the parameter `name` as a table."""
    return func.json_lines(bindparam(name, type_=Lines)).table_valued("value").alias(name)


def at(table: TableValuedAlias, position: int, type_: TypeEngine[Any] | type[TypeEngine[Any]] | None = None) -> ColumnElement[Any]:
    """Return what stands at `position` of a row of `lines`."""
    member = func.json_at(table.c.value, bindparam(None, position, Integer, literal_execute=True))
    return member if type_ is None else cast(member, type_)
