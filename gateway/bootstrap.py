"""The composition root: the only file that knows concrete classes. From settings to a running gateway, in any of its roles."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiohttp import web

import gateway
from gateway.api import admin, app, commands, public
from gateway.api.edge import Bounds, Edge, PublicInfo
from gateway.app.aside import Look
from gateway.app.channels import Events, Outcomes, Submissions
from gateway.app.commands import Commands
from gateway.app.configured import digests_of, record, record_waivers
from gateway.app.courier import Courier
from gateway.app.deadletters import DeadLetters
from gateway.app.escalate import Escalate
from gateway.app.hold import Hold
from gateway.app.inbox import Inbox
from gateway.app.intake import Intake
from gateway.app.keeping import Keeping
from gateway.app.outgoing import Outgoings
from gateway.app.partners import PartnerDesk
from gateway.app.ports import Bus, BusUnavailableError, Clock, Desk, Store
from gateway.app.query import Query
from gateway.app.requests import Requests
from gateway.app.safe import Safe
from gateway.app.seal import Seal, Sealer
from gateway.app.sequence import BATCH_COUNT_MAX as SEQUENCE_COUNT_MAX
from gateway.app.sequence import Evidence, Sequencer
from gateway.app.settle import Settle, Timers
from gateway.app.supervise import Loop, Supervisor, every, until_stopped
from gateway.app.turn import Read, Turn
from gateway.app.world import Holder, World
from gateway.buses.kafka_plan import Shape, least, make_plan
from gateway.buses.memory import MemoryBus
from gateway.buses.requests import BusDesk, RequestServer
from gateway.contract import loading
from gateway.contract.errors import InvariantError, OperatorError
from gateway.contract.loading import Adapter
from gateway.contract.manifest import Kind
from gateway.contract.transports import Transport
from gateway.contract.values import PartnerId
from gateway.core.admission import Context
from gateway.core.decision import Grounds
from gateway.core.delivery import State
from gateway.core.directory import Directory
from gateway.core.keyring import Keyring
from gateway.core.operators import NOBODY, Operators
from gateway.core.reference import Reference
from gateway.core.schema import Schemas
from gateway.keystores.files import FileKeystore, PrivateKeys
from gateway.keystores.in_force import in_force, signers
from gateway.ops.faults import ConfigurationError, Fault
from gateway.ops.operators import load_operators
from gateway.ops.policies import load_policies
from gateway.ops.profiles import Partners, Vocabulary, load_partners
from gateway.ops.reference import load_reference, load_schemas
from gateway.ops.rulefiles import load_rule_tables
from gateway.ops.settings import ProcessRole, Settings
from gateway.ops.system import SystemClock, SystemDice
from gateway.ops.telemetry import Metrics, Telemetry
from gateway.ops.tls import renew, server_context
from gateway.ops.watch import Watch
from gateway.stores.open import open_store

if TYPE_CHECKING:
    from gateway.buses.kafka import KafkaAccess

ADAPTERS: Final = {"native": "adapters.formats.native", "https_push": "adapters.transports.https_push"}
SEAL_SECONDS: Final = 0.1  # between looks for due legs where nothing nudged
TIMER_SECONDS: Final = 0.5
SEQUENCE_SECONDS: Final = 0.5
EVENTS_SECONDS: Final = 1.0
FORGET_SECONDS: Final = 30.0
REMEMBERED: Final = timedelta(seconds=60)  # a token that was used, after its end: the clock of another inner may be so far behind
METRICS_SECONDS: Final = 5.0
TURN_SECONDS: Final = 0.5  # between looks whether a key's time has come
WATCH_SECONDS: Final = 2.0  # between looks whether certificate or key set are others
VERSION: Final = "0.1.0"
STOPPED_LAST: Final = ("submissions", "remembered", "settle")  # others work through them until they have ended
SHARD: Final = "main"  # where nobody is pushed to


@dataclass(slots=True)
class Gateway:
    """A gateway that was built and listens, but whose loops do not run yet."""

    settings: Settings
    supervisor: Supervisor
    loops: dict[str, Loop]
    port: int = 0  # of the partners' listener; 0 where there is none
    admin_port: int = 0
    holder: Holder | None = None
    store: Store | None = None
    bus: Bus | None = None
    commands: Commands | None = None
    read: tuple[Partners, Mapping[str, Adapter]] | None = None  # profiles and adapters, once they were
    listener: web.AppRunner | None = None  # for partners

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`, then drain: who asked is answered, what is under way comes to its end, and its reports are settled last."""
        closed = asyncio.Event()
        closing = asyncio.create_task(self._close(stop, closed))
        try:
            await self.supervisor.run(self.loops, closed, last=STOPPED_LAST)
        finally:
            closing.cancel()

    async def _close(self, stop: asyncio.Event, closed: asyncio.Event) -> None:
        await stop.wait()
        if self.listener is not None:
            await self.listener.cleanup()
        closed.set()


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was read from files: everything a reload replaces."""

    world: World
    partners: Partners
    adapters: Mapping[str, Adapter]


def passphrase(settings: Settings) -> bytes | None:
    """Return the passphrase of the private keys, if they have one."""
    return settings.passphrase_file.read_bytes().strip() if settings.passphrase_file else None


def keystore(settings: Settings) -> FileKeystore:
    """Return where the keys are."""
    return FileKeystore(settings.paths.keys, settings.gateway, dev=settings.is_dev, passphrase=passphrase(settings))


def load_adapters() -> dict[str, Adapter]:
    """Load the adapters we ship: an allow-list, not "whatever is installed"."""
    return loading.load(ADAPTERS, ours=ADAPTERS)


def load_lists(settings: Settings) -> tuple[Reference, Schemas]:
    """Read code lists and schemas. Raises `ReferenceFilesError` and `SchemaError`."""
    reference = load_reference(settings.paths.schemas)
    return reference, load_schemas(settings.paths.schemas, reference)


def load_profiles(settings: Settings, adapters: Mapping[str, Adapter], *, reference: Reference, schemas: Schemas) -> Partners:
    """Read the partners' profiles against what schemas and code lists know. Raises `ConfigurationError` with every fault."""
    vocabulary = Vocabulary.of(schemas, reference)
    manifests = {id_: adapter.manifest for id_, adapter in adapters.items()}
    has_channels = settings.bus.kind == "kafka"
    return load_partners(settings.paths.partners, vocabulary=vocabulary, adapters=manifests, has_channels=has_channels, desk=settings.desk)


