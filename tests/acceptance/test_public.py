"""What anybody may read, the same on both forms; and that nothing of it is trusted."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime

import aiohttp
import pytest
import yaml

from gateway.core import jwks
from gateway.core.keyset import read_keyset
from gateway.core.problems import Code
from tests.acceptance.deployment import Deployment

PAGES = {
    "/v1/schemas/families/travel-notification/1.0.json": "application/schema+json",
    "/v1/schemas/families/acknowledgement/1.0.json": "application/schema+json",
    "/v1/problems/schema-invalid": "text/markdown",
    "/v1/openapi.yaml": "application/yaml",
    "/.well-known/jwks.json": "application/jwk-set+json",
    "/.well-known/gateway-keys.jwt": "application/jwt",
    "/healthz": "application/json",
    "/readyz": "application/json",
}


async def read(gw: Deployment, path: str, *, method: str = "GET") -> tuple[int, str, bytes]:
    """Read a page without any token."""
    tls = ssl.create_default_context(cafile=gw.kit().ca_file)
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, gw.setup.origin + path, ssl=tls, allow_redirects=False) as response,
    ):
        return response.status, response.content_type, await response.read()


@pytest.mark.parametrize("path", PAGES)
async def test_anybody_may_read(gw, path):
    status, media_type, body = await read(gw, path)
    assert (status, media_type) == (200, PAGES[path])
    assert body


async def test_every_problem_code_has_a_page(gw):
    pages = {code: await read(gw, f"/v1/problems/{code.value}") for code in Code}
    assert {status for status, _, _ in pages.values()} == {200}
    assert all(body.startswith(f"## {code.value}\n".encode()) for code, (_, _, body) in pages.items())


async def test_the_description_names_every_path_that_is_asked_above(gw):
    _, _, body = await read(gw, "/v1/openapi.yaml")
    described = yaml.safe_load(body)
    assert described["openapi"].startswith("3.1")
    assert {"/v1/messages", "/v1/poll", "/v1/events", "/v1/evidence/checkpoint", "/healthz", "/readyz"} <= described["paths"].keys()


NOT_THERE = {
    "no such path": ("GET", "/v1/nothing", 404, "not-found"),
    "no such schema": ("GET", "/v1/schemas/families/nothing/1.0.json", 404, "not-found"),
    "a way out of the schemas": ("GET", "/v1/schemas/../partners/gb-register.toml", 404, "not-found"),
    "no such problem": ("GET", "/v1/problems/nothing", 404, "not-found"),
    "another method": ("DELETE", "/v1/messages", 405, "method-wrong"),
    "metrics are not for partners": ("GET", "/metrics", 404, "not-found"),
}


@pytest.mark.parametrize("case", NOT_THERE)
async def test_what_is_not_there_is_a_problem_too(gw, case):
    method, path, status, code = NOT_THERE[case]
    found, media_type, body = await read(gw, path, method=method)
    assert (found, media_type) == (status, "application/problem+json")
    assert f"/v1/problems/{code}".encode() in body


async def test_what_changes_or_tells_something_needs_a_token(gw):
    asked = [("POST", "/v1/poll"), ("GET", "/v1/messages/01a1fe54-fd9f-761b-80ea-a827c8237498"), ("GET", "/v1/evidence/checkpoint")]
    statuses = [(await read(gw, path, method=method))[0] for method, path in asked]
    assert statuses == [415, 401, 401]


async def test_the_key_set_at_the_address_is_the_one_the_pinned_root_signed(gw):
    _, _, served = await read(gw, "/.well-known/gateway-keys.jwt")
    kit = gw.setup.kit_folder("gb-register")
    assert served == (kit / "gateway.keys.jwt").read_bytes().strip()
    (root,) = jwks.read_jwks((kit / "gateway.root.json").read_bytes(), gw.setup.gateway)
    now = datetime.now(UTC)
    assert read_keyset(served, root, now=now).keyring.entries == gw.kit().gateway_keys.entries
