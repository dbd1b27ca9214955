"""A partner's next key, signed by its current one. Whether it is believed is an operator's word."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from gateway.api import answers
from gateway.api.edge import EDGE, media_type
from gateway.core.limits import KEY_TOKEN_BYTES_MAX

TOKEN_TYPE: Final = "application/jose"


async def submit(request: web.Request) -> web.StreamResponse:
    """Take one token (202 where it waits for approval from now on, 200 where it is known): the thumbprint, and where it stands."""
    edge = request.app[EDGE]
    media_type(request, TOKEN_TYPE)
    body = await edge.read(request, KEY_TOKEN_BYTES_MAX)
    answer = await edge.ask_for(request, "key", body)
    if answer.outcome == "problem":
        return answers.to_problem(answer)
    return web.Response(status=answers.status_of(answer), body=answer.body, content_type="application/json")
