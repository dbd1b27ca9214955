"""`gateway operator`: a key of one's own, and the profile that names it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from gateway.cli.devsetup import make_operator
from gateway.cli.keys import read_passphrase
from gateway.contract.values import PartnerId
from gateway.core.operators import OperatorRole
from gateway.keystores import generate

app = typer.Typer(help="Make the keys and profiles of operators.", no_args_is_help=True)
_ID: Final = re.compile(r"[a-z0-9-]{2,32}")


@app.callback()
def operator() -> None:
    """Make the keys and profiles of operators."""


@app.command()
def new(  # noqa: PLR0913 -- each is one option of the command line
    operator: Annotated[str, typer.Argument(metavar="ID", help="The person's id: 2 to 32 of a-z, 0-9 and dash.")],
    *,
    name: Annotated[str, typer.Option(help="The person's name, as colleagues know it.")],
    role: Annotated[list[OperatorRole], typer.Option(help="What the person does at the desk; several are possible.")],
    gateway: Annotated[str, typer.Option(help="The gateway's partner id.")],
    url: Annotated[str, typer.Option(help="The gateway's admin listener.")] = "https://localhost:9443",
    out: Annotated[Path, typer.Option(help="Folder of the operators' profiles.")] = Path("operators"),
    key_out: Annotated[Path, typer.Option(help="Folder for the person's own file and private key: theirs alone.")],
    passphrase_file: Annotated[
        Path | None, typer.Option(help="File with the passphrase of the private key. Without it the key is stored with mode 0600.")
    ] = None,
    dev: Annotated[bool, typer.Option(help="Mark the key as never fit for production.")] = False,
) -> None:
    """Make a key for a person, the profile that trusts it, and the person's own file. Overwrites nothing.

    Best run by the person: the private key need never leave their machine, and the profile is public.
    """
    if not _ID.fullmatch(operator):
        raise typer.BadParameter("must be 2 to 32 of a-z, 0-9 and -", param_hint="ID")
    secret = read_passphrase(passphrase_file)
    plan = generate.Plan(owner=PartnerId(operator), now=datetime.now(UTC), dev=dev, passphrase=secret)
    me = {"gateway": gateway, "url": url} | ({"passphrase_file": str(passphrase_file.absolute())} if passphrase_file is not None else {})
    try:
        written = make_operator(plan, name, role, profiles=out, own=key_out, me=me)
    except FileExistsError as exc:
        typer.echo(f"refused  {exc.filename}: is there already; nothing was overwritten", err=True)
        raise typer.Exit(3) from exc
    for path in written:
        typer.echo(f"written  {path}")
    typer.echo("Put the profile where the gateway reads operators, and reload it.")
