"""`gateway db`: bring a database to the schema of this program, check it, copy it, and go on from a copy."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any

import typer

from gateway.app.logcheck import CheckedLog, check_log
from gateway.cli import db_backup
from gateway.cli.db_place import Config, Place, Url, place_of, progress
from gateway.cli.errors import Commands
from gateway.stores import sqlite_backup
from gateway.stores.open import check_schema, migrate, open_store
from gateway.stores.tables import SCHEMA_VERSION

app = typer.Typer(cls=Commands, no_args_is_help=True, help="The database: its schema, its state, copies of it.")
app.command("backup")(db_backup.backup)
app.command("restore")(db_backup.restore)
app.command("reopen")(db_backup.reopen)


@app.command("migrate")
def migrate_command(
    url: Url = None,
    config: Config = None,
    *,
    finish: Annotated[bool, typer.Option("--finish", help="Also take away what only older programs need; none may run any more.")] = False,
) -> None:
    """Bring the database to this program's schema, while the program before it still runs. Safe to repeat, and to run in several places.

    An upgrade: migrate, replace the processes one by one, then migrate --finish.
    """
    place = place_of(url, config)
    _run(migrate(place.url, password=place.password, finish=finish))
    typer.echo(f"the database has schema version {SCHEMA_VERSION}")


@app.command("check")
def check_command(
    url: Url = None, config: Config = None, *, quick: Annotated[bool, typer.Option(help="Look at the schema alone.")] = False
) -> None:
    """Say whether the database answers, fits this program and is whole: its pages, its references, every entry of its log.

    The gateway may run meanwhile. Exit code 1 if something is wrong.
    """
    place = place_of(url, config)
    _run(check_schema(place.url, password=place.password))
    typer.echo(f"the database answers and fits this program (schema version {SCHEMA_VERSION})")
    if quick:
        return
    if place.file is not None:
        sqlite_backup.check_file(place.file)
        typer.echo("the file is whole: pages, indexes, references between rows")
    found = _run(_check_log(place))
    entries, heads = found.edge.size, found.checkpoints_count
    signed = "whose signatures are good" if place.keys else "whose signatures were not looked at: no public keys here"
    typer.echo(
        f"the log is whole: {entries} entries, its tree and {heads} checkpoints, {signed}" if entries else "the log has no entry yet"
    )


async def _check_log(place: Place) -> CheckedLog:
    async with open_store(place.url, password=place.password, dev=True) as store:
        with progress("entries") as told:
            return await check_log(store, keys=place.keys or None, progress=told)


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)
