"""kill -9 at random moments: nothing receipted is lost, and each partner gets each message under one `jti` with one content (P1, P12)."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from gateway.core.evidence import checkpoint, merkle
from gateway.ops.settings import ProcessRole
from gateway.testing.client import PartnerClient
from gateway.testing.partner import Behaviour
from tests.acceptance.deployment import (
    BANGKOK,
    BORDER,
    FRANCE,
    PARIS,
    Deployment,
    Sent,
    embedded,
    eventually_async,
    original_of,
    scaled_out,
)
from tests.acceptance.test_evidence import log_keys
from tests.services.kafka import KafkaSettings
from tests.services.postgres import PostgresSettings, create_database, drop_database

KILLS = 20
SENDERS = 3
SUBJECTS = 8
SLOW = Behaviour(delay_seconds=0.25)  # so that a leg is under way at any moment
RANDOM_SECONDS = 1.0  # after it was ready
LEASE_SECONDS = 60

Legs = Callable[[], Awaitable[Counter[str]]]
Say = Callable[[str], None]


@dataclass(slots=True)
class Load:
    """Register clients that submit without a pause and repeat what got no answer, as registers do."""

    gw: Deployment
    receipts: dict[str, bytes] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)  # on the wire now
    stopping: bool = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as senders:
            for number in range(SENDERS):
                senders.create_task(self._send(number))

    async def _send(self, number: int) -> None:
        async with self.gw.client() as client:
            while not self.stopping:
                journey = PARIS if self.gw.dice.random() < 0.8 else BANGKOK
                sent = self.gw.message(journey, subject_ref=f"s-kill-{number}-{self.gw.dice.randrange(SUBJECTS)}")
                self.receipts[sent.jti] = await self._until_receipted(client, sent)
                await asyncio.sleep(0.05)

    async def _until_receipted(self, client: PartnerClient, sent: Sent) -> bytes:
        while True:
            self.unanswered.add(sent.jti)
            try:
                async with asyncio.timeout(25):
                    response = await client.submit(sent.sealed)
            except (aiohttp.ClientError, ConnectionError, TimeoutError):
                await asyncio.sleep(0.1)
                continue
            finally:
                self.unanswered.discard(sent.jti)
            if response.status in {200, 202}:
                client.read_receipt(response.body, sent.jws)
                return response.body
            assert response.status == 503, response.body
            await asyncio.sleep(0.1)


async def kill_at_random_moments(gw: Deployment, role: ProcessRole, legs: Legs, say: Say) -> Load:
    """Kill and restart one process, `KILLS` times, each time with a submission unanswered and a leg sending. Says the moments."""
    served, dice, spread = gw.processes[role], random.Random(), []
    gw.pushed[FRANCE].behaviour = SLOW
    load = Load(gw)
    running = asyncio.create_task(load.run())
    heads = []
    try:
        for _ in range(KILLS):
            ready = time.monotonic()
            await asyncio.sleep(dice.uniform(0, RANDOM_SECONDS))
            await eventually_async(lambda: _both(load, legs), what="a submission unanswered and a leg sending")
            unanswered, moment = len(load.unanswered), time.monotonic() - ready
            served.kill()
            states = await legs()
            spread.append((moment, unanswered, states["sending"], len(load.receipts)))
            assert states["sending"], "it was so when it was killed"
            served.start()
            await asyncio.to_thread(served.until_ready)
            heads.append(await _checkpoint(gw))
        load.stopping = True
        await asyncio.wait_for(running, 60)
    finally:
        running.cancel()
        gw.pushed[FRANCE].behaviour = Behaviour()
    say(f"\n{role} killed {KILLS} times; ready again after {_range(served.starts[1:])} s. The moments:")
    for moment, unanswered, sending, receipted in spread:
        say(f"  {moment:5.2f} s after ready: {unanswered} submissions unanswered, {sending:2} legs sending, {receipted:3} receipts so far")
    await _consistent(gw, heads)
    return load


async def _both(load: Load, legs: Legs) -> bool:
    return (await legs())["sending"] > 0 and bool(load.unanswered)


def _range(seconds: list[float]) -> str:
    return f"{min(seconds):.1f} to {max(seconds):.1f}"


async def _checkpoint(gw: Deployment) -> checkpoint.Checkpoint:
    async with gw.client() as register:

        async def look() -> bytes | None:
            response = await register.get("/v1/evidence/checkpoint")
            return response.body if response.status == 200 else None

        return checkpoint.verify((await eventually_async(look, what="a checkpoint")).decode(), log_keys(gw))


async def _consistent(gw: Deployment, heads: list[checkpoint.Checkpoint]) -> None:
    """Prove that every checkpoint seen between the kills is the beginning of the log as it is now."""
    last = await _checkpoint(gw)
    async with gw.client() as register:
        for head in heads:
            answer = await register.get("/v1/evidence/consistency", {"first": str(head.size), "second": str(last.size)})
            path = [bytes.fromhex(step) for step in answer.value["path"]]
            merkle.verify_consistency(head.size, last.size, path=path, first_root=head.root, second_root=last.root)


async def everything_arrived_once(gw: Deployment, load: Load, legs: Legs, say: Say) -> None:
    """Check that each receipted message reached each of its partners, under one `jti`, with one content."""
    polled: dict[str, set[str]] = {}
    async with gw.client(BORDER) as border:

        async def settled() -> bool:
            while (batch := await border.poll()).sets:
                for document in map(gw.kit(BORDER).opener.open, batch.sets.values()):
                    polled.setdefault(str(original_of(document)), set()).add(f"{document.jti} {document.digest}")
                await border.poll(ack=list(batch.sets), max_events=0)
            found = await legs()
            return not any(found[state] for state in ("planned", "ready", "sending", "available"))

        await eventually_async(settled, what="the end of every leg", seconds=LEASE_SECONDS + 30)
    pushed: dict[str, set[str]] = {}
    simulator = gw.pushed[FRANCE]
    for received in simulator.received.values():
        assert received.verified is not None
        pushed.setdefault(str(original_of(received.verified)), set()).add(f"{received.jti} {received.digest}")
    copies = Counter(received.copies for received in simulator.received.values())
    say(f"{len(load.receipts)} receipts; {len(pushed)} messages pushed ({dict(copies)} copies), {len(polled)} polled")
    assert simulator.conflicts == [], "one jti with two contents"
    assert simulator.refused == []
    assert pushed.keys() | polled.keys() == load.receipts.keys()
    assert all(len(found) == 1 for found in (*pushed.values(), *polled.values())), "one jti, and one content, for each message and partner"
    async with gw.client() as register:
        for jti, receipt in random.Random().sample(sorted(load.receipts.items()), 20):
            assert (await register.receipt(jti)).body == receipt
            (leg,) = (await register.status(jti)).value["legs"]
            assert leg["state"] in {"delivered", "receipted"}


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Print though the test passes."""

    def on_the_terminal(line: str) -> None:
        with capsys.disabled():
            print(line)  # noqa: T201 -- the moments are what the test is about

    return on_the_terminal


