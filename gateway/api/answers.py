"""Inner's outcomes as HTTP responses."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from gateway.api import problems
from gateway.app.ports import Answer
from gateway.contract.errors import InvariantError

RECEIPT: Final = "application/jwt"
_STATUS: Final = {"accepted": 202, "repeated": 200}


def status_of(answer: Answer) -> int:
    """Return the status of an answer to a submission that is no problem. Raises `InvariantError` for an outcome it cannot have."""
    if answer.outcome not in _STATUS:
        raise InvariantError("outcome", answer.outcome)
    return _STATUS[answer.outcome]


def to_submission(answer: Answer) -> web.Response:
    """Return the receipt, byte for byte, or the problem."""
    if answer.outcome == "problem":
        return to_problem(answer)
    return web.Response(status=status_of(answer), body=answer.body, content_type=RECEIPT)


def to_problem(answer: Answer) -> web.Response:
    """Return inner's problems, with the signed rejection where there is one."""
    faults, rejection = problems.read_faults(answer.body)
    return problems.respond(faults, rejection=rejection, wait_seconds=answer.wait_seconds)


def to_reading(answer: Answer) -> web.Response:
    """Return what was read, nothing, or the problem. Raises `InvariantError` for an outcome that reading cannot have."""
    match answer.outcome:
        case "ok":
            charset = "utf-8" if answer.media_type.startswith("text/") else None
            return web.Response(body=answer.body, content_type=answer.media_type, charset=charset)
        case "empty":
            return web.Response(status=204)
        case "problem":
            return to_problem(answer)
        case _:
            raise InvariantError("outcome", answer.outcome)
