"""Problem codes as HTTP: the only place that knows numbers. Bodies follow RFC 9457."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import msgspec
from aiohttp import web

from gateway.contract.errors import InvariantError
from gateway.core.problems import Code, Problem

MEDIA_TYPE: Final = "application/problem+json"
RETRY_SECONDS: Final = 2  # asked of a partner that gets 503, and 429 where nothing else is known
PAGES: Final = "/v1/problems/"  # `type` is a relative URI reference (RFC 9457, section 3.1.1): the same behind any host name

STATUS: Final[Mapping[Code, int]] = {
    Code.MESSAGE_TOO_LARGE: 413,
    Code.NOT_A_TOKEN: 400,
    Code.NOT_JSON: 400,
    Code.UNTRUSTED: 401,
    Code.CLAIM_INVALID: 422,
    Code.AUDIENCE_WRONG: 422,
    Code.ENVIRONMENT_WRONG: 422,
    Code.ISSUED_TOO_EARLY: 422,
    Code.ISSUED_TOO_LATE: 422,
    Code.FAMILY_UNKNOWN: 422,
    Code.CONFLICT: 409,
    Code.SCHEMA_INVALID: 422,
    Code.CODE_UNKNOWN: 422,
    Code.RULE_BROKEN: 422,
    Code.REPLY_UNMATCHED: 422,
    Code.REQUEST_INVALID: 400,
    Code.NOT_FOUND: 404,
    Code.NOT_ALLOWED: 403,
    Code.TOO_MANY_LINES: 413,
    Code.MEDIA_TYPE_WRONG: 415,
    Code.METHOD_WRONG: 405,
    Code.RATE_LIMITED: 429,
    Code.UNAVAILABLE: 503,
    Code.INTERNAL: 500,
}
assert STATUS.keys() == set(Code), "a new code needs a status"

Fault = dict[str, Any]  # a problem as it stands in `errors`


def fault(problem: Problem) -> Fault:
    """Return `problem` as a member of `errors`: what it does not say is left out."""
    return _said(asdict(problem))


def _said(fault: Fault) -> Fault:
    """Leave out what is not said. An empty pointer is: it means the whole event."""
    return {name: value for name, value in fault.items() if value is not None and (value != "" or name == "pointer")}


def read_faults(body: bytes) -> tuple[list[Fault], str | None]:
    """Return the faults, and the signed rejection if there is one, of an answer whose outcome is problem. Raises `InvariantError`."""
    try:
        value = msgspec.json.decode(body)
        faults = [_said(each) for each in value["problems"]]
        Code(faults[0]["code"])
    except (msgspec.DecodeError, LookupError, TypeError, ValueError, AttributeError) as exc:
        raise InvariantError("inner's answer is not a list of problems") from exc
    return faults, value.get("rejection")


def document(faults: Sequence[Fault], *, rejection: str | None = None) -> dict[str, Any]:
    """Return the body of a problem. The first fault gives type and status; every fault is in `errors`."""
    code = Code(faults[0]["code"])
    detail = faults[0]["detail"]
    found: dict[str, Any] = {
        "type": PAGES + code.value,
        "title": code.value.replace("-", " ").capitalize(),
        "status": STATUS[code],
        "detail": detail if len(faults) == 1 else f"{detail} ({len(faults)} faults in all)",
        "errors": list(faults),
    }
    return found if rejection is None else {**found, "rejection": rejection}


def headers_of(status: int, *, wait_seconds: int | None = None) -> dict[str, str]:
    """Return the headers that go with an error of this status; `wait_seconds`: when it makes sense to come again."""
    match status:
        case 401:
            return {"WWW-Authenticate": 'Bearer realm="gateway"'}
        case 429 | 503:
            return {"Retry-After": str(RETRY_SECONDS if wait_seconds is None else wait_seconds)}
        case _:
            return {}


def respond(
    faults: Sequence[Fault], *, rejection: str | None = None, headers: Mapping[str, str] | None = None, wait_seconds: int | None = None
) -> web.Response:
    """Return a problem as a response."""
    body = document(faults, rejection=rejection)
    return web.Response(
        status=body["status"],
        body=msgspec.json.encode(body),
        content_type=MEDIA_TYPE,
        headers={**headers_of(body["status"], wait_seconds=wait_seconds), **(headers or {})},
    )


def respond_one(problem: Problem, *, headers: Mapping[str, str] | None = None, wait_seconds: int | None = None) -> web.Response:
    """Return one problem as a response."""
    return respond([fault(problem)], headers=headers, wait_seconds=wait_seconds)
