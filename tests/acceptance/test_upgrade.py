"""A rolling upgrade under load: migrate, replace the processes one by one, finish. The newer code is a copy of this one with two migrations."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from gateway.app.ports import StoreUnavailableError
from gateway.ops.settings import ProcessRole
from gateway.stores.open import check_schema, migrate
from gateway.stores.tables import SCHEMA_VERSION
from tests.acceptance.deployment import SPAIN
from tests.acceptance.fleet import Fleet, fleet, judged
from tests.acceptance.processes import gateway
from tests.mutants.__main__ import copy_tree
from tests.services.kafka import KafkaSettings
from tests.services.postgres import PostgresSettings
from trials.kinds import Scene

pytestmark = [pytest.mark.services, pytest.mark.timeout(480)]
NEXT = SCHEMA_VERSION + 1
VERSION_LINE = f"SCHEMA_VERSION: Final = {SCHEMA_VERSION}"
MIGRATION = '''"""A step of a test."""

import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on, phase = "{number:04}", "{before:04}", None, None, "{phase}"


def upgrade() -> None:
    """Take the step."""
    meta = sa.table("meta", sa.column("name"), sa.column("value"))
    op.execute(meta.update().where(meta.c.name == "schema").values(value={number}))
'''
ADDS = """    op.add_column("leg", sa.Column("noted", sa.Text(), server_default="nothing"))
    op.create_table("note", sa.Column("leg_id", sa.Text(), primary_key=True))
    op.create_index("ix_leg_noted", "leg", ["noted"])
"""
TAKES = f"""    op.drop_index("ix_leg_noted", "leg")
    op.execute(meta.update().where(meta.c.name == "oldest_code").values(value={NEXT}))
"""


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """Return a tree with the code of the next release: it needs one migration, and another takes away what only this code needs."""
    tree = tmp_path / "newer"
    copy_tree(tree)
    tables = tree / "gateway" / "stores" / "tables.py"
    text = tables.read_text(encoding="utf-8")
    assert text.count(VERSION_LINE) == 1
    tables.write_text(text.replace(VERSION_LINE, f"SCHEMA_VERSION: Final = {NEXT}"), encoding="utf-8")
    versions = tree / "gateway" / "stores" / "migrations" / "versions"
    for number, phase, what in ((NEXT, "pre", ADDS), (NEXT + 1, "post", TAKES)):
        step = MIGRATION.format(number=number, before=number - 1, phase=phase) + what
        (versions / f"{number:04}_of_a_test.py").write_text(step, encoding="utf-8")
    return tree


@pytest.fixture
def f(tmp_path: Path, broker_apart: KafkaSettings, postgres: PostgresSettings) -> Iterator[Fleet]:
    """Two inners, two edges and a courier of this code."""
    limits = {"limits": {"lease_seconds": 5, "poll_seconds": 2, "leave_seconds": 1}}
    with fleet(tmp_path, broker_apart, postgres, profiles={SPAIN: {"delivery": {"shard": "main"}}}, limits=limits) as made:
        made.make(ProcessRole.INNER, "inner-2")
        made.make(ProcessRole.EDGE, "edge-2")
        asyncio.run(made.start("inner-2", "edge-2"))
        yield made


async def versions(f: Fleet) -> dict[str, int]:
    connection = await asyncpg.connect(f.gw.database)
    try:
        return {row["name"]: row["value"] for row in await connection.fetch("SELECT name, value FROM meta")}
    finally:
        await connection.close()


async def test_a_rolling_upgrade_under_load_is_no_fault(f: Fleet, newer: Path, say) -> None:
    async def migrate_newer(*arguments: str, code: int = 0) -> str:
        done = await asyncio.to_thread(lambda: gateway("db", "migrate", *arguments, "--url", f.gw.database, tree=newer))
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done.stdout + done.stderr

    async def strike(scene: Scene) -> None:
        began = time.monotonic()
        await migrate_newer()
        scene.say(f"migrated within {time.monotonic() - began:.1f} s")
        assert await versions(f) == {"schema": NEXT, "oldest_code": 1}
        await check_schema(f.gw.database)  # the code before goes on
        told = await migrate_newer("--finish", code=1)
        assert "older than schema version" in told, told
        assert await versions(f) == {"schema": NEXT, "oldest_code": 1}
        for name in ("inner-1", "inner-2", "courier-1", "edge-1", "edge-2"):
            took = await f.stop(name)
            f.processes[name].tree = newer
            ready = await f.start(name)
            scene.say(f"{name}: ended in {took:.1f} s, ready as the newer in {ready:.1f} s")
        await migrate_newer("--finish")
        scene.say("finished")
        assert await versions(f) == {"schema": NEXT + 1, "oldest_code": NEXT}
        with pytest.raises(StoreUnavailableError, match=f"needs at least {NEXT}: install a newer one"):
            await check_schema(f.gw.database)
        await migrate(f.gw.database)  # the code before does nothing to what is newer
        assert await versions(f) == {"schema": NEXT + 1, "oldest_code": NEXT}

    await judged(f, strike, say)
