"""P3. No field reaches a partner that no policy permits; every removed field has a reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.contract.values import PartnerId
from tests.house import Got, House, house
from tests.notices import notice, policies

# Written by hand, not read from the schemas: where the fields of each group stand in a travel notice.
PLACES: Mapping[str, tuple[str, ...]] = {
    "identity": ("/body/person/names", "/body/person/birth", "/body/person/sex", "/body/person/nationalities"),
    "identifiers": ("/body/person/identifiers",),
    "identity_documents": ("/body/person/identity_documents",),
    "description": ("/body/person/description",),
    "contact": ("/body/destination_contacts",),
    "accommodation": ("/body/accommodation",),
    "itinerary": ("/body/itinerary", "/body/purpose_of_travel", "/body/notification_basis"),
    "registration": ("/body/registration_status",),
    "offences": ("/body/offence_summary",),
    "risk": ("/body/risk_level",),
    "victim_profile": ("/body/victim_profile",),
    "orders": ("/body/active_travel_restriction",),
    "sender_contact": ("/routing/contact", "/routing/case_reference"),
    "narrative": ("/body/narratives",),
}
BORDER = {"identity", "identity_documents", "itinerary", "orders", "sender_contact"}
TRANSIT = BORDER | {"identifiers", "description", "registration"}
SEEN = {"nl-border": BORDER, "es-police": TRANSIT, "fr-police": set(PLACES)}
CONTACTS = [{"phone": "+99900000001"}]
NARRATIVES = [{"kind": "OTHER", "language": "en", "text": "TEST NARRATIVE"}]


def full_notice() -> dict[str, Any]:
    return notice("NL", "ES", "FR", body__destination_contacts=CONTACTS, body__narratives=NARRATIVES)


def holds(event: Mapping[str, Any], pointer: str) -> bool:
    node: Any = event
    for step in pointer.split("/")[1:]:
        if step not in node:
            return False
        node = node[step]
    return True


def seen(event: Mapping[str, Any]) -> set[str]:
    return {group for group, places in PLACES.items() if any(holds(event, place) for place in places)}


async def documents(h: House, pushed: Iterable[str]) -> dict[str, Got]:
    await h.run_until_idle()
    got = {name: next(iter(h.partners[PartnerId(name)].received.values())) for name in pushed}
    return got | {"nl-border": next(iter((await h.poll("nl-border")).values()))}


async def test_p3_no_field_reaches_a_partner_that_no_policy_permits(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        assert seen(full_notice()) == set(PLACES)  # the notice holds every group, so that each can be missed
        jti = await h.submit(full_notice())
        got = await documents(h, ["es-police", "fr-police"])
        assert {partner: seen(one.event) for partner, one in got.items()} == SEEN
        assert set(await h.legs(jti)) == set(SEEN)


async def test_p3_every_removed_field_has_a_reason(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti = await h.submit(full_notice())
        got, legs = await documents(h, ["es-police", "fr-police"]), await h.legs(jti)
        for partner, one in got.items():
            told = {entry["group"]: entry["reason"] for entry in one.event["withheld"]}
            assert set(told) == set(PLACES) - SEEN[partner], partner
            recorded = legs[PartnerId(partner)].removed
            assert {group: reason for group, reason, _ in recorded} == told
            assert all(because for _, _, because in recorded)


NOTHING = """@id("only-send") permit (principal, action in [Action::"send", Action::"send_unreviewed"], resource);"""
FORBID = """@id("not-the-names") forbid (principal, action == Action::"see_identity", resource == Family::"travel-notification");"""


@pytest.mark.parametrize(
    ("more", "without", "gone", "reason", "because"),
    [
        pytest.param(NOTHING, ["travel.cedar"], set(PLACES), "NO_PERMIT", ("default-deny",), id="sending-alone-shows-nothing"),
        pytest.param(FORBID, [], {"identity"}, "POLICY_FORBID", ("not-the-names",), id="a-forbid-wins-over-the-permits"),
    ],
)
async def test_p3_other_policies_other_fields(
    tmp_path: Path, more: str, without: list[str], gone: set[str], reason: str, because: tuple[str, ...]
) -> None:
    async with house(tmp_path, policies=policies(more, without=without)) as h:
        jti = await h.submit(full_notice())
        await h.run_until_idle()
        (got,) = h.partners[PartnerId("fr-police")].received.values()
        assert seen(got.event) == set(PLACES) - gone
        removed = (await h.legs(jti))[PartnerId("fr-police")].removed
        assert {(group, why, ids) for group, why, ids in removed} == {(group, reason, because) for group in gone}
