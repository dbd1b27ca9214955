"""Processes come and go under load: the clients' ledger finds no fault, whatever consumer groups do meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.app.supervise import DRAIN_SECONDS_MAX
from gateway.ops.settings import ProcessRole
from tests.acceptance.deployment import FRANCE, SPAIN
from tests.acceptance.fleet import EU, Fleet, fleet, judged
from tests.services.kafka import KafkaSettings
from tests.services.postgres import PostgresSettings
from trials.kinds import Scene
from trials.ledger import Stated, Way

pytestmark = [pytest.mark.services, pytest.mark.timeout(480)]
RACES = 8
LEAVE_SECONDS = 1


async def race(scene: Scene, handed: Counter[str]) -> None:
    """Submit the same message over two connections at once, again and again: the balancer gives them to two edges. The judge sees the receipts."""
    gw, load, before = scene.system.gw, scene.load, Counter(handed)
    for _ in range(RACES):
        sent = gw.message(subject_ref="s-raced")
        entry = load.ledger.submits(sent.jti, "s-raced", Stated(frozenset({FRANCE})), Way.HTTP, trial=load.trial, at=time.monotonic())
        while entry.receipted_at is None:
            async with gw.client() as one, gw.client() as other:
                await asyncio.gather(*(load._ask(client, sent) for client in (one, other)))
    scene.say(f"{RACES} races; connections since: {dict(handed - before)}")


@pytest.fixture
def f(tmp_path: Path, broker_apart: KafkaSettings, postgres: PostgresSettings) -> Iterator[Fleet]:
    """One inner, one edge, one courier; nobody delivers for the shard of Spain."""
    limits = {"limits": {"lease_seconds": 5, "poll_seconds": 2, "leave_seconds": LEAVE_SECONDS}}
    with fleet(tmp_path, broker_apart, postgres, limits=limits) as made:
        yield made


async def test_processes_come_and_go_under_load_without_a_fault(f: Fleet, say) -> None:
    async def strike(scene: Scene) -> None:
        f.make(ProcessRole.INNER, "inner-2")
        f.make(ProcessRole.EDGE, "edge-2")
        f.make(ProcessRole.COURIER, "courier-2")
        f.courier_of(EU)
        for names in (["inner-2"], ["edge-2", "courier-2", f"courier-{EU}"]):
            scene.say(f"{', '.join(names)} ready {await f.start(*names):.1f} s after their start")
        for name in ("inner-1", "inner-2", "edge-2", "courier-2", f"courier-{EU}"):
            assert await f.groups_of(name), f"{name} is in no group"
        await asyncio.sleep(1)
        await race(scene, f.balancer.handed)
        assert {"edge-1", "edge-2"} <= f.balancer.handed.keys()
        for name in ("inner-1", "courier-1", "edge-1"):
            took = await f.stop(name)
            scene.say(f"{name} ended {took:.1f} s after SIGTERM")
            assert took < LEAVE_SECONDS + DRAIN_SECONDS_MAX, took
            left = await f.groups_of(name)
            assert left == [], f"{name} is still in {left}"
            await asyncio.sleep(1)

    await judged(f, strike, say)
    for partner in (FRANCE, SPAIN):
        assert f.gw.pushed[partner].received, partner
