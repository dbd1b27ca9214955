"""P2. Every recipient of an accepted message ends in exactly one visible state. Never nothing."""

from __future__ import annotations

from pathlib import Path

from gateway.contract.transports import Outcome, Reply
from gateway.contract.values import PartnerId
from gateway.core.delivery import ENDED, State
from tests.house import SHIPPED, Got, House, house, with_delivery
from tests.notices import HELP, also, another, notice

ENDS = {
    "fr-police": State.DELIVERED,
    "nl-border": State.RECEIPTED,
    "es-police": State.DEAD,
    "es-judge": State.DEAD,
    "nl-coast": State.EXPIRED,
    "fr-coast": State.HELD,
}
PROFILES = also(
    with_delivery(SHIPPED[PartnerId("es-police")], attempts_max=2),
    another("es-police", "es-judge"),
    with_delivery(another("nl-border", "nl-coast"), expire_seconds=3600),
    another("fr-police", "fr-coast", suspended=True),
)


async def live(h: House) -> list[Got]:
    """Let an hour and more pass; return what the register heard."""
    heard: list[Got] = []
    for _ in range(40):
        await h.run_until_idle()
        taken = await h.poll("nl-border")
        await h.poll("nl-border", ack=taken)
        heard += await h.poll_all("gb-register")
        h.clock.advance(seconds=100)
    return heard


async def test_p2_each_country_and_partner_is_a_leg_that_ends_or_a_refusal(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=PROFILES) as h:
        h.partners[PartnerId("es-police")].answers = [Reply(Outcome.FAILED, "http-503")]
        h.partners[PartnerId("es-judge")].answers = [Reply(Outcome.REFUSED, "invalid_request")]
        jti = await h.submit(notice("FR", "NL", "ES", "TH", routing__recipients=[HELP]))
        heard = await live(h)
        legs, refusals = await h.legs(jti), await h.refusals(jti)
        assert {partner: leg.state for partner, leg in legs.items()} == ENDS
        assert {(r.partner, r.country, r.reason) for r in refusals} == {("help-line", "GB", "POLICY"), (None, "TH", "NO_PARTNER")}
        assert legs[PartnerId("fr-coast")].hold_reason == "SUSPENDED"
        told = {got.event["body"]["leg"]["partner"]: got.event["body"]["stage"] for got in heard if "leg" in got.event["body"]}
        assert told == {partner: state.value.upper() for partner, state in ENDS.items() if state in ENDED}


async def test_p2_a_leg_that_waits_behind_another_ends_too(tmp_path: Path) -> None:
    profiles = also(with_delivery(SHIPPED[PartnerId("nl-border")], expire_seconds=3600))
    async with house(tmp_path, profiles=profiles) as h:
        jtis = [await h.submit(notice("NL")) for _ in range(3)]  # nobody ever polls
        for _ in range(40):
            await h.run_until_idle()
            h.clock.advance(seconds=100)
        assert {leg.state for jti in jtis for leg in (await h.legs(jti)).values()} == {State.EXPIRED}


async def test_p2_a_delivery_that_owes_a_receipt_is_not_left_open(tmp_path: Path) -> None:
    owing = another("fr-police", "fr-desk")
    profiles = also(with_delivery(owing, closes=SHIPPED[PartnerId("nl-border")].delivery.closes, receipt_seconds=600))  # type: ignore[union-attr]
    async with house(tmp_path, profiles=profiles) as h:
        jti = await h.submit(notice("FR"))
        await h.run_until_idle()
        assert (await h.legs(jti))[PartnerId("fr-desk")].state is State.DELIVERED
        h.clock.advance(seconds=601)
        await h.run_until_idle()
        leg = (await h.legs(jti))[PartnerId("fr-desk")]
        assert (leg.state, leg.reason) == (State.DEAD, "NO_RECEIPT")
