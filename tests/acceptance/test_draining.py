"""SIGTERM on the scaled-out form: a process says that it leaves, answers who has asked, gives back what it holds, and ends in time."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
import pytest

from gateway.app.courier import FINISH_SECONDS_MAX as ATTEMPT_SECONDS_MAX
from gateway.app.supervise import DRAIN_SECONDS_MAX
from gateway.ops.settings import ProcessRole
from gateway.testing.client import Batch
from gateway.testing.partner import GOOD, Behaviour
from tests.acceptance.deployment import BANGKOK, BORDER, FRANCE, REGISTER, eventually
from tests.acceptance.fleet import Fleet, fleet
from tests.services.kafka import KafkaSettings
from tests.services.postgres import PostgresSettings

pytestmark = [pytest.mark.services, pytest.mark.timeout(480)]
LEAVE_SECONDS = 6  # time to look at it, on a busy machine
SLOW = Behaviour(delay_seconds=25)  # a partner that is given 30 s


@pytest.fixture(scope="module")
def f(tmp_path_factory: pytest.TempPathFactory, broker_apart: KafkaSettings, postgres: PostgresSettings) -> Iterator[Fleet]:
    """Two edges, two inners, and one courier whose slow partner has more time than a courier takes to end."""
    folder = tmp_path_factory.mktemp("draining")
    profiles = {FRANCE: {"delivery": {"timeout_seconds": 30}}}
    with fleet(folder, broker_apart, postgres, profiles=profiles, limits={"limits": {"leave_seconds": LEAVE_SECONDS}}) as made:
        made.make(ProcessRole.EDGE, "edge-2")
        made.make(ProcessRole.INNER, "inner-2")
        asyncio.run(made.start("edge-2", "inner-2"))
        yield made


@dataclass
class Told:
    """What clients were told."""

    statuses: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@asynccontextmanager
async def submitting(f: Fleet, senders: int = 3) -> AsyncIterator[Told]:
    """Submit all the time through the balancer, each message once: what fails is not hidden by a repeat."""
    told, stop = Told(), asyncio.Event()

    async def submit() -> None:
        async with f.gw.client() as client:
            while not stop.is_set():
                try:
                    told.statuses.append((await client.submit(f.gw.message(BANGKOK).sealed)).status)
                except Exception as exc:  # noqa: BLE001 -- whatever a client could meet is counted
                    told.failures.append(repr(exc))
                await asyncio.sleep(0.05)

    tasks = [asyncio.create_task(submit()) for _ in range(senders)]
    try:
        yield told
    finally:
        stop.set()
        await asyncio.gather(*tasks)


def listens(port: int) -> bool:
    with socket.socket() as tried:
        tried.settimeout(1)
        return tried.connect_ex(("127.0.0.1", port)) == 0


async def test_an_edge_says_that_it_leaves_before_it_listens_no_more_and_nobody_is_refused(f: Fleet) -> None:
    edge, port = f.processes["edge-1"], f.balancer.port_of("edge-1")
    await eventually(lambda: len(f.balancer.ready) == 2, what="both edges behind the balancer")
    async with submitting(f) as told, f.gw.client(BORDER) as border, f.gw.client(REGISTER) as register:
        await eventually(lambda: len(told.statuses) > 10, what="traffic")
        waiting = [asyncio.create_task(client.poll(ack=(), wait=True)) for client in (border, register) for _ in range(3)]
        await asyncio.sleep(0.3)
        stopping = asyncio.create_task(f.stop("edge-1"))
        await eventually(lambda: edge.missing() == ["leaving"], what="an edge that leaves")
        assert listens(port), "it goes on while balancers take notice"
        await eventually(lambda: f.balancer.ready == ["edge-2"], what="a balancer that took notice")
        assert listens(port)
        handed = f.balancer.handed["edge-1"]
        took = await stopping
        assert f.balancer.handed["edge-1"] == handed, "nobody was sent to it any more"
        assert not listens(port)
        await asyncio.sleep(1)
        polled = await asyncio.gather(*waiting)
    assert LEAVE_SECONDS <= took < LEAVE_SECONDS + DRAIN_SECONDS_MAX
    assert all(isinstance(each, Batch) for each in polled), "a long poll ends with an answer"
    assert told.failures == []
    assert set(told.statuses) <= {202, 503}
    assert told.statuses.count(503) <= 3, "a question whose reply went to another edge, at most"
    assert await f.groups_of("edge-1") == []
    await f.start("edge-1")


async def held_leases(f: Fleet) -> list[str]:
    """Return the leases that another process would have to wait for."""
    connection = await asyncpg.connect(f.gw.database)
    try:
        rows = await connection.fetch("SELECT name, until FROM lease")
    finally:
        await connection.close()
    assert {row["name"] for row in rows} >= {"sequencer", "events"}
    return [row["name"] for row in rows if row["until"] > time.time() * 1_000_000]


async def test_inner_answers_what_it_took_and_gives_back_its_leases_and_partitions_at_once(f: Fleet) -> None:
    async with submitting(f) as told:
        await eventually(lambda: len(told.statuses) > 20, what="traffic")
        for name in ("inner-1", "inner-2"):
            before = len(told.statuses)
            assert await f.stop(name) < DRAIN_SECONDS_MAX
            assert await f.groups_of(name) == []
            await eventually(lambda mark=before: len(told.statuses) > mark + 20, what="traffic through the other")
            if name == "inner-1":
                await f.start("inner-1")
    assert told.failures == []
    assert set(told.statuses) == {202}
    await f.stop("inner-1")
    assert await held_leases(f) == [], "the next process need not wait until they are over"
    await f.start("inner-1", "inner-2")


async def test_a_courier_gives_back_an_attempt_that_takes_too_long(f: Fleet) -> None:
    simulator = f.gw.pushed[FRANCE]
    simulator.behaviour = SLOW
    try:
        async with f.gw.client() as register:
            sent = f.gw.message()
            assert (await register.submit(sent.sealed)).status == 202
            await eventually(lambda: simulator.requests, what="the attempt")
            took = await f.stop("courier-1")
            assert ATTEMPT_SECONDS_MAX - 3 < took < DRAIN_SECONDS_MAX
            assert await f.groups_of("courier-1") == []
            simulator.behaviour = GOOD
            began = time.monotonic()
            f.make(ProcessRole.COURIER, "courier-2")
            await f.start("courier-2")
            leg = await f.gw.until_leg(register, sent.jti, FRANCE, lambda leg: leg["state"] == "delivered")
            assert time.monotonic() - began < 30, "nobody waited for the lease of 60 s"
            assert leg["attempt"] == 2
    finally:
        simulator.behaviour = GOOD
