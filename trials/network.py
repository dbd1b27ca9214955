"""A link between two network namespaces that can be cut, and, where the kernel has netem, slowed down and made to lose packets.

```text
here  127.0.0.1:broker, partners ◀── relay 10.77.n.1 ════ veth ════ 10.77.n.2, lo:same ports ◀── courier      there
here  127.0.0.1:readiness ──▶ relay ═════════════════════ veth ════ 10.77.n.2 ──▶ lo:readiness                 there
```

Names and certificates stay `localhost` on both sides; what is between is a real link.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from tests.services.processes import UnavailableError

ROOT: Final = Path(__file__).parents[1]
CHUNK: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Link:
    """A pair of interfaces, one of them in a namespace of its own."""

    namespace: str
    here: str  # our interface
    has_netem: bool

    @property
    def prefix(self) -> tuple[str, ...]:
        """What a command begins with that is to run over there."""
        return ("ip", "netns", "exec", self.namespace)

    def cut(self) -> None:
        """Take the link down: packets vanish, nobody is told."""
        _ip("link", "set", self.here, "down")

    def hamper(self, *how: str) -> None:
        """Delay or lose packets: arguments of netem, such as `delay 200ms`, `loss 20%`."""
        _run("tc", "qdisc", "replace", "dev", self.here, "root", "netem", *how)

    def mend(self) -> None:
        """Make the link good again."""
        _ip("link", "set", self.here, "up")
        if self.has_netem:
            _run("tc", "qdisc", "del", "dev", self.here, "root", check=False)

    @classmethod
    @contextmanager
    def make(cls, *, out: Sequence[int], back: int) -> Iterator[Self]:
        """Make a link whose ports `out` lead from there to here, and `back` from here to there. Raises `UnavailableError`."""
        number = os.getpid() % 250
        name, here, there = f"trials-{number}", f"tr{number}a", f"tr{number}b"
        if shutil.which("ip") is None:
            raise UnavailableError("network namespaces: no `ip` on PATH (package iproute2)")
        with ExitStack() as stack:
            _ip("netns", "add", name)
            stack.callback(_run, "ip", "netns", "del", name, check=False)
            _ip("link", "add", here, "type", "veth", "peer", "name", there)
            stack.callback(_run, "ip", "link", "del", here, check=False)
            _ip("link", "set", there, "netns", name)
            _ip("address", "add", f"10.77.{number}.1/30", "dev", here)
            _ip("link", "set", here, "up")
            for command in (f"address add 10.77.{number}.2/30 dev {there}", f"link set {there} up", "link set lo up"):
                _ip("-n", name, *command.split())
            link = cls(name, here, _has_netem(here))
            ours, theirs = f"10.77.{number}.1", f"10.77.{number}.2"
            _relay(stack, (), [*(f"{ours}:{p}>127.0.0.1:{p}" for p in out), f"127.0.0.1:{back}>{theirs}:{back}"])
            _relay(stack, link.prefix, [*(f"127.0.0.1:{p}>{ours}:{p}" for p in out), f"{theirs}:{back}>127.0.0.1:{back}"])
            yield link


def _relay(stack: ExitStack, prefix: Sequence[str], ways: Sequence[str]) -> None:
    command = (*prefix, sys.executable, "-m", "trials.network", *ways)
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL)  # noqa: S603 -- ourselves
    stack.callback(process.wait)
    stack.callback(process.kill)


def _has_netem(interface: str) -> bool:
    made = _run("tc", "qdisc", "add", "dev", interface, "root", "netem", "delay", "1ms", check=False) if shutil.which("tc") else 1
    if made == 0:
        _run("tc", "qdisc", "del", "dev", interface, "root")
    return made == 0


def _ip(*arguments: str) -> None:
    _run("ip", *arguments)


def _run(*command: str, check: bool = True) -> int:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 -- our own words
    if check and done.returncode != 0:
        raise UnavailableError(f"network namespaces: {' '.join(command)}: {done.stderr.strip()}")
    return done.returncode


async def relay(ways: Sequence[str]) -> None:
    """Pass bytes on for ever: `host:port>host:port` for each way."""
    for way in ways:
        listen, _, to = way.partition(">")
        (host, _, port), (to_host, _, to_port) = listen.rpartition(":"), to.rpartition(":")

        async def on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, where: tuple[str, int] = (to_host, int(to_port))) -> None:
            await _pass_on(reader, writer, where)

        await asyncio.start_server(on, host, int(port))
    await asyncio.Event().wait()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, where: tuple[str, int]) -> None:
    try:
        far_reader, far_writer = await asyncio.open_connection(*where)
    except OSError:
        writer.transport.abort()
        return
    pumps = [asyncio.create_task(_pump(reader, far_writer)), asyncio.create_task(_pump(far_reader, writer))]
    await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    for one in (writer, far_writer):
        one.close()
    for pump in pumps:
        pump.cancel()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()


if __name__ == "__main__":
    asyncio.run(relay(sys.argv[1:]))
