"""`gateway hold`: what waits for a person, and letting it go or not."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli import desk
from gateway.cli.deadletter import inspect
from gateway.cli.desk import DryRun, Legs, OfPartner, OperatorFile, Since, Yes
from gateway.core.decided import HoldReason
from gateway.core.operators import Command
from gateway.testing.operator import OperatorClient

app = typer.Typer(help="List, release and refuse what waits for a person.", no_args_is_help=True)
Reason = Annotated[HoldReason | None, typer.Option(help="Only legs that are held for this reason.")]


@app.command("list")
def list_held(operator: OperatorFile, *, partner: OfPartner = None, reason: Reason = None, since: Since = None) -> None:
    """List held legs with reason, partner and age. Never what they carry."""
    me = desk.read_me(operator)
    filters = {"partner": partner, "reason": reason, "since": since}
    rows, counts = desk.run(me, lambda client: desk.all_of(client, Command.HOLD_LIST, filters))
    out = desk.screen()
    out.print(desk.show(rows, ["hold_reason"]))
    out.print(", ".join(f"{name}: {count}" for name, count in sorted(counts.items())) or "nothing is held")


app.command("inspect")(inspect)


@app.command()
def release(  # noqa: PLR0913 -- each is one option of the command line
    operator: OperatorFile,
    legs: Legs = None,
    *,
    partner: OfPartner = None,
    reason: Reason = None,
    since: Since = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Let held legs go: at the end of their lines, as others have gone before them. Exit code 3: some of them stay."""
    filters = {"partner": partner, "reason": reason, "since": since}
    raise typer.Exit(_moved(operator, Command.HOLD_RELEASE, legs, filters, yes=yes, dry_run=dry_run))


@app.command()
def refuse(  # noqa: PLR0913 -- each is one option of the command line
    operator: OperatorFile,
    legs: Legs = None,
    *,
    partner: OfPartner = None,
    reason: Reason = None,
    since: Since = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """End held legs: their senders are told that a reviewer refused them. Exit code 3: some of them stay."""
    filters = {"partner": partner, "reason": reason, "since": since}
    raise typer.Exit(_moved(operator, Command.HOLD_REFUSE, legs, filters, yes=yes, dry_run=dry_run))


def _moved(operator: OperatorFile, command: Command, legs: list[str] | None, filters: dict[str, Any], *, yes: bool, dry_run: bool) -> int:
    async def work(client: OperatorClient) -> int:
        meant = await desk.chosen(client, Command.HOLD_LIST, legs, filters)
        return await desk.move(client, command, meant, more={}, yes=yes, dry_run=dry_run)

    return desk.run(desk.read_me(operator), work)
