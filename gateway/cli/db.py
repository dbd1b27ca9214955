"""`gateway db`: bring a database to the schema of this program, or say whether it fits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated

import typer

from gateway import bootstrap
from gateway.app.ports import StoreUnavailableError
from gateway.cli.errors import Commands
from gateway.ops.settings import load_settings
from gateway.stores.open import check_schema, migrate
from gateway.stores.tables import SCHEMA_VERSION

app = typer.Typer(cls=Commands, no_args_is_help=True, help="The database: its schema and its version.")

Url = Annotated[
    str | None,
    typer.Option("--url", envvar="GATEWAY_DATABASE_URL", help="sqlite:///PATH or postgresql://USER@HOST/NAME"),
]
Config = Annotated[Path | None, typer.Option("--config", help="Settings file (TOML) of the gateway: its database and password file.")]


@app.command("migrate")
def migrate_command(url: Url = None, config: Config = None) -> None:
    """Bring the database to this program's schema. Safe to repeat, and to run in several places at once."""
    where, password = _address(url, config)
    _run(migrate(where, password=password))
    typer.echo(f"the database has schema version {SCHEMA_VERSION}")


@app.command("check")
def check_command(url: Url = None, config: Config = None) -> None:
    """Say whether the database answers and its schema fits this program. Exit code 1 if not."""
    where, password = _address(url, config)
    _run(check_schema(where, password=password))
    typer.echo(f"the database answers and fits this program (schema version {SCHEMA_VERSION})")


def _address(url: str | None, config: Path | None) -> tuple[str, str | None]:
    """Return the address, and the password that is kept apart from it."""
    if (url is None) == (config is None):
        raise typer.BadParameter("say where the database is: one of --url and --config")
    if url is not None:
        return url, None
    settings = load_settings(config, needs=["store"])
    return settings.store.url.get_secret_value(), bootstrap.store_password(settings)


def _run(work: Coroutine[object, object, None]) -> None:
    try:
        asyncio.run(work)
    except StoreUnavailableError as exc:
        typer.echo(str(exc), err=True)
        raise typer.Exit(1) from exc
