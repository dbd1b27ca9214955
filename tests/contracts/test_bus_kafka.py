"""The bus on a real Apache Kafka keeps the contract of every bus."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from gateway.app.ports import BusUnavailableError, Outgoing
from gateway.buses.kafka import KafkaAccess, KafkaBus
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