def load_people(settings: Settings, partners: Collection[str]) -> Operators:
    """Read who works at the national desk. Raises `ConfigurationError` with every fault."""
    folder = settings.paths.operators
    return NOBODY if folder is None else load_operators(folder, partners=partners, dev=settings.is_dev)


def load(settings: Settings, keys: PrivateKeys, store: FileKeystore) -> Loaded:
    """Read everything inner decides by. All or nothing: every fault is told, and the world before stays. Raises `OperatorError`s."""
    now = SystemClock().now()
    adapters = load_adapters()
    reference, schemas = load_lists(settings)
    partners = load_profiles(settings, adapters, reference=reference, schemas=schemas)
    _refuse_long_attempts(settings, partners)
    tables = load_rule_tables(settings.paths.schemas / "rules")
    directory = Directory(partners.profiles.values())
    policies = load_policies(settings.paths.policies, partners=partners.profiles.keys())
    formats = {
        id_: adapter.format({"uri_base": settings.uri_base}) for id_, adapter in adapters.items() if adapter.manifest.kind is Kind.FORMAT
    }
    grounds = Grounds(
        environment=settings.environment, directory=directory, policies=policies, schemas=schemas, reference=reference, tables=tables,
        shows_conditions={id_: made.shows_conditions() for id_, made in formats.items()},
        digests={
            "policies": policies.digest, "rules": tables.digest, "reference": reference.digest, "schemas": schemas.digest,
            "profiles": _digest_of(partners), "gateway": VERSION,
        },
    )  # fmt: skip
    context = Context(
        gateway=settings.gateway, environment=settings.environment, uri_base=settings.uri_base, keyring=store.trusted(),
        decryption_keys=keys.decryption_keys, encrypted="required", directory=directory, schemas=schemas,
        reference=reference, tables=tables,
    )  # fmt: skip
    contact = {name: value for name, value in settings.contact.model_dump().items() if value}
    world = World(
        context=context, grounds=grounds, signers=signers(keys, now), formats=formats, contact=contact, origin=settings.origin,
        desk=PartnerId(settings.desk) if settings.desk else None, operators=load_people(settings, partners.profiles.keys()),
    )  # fmt: skip
    return Loaded(world, partners, adapters)


