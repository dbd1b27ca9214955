"""Running systems for trials: the deployments of the acceptance tests, with services that can be killed and leases of a few seconds."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from gateway.cli.devsetup import merged, to_toml
from gateway.ops.settings import ProcessRole
from gateway.testing.partner import GOOD
from tests.acceptance.deployment import (
    BORDER,
    FRANCE,
    REGISTER,
    SPAIN,
    WITH_CHANNEL,
    Deployment,
    embedded,
    scaled_out,
)
from tests.acceptance.processes import Served
from tests.services.kafka import KafkaServer, kafka_jars
from tests.services.postgres import PostgresServer, create_database, postgres_bin
from tests.services.processes import UnavailableError, alive, free_port
from trials.network import FINE, Link

LEASE_SECONDS: Final = 5  # of an attempt
READY_SECONDS: Final = 60.0
_QUICK: Final = {
    "timeout_seconds": 3, "retry_base_seconds": 1, "retry_max_seconds": 2, "circuit_pause_seconds": 1, "circuit_pause_max_seconds": 2,
}  # fmt: skip
_INBOX: Final = {"visibility_seconds": 2}
PROFILES: Final[Mapping[str, Mapping[str, Any]]] = {
    FRANCE: {"delivery": _QUICK},
    SPAIN: {"delivery": _QUICK},
    BORDER: {"delivery": _INBOX},
    REGISTER: {"delivery": _INBOX},
}
LIMITS: Final = {"limits": {"lease_seconds": LEASE_SECONDS, "poll_seconds": 2}}
INNER_2: Final = "inner-2"


class Unavailable(UnavailableError):  # noqa: N818 -- like the services' own
    """This machine cannot run a kind of trial; the text says what is missing."""


@dataclass(slots=True)
class System:
    """One gateway under trial, with everything it depends on."""

    gw: Deployment
    folder: Path
    processes: dict[str, Served]
    kafka: KafkaServer | None = None
    postgres: PostgresServer | None = None
    disk: Path | None = None  # a file system of its own, under the database
    link: Link | None = None  # between the courier and everybody else
    frozen: set[str] = field(default_factory=set)

    def kill(self, name: str) -> None:
        """End a process as a power cut would."""
        self.processes[name].kill()

    def start(self, name: str) -> float:
        """Start a process and wait until it can work; return how long that took. Raises `AssertionError` where it cannot."""
        self.processes[name].start()
        return self.processes[name].until_ready()

    def freeze(self, name: str) -> None:
        """Stop a process where it stands; it does not notice."""
        os.kill(self.processes[name].pid, signal.SIGSTOP)
        self.frozen.add(name)

    def thaw(self, name: str) -> None:
        """Let a frozen process go on."""
        os.kill(self.processes[name].pid, signal.SIGCONT)
        self.frozen.discard(name)

    def until_ready(self, *, seconds: float = READY_SECONDS) -> float:
        """Wait until every process says it can work; return how long. Raises `TimeoutError` with what is missing."""
        begun = time.monotonic()
        while missing := {name: told for name, one in self.processes.items() if (told := one.missing())}:
            if time.monotonic() > begun + seconds:
                raise TimeoutError(f"after {seconds:.0f} s still missing: {missing}")
            time.sleep(0.05)
        return time.monotonic() - begun

    def heal(self) -> None:
        """Take every fault back that may still stand."""
        for name in list(self.frozen):
            self.thaw(name)
        for one in self.processes.values():
            if one.has_ended:  # by itself: that is judged; the next trial needs it
                one.kill()
                one.start()
        for simulator in self.gw.pushed.values():
            simulator.behaviour = GOOD


@contextmanager
def embedded_system(folder: Path, *, disk: Path | None = None) -> Iterator[System]:
    """One process, SQLite; its database on `disk` where that is given."""
    more = {"store_url": f"sqlite:///{disk / 'gateway.db'}"} if disk is not None else {}
    with (
        embedded(folder, profiles=PROFILES, settings={ProcessRole.EMBEDDED: LIMITS}, **more) as gw,
        _healed(System(gw, folder, {"embedded": gw.processes[ProcessRole.EMBEDDED]}, disk=disk)) as system,
    ):
        yield system


@contextmanager
def scaled_system(folder: Path, *, inners: int = 1, apart: bool = False) -> Iterator[System]:
    """Edge, inner and courier, a Kafka and a PostgreSQL of their own; a second inner, or the courier behind a link, where asked for."""
    with ExitStack() as stack:
        kafka, postgres = _services(folder, stack)
        database = asyncio.run(create_database(postgres.settings))
        settings = {ProcessRole.INNER: LIMITS, ProcessRole.EDGE: LIMITS}
        profiles = merged(WITH_CHANNEL, PROFILES)
        gw = stack.enter_context(scaled_out(folder, kafka.settings, postgres.settings, database, profiles=profiles, settings=settings))
        processes = {role.value: served for role, served in gw.processes.items()}
        system = System(gw, folder, processes, kafka, postgres)
        if inners > 1:
            processes[INNER_2] = stack.enter_context(_second_inner(gw))
        if apart:
            system.link = stack.enter_context(_courier_apart(gw, processes, kafka.port))
        stack.enter_context(_healed(system))
        yield system


@contextmanager
def _healed(system: System) -> Iterator[System]:
    try:
        yield system
    finally:
        system.heal()  # a frozen process does not hear SIGTERM


def _services(folder: Path, stack: ExitStack) -> tuple[KafkaServer, PostgresServer]:
    kafka_jars()
    postgres_bin()
    (folder / "kafka").mkdir()
    kafka = KafkaServer(folder / "kafka")
    kafka.format()
    stack.callback(lambda: _stop(kafka))
    kafka.start()
    (folder / "postgres").mkdir()
    postgres = PostgresServer(folder / "postgres")
    postgres.initialise()
    stack.callback(lambda: _stop(postgres))
    postgres.start()
    return kafka, postgres


def _stop(server: KafkaServer | PostgresServer) -> None:
    if server.pid:
        server.stop()


@contextmanager
def _second_inner(gw: Deployment) -> Iterator[Served]:
    first = gw.setup.settings[ProcessRole.INNER]
    port, settings = free_port(), first.with_name("inner-2.toml")
    listener = {"port": port, "socket": str(gw.setup.folder / "inner-2.sock")}
    table = merged(tomllib.loads(first.read_text(encoding="utf-8")), {"static_id": INNER_2, "admin_listener": listener})
    settings.write_text(to_toml(table), encoding="utf-8")
    served = Served(INNER_2, settings, port, gw.setup.folder / "inner-2.log")
    served.start()
    try:
        served.until_ready()
        yield served
    finally:
        served.stop()


@contextmanager
def _courier_apart(gw: Deployment, processes: dict[str, Served], broker: int) -> Iterator[Link]:
    """Move the courier into a network namespace of its own; the link leads to broker and partners, and back to its readiness."""
    here = processes["courier"]
    here.stop()
    ports = [broker, *gw.setup.ports.partners.values()]
    with Link.make(out=ports, back=here.admin_port) as link:
        there = replace(here, prefix=link.prefix)
        there.start()
        gw.processes[ProcessRole.COURIER] = processes["courier"] = there
        there.until_ready()
        try:
            yield link
        finally:
            link.have(FINE)
            there.stop()


def end_at_once(server: PostgresServer) -> None:
    """End a database server and all its children, as a power cut would."""
    children = _children(server.pid)
    for pid in (server.pid, *children):
        _kill(pid)
    end = time.monotonic() + 10
    while any(alive(pid) for pid in (server.pid, *children)) and time.monotonic() < end:
        time.sleep(0.02)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _children(pid: int) -> list[int]:
    listed = subprocess.run(("ps", "-o", "pid=", "--ppid", str(pid)), capture_output=True, text=True, check=False)  # noqa: S603, S607
    return [int(line) for line in listed.stdout.split()]


@contextmanager
def small_disk(size_mb: int) -> Iterator[Path]:
    """Mount a small file system. Raises `Unavailable` where that cannot be done."""
    with tempfile.TemporaryDirectory(prefix="trials-disk-") as name:
        command = ("mount", "-t", "tmpfs", "-o", f"size={size_mb}m,mode=0700", "tmpfs", name)
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 -- our own words
        if done.returncode != 0:
            raise Unavailable(f"no tmpfs can be mounted here: {done.stderr.strip()}")
        try:
            yield Path(name)
        finally:
            subprocess.run(("umount", "-l", name), check=False)  # noqa: S603, S607 -- same


@contextmanager
def folder_for_trials() -> Iterator[Path]:
    """Give a new folder that the user of PostgreSQL can pass through."""
    with tempfile.TemporaryDirectory(prefix="gateway-trials-") as name:
        Path(name).chmod(0o711)
        yield Path(name)
