"""The partners of a run, in a process of their own: real TLS, every document decrypted and verified, and when it came.

`python -m benchmarks.arrivals PORT=KIT=CERTIFICATE …` obeys lines of JSON: `{"partner": …, "be": "good|dead|slow"}`, `{"tell": true}`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from gateway.cli.devsetup import DevSetup
from gateway.cli.kit import read_kit
from gateway.contract.values import PartnerId
from gateway.testing.partner import GOOD, SLOW, PartnerSimulator
from tests.acceptance.deployment import original_of

SWEEP_SECONDS = 0.5
LINE_BYTES = 1 << 26
GOOD_WAY, DEAD_WAY, SLOW_WAY = "good", "dead", "slow"


@dataclass(frozen=True, slots=True)
class Arrival:
    """One document at one partner: the first copy."""

    partner: str
    original: str
    at: float  # of the monotonic clock, which is the same for all processes of a machine


@dataclass(slots=True)
class Partners:
    """The process with the partners, as its parent sees it."""

    pid: int
    _process: asyncio.subprocess.Process
    arrived: dict[tuple[str, str], Arrival] = field(default_factory=dict)

    async def be(self, partner: str, way: str) -> None:
        """Have a partner be good, dead or slow from now on."""
        await self._ask({"partner": partner, "be": way})

    async def look(self) -> int:
        """Fetch what has come since; return how many documents have come in all."""
        for partner, original, at in await self._ask({"tell": True}):
            self.arrived.setdefault((partner, original), Arrival(partner, original, at))
        return len(self.arrived)

    async def until(self, wanted: Iterable[tuple[str, str]], *, seconds: float = 120) -> None:
        """Wait until documents about these originals have come to these partners."""
        missing = set(wanted)
        async with asyncio.timeout(seconds):
            while missing := missing - self.arrived.keys():
                await asyncio.sleep(0.2)
                await self.look()

    async def _ask(self, what: Mapping[str, Any]) -> Any:
        asked, answered = self._process.stdin, self._process.stdout
        if asked is None or answered is None:
            raise RuntimeError("no pipes")
        asked.write(json.dumps(what).encode() + b"\n")
        line = await answered.readline()
        if not line:
            raise RuntimeError("the partners' process has ended")
        return json.loads(line)


@asynccontextmanager
async def partners(setup: DevSetup) -> AsyncIterator[Partners]:
    """Run the partners that are pushed to."""
    places = [f"{port}={setup.kit_folder(name)}={setup.certificate(name)}" for name, port in setup.ports.partners.items()]
    with (setup.folder / "partners.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.arrivals", *places,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log, limit=LINE_BYTES,
        )  # fmt: skip
    try:
        made = Partners(process.pid, process)
        await made.look()
        yield made
    finally:
        if process.stdin is not None:
            process.stdin.close()  # the end of its orders is the end of it
        await process.wait()


@dataclass(slots=True)
class Host:
    """The simulators, inside their own process."""

    simulators: dict[str, PartnerSimulator]
    fresh: list[tuple[str, str, float]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    async def sweep(self) -> None:
        """Keep of what came only what is asked for: a long run would fill the memory."""
        while True:
            self._sweep()
            await asyncio.sleep(SWEEP_SECONDS)

    def _sweep(self) -> None:
        for name, simulator in self.simulators.items():
            simulator.requests.clear()
            for jti, received in simulator.received.items():
                if jti not in self.seen and received.verified is not None:
                    self.seen.add(jti)
                    self.fresh.append((name, str(original_of(received.verified)), received.at))
            simulator.received.clear()
            if simulator.refused or simulator.conflicts:
                raise RuntimeError(f"{name}: {simulator.refused} {simulator.conflicts}")

    async def obey(self, order: Mapping[str, Any]) -> object:
        """Do what the parent says."""
        if "tell" in order:
            self._sweep()
            told, self.fresh = self.fresh, []
            return told
        simulator = self.simulators[order["partner"]]
        simulator.behaviour = SLOW if order["be"] == SLOW_WAY else GOOD
        await simulator.refuse_connections()
        if order["be"] != DEAD_WAY:
            await simulator.accept_connections()
        return True


async def serve(places: Iterable[str]) -> None:
    """Be the partners until there are no more orders."""
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    async with AsyncExitStack() as stack:
        host = Host({})
        for place in places:
            port, folder, certificate = place.split("=")
            kit = read_kit(Path(folder), now=datetime.now(UTC))
            simulator = PartnerSimulator(Path(certificate), opener=kit.opener, port=int(port))
            host.simulators[PartnerId(kit.partner)] = await stack.enter_async_context(simulator)
        sweeping = asyncio.create_task(host.sweep())
        stack.callback(sweeping.cancel)
        while order := await orders.readline():
            print(json.dumps(await host.obey(json.loads(order))), flush=True)


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1:]))
