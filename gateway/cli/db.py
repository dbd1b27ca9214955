"""`gateway db`: bring a database to the schema of this program, or say whether it fits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Annotated

import typer

from gateway.app.ports import StoreUnavailableError
from gateway.stores.open import check_schema, migrate
from gateway.stores.tables import SCHEMA_VERSION

app = typer.Typer(no_args_is_help=True, help="The database: its schema and its version.")

Url = Annotated[
    str,
    typer.Option("--url", envvar="GATEWAY_DATABASE_URL", help="sqlite:///PATH or postgresql://USER@HOST/NAME"),
]


@app.command("migrate")
def migrate_command(url: Url) -> None:
    """Bring the database to this program's schema. Safe to repeat, and to run in several places at once."""
    _run(migrate(url))
    typer.echo(f"the database has schema version {SCHEMA_VERSION}")


@app.command("check")
def check_command(url: Url) -> None:
    """Say whether the database answers and its schema fits this program. Exit code 1 if not."""
    _run(check_schema(url))
    typer.echo(f"the database answers and fits this program (schema version {SCHEMA_VERSION})")


def _run(work: Coroutine[object, object, None]) -> None:
    try:
        asyncio.run(work)
    except StoreUnavailableError as exc:
        typer.echo(str(exc), err=True)
        raise typer.Exit(1) from exc
