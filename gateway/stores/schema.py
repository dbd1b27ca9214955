"""Versions of the schema: bringing a database to ours, and refusing one that does not fit this code.

A migration is of one of two phases. `pre` runs before the new code starts, while the code before it still works: it adds what that code
does not know, and takes nothing away. `post` runs when no older code is left: it takes away, and raises `oldest_code`, below which every
code refuses the database. So an upgrade is migrate, replace the processes one by one, finish.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, inspect, text

from gateway.app.ports import StoreUnavailableError
from gateway.stores.tables import SCHEMA_VERSION

MIGRATIONS: Final = Path(__file__).parent / "migrations"
APPLICATION: Final = "gateway/"  # with the version of its schema: how a process names itself to the server


def upgrade(connection: Connection, *, finish: bool = True, migrations: Path = MIGRATIONS) -> None:
    """Bring the database to the newest version, in the connection's transaction; without `finish` by steps that older code survives.

    A new database has no older code. Raises `StoreUnavailableError` where an earlier upgrade was not finished.
    """
    found = found_version(connection)
    if found >= _newest(migrations):
        return
    from alembic import command  # noqa: PLC0415 -- only who migrates loads it
    from alembic.config import Config  # noqa: PLC0415 -- same
    from alembic.script import ScriptDirectory  # noqa: PLC0415 -- same

    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.attributes["connection"] = connection
    to = "head"
    if found and not finish:
        scripts = ScriptDirectory.from_config(config).walk_revisions()
        phases = {int(script.revision): str(script.module.phase) for script in scripts}
        to = _last_survived({version: phases[version] for version in sorted(phases) if version > found}, found)
    command.upgrade(config, to)


def _last_survived(pending: Mapping[int, str], found: int) -> str:
    """Return the version up to which nothing is taken away from older code."""
    steps = list(takewhile(lambda version: pending[version] == "pre", pending))
    if "pre" in list(pending.values())[len(steps) :]:
        raise StoreUnavailableError("an earlier upgrade was not finished: run `gateway db migrate --finish` of the program before this one")
    return f"{steps[-1] if steps else found:04}"


def found_version(connection: Connection) -> int:
    """Return the database's version, 0 for a new one: without Alembic, which takes longer to load than most starts have to wait."""
    if not inspect(connection).has_table("alembic_version"):
        return 0
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return int(found or 0)  # revisions are numbered as the schema is


def _newest(migrations: Path) -> int:
    return max(int(path.name[:4]) for path in (migrations / "versions").glob("[0-9]*.py"))


def check_versions(versions: Mapping[str, int]) -> None:
    """Refuse a schema that is older than this code, or that no longer supports it. Raises `StoreUnavailableError`."""
    schema, oldest = versions.get("schema", 0), versions.get("oldest_code", 0)
    if schema < SCHEMA_VERSION:
        raise StoreUnavailableError(
            f"the database has schema version {schema}, this program needs {SCHEMA_VERSION}: run `gateway db migrate`"
        )
    if oldest > SCHEMA_VERSION:
        raise StoreUnavailableError(
            f"this program knows schema version {SCHEMA_VERSION}, the database needs at least {oldest}: install a newer one"
        )


def refuse_older(connected: Iterable[Any]) -> None:
    """Refuse to finish an upgrade while processes of older code are connected, by the names they gave. Raises `StoreUnavailableError`."""
    versions = [name.removeprefix(APPLICATION) for name in connected if name is not None and name.startswith(APPLICATION.rstrip("/"))]
    older = sorted(version for version in versions if not version.isdecimal() or int(version) < SCHEMA_VERSION)
    if older:
        raise StoreUnavailableError(
            f"{len(older)} connections of programs older than schema version {SCHEMA_VERSION} are open: replace those processes first"
        )
