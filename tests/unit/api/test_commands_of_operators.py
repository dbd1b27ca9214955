"""The admin listener and operators' commands: the body is handed over as it came; answers and problems are HTTP."""

from __future__ import annotations

import json

import pytest
import yaml
from aiohttp.test_utils import TestServer
from openapi_spec_validator import OpenAPIV31SpecValidator
from prometheus_client import CollectorRegistry

from gateway.api import admin, app, problems
from gateway.app.aside import ERASED, UNKNOWN
from gateway.app.commands import BYTES_MAX
from gateway.app.deadletters import NOT_DEAD
from gateway.app.hold import KEY_REVOKED, NO_PARTNER, NOT_HELD, SUSPENDED
from gateway.app.partners import NOT_TAKEN as NOT_TAKEN_YET
from gateway.app.partners import TAKEN_BACK
from gateway.app.ports import Answer
from gateway.core.deadletters import Side
from gateway.core.operators import Command
from gateway.core.problems import Code
from gateway.core.standing import Standing
from tests.unit.api.conftest import TOKEN, problem

DOCUMENT = yaml.safe_load(admin.openapi())
JWT = {"Content-Type": "application/jwt"}


def application(carry_out=None):
    async def counts():
        return {}

    async def readiness():
        return []

    return admin.create(registry=CollectorRegistry(), readiness=readiness, counts=counts, carry_out=carry_out)


@pytest.fixture
def taken():
    return []


@pytest.fixture
def answer():
    return [Answer(outcome="ok", body=b'{"legs":[]}')]


@pytest.fixture
async def client(aiohttp_client, taken, answer):
    async def carry_out(raw):
        taken.append(raw)
        return answer[0]

    return await aiohttp_client(TestServer(application(carry_out)))


async def test_a_command_is_handed_over_as_it_came_and_its_answer_is_not_kept(client, taken):
    response = await client.post("/v1/commands", data=TOKEN.encode(), headers=JWT)
    assert (response.status, await response.json(), taken) == (200, {"legs": []}, [TOKEN.encode()])
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("code", [Code.UNTRUSTED, Code.NOT_ALLOWED, Code.REQUEST_INVALID, Code.NOT_FOUND, Code.UNAVAILABLE, Code.INTERNAL])
async def test_a_refusal_is_a_problem(client, answer, code):
    answer[0] = problem(code)
    response = await client.post("/v1/commands", data=TOKEN.encode(), headers=JWT)
    assert (response.status, response.content_type) == (problems.STATUS[code], "application/problem+json")
    assert (await response.json(content_type=None))["errors"][0]["code"] == code


NOT_TAKEN = {
    "too large": (b"x" * (BYTES_MAX + 1), JWT, 413),
    "no media type of a token": (TOKEN.encode(), {"Content-Type": "application/json"}, 415),
    "a form of a browser": (TOKEN.encode(), {"Content-Type": "text/plain"}, 415),
}


@pytest.mark.parametrize("case", NOT_TAKEN)
async def test_what_is_no_token_is_not_even_looked_at(client, taken, case):
    body, headers, status = NOT_TAKEN[case]
    response = await client.post("/v1/commands", data=body, headers=headers)
    assert (response.status, taken) == (status, [])
    assert response.content_type == "application/problem+json"


async def test_the_largest_command_is_taken(client, taken):
    response = await client.post("/v1/commands", data=b"x" * BYTES_MAX, headers=JWT)
    assert (response.status, len(taken[0])) == (200, BYTES_MAX)


async def test_a_command_from_a_browser_led_here_by_another_name_is_refused(client, taken):
    response = await client.post("/v1/commands", data=TOKEN.encode(), headers={**JWT, "Host": "attacker.example"})
    assert (response.status, taken) == (403, [])


async def test_an_edge_or_a_courier_carries_out_nothing(aiohttp_client):
    client = await aiohttp_client(TestServer(application()))
    response = await client.post("/v1/commands", data=TOKEN.encode(), headers=JWT)
    assert response.status == 404
    assert (await response.json(content_type=None))["errors"][0]["code"] == "not-found"


async def test_the_description_is_served(client):
    response = await client.get("/v1/openapi.yaml")
    assert (response.status, await response.read()) == (200, admin.openapi())


def test_the_description_is_openapi_3_1():
    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []


def test_routes_and_description_are_the_same_set():
    routes = {(route.method, route.resource.canonical) for route in application().router.routes()}
    assert routes == {(method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item}


def test_the_partners_listener_has_no_commands():
    assert not any("command" in path for _, path, _ in app.ROUTES)


def test_commands_and_words_of_the_description_are_those_of_the_code():
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["Command"]["enum"] == [command.value for command in Command]
    assert schemas["Leg"]["properties"]["side"]["enum"] == [side.value for side in Side]
    why = schemas["Moved"]["properties"]["legs"]["items"]["properties"]["why"]["description"]
    standings = {name: schemas[name]["properties"]["standing"]["enum"] for name in ("Partner", "Moved", "Told")}
    assert standings == {"Partner": [s.value for s in Standing], "Moved": ["open", "paused"], "Told": ["paused", "suspended"]}
    assert all(word in why for word in (ERASED, UNKNOWN, NOT_DEAD, NOT_HELD, NO_PARTNER, SUSPENDED, KEY_REVOKED, NOT_TAKEN_YET, TAKEN_BACK))


def test_a_hundred_legs_fit_into_a_command():
    assert len(json.dumps(["0" * 36] * 100)) * 4 / 3 < BYTES_MAX / 2
