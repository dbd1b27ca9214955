"""Versions of the schema: bringing a database to ours, and refusing one that does not fit this code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from gateway.app.ports import StoreUnavailableError
from gateway.stores.tables import SCHEMA_VERSION

MIGRATIONS: Final = Path(__file__).parent / "migrations"


def upgrade(connection: Connection) -> None:
    """Bring the database to the newest version, in the connection's transaction."""
    if _is_newest(connection):
        return
    from alembic import command  # noqa: PLC0415 -- only who migrates loads it
    from alembic.config import Config  # noqa: PLC0415 -- same

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _is_newest(connection: Connection) -> bool:
    """Say so without Alembic, which takes longer to load than most starts have to wait: revisions are numbered as the schema is."""
    if not inspect(connection).has_table("alembic_version"):
        return False
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found == f"{SCHEMA_VERSION:04}"


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
