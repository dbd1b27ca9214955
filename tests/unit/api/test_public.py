from __future__ import annotations

import pytest

from gateway.app.ports import Answer

from .conftest import PUBLIC


@pytest.mark.parametrize(("path", "media", "body"), [
    ("/v1/schemas/families/travel-notification/1.0.json", "application/schema+json", b'{"$id":"x"}'),
    ("/v1/problems/conflict", "text/markdown", b"## conflict\n"),
    ("/v1/openapi.yaml", "application/yaml", PUBLIC.openapi),
    ("/.well-known/jwks.json", "application/jwk-set+json", PUBLIC.jwks),
    ("/.well-known/gateway-keys.jwt", "application/jwt", PUBLIC.key_set),
])  # fmt: skip
async def test_a_public_document_is_served_as_it_is(client, desk, path, media, body):
    response = await client.get(path)
    assert (response.status, response.content_type, await response.read()) == (200, media, body)
    assert response.headers["Cache-Control"] == "public, max-age=300"
    assert desk.questions == []


@pytest.mark.parametrize("kind", ["checkpoint", "inclusion", "consistency"])
async def test_evidence_is_inners_answer(client, desk, kind):
    desk.then = Answer(outcome="ok", body="— note\n".encode(), media_type="text/plain")
    response = await client.get(f"/v1/evidence/{kind}?leaf=ab&size=3", headers={"Authorization": "Bearer a.b.c"})
    assert (response.status, await response.text(), response.charset) == (200, "— note\n", "utf-8")
    assert [(q.kind, q.path, q.query, q.token) for q in desk.questions] == [(kind, f"/v1/evidence/{kind}", "leaf=ab&size=3", "a.b.c")]


async def test_nothing_yet_is_204(client, desk):
    desk.then = Answer(outcome="empty")
    assert (await client.get("/v1/evidence/checkpoint")).status == 204


@pytest.mark.parametrize("path", [
    "/", "/v1", "/v1/nothing", "/v1/schemas/nothing.json", "/v1/schemas/../../etc/passwd", "/v1/schemas/%2e%2e/x", "/v1/problems/made-up",
    "/v1/messages/..%2fx", "/v1/messages/" + "a" * 65, "/admin", "/metrics",
])  # fmt: skip
async def test_an_unknown_path_is_a_problem(client, desk, path):
    response = await client.get(path)
    found = await response.json(content_type="application/problem+json")
    assert (response.status, found["type"], desk.questions) == (404, "/v1/problems/not-found", [])


@pytest.mark.parametrize(("method", "path", "allow"), [
    ("GET", "/v1/messages", "POST"), ("PUT", "/v1/messages", "POST"), ("DELETE", "/v1/messages/abc", "GET"), ("GET", "/v1/poll", "POST"),
    ("POST", "/healthz", "GET"), ("TRACE", "/healthz", "GET"),
])  # fmt: skip
async def test_another_method_is_405_and_says_which(client, desk, method, path, allow):
    response = await client.request(method, path)
    found = await response.json(content_type="application/problem+json")
    assert (response.status, found["type"], response.headers["Allow"]) == (405, "/v1/problems/method-wrong", allow)
    assert desk.questions == []


async def test_health_says_that_the_process_answers(client, missing):
    missing.append("the database")
    assert (await client.get("/healthz")).status == 200


async def test_readiness_says_what_is_missing(client, missing):
    response = await client.get("/readyz")
    assert (response.status, await response.json()) == (200, {"ready": True, "missing": []})
    missing.append("the broker")
    response = await client.get("/readyz")
    assert (response.status, await response.json()) == (503, {"ready": False, "missing": ["the broker"]})


async def test_every_answer_is_stamped(client):
    for path in ("/healthz", "/nothing"):
        headers = (await client.get(path)).headers
        assert (headers["Server"], headers["X-Content-Type-Options"], headers["Cache-Control"]) == ("gateway", "nosniff", "no-store")
