"""One sender's flood at the edge: it hears 429 and when to come again, and everybody else is answered."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import ExitStack

import pytest

from gateway.api.edge import Bounds
from gateway.api.places import Places, Sender
from gateway.app.ports import Answer
from gateway.core.problems import Code, TooManyError

JOSE = {"Content-Type": "application/jose"}
JSONL = {"Content-Type": "application/jsonl"}
A, B = Sender("gb-register", "192.0.2.1"), Sender("gb-register", "192.0.2.2")


def token_of(iss: str) -> dict[str, str]:
    payload = base64.urlsafe_b64encode(json.dumps({"iss": iss}).encode()).decode().rstrip("=")
    return {"Authorization": f"Bearer e30.{payload}.c2ln"}


def test_a_sender_holds_no_more_than_its_share_and_leaves_the_rest() -> None:
    places = Places(3, 2)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(places.take(A, ValueError()))
        assert not places.is_free(A)
        with pytest.raises(TooManyError), places.take(A, ValueError()):
            pass
        stack.enter_context(places.take(B, ValueError()))
        assert places.count == 3
        with pytest.raises(ValueError, match="full"), places.take(Sender("x", ""), ValueError("full")):
            pass
    assert (places.count, dict(places.taken)) == (0, {})


def test_a_place_is_given_back_whatever_happens_in_it() -> None:
    places = Places(1, 1)
    with pytest.raises(RuntimeError), places.take(A, ValueError()):
        raise RuntimeError
    assert places.is_free(A)


class TestFlood:
    @pytest.fixture
    def bounds(self):
        return Bounds(questions_max=8, senders_min=4)

    async def test_who_floods_is_told_to_come_again_and_the_others_are_answered(self, client, desk, seen):
        release = asyncio.Event()

        async def wait(question):
            if b"flood" in question.body:
                await release.wait()
            return Answer(outcome="accepted", body=b"e30.e30.c2ln")

        desk.script = wait
        flood = [asyncio.create_task(client.post("/v1/messages", data=b"flood", headers=JOSE | token_of("gb-register"))) for _ in range(6)]
        while len(desk.questions) < 2 or sum(task.done() for task in flood) < 4:
            await asyncio.sleep(0.01)
        for path, headers in (("/v1/messages", JOSE), ("/v1/events", {"Content-Type": "application/secevent+jwt"})):
            refused = await client.post(path, data=b"flood", headers=headers | token_of("gb-register"))
            assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
        for other in ("fr-police", "es-police", ""):
            assert (await client.post("/v1/messages", data=b"one", headers=JOSE | token_of(other))).status == 202
        release.set()
        answers = [(await task).status for task in flood]
        assert sorted(answers) == [202, 202, 429, 429, 429, 429]
        assert ("http-limited", "rate-limited") in seen.events

    @pytest.mark.parametrize("token", ["x", "a.b.c", "e30.!!.x", "e30.W10.x", "e30.eyJpc3MiOjF9.x", "e30." + "e" * 7000 + ".x"])
    async def test_who_says_no_name_that_can_be_read_shares_the_places_of_its_address(self, client, edge, token):
        edge.questions = Places(8, 1)
        seen: list[Sender] = []

        async def look(_):
            seen.extend(edge.questions.taken)
            return Answer(outcome="accepted", body=b"e30.e30.c2ln")

        edge.desk.script = look
        await client.post("/v1/messages", data=b"one", headers=JOSE | {"Authorization": f"Bearer {token}"})
        assert seen == [Sender("", "127.0.0.1")]


async def test_a_second_and_third_body_of_lines_of_one_sender_wait_for_nobody_else(client, edge):
    edge.bodies = Places(4, 2)
    with (
        edge.bodies.take(Sender("gb-register", "127.0.0.1"), ValueError()),
        edge.bodies.take(Sender("gb-register", "127.0.0.1"), ValueError()),
    ):
        refused = await client.post("/v1/messages", data=b"a\n", headers=JSONL | token_of("gb-register"))
        assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
        assert (await client.post("/v1/messages", data=b"a\n", headers=JSONL | token_of("fr-police"))).status == 200


async def test_a_line_over_the_share_is_answered_so_and_the_others_go_on(client, edge):
    edge.questions = Places(8, 1)
    gate = asyncio.Event()

    async def wait(question):
        if question.body == b"a":
            await gate.wait()
        return Answer(outcome="accepted", body=b"receipt")

    edge.desk.script = wait
    posting = asyncio.create_task(client.post("/v1/messages", data=b"a\nb\n", headers=JSONL))
    while not edge.desk.questions:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    gate.set()
    lines = [json.loads(line) for line in (await (await posting).text()).splitlines()]
    assert [line["status"] for line in lines] == [202, 429]
    assert lines[1]["problem"]["errors"][0]["code"] == Code.RATE_LIMITED


async def test_when_inner_says_how_long_that_is_what_the_sender_hears(client, desk):
    body = json.dumps({"problems": [{"code": Code.RATE_LIMITED, "detail": "x"}], "rejection": None}).encode()
    desk.then = Answer(outcome="problem", body=body, code=Code.RATE_LIMITED, wait_seconds=17)
    for path, headers in (("/v1/messages", JOSE), ("/v1/events", {"Content-Type": "application/secevent+jwt"})):
        response = await client.post(path, data=b"one", headers=headers)
        assert (response.status, response.headers["Retry-After"]) == (429, "17")


async def test_over_its_share_a_poll_is_answered_without_waiting(client, desk, edge):
    edge.polls = Places(8, 0)
    desk.then = Answer(outcome="ok", body=b'{"sets":{},"moreAvailable":false}')
    async with asyncio.timeout(5):
        assert (await client.post("/v1/poll", json={}, headers=token_of("fr-police"))).status == 200
    assert len(desk.questions) == 1
