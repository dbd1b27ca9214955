"""`gateway partner keys`: the next keys that partners submitted themselves; believed once somebody has compared the thumbprint."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from gateway.cli import desk
from gateway.cli.desk import OperatorFile
from gateway.core.next_key import KeyState
from gateway.core.operators import Command
from gateway.testing.operator import OperatorClient

app = typer.Typer(help="List keys that partners submitted; approve, refuse, revoke one.", no_args_is_help=True)
Partner = Annotated[str, typer.Argument(metavar="PARTNER", help="Id of the partner.")]
Kid = Annotated[str, typer.Argument(metavar="KID", help="Id of the key, as the list shows it.")]


@app.command("list")
def list_keys(
    operator: OperatorFile,
    *,
    partner: Annotated[str | None, typer.Option("--partner", help="Only keys of this partner.")] = None,
    state: Annotated[KeyState | None, typer.Option(help="Only those that stand so.")] = None,
) -> None:
    """List keys that partners submitted. Of one that waits, ask the partner for the thumbprint over another channel."""

    async def work(client: OperatorClient) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        async for page in desk.listed(client, Command.PARTNER_KEYS, {"partner": partner, "state": state}):
            found += page["keys"]
        return found

    table = Table("partner", "key", "use", "state", "from", "to", "signed by", "submitted", "thumbprint", box=None)
    for row in desk.run(desk.read_me(operator), work):
        dates = (row[name][:10] for name in ("valid_from", "valid_to"))
        submitted = f"{row['submitted_at'][:16]}Z"
        table.add_row(
            row["partner"], row["kid"], row["use"], row["state"], *dates, row["signer"], submitted, row["thumbprint"] or ""
        )  # fmt: skip
    desk.screen().print(table)


@app.command()
def approve(
    partner: Partner,
    kid: Kid,
    operator: OperatorFile,
    *,
    thumbprint: Annotated[
        str, typer.Option("--thumbprint", help="As the partner told it over another channel (RFC 7638): by telephone, or in person.")
    ],
) -> None:
    """Have a key believed. Exit code 3: the thumbprint is not that of the key, or the key may not be approved any more."""
    _decide(operator, Command.PARTNER_KEY_APPROVE, {"partner": partner, "kid": kid, "thumbprint": thumbprint})


@app.command()
def refuse(partner: Partner, kid: Kid, operator: OperatorFile) -> None:
    """Refuse a key that waits."""
    _decide(operator, Command.PARTNER_KEY_REFUSE, {"partner": partner, "kid": kid})


@app.command()
def revoke(partner: Partner, kid: Kid, operator: OperatorFile) -> None:
    """Revoke a key that was approved: within seconds nothing that it signs is believed, and nothing is encrypted to it."""
    _decide(operator, Command.PARTNER_KEY_REVOKE, {"partner": partner, "kid": kid})


def _decide(operator: OperatorFile, command: Command, arguments: dict[str, Any]) -> None:
    told = desk.run(desk.read_me(operator), lambda client: desk.ask(client, command, arguments))
    desk.screen().print(f"{told['partner']}: {told['kid']} is {told['state']}")
