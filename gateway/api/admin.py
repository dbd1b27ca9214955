"""The admin listener: metrics, health, counts, and what operators sign for; for this machine alone, and never the partners' listener.

A command is the body: a token of its own kind, so that no header has to be believed, and no request of a partner can be one.
`gateway reload` has a socket of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from ipaddress import ip_address
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from gateway.api import answers, problems, public
from gateway.api.edge import Readiness
from gateway.app.commands import BYTES_MAX
from gateway.app.ports import Answer
from gateway.contract.values import PartnerId
from gateway.core.delivery import State
from gateway.core.problems import Code, Problem

Counts = Callable[[], Awaitable[Mapping[tuple[PartnerId, State], int]]]
CarryOut = Callable[[bytes], Awaitable[Answer]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
COMMAND_TYPE: Final = "application/jwt"
_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


def create(*, registry: CollectorRegistry, readiness: Readiness, counts: Counts, carry_out: CarryOut | None = None) -> web.Application:
    """Return the application of the admin listener. `counts` is legs by partner and state; `carry_out` is of inner alone."""

    async def metrics(_: web.Request) -> web.StreamResponse:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def ready(_: web.Request) -> web.StreamResponse:
        return await public.readiness_response(readiness)

    async def state(_: web.Request) -> web.StreamResponse:
        legs: dict[str, dict[str, int]] = defaultdict(dict)
        for (partner, which), count in sorted((await counts()).items()):
            legs[partner][which.value] = count
        return web.json_response({"legs": legs})

    async def command(request: web.Request) -> web.StreamResponse:
        if carry_out is None:
            return problems.respond_one(Problem(code=Code.NOT_FOUND, detail="this process carries out no commands", expected="an inner"))
        if request.content_type != COMMAND_TYPE:
            return problems.respond_one(Problem(code=Code.MEDIA_TYPE_WRONG, detail="a command is a token", expected=COMMAND_TYPE))
        body = bytearray()
        while len(body) <= BYTES_MAX and (chunk := await request.content.read(BYTES_MAX + 1)):
            body += chunk
        if len(body) > BYTES_MAX:
            return problems.respond_one(Problem(code=Code.MESSAGE_TOO_LARGE, detail="too large", expected=f"at most {BYTES_MAX} bytes"))
        return answers.to_reading(await carry_out(bytes(body)))

    app = web.Application(middlewares=[loopback_only])
    app.on_response_prepare.append(_stamp)
    app.router.add_post("/v1/commands", command)
    app.router.add_get("/v1/openapi.yaml", _description, allow_head=False)
    app.router.add_get("/metrics", metrics, allow_head=False)
    app.router.add_get("/healthz", public.health, allow_head=False)
    app.router.add_get("/readyz", ready, allow_head=False)
    app.router.add_get("/v1/state", state, allow_head=False)
    return app


def openapi() -> bytes:
    """Return the description of this listener."""
    return (resources.files("gateway.api") / "admin.yaml").read_bytes()


async def _description(_: web.Request) -> web.StreamResponse:
    return web.Response(body=openapi(), content_type="application/yaml")


async def _stamp(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Content-Type-Options"] = "nosniff"


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