def _refuse_long_attempts(settings: Settings, partners: Partners) -> None:
    """Refuse attempts that could outlast their lease: a courier would begin none of them. Raises `ConfigurationError`."""
    lease, key = settings.limits.lease_seconds, "delivery.timeout_seconds"
    long = [id_ for id_, way in sorted(partners.transports.items()) if way.timeout_seconds >= lease]
    if long:
        expected = f"less than limits.lease_seconds, which is {lease}"
        raise ConfigurationError(
            Fault(str(settings.paths.partners / f"{id_}.toml"), 0, key, "outlasts its lease", expected) for id_ in long
        )


def _digest_of(partners: Partners) -> str:
    """Return one digest over all profiles: a decision rests on whom it did not choose, too."""
    return sha256("".join(f"{id_} {partners.profiles[id_].digest}\n" for id_ in sorted(partners.profiles)).encode()).hexdigest()


def kafka_access(settings: Settings) -> KafkaAccess:
    """Return how this process's principal reaches the broker."""
    from gateway.buses.kafka import KafkaAccess  # noqa: PLC0415 -- the embedded form loads no Kafka library, and starts the sooner

    bus = settings.bus
    password = bus.password_file.read_text(encoding="utf-8").strip() if bus.password_file else ""
    return KafkaAccess(
        bootstrap=bus.bootstrap, security=bus.security, user=bus.user, password=password, ca_file=str(bus.ca_file) if bus.ca_file else None,
        static_id=settings.static_id or None,
    )  # fmt: skip


def _kafka_bus(settings: Settings) -> Bus:
    from gateway.buses.kafka import KafkaBus  # noqa: PLC0415 -- as above

    return KafkaBus(kafka_access(settings))


def kafka_shape(partners: Partners) -> Shape:
    """Return what the profiles ask of a broker: a channel for each register that has one, topics for each courier's shard."""
    registers = {id_: profile.iat_age_seconds for id_, profile in partners.profiles.items() if profile.kafka_channel}
    return Shape(registers=registers, shards=sorted({way.shard for way in partners.transports.values()} or {SHARD}))


async def _refuse_unsafe_topics(settings: Settings, partners: Partners) -> None:
    """Refuse a broker that loses or keeps what it must not (design.md 3.10, 3.12). Raises `TopicsWantingError`, `BusUnavailableError`."""
    if settings.role is not ProcessRole.INNER or settings.is_dev:
        return
    from gateway.buses.kafka_setup import KafkaSetup  # noqa: PLC0415 -- as above

    plan = make_plan(least(kafka_shape(partners), waived=settings.waivers), settings.environment, waived=settings.waivers)
    try:
        await asyncio.to_thread(KafkaSetup(kafka_access(settings)).refuse_wanting, plan)
    except BusUnavailableError as exc:
        raise BusUnavailableError(f"the broker at {settings.bus.bootstrap} does not answer {settings.bus.user}: {exc}") from exc


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Gateway]:
    """Build the gateway of a role: listeners are open, loops not started. Raises `OperatorError`s, each with what to mend."""
    threads = ThreadPoolExecutor(settings.limits.threads, thread_name_prefix="gateway")  # for cryptography, which releases the lock
    asyncio.get_running_loop().set_default_executor(threads)
    metrics = Metrics()
    telemetry = Telemetry(metrics)
    built = Gateway(settings, Supervisor(telemetry), {})
    async with AsyncExitStack() as stack:
        built.bus = MemoryBus() if settings.bus.kind == "memory" else _kafka_bus(settings)
        stack.push_async_callback(built.bus.close)
        desk: Desk | None = None
        if settings.role in {ProcessRole.EMBEDDED, ProcessRole.INNER}:
            desk = await _inner(built, stack, telemetry, metrics)
        if settings.role is ProcessRole.EDGE:
            bus_desk = BusDesk(built.bus, SystemClock(), telemetry, static_id=settings.static_id)
            built.loops["replies"] = until_stopped(bus_desk.run)
            desk = bus_desk
        if settings.role in {ProcessRole.EMBEDDED, ProcessRole.COURIER}:
            await _courier(built, stack, telemetry)
        readiness = _readiness(built, desk, telemetry)
        if settings.role in {ProcessRole.EMBEDDED, ProcessRole.EDGE} and desk is not None:
            await _listen(built, stack, desk=desk, telemetry=telemetry, readiness=readiness)
        await _admin(built, stack, metrics, readiness)
        yield built