@pytest.mark.timeout(600)  # 90 s where nothing else runs: twenty starts of three seconds
async def test_the_embedded_gateway_killed_at_random_moments_loses_nothing_and_sends_nothing_twice(tmp_path, say):
    with embedded(tmp_path) as gw:

        async def legs() -> Counter[str]:
            return await asyncio.to_thread(_sqlite_legs, Path(gw.database))

        load = await kill_at_random_moments(gw, ProcessRole.EMBEDDED, legs, say)
        await everything_arrived_once(gw, load, legs, say)


def _sqlite_legs(path: Path) -> Counter[str]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        return Counter(dict(connection.execute("SELECT state, count(*) FROM leg WHERE partner <> 'gb-register' GROUP BY state")))
    finally:
        connection.close()


@pytest.fixture
def database(postgres: PostgresSettings) -> Iterator[str]:
    name = asyncio.run(create_database(postgres))
    yield name
    asyncio.run(drop_database(postgres, name))


@pytest.mark.services
@pytest.mark.timeout(600)
async def test_one_inner_killed_at_random_moments_loses_nothing_and_sends_nothing_twice(
    tmp_path, say, own_broker: KafkaSettings, postgres: PostgresSettings, database: str
):
    with scaled_out(tmp_path, own_broker, postgres, database) as gw:
        connection = await asyncpg.connect(gw.database)
        try:

            async def legs() -> Counter[str]:
                rows = await connection.fetch("SELECT state, count(*) FROM leg WHERE partner <> 'gb-register' GROUP BY state")
                return Counter({row[0]: row[1] for row in rows})

            load = await kill_at_random_moments(gw, ProcessRole.INNER, legs, say)
            await everything_arrived_once(gw, load, legs, say)
        finally:
            await connection.close()
