"""The process of the embedded form while its database takes no write: it says so to partners and to its supervisor, and comes back by itself."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from contextlib import closing

from gateway.ops.settings import ProcessRole
from tests.acceptance.deployment import FRANCE, embedded, eventually


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
