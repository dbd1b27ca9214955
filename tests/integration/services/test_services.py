"""The services that the other tests stand on are the real ones, and safe ones."""

from __future__ import annotations

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError
from aiokafka.helpers import create_ssl_context
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from tests.services.kafka import KafkaSettings, kafka_version

pytestmark = pytest.mark.services


def test_the_broker_holds_access_rules_and_refuses_by_default(kafka: KafkaSettings) -> None:
    admin = AdminClient(kafka.confluent())
    described = admin.describe_configs([ConfigResource(ResourceType.BROKER, "1")])
    values = {name: entry.value for job in described.values() for name, entry in job.result(timeout=20).items()}
    assert values["authorizer.class.name"].endswith("StandardAuthorizer")
    assert values["sasl.enabled.mechanisms"] == "SCRAM-SHA-512"
    assert kafka_version().startswith("4.1")


async def test_the_broker_takes_no_connection_without_a_password(kafka: KafkaSettings) -> None:
    context = create_ssl_context(cafile=kafka.ca_file)
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, security_protocol="SSL", ssl_context=context, request_timeout_ms=3000)
    with pytest.raises(KafkaConnectionError):
        await producer.start()
    await producer.stop()


async def test_the_database_is_durable(postgres_dsn: str) -> None:
    connection = await asyncpg.connect(postgres_dsn)
    try:
        assert [await connection.fetchval(f"SHOW {name}") for name in ("fsync", "synchronous_commit")] == ["on", "on"]
    finally:
        await connection.close()
