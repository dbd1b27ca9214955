from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from dataclasses import replace

import pytest

from gateway.api.edge import Bounds
from gateway.api.places import Places
from gateway.app.ports import Answer, DeskUnavailableError
from gateway.core.limits import LINES_COUNT_MAX, SEALED_BYTES_MAX
from gateway.core.problems import Code

from .conftest import NOW, RECEIPT, TOKEN, problem

JOSE = {"Content-Type": "application/jose"}
JSONL = {"Content-Type": "application/jsonl"}


@pytest.mark.parametrize("media", ["application/jose", "application/secevent+jwt", "application/jose; charset=utf-8"])
async def test_an_accepted_message_gets_202_and_its_receipt(client, desk, media):
    response = await client.post("/v1/messages?a=%20b", data=TOKEN, headers={"Content-Type": media, "Authorization": "Bearer a.b.c"})
    assert (response.status, response.content_type, await response.read()) == (202, "application/jwt", RECEIPT)
    [question] = desk.questions
    assert (question.kind, question.method, question.path, question.query) == ("submit", "POST", "/v1/messages", "a=%20b")
    assert (question.token, question.body, question.mtls) == ("a.b.c", TOKEN.encode(), None)
    assert (desk.deadlines[0] - NOW).total_seconds() == 5


async def test_a_repeat_gets_200_and_the_same_bytes(client, desk):
    desk.answers = [Answer(outcome="accepted", body=RECEIPT), Answer(outcome="repeated", body=RECEIPT)]
    first, second = [await client.post("/v1/messages", data=TOKEN, headers=JOSE) for _ in range(2)]
    assert (first.status, second.status) == (202, 200)
    assert await first.read() == await second.read()


async def test_the_body_reaches_inner_byte_for_byte(client, desk):
    """The request token signs these bytes: trimming them would break it."""
    await client.post("/v1/messages", data=b" x\n", headers=JOSE)
    assert desk.questions[0].body == b" x\n"


@pytest.mark.parametrize(("code", "status"), [
    (Code.RULE_BROKEN, 422), (Code.SCHEMA_INVALID, 422), (Code.UNTRUSTED, 401), (Code.CONFLICT, 409), (Code.NOT_A_TOKEN, 400),
    (Code.NOT_JSON, 400), (Code.MESSAGE_TOO_LARGE, 413), (Code.NOT_ALLOWED, 403), (Code.UNAVAILABLE, 503),
])  # fmt: skip
async def test_a_problem_of_inner_has_its_status(client, desk, code, status):
    desk.then = problem(code)
    response = await client.post("/v1/messages", data=TOKEN, headers=JOSE)
    body = await response.json(content_type="application/problem+json")
    assert (response.status, body["status"], body["type"]) == (status, status, f"/v1/problems/{code.value}")
    assert ("Retry-After" in response.headers) == (status == 503)
    assert ("WWW-Authenticate" in response.headers) == (status == 401)
    assert "rejection" not in body


async def test_a_rejection_shows_every_fault_and_the_signed_token(client, desk):
    faults = [
        {"code": "schema-invalid", "detail": "is missing", "expected": "a name", "pointer": "/body/person", "claim": None, "rule": None, "severity": "error"},
        {"code": "rule-broken", "detail": "too long", "expected": "", "pointer": "/handling", "claim": None, "rule": "R-GEN-03", "severity": "warning"},
    ]  # fmt: skip
    desk.then = Answer(outcome="problem", code="schema-invalid", body=json.dumps({"problems": faults, "rejection": "e30.cg.c2ln"}).encode())
    response = await client.post("/v1/messages", data=TOKEN, headers=JOSE)
    body = await response.json(content_type="application/problem+json")
    assert (response.status, body["rejection"]) == (422, "e30.cg.c2ln")
    assert [(each["pointer"], each.get("rule"), each["severity"]) for each in body["errors"]] == [
        ("/body/person", None, "error"), ("/handling", "R-GEN-03", "warning"),
    ]  # fmt: skip


@pytest.mark.parametrize(("headers", "body", "status", "code"), [
    pytest.param({"Content-Type": "application/json"}, TOKEN, 415, "media-type-wrong", id="another-media-type"),
    pytest.param({"Content-Type": "text/plain"}, TOKEN, 415, "media-type-wrong", id="text"),
    pytest.param({**JOSE, "Content-Encoding": "gzip"}, TOKEN, 415, "media-type-wrong", id="packed"),
    pytest.param(JOSE, "x" * (SEALED_BYTES_MAX + 1), 413, "message-too-large", id="too-large"),
    pytest.param({**JOSE, "Authorization": "Basic YTpi"}, TOKEN, 401, "untrusted", id="another-scheme"),
    pytest.param({**JOSE, "Authorization": "Bearer"}, TOKEN, 401, "untrusted", id="no-token"),
    pytest.param({**JOSE, "Authorization": "Bearer a b"}, TOKEN, 401, "untrusted", id="two-words"),
])  # fmt: skip
async def test_one_change_from_a_good_request_never_reaches_inner(client, desk, headers, body, status, code):
    response = await client.post("/v1/messages", data=body, headers=headers)
    found = await response.json(content_type="application/problem+json")
    assert (response.status, found["errors"][0]["code"], desk.questions) == (status, code, [])


async def test_a_body_without_length_is_cut_at_the_limit(client, desk):
    async def endless():
        for _ in range(20):
            yield b"x" * 65_536

    response = await client.post("/v1/messages", data=endless(), headers=JOSE)
    assert (response.status, desk.questions) == (413, [])


async def test_a_body_that_does_not_come_gives_up_its_place(client, desk):
    async def slow():
        yield b"x"
        await asyncio.sleep(30)

    response = await client.post("/v1/messages", data=slow(), headers=JOSE)
    assert (response.status, desk.questions) == (400, [])


