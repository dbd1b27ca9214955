from __future__ import annotations

import pytest
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry, Counter

from gateway.api import admin
from gateway.contract.values import PartnerId
from gateway.core.delivery import State


@pytest.fixture
async def client(aiohttp_client, missing):
    registry = CollectorRegistry()
    Counter("gateway_messages_accepted", "Messages accepted.", registry=registry).inc(3)

    async def counts():
        return {
            (PartnerId("ie-police"), State.READY): 2,
            (PartnerId("fr-police"), State.DELIVERED): 5,
            (PartnerId("ie-police"), State.HELD): 1,
        }

    async def readiness():
        return missing

    return await aiohttp_client(TestServer(admin.create(registry=registry, readiness=readiness, counts=counts)))


async def test_metrics_are_in_the_form_prometheus_reads(client):
    response = await client.get("/metrics")
    assert response.content_type == "text/plain"
    assert "gateway_messages_accepted_total 3.0" in await response.text()


async def test_the_state_counts_legs_by_partner(client):
    assert await (await client.get("/v1/state")).json() == {"legs": {"fr-police": {"delivered": 5}, "ie-police": {"held": 1, "ready": 2}}}


async def test_health_and_readiness_are_there_too(client, missing):
    missing.append("the database")
    assert (await client.get("/healthz")).status == 200
    assert (await (await client.get("/readyz")).json())["missing"] == ["the database"]


@pytest.mark.parametrize(("host", "status"), [
    ("localhost", 200), ("localhost:9000", 200), ("127.0.0.1:9000", 200), ("[::1]:9000", 200), ("[::1]", 200),
    ("attacker.example", 403), ("localhost.attacker.example:80", 403), ("gateway.internal", 403),
])  # fmt: skip
async def test_a_browser_led_here_by_another_name_is_refused(client, host, status):
    assert (await client.get("/metrics", headers={"Host": host})).status == status


async def test_who_comes_from_another_machine_is_refused(client):
    """The listener is bound to loopback; this is the second lock, so the peer's address is what is tested."""
    from aiohttp.test_utils import make_mocked_request

    class Transport:
        def get_extra_info(self, name, default=None):
            return ("192.0.2.7", 4711) if name == "peername" else default

    async def handler(_):
        raise AssertionError("not to be reached")

    request = make_mocked_request("GET", "/metrics", headers={"Host": "localhost"}, transport=Transport())
    assert (await admin.loopback_only(request, handler)).status == 403
