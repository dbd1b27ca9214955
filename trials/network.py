"""A link between two network namespaces that can be cut, slowed down and made to lose packets.

```text
here  127.0.0.1:broker, partners ◀── relay 10.77.n.1 ════ wire ════ 10.77.n.2, lo:same ports ◀── courier      there
here  127.0.0.1:readiness ──▶ relay ═════════════════════ wire ════ 10.77.n.2 ──▶ lo:readiness                 there
```

Names and certificates stay `localhost` on both sides; what is between is IP. The wire is a process of ours between two TUN interfaces, as
not every kernel has netem: it carries each packet, late or never.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final, Self

from tests.services.processes import UnavailableError

ROOT: Final = Path(__file__).parents[1]
CHUNK: Final = 64 * 1024
TUN: Final = Path("/dev/net/tun")
TUNSETIFF: Final = 0x400454CA  # linux/if_tun.h
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
NAME_BYTES: Final = 16  # IFNAMSIZ


@dataclass(frozen=True, slots=True)
class Weather:
    """What a wire does to each packet."""

    delay_ms: float = 0
    jitter_ms: float = 0  # more or less than the delay: packets overtake one another
    loss: float = 0  # of all packets; 1: cut, and nobody is told

    def __str__(self) -> str:
        """Say it in words."""
        late = [f"{self.delay_ms:g} ms late, more or less {self.jitter_ms:g} ms"] if self.delay_ms else []
        lost = ["cut" if self.loss == 1 else f"{self.loss:.0%} of the packets lost"] if self.loss else []
        return ", ".join(late + lost) or "good"


FINE: Final = Weather()
CUT: Final = Weather(loss=1)


@dataclass(frozen=True, slots=True)
class Link:
    """A wire between here and a namespace of its own."""

    namespace: str
    wire: subprocess.Popen[str]

    @property
    def prefix(self) -> tuple[str, ...]:
        """What a command begins with that is to run over there."""
        return ("ip", "netns", "exec", self.namespace)

    def have(self, weather: Weather) -> None:
        """Let the link be so from now on."""
        if self.wire.stdin is None:
            raise AssertionError("a wire is told by its standard input")
        self.wire.stdin.write(json.dumps(asdict(weather)) + "\n")
        self.wire.stdin.flush()

    @classmethod
    @contextmanager
    def make(cls, *, out: Sequence[int], back: int) -> Iterator[Self]:
        """Make a link whose ports `out` lead from there to here, and `back` from here to there. Raises `UnavailableError`."""
        number = os.getpid() % 250
        name, here, there = f"trials-{number}", f"tr{number}a", f"tr{number}b"
        if shutil.which("ip") is None:
            raise UnavailableError("network namespaces: no `ip` on PATH (package iproute2)")
        ours, theirs = f"10.77.{number}.1", f"10.77.{number}.2"
        with ExitStack() as stack:
            _ip("netns", "add", name)
            stack.callback(_run, "ip", "netns", "del", name, check=False)
            link = cls(name, _wire(stack, here, there))
            _ip("link", "set", there, "netns", name)
            _ip("address", "add", ours, "peer", theirs, "dev", here)
            _ip("link", "set", here, "up")
            for command in (f"address add {theirs} peer {ours} dev {there}", f"link set {there} up", "link set lo up"):
                _ip("-n", name, *command.split())
            _relay(stack, (), [*(f"{ours}:{p}>127.0.0.1:{p}" for p in out), f"127.0.0.1:{back}>{theirs}:{back}"])
            _relay(stack, link.prefix, [*(f"127.0.0.1:{p}>{ours}:{p}" for p in out), f"{theirs}:{back}>127.0.0.1:{back}"])
            yield link


def _wire(stack: ExitStack, here: str, there: str) -> subprocess.Popen[str]:
    """Start the process that makes two interfaces and carries packets between them: they go when it ends."""
    command = (sys.executable, "-m", "trials.network", "wire", here, there)
    wire = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # noqa: S603 -- ourselves
    stack.enter_context(wire)
    stack.callback(wire.kill)
    if wire.stdout is None or wire.stdout.readline() != "ready\n":
        why = wire.stderr.read().strip().splitlines()[-1:] if wire.stderr is not None else []
        raise UnavailableError(f"network namespaces: no TUN interface: {''.join(why)}")
    return wire


def _relay(stack: ExitStack, prefix: Sequence[str], ways: Sequence[str]) -> None:
    command = (*prefix, sys.executable, "-m", "trials.network", "relay", *ways)
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL)  # noqa: S603 -- ourselves
    stack.callback(process.wait)
    stack.callback(process.kill)


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


async def carry(names: Sequence[str]) -> None:
    """Be the wire between two new TUN interfaces, until standard input ends; each line of it is the weather from then on."""
    ends = [_tun(name) for name in names]
    weather = FINE
    loop = asyncio.get_running_loop()

    def forward(come: int, go: int) -> None:
        packet = os.read(come, CHUNK)
        if random.random() >= weather.loss:  # noqa: S311 -- weather
            late = weather.delay_ms + weather.jitter_ms * random.uniform(-1, 1)  # noqa: S311 -- weather
            loop.call_later(max(late, 0) / 1000, _put, go, packet)

    for come, go in (ends, ends[::-1]):
        loop.add_reader(come, partial(forward, come, go))
    print("ready", flush=True)  # noqa: T201 -- whoever started us waits for it
    while line := await asyncio.to_thread(sys.stdin.readline):
        weather = Weather(**json.loads(line))


def _tun(name: str) -> int:
    end = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, TUNSETIFF, struct.pack(f"{NAME_BYTES}sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return end


def _put(end: int, packet: bytes) -> None:
    with suppress(OSError):  # an interface that is full or down loses it, as wires do
        os.write(end, packet)


if __name__ == "__main__":
    asyncio.run({"wire": carry, "relay": relay}[sys.argv[1]](sys.argv[2:]))
