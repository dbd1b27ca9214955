"""The composition root: the only package that knows concrete classes. From settings to a running gateway, in any of its roles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager

from gateway.app.ports import Desk
from gateway.app.skew import COMPARE_SECONDS, Comparison, Skew
from gateway.app.supervise import Supervisor, every, until_stopped
from gateway.bootstrap.admin import add_admin, readiness_of
from gateway.bootstrap.broker import kafka_access, kafka_bus, kafka_shape
from gateway.bootstrap.built import Gateway
from gateway.bootstrap.inner import add_inner
from gateway.bootstrap.outer import add_courier, add_edge
from gateway.bootstrap.reading import (
    VERSION,
    Lists,
    keystore,
    load,
    load_adapters,
    load_lists,
    load_people,
    load_profiles,
    passphrase,
    problems_page,
    store_of,
    store_password,
)
from gateway.buses.memory import MemoryBus
from gateway.buses.requests import BusDesk
from gateway.ops.ending import CERTIFICATE, LOOK_SECONDS, Ending
from gateway.ops.settings import ProcessRole, Settings
from gateway.ops.system import SystemClock
from gateway.ops.telemetry import Metrics, Telemetry

__all__ = [
    "VERSION",
    "Gateway",
    "Lists",
    "build",
    "kafka_access",
    "kafka_shape",
    "keystore",
    "load",
    "load_adapters",
    "load_lists",
    "load_people",
    "load_profiles",
    "passphrase",
    "problems_page",
    "store_of",
    "store_password",
]


@asynccontextmanager
async def build(settings: Settings, lists: Lists | None = None) -> AsyncIterator[Gateway]:
    """Build the gateway of a role: listeners are open, loops not started. Raises `OperatorError`s, each with what to mend.

    `lists` are those a check has read, for reading them is the longest part of a start.
    """
    threads = ThreadPoolExecutor(settings.limits.threads, thread_name_prefix="gateway")  # for cryptography, which releases the lock
    asyncio.get_running_loop().set_default_executor(threads)
    metrics = Metrics()
    telemetry = Telemetry(metrics)
    built = Gateway(settings, Supervisor(telemetry), {}, lists=lists)
    async with AsyncExitStack() as stack:
        skew = Skew(metrics.show_skew, SystemClock(), telemetry)
        built.bus = MemoryBus() if settings.bus.kind == "memory" else kafka_bus(settings, skew)
        stack.push_async_callback(built.bus.close)
        desk: Desk | None = None
        if settings.role in {ProcessRole.EMBEDDED, ProcessRole.INNER}:
            desk = await add_inner(built, stack, telemetry, metrics)
        if settings.role is ProcessRole.INNER and built.store is not None:
            built.loops["clocks"] = every(COMPARE_SECONDS, Comparison(built.store, skew, SystemClock()).run_once)
        if settings.role is ProcessRole.EDGE:
            bus_desk = BusDesk(built.bus, SystemClock(), telemetry, static_id=settings.static_id)
            built.loops["replies"] = until_stopped(bus_desk.run)
            desk = bus_desk
        if settings.role in {ProcessRole.EMBEDDED, ProcessRole.COURIER}:
            await add_courier(built, stack, telemetry)
        readiness = readiness_of(built, desk)
        if settings.role in {ProcessRole.EMBEDDED, ProcessRole.EDGE} and desk is not None:
            await add_edge(built, stack, desk=desk, telemetry=telemetry, readiness=readiness)
        await add_admin(built, stack, metrics, readiness)
        certificates = Ending(CERTIFICATE, lambda: built.certificates, metrics.show_certificate, SystemClock(), telemetry)
        built.loops["certificates"] = every(LOOK_SECONDS, certificates.run_once)
        yield built
