"""`gateway partner`: how partners stand and what was tried; pausing, suspending, resuming one, and seeing whether it can be reached."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from gateway.cli import desk, partner_keys
from gateway.cli.desk import OperatorFile
from gateway.cli.errors import stop
from gateway.core.limits import LIST_COUNT_MAX
from gateway.core.operators import Command
from gateway.core.standing import ANSWERED
from gateway.testing.operator import OperatorClient

app = typer.Typer(help="See how partners stand and what was tried; pause, suspend, resume, check one.", no_args_is_help=True)
app.add_typer(partner_keys.app, name="keys")
Partner = Annotated[str, typer.Argument(metavar="PARTNER", help="Id of the partner, as its profile names it.")]
Wait = Annotated[float, typer.Option(min=1, help="Seconds to wait for what becomes of it.")]
LOOK_SECONDS: Final = 0.5
WORDS: Final[Mapping[str, str]] = {
    "dns": "the name of its endpoint is not found",
    "connect": "its endpoint takes no connection",
    "tls": "its endpoint's certificate is not valid, or TLS cannot be agreed on",
    "address-refused": "its endpoint's address is not public, and the profile does not allow it",
    "timeout": "it did not answer in the time its profile gives it",
    "redirect": "it answers with a redirect, which is never followed: the profile must name the endpoint itself",
    "invalid_request": "it answers that this is no security event token it can read (RFC 8935)",
    "invalid_key": "it does not know the key we sign with, or cannot decrypt (RFC 8935): see that it has our key set",
    "invalid_issuer": "it does not expect tokens of this gateway (RFC 8935)",
    "invalid_audience": "it says it is somebody else (RFC 8935)",
    "authentication_failed": "it does not accept our credentials (RFC 8935)",
    "access_denied": "it does not allow us to send (RFC 8935)",
    "unknown": "it refuses without saying why",
    "http-401": "it does not accept our credentials",
    "http-403": "it does not allow us to send",
    "http-404": "there is nothing at the path of its endpoint",
    "http-429": "it asks us to send less",
    "http-503": "it is not available for now",
}


@app.command("list")
def list_partners(operator: OperatorFile) -> None:
    """List partners: whether their legs go, their circuit, how many legs there are, since when the oldest is due, the last check."""
    found = desk.run(desk.read_me(operator), lambda client: desk.ask(client, Command.PARTNER_LIST, {}))
    table = Table("partner", "stands", "way", "circuit", "legs", "oldest due", "last check", box=None)
    for row in found["partners"]:
        circuit = row["circuit"] + (f" ({row['failures']} failed)" if row["failures"] else "")
        legs = ", ".join(f"{state} {count}" for state, count in sorted(row["legs"].items()))
        table.add_row(
            row["partner"], row["standing"] + (" (profile)" if row["by_profile"] else ""), row["transport"] or "", circuit, legs,
            _minute(row["oldest_due"]), _last(row["check"]),
        )  # fmt: skip
    desk.screen().print(table)


@app.command()
def attempts(
    partner: Partner,
    operator: OperatorFile,
    *,
    since: Annotated[datetime | None, typer.Option(help="Only those settled since then or later (UTC).")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that failed.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
) -> None:
    """List what was tried at a partner in the last 30 days, newest first: which leg and document, what came of it, when it goes again."""

    async def work(client: OperatorClient) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        asked: dict[str, Any] = {"partner": partner, "since": since, "failed": failed or None, "after": None}
        while len(found) < limit:
            page = await desk.ask(client, Command.PARTNER_ATTEMPTS, asked | {"limit": min(limit - len(found), LIST_COUNT_MAX)})
            found += page["attempts"]
            if page["next"] is None:
                break
            asked["after"] = page["next"]
        return found

    table = Table("at", "leg", "document", "attempt", "came to", "asked to wait", "again at", box=None)
    for row in desk.run(desk.read_me(operator), work):
        asked_for = "" if row["retry_after"] is None else f"{row['retry_after']} s"
        table.add_row(
            _second(row["at"]), row["leg"], row["jti"], str(row["attempt"]), row["code"], asked_for, _second(row["again_at"])
        )  # fmt: skip
    desk.screen().print(table)


@app.command()
def pause(partner: Partner, operator: OperatorFile) -> None:
    """Send a partner nothing more until it is resumed: its legs wait in their lines. What is under way comes to its end."""
    _stand(operator, Command.PARTNER_PAUSE, partner)


@app.command()
def suspend(partner: Partner, operator: OperatorFile) -> None:
    """Hold a partner's legs as their turn comes, until it is resumed."""
    _stand(operator, Command.PARTNER_SUSPEND, partner)


