"""The register's side of a run, in a process of its own: signs, submits one by one, polls its acknowledgements and answers them.

`python -m benchmarks.client KIT --messages N --warm-up N --at-once N --watch name=pid …` prints one line of JSON at its end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from benchmarks.cpu import cpu_seconds
from benchmarks.notices import LEGS, notices
from gateway.cli.kit import Kit, read_kit
from gateway.contract.values import Jti
from gateway.testing.client import PartnerClient, sealed_message

PAUSE_SECONDS = 0.02  # after a poll that brought nothing
AGAIN_SECONDS = 0.2  # after a 429 or 503
SAY_SECONDS = 2
STALLED_SECONDS = 60


@dataclass(slots=True)
class Progress:
    """How far a round is."""

    wanted: int
    receipts: int = 0
    turned_away: int = 0  # with 429 or 503, and came again
    acknowledged: int = 0
    waits: list[float] = field(default_factory=list)  # from request to receipt
    said: float = 0.0

    def say(self) -> None:
        """Say how far, now and then."""
        if time.monotonic() - self.said > SAY_SECONDS:
            self.said = time.monotonic()
            text = f"    {self.receipts} of {self.wanted} receipts, {self.acknowledged} of {self.wanted * LEGS} acknowledgements"
            print(text, file=sys.stderr, flush=True)


def sealed(kit: Kit, count: int, seed: int) -> list[bytes]:
    """Return signed and encrypted notices."""
    made = []
    for sample in notices(count, datetime.now(UTC), seed=seed):
        claims = sample.claims(iss=kit.partner, aud=kit.gateway, uri_base=kit.uri_base)
        made.append(sealed_message(claims, kit.submit_key, kit.gateway_encryption)[1])
    return made


async def submit_all(client: PartnerClient, messages: Sequence[bytes], progress: Progress, at_once: int) -> float:
    """Submit each on its own, some at once; return when the last receipt came."""
    waiting = iter(messages)

    async def one_by_one() -> None:
        for message in waiting:
            start = time.perf_counter()
            while (response := await client.submit(message)).status in {429, 503}:  # a repeat is safe
                progress.turned_away += 1
                await asyncio.sleep(AGAIN_SECONDS)
            if response.status not in {200, 202}:
                raise RuntimeError(f"status {response.status}: {response.body.decode()}")
            progress.receipts += 1
            progress.waits.append(time.perf_counter() - start)
            progress.say()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(at_once):
            tasks.create_task(one_by_one())
    return time.perf_counter()


async def poll_all(client: PartnerClient, progress: Progress) -> None:
    """Fetch and answer acknowledgements until every leg of every message is accounted for."""
    unanswered: list[Jti] = []
    last = time.monotonic()
    while progress.acknowledged < progress.wanted * LEGS:
        batch = await client.poll(ack=unanswered)
        progress.acknowledged += len(unanswered)
        if batch.sets or unanswered:
            last = time.monotonic()
        elif time.monotonic() - last > STALLED_SECONDS:
            raise RuntimeError(f"no acknowledgement for {STALLED_SECONDS} seconds: {progress.acknowledged} had come")
        else:
            await asyncio.sleep(PAUSE_SECONDS)
        unanswered = list(batch.sets)
        progress.say()


async def measure(kit: Kit, messages: Sequence[bytes], at_once: int, watched: dict[str, int]) -> dict[str, object]:
    """Send the messages all the way; return what it took."""
    progress = Progress(len(messages))
    async with kit.client() as client:
        before = {name: cpu_seconds(pid) for name, pid in watched.items()}
        own, start = time.process_time(), time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            accepted = tasks.create_task(submit_all(client, messages, progress, at_once))
            tasks.create_task(poll_all(client, progress))
        end = time.perf_counter()
        used = {name: cpu_seconds(pid) - before[name] for name, pid in watched.items()}
    waits = sorted(progress.waits)
    return {
        "messages": len(messages),
        "seconds": end - start,
        "accepted_seconds": accepted.result() - start,
        "receipt_ms": {"median": waits[len(waits) // 2] * 1e3, "p99": waits[len(waits) * 99 // 100] * 1e3},
        "turned_away": progress.turned_away,
        "client_cpu_seconds": time.process_time() - own,
        "cpu_seconds": used,
    }


async def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Warm up, then measure."""
    kit = read_kit(arguments.kit, now=datetime.now(UTC))
    watched = {name: int(pid) for name, _, pid in (text.partition("=") for text in arguments.watch)}
    if arguments.warm_up:
        await measure(kit, sealed(kit, arguments.warm_up, seed=0), arguments.at_once, {})
    start = time.process_time()
    messages = sealed(kit, arguments.messages, seed=1)
    making = time.process_time() - start
    return {**await measure(kit, messages, arguments.at_once, watched), "making_cpu_seconds": making}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kit", type=Path)
    parser.add_argument("--messages", type=int, required=True)
    parser.add_argument("--warm-up", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--watch", nargs="*", default=[], metavar="NAME=PID")
    result = uvloop.run(run(parser.parse_args()))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
