"""The register's side: messages offered at a steady rate or as fast as they are taken, and its acknowledgements."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

from benchmarks import neighbours
from gateway.cli.kit import Kit
from gateway.contract.values import Jti
from gateway.core import tokens
from gateway.testing.client import PartnerClient

AGAIN_SECONDS = 0.2
PAUSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Ready:
    """A message that is signed and sealed, and whom it goes to."""

    partner: str
    jti: Jti
    sealed: bytes

    @property
    def key(self) -> tuple[str, str]:
        """What its arrival is found by."""
        return self.partner, str(self.jti)


@dataclass(frozen=True, slots=True)
class Receipted:
    """A message and when its receipt came, of the monotonic clock."""

    message: Ready
    at: float


def made(kit: Kit, names: Sequence[str], dice: Random, *, priority: str = "ROUTINE") -> list[Ready]:
    """Sign and seal a message to each of these partners: before any clock runs."""
    found = []
    for name in names:
        sample = neighbours.notice(name, datetime.now(UTC), dice, priority=priority)
        found.append(Ready(name, Jti(sample.jti), tokens.encrypt(neighbours.signed(kit, sample), kit.gateway_encryption)))
    return found


async def submit(client: PartnerClient, message: Ready) -> Receipted:
    """Submit one message until it is receipted."""
    response = await client.submit(message.sealed)
    if response.status in {429, 503}:  # a repeat is safe
        await asyncio.sleep(AGAIN_SECONDS)
        return await submit(client, message)
    if response.status not in {200, 202}:
        raise RuntimeError(f"status {response.status}: {response.body.decode()}")
    return Receipted(message, time.monotonic())


async def at_rate(client: PartnerClient, messages: Sequence[Ready], rate: float) -> list[Receipted]:
    """Offer `rate` messages a second, each at its own time, however long others take."""
    start = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        sent = []
        for number, message in enumerate(messages):
            await asyncio.sleep(max(0.0, start + number / rate - time.monotonic()))
            sent.append(tasks.create_task(submit(client, message)))
    return [each.result() for each in sent]


async def at_once(client: PartnerClient, messages: Sequence[Ready], limit: int) -> list[Receipted]:
    """Offer as fast as the gateway takes them, `limit` at once."""
    waiting, done = iter(messages), list[Receipted]()

    async def one_by_one(left: Iterator[Ready]) -> None:
        for message in left:
            done.append(await submit(client, message))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(limit):
            tasks.create_task(one_by_one(waiting))
    return done


@asynccontextmanager
async def polling(client: PartnerClient) -> AsyncIterator[None]:
    """Meanwhile fetch and acknowledge what the gateway tells the register, as registers do."""

    async def poll() -> None:
        done: list[Jti] = []
        while True:
            batch = await client.poll(ack=done)
            done = list(batch.sets)
            if not done:
                await asyncio.sleep(PAUSE_SECONDS)

    task = asyncio.create_task(poll())
    try:
        yield
    finally:
        ended = task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if ended:
            task.result()


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that so large a share of the values does not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, max(0, -(-len(ranked) * round(share * 1000) // 1000) - 1))]
