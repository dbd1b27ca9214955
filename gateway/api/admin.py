"""The admin listener: metrics, health and counts, for this machine alone. Commands that change something have a socket of their own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from gateway.api import problems, public
from gateway.api.edge import Readiness
from gateway.contract.values import PartnerId
from gateway.core.delivery import State
from gateway.core.problems import Code, Problem

Counts = Callable[[], Awaitable[Mapping[tuple[PartnerId, State], int]]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


def create(*, registry: CollectorRegistry, readiness: Readiness, counts: Counts) -> web.Application:
    """Return the application of the admin listener. `counts` is legs by partner and state."""

    async def metrics(_: web.Request) -> web.StreamResponse:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def ready(_: web.Request) -> web.StreamResponse:
        return await public.readiness_response(readiness)

    async def state(_: web.Request) -> web.StreamResponse:
        legs: dict[str, dict[str, int]] = defaultdict(dict)
        for (partner, which), count in sorted((await counts()).items()):
            legs[partner][which.value] = count
        return web.json_response({"legs": legs})

    app = web.Application(middlewares=[loopback_only])
    app.router.add_get("/metrics", metrics, allow_head=False)
    app.router.add_get("/healthz", public.health, allow_head=False)
    app.router.add_get("/readyz", ready, allow_head=False)
    app.router.add_get("/v1/state", state, allow_head=False)
    return app


@web.middleware
async def loopback_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse who is not on this machine, and a browser that was led here by another name."""
    host = request.host.rpartition(":")[0] if request.host.rpartition(":")[2].isdigit() else request.host
    if not _is_loopback(request) or host not in _HOSTS:
        return problems.respond_one(Problem(code=Code.NOT_ALLOWED, detail="this listener is for this machine"))
    return await handler(request)


def _is_loopback(request: web.Request) -> bool:
    try:
        return ip_address(request.remote or "").is_loopback
    except ValueError:
        return False
