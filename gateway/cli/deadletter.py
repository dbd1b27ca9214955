"""`gateway deadletter`: what could not be delivered, split by who must act; trying it again or giving it up."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from gateway.cli import desk
from gateway.cli.desk import DryRun, Legs, OfPartner, OperatorFile, Since, Yes
from gateway.core.commands import DiscardReason, Justification
from gateway.core.deadletters import Side
from gateway.core.operators import Command
from gateway.testing.operator import OperatorClient

app = typer.Typer(help="List dead letters, look into them, try them again, give them up.", no_args_is_help=True)
OfSide = Annotated[Side | None, typer.Option("--side", help="Only those that this side must act on.")]


@app.command("list")
def list_dead(operator: OperatorFile, *, partner: OfPartner = None, side: OfSide = None, since: Since = None) -> None:
    """List dead letters with who must act, reason and code. Never what they carry."""
    filters = {"partner": partner, "side": side, "since": since}
    rows, counts = desk.run(desk.read_me(operator), lambda client: desk.all_of(client, Command.DEADLETTER_LIST, filters))
    out = desk.screen()
    out.print(desk.show(rows, ["side", "reason"]))
    out.print(", ".join(f"{each}: {counts.get(each, 0)}" for each in Side))


@app.command()
def inspect(
    operator: OperatorFile,
    leg: Annotated[str, typer.Argument(metavar="LEG", help="Id of a dead or held leg.")],
    *,
    justification: Annotated[
        Justification | None, typer.Option(help="Show what it carries, for this reason: kept in evidence under your name.")
    ] = None,
    file: Annotated[str, typer.Option(help="Number of the desk's own file that asks for it.")] = "",
) -> None:
    """Show one leg that stands aside: ids, attempts, codes; with a justification what it carries too."""
    if (justification is None) == bool(file):
        raise typer.BadParameter("--justification and --file go together")

    async def work(client: OperatorClient) -> Any:
        if justification is None:
            return await desk.ask(client, Command.LEG_INSPECT, {"leg": leg})
        return await desk.ask(client, Command.LEG_READ, {"leg": leg}, justification=justification.value, file=file)

    typer.echo(json.dumps(desk.run(desk.read_me(operator), work), indent=2, ensure_ascii=False))


@app.command()
def retry(  # noqa: PLR0913 -- each is one option of the command line
    operator: OperatorFile,
    legs: Legs = None,
    *,
    partner: OfPartner = None,
    side: OfSide = None,
    since: Since = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Send dead letters again, at the end of their lines, with all attempts of their profile. Exit code 3: some of them stay."""
    filters = {"partner": partner, "side": side, "since": since}
    raise typer.Exit(_moved(operator, Command.DEADLETTER_RETRY, legs, filters, more={}, yes=yes, dry_run=dry_run))


@app.command()
def discard(  # noqa: PLR0913 -- each is one option of the command line
    operator: OperatorFile,
    legs: Legs = None,
    *,
    reason: Annotated[DiscardReason, typer.Option(help="What their senders are told.")],
    partner: OfPartner = None,
    side: OfSide = None,
    since: Since = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Give dead letters up: their senders are told why. Exit code 3: some of them stay."""
    filters, more = {"partner": partner, "side": side, "since": since}, {"reason": reason}
    raise typer.Exit(_moved(operator, Command.DEADLETTER_DISCARD, legs, filters, more=more, yes=yes, dry_run=dry_run))


def _moved(  # noqa: PLR0913 -- as above
    operator: OperatorFile,
    command: Command,
    legs: list[str] | None,
    filters: dict[str, Any],
    *,
    more: dict[str, Any],
    yes: bool,
    dry_run: bool,
) -> int:
    async def work(client: OperatorClient) -> int:
        meant = await desk.chosen(client, Command.DEADLETTER_LIST, legs, filters)
        return await desk.move(client, command, meant, more=more, yes=yes, dry_run=dry_run)

    return desk.run(desk.read_me(operator), work)