async def _inner(built: Gateway, stack: AsyncExitStack, telemetry: Telemetry, metrics: Metrics) -> Requests:
    settings, clock, dice = built.settings, SystemClock(), SystemDice()
    keys_from = keystore(settings)
    keys = keys_from.private()
    loaded = load(settings, keys, keys_from)
    built.read = loaded.partners, loaded.adapters
    await _refuse_unsafe_topics(settings, loaded.partners)
    store = built.store = await stack.enter_async_context(store_of(settings))
    bus = built.bus
    if bus is None:
        raise AssertionError("bus before inner")
    holder = built.holder = Holder(loaded.world)
    reading = in_force(keys, settings.id)
    using = reading(clock.now())
    safe = Safe(using.registers, using.referrals, dice)
    outgoings = Outgoings(holder, safe, dice)
    settle = Settle(store, holder, outgoings, clock=clock, dice=dice, telemetry=telemetry)
    intake = Intake(store, holder, safe, settle=settle, outgoings=outgoings, clock=clock, dice=dice, telemetry=telemetry)
    sealer = Sealer(holder, safe, telemetry)
    seal = Seal(
        store, bus, sealer, settle=settle, holder=holder, clock=clock, telemetry=telemetry, lease_seconds=settings.limits.lease_seconds
    )
    inbox = Inbox(store, sealer, settle=settle, holder=holder, clock=clock)
    query = Query(store, holder, outgoings)
    requests = Requests(store, holder, intake=intake, inbox=inbox, query=query, evidence=Evidence(store), clock=clock, telemetry=telemetry)
    built.commands = Commands(
        store, bus, holder, hold=Hold(holder, settle), deadletters=DeadLetters(settle), look=Look(holder, safe),
        partners=PartnerDesk(holder, settle, outgoings, clock=clock, dice=dice), clock=clock, telemetry=telemetry,
    )  # fmt: skip
    process = dice.uuid7(clock.now())  # the holder of leases
    sequencer = Sequencer(store, using.checkpoint, clock, holder=process)
    turn = Turn(reading, holder=holder, safe=safe, sequencer=sequencer, clock=clock, telemetry=telemetry)
    events = Events(store, bus, clock, telemetry=telemetry, source=settings.uri_base, holder=process)
    timers = Timers(store, settle, clock=clock)
    escalate = Escalate(store, holder, outgoings, clock=clock, dice=dice, telemetry=telemetry)
    built.loops |= {
        "submissions": until_stopped(requests.submissions.run),
        "remembered": until_stopped(requests.remembered.run),
        "seal": every(SEAL_SECONDS, seal.run_once),
        "settle": Outcomes(bus, settle, telemetry).run,
        "timers": every(TIMER_SECONDS, timers.run_once),
        "escalate": every(TIMER_SECONDS, escalate.run_once),
        "sequence": every(SEQUENCE_SECONDS, _sequence(sequencer, telemetry)),
        "events": every(EVENTS_SECONDS, events.run_once),
        "keys": every(TURN_SECONDS, turn.run_once),
        "forget": every(FORGET_SECONDS, _forget(store, clock)),
        "metrics": every(METRICS_SECONDS, _measure(store, requests, metrics, clock)),
    }
    if settings.role is ProcessRole.INNER:
        server = RequestServer(bus, requests.answer_all, clock, telemetry)
        registers = sorted(kafka_shape(loaded.partners).registers)
        built.loops |= {"requests": until_stopped(server.run), "channels": Submissions(bus, intake, telemetry, registers).run}
    await _take_over(store, settings, loaded.world, at=clock.now())
    if settings.admin_listener.socket is not None:
        verbs = {"reload": _reload(settings, keys_from, holder=holder, store=store, turn=turn, before=loaded.partners)}
        await stack.enter_async_context(_command_socket(settings.admin_listener.socket, verbs))
    return requests


