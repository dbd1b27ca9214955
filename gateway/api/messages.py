"""Submissions: one token, or JSON lines of them. And what became of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from typing import Any, Final

import msgspec
from aiohttp import web

from gateway.api import answers, problems
from gateway.api.edge import EDGE, Edge, media_type
from gateway.api.places import Sender, sender_of
from gateway.app.ports import DeskUnavailableError, Question
from gateway.core import jose
from gateway.core.limits import BODY_BYTES_MAX, LINES_COUNT_MAX, SEALED_BYTES_MAX
from gateway.core.problems import Code, MalformedError, Problem, TooManyError

TOKEN_TYPES: Final = ("application/jose", "application/secevent+jwt")
LINES_TYPE: Final = "application/jsonl"
_QUOTE: Final = b'"'


async def submit(request: web.Request) -> web.StreamResponse:
    """Take one token (202 with the receipt, 200 with the same bytes where it is a repeat) or JSON lines of tokens."""
    edge = request.app[EDGE]
    if media_type(request, *TOKEN_TYPES, LINES_TYPE) == LINES_TYPE:
        return await _submit_lines(request, edge)
    body = await edge.read(request, SEALED_BYTES_MAX)
    return answers.to_submission(await edge.ask_for(request, "submit", body))


async def status(request: web.Request) -> web.StreamResponse:
    """Say what became of a message: to its sender all of it, to a recipient its own legs."""
    edge = request.app[EDGE]
    return answers.to_reading(await edge.ask_for(request, "status"))


async def receipt(request: web.Request) -> web.StreamResponse:
    """Return the stored receipt of a message to its sender."""
    edge = request.app[EDGE]
    return answers.to_reading(await edge.ask_for(request, "receipt"))


async def _submit_lines(request: web.Request, edge: Edge) -> web.StreamResponse:
    """Answer each line with a line, in their order. Each line is asked on its own: none can fail another."""
    question = edge.question(request, "line")
    sender = sender_of(request, mtls=question.mtls, token=question.token)
    with edge.bodies.take(sender, DeskUnavailableError("too many bodies")):
        body = await edge.read(request, BODY_BYTES_MAX)
        lines = _split(body)
        question = replace(question, digest=jose.b64encode(sha256(body).digest()).decode())
        response = web.StreamResponse(headers={"Content-Type": LINES_TYPE})
        await response.prepare(request)
        async for result in _in_order(
            lines, lambda line: _ask_line(edge, question, line, sender=sender), at_once=edge.bounds.lines_at_once_max
        ):
            await response.write(msgspec.json.encode(result) + b"\n")
        await response.write_eof()
        return response


def _split(body: bytes) -> list[bytes]:
    if body.count(b"\n") > LINES_COUNT_MAX:
        raise MalformedError("too many lines", code=Code.TOO_MANY_LINES, expected=f"at most {LINES_COUNT_MAX} lines")
    lines = [_unquoted(line.strip()) for line in body.removesuffix(b"\n").split(b"\n")]
    if lines == [b""]:
        raise MalformedError("there is no line", code=Code.NOT_JSON, expected="a token on each line")
    if len(lines) > LINES_COUNT_MAX:
        raise MalformedError("too many lines", code=Code.TOO_MANY_LINES, expected=f"at most {LINES_COUNT_MAX} lines")
    return lines


def _unquoted(line: bytes) -> bytes:
    """Return the token in a line: a JSON string, whose quotes may be left out, as a token has nothing to escape."""
    return line[1:-1] if len(line) > 1 and line.startswith(_QUOTE) and line.endswith(_QUOTE) else line


async def _in_order(
    lines: Sequence[bytes], ask: Callable[[bytes], Awaitable[dict[str, Any]]], *, at_once: int
) -> AsyncIterator[dict[str, Any]]:
    """Yield a result for each line, in order, with at most `at_once` questions under way."""
    waiting: deque[asyncio.Future[dict[str, Any]]] = deque()
    rest = iter(lines)
    try:
        for number in range(1, len(lines) + 1):
            while len(waiting) < at_once and (line := next(rest, None)) is not None:
                waiting.append(asyncio.ensure_future(ask(line)))
            yield {"line": number, **(await waiting.popleft())}
    finally:  # the sender went away: what is accepted stays accepted, and a repeat is safe
        for each in waiting:
            each.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await each


async def _ask_line(edge: Edge, question: Question, line: bytes, *, sender: Sender) -> dict[str, Any]:
    if not line or len(line) > SEALED_BYTES_MAX:
        return _problem(Problem(code=Code.MESSAGE_TOO_LARGE if line else Code.NOT_A_TOKEN, detail="an empty or too large line"))
    try:
        answer = await edge.ask(replace(question, body=line), sender)
    except TooManyError as exc:
        return _problem(exc.problem)
    except DeskUnavailableError:
        return _problem(Problem(code=Code.UNAVAILABLE, detail="not answered in time", expected="send this line again"))
    if answer.outcome == "problem":
        faults, rejection = problems.read_faults(answer.body)
        document = problems.document(faults, rejection=rejection)
        return {"status": document["status"], "problem": document}
    return {"status": answers.status_of(answer), "receipt": answer.body.decode("ascii")}


def _problem(problem: Problem) -> dict[str, Any]:
    document = problems.document([problems.fault(problem)])
    return {"status": document["status"], "problem": document}
