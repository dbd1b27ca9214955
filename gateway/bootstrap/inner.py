"""Inner: its use cases, their loops, and the reload that replaces what they decide by."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Final

from gateway.app.aside import Look
from gateway.app.channels import Events, Outcomes, Submissions
from gateway.app.commands import Commands
from gateway.app.configured import digests_of, record, record_waivers
from gateway.app.deadletters import DeadLetters
from gateway.app.escalate import Escalate
from gateway.app.forget import Forget
from gateway.app.hold import Hold
from gateway.app.inbox import Inbox
from gateway.app.inside import Insider
from gateway.app.intake import Intake
from gateway.app.keeping import Keeping
from gateway.app.next_keys import NextKeys
from gateway.app.outgoing import Outgoings
from gateway.app.partners import PartnerDesk
from gateway.app.ports import Bus, Store
from gateway.app.query import Query
from gateway.app.requests import Requests
from gateway.app.safe import Safe
from gateway.app.seal import Seal, Sealer
from gateway.app.sequence import BATCH_COUNT_MAX as SEQUENCE_COUNT_MAX
from gateway.app.sequence import Evidence, Sequencer
from gateway.app.settle import Settle, Timers
from gateway.app.supervise import Loop, every, until_stopped
from gateway.app.trust import Trust
from gateway.app.turn import Read, Turn
from gateway.app.world import Holder, World
from gateway.bootstrap.admin import command_socket
from gateway.bootstrap.broker import kafka_shape, refuse_unsafe_topics
from gateway.bootstrap.built import Gateway
from gateway.bootstrap.reading import Loaded, certificates_of, keystore, load, store_of
from gateway.buses.requests import RequestServer
from gateway.contract.errors import InvariantError, OperatorError
from gateway.keystores.files import FileKeystore
from gateway.keystores.in_force import in_force
from gateway.ops.ending import KEY, LOOK_SECONDS, Ending
from gateway.ops.profiles import Partners
from gateway.ops.settings import ProcessRole, Settings
from gateway.ops.system import SystemClock, SystemDice
from gateway.ops.telemetry import Metrics, Telemetry

SEAL_SECONDS: Final = 0.1  # between looks for due legs where nothing nudged
TIMER_SECONDS: Final = 0.5
SEQUENCE_SECONDS: Final = 0.5
EVENTS_SECONDS: Final = 1.0
FORGET_SECONDS: Final = 30.0
METRICS_SECONDS: Final = 5.0
TRUST_SECONDS: Final = 2.0  # between looks for keys that were approved or revoked
TURN_SECONDS: Final = 0.5  # between looks whether a key's time has come
_CHANNELS: Final = "whose Kafka channels there are"
_AT_START: Final[Mapping[str, Callable[[Partners], object]]] = {
    _CHANNELS: lambda partners: kafka_shape(partners).registers.keys(),
    "how partners are pushed to": lambda partners: dict(partners.transports),
    "whose client certificates there are": certificates_of,
}


async def add_inner(built: Gateway, stack: AsyncExitStack, telemetry: Telemetry, metrics: Metrics) -> Requests:
    """Read what inner decides by, open its store and add its loops; return the desk that answers. Raises `OperatorError`s."""
    settings, clock, dice = built.settings, SystemClock(), SystemDice()
    keys = (keys_from := keystore(settings)).private()
    loaded = load(settings, keys, keys_from, built.lists)
    built.read = loaded.partners, loaded.adapters
    await refuse_unsafe_topics(settings, loaded.partners)
    store = built.store = await stack.enter_async_context(store_of(settings))
    if (bus := built.bus) is None:
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
    trust = Trust(store, holder, telemetry=telemetry)
    holder.current = trust.over(loaded.world, await trust.rows())
    next_keys = NextKeys(store, holder, clock=clock, telemetry=telemetry, dev=settings.is_dev)
    requests = Requests(
        store, holder, intake=intake, inbox=Inbox(store, sealer, settle=settle, holder=holder, clock=clock),
        query=Query(store, holder, outgoings), evidence=Evidence(store), keys=next_keys, clock=clock, telemetry=telemetry,
    )  # fmt: skip
    built.commands = Commands(
        store, bus, holder, hold=Hold(holder, settle), deadletters=DeadLetters(settle), look=Look(holder, safe),
        partners=PartnerDesk(holder, settle, outgoings, clock=clock, dice=dice), keys=next_keys, clock=clock, telemetry=telemetry,
    )  # fmt: skip
    process = dice.uuid7(clock.now())  # the holder of leases
    sequencer = Sequencer(store, using.checkpoint, clock, holder=process)
    turn = Turn(reading, holder=holder, safe=safe, sequencer=sequencer, clock=clock, telemetry=telemetry)
    events = Events(store, bus, clock, telemetry=telemetry, source=settings.uri_base, holder=process)
    keeping = built.keeping = Keeping(store, clock=clock, dice=dice, telemetry=telemetry)
    built.loops |= {
        "keeping": keeping.run,
        "submissions": until_stopped(requests.submissions.run),
        "remembered": until_stopped(requests.remembered.run),
        "seal": every(SEAL_SECONDS, seal.run_once),
        "settle": Outcomes(bus, settle, telemetry).run,
        "timers": every(TIMER_SECONDS, Timers(store, settle, clock=clock).run_once),
        "escalate": every(TIMER_SECONDS, Escalate(store, holder, outgoings, clock=clock, dice=dice, telemetry=telemetry).run_once),
        "sequence": every(SEQUENCE_SECONDS, _sequence(sequencer, telemetry), release=sequencer.release),
        "keys": every(TURN_SECONDS, turn.run_once),
        "trust": every(TRUST_SECONDS, trust.run_once),
        "key-ends": every(LOOK_SECONDS, Ending(KEY, turn.ends, metrics.show_key, clock, telemetry).run_once),
        "forget": every(FORGET_SECONDS, Forget(store, clock=clock).run_once),
        "metrics": every(METRICS_SECONDS, _measure(store, requests, metrics, clock)),
    }
    if settings.bus.kind != "memory":  # nobody could read them in this process's memory, where they would only lie
        built.loops["events"] = every(EVENTS_SECONDS, events.run_once, release=events.release)
    if settings.role is ProcessRole.INNER:
        insider = Insider(process, lambda: ["store"] if keeping.trouble else [])
        built.loops |= _asked_over(bus, requests, intake, insider=insider, partners=loaded.partners, telemetry=telemetry)
    await _take_over(store, settings, holder.current, at=clock.now())
    if (socket := settings.admin_listener.socket) is not None:
        reload = _reload(settings, keys_from, trust=trust, turn=turn, before=loaded.partners)
        await stack.enter_async_context(command_socket(socket, {"reload": reload}))
    return requests


def _asked_over(
    bus: Bus, requests: Requests, intake: Intake, *, insider: Insider, partners: Partners, telemetry: Telemetry
) -> dict[str, Loop]:
    """Return the loops that take what edges ask and registers submit over the bus."""
    server = RequestServer(bus, requests.answer_all, SystemClock(), telemetry, insider=insider)
    registers = sorted(kafka_shape(partners).registers)
    return {"requests": server.run, "channels": Submissions(bus, intake, telemetry, registers).run}


async def _take_over(store: Store, settings: Settings, world: World, *, at: datetime) -> None:
    """Go on where the process before stopped, and put on record by what this one decides."""
    if settings.role is ProcessRole.EMBEDDED:  # what was under way then ended with it
        async with store.unit_of_work() as work:
            await work.end_leases(at)
    await record(store, {}, digests_of(world), at=at)
    await record_waivers(store, settings.waivers, environment=settings.environment.value, at=at)


def _reload(settings: Settings, keys_from: FileKeystore, *, trust: Trust, turn: Turn, before: Partners) -> Callable[[], Awaitable[None]]:
    one_at_a_time = asyncio.Lock()

    async def reload() -> None:
        """Read everything again, all or nothing; what changed is evidence before it is in force."""
        async with one_at_a_time:
            loaded, reading = await asyncio.to_thread(_read_again, settings, keys_from)
            _refuse_restart(settings, before, loaded.partners)
            await refuse_unsafe_topics(settings, loaded.partners)
            await trust.put(loaded.world, at=SystemClock().now())
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


def _sequence(sequencer: Sequencer, telemetry: Telemetry) -> Callable[[], Awaitable[int]]:
    """Go on at once only after a full batch: else every few entries would cost a signed checkpoint."""

    async def once() -> int:
        try:
            return max(await sequencer.run_once() - SEQUENCE_COUNT_MAX + 1, 0)
        except InvariantError:  # woken after the lease had ended: nothing was written, and the next run sees what the other did
            telemetry.event("sequencer-overtaken")
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
