"""A register that submits over Kafka: its topic is its channel, the receipt comes back on its results, and no record blocks the next."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.app import topics
from gateway.app.ports import Outgoing, Record
from gateway.buses.kafka import KafkaAccess, KafkaBus
from gateway.contract.values import PartnerId
from gateway.core import strict_json, tokens
from gateway.testing.messages import FAULTS
from tests.acceptance.deployment import FRANCE, REGISTER, Deployment, family_of

pytestmark = pytest.mark.services

SUBMISSIONS, RESULTS, GROUP = (make(PartnerId(REGISTER)) for make in (topics.submissions, topics.results, topics.results_group))


@pytest.fixture
def gw(scaled: Deployment) -> Deployment:
    return scaled


class Channel:
    """The register's side: one principal, which may write one topic and read another."""

    def __init__(self, gw: Deployment) -> None:
        assert gw.kafka is not None
        assert isinstance(gw.passwords, Path)
        principal = f"register-{REGISTER}"
        password = (gw.passwords / f"{principal}.password").read_text(encoding="utf-8").strip()
        self.bus = KafkaBus(KafkaAccess(bootstrap=gw.kafka.bootstrap, user=principal, password=password, ca_file=gw.kafka.ca_file))

    async def ask(self, *values: bytes) -> list[Record]:
        """Submit records and return the result of each, in their order."""
        keys = [f"{time.monotonic_ns()}-{i}".encode() for i in range(len(values))]
        results: dict[bytes, Record] = {}
        async with self.bus.subscribe([RESULTS], group=GROUP) as subscription:
            await self.bus.publish([Outgoing(SUBMISSIONS, key, value) for key, value in zip(keys, values, strict=True)])
            end = time.monotonic() + 30
            while not set(keys) <= results.keys() and time.monotonic() < end:
                records = await subscription.batch(max_records=100, wait_seconds=1)
                results |= {record.key: record for record in records}
                await subscription.commit(records)
        return [results[key] for key in keys]


@pytest.fixture
async def channel(gw: Deployment) -> AsyncIterator[Channel]:
    made = Channel(gw)
    yield made
    await made.bus.close()


async def test_the_receipt_comes_back_on_the_results_and_the_message_goes_out(gw, channel):
    sent = gw.message()
    (result,) = await channel.ask(sent.sealed)
    async with gw.client() as register:
        statement = register.read_receipt(result.value, sent.jws)
        assert (await register.receipt(sent.jti)).body == result.value
        await gw.until_ended(register, sent.jti, FRANCE)
    assert statement.received.jti == sent.jti
    assert (result.headers["outcome"], result.headers["content-type"]) == ("accepted", "application/jwt")
    assert family_of(await gw.until_received(FRANCE, sent.jti)) == "travel-notification"


async def test_a_repeat_on_either_way_gets_the_same_receipt(gw, channel):
    over_kafka, over_http = gw.message(), gw.message()
    (first,) = await channel.ask(over_kafka.sealed)
    async with gw.client() as register:
        second = await register.submit(over_kafka.sealed)
        first_http = await register.submit(over_http.sealed)
    (again, second_kafka) = await channel.ask(over_kafka.sealed, over_http.sealed)
    assert (second.status, second.body) == (200, first.value)
    assert (again.value, again.headers["outcome"]) == (first.value, "repeated")
    assert (second_kafka.value, second_kafka.headers["outcome"]) == (first_http.body, "repeated")


async def test_a_malformed_record_is_answered_by_its_coordinates_and_never_blocks(gw, channel):
    good = gw.message()
    faulty = gw.message(overrides=FAULTS["no handling code"])
    untrusted = tokens.encrypt(gw.message().jws[:-4] + b"AAAA", gw.kit().gateway_encryption)
    results = await channel.ask(b"\xff\x00 not a token", b"", untrusted, faulty.sealed, good.sealed)
    assert [result.headers["outcome"] for result in results] == ["rejected"] * 4 + ["accepted"]
    offsets = [int(result.headers["offset"]) for result in results]
    assert offsets == list(range(offsets[0], offsets[0] + 5))
    assert {result.headers["partition"] for result in results} == {"0"}
    told = [strict_json.parse_object(result.value) for result in results[:4]]
    assert [each["problems"][0]["code"] for each in told] == ["not-a-token", "not-a-token", "untrusted", "schema-invalid"]
    async with gw.client() as register:
        rejection = register.read_rejection(told[3]["rejection"].encode(), faulty.jws)
        assert rejection.received.jti == faulty.jti
        assert (await register.receipt(good.jti)).body == results[4].value


async def test_the_topic_is_the_channel_another_partners_message_is_not_taken_on_it(gw, channel):
    from dataclasses import replace

    claims = dict(strict_json.parse_object(tokens.unwrap(gw.message().jws, {}, typ=tokens.EVENT, encrypted="allowed").payload))
    other = gw.kit(FRANCE)
    signed = tokens.sign({**claims, "iss": FRANCE}, replace(other.submit_key), typ=tokens.EVENT)
    (result,) = await channel.ask(tokens.encrypt(signed, gw.kit().gateway_encryption))
    assert result.headers["outcome"] == "rejected"
    assert strict_json.parse_object(result.value)["problems"][0]["code"] == "untrusted"
