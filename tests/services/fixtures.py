"""Fixtures for the two real services: started once for a run, by the first worker that needs them, stopped at its end.

Addresses given in the environment are used instead: GATEWAY_TEST_KAFKA_BOOTSTRAP, _CA, _USER, _PASSWORD and
GATEWAY_TEST_POSTGRES_DSN. What cannot be had is a skip with its reason; with CI=true it is a failure.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, TypeVar

import msgspec
import pytest

from tests.services.kafka import KafkaServer, KafkaSettings, kafka_jars, wipe
from tests.services.postgres import PostgresServer, PostgresSettings, create_database, drop_database, postgres_bin
from tests.services.processes import UnavailableError, stop

RUN = "GATEWAY_TEST_RUN"  # folder of this run: set by the controlling process, inherited by its workers
Settings = TypeVar("Settings", KafkaSettings, PostgresSettings)


def pytest_configure(config: pytest.Config) -> None:
    """Give the run a folder, in the process that controls the workers (or is alone)."""
    if not hasattr(config, "workerinput"):
        os.environ[RUN] = tempfile.mkdtemp(prefix="gateway-tests-")
        Path(os.environ[RUN]).chmod(0o711)  # the user that runs PostgreSQL must get through


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what any worker started: they have all ended by now."""
    if hasattr(config, "workerinput") or RUN not in os.environ:
        return
    run = Path(os.environ.pop(RUN))
    for name, sign in (("kafka", signal.SIGTERM), ("postgres", signal.SIGINT)):
        pid = run / f"{name}.pid"
        if pid.exists():
            stop(int(pid.read_text(encoding="utf-8")), by=sign)
    shutil.rmtree(run, ignore_errors=True)


@pytest.fixture(autouse=True)
def _one_at_a_time(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let one test at a time have the real services, whatever the number of workers: they share topics with fixed names."""
    if request.node.get_closest_marker("services") is None:
        yield
        return
    with _alone(Path(os.environ[RUN]), "services"):
        yield


def not_to_be_had(reason: str) -> NoReturn:
    """Skip, saying why; fail where the run is to be complete."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI needs this service. {reason}", pytrace=False)
    pytest.skip(reason)


@contextmanager
def _alone(run: Path, name: str) -> Iterator[None]:
    with (run / f"{name}.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _once(name: str, kind: type[Settings], start: Callable[[Path], Settings]) -> Settings:
    """Start the service unless another worker of this run has; both find the same settings."""
    run = Path(os.environ[RUN])
    with _alone(run, name):
        found, missing = run / f"{name}.json", run / f"{name}.missing"
        if missing.exists():
            not_to_be_had(missing.read_text(encoding="utf-8"))
        if found.exists():
            return msgspec.json.decode(found.read_bytes(), type=kind)
        try:
            settings = start(run / name)
        except UnavailableError as exc:
            missing.write_text(str(exc), encoding="utf-8")
            not_to_be_had(str(exc))
        found.touch(mode=0o600)
        found.write_bytes(msgspec.json.encode(settings))
        (run / f"{name}.pid").write_text(str(settings.pid), encoding="utf-8")
        return settings


def _start_kafka(folder: Path) -> KafkaSettings:
    kafka_jars()
    folder.mkdir()
    server = KafkaServer(folder)
    server.format()
    server.start()
    return server.settings


def _start_postgres(folder: Path) -> PostgresSettings:
    postgres_bin()
    folder.mkdir()
    server = PostgresServer(folder)
    server.initialise()
    server.start()
    return server.settings


@pytest.fixture(scope="session")
def kafka() -> KafkaSettings:
    """Return how to reach the real broker, as the principal that may do everything."""
    given = KafkaSettings.from_environment(os.environ)
    return given or _once("kafka", KafkaSettings, _start_kafka)


@pytest.fixture
def clean_kafka(kafka: KafkaSettings) -> KafkaSettings:
    """Return the broker without any topic, group or access rule of an earlier test."""
    wipe(kafka)
    return kafka


@pytest.fixture(scope="session")
def postgres() -> PostgresSettings:
    """Return how to reach the real database server, as its owner."""
    given = os.environ.get("GATEWAY_TEST_POSTGRES_DSN")
    return PostgresSettings(given) if given else _once("postgres", PostgresSettings, _start_postgres)


@pytest.fixture
async def postgres_dsn(postgres: PostgresSettings) -> AsyncIterator[str]:
    """Return the address of an empty database, dropped after the test: `postgresql://…`."""
    name = await create_database(postgres)
    yield postgres.database(name)
    await drop_database(postgres, name)
