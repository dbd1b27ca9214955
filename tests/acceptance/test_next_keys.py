"""A partner changes its keys while it sends: submitted, approved by the command line, used; nothing is refused and nothing restarted."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from gateway.core import tokens
from gateway.core.keys import SigningKey, Use, VerifyKey
from gateway.keystores.generate import Plan, new_pair
from gateway.testing.client import PartnerClient
from tests.acceptance.deployment import BORDER, REGISTER, Deployment, eventually_async
from tests.acceptance.test_operators import cli


@dataclass
class Traffic:
    """A register that sends on, with the key it has in hand."""

    gw: Deployment
    key: SigningKey
    statuses: list[int] = field(default_factory=list)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, client: PartnerClient) -> None:
        while not self.stopped.is_set():
            self.statuses.append(await send(self.gw, client, self.key))
            await asyncio.sleep(0.05)


async def send(gw: Deployment, client: PartnerClient, key: SigningKey) -> int:
    sent = gw.message()
    claims = tokens.verify(tokens.unwrap(sent.jws, {}, typ=tokens.EVENT, encrypted="allowed"), current(gw, REGISTER)).claims
    jws = tokens.sign(claims, key, typ=tokens.EVENT)
    return (await client.submit(tokens.encrypt(jws, gw.kit().gateway_encryption))).status


def current(gw: Deployment, partner: str) -> VerifyKey:
    (found,) = [each for each in gw.kit(partner).known if each.owner == partner and each.use is Use.SUBMIT]
    return found


async def test_a_partner_s_next_key_is_believed_without_a_restart_and_nothing_is_refused(gw):
    kit = gw.kit()
    pair = new_pair(Plan(owner=kit.partner, now=datetime.now(UTC)), Use.SUBMIT)
    assert isinstance(pair.entry, VerifyKey)
    new = SigningKey(kid=pair.entry.kid, use=Use.SUBMIT, private=pair.private)
    async with gw.client() as client:
        traffic = Traffic(gw, kit.submit_key)
        running = asyncio.create_task(traffic.run(client))
        submit = client.submit_key(pair.entry, new, current=kit.submit_key, by=current(gw, REGISTER))
        answer = await submit
        assert (answer.status, answer.value["state"]) == (202, "pending"), answer.body
        assert await send(gw, client, new) == 401
        code, told = await cli(gw, "partner", "keys", "list", "--state", "pending", role="auditor")
        assert (code, pair.entry.kid in told, answer.value["thumbprint"] in told) == (0, True, False)
        wrong = answer.value["thumbprint"][::-1]
        code, told = await cli(gw, "partner", "keys", "approve", REGISTER, pair.entry.kid, "--thumbprint", wrong, role="admin")
        assert (code, "do not approve it" in told) == (3, True)
        code, told = await cli(
            gw, "partner", "keys", "approve", REGISTER, pair.entry.kid, "--thumbprint", answer.value["thumbprint"], role="admin"
        )
        assert (code, told) == (0, f"{REGISTER}: {pair.entry.kid} is approved\n")

        async def believed() -> bool:
            return await send(gw, client, new) == 202

        await eventually_async(believed, what="the new key")
        traffic.key = new
        await asyncio.sleep(1)
        traffic.key = kit.submit_key
        await asyncio.sleep(1)
        traffic.stopped.set()
        await running
        assert set(traffic.statuses) - {503} == {202}  # 503: a busy machine, and nothing said of keys
        assert len(traffic.statuses) > 5
        again = await client.submit_key(pair.entry, new, current=new, by=pair.entry)
        assert (again.status, again.value["state"]) == (200, "approved")
        assert (await cli(gw, "partner", "keys", "revoke", REGISTER, pair.entry.kid, role="admin"))[0] == 0

        async def refused() -> bool:
            return await send(gw, client, new) == 401

        await eventually_async(refused, what="the revocation")
        assert await send(gw, client, kit.submit_key) == 202


async def test_a_key_signed_by_another_partner_is_refused(gw):
    kit, other = gw.kit(), gw.kit(BORDER)
    pair = new_pair(Plan(owner=kit.partner, now=datetime.now(UTC)), Use.SUBMIT)
    assert isinstance(pair.entry, VerifyKey)
    new = SigningKey(kid=pair.entry.kid, use=Use.SUBMIT, private=pair.private)
    async with gw.client() as client:
        thief = replace(other.submit_key, kid=kit.submit_key.kid)
        answer = await client.submit_key(pair.entry, new, current=thief, by=current(gw, REGISTER))
    assert answer.status == 401
