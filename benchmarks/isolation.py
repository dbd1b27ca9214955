"""What eight healthy partners notice of one dead and one slow partner beside them.

Two ways of the same run, in alternated pairs (A B, B A, …): in A all ten partners take what they are sent; in B one refuses connections and
one answers after 30 seconds. The offered rate is the same in both, each message goes to one partner, all ten in turn. Measured is the time
from the receipt at the register to the arrival at a healthy partner: opened and verified.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Any

import uvloop

from benchmarks import full, offered
from benchmarks.arrivals import DEAD_WAY, GOOD_WAY, SLOW_WAY, Partners, partners
from benchmarks.cpu import clients_cores, cpu_seconds, gateway_cores
from benchmarks.neighbours import NEIGHBOURS, PARTNERS, profile
from benchmarks.notices import SENDER
from gateway.cli.devsetup import DevSetup
from gateway.cli.kit import Kit
from gateway.testing.client import PartnerClient

*HEALTHY, DEAD, SLOW = NEIGHBOURS
PAUSES = {
    "circuit_pause_seconds": 2,
    "circuit_pause_max_seconds": 5,
}  # shorter than shipped: they are tried more often, and soon well again
WELL_SECONDS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long, how much, how often."""

    form: str = "embedded"
    pairs: int = 10
    rate: float = 20.0
    seconds: float = 20.0  # measured, of each half of a pair
    lead: float = 5.0  # before them, at the same rate
    seed: int = 1


@dataclass(slots=True)
class Bench:
    """What runs, and what it is told to do."""

    plan: Plan
    kit: Kit
    client: PartnerClient
    there: Partners
    pids: Mapping[str, int]
    dice: Random
    way: str = "A"
    sent: list[tuple[str, str]] = field(default_factory=list)

    async def turn(self, way: str) -> None:
        """Break the two partners, or mend them and wait until they have all that they missed: nothing of B is left in A."""
        if way != self.way:
            self.way = way
            await self.there.be(DEAD, DEAD_WAY if way == "B" else GOOD_WAY)
            await self.there.be(SLOW, SLOW_WAY if way == "B" else GOOD_WAY)
        if way == "A":
            await self.there.until(self.sent, seconds=WELL_SECONDS)
            self.sent.clear()

    async def half(self, way: str) -> dict[str, Any]:
        """Measure one half of a pair."""
        await self.turn(way)
        plan, lead = self.plan, round(self.plan.lead * self.plan.rate)
        messages = offered.made(self.kit, list(islice(cycle(NEIGHBOURS), lead + round(plan.seconds * plan.rate))), self.dice)
        self.sent += [each.key for each in messages]
        used, start = self._used(), time.monotonic()
        receipted = await offered.at_rate(self.client, messages, plan.rate)
        took = time.monotonic() - start
        cores = {name: (seconds - used[name]) / took for name, seconds in self._used().items()}
        measured = [each for each in receipted[lead:] if each.message.partner in HEALTHY]
        await self.there.until(each.message.key for each in measured)
        waits = [(self.there.arrived[each.message.key].at - each.at) * 1e3 for each in measured]
        return {
            "arrivals": len(waits), "rate": len(messages) / took, "cores": cores, "max_ms": max(waits),
            "p50_ms": offered.percentile(waits, 0.5), "p99_ms": offered.percentile(waits, 0.99),
            "not_yet": sum(1 for each in messages if each.key not in self.there.arrived),
        }  # fmt: skip

    def _used(self) -> dict[str, float]:
        return {name: cpu_seconds(pid) for name, pid in self.pids.items()} | {"register": time.process_time()}


def run(plan: Plan, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Run all pairs. Raises `UnavailableError` where the scaled-out form has no services."""
    profiles = {name: profile(name, **PAUSES) for name in NEIGHBOURS}
    with full.made(plan.form, folder, partners=PARTNERS, profiles=profiles) as setup:
        return uvloop.run(_measure(plan, setup, say))


async def _measure(plan: Plan, setup: DevSetup, say: Callable[[str], None]) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        there = await stack.enter_async_context(partners(setup))
        pids = stack.enter_context(full.running(setup)) | {"partners": there.pid}
        kit = setup.kit(SENDER)
        client = await stack.enter_async_context(kit.client())
        await stack.enter_async_context(offered.polling(client))
        bench = Bench(plan, kit, client, there, pids, Random(plan.seed))  # noqa: S311 -- repeatable on purpose
        await bench.half("A")  # warm
        pairs = []
        for number in range(plan.pairs):
            halves: dict[str, Any] = {}
            for way in ("AB", "BA")[number % 2]:
                half = halves[way] = await bench.half(way)
                say(f"pair {number + 1} of {plan.pairs}, {way}: p99 {half['p99_ms']:.0f} ms of {half['arrivals']} arrivals")
            pairs.append(halves | {name: halves["B"][f"{name}_ms"] / halves["A"][f"{name}_ms"] for name in ("p50", "p99")})
    return {"plan": asdict(plan), "pairs": pairs, **{name: spread([pair[name] for pair in pairs]) for name in ("p50", "p99")}}


def spread(ratios: Sequence[float]) -> dict[str, float]:
    """Return median, range and interquartile range."""
    low, median, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else [ratios[0]] * 3
    return {"median": median, "min": min(ratios), "max": max(ratios), "q1": low, "q3": high}


def show(result: Mapping[str, Any]) -> None:
    """Print the table."""
    plan, pairs = result["plan"], result["pairs"]
    print(f"\nisolation, {plan['form']}: {plan['rate']:g} messages/s over ten partners, {plan['seconds']:g} s each; receipt to arrival at")
    print("eight healthy ones, ms. A: all ten well; B: one of the other two refuses connections, one answers after 30 s")
    print("  pair     p50 A   p50 B  B/A     p99 A   p99 B  B/A   arrivals   cores of the gateway A, B   kept waiting in B")
    for number, pair in enumerate(pairs, start=1):
        a, b = pair["A"], pair["B"]
        print(f"  {number:>4}  {a['p50_ms']:>8.0f}{b['p50_ms']:>8.0f}{pair['p50']:>5.2f}  {a['p99_ms']:>8.0f}{b['p99_ms']:>8.0f}", end="")
        print(f"{pair['p99']:>5.2f}  {a['arrivals'] + b['arrivals']:>9}   {gateway_cores(a):.2f}, {gateway_cores(b):.2f}{b['not_yet']:>32}")
    for name in ("p50", "p99"):
        s = result[name]
        print(f"  ratio of {name}: median {s['median']:.2f}, interquartile {s['q1']:.2f} to {s['q3']:.2f},", end="")
        print(f" range {s['min']:.2f} to {s['max']:.2f}")
    clients = statistics.mean(clients_cores(half) for pair in pairs for half in (pair["A"], pair["B"]))
    print(f"  the clients, on the same machine, used {clients:.2f} cores meanwhile")
