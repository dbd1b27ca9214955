"""A courier speaks for what it carried, and for nothing else."""

from __future__ import annotations

import json
from pathlib import Path

from gateway.app import topics
from gateway.app.codec import Report, encode_report
from gateway.app.ports import Outgoing
from gateway.app.settle import Change
from gateway.contract.transports import Outcome, Reply
from gateway.contract.values import PartnerId
from gateway.core.delivery import Event, State
from tests.house import ROOT, SHIPPED, house, with_delivery

BORDER = PartnerId("nl-border")
EVENT = json.loads((ROOT / "schemas/families/travel-notification/examples/valid.json").read_text(encoding="utf-8"))


async def test_a_courier_cannot_close_a_leg_that_was_offered_in_the_inbox(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti = await h.submit(EVENT)
        await h.ask("poll", "/v1/poll", who=BORDER, method="POST", body=b"{}")
        leg = (await h.legs(jti))[BORDER]
        assert leg.state is State.AVAILABLE
        lie = Report(leg_id=leg.leg_id, partner=BORDER, attempt=1, outcome=Outcome.DELIVERED)
        await h.bus.publish([Outgoing(topics.OUTCOMES, b"", encode_report(lie))])
        assert await h.settle.run([Change(leg_id=leg.leg_id, event=Event.DELIVERED, attempt=1, partner=BORDER)]) == []
        await h.run_until_idle()
        assert (await h.legs(jti))[BORDER].state is State.AVAILABLE


async def test_a_report_under_another_partner_s_name_is_ignored(tmp_path: Path) -> None:
    profiles = {**SHIPPED, BORDER: with_delivery(SHIPPED[BORDER], transport="https_push")}
    async with house(tmp_path, profiles=profiles) as h:
        h.partners[BORDER].answers = [Reply(Outcome.FAILED, "busy")]
        jti = await h.submit(EVENT)
        await h.run_until_idle()
        leg = (await h.legs(jti))[BORDER]
        assert leg.attempt == 1
        assert await h.settle.run([Change(leg_id=leg.leg_id, event=Event.DELIVERED, attempt=1, partner=PartnerId("fr-police"))]) == []
        (settled,) = await h.settle.run([Change(leg_id=leg.leg_id, event=Event.DELIVERED, attempt=1, partner=BORDER)])
        assert settled.state is State.DELIVERED, "a late success of the courier that carried it counts"
