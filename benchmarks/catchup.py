"""How fast a partner that returns gets what waited for it, against the steady rate; whether urgent messages overtake; what memory it takes.

In one run: the steady rate (submitted as fast as the gateway takes it, nothing waiting); urgent messages with nothing waiting; then twice,
with a small and with a large backlog: filled while the gateway is stopped (see `benchmarks/backlog.py`), started again with the
partner away, and measured from its return. Urgent messages to the same partner are submitted all the while.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import uvloop

from benchmarks import backlog, full, offered
from benchmarks.arrivals import DEAD_WAY, GOOD_WAY, Partners, partners
from benchmarks.cpu import clients_cores, cpu_seconds, gateway_cores, resident_mib
from benchmarks.neighbours import profile
from benchmarks.notices import SENDER
from gateway.cli.devsetup import DevSetup
from gateway.cli.kit import Kit
from gateway.contract.values import Jti
from gateway.ops.system import SystemClock, SystemDice
from gateway.testing.client import PartnerClient

PARTNER = "fr-neighbour"
PARTNERS = (SENDER, "gb-police", PARTNER)
LOOK_SECONDS = 0.5
AWAY_SECONDS = 10.0  # with the backlog queued and the partner away, before memory is read
STALLED_SECONDS = 120
AT_ONCE = 32  # submissions under way for the steady rate
COME_SECONDS = 2  # between two requests of the partner that is back, until it gets something


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much."""

    form: str = "embedded"
    legs: int = 100_000
    few: int = 1_000  # of the small backlog that memory and rate are compared with
    drain: int = 5_000  # of the large backlog: how many arrivals are measured; 0: all
    steady: int = 1_000  # messages of the steady rate
    urgent: int = 20  # urgent messages with nothing waiting
    urgent_rate: float = 1.0
    window: int = 16  # legs of the partner under way at once: what a profile has that says nothing
    away: float = AWAY_SECONDS
    seed: int = 1


Key = tuple[str, str]


@dataclass(slots=True)
class Running:
    """A gateway that runs, the register that talks to it, and what is measured of both."""

    client: PartnerClient
    pids: Mapping[str, int]
    urgent: list[offered.Receipted] = field(default_factory=list)

    def memory(self) -> float:
        """Return the resident memory of the process that holds the legs, in MiB."""
        return resident_mib(self.pids.get("embedded") or self.pids["inner"])

    def used(self) -> dict[str, float]:
        """Return the processor time that each process has used."""
        return {name: cpu_seconds(pid) for name, pid in self.pids.items()} | {"register": time.process_time()}