@app.command()
def resume(partner: Partner, operator: OperatorFile) -> None:
    """Let a partner's legs go again, those its suspension held in their order. Exit code 3: some of them stay."""

    async def work(client: OperatorClient) -> tuple[int, list[dict[str, Any]]]:
        moved, stayed, after = 0, list[dict[str, Any]](), None
        while True:
            page = await desk.ask(client, Command.PARTNER_RESUME, {"partner": partner, "after": after})
            stayed += [leg for leg in page["legs"] if not leg["done"]]
            moved += sum(leg["done"] for leg in page["legs"])
            after = page["next"]
            if after is None:
                return moved, stayed
            out.print(f"released {moved} legs, more to come")

    out = desk.screen()
    moved, stayed = desk.run(desk.read_me(operator), work)
    for leg in stayed:
        out.print(f"stays  {leg['leg']}  {leg['why']}")
    out.print(f"{partner}: open; released {moved} legs")
    if stayed:
        raise typer.Exit(desk.EXIT_REFUSED)


@app.command()
def redeliver(
    partner: Partner,
    operator: OperatorFile,
    *,
    since: Annotated[datetime, typer.Option(help="Since when it lost what it took (UTC): the time of its backup.")],
    yes: desk.Yes = False,
) -> None:
    """Send a partner again what it took since a time, as it was signed, in order: it was restored. Exit code 3: some legs stay."""

    async def work(client: OperatorClient) -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = []
        arguments: dict[str, Any] = {"partner": partner, "since": since}
        while True:
            page = await desk.ask(client, Command.PARTNER_REDELIVER, arguments)
            told += page["legs"]
            if page["next"] is None:
                return told
            out.print(f"{len(told)} legs so far")
            arguments = {**arguments, "until": page["until"], "after": page["next"]}

    out = desk.screen()
    if not yes:
        typer.confirm(f"send {partner} again what it took since {since.isoformat()}", abort=True)
    told = desk.run(desk.read_me(operator), work)
    stayed = [leg for leg in told if not leg["done"]]
    for leg in stayed:
        out.print(f"stays  {leg['leg']}  {leg['why']}")
    out.print(f"{partner}: {len(told) - len(stayed)} of {len(told)} legs go again")
    if stayed:
        raise typer.Exit(desk.EXIT_REFUSED)


@app.command()
def check(partner: Partner, operator: OperatorFile, *, wait: Wait = 60) -> None:
    """Send a partner a verification message in the real way and say what became of it. Exit code 3: it failed; 4: nobody knows yet."""

    async def work(client: OperatorClient) -> str | None:
        asked = await desk.ask(client, Command.PARTNER_CHECK, {"partner": partner})
        try:
            async with asyncio.timeout(wait):
                while True:
                    if (code := await _code(client, asked)) is not None:
                        return code
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            return None

    code = desk.run(desk.read_me(operator), work)
    if code is None:
        stop(
            [f"{partner}: no report after {wait:g} seconds: is its courier running? `gateway partner list` shows it later"],
            desk.EXIT_NO_ANSWER,
        )
    if code != ANSWERED:
        stop([f"{partner}: {words(code)} ({code})"], desk.EXIT_REFUSED)
    desk.screen().print(f"{partner}: took the verification message")


def words(code: str) -> str:
    """Say what a report's code means."""
    return WORDS.get(code) or (f"it answers with HTTP status {code.removeprefix('http-')}" if code.startswith("http-") else "it failed")


async def _code(client: OperatorClient, asked: Mapping[str, Any]) -> str | None:
    found = await desk.ask(client, Command.PARTNER_LIST, {})
    for row in found["partners"]:
        if row["partner"] == asked["partner"]:
            if row["check"] is None or row["check"]["id"] != asked["check"]:
                stop([f"{asked['partner']}: somebody checks it at the same time; look at `gateway partner list`"], desk.EXIT_REFUSED)
            code: str | None = row["check"]["code"]
            return code
    return None


def _stand(operator: OperatorFile, command: Command, partner: str) -> None:
    told = desk.run(desk.read_me(operator), lambda client: desk.ask(client, command, {"partner": partner}))
    desk.screen().print(f"{told['partner']}: {told['standing']}")


def _last(check: Mapping[str, Any] | None) -> str:
    return "" if check is None else f"{check['code'] or 'no report yet'} {_minute(check['at'])}"


def _second(at: str | None) -> str:
    return "" if at is None else f"{at[:19]}Z"


def _minute(at: str | None) -> str:
    return "" if at is None else f"{at[:16]}Z"
