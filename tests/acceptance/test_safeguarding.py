"""A safeguarding concern that goes to nobody is told at once: to its sender, and to the police of the place (R-SAF-03, R-SAF-04)."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.contract.values import Jti
from gateway.core.escalation import ALERT
from gateway.core.tokens import Verified
from gateway.testing.client import sealed_message
from gateway.testing.families import intelligence_report, sample
from gateway.testing.messages import replaced
from tests.acceptance.deployment import Deployment, Sent, event_of, original_of, receipt_of

SENDER, POLICE = "help-line", "ca-police"
PLACE = {"text": "Example Road 1, Exampleville", "country": "CA"}  # its police asked for no concerns, and nobody else has


def concern(gw: Deployment) -> Sent:
    while (made := sample(intelligence_report.FAMILY, gw.dice, datetime.now(UTC))).event["body"]["kind"] != "safeguarding-concern":
        pass
    event = replaced(replaced(made.event, "/body/event/place", PLACE), "/handling/codes", ["H0"])
    event = replaced(event, "/subject/ref", f"t-{gw.dice.getrandbits(48):012x}")
    kit = gw.kit(SENDER)
    claims = made.claims(iss=SENDER, aud=gw.setup.gateway, uri_base=kit.uri_base)
    ((uri, _),) = claims["events"].items()
    jws, sealed = sealed_message(claims | {"events": {uri: event}}, kit.submit_key, kit.gateway_encryption)
    return Sent(Jti(made.jti), event, jws, sealed)


def alerts(document: Verified, sent: Sent) -> bool:
    event = event_of(document)
    return event["routing"].get("in_response_to", {}).get("jti") == sent.jti and event["body"].get("reason") == ALERT


async def test_a_concern_for_a_place_where_nobody_receives_them_is_not_left_alone(gw: Deployment) -> None:
    sent = concern(gw)
    async with gw.client(SENDER) as client:
        receipt = receipt_of(client, await client.submit(sent.sealed), sent)
        (call,) = [one for one in receipt.problems if one.get("rule") == "R-SAF-03"]
        assert call["detail"] == "the emergency number in CA is 911 (not verified)"
        await gw.take(client, SENDER, lambda one: alerts(one, sent))
    async with gw.client(POLICE) as police:
        document = await gw.take(police, POLICE, lambda one: original_of(one) == sent.jti)
    assert event_of(document)["body"]["text"] == sent.event["body"]["text"]
