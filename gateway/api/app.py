"""The partners' listener: routes, the guard around every handler, and the server's own bounds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from gateway.api import events, inbox, keys, messages, problems, public
from gateway.api.edge import EDGE, Edge
from gateway.app.ports import DeskUnavailableError
from gateway.app.supervise import ANSWER_SECONDS_MAX
from gateway.core.problems import Code, Problem, RefusedInputError, TooManyError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_JTI: Final = "{jti:[0-9A-Za-z-]{1,64}}"
ROUTES: Final[tuple[tuple[str, str, Handler], ...]] = (
    ("POST", "/v1/messages", messages.submit),
    ("GET", f"/v1/messages/{_JTI}", messages.status),
    ("GET", f"/v1/messages/{_JTI}/receipt", messages.receipt),
    ("POST", "/v1/events", events.receive),
    ("POST", "/v1/poll", inbox.poll),
    ("POST", "/v1/keys", keys.submit),
    ("GET", "/v1/evidence/checkpoint", public.evidence("checkpoint")),
    ("GET", "/v1/evidence/inclusion", public.evidence("inclusion")),
    ("GET", "/v1/evidence/consistency", public.evidence("consistency")),
    ("GET", "/v1/schemas/{path:[A-Za-z0-9._/-]{1,128}}", public.schema),
    ("GET", "/v1/problems/{code}", public.problem),
    ("GET", "/v1/openapi.yaml", public.description),
    ("GET", "/.well-known/jwks.json", public.jwks),
    ("GET", "/.well-known/gateway-keys.jwt", public.key_set),
    ("GET", "/healthz", public.health),
    ("GET", "/readyz", public.ready),
)
_OF_HTTP: Final = {404: Code.NOT_FOUND, 405: Code.METHOD_WRONG, 413: Code.MESSAGE_TOO_LARGE}
AGAIN_SECONDS: Final = 0.1  # between two closings of connections that nothing is asked on, and before the first
_HEADERS: Final = {"Server": "gateway", "X-Content-Type-Options": "nosniff"}


def create(edge: Edge) -> web.Application:
    """Return the application of the partners' listener."""
    app = web.Application(middlewares=[guard], handler_args={"auto_decompress": False})  # packed bodies are refused, not opened
    app[EDGE] = edge
    for method, path, handler in ROUTES:
        app.router.add_route(method, path, handler)
    app.on_response_prepare.append(_stamp)
    app.on_shutdown.append(_stop)
    return app


def runner(app: web.Application, *, shutdown_seconds: float = ANSWER_SECONDS_MAX) -> web.AppRunner:
    """Return the server for `app`. It keeps no access log: a URL is not ours to write down."""
    quiet = logging.getLogger("gateway.http.silent")  # aiohttp would log pieces of requests it cannot parse
    quiet.propagate = False
    quiet.setLevel(logging.CRITICAL + 1)
    return web.AppRunner(
        app,
        access_log=None,
        logger=quiet,
        shutdown_timeout=shutdown_seconds,
        keepalive_timeout=75,
        lingering_time=2,
        max_line_size=8190,
        max_field_size=8190,
    )


async def close(runner: web.AppRunner) -> None:
    """Listen no longer, let who has asked be answered, close the connections.

    aiohttp closes those that nothing is asked on once, at the beginning. One that was taken a moment before, or whose TLS handshake ends a
    moment later, would be neither read nor closed until the time for answers is over, and everybody would wait for it.
    """
    for site in list(runner.sites):
        await site.stop()
    await asyncio.sleep(AGAIN_SECONDS)  # who was taken last is read, and so answered
    closed = asyncio.ensure_future(runner.cleanup())
    try:
        while not (await asyncio.wait([closed], timeout=AGAIN_SECONDS))[0]:
            if runner.server is not None:
                runner.server.pre_shutdown()
        await closed
    finally:
        closed.cancel()  # where we are cancelled: who does that closes the rest


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever a handler raises into a problem. Of what we did not expect, only its kind is reported: its text may quote a message."""
    edge = request.app[EDGE]
    try:
        return await handler(request)
    except TooManyError as exc:
        edge.telemetry.event("http-limited", code=exc.problem.code)
        return problems.respond_one(exc.problem, wait_seconds=exc.wait_seconds)
    except RefusedInputError as exc:
        return problems.respond_one(exc.problem)
    except DeskUnavailableError:
        edge.telemetry.event("http-unavailable", code=Code.UNAVAILABLE)
        problem = Problem(
            code=Code.UNAVAILABLE, detail="not answered in time, or too much is waiting", expected="send it again: a repeat is safe"
        )
        return problems.respond_one(problem)
    except web.HTTPException as exc:
        return _of_aiohttp(exc)
    except Exception as exc:  # noqa: BLE001 -- the last guard: a fault of ours must not show its insides
        edge.telemetry.event("http-internal", code=type(exc).__name__)
        return problems.respond_one(Problem(code=Code.INTERNAL, detail="a fault of ours", expected="send it again; tell us if it stays"))


def _of_aiohttp(exc: web.HTTPException) -> web.Response:
    code = _OF_HTTP.get(exc.status, Code.REQUEST_INVALID)
    allow = exc.headers.get("Allow", "")
    detail = {Code.NOT_FOUND: "there is nothing at this path", Code.METHOD_WRONG: "this method is not for this path"}
    problem = Problem(code=code, detail=detail.get(code, "the request cannot be read"), expected=allow)
    return problems.respond_one(problem, headers={"Allow": allow} if allow else None)


async def _stamp(request: web.Request, response: web.StreamResponse) -> None:
    if request.app[EDGE].stopping.is_set():  # the next request of this client goes to another edge
        response.force_close()
        response.headers["Connection"] = "close"
    response.headers.update(_HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")


async def _stop(app: web.Application) -> None:
    app[EDGE].stopping.set()
