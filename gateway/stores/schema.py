"""Versions of the schema: bringing a database to ours, and refusing one that does not fit this code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from gateway.app.ports import StoreUnavailableError
from gateway.stores.tables import SCHEMA_VERSION

MIGRATIONS: Final = Path(__file__).parent / "migrations"


def upgrade(connection: Connection) -> None:
    """Bring the database to the newest version, in the connection's transaction."""
    from alembic import command  # noqa: PLC0415 -- only who migrates loads it
    from alembic.config import Config  # noqa: PLC0415 -- same

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


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
