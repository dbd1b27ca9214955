from __future__ import annotations

import asyncio
import json

import pytest

from gateway.api.edge import Bounds
from gateway.api.places import Places
from gateway.app.ports import Answer, DeskUnavailableError
from gateway.core.problems import Code

from .conftest import EMPTY, problem

FULL = Answer(outcome="ok", body=b'{"sets":{"j":"a.b.c.d.e"},"moreAvailable":false}')


@pytest.fixture
def desk(desk):
    desk.then = EMPTY
    return desk


async def test_a_poll_returns_what_is_there_without_waiting(client, desk):
    desk.answers = [FULL]
    response = await client.post("/v1/poll", json={"ack": ["x"]}, headers={"Authorization": "Bearer a.b.c"})
    assert (response.status, await response.json()) == (200, {"sets": {"j": "a.b.c.d.e"}, "moreAvailable": False})
    [question] = desk.questions
    assert (question.kind, question.token, json.loads(question.body)) == ("poll", "a.b.c", {"ack": ["x"]})


async def test_a_long_poll_asks_again_until_there_is_something(client, desk):
    desk.answers = [EMPTY, EMPTY, FULL]
    response = await client.post("/v1/poll", json={"ack": ["x"]}, headers={"Authorization": "Bearer a.b.c"})
    assert (await response.json())["sets"] == {"j": "a.b.c.d.e"}
    assert [question.kind for question in desk.questions] == ["poll", "poll-again", "poll-again"]
    assert len({(question.token, question.body) for question in desk.questions}) == 1


async def test_a_long_poll_ends_with_nothing_when_its_time_is_up(client, desk):
    response = await client.post("/v1/poll", json={})
    assert (response.status, await response.json()) == (200, {"sets": {}, "moreAvailable": False})
    assert len(desk.questions) > 2


@pytest.mark.parametrize("body", [{"returnImmediately": True}, {"maxEvents": 0, "ack": ["x"]}], ids=["at-once", "only-acks"])
async def test_who_does_not_wait_gets_one_question(client, desk, body):
    assert (await client.post("/v1/poll", json=body)).status == 200
    assert len(desk.questions) == 1


@pytest.mark.parametrize("bad", [DeskUnavailableError("late"), problem(Code.UNTRUSTED)], ids=["inner-is-late", "token-has-ended"])
async def test_what_goes_wrong_while_waiting_ends_the_wait_with_nothing(client, desk, bad):
    desk.answers = [EMPTY, bad]
    response = await client.post("/v1/poll", json={"ack": ["x"]})
    assert (response.status, await response.json()) == (200, {"sets": {}, "moreAvailable": False})
    assert len(desk.questions) == 2


async def test_what_goes_wrong_at_first_is_said(client, desk):
    desk.answers = [problem(Code.UNTRUSTED)]
    assert (await client.post("/v1/poll", json={})).status == 401
    desk.answers = [DeskUnavailableError("late")]
    assert (await client.post("/v1/poll", json={})).status == 503


@pytest.mark.parametrize(("body", "status"), [
    pytest.param(b"{", 400, id="not-json"),
    pytest.param(b"[]", 400, id="a-list"),
    pytest.param(b'{"ack":[],"ack":["x"]}', 400, id="a-key-twice"),
    pytest.param(b'{"returnImmediately":1}', 400, id="one-is-not-true"),
])  # fmt: skip
async def test_a_body_that_is_no_poll_never_reaches_inner(client, desk, body, status):
    response = await client.post("/v1/poll", data=body, headers={"Content-Type": "application/json"})
    assert (response.status, desk.questions) == (status, [])


async def test_another_media_type_is_415(client):
    assert (await client.post("/v1/poll", data=b"{}", headers={"Content-Type": "text/plain"})).status == 415


class TestWaiting:
    @pytest.fixture
    def bounds(self):
        return Bounds(poll_seconds=30, poll_pause_seconds=0.02)

    async def test_a_stopping_edge_ends_its_long_polls(self, client, desk, edge):
        polling = asyncio.create_task(client.post("/v1/poll", json={}))
        while not desk.questions:
            await asyncio.sleep(0.01)
        edge.stopping.set()
        async with asyncio.timeout(5):
            assert (await polling).status == 200
        assert edge.polls.count == 0

    async def test_a_partner_that_went_away_is_offered_nothing(self, client, desk, edge):
        polling = asyncio.create_task(client.post("/v1/poll", json={}))
        while len(desk.questions) < 2:
            await asyncio.sleep(0.01)
        polling.cancel()
        async with asyncio.timeout(5):
            while edge.polls.count:
                await asyncio.sleep(0.01)
        asked = len(desk.questions)
        await asyncio.sleep(0.1)
        assert len(desk.questions) == asked

    async def test_beyond_the_bound_a_poll_does_not_wait(self, client, desk, edge):
        edge.polls = Places(0, 1)
        async with asyncio.timeout(5):
            assert (await client.post("/v1/poll", json={})).status == 200
        assert len(desk.questions) == 1
