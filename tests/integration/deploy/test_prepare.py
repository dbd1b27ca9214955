"""The operator's way to the scaled-out form, from the settings of inner alone: refused, prepared, started, and what was waived is evidence."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource
from typer.testing import CliRunner, Result

from gateway.app.topics import REQUESTS
from gateway.buses.kafka_plan import WAIVER
from gateway.cli.devsetup import DevSetup, make_dev_setup
from gateway.cli.main import app
from gateway.core.evidence import entries
from gateway.ops.settings import ProcessRole, RunProfile
from gateway.stores.postgres import PostgresStore
from tests.acceptance.deployment import REGISTER
from tests.acceptance.processes import Served
from tests.services.kafka import KafkaSettings

pytestmark = pytest.mark.services
INNER = ProcessRole.INNER
SIZES = ("--edges", "2", "--partitions", "2", "--replicas", "1", "--in-sync", "1")
PROFILES = {REGISTER: {"kafka_channel": True, "iat_age_seconds": 7200}, "fr-police": {"delivery": {"shard": "eu"}}}


def secret(file: Path, text: str) -> Path:
    file.touch(mode=0o600)
    file.write_text(text, encoding="utf-8")
    return file


class Desk:
    """An operator with the settings of inner, the administrator's password and the database's address."""

    def __init__(self, folder: Path, kafka: KafkaSettings, dsn: str, *, waivers: list[str]) -> None:
        self.dsn, self.users = dsn, folder / "users"
        self.users.mkdir(mode=0o700)
        self._administrator = ("--user", kafka.user, "--password-file", str(secret(folder / "admin.password", kafka.password)))
        where, password = dsn.rpartition("@")[2], dsn.split(":", 2)[2].rpartition("@")[0]
        settings: dict[str, Any] = {
            "waivers": waivers,
            "bus": {
                "kind": "kafka", "bootstrap": kafka.bootstrap, "user": "inner", "password_file": str(self.users / "inner.password"),
                "ca_file": kafka.ca_file,
            },
            "store": {
                "url": f"postgresql+asyncpg://gateway@{where}",
                "password_file": str(secret(folder / "database.password", password)),
            },
        }  # fmt: skip
        self.setup: DevSetup = make_dev_setup(
            folder / "made", roles=[INNER], profile=RunProfile.PRODUCTION, profiles=PROFILES, settings={INNER: settings}
        )
        self.config = str(self.setup.settings[INNER])
        self.log = folder / "inner.log"

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, [*arguments, "--config", self.config])

    def kafka(self, *arguments: str) -> Result:
        return self.run("kafka", "setup", *self._administrator, *SIZES, *arguments)

    def start(self) -> subprocess.CompletedProcess[str]:
        """Start inner where it is refused."""
        command = [sys.executable, "-m", "gateway.cli", "serve", "--config", self.config]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def serve(self) -> str:
        """Start inner, wait until it is ready, stop it; return what it printed."""
        served = Served("inner", Path(self.config), self.setup.ports.admin[INNER], self.log)
        served.start()
        try:
            served.until_ready()
        finally:
            code = served.stop()
        assert code == 0, served.tail()
        return self.log.read_text(encoding="utf-8")


def test_an_operator_prepares_broker_and_database_from_the_settings_alone(
    clean_kafka: KafkaSettings, postgres_dsn: str, tmp_path: Path
) -> None:
    desk = Desk(tmp_path, clean_kafka, postgres_dsn, waivers=[WAIVER])
    wanting = desk.kafka("--check")
    assert wanting.exit_code == 1
    assert f"wanting: gw.submissions.{REGISTER}: wanted a topic, found none" in wanting.stderr
    assert list(desk.users.iterdir()) == [], "a check creates nothing"

    made = desk.kafka("--create-users", str(desk.users))
    assert (made.exit_code, made.stderr) == (0, "")
    assert {file.stem for file in desk.users.iterdir()} == {"courier-eu", "courier-main", "edge", "inner", f"register-{REGISTER}"}
    assert desk.kafka("--check").exit_code == 0

    assert desk.run("db", "check").exit_code == 1
    assert (desk.run("db", "migrate").exit_code, desk.run("db", "check").exit_code) == (0, 0)
    assert f"waived: {WAIVER}" in desk.serve()


async def test_a_waiver_is_kept_in_evidence(clean_kafka: KafkaSettings, postgres_dsn: str, tmp_path: Path) -> None:
    desk = Desk(tmp_path, clean_kafka, postgres_dsn, waivers=[WAIVER])
    for work in (lambda: desk.kafka("--create-users", str(desk.users)), lambda: desk.run("db", "migrate"), desk.serve):
        await asyncio.to_thread(work)
    store = PostgresStore(postgres_dsn)
    async with store.reading() as work:
        raw = [entry for _, entry in [*await work.leaves(0, 10_000), *await work.staged(10_000)]]
    await store.close()
    waivers = [entry for entry in map(entries.decode, raw) if isinstance(entry, entries.Waiver)]
    assert [(entry.check, entry.environment) for entry in waivers] == [(WAIVER, "TEST")]


def spoil(kafka: KafkaSettings) -> None:
    """Delete one topic, and let another keep for two hours what it may keep for one."""
    admin = AdminClient(kafka.confluent())
    admin.delete_topics(["gw.outcomes"])["gw.outcomes"].result(timeout=20)
    entry = ConfigEntry("retention.ms", "7200000", incremental_operation=AlterConfigOpType.SET)
    changed = ConfigResource(ConfigResource.Type.TOPIC, REQUESTS, incremental_configs=[entry])
    for job in admin.incremental_alter_configs([changed]).values():
        job.result(timeout=20)


def test_a_start_on_topics_that_are_wanting_is_refused_with_what_to_run(
    clean_kafka: KafkaSettings, postgres_dsn: str, tmp_path: Path
) -> None:
    desk = Desk(tmp_path, clean_kafka, postgres_dsn, waivers=[WAIVER])
    assert desk.kafka("--create-users", str(desk.users)).exit_code == 0
    spoil(clean_kafka)
    refused = desk.start()
    assert refused.returncode == 1
    assert "gw.outcomes: wanted a topic, found none" in refused.stderr
    assert "gw.requests retention.ms: wanted at most 3600000, found 7200000" in refused.stderr
    assert "run `gateway kafka setup --config FILE`" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_one_copy_is_refused_unless_it_is_waived_by_name(clean_kafka: KafkaSettings, postgres_dsn: str, tmp_path: Path) -> None:
    (tmp_path / "with").mkdir()
    waived = Desk(tmp_path / "with", clean_kafka, postgres_dsn, waivers=[WAIVER])
    assert waived.kafka("--create-users", str(waived.users)).exit_code == 0
    (tmp_path / "without").mkdir()
    strict = Desk(tmp_path / "without", clean_kafka, postgres_dsn, waivers=[])
    secret(strict.users / "inner.password", (waived.users / "inner.password").read_text(encoding="utf-8"))
    refused = strict.start()
    assert refused.returncode == 1
    assert "gw.requests min.insync.replicas: wanted at least 2, found 1" in refused.stderr
    assert "gw.requests: wanted 2 replicas or more, found 1" in refused.stderr


async def test_a_broker_that_refuses_inner_stops_the_start(clean_kafka: KafkaSettings, postgres_dsn: str, tmp_path: Path) -> None:
    desk = Desk(tmp_path, clean_kafka, postgres_dsn, waivers=[WAIVER])
    secret(desk.users / "inner.password", "not-the-password")
    refused = desk.start()
    assert refused.returncode == 1
    assert f"the broker at {clean_kafka.bootstrap} does not answer inner" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert "not-the-password" not in refused.stderr
    connection = await asyncpg.connect(postgres_dsn)
    try:
        assert (
            await connection.fetch(
                "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'gateway/%' AND datname = current_database()"
            )
            == []
        )
    finally:
        await connection.close()
