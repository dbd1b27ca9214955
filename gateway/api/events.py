"""A receiver of RFC 8935: so that any transmitter of security event tokens can reach us. Its errors have that RFC's own body."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from aiohttp import web

from gateway.api import answers, problems
from gateway.api.edge import EDGE, media_type
from gateway.app.ports import DeskUnavailableError
from gateway.core.limits import SEALED_BYTES_MAX
from gateway.core.problems import Code, RefusedInputError, TooManyError

MEDIA_TYPE: Final = "application/secevent+jwt"
_OUTSIDE: Final = frozenset(
    {Code.MESSAGE_TOO_LARGE, Code.MEDIA_TYPE_WRONG, Code.RATE_LIMITED, Code.UNAVAILABLE, Code.INTERNAL}
)  # not about the token
_ERRORS: Final = {
    Code.UNTRUSTED: "authentication_failed",
    Code.AUDIENCE_WRONG: "invalid_audience",
    Code.NOT_ALLOWED: "access_denied",
}  # RFC 8935, section 2.4; every other code is invalid_request


async def receive(request: web.Request) -> web.StreamResponse:
    """Take one token: 202 with an empty body, also for a repeat; 400 with `err` and `description`."""
    edge = request.app[EDGE]
    try:
        media_type(request, MEDIA_TYPE)
        body = await edge.read(request, SEALED_BYTES_MAX)
        answer = await edge.ask_for(request, "event", body)
    except RefusedInputError as exc:
        return _error(problems.fault(exc.problem), exc.wait_seconds if isinstance(exc, TooManyError) else None)
    except DeskUnavailableError:
        fault = {"code": Code.UNAVAILABLE, "detail": "not answered in time: send it again"}
        return _error(fault)
    if answer.outcome == "problem":
        faults, _ = problems.read_faults(answer.body)
        return _error(faults[0], answer.wait_seconds)
    answers.status_of(answer)
    return web.Response(status=202)


def _error(fault: problems.Fault, wait_seconds: int | None = None) -> web.Response:
    code = Code(fault["code"])
    where = fault.get("pointer") or fault.get("claim")
    body: dict[str, Any] = {
        "err": _ERRORS.get(code, "invalid_request"),
        "description": f"{code.value}: {fault['detail']}" + (f" at {where}" if where else ""),
    }
    status = problems.STATUS[code] if code in _OUTSIDE else 400
    return web.Response(
        status=status,
        body=msgspec.json.encode(body),
        content_type="application/json",
        headers={"Content-Language": "en", **problems.headers_of(status, wait_seconds=wait_seconds)},
    )
