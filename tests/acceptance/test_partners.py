"""A partner's life on both forms: checked through its courier, stopped and let go again, by the command line."""

from __future__ import annotations

from gateway.testing.partner import GOOD, Behaviour
from tests.acceptance.deployment import FRANCE, Deployment, behave, eventually_async
from tests.acceptance.test_operators import cli, leg_to, submitted


async def test_a_partner_is_checked_by_its_own_transport_and_what_failed_is_said(gw):
    assert await cli(gw, "partner", "check", FRANCE, role="officer") == (0, f"{FRANCE}: took the verification message\n")
    behave(gw, FRANCE, Behaviour(status=503))
    code, told = await cli(gw, "partner", "check", FRANCE, role="officer")
    assert (code, told) == (3, f"{FRANCE}: it is not available for now (http-503)\n")
    assert "http-503" in (await cli(gw, "partner", "list", role="auditor"))[1]


async def test_a_paused_partner_gets_its_messages_when_it_is_resumed(gw):
    assert (await cli(gw, "partner", "pause", FRANCE, role="officer"))[0] == 0
    try:
        jti = await submitted(gw)
        await leg_to(gw, jti, "ready")
    finally:
        assert (await cli(gw, "partner", "resume", FRANCE, role="admin"))[0] == 0
    await leg_to(gw, jti, "delivered")


async def test_who_has_no_role_for_it_stops_no_partner(gw):
    code, told = await cli(gw, "partner", "suspend", FRANCE, role="auditor")
    assert (code, "do not give" in told) == (3, True)


async def test_what_was_tried_is_listed_with_what_it_came_to(gw):
    behave(gw, FRANCE, Behaviour(status=503))
    jti = await submitted(gw)
    await until_tried(gw, "http-503", role="auditor")
    behave(gw, FRANCE, GOOD)
    await leg_to(gw, jti, "delivered")
    assert "delivered" in (await cli(gw, "partner", "attempts", FRANCE, "--limit", "5", role="officer"))[1]
    failed = (await cli(gw, "partner", "attempts", FRANCE, "--failed", "--limit", "500", role="officer"))[1]
    assert "http-503" in failed
    assert "delivered" not in failed


async def until_tried(gw: Deployment, code: str, *, role: str) -> str:
    """Wait until an attempt with that code is listed."""

    async def look() -> str | None:
        exit_code, told = await cli(gw, "partner", "attempts", FRANCE, "--failed", role=role)
        assert exit_code == 0, told
        return told if code in told else None

    return await eventually_async(look, what=f"an attempt that came to {code}")
