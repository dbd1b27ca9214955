"""`gateway reload`: tell a running gateway to read its policies, profiles, trusted keys, rules and code lists again, all or nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Final

import aiohttp
import typer

from gateway.cli.errors import stop
from gateway.ops.faults import ConfigurationError, Fault
from gateway.ops.settings import load_settings

EXIT_NO_ANSWER: Final = 4
ANSWER_SECONDS_MAX: Final = 60  # it reads and checks everything before it answers


def reload(
    *, config: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="Settings file (TOML) the gateway was started with.")]
) -> None:
    """Put changed policies, profiles, trusted keys, rules and code lists in force without a restart: all of them, or none.

    Exit code 0: done; 1: refused, with every fault, and what was in force stays; 4: no gateway answers.
    """
    socket = load_settings(config, needs=["admin_listener"]).admin_listener.socket
    if socket is None:
        raise ConfigurationError([Fault(str(config), 0, "admin_listener.socket", "is missing", "the Unix socket of a running gateway")])
    try:
        status, why = asyncio.run(_ask(socket))
    except (OSError, TimeoutError, aiohttp.ClientError, ValueError) as exc:
        stop([f"{socket}: no gateway answers ({type(exc).__name__})"], EXIT_NO_ANSWER)
    if status != 200:
        stop(why.splitlines())
    typer.echo("done")


async def _ask(socket: Path) -> tuple[int, str]:
    """Return the status, and why it was not done. Raises what aiohttp raises, `ValueError` for an answer that is none of a gateway."""
    limit = aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX)
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket)), timeout=limit) as session,
        session.post("http://gateway/v1/reload") as response,
    ):
        if response.status not in {200, 422}:
            raise ValueError(response.status)
        return response.status, str((await response.json()).get("why", ""))