async def _take_over(store: Store, settings: Settings, world: World, *, at: datetime) -> None:
    """Go on where the process before stopped, and put on record by what this one decides."""
    if settings.role is ProcessRole.EMBEDDED:  # what was under way then ended with it
        async with store.unit_of_work() as work:
            await work.end_leases(at)
    await record(store, {}, digests_of(world), at=at)
    await record_waivers(store, settings.waivers, environment=settings.environment.value, at=at)


def _reload(
    settings: Settings, keys_from: FileKeystore, *, holder: Holder, store: Store, turn: Turn, before: Partners
) -> Callable[[], Awaitable[None]]:
    one_at_a_time = asyncio.Lock()

    async def reload() -> None:
        """Read everything again, all or nothing; what changed is evidence before it is in force."""
        async with one_at_a_time:
            loaded, reading = await asyncio.to_thread(_read_again, settings, keys_from)
            _refuse_restart(settings, before, loaded.partners)
            await _refuse_unsafe_topics(settings, loaded.partners)
            await record(store, digests_of(holder.current), digests_of(loaded.world), at=SystemClock().now())
            holder.current = loaded.world
            turn.put(reading)

    return reload


def _read_again(settings: Settings, keys_from: FileKeystore) -> tuple[Loaded, Read]:
    try:
        keys = keys_from.private()
        reading = in_force(keys, settings.id)
        reading(SystemClock().now())  # each kind of key has one that is valid, or nothing is replaced
        return load(settings, keys, keys_from), reading
    except OSError as exc:
        raise OperatorError(f"{exc.filename}: {exc.strerror}") from exc


def _refuse_restart(settings: Settings, before: Partners, after: Partners) -> None:
    """Refuse what loops and listeners took at their start, for it would be in force by half. Raises `OperatorError`."""
    faults = [
        f"{settings.paths.partners}: {what} changed: restart the gateway to put it in force"
        for what, part in _AT_START.items()
        if part(before) != part(after) and (settings.role is ProcessRole.EMBEDDED or what == _CHANNELS)
    ]
    if faults:
        raise OperatorError("\n".join(faults))


def store_of(settings: Settings) -> AbstractAsyncContextManager[Store]:
    """Return the store of these settings, to be opened. Raises `StoreUnavailableError` then."""
    return open_store(settings.store.url.get_secret_value(), password=store_password(settings), dev=settings.is_dev)


def store_password(settings: Settings) -> str | None:
    """Return the password of the database, where it is kept in a file."""
    file = settings.store.password_file
    return None if file is None else file.read_text(encoding="utf-8").strip()


def _sequence(sequencer: Sequencer, telemetry: Telemetry) -> Callable[[], Awaitable[int]]:
    """Go on at once only after a full batch: else every few entries would cost a signed checkpoint."""

    async def once() -> int:
        try:
            return max(await sequencer.run_once() - SEQUENCE_COUNT_MAX + 1, 0)
        except InvariantError:  # woken after the lease had ended: nothing was written, and the next run sees what the other did
            telemetry.event("sequencer-overtaken")
            return 0

    return once


def _forget(store: Store, clock: Clock) -> Callable[[], Awaitable[int]]:
    async def once() -> int:
        async with store.unit_of_work() as work:
            await work.forget_requests(clock.now() - REMEMBERED)
        return 0

    return once


