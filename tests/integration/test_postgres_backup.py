"""The commands of docs/howto/backup.md, as they stand there, on a real PostgreSQL: data and keys in two files, and a gateway that goes on."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.app.ports import WrappedKey
from gateway.app.sequence import Sequencer
from gateway.cli.devsetup import REPOSITORY, make_dev_setup
from gateway.contract.values import SubjectKey
from gateway.core.evidence import entries
from gateway.core.evidence.checkpoint import CheckpointSigner
from gateway.core.keys import Use
from gateway.keystores.files import FileKeystore
from gateway.ops.settings import ProcessRole
from gateway.stores.open import migrate, open_store
from gateway.testing.clock import FakeClock
from tests.services.postgres import PostgresSettings, create_database, drop_database
from tests.vectors.evidence import accepted

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(shutil.which("pg_dump") is None or shutil.which("psql") is None, reason="no pg_dump and psql on PATH"),
]
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
ANNA = SubjectKey("a" * 64)
HOUR = timedelta(hours=1)
SECRET = b"\xa5\x5a" * 24


def block(number: int) -> str:
    return BLOCK.findall((REPOSITORY / "docs" / "howto" / "backup.md").read_text(encoding="utf-8"))[number]


def sh(script: str, variables: Mapping[str, object]) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY), **{name: str(value) for name, value in variables.items()}}
    done = subprocess.run(["sh", "-e", "-c", script], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout, done.stderr)


def gateway(*arguments: object) -> str:
    command = [sys.executable, "-m", "gateway.cli", *map(str, arguments)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


async def test_the_documented_commands_part_keys_from_data_and_put_them_together_again(
    postgres: PostgresSettings, postgres_dsn: str, tmp_path: Path
) -> None:
    target = await create_database(postgres)
    try:
        restored = postgres.database(target)
        setup = make_dev_setup(
            tmp_path / "made", roles=[ProcessRole.INNER], store_url=restored.replace("postgresql://", "postgresql+asyncpg://")
        )
        now = datetime.now(UTC)  # not before the keys are made: they are valid from their own second on
        key = FileKeystore(setup.folder / "keys", setup.gateway, dev=True).private().signing_key(Use.CHECKPOINT, now)
        await migrate(postgres_dsn)
        async with open_store(postgres_dsn, dev=True) as store:
            async with store.unit_of_work() as work:
                await work.lock_subjects({ANNA: WrappedKey("kek-1", SECRET)})
                await work.stage_evidence([accepted(number).encode() for number in range(1, 4)])
            await Sequencer(store, CheckpointSigner(setup.gateway, key.private), FakeClock(now - HOUR), holder="inner").run_once()
        files = {"DATA": tmp_path / "data.dump", "KEYS": tmp_path / "keys.dump"}
        sh(block(0), {"DATABASE": postgres_dsn, **files})
        listed = [
            subprocess.run(["pg_restore", "--data-only", "-f", "-", str(path)], capture_output=True, check=True).stdout
            for path in files.values()
        ]
        assert [SECRET.hex().encode() in text for text in listed] == [False, True], "the data holds no key"
        sh(block(1), {"RESTORED": restored, **files})

        config = setup.settings[ProcessRole.INNER]
        given = ("--config", config, "--old-log", tmp_path / "old", "--report", tmp_path / "report.json", "--nothing-outside")
        assert f"opens the log {setup.gateway}/2" in gateway("db", "reopen", *given)
        assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["follows"]["size"] == 4
        assert gateway("evidence", "verify", tmp_path / "old").startswith("good")
        async with open_store(restored, dev=True) as store:
            async with store.reading() as work:
                assert (await work.subject_keys([ANNA]))[ANNA].wrapped == SECRET
            await Sequencer(store, CheckpointSigner(setup.gateway, key.private), FakeClock(now + HOUR), holder="inner").run_once()
            async with store.reading() as work:
                ((_, raw),) = await work.leaves(0, 10)
        opened = entries.decode(raw)
        assert isinstance(opened, entries.LogOpened)
        assert opened.previous is not None
        assert (opened.origin, opened.previous.size) == (f"{setup.gateway}/2", 4)
    finally:
        await drop_database(postgres, target)
