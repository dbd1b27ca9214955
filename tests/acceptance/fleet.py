"""The scaled-out form with more processes than one of each role, its edges behind a load balancer; processes come and go as a test says."""

from __future__ import annotations

import asyncio
import time
import tomllib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from confluent_kafka.admin import AdminClient

from gateway.app import topics
from gateway.cli.devsetup import merged, to_toml
from gateway.contract.values import LANES
from gateway.ops.settings import ProcessRole
from tests.acceptance.deployment import SPAIN, WITH_CHANNEL, Deployment, Elsewhere, scaled_out
from tests.acceptance.processes import Served
from tests.services.kafka import KafkaSettings, wipe
from tests.services.postgres import PostgresSettings, create_database, drop_database
from tests.services.processes import free_port
from tests.services.proxy import Proxy
from trials.evidence import Auditor
from trials.kinds import Scene, Trial
from trials.ledger import Ledger
from trials.load import Load
from trials.run import Course
from trials.system import LIMITS, PROFILES, System, embedded_system

EU = "eu"  # a shard of its own, of one partner
LOOK_SECONDS = 0.3
QUEUED_SECONDS_MAX = 15.0
SENDERS, PAUSE_SECONDS, MESSAGES_MIN = 2, 0.2, 20
GROUPS = (topics.EDGE_GROUP, topics.REQUESTS_GROUP, topics.OUTCOMES_GROUP, topics.SUBMISSIONS_GROUP)


class Balancer:
    """Hands connections on to the edges that say they are ready, one after the other: a balancer of TCP, which sees no content."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._edges: dict[str, tuple[Served, Proxy]] = {}
        self._ports: dict[str, int] = {}
        self._elsewhere = Elsewhere()
        self._turn = 0
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.ready: list[str] = []
        self.handed: Counter[str] = Counter()
        self.turned_away = 0  # nobody was ready, or who said so did not take it

    def add(self, served: Served, port: int) -> None:
        """Know one more edge, as soon as it is ready."""
        self._edges[served.name] = (served, Proxy("127.0.0.1", port))
        self._ports[served.name] = port

    def port_of(self, name: str) -> int:
        """Return where an edge itself listens."""
        return self._ports[name]

    async def _look(self) -> None:
        while not self._stopping:
            told = {name: await asyncio.to_thread(served.missing) for name, (served, _) in list(self._edges.items())}
            self.ready = [name for name, missing in told.items() if not missing]
            await asyncio.sleep(LOOK_SECONDS)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._until_one_is_ready()
            self._turn += 1
            name = self.ready[self._turn % len(self.ready)]
            self.handed[name] += 1
            await self._edges[name][1].serve(reader, writer)
        except OSError:
            self.turned_away += 1
            writer.transport.abort()
        finally:
            self._tasks.discard(task)

    async def _until_one_is_ready(self) -> None:
        """Keep who comes waiting, as balancers do. Raises `ConnectionError` where nobody is ready in good time."""
        end = time.monotonic() + QUEUED_SECONDS_MAX
        while not self.ready:
            if time.monotonic() > end:
                raise ConnectionError
            await asyncio.sleep(0.05)

    async def _open(self) -> asyncio.Server:
        self._watch = asyncio.create_task(self._look())
        return await asyncio.start_server(self._accept, "127.0.0.1", self._port)

    async def _close(self, server: asyncio.Server) -> None:
        self._stopping = True
        server.close()
        for _, proxy in self._edges.values():
            proxy.cut()
        await asyncio.gather(self._watch, *self._tasks, return_exceptions=True)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Balance until the end of the context."""
        server = self._elsewhere.run(self._open())
        try:
            yield
        finally:
            self._elsewhere.run(self._close(server))
            self._elsewhere.close()