def _measure(store: Store, requests: Requests, metrics: Metrics, clock: SystemClock) -> Callable[[], Awaitable[int]]:
    async def once() -> int:
        async with store.reading() as work:
            metrics.show_legs(await work.counts())
            oldest = await work.oldest_due()
            metrics.show_aside(await work.aside_counts(), clock.now())
            metrics.show_overdue(await work.overdue_watches())
            metrics.show_circuits(await work.troubles(), clock.now())
        metrics.oldest.set(0 if oldest is None else max((clock.now() - oldest).total_seconds(), 0))
        metrics.queue.set(requests.submissions.depth)
        return 0

    return once


def _partners(built: Gateway) -> tuple[Partners, Mapping[str, Adapter]]:
    """Return profiles and adapters: read once, whatever the role does with them."""
    if built.read is None:
        adapters = load_adapters()
        reference, schemas = load_lists(built.settings)
        built.read = load_profiles(built.settings, adapters, reference=reference, schemas=schemas), adapters
    return built.read


async def _courier(built: Gateway, stack: AsyncExitStack, telemetry: Telemetry) -> None:
    settings = built.settings
    partners, adapters = _partners(built)
    shards: dict[str, dict[PartnerId, tuple[Transport, float]]] = {}
    for partner, way in partners.transports.items():
        if settings.role is ProcessRole.EMBEDDED or way.shard == settings.shard:
            transport = adapters[way.transport].transport(way.settings)
            stack.push_async_callback(transport.close)
            shards.setdefault(way.shard, {})[partner] = (transport, float(way.timeout_seconds))
    if built.bus is None:
        raise AssertionError("bus before courier")
    for shard, transports in shards.items():
        courier = Courier(built.bus, transports, shard=shard, clock=SystemClock(), telemetry=telemetry)
        built.loops[f"courier-{shard}"] = courier.run


def _readiness(built: Gateway, desk: Desk | None, telemetry: Telemetry) -> Callable[[], Awaitable[list[str]]]:
    keeping = None if built.store is None else Keeping(built.store, clock=SystemClock(), dice=SystemDice(), telemetry=telemetry)
    if keeping is not None:
        built.loops["keeping"] = keeping.run
    checks = {"store": keeping, "bus": built.bus}

    async def missing() -> list[str]:
        found = [name for name, part in checks.items() if part is not None and not await _answers(part)]
        if isinstance(desk, BusDesk) and not desk.ready:
            found.append("replies")
        return sorted({*found, *built.supervisor.failing})

    return missing


async def _answers(part: Keeping | Bus) -> bool:
    try:
        await part.check()
    except Exception:  # noqa: BLE001 -- readiness only says whether it answers
        return False
    return True


async def _listen(
    built: Gateway, stack: AsyncExitStack, *, desk: Desk, telemetry: Telemetry, readiness: Callable[[], Awaitable[list[str]]]
) -> None:
    settings = built.settings
    keys = keystore(settings)
    bounds = Bounds(
        answer_seconds=settings.limits.answer_seconds, poll_seconds=settings.limits.poll_seconds, questions_max=settings.limits.waiting_max
    )
    edge = Edge(desk=desk, clock=SystemClock(), telemetry=telemetry, public=_public(settings, keys), readiness=readiness, bounds=bounds)
    edge.clients = _certificates_of(_partners(built)[0])
    runner = built.listener = app.runner(app.create(edge))
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    listener = settings.partner_listener
    tls = _tls(listener.tls_certificate, listener.tls_key, client_ca=listener.client_ca)
    site = web.TCPSite(runner, listener.host, listener.port, ssl_context=tls)
    built.loops |= _watched(settings, keys, edge, tls=tls, telemetry=telemetry)
    await site.start()
    built.port = runner.addresses[0][1]


