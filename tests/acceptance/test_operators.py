"""Operators' commands on both forms: what they do about holds and dead letters, and what nobody gets by with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.cli.desk import Me, read_me
from gateway.core import tokens
from gateway.core.operators import Command, OperatorRole
from gateway.core.request_tokens import HttpRequest
from gateway.ops.settings import ProcessRole
from gateway.ops.system import SystemClock, SystemDice
from gateway.testing.client import JOSE, Response
from gateway.testing.operator import PATH, OperatorClient
from gateway.testing.partner import Behaviour
from tests.acceptance.deployment import FRANCE, Deployment, behave, event_of, eventually_async, receipt_of
from tests.acceptance.processes import gateway

MINOR = {"/subject/is_minor": "YES", "/body/person/birth/date": "2012-05-05"}
NOBODY = "019a9d2e-5c00-7000-8000-000000000001"


def me(gw: Deployment, role: str = "reviewer") -> Me:
    return read_me(gw.setup.operator(OperatorRole(role)))


def inner(gw: Deployment) -> ProcessRole:
    return ProcessRole.EMBEDDED if gw.form == "embedded" else ProcessRole.INNER


async def cli(gw: Deployment, *arguments: str, role: str = "reviewer") -> tuple[int, str]:
    """Run a command as the operator of a role; return its exit code and what it says."""
    done = await asyncio.to_thread(gateway, *arguments, "--operator", str(gw.setup.operator(OperatorRole(role))))
    return done.returncode, done.stdout + done.stderr


async def submitted(gw: Deployment, **overrides: Any) -> str:
    async with gw.client() as register:
        sent = gw.message(overrides=overrides)
        receipt_of(register, await register.submit(sent.sealed), sent)
    return str(sent.jti)


async def leg_to(gw: Deployment, jti: str, state: str) -> dict[str, Any]:
    async with gw.client() as register:
        return await gw.until_leg(register, jti, FRANCE, lambda leg: leg["state"] == state)  # type: ignore[arg-type]


async def aside(gw: Deployment, command: Command, jti: str) -> dict[str, Any]:
    """Return how a list shows the leg of a message to France, as soon as it does."""
    async with me(gw).client() as client:

        async def look() -> dict[str, Any] | None:
            rows = (await client.command(command, {"partner": FRANCE})).value["legs"]
            return next((row for row in rows if row["message"]["jti"] == jti), None)

        return await eventually_async(look, what=f"{jti} in {command}")


async def test_a_person_releases_what_waits_for_one(gw):
    jti = await submitted(gw, **MINOR)
    row = await aside(gw, Command.HOLD_LIST, jti)
    assert row["hold_reason"] == "MINOR"
    code, told = await cli(gw, "hold", "list", "--reason", "MINOR", role="auditor")
    assert (code, row["leg"] in told) == (0, True)
    code, told = await cli(gw, "hold", "release", row["leg"], "--yes")
    assert (code, "1 of 1 legs: hold-release" in told) == (0, True), told
    document = await gw.until_received(FRANCE, jti)
    assert event_of(document)["original"]["jti"] == jti


async def test_a_person_refuses_it_and_the_sender_hears_so(gw):
    jti = await submitted(gw, **MINOR)
    row = await aside(gw, Command.HOLD_LIST, jti)
    code, told = await cli(gw, "hold", "refuse", "--partner", FRANCE, "--reason", "MINOR", "--dry-run")
    assert (code, row["leg"] in told, "nothing was changed" in told) == (0, True, True)
    assert (await cli(gw, "hold", "refuse", row["leg"], "--yes"))[0] == 0
    assert (await leg_to(gw, jti, "refused"))["reason"] == "HOLD"


async def test_a_dead_letter_is_looked_into_and_tried_again(gw):
    behave(gw, FRANCE, Behaviour(status=422))
    jti = await submitted(gw)
    row = await aside(gw, Command.DEADLETTER_LIST, jti)
    assert (row["side"], row["last_code"]) == ("data", "http-422")
    code, told = await cli(gw, "deadletter", "inspect", row["leg"], role="auditor")
    assert (code, json.loads(told)["attempt"]) == (0, 1)
    assert (await cli(gw, "deadletter", "inspect", row["leg"], "--justification", "FAULT", "--file", "2026-17", role="auditor"))[0] == 3
    code, told = await cli(gw, "deadletter", "inspect", row["leg"], "--justification", "FAULT", "--file", "2026-17", role="dpo")
    assert (code, jti in told, "document" in json.loads(told)) == (0, True, True)
    assert (await cli(gw, "deadletter", "retry", row["leg"], "--yes", role="officer"))[0] == 0
    assert event_of(await gw.until_received(FRANCE, jti))["original"]["jti"] == jti


async def test_a_dead_letter_is_given_up_and_metrics_say_what_is_left(gw):
    behave(gw, FRANCE, Behaviour(status=422))
    jti = await submitted(gw)
    row = await aside(gw, Command.DEADLETTER_LIST, jti)
    wanted = f'gateway_dead_legs{{partner="{FRANCE}",side="data"}} '

    async def look() -> str | None:
        url = f"{me(gw).url}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            text = await response.text()
        return text if wanted in text and 'gateway_oldest_aside_seconds{state="dead"}' in text else None

    await eventually_async(look, what=wanted)
    assert (await cli(gw, "deadletter", "discard", row["leg"], "--reason", "NOT_COMPETENT", "--yes"))[0] == 0
    assert (await leg_to(gw, jti, "cancelled"))["reason"] == "NOT_COMPETENT"


# --- attacks: each with a held leg before it, that must be held after it -----------------------------------------------


@dataclass(slots=True)
class Attack:
    """What an attacker has: the gateway, and the id of a held leg they want to get out."""

    gw: Deployment
    leg: str
    stack: AsyncExitStack

    async def client(self, role: str = "reviewer", *, ahead: timedelta = timedelta(), **identity: Any) -> OperatorClient:
        class Clock(SystemClock):
            def now(self):
                return super().now() + ahead

        who = me(self.gw, role)
        made = OperatorClient(who.url, replace(who.identity, **identity), clock=Clock(), dice=SystemDice())
        return await self.stack.enter_async_context(made)

    async def release(self, role: str = "reviewer", **more: Any) -> Response:
        return await (await self.client(role, **more)).command(Command.HOLD_RELEASE, {"legs": [self.leg]})

    async def send(self, token: bytes) -> Response:
        return await (await self.client()).send(token)


async def replayed(attack: Attack) -> Response:
    client = await attack.client()
    token = client.token(Command.HOLD_LIST)
    assert (await client.send(token)).status == 200
    return await client.send(token)


async def changed(attack: Attack) -> Response:
    head, claims, signature = (await attack.client()).token(Command.HOLD_RELEASE, {"legs": [NOBODY]}).split(b".")
    payload = tokens.unwrap(b".".join((head, claims, signature)), {}, typ=tokens.COMMAND, encrypted="allowed").payload
    from gateway.core import jose

    return await attack.send(b".".join((head, jose.b64encode(payload.replace(NOBODY.encode(), attack.leg.encode())), signature)))


async def request_of_a_partner(attack: Attack) -> Response:
    asked = HttpRequest("POST", me(attack.gw).url + PATH, b"", b"")
    return await attack.send(attack.gw.client().request_token(asked).encode())


async def as_a_partner(attack: Attack) -> Response:
    kit = attack.gw.kit()
    claims = {"command": "hold-release", "arguments": {"legs": [attack.leg]}, "justification": "", "file": ""}
    now = int(SystemClock().now().timestamp())
    claims |= {"iss": kit.partner, "aud": kit.gateway, "iat": now, "exp": now + 60, "jti": SystemDice().uuid7(SystemClock().now())}
    key = replace(kit.request_key, use=tokens.Use.COMMAND)
    return await attack.send(tokens.sign(claims, key, typ=tokens.COMMAND))


async def stranger_of(attack: Attack) -> Response:
    return await attack.release(operator="desk-nobody")


async def expired(attack: Attack) -> Response:
    return await attack.release(ahead=-timedelta(seconds=61))


async def of_tomorrow(attack: Attack) -> Response:
    return await attack.release(ahead=timedelta(days=1))


async def removed(attack: Attack) -> Response:
    """Sign as one whose profile was taken away a moment ago."""
    settings = attack.gw.setup.settings[inner(attack.gw)]
    profile = attack.gw.setup.folder / "operators" / "desk-admin.toml"
    kept = profile.read_bytes()
    assert (await (await attack.client("admin")).command(Command.HOLD_LIST)).status == 200
    try:
        profile.unlink()
        assert await reloaded(settings) == 0
        return await attack.release("admin")
    finally:
        profile.write_bytes(kept)
        assert await reloaded(settings) == 0


async def reloaded(settings: Path) -> int:
    return (await asyncio.to_thread(gateway, "reload", "--config", str(settings))).returncode


ATTACKS: dict[str, tuple[Callable[[Attack], Awaitable[Response]], int]] = {
    "another operator's key": (lambda a: a.release(key=me(a.gw, "officer").identity.key), 401),
    "another operator's key under the right id": (
        lambda a: a.release(key=replace(me(a.gw, "officer").identity.key, kid=me(a.gw).identity.key.kid)), 401
    ),
    "for another gateway": (lambda a: a.release(gateway="gw-other"), 401),
    "a stranger": (stranger_of, 401),
    "a partner's name": (lambda a: a.release(operator="gb-register"), 401),
    "replayed": (replayed, 401),
    "changed on its way": (changed, 401),
    "expired": (expired, 401),
    "of tomorrow": (of_tomorrow, 401),
    "a partner's request token": (request_of_a_partner, 401),
    "a command signed by a partner": (as_a_partner, 401),
    "an officer": (lambda a: a.release("officer"), 403),
    "a data-protection officer": (lambda a: a.release("dpo"), 403),
    "an auditor": (lambda a: a.release("auditor"), 403),
    "an operator whose profile is gone": (removed, 401),
    "no token": (lambda a: a.send(b"hello"), 400),
    "nothing": (lambda a: a.send(b""), 400),
}  # fmt: skip


@pytest.fixture(scope="module")
def held() -> dict[str, str]:
    """A held leg for each form."""
    return {}


async def wanted(gw: Deployment, held: dict[str, str]) -> str:
    if gw.form not in held:
        held[gw.form] = (await aside(gw, Command.HOLD_LIST, await submitted(gw, **MINOR)))["leg"]
    return held[gw.form]


@pytest.mark.parametrize("case", ATTACKS)
async def test_a_command_is_carried_out_for_its_operator_alone(gw, held, case):
    attack, status = ATTACKS[case]
    leg = await wanted(gw, held)
    async with AsyncExitStack() as stack:
        response = await attack(Attack(gw, leg, stack))
        found = await (await Attack(gw, leg, stack).client()).command(Command.LEG_INSPECT, {"leg": leg})
    assert (response.status, response.headers["Content-Type"]) == (status, "application/problem+json"), response.body
    assert found.value["state"] == "held"


async def test_a_command_is_worth_nothing_at_the_partners_listener(gw, held):
    leg = await wanted(gw, held)
    async with me(gw).client() as client, gw.client() as register:
        token = client.token(Command.HOLD_RELEASE, {"legs": [leg]})
        as_message = await register.request("POST", "/v1/messages", body=token, media_type=JOSE)
        at_path = await register.request("POST", PATH, body=token, media_type="application/jwt")
        headers = {"Authorization": f"Bearer {token.decode()}"}
        assert register._session is not None
        async with register._session.get(f"{gw.setup.origin}/v1/messages/{NOBODY}", headers=headers) as response:
            as_request = response.status
        assert (await client.send(token)).value["legs"][0]["done"], "nobody used it up: it is as good as it was, where it belongs"
    assert (as_message.status, at_path.status, as_request) == (401, 404, 401)
    held.clear()


async def test_processes_of_the_outer_zone_carry_out_nothing(scaled):
    for role in (ProcessRole.EDGE, ProcessRole.COURIER):
        url = f"http://localhost:{scaled.setup.ports.admin[role]}"
        async with OperatorClient(url, me(scaled).identity) as client:
            assert (await client.command(Command.HOLD_LIST)).status == 404