async def test_an_inner_that_does_not_answer_is_503_with_retry_after(client, desk):
    desk.answers = [DeskUnavailableError("no answer in time")]
    response = await client.post("/v1/messages", data=TOKEN, headers=JOSE)
    assert (response.status, response.headers["Retry-After"]) == (503, "2")


async def test_a_fault_of_ours_shows_nothing_of_its_text(client, desk, seen):
    desk.answers = [ValueError("Ola Nordmann")]
    response = await client.post("/v1/messages", data=TOKEN, headers=JOSE)
    assert response.status == 500
    assert "Ola" not in await response.text()
    assert seen.events == [("http-internal", "ValueError")]


class TestFull:
    @pytest.fixture
    def bounds(self):
        return Bounds(questions_max=1)

    async def test_one_more_than_the_queue_holds_is_503_at_once(self, client, desk):
        release = asyncio.Event()

        async def wait(_):
            await release.wait()
            return Answer(outcome="accepted", body=RECEIPT)

        desk.script = wait
        first = asyncio.create_task(client.post("/v1/messages", data=TOKEN, headers=JOSE))
        while not desk.questions:
            await asyncio.sleep(0.01)
        second = await client.post("/v1/messages", data=TOKEN, headers=JOSE)
        release.set()
        assert (second.status, (await first).status) == (503, 202)


async def lines_of(response):
    return [json.loads(line) for line in (await response.text()).splitlines()]


async def test_each_line_gets_its_own_answer_in_order(client, desk):
    async def judge(question):
        if question.body == b"slow":
            await asyncio.sleep(0.05)
        if question.body == b"bad":
            return problem(Code.RULE_BROKEN, rejection="r.r.r")
        if question.body == b"lost":
            raise DeskUnavailableError("late")
        return Answer(outcome="repeated" if question.body == b"again" else "accepted", body=b"receipt-of-" + question.body)

    desk.script = judge
    body = b'"slow"\nbad\r\n"lost"\n\nagain\n'
    response = await client.post("/v1/messages", data=body, headers={**JSONL, "Authorization": "Bearer a.b.c"})
    assert (response.status, response.content_type) == (200, "application/jsonl")
    results = await lines_of(response)
    assert [(each["line"], each["status"]) for each in results] == [(1, 202), (2, 422), (3, 503), (4, 400), (5, 200)]
    assert [each.get("receipt") for each in results] == ["receipt-of-slow", None, None, None, "receipt-of-again"]
    assert results[1]["problem"]["rejection"] == "r.r.r"
    digest = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode().rstrip("=")
    assert {(question.kind, question.token, question.digest) for question in desk.questions} == {("line", "a.b.c", digest)}


async def test_a_line_that_is_too_large_fails_alone(client, desk):
    response = await client.post("/v1/messages", data=b"a\n" + b"x" * (SEALED_BYTES_MAX + 1) + b"\nb", headers=JSONL)
    assert [each["status"] for each in await lines_of(response)] == [202, 413, 202]


async def test_the_most_lines_pass_and_never_more_than_the_bound_at_once(client, desk, bounds):
    response = await client.post("/v1/messages", data=b"a\n" * LINES_COUNT_MAX, headers=JSONL)
    assert len(await lines_of(response)) == LINES_COUNT_MAX == len(desk.questions)
    assert 1 < desk.most_under_way <= bounds.lines_at_once_max


@pytest.mark.parametrize(("body", "status", "code"), [
    pytest.param(b"a\n" * LINES_COUNT_MAX + b"a", 413, "too-many-lines", id="one-line-too-many"),
    pytest.param(b"a\n" * (LINES_COUNT_MAX + 1), 413, "too-many-lines", id="one-line-too-many-with-an-end"),
    pytest.param(b"", 400, "not-json", id="no-line"),
    pytest.param(b"\n", 400, "not-json", id="one-empty-line"),
])  # fmt: skip
async def test_a_body_of_lines_that_cannot_be_read_is_refused_as_a_whole(client, desk, body, status, code):
    response = await client.post("/v1/messages", data=body, headers=JSONL)
    found = await response.json(content_type="application/problem+json")
    assert (response.status, found["errors"][0]["code"], desk.questions) == (status, code, [])


async def test_too_many_bodies_of_lines_at_once_are_503(client, desk, edge):
    edge.bodies = Places(0, 1)
    assert (await client.post("/v1/messages", data=b"a\n", headers=JSONL)).status == 503
    edge.bodies = Places(1, 1)
    assert (await client.post("/v1/messages", data=b"a\n", headers=JSONL)).status == 200


async def test_the_status_of_a_message_is_inners_answer(client, desk):
    desk.then = Answer(outcome="ok", body=b'{"jti":"x"}')
    response = await client.get("/v1/messages/0197-abc", headers={"Authorization": "bearer a.b.c"})
    assert (response.status, await response.json()) == (200, {"jti": "x"})
    assert [(q.kind, q.path, q.token) for q in desk.questions] == [("status", "/v1/messages/0197-abc", "a.b.c")]


async def test_a_stored_receipt_is_inners_answer(client, desk):
    desk.then = Answer(outcome="ok", body=RECEIPT, media_type="application/jwt")
    response = await client.get("/v1/messages/0197-abc/receipt")
    assert (response.status, response.content_type, await response.read()) == (200, "application/jwt", RECEIPT)
    assert desk.questions[0].kind == "receipt"


async def test_an_outcome_that_cannot_be_is_a_fault_of_ours(client, desk):
    desk.then = replace(desk.then, outcome="ok")
    assert (await client.post("/v1/messages", data=TOKEN, headers=JOSE)).status == 500