def _watched(settings: Settings, keys: FileKeystore, edge: Edge, *, tls: ssl.SSLContext | None, telemetry: Telemetry) -> dict[str, Loop]:
    """Return loops that read the key set and the certificate of partners' listener again when they are others."""

    def publish() -> None:
        edge.public = replace(edge.public, jwks=_jwks(keys.own()), key_set=keys.key_set())

    listener, public = settings.partner_listener, settings.paths.keys / "public" / f"{settings.gateway}.json"
    watches = [Watch([public, public.with_suffix(".jwt")], publish, telemetry, name="key-set-not-read")]
    if tls is not None and listener.tls_certificate is not None and listener.tls_key is not None:
        files = listener.tls_certificate, listener.tls_key
        watches.append(Watch(files, lambda: renew(tls, *files), telemetry, name="certificate-not-read"))
    return {f"watch-{number}": every(WATCH_SECONDS, watch.run_once) for number, watch in enumerate(watches)}


def _tls(certificate: Path | None, key: Path | None, *, client_ca: Path | None = None) -> ssl.SSLContext | None:
    return server_context(certificate, key, client_ca=client_ca) if certificate is not None and key is not None else None


def _certificates_of(partners: Partners) -> Mapping[str, PartnerId]:
    return {digest: profile.id for profile in partners.profiles.values() for digest in profile.client_certificates}


_CHANNELS: Final = "whose Kafka channels there are"
_AT_START: Final[Mapping[str, Callable[[Partners], object]]] = {
    _CHANNELS: lambda partners: kafka_shape(partners).registers.keys(),
    "how partners are pushed to": lambda partners: dict(partners.transports),
    "whose client certificates there are": _certificates_of,
}


def _public(settings: Settings, keys: FileKeystore) -> PublicInfo:
    schemas = {str(path.relative_to(settings.paths.schemas)): path.read_bytes() for path in sorted(settings.paths.schemas.rglob("*.json"))}
    problems = public.problem_pages(problems_page())
    return PublicInfo(jwks=_jwks(keys.own()), key_set=keys.key_set(), schemas=schemas, problems=problems, openapi=public.openapi())


def problems_page() -> str:
    """Return docs/problems.md, which lies beside the package and not in it. Raises `OperatorError` where it was not installed with it."""
    page = Path(gateway.__file__).parents[1] / "docs" / "problems.md"
    try:
        return page.read_text(encoding="utf-8")
    except OSError as exc:
        raise OperatorError(
            f"{page}: cannot be read: {exc.strerror}; run from a checkout, or an image that has it beside the package"
        ) from exc


def _jwks(keyring: Keyring) -> bytes:
    from gateway.core import jwks, strict_json  # noqa: PLC0415

    return strict_json.canonical(jwks.write_jwks(keyring.entries))


async def _admin(built: Gateway, stack: AsyncExitStack, metrics: Metrics, readiness: Callable[[], Awaitable[list[str]]]) -> None:
    store = built.store

    async def counts() -> Mapping[tuple[PartnerId, State], int]:
        if store is None:
            return {}
        async with store.reading() as work:
            return await work.counts()

    carry_out = built.commands.run if built.commands is not None else None
    made = admin.create(registry=metrics.registry, readiness=readiness, counts=counts, carry_out=carry_out)
    runner = web.AppRunner(made, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    listener = built.settings.admin_listener
    tls = _tls(listener.tls_certificate, listener.tls_key)
    await web.TCPSite(runner, listener.host, listener.port, ssl_context=tls).start()
    built.admin_port = runner.addresses[0][1]


@asynccontextmanager
async def _command_socket(path: Path, verbs: Mapping[str, Callable[[], Awaitable[None]]]) -> AsyncIterator[None]:
    runner = web.AppRunner(commands.create(verbs), access_log=None)
    await runner.setup()
    path.unlink(missing_ok=True)  # noqa: ASYNC240 -- once, at start
    before = os.umask(0o177)  # the socket is born with mode 0600
    try:
        await web.UnixSite(runner, str(path)).start()
    finally:
        os.umask(before)
    try:
        yield
    finally:
        await runner.cleanup()
        path.unlink(missing_ok=True)  # noqa: ASYNC240 -- once, at the end
