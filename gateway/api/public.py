"""What anybody may read: evidence, keys, schemas, problem pages, the description of this API, and health."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from typing import Final

import msgspec
from aiohttp import web

from gateway.api import answers
from gateway.api.edge import EDGE, Readiness
from gateway.contract.errors import InvariantError
from gateway.core.problems import Code, MalformedError

_SECTION: Final = re.compile(r"^## ([a-z-]+)$", re.MULTILINE)
_CACHED: Final = {"Cache-Control": "public, max-age=300"}
_READINESS_SECONDS: Final = 5


def openapi() -> bytes:
    """Return the description of this API."""
    return (resources.files("gateway.api") / "openapi.yaml").read_bytes()


def problem_pages(text: str) -> dict[str, bytes]:
    """Return docs/problems.md cut into a page for each code. Raises `InvariantError` unless every code has one section."""
    heads = list(_SECTION.finditer(text))
    ends = [*(head.start() for head in heads[1:]), len(text)]
    pages = {head[1]: text[head.start() : end].strip().encode() + b"\n" for head, end in zip(heads, ends, strict=True)}
    if len(heads) != len(pages) or pages.keys() != {code.value for code in Code}:
        raise InvariantError("docs/problems.md and the catalogue of codes differ")
    return pages


def evidence(kind: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return the handler that asks inner for a checkpoint or a proof."""

    async def handle(request: web.Request) -> web.StreamResponse:
        edge = request.app[EDGE]
        return answers.to_reading(await edge.ask_for(request, kind))

    return handle


def _found(pages: Mapping[str, bytes], name: str, media: str) -> web.Response:
    if name not in pages:
        raise MalformedError("there is nothing of this name", code=Code.NOT_FOUND)
    return web.Response(body=pages[name], headers={**_CACHED, "Content-Type": media})


async def schema(request: web.Request) -> web.StreamResponse:
    """Return a JSON Schema."""
    return _found(request.app[EDGE].public.schemas, request.match_info["path"], "application/schema+json")


async def problem(request: web.Request) -> web.StreamResponse:
    """Return what a problem code means, and who must act."""
    return _found(request.app[EDGE].public.problems, request.match_info["code"], "text/markdown; charset=utf-8")


async def jwks(request: web.Request) -> web.StreamResponse:
    """Return our public keys (RFC 7517). For trust, use the signed key set."""
    return web.Response(body=request.app[EDGE].public.jwks, headers={**_CACHED, "Content-Type": "application/jwk-set+json"})


async def key_set(request: web.Request) -> web.StreamResponse:
    """Return our key set, signed by the root key that partners pin."""
    return web.Response(body=request.app[EDGE].public.key_set, headers={**_CACHED, "Content-Type": "application/jwt"})


async def description(request: web.Request) -> web.StreamResponse:
    """Return the OpenAPI document."""
    return web.Response(body=request.app[EDGE].public.openapi, headers={**_CACHED, "Content-Type": "application/yaml"})


async def health(_: web.Request) -> web.StreamResponse:
    """Say that the process answers."""
    return web.json_response({"status": "ok"})


async def ready(request: web.Request) -> web.StreamResponse:
    """Say whether messages can be taken, and what is missing."""
    return await readiness_response(request.app[EDGE].readiness)


async def readiness_response(readiness: Readiness) -> web.Response:
    """Return 200, or 503 with what is missing."""
    try:
        async with asyncio.timeout(_READINESS_SECONDS):
            missing = await readiness()
    except TimeoutError:
        missing = ["an answer in time"]
    body = msgspec.json.encode({"ready": not missing, "missing": missing})
    return web.Response(status=503 if missing else 200, body=body, content_type="application/json")
