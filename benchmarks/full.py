"""The full way, with real processes over TLS: embedded, and scaled out over a real Kafka and PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.notices import PARTNERS, RECIPIENTS, SENDER, WINDOW
from gateway.buses.kafka import KafkaAccess
from gateway.buses.kafka_plan import WAIVER, Shape, make_plan
from gateway.buses.kafka_setup import KafkaSetup
from gateway.cli.devsetup import DevSetup, make_dev_setup
from gateway.contract.values import Environment, PartnerId
from gateway.ops.settings import ProcessRole
from gateway.stores.open import migrate
from tests.services.kafka import KafkaSettings, kafka_service
from tests.services.postgres import PostgresSettings, create_database, postgres_service
from tests.services.processes import stop, wait_for_port

SERVE = "import typer; from gateway.cli.serve import serve; typer.run(serve)"
SCALED_OUT = (ProcessRole.INNER, ProcessRole.EDGE, ProcessRole.COURIER)
WITH_STORE = (ProcessRole.EMBEDDED, ProcessRole.INNER)
READY_SECONDS = 60
Result = dict[str, Any]


@contextmanager
def process(log: Path, *command: str) -> Iterator[int]:
    """Run a Python process, its output in `log`; ask it to end at the end."""
    with log.open("ab") as output:
        started = subprocess.Popen([sys.executable, *command], stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield started.pid
    finally:
        started.returncode = 0  # collected by `stop`
        stop(started.pid)


@contextmanager
def receivers(setup: DevSetup) -> Iterator[int]:
    """Run the partners that are pushed to."""
    log = setup.folder / "receivers.log"
    ports = {partner: setup.ports.partners[PartnerId(partner)] for partner in RECIPIENTS}
    places = [f"{setup.certificate(partner)}={port}" for partner, port in ports.items()]
    with process(log, "-m", "benchmarks.receivers", *places) as pid:
        for port in ports.values():
            wait_for_port(port, pid=pid, log=log)
        yield pid


@contextmanager
def gateway(setup: DevSetup, role: ProcessRole) -> Iterator[int]:
    """Run a role of the gateway, as `gateway serve` does."""
    log = setup.folder / f"{role}.log"
    port = setup.ports.admin[role]
    with process(log, "-c", SERVE, "--config", str(setup.settings[role])) as pid:
        wait_for_port(port, pid=pid, log=log)
        yield pid


def wait_until_ready(setup: DevSetup) -> None:
    """Return when every role says so."""
    for role in setup.settings:
        end = time.monotonic() + READY_SECONDS
        while not _is_ready(setup.ports.admin[role]):
            if time.monotonic() > end:
                raise RuntimeError(f"{role} is not ready after {READY_SECONDS} seconds")
            time.sleep(0.1)


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz") as answer:
            return bool(answer.status == 200)
    except OSError:  # also 503, which says what is missing
        return False


def submit(setup: DevSetup, messages: int, at_once: int, watched: Mapping[str, int]) -> Result:
    """Run the client and return what it measured."""
    wait_until_ready(setup)
    command = [sys.executable, "-m", "benchmarks.client", str(setup.kit_folder(SENDER))]
    command += ["--messages", str(messages), "--at-once", str(at_once), "--watch", *(f"{name}={pid}" for name, pid in watched.items())]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
    result: Result = json.loads(done.stdout)
    return result


@contextmanager
def running(setup: DevSetup) -> Iterator[dict[str, int]]:
    """Run every role of the gateway until it is ready; yield the processes."""
    with ExitStack() as stack:
        pids = {str(role): stack.enter_context(gateway(setup, role)) for role in setup.settings}
        wait_until_ready(setup)
        yield pids


@contextmanager
def made(form: str, folder: Path, **more: Any) -> Iterator[DevSetup]:
    """Make what a form needs, its services running; `more` is of `make_dev_setup`. Raises `UnavailableError`."""
    if form == "embedded":
        yield make_dev_setup(folder, **more)
        return
    with kafka_service() as kafka, postgres_service() as postgres:
        yield _scaled_setup(folder, kafka, postgres, **more)


def embedded(folder: Path, messages: int, at_once: int) -> Result:
    """One `gateway serve` process, SQLite with full synchronisation."""
    setup = make_dev_setup(folder, partners=PARTNERS, profiles=_windows())
    with receivers(setup) as partners, gateway(setup, ProcessRole.EMBEDDED) as pid:
        return submit(setup, messages, at_once, {"gateway": pid, "partners": partners})


def scaled_out(folder: Path, messages: int, at_once: int) -> Result:
    """Edge, inner and courier on a Kafka with SASL_SSL and access rules, and a PostgreSQL with fsync. Raises `UnavailableError`."""
    with ExitStack() as stack:
        kafka, postgres = stack.enter_context(kafka_service()), stack.enter_context(postgres_service())
        setup = _scaled_setup(folder, kafka, postgres, partners=PARTNERS, profiles=_windows())
        watched = {"kafka": kafka.pid, "postgres": postgres.pid, "partners": stack.enter_context(receivers(setup))}
        watched |= {str(role): stack.enter_context(gateway(setup, role)) for role in SCALED_OUT}
        return submit(setup, messages, at_once, watched)


def _scaled_setup(folder: Path, kafka: KafkaSettings, postgres: PostgresSettings, **more: Any) -> DevSetup:
    database = postgres.database(asyncio.run(create_database(postgres)))
    asyncio.run(migrate(database))
    access = KafkaAccess(bootstrap=kafka.bootstrap, user=kafka.user, password=kafka.password, ca_file=kafka.ca_file)
    plan = make_plan(Shape(replicas=1, in_sync=1), Environment.TEST, waived=frozenset({WAIVER}))
    KafkaSetup(access).create_missing(plan)
    password = folder.with_suffix(".password")
    password.touch(mode=0o600)
    password.write_text(kafka.password, encoding="utf-8")
    bus = {"kind": "kafka", "bootstrap": kafka.bootstrap, "user": kafka.user, "password_file": str(password), "ca_file": kafka.ca_file}
    settings = {role: {"bus": bus} for role in SCALED_OUT}
    url = database.replace("postgresql://", "postgresql+asyncpg://", 1)
    return make_dev_setup(folder, roles=SCALED_OUT, settings=settings, store_url=url, **more)


def _windows() -> dict[str, Any]:
    return {name: {"delivery": {"window": WINDOW}} for name in (*RECIPIENTS, SENDER)}


def cpu_of(result: Result, names: Sequence[str]) -> float:
    """Return the processor time of some of the watched processes, in milliseconds for each message."""
    return float(sum(result["cpu_seconds"][name] for name in names) / result["messages"] * 1e3)