@dataclass(slots=True)
class Fleet:
    """Processes by their names: `inner-1`, `edge-1` and `courier-1` from the start."""

    gw: Deployment
    folder: Path
    balancer: Balancer
    processes: dict[str, Served]
    added: list[Served] = field(default_factory=list)

    def make(self, role: ProcessRole, name: str, **changes: Any) -> Served:
        """Return one more process of a role, not started: settings as the first one's, but for what must be its own."""
        table = tomllib.loads(self.gw.setup.settings[role].read_text(encoding="utf-8"))
        own: dict[str, Any] = {"static_id": name, "admin_listener": {"port": free_port()}}
        if role is ProcessRole.INNER:
            own["admin_listener"]["socket"] = str(self.gw.setup.folder / f"{name}.sock")
        if role is ProcessRole.EDGE:
            own["partner_listener"] = {"port": free_port()}
        table = merged(merged(table, own), changes)
        settings = self.gw.setup.folder / f"{name}.toml"
        settings.write_text(to_toml(table), encoding="utf-8")
        served = Served(name, settings, table["admin_listener"]["port"], self.gw.setup.folder / f"{name}.log")
        self.processes[name] = served
        self.added.append(served)
        if role is ProcessRole.EDGE:
            self.balancer.add(served, table["partner_listener"]["port"])
        return served

    def courier_of(self, shard: str) -> Served:
        """Return a courier of another shard, not started: it has a principal of its own."""
        user = f"courier-{shard}"
        assert self.gw.passwords is not None
        bus = {"user": user, "password_file": str(self.gw.passwords / f"{user}.password")}
        return self.make(ProcessRole.COURIER, user, shard=shard, bus=bus)

    async def start(self, *names: str) -> float:
        """Start processes at once; return how long it took until all were ready."""
        began = time.monotonic()
        for name in names:
            self.processes[name].start()
        await asyncio.gather(*(asyncio.to_thread(self.processes[name].until_ready) for name in names))
        return time.monotonic() - began

    async def stop(self, name: str) -> float:
        """End a process in order; return how long that took. It ends with code 0."""
        began = time.monotonic()
        code = await asyncio.to_thread(self.processes[name].stop)
        assert code == 0, self.processes[name].tail()
        return time.monotonic() - began

    async def groups_of(self, name: str) -> list[str]:
        """Return the consumer groups that a process is a member of now."""
        return sorted(group for group, names in (await asyncio.to_thread(self._members)).items() if name in names)

    def _members(self) -> dict[str, set[str]]:
        assert self.gw.kafka is not None
        admin = AdminClient(self.gw.kafka.confluent())  # held until it has answered
        lanes = [topics.courier_group(shard, lane) for shard in ("main", EU) for lane in LANES]
        found = admin.describe_consumer_groups([*GROUPS, *lanes])
        return {
            group: {str(member.group_instance_id) for member in described.result(timeout=20).members} for group, described in found.items()
        }


@contextmanager
def fleet(
    folder: Path, kafka: KafkaSettings, postgres: PostgresSettings, *, settings: Any = None, profiles: Any = None, limits: Any = None
) -> Iterator[Fleet]:
    """Start one inner, one edge and one courier; Spain has a shard of its own, and nobody delivers for it yet."""
    wipe(kafka)
    database = asyncio.run(create_database(postgres))
    port = free_port()
    limits = LIMITS if limits is None else limits
    roles = {ProcessRole.INNER: limits, ProcessRole.EDGE: merged(limits, {"partner_listener": {"port": port}})}
    own = merged(roles, settings or {})
    wanted = merged(merged(merged(WITH_CHANNEL, PROFILES), {SPAIN: {"delivery": {"shard": EU}}}), profiles or {})
    try:
        with scaled_out(folder, kafka, postgres, database, shards=("main", EU), profiles=wanted, settings=own) as gw:
            balancer = Balancer(gw.setup.ports.gateway)
            edge = gw.processes[ProcessRole.EDGE]
            processes = {f"{role}-1": served for role, served in gw.processes.items()}
            for name, served in processes.items():
                served.name = name
            made = Fleet(gw, folder, balancer, processes)
            balancer.add(edge, port)
            with balancer.open():
                end = time.monotonic() + 10
                while not balancer.ready and time.monotonic() < end:
                    time.sleep(0.05)
                try:
                    yield made
                finally:
                    for served in made.added:
                        served.stop()
    finally:
        asyncio.run(drop_database(postgres, database))


Strike = Callable[[Scene], Awaitable[None]]


async def judged(f: Fleet, strike: Strike, say: Callable[[str], None]) -> None:
    """Do something to a fleet under a modest load: the clients' ledger finds no fault, and the whole log verifies offline."""
    gw, ledger, failed = f.gw, Ledger(), list[Exception]()
    seed = time.time_ns()
    gw.dice = Random(seed)
    load = Load(gw, ledger, senders=SENDERS, channels=SENDERS, pause=PAUSE_SECONDS)
    course = Course(seed, System(gw, f.folder, f.processes), load, Auditor(gw, ledger, f.folder))

    async def struck(scene: Scene) -> None:
        try:
            await strike(scene)
        except Exception as exc:  # noqa: BLE001 -- the course would take it for a fault of the gateway
            failed.append(exc)

    trial = Trial("fleet", "what a test does", embedded_system, struck)
    await load.open()
    try:
        verdict = await course.once(trial, 1)
        for exc in failed:
            raise exc
        last = await course.end(trial, 2)
    finally:
        await load.close()
    for at, what in verdict.timeline:
        say(f"  {at:7.2f} {what}")
    other = Counter(answer.status for entry in ledger.entries.values() for answer in entry.answers)
    say(f"{verdict.messages} messages in {verdict.seconds:.0f} s; answered other than with a receipt: {dict(other)}")
    for fault in verdict.faults:
        say(f"  {fault.kind} {fault.what} {fault.jti}")
    assert verdict.faults == [], seed
    assert last is None, last
    assert verdict.messages > MESSAGES_MIN
