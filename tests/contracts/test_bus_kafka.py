"""The bus on a real Apache Kafka keeps the contract of every bus."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from gateway.app.ports import BusUnavailableError, Outgoing, StoreUnavailableError
from gateway.buses.kafka import SESSION_SECONDS, KafkaAccess, KafkaBus
from gateway.testing.contract_bus import PARTITIONS, BusContract
from tests.services.kafka import KafkaSettings
from tests.services.processes import free_port

pytestmark = pytest.mark.services


def access(kafka: KafkaSettings) -> KafkaAccess:
    return KafkaAccess(bootstrap=kafka.bootstrap, user=kafka.user, password=kafka.password, ca_file=kafka.ca_file)


@pytest.fixture
async def bus(kafka: KafkaSettings) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(access(kafka))
    yield bus
    await bus.close()


@pytest.fixture
def topic(clean_kafka: KafkaSettings) -> str:
    name = f"gw.test-{secrets.token_hex(4)}"
    admin = AdminClient(clean_kafka.confluent())
    admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(timeout=20)
    return name


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.02)


class TestKafkaBus(BusContract):
    async def test_a_wrong_password_is_unavailable(self, kafka: KafkaSettings, topic: str) -> None:
        stranger = KafkaBus(KafkaAccess(bootstrap=kafka.bootstrap, user=kafka.user, password="wrong", ca_file=kafka.ca_file))
        with pytest.raises(BusUnavailableError):
            await stranger.publish([Outgoing(topic, b"k", b"v")])
        await stranger.close()

    async def test_a_broker_that_our_authorities_do_not_know_is_unavailable(self, kafka: KafkaSettings, topic: str) -> None:
        stranger = KafkaBus(KafkaAccess(bootstrap=kafka.bootstrap, user=kafka.user, password=kafka.password))
        with pytest.raises(BusUnavailableError):
            await stranger.publish([Outgoing(topic, b"k", b"v")])
        await stranger.close()

    async def test_no_broker_is_unavailable(self) -> None:
        nobody = KafkaBus(KafkaAccess(bootstrap=f"127.0.0.1:{free_port()}", security="PLAINTEXT"))
        with pytest.raises(BusUnavailableError):
            await nobody.check()
        with pytest.raises(BusUnavailableError):
            async with nobody.subscribe(["gw.test"], group="readers"):
                pass
        await nobody.close()

    async def test_a_static_member_that_is_told_to_leave_gives_its_partitions_to_others_at_once(self, bus: KafkaBus, topic: str) -> None:
        async with bus.subscribe([topic], group="gw.test-leaving", static_id="stays") as stays:
            async with bus.subscribe([topic], group="gw.test-leaving", static_id="leaves"):
                await until(lambda: len(stays.owned(topic)) < PARTITIONS)
            began = time.monotonic()
            await until(lambda: len(stays.owned(topic)) == PARTITIONS)
            assert time.monotonic() - began < SESSION_SECONDS - 1

    async def test_a_static_member_that_failed_keeps_its_place(self, bus: KafkaBus, topic: str) -> None:
        async with bus.subscribe([topic], group="gw.test-failing", static_id="stays") as stays:
            fails = bus.subscribe([topic], group="gw.test-failing", static_id="fails")
            await fails.__aenter__()
            await until(lambda: len(stays.owned(topic)) < PARTITIONS)
            error = StoreUnavailableError("down")
            await fails.__aexit__(type(error), error, None)
            kept = stays.owned(topic)
            assert len(kept) < PARTITIONS
            async with bus.subscribe([topic], group="gw.test-failing", static_id="fails") as again:
                assert len(again.owned(topic)) == PARTITIONS - len(kept)
                assert stays.owned(topic) == kept, "nothing has moved"
