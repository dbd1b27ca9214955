"""The command socket: a Unix socket with mode 0600 for what changes something. It shows no content, only whether it was done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from gateway.contract.errors import OperatorError

Verbs = Mapping[str, Callable[[], Awaitable[None]]]


def create(verbs: Verbs) -> web.Application:
    """Return the application of the socket: `POST /v1/<verb>`."""

    async def run(request: web.Request) -> web.StreamResponse:
        verb = verbs.get(request.match_info["verb"])
        if verb is None:
            return web.json_response({"done": False, "why": f"one of {', '.join(sorted(verbs))}"}, status=404)
        try:
            await verb()
        except OperatorError as exc:  # what an operator wrote in files: shown to the one who may read those files
            return web.json_response({"done": False, "why": str(exc)}, status=422)
        return web.json_response({"done": True})

    app = web.Application()
    app.router.add_post("/v1/{verb:[a-z-]{1,32}}", run)
    return app
