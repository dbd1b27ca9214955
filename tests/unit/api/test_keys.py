from __future__ import annotations

import pytest

from gateway.app.ports import Answer
from gateway.core.limits import KEY_TOKEN_BYTES_MAX
from gateway.core.problems import Code

from .conftest import TOKEN, problem

JOSE = {"Content-Type": "application/jose"}
NEXT = b'{"kid":"k2","state":"pending"}'


@pytest.mark.parametrize(("outcome", "status"), [("accepted", 202), ("repeated", 200)])
async def test_a_key_reaches_inner_byte_for_byte_and_where_it_stands_is_told(client, desk, outcome, status):
    desk.then = Answer(outcome=outcome, body=NEXT)
    response = await client.post("/v1/keys", data=TOKEN, headers={**JOSE, "Authorization": "Bearer a.b.c"})
    assert (response.status, response.content_type, await response.read()) == (status, "application/json", NEXT)
    [question] = desk.questions
    assert (question.kind, question.method, question.path, question.token, question.body) == (
        "key",
        "POST",
        "/v1/keys",
        "a.b.c",
        TOKEN.encode(),
    )


@pytest.mark.parametrize(("code", "status"), [(Code.CLAIM_INVALID, 422), (Code.CONFLICT, 409), (Code.UNTRUSTED, 401)])
async def test_a_key_that_is_not_taken_is_a_problem(client, desk, code, status):
    desk.then = problem(code, claim="jwk.kid")
    response = await client.post("/v1/keys", data=TOKEN, headers=JOSE)
    body = await response.json(content_type="application/problem+json")
    assert (response.status, body["status"], body["errors"][0]["claim"]) == (status, status, "jwk.kid")


async def test_a_body_that_is_too_large_or_of_another_kind_never_reaches_inner(client, desk):
    large = await client.post("/v1/keys", data=b"x" * (KEY_TOKEN_BYTES_MAX + 1), headers=JOSE)
    other = await client.post("/v1/keys", data=TOKEN, headers={"Content-Type": "application/jwk+json"})
    none = await client.get("/v1/keys")
    assert (large.status, other.status, none.status, desk.questions) == (413, 415, 405, [])
