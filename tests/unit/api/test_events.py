from __future__ import annotations

import pytest

from gateway.app.ports import Answer, DeskUnavailableError
from gateway.core.limits import SEALED_BYTES_MAX
from gateway.core.problems import Code

from .conftest import TOKEN, problem

SET = {"Content-Type": "application/secevent+jwt"}


@pytest.mark.parametrize("outcome", ["accepted", "repeated"])
async def test_a_token_that_is_taken_gets_202_and_nothing_else(client, desk, outcome):
    desk.then = Answer(outcome=outcome, body=b"receipt")
    response = await client.post("/v1/events", data=TOKEN, headers=SET)
    assert (response.status, await response.read()) == (202, b"")
    assert desk.questions[0].kind == "event"


@pytest.mark.parametrize(("code", "status", "err"), [
    (Code.UNTRUSTED, 400, "authentication_failed"),
    (Code.AUDIENCE_WRONG, 400, "invalid_audience"),
    (Code.NOT_ALLOWED, 400, "access_denied"),
    (Code.NOT_A_TOKEN, 400, "invalid_request"),
    (Code.SCHEMA_INVALID, 400, "invalid_request"),
    (Code.CONFLICT, 400, "invalid_request"),
    (Code.UNAVAILABLE, 503, "invalid_request"),
])  # fmt: skip
async def test_a_problem_has_the_body_of_rfc_8935(client, desk, code, status, err):
    desk.then = problem(code, pointer="/body/person")
    response = await client.post("/v1/events", data=TOKEN, headers=SET)
    assert (response.status, response.content_type, response.headers["Content-Language"]) == (status, "application/json", "en")
    assert await response.json() == {"err": err, "description": f"{code.value}: something is wrong at /body/person"}
    assert ("Retry-After" in response.headers) == (status == 503)


@pytest.mark.parametrize(("headers", "body", "status"), [
    pytest.param({"Content-Type": "application/jose"}, TOKEN, 415, id="another-media-type"),
    pytest.param(SET, "x" * (SEALED_BYTES_MAX + 1), 413, id="too-large"),
    pytest.param({**SET, "Authorization": "Basic x"}, TOKEN, 400, id="another-scheme"),
])  # fmt: skip
async def test_what_never_reaches_inner_has_that_body_too(client, desk, headers, body, status):
    response = await client.post("/v1/events", data=body, headers=headers)
    assert (response.status, set(await response.json()), desk.questions) == (status, {"err", "description"}, [])


async def test_an_inner_that_does_not_answer_is_503_with_retry_after(client, desk):
    desk.answers = [DeskUnavailableError("late")]
    response = await client.post("/v1/events", data=TOKEN, headers=SET)
    assert (response.status, response.headers["Retry-After"], set(await response.json())) == (503, "2", {"err", "description"})
