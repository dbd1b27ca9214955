"""Processes while something they need is away: they say so to partners and to their supervisor, and come back by themselves."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.app.inside import ASK_SECONDS, HEARD_SECONDS_MAX
from gateway.app.keeping import TRIAL_SECONDS, TRIAL_SECONDS_MAX
from gateway.ops.settings import ProcessRole
from gateway.testing.client import PartnerClient
from tests.acceptance.deployment import FRANCE, Deployment, embedded, eventually, scaled_out
from tests.acceptance.processes import Served
from tests.services.fixtures import not_to_be_had
from tests.services.kafka import KafkaSettings
from tests.services.postgres import PostgresServer, create_database
from tests.services.processes import UnavailableError


async def test_a_locked_database_is_503_and_not_ready_and_then_all_is_well(tmp_path):
    with embedded(tmp_path) as gw:
        served = gw.processes[ProcessRole.EMBEDDED]
        async with gw.client() as register:
            with closing(sqlite3.connect(gw.database, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                sent = gw.message()
                refused = await register.submit(sent.sealed)
                assert refused.status == 503
                assert int(refused.headers["Retry-After"]) > 0
                await eventually(lambda: "store" in served.missing(), what="readiness that is false")
                for _ in range(10):
                    assert "store" in await asyncio.to_thread(served.missing), "it stays so for as long as it is so"
                    await asyncio.sleep(0.3)
            await asyncio.to_thread(eventually_ready, served)
            assert (await register.submit(sent.sealed)).status == 202, "what was refused was not kept"
            await gw.until_received(FRANCE, sent.jti)
        lines = [json.loads(line) for line in served.log.read_text(encoding="utf-8").splitlines() if line.startswith("{")]
    said = [line.get("code", "") for line in lines if line.get("event") == "store-refuses"]
    assert said
    assert said[0].endswith(("gateway.db: another process holds its write lock", "no write in time"))
    assert any(line.get("event") == "store-keeps" for line in lines)


def eventually_ready(served):
    end = time.monotonic() + 20
    while missing := served.missing():
        assert time.monotonic() < end, missing
        time.sleep(0.1)


@pytest.fixture
def own_database() -> Iterator[PostgresServer]:
    """A database server of this test's own, because it will be stopped."""
    with tempfile.TemporaryDirectory(prefix="gateway-postgres-") as name:
        try:
            server = PostgresServer(Path(name) / "postgres")
        except UnavailableError as exc:
            not_to_be_had(str(exc))
        Path(name).chmod(0o711)  # the user that runs it must get through
        server.folder.mkdir()
        server.initialise()
        server.start()
        yield server
        server.stop()


async def until_missing(served: Served, wanted: list[str], *, seconds: float) -> None:
    """Wait until a process says that exactly this is missing, at most so long."""
    end = time.monotonic() + seconds
    while (found := await asyncio.to_thread(served.missing)) != wanted:
        assert time.monotonic() < end, f"{found} after {seconds} s, not {wanted}"
        await asyncio.sleep(0.1)


def metrics_of(served: Served) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{served.admin_port}/metrics", timeout=5) as answer:
        return answer.read().decode()


@pytest.mark.services
@pytest.mark.timeout(300)
async def test_an_edge_is_ready_where_an_inner_can_keep_and_says_what_is_missing_where_none_can(
    tmp_path: Path, own_broker: KafkaSettings, own_database: PostgresServer
) -> None:
    database = await create_database(own_database.settings)
    with scaled_out(tmp_path, own_broker, own_database.settings, database) as gw:
        edge, inner = gw.processes[ProcessRole.EDGE], gw.processes[ProcessRole.INNER]
        async with gw.client() as register:
            await the_database_goes_and_comes(gw, edge, own_database, register)
            await asyncio.to_thread(inner.kill)
            await until_missing(edge, ["inner"], seconds=HEARD_SECONDS_MAX + 3)
            inner.start()
            await asyncio.to_thread(inner.until_ready)
            await until_missing(edge, [], seconds=20)
            assert (await register.submit(gw.message().sealed)).status == 202
        assert 'gateway_certificate_seconds_left{listener="partners"}' in metrics_of(edge)
        assert 'gateway_clock_skew_seconds{whose="inner"} 0.0' in metrics_of(edge), "one machine, one clock"
        of_inner = metrics_of(inner)
        assert 'gateway_clock_skew_seconds{whose="edge"} 0.0' in of_inner
        assert 'gateway_key_seconds_left{use="receipt"}' in of_inner
        await eventually(lambda: 'gateway_clock_skew_seconds{whose="database"}' in metrics_of(inner), what="a look at the database's clock")


async def the_database_goes_and_comes(gw: Deployment, edge: Served, database: PostgresServer, register: PartnerClient) -> None:
    noticed = TRIAL_SECONDS + TRIAL_SECONDS_MAX + ASK_SECONDS + 3
    await asyncio.to_thread(database.stop)
    await until_missing(edge, ["inner-store"], seconds=noticed)
    sent = gw.message()
    assert (await register.submit(sent.sealed)).status == 503
    await asyncio.to_thread(database.start)
    await until_missing(edge, [], seconds=noticed + HEARD_SECONDS_MAX)
    assert (await register.submit(sent.sealed)).status == 202
    await gw.until_received(FRANCE, sent.jti)
