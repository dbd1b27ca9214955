"""A partner's system, as a process of its own: it receives pushes, or polls its inbox, and notes what it got.

It lives as long as its standard input: when whoever started it is gone, it ends. A line on standard input says that things begin.
It notes field names, never what stands in them.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import aiohttp
import typer

from gateway.cli import words
from gateway.cli.kit import Kit, read_kit
from gateway.contract.errors import PartnerError
from gateway.contract.values import Jti
from gateway.core.tokens import Verified
from gateway.testing.partner import PartnerSimulator

PAUSE_SECONDS: Final = 0.5


class Way(StrEnum):
    """How the partner gets its messages."""

    PUSH = "push"
    INBOX = "inbox"


class Notes:
    """What the partner got: a line of JSON for each document, with the names of the fields in it."""

    def __init__(self, path: Path) -> None:
        """Write to `path`."""
        self._path = path
        path.touch()

    def add(self, verified: Verified) -> None:
        """Note a document that was opened and verified."""
        ((uri, event),) = verified.claims["events"].items()
        note: dict[str, Any] = {
            "jti": verified.jti, "family": uri.rsplit("/", 2)[1], "original": event.get("original"), "digest": verified.digest,
            "fields": sorted(words.pointers(event)), "at": datetime.now(UTC).isoformat(),
        }  # fmt: skip
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(note) + "\n")


def main(
    *,
    kit: Annotated[Path, typer.Option()],
    notes: Annotated[Path, typer.Option()],
    way: Annotated[Way, typer.Option()],
    port: Annotated[int, typer.Option()] = 0,
    certificate: Annotated[Path, typer.Option()] = Path(),
    down: Annotated[float, typer.Option(help="Seconds, from the line on standard input, in which it refuses connections.")] = 0,
) -> None:
    """Be a partner until standard input ends."""
    opened = read_kit(kit, now=datetime.now(UTC))
    work = poll(opened, Notes(notes)) if way is Way.INBOX else receive(opened, Notes(notes), port=port, certificate=certificate, down=down)
    asyncio.run(_until_alone(work))


async def receive(kit: Kit, notes: Notes, *, port: int, certificate: Path, down: float) -> None:
    """Take pushes (RFC 8935)."""
    simulator = PartnerSimulator(certificate, opener=kit.opener, port=port)
    if down:
        await _line()
        await asyncio.sleep(down)
    async with simulator:
        noted: set[Jti] = set()
        while True:
            await simulator.until_received(len(noted) + 1, timeout_seconds=86_400)
            for jti, received in list(simulator.received.items()):
                if jti not in noted and received.verified is not None:
                    notes.add(received.verified)
                noted.add(jti)


async def poll(kit: Kit, notes: Notes) -> None:
    """Poll the inbox (RFC 8936), acknowledging with each poll what the one before brought."""
    ack: list[Jti] = []
    noted: set[Jti] = set()
    async with kit.client() as client:
        while True:
            try:
                batch = await client.poll(ack=ack, wait=True)
            except (aiohttp.ClientError, PartnerError):  # the gateway is not there yet, or has much to do
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            ack = list(batch.sets)
            for jti, sealed in batch.sets.items():
                verified = kit.opener.open(sealed)
                if jti not in noted:
                    notes.add(verified)
                    noted.add(jti)


_begun = asyncio.Event()


async def _line() -> None:
    await _begun.wait()


async def _until_alone(work: Any) -> None:
    """Work until standard input ends."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    task = asyncio.create_task(work)
    ended = asyncio.create_task(_watch(reader))
    await asyncio.wait([task, ended], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
    task.cancel()
    ended.cancel()


async def _watch(reader: asyncio.StreamReader) -> None:
    while await reader.readline():
        _begun.set()


if __name__ == "__main__":
    typer.run(main)