@dataclass(slots=True)
class Bench:
    """What a run has, over all its gateways."""

    plan: Plan
    setup: DevSetup
    kit: Kit
    there: Partners
    dice: Random
    say: Callable[[str], None]

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[Running]:
        """Start a gateway, and have the register take its acknowledgements."""
        async with AsyncExitStack() as stack:
            pids = stack.enter_context(full.running(self.setup)) | {"partners": self.there.pid}
            client = await stack.enter_async_context(self.kit.client())
            await stack.enter_async_context(offered.polling(client))
            yield Running(client, pids)

    async def steady(self, running: Running) -> dict[str, Any]:
        """Measure the rate with nothing waiting, and how long an urgent message then takes."""
        plan = self.plan
        await self._at_once(running, max(1, plan.steady // 10))  # warm
        messages = offered.made(self.kit, [PARTNER] * plan.steady, self.dice)
        used, start = running.used(), time.monotonic()
        await offered.at_once(running.client, messages, AT_ONCE)
        await self.there.until(each.key for each in messages)
        seconds = max(self.there.arrived[each.key].at for each in messages) - start
        cores = {name: (after - used[name]) / seconds for name, after in running.used().items()}
        self.say(f"steady: {plan.steady / seconds:.0f} legs/s")
        urgent = offered.made(self.kit, [PARTNER] * plan.urgent, self.dice, priority="IMMEDIATE")
        sent = await offered.at_rate(running.client, urgent, plan.urgent_rate)
        await self.there.until(each.message.key for each in sent)
        return {"rate": plan.steady / seconds, "cores": cores, "urgent": self._urgent(sent, [], 0), "memory_mib": running.memory()}

    async def _at_once(self, running: Running, count: int) -> None:
        messages = offered.made(self.kit, [PARTNER] * count, self.dice)
        await offered.at_once(running.client, messages, AT_ONCE)
        await self.there.until(each.key for each in messages)

    async def returns(self, running: Running, queued: Sequence[Key]) -> dict[str, Any]:
        """Measure what a returning partner gets, and the memory before and meanwhile."""
        await asyncio.sleep(self.plan.away)
        memory, used = [running.memory()], running.used()
        await self.there.be(PARTNER, GOOD_WAY)
        start, wanted = time.monotonic(), min(len(queued), self.plan.drain or len(queued))
        async with self._submitting_urgent(running):
            await self._until(frozenset(queued), wanted, running, memory)
            took = time.monotonic() - start
            cores = {name: (after - used[name]) / took for name, after in running.used().items()}
        await self.there.until(each.message.key for each in running.urgent)
        came = sorted(self.there.arrived[key].at for key in queued if key in self.there.arrived)
        measured, part = came[:wanted], max(2, wanted // 5)
        return {
            "queued": len(queued), "drained": len(measured), "rate": _rate(measured), "first_fifth": _rate(measured[:part]),
            "last_fifth": _rate(measured[-part:]), "first_after_seconds": came[0] - start, "cores": cores,
            "urgent": self._urgent(running.urgent, came, len(queued)),
            "memory_mib": {"queued": memory[0], "most": max(memory), "end": memory[-1]},
        }  # fmt: skip

    async def _until(self, queued: frozenset[Key], wanted: int, running: Running, memory: list[float]) -> None:
        """Wait for so many of the queued legs. Until the first, the partner comes to us now and then, as one that is back does."""
        async with self.setup.kit(PARTNER).client() as itself:
            came, looked, moved = 0, 0.0, time.monotonic()
            while came < wanted:
                if not came and time.monotonic() > looked + COME_SECONDS:
                    looked = time.monotonic()
                    await itself.status(Jti(SystemDice().uuid7(SystemClock().now())))  # of nothing: that it asks is what counts
                await asyncio.sleep(LOOK_SECONDS)
                await self.there.look()
                memory.append(running.memory())
                now = len(queued & self.there.arrived.keys())
                moved = time.monotonic() if now > came else moved
                came = now
                self.say(f"{came:,} of {wanted:,} legs have arrived, {memory[-1]:.0f} MiB")
                if time.monotonic() > moved + STALLED_SECONDS:
                    raise RuntimeError(f"nothing has arrived for {STALLED_SECONDS} seconds")

    @asynccontextmanager
    async def _submitting_urgent(self, running: Running) -> AsyncIterator[None]:
        """Meanwhile submit urgent messages to the same partner, from the first arrival on: until then nothing can arrive."""
        stopping, known = asyncio.Event(), len(self.there.arrived)

        async def submit() -> None:
            while not stopping.is_set() or not running.urgent:  # a small backlog can be gone before the first
                if len(self.there.arrived) == known:
                    await asyncio.sleep(LOOK_SECONDS)
                    continue
                (message,) = offered.made(self.kit, [PARTNER], self.dice, priority="IMMEDIATE")
                running.urgent.append(await offered.submit(running.client, message))
                with suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), 1 / self.plan.urgent_rate)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(submit())
            yield
            stopping.set()

    def _urgent(self, sent: Sequence[offered.Receipted], came: Sequence[float], queued: int) -> dict[str, float]:
        """Say how long urgent messages took, and of the legs queued before them, how many came in that time and how many were overtaken."""
        arrived = [(each.at, self.there.arrived[each.message.key].at) for each in sent]
        waits = [(there - here) * 1e3 for here, there in arrived]
        ahead = [max(0, bisect_left(came, there) - bisect_left(came, here)) for here, there in arrived]
        overtaken = [queued - bisect_left(came, there) for _, there in arrived]
        return {
            "count": len(sent), "median_ms": statistics.median(waits), "max_ms": max(waits),
            "median_ahead": statistics.median(ahead), "max_ahead": max(ahead), "least_overtaken": min(overtaken),
        }  # fmt: skip


def run(plan: Plan, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Run all of it. Raises `UnavailableError` where the scaled-out form has no services."""
    own = profile(PARTNER, window=plan.window, circuit_pause_seconds=5, circuit_pause_max_seconds=10)
    with full.made(plan.form, folder, partners=PARTNERS, profiles={PARTNER: own, SENDER: {"urgent_per_hour": 100_000}}) as setup:
        return uvloop.run(_measure(plan, setup, say))


async def _measure(plan: Plan, setup: DevSetup, say: Callable[[str], None]) -> dict[str, Any]:
    async with partners(setup) as there:
        bench = Bench(plan, setup, setup.kit(SENDER), there, Random(plan.seed), say)  # noqa: S311 -- repeatable on purpose
        async with bench.gateway() as running:
            steady = await bench.steady(running)
        found: dict[str, Any] = {"plan": asdict(plan), "steady": steady}
        for name, count in (("few", plan.few), ("many", plan.legs)):
            await there.be(PARTNER, DEAD_WAY)
            start = time.monotonic()
            inner = next(setup.settings[role] for role in full.WITH_STORE if role in setup.settings)
            queued = await backlog.fill(inner, bench.kit, PARTNER, count, seed=plan.seed, say=lambda done: say(f"{done:,} legs queued"))
            filled = time.monotonic() - start
            async with bench.gateway() as running:
                found[name] = await bench.returns(running, queued) | {"filling_seconds": filled}
        return found | {"ratios": ratios(found)}


def ratios(found: Mapping[str, Any]) -> dict[str, float]:
    """Return what holds within one run."""
    steady, few, many = found["steady"], found["few"], found["many"]
    return {
        "drain_to_steady": many["rate"] / steady["rate"],
        "drain_many_to_few": many["rate"] / few["rate"],
        "urgent_to_steady": many["urgent"]["median_ms"] / steady["urgent"]["median_ms"],
        "memory_queued": many["memory_mib"]["queued"] / few["memory_mib"]["queued"],
        "memory_draining": many["memory_mib"]["most"] / few["memory_mib"]["most"],
    }


def _rate(came: Sequence[float]) -> float:
    return (len(came) - 1) / (came[-1] - came[0]) if len(came) > 1 else 0.0


LINES = (
    ("urgent, receipt to arrival, median ms", "median_ms"),
    ("  the longest, ms", "max_ms"),
    ("  queued legs that came in that time", "median_ahead"),
    ("  the most of them", "max_ahead"),
    ("  queued legs overtaken, at least", "least_overtaken"),
)


def show(result: Mapping[str, Any]) -> None:
    """Print the table."""
    plan, steady, ratio = result["plan"], result["steady"], result["ratios"]
    rounds = [result["few"], result["many"]]
    print(f"\ncatch-up, {plan['form']}: one partner returns, window {plan['window']}; {plan['urgent_rate']:g} urgent messages/s meanwhile")
    _line("", "nothing waiting", *(f"{each['queued']:,} queued" for each in rounds))
    _line("legs measured", f"{plan['steady']:,}", *(f"{each['drained']:,}" for each in rounds))
    _line("legs/s", *(f"{each['rate']:.0f}" for each in (steady, *rounds)))
    _line("  of the first fifth measured", "", *(f"{each['first_fifth']:.0f}" for each in rounds))
    _line("  of the last fifth measured", "", *(f"{each['last_fifth']:.0f}" for each in rounds))
    for label, name in LINES:
        _line(label, *(f"{each['urgent'][name]:,.0f}" for each in (steady, *rounds)))
    _line("memory, backlog queued, MiB", "", *(f"{each['memory_mib']['queued']:.0f}" for each in rounds))
    _line("memory at its most, MiB", f"{steady['memory_mib']:.0f}", *(f"{each['memory_mib']['most']:.0f}" for each in rounds))
    _line("cores of the gateway", *(f"{gateway_cores(each):.2f}" for each in (steady, *rounds)))
    _line("cores of the clients, same machine", *(f"{clients_cores(each):.2f}" for each in (steady, *rounds)))
    print(f"  catching up to the steady rate {ratio['drain_to_steady']:.2f}; the large backlog to the small one: rate", end="")
    print(f" {ratio['drain_many_to_few']:.2f}, memory queued {ratio['memory_queued']:.2f}, draining {ratio['memory_draining']:.2f}")
    print(f"  an urgent message during it to one with nothing waiting {ratio['urgent_to_steady']:.2f} (median time)")


def _line(label: str, *values: str) -> None:
    print(f"  {label:<40}" + "".join(f"{value:>18}" for value in values))
