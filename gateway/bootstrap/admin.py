"""What operators ask: readiness, the admin listener, the command socket."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from aiohttp import web

from gateway.api import admin, commands
from gateway.app.inside import Inside
from gateway.app.keeping import Keeping
from gateway.app.ports import Bus, Desk
from gateway.bootstrap.built import Gateway
from gateway.bootstrap.reading import tls_of
from gateway.buses.requests import BusDesk
from gateway.contract.values import PartnerId
from gateway.core.delivery import State
from gateway.ops.system import SystemClock
from gateway.ops.telemetry import Metrics
from gateway.ops.tls import end_of

CLOSE_SECONDS: Final = 1.0  # for an operator's question under way when the process ends


def readiness_of(built: Gateway, desk: Desk | None) -> Callable[[], Awaitable[list[str]]]:
    """Return what asks store, bus, loops and, of an edge, inner; and names those that do not answer."""
    checks = {"store": built.keeping, "bus": built.bus}
    inside = Inside(desk, SystemClock(), answer_seconds=built.settings.limits.answer_seconds) if isinstance(desk, BusDesk) else None
    if inside is not None:
        built.loops["inside"] = inside.run

    async def missing() -> list[str]:
        found = [name for name, part in checks.items() if part is not None and not await _answers(part)]
        if isinstance(desk, BusDesk) and not desk.ready:
            found.append("replies")
        if inside is not None and not found:  # else inner cannot be heard, and may be well
            found += inside.missing()
        if built.leaving.is_set():
            found.append("leaving")
        return sorted({*found, *built.supervisor.failing})

    return missing


async def _answers(part: Keeping | Bus) -> bool:
    try:
        await part.check()
    except Exception:  # noqa: BLE001 -- readiness only says whether it answers
        return False
    return True


async def add_admin(built: Gateway, stack: AsyncExitStack, metrics: Metrics, readiness: Callable[[], Awaitable[list[str]]]) -> None:
    """Open the operators' listener: health, readiness, metrics, and commands where inner is in this process."""
    store = built.store

    async def counts() -> Mapping[tuple[PartnerId, State], int]:
        if store is None:
            return {}
        async with store.reading() as work:
            return await work.counts()

    carry_out = built.commands.run if built.commands is not None else None
    made = admin.create(registry=metrics.registry, readiness=readiness, counts=counts, carry_out=carry_out)
    runner = web.AppRunner(made, access_log=None, shutdown_timeout=CLOSE_SECONDS)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    listener = built.settings.admin_listener
    tls = tls_of(listener.tls_certificate, listener.tls_key)
    if tls is not None and listener.tls_certificate is not None:
        built.certificates["admin"] = end_of(listener.tls_certificate)
    await web.TCPSite(runner, listener.host, listener.port, ssl_context=tls).start()
    built.admin_port = runner.addresses[0][1]


@asynccontextmanager
async def command_socket(path: Path, verbs: Mapping[str, Callable[[], Awaitable[None]]]) -> AsyncIterator[None]:
    """Listen on a socket of the file system that its owner alone may use, until the end of the context."""
    runner = web.AppRunner(commands.create(verbs), access_log=None, shutdown_timeout=CLOSE_SECONDS)
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
