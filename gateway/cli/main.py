"""The `gateway` command."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.bootstrap import VERSION
from gateway.cli import db, deadletter, evidence, hold, kafka, keys, message, operator, partner, policy, reload, serve
from gateway.cli.demo.command import demo
from gateway.cli.errors import Commands

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # it prints local variables: keys and persons among them
    help="Validates, signs and routes messages between national registers and their partners abroad.",
)
app.command("serve")(serve.serve)
app.command("reload")(reload.reload)
app.command("demo")(demo)
for name, group in {
    "message": message, "hold": hold, "deadletter": deadletter, "operator": operator, "partner": partner, "keys": keys, "policy": policy,
    "evidence": evidence, "db": db, "kafka": kafka,
}.items():  # fmt: skip
    app.add_typer(group.app, name=name)


def _version(wanted: bool) -> None:  # noqa: FBT001 -- typer calls it so
    if wanted:
        typer.echo(f"gateway {VERSION}")
        raise typer.Exit


@app.callback()
def main(
    *, version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")] = False
) -> None:
    """Validate, sign and route messages between national registers and their partners abroad."""
