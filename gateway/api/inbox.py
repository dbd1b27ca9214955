"""The inbox: polling by RFC 8936. The edge waits, inner never does.

A long poll is one request of the partner and several questions to inner. All carry the partner's own token and body; those after the
first are of kind `poll-again`: inner knows the token's `jti` already, and settles nothing on its word a second time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

import msgspec
from aiohttp import web

from gateway.api import answers
from gateway.api.edge import EDGE, Edge, media_type
from gateway.api.places import sender_of
from gateway.app.ports import Answer, DeskUnavailableError
from gateway.core import strict_json
from gateway.core.limits import SEALED_BYTES_MAX
from gateway.core.problems import Code, MalformedError, TooManyError

AGAIN: Final = "poll-again"


async def poll(request: web.Request) -> web.StreamResponse:
    """Acknowledge what came, and return what is there; wait for the first token unless `returnImmediately`."""
    edge = request.app[EDGE]
    media_type(request, "application/json")
    body = await edge.read(request, SEALED_BYTES_MAX)
    wait = _may_wait(strict_json.parse_object(body))
    question = edge.question(request, "poll", body)
    sender = sender_of(request, mtls=question.mtls, token=question.token)
    answer = await edge.ask(question, sender)
    if wait and _is_empty(answer) and edge.polls.is_free(sender):
        with edge.polls.take(sender, DeskUnavailableError("too many polls")):
            answer = await _wait(request, edge, lambda: edge.ask(replace(question, kind=AGAIN), sender), answer)
    return answers.to_reading(answer)


def _may_wait(body: dict[str, Any]) -> bool:
    """Say whether the partner lets us wait: `returnImmediately` is false by default, and who asks for no token waits for none."""
    at_once = body.get("returnImmediately", False)
    if not isinstance(at_once, bool):
        raise MalformedError("returnImmediately is neither true nor false", code=Code.REQUEST_INVALID, expected="a boolean")
    return not at_once and body.get("maxEvents") != 0


def _is_empty(answer: Answer) -> bool:
    if answer.outcome != "ok":
        return False
    value = msgspec.json.decode(answer.body)
    return not value["sets"] and not value["moreAvailable"]


async def _wait(request: web.Request, edge: Edge, ask: Callable[[], Awaitable[Answer]], empty: Answer) -> Answer:
    """Ask again until there is something, the time is up, the edge stops, or the partner has gone.

    What goes wrong while waiting ends the wait with the empty answer: its acknowledgements were settled, and the next poll says more.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + edge.bounds.poll_seconds
    while loop.time() < until and not edge.stopping.is_set():
        try:
            async with asyncio.timeout(edge.bounds.poll_pause_seconds):
                await edge.stopping.wait()
        except TimeoutError:
            pass
        if request.transport is None or request.transport.is_closing():
            return empty  # nobody is there: a token offered now would be hidden until its visibility ends
        try:
            answer = await ask()
        except (DeskUnavailableError, TooManyError):
            return empty
        if answer.outcome != "ok":
            return empty
        if not _is_empty(answer):
            return answer
    return empty
