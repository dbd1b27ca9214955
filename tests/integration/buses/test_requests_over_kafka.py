"""Question and answer over a real broker: two edges, two inners, and one of each going away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from statistics import quantiles
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from gateway.app.ports import DeskUnavailableError, Question
from gateway.app.topics import REPLIES, REQUESTS
from gateway.buses.kafka import KafkaAccess, KafkaBus
from gateway.buses.requests import BusDesk, RequestServer
from tests.integration.buses.asking import Silent, SystemTime, echo
from tests.services.kafka import KafkaSettings

pytestmark = pytest.mark.services


def soon(seconds: float = 20) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def end(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])


@pytest.fixture
async def bus(clean_kafka: KafkaSettings) -> AsyncIterator[KafkaBus]:
    admin = AdminClient(clean_kafka.confluent())
    for made in admin.create_topics([NewTopic(REQUESTS, 4, 1), NewTopic(REPLIES, 4, 1)]).values():
        made.result(timeout=20)
    bus = KafkaBus(
        KafkaAccess(bootstrap=clean_kafka.bootstrap, user=clean_kafka.user, password=clean_kafka.password, ca_file=clean_kafka.ca_file)
    )
    yield bus
    await bus.close()


async def ready(*desks: BusDesk) -> None:
    async with asyncio.timeout(30):
        while not all(desk.ready for desk in desks):
            await asyncio.sleep(0.02)


async def test_questions_are_answered_while_edges_and_inners_come_and_go(bus: KafkaBus) -> None:
    edges = [BusDesk(bus, SystemTime(), Silent(), static_id=f"edge-{n}") for n in (1, 2)]
    first = asyncio.create_task(edges[0].run())
    inners = [asyncio.create_task(RequestServer(bus, echo, SystemTime(), Silent()).run()) for _ in range(2)]
    await ready(edges[0])
    bodies = [b"%d" % n for n in range(100)]

    async def ask(edge: BusDesk) -> list[bytes]:
        questions = [Question(kind="submit", body=body) for body in bodies]
        return [answer.body for answer in await asyncio.gather(*(edge.ask(question, deadline=soon()) for question in questions))]

    assert await ask(edges[0]) == bodies
    second = asyncio.create_task(edges[1].run())  # takes half of the partitions
    await ready(*edges)
    await end(inners.pop())  # leaves in order: the other inner takes over
    async with asyncio.timeout(40):
        for edge in edges:
            while True:
                try:
                    assert await ask(edge) == bodies
                    break
                except DeskUnavailableError:  # asked while the partitions moved: a repeat is safe
                    await asyncio.sleep(0.1)
    for task in (first, second, *inners):
        await end(task)


async def test_the_way_there_and_back_takes_milliseconds(bus: KafkaBus) -> None:
    desk = BusDesk(bus, SystemTime(), Silent(), static_id="edge-1")
    tasks = [asyncio.create_task(desk.run()), asyncio.create_task(RequestServer(bus, echo, SystemTime(), Silent()).run())]
    await ready(desk)
    await desk.ask(Question(kind="poll"), deadline=soon())
    seconds: list[float] = []
    for _ in range(100):
        start = time.monotonic()
        await desk.ask(Question(kind="poll", body=b"x" * 1400), deadline=soon())
        seconds.append(time.monotonic() - start)
    print(f"question and answer over Kafka: median {quantiles(seconds)[1] * 1000:.1f} ms, worst {max(seconds) * 1000:.1f} ms")  # noqa: T201 -- a number to read
    assert quantiles(seconds)[1] < 0.25  # a missing linger_ms=0 or a polling loop would be above; a busy machine is not
    for task in tasks:
        await end(task)
