"""The bus while its broker is killed and comes back: callers are told, and everything goes on by itself."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from gateway.app.ports import BusUnavailableError, Outgoing, Record
from gateway.buses.kafka import CLOSE_SECONDS_MAX, PUBLISH_SECONDS_MAX, KafkaAccess, KafkaBus
from tests.services.fixtures import not_to_be_had
from tests.services.kafka import KafkaServer, kafka_jars
from tests.services.processes import UnavailableError

pytestmark = pytest.mark.services
TOPIC = "gw.test"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[KafkaServer]:
    """Return a broker of this test's own, because it will be killed."""
    try:
        kafka_jars()
    except UnavailableError as exc:
        not_to_be_had(str(exc))
    server = KafkaServer(tmp_path)
    server.format()
    server.start()
    admin = AdminClient(server.settings.confluent())
    admin.create_topics([NewTopic(TOPIC, 2, 1)])[TOPIC].result(timeout=20)
    yield server
    server.stop()


async def nothing_stays_behind() -> None:
    async with asyncio.timeout(5):
        while asyncio.all_tasks() != {asyncio.current_task()}:
            await asyncio.sleep(0.05)
    await asyncio.sleep(2)  # connections say goodbye to a broker that has just woken up


async def publish_until_it_works(bus: KafkaBus, value: bytes) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await bus.publish([Outgoing(TOPIC, b"k", value)])
            except BusUnavailableError:
                await asyncio.sleep(0.2)
            else:
                return


async def test_a_broker_that_stands_still_is_an_error_in_time_and_goes_on_by_itself(server: KafkaServer) -> None:
    settings = server.settings
    bus = KafkaBus(KafkaAccess(bootstrap=settings.bootstrap, user=settings.user, password=settings.password, ca_file=settings.ca_file))
    await bus.publish([Outgoing(TOPIC, b"k", b"before")])
    os.kill(server.pid, signal.SIGSTOP)
    try:
        start = time.monotonic()
        with pytest.raises(BusUnavailableError):
            await bus.publish([Outgoing(TOPIC, b"k", b"during")])
        assert time.monotonic() - start < PUBLISH_SECONDS_MAX + 4 * CLOSE_SECONDS_MAX
    finally:
        os.kill(server.pid, signal.SIGCONT)
    await publish_until_it_works(bus, b"after")
    await bus.close()
    await nothing_stays_behind()


async def test_a_group_left_while_the_broker_stands_still_leaves_nothing_running(server: KafkaServer) -> None:
    settings = server.settings
    bus = KafkaBus(KafkaAccess(bootstrap=settings.bootstrap, user=settings.user, password=settings.password, ca_file=settings.ca_file))
    async with bus.subscribe([TOPIC], group="readers") as readers:
        await readers.batch(max_records=1, wait_seconds=0.1)
        os.kill(server.pid, signal.SIGSTOP)
        left = time.monotonic()
    seconds = time.monotonic() - left
    os.kill(server.pid, signal.SIGCONT)
    assert seconds < 4 * CLOSE_SECONDS_MAX
    await nothing_stays_behind()


async def test_who_stops_joining_a_group_leaves_nothing_running(server: KafkaServer) -> None:
    settings = server.settings
    bus = KafkaBus(KafkaAccess(bootstrap=settings.bootstrap, user=settings.user, password=settings.password, ca_file=settings.ca_file))

    async def join() -> None:
        async with bus.subscribe([TOPIC], group="readers"):
            raise AssertionError("the broker stands still")

    os.kill(server.pid, signal.SIGSTOP)
    joining = asyncio.create_task(join())
    await asyncio.sleep(1)
    joining.cancel()
    await asyncio.wait([joining])
    os.kill(server.pid, signal.SIGCONT)
    assert joining.cancelled()
    await nothing_stays_behind()


async def test_a_topic_that_is_gone_is_an_error_and_works_when_it_is_made_again(server: KafkaServer) -> None:
    settings = server.settings
    bus = KafkaBus(KafkaAccess(bootstrap=settings.bootstrap, user=settings.user, password=settings.password, ca_file=settings.ca_file))
    admin = AdminClient(settings.confluent())
    admin.delete_topics([TOPIC])[TOPIC].result(timeout=20)
    with pytest.raises(BusUnavailableError):
        await bus.publish([Outgoing(TOPIC, b"k", b"nowhere")])
    admin.create_topics([NewTopic(TOPIC, 2, 1)])[TOPIC].result(timeout=20)
    await publish_until_it_works(bus, b"made again")
    await bus.close()


async def test_a_killed_broker_is_an_error_in_time_and_its_return_is_noticed(server: KafkaServer) -> None:
    settings = server.settings
    bus = KafkaBus(KafkaAccess(bootstrap=settings.bootstrap, user=settings.user, password=settings.password, ca_file=settings.ca_file))
    await bus.publish([Outgoing(TOPIC, b"k", b"before")])
    async with bus.subscribe([TOPIC], group="readers") as readers:
        first = await readers.batch(max_records=1, wait_seconds=20)
        await readers.commit(first)

        await asyncio.to_thread(server.kill)
        start = time.monotonic()
        with pytest.raises(BusUnavailableError):
            await bus.publish([Outgoing(TOPIC, b"k", b"during")])
        with pytest.raises(BusUnavailableError):
            await bus.check()
        assert time.monotonic() - start < 3 * PUBLISH_SECONDS_MAX

        await asyncio.to_thread(server.start)
        await publish_until_it_works(bus, b"after")
        found: list[Record] = []
        async with asyncio.timeout(60):
            while b"after" not in [record.value for record in found]:
                found += await readers.batch(max_records=10, wait_seconds=0.5)
    assert [record.value for record in first] == [b"before"]
    assert [record.value for record in found] == [b"after"]  # the commit outlived the kill, and what was given up stays away
    await bus.close()
