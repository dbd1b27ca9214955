"""Each of the twelve families, from a partner that may send it to one that may get it, on both forms: what arrives is what was sent.

Apart from field groups, that is, which the copy names as withheld. What answers something is sent after what it answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from gateway.contract.values import Family, Jti
from gateway.core.tokens import Verified
from gateway.testing.client import sealed_message
from gateway.testing.families import GENERATORS, sample
from gateway.testing.messages import Sample, data_quality, instant, replaced
from tests.acceptance.deployment import BORDER, FRANCE, REGISTER, Deployment, Sent, event_of, family_of, original_of, receipt_of
from tests.survival import check_survival

Event = Mapping[str, Any]
CONCERN: Final = "safeguarding-concern"
NOBODY: Final[Event] = {"person": {}}
TRAVEL, ORDER, RISK, REGISTRATION, INTELLIGENCE, BREACH, TRANSFER, REFERRAL, REQUEST, RESPONSE, ACKNOWLEDGEMENT, CORRECTION = (
    Family(name, "1.0")
    for name in (
        "travel-notification", "order-summary", "risk-update", "registration-record", "intelligence-report", "breach-notification",
        "supervision-transfer", "support-referral", "information-request", "information-response", "acknowledgement", "correction",
    )
)  # fmt: skip


def generated(gw: Deployment, family: Family, wanted: Callable[[Event], bool] = lambda _: True) -> Sample:
    """A message of a family as the generator makes it, of a wanted sort, about a subject of its own."""
    while not wanted((made := sample(family, gw.dice, datetime.now(UTC))).event):
        pass
    known = "ref" in made.event["subject"]
    event = replaced(made.event, "/subject/ref", f"t-{gw.dice.getrandbits(48):012x}") if known else made.event
    return Sample(family=family, event=event, jti=made.jti, txn=made.txn, iat=made.iat, toe=made.toe)


def named(event: Event, *partners: str, **pointers: object) -> dict[str, Any]:
    """The event with these recipients alone, and values by pointer with `__` for the strokes."""
    changed = replaced(event, "/routing/recipients", [{"partner": partner, "role": "NAMED"} for partner in partners])
    for name, value in pointers.items():
        changed = replaced(changed, "/" + name.replace("__", "/"), value)
    return changed


async def submitted(gw: Deployment, sender: str, made: Sample, event: Event, *, txn: str | None = None) -> Sent:
    """Submit an event as a message of its own; it must be accepted."""
    kit = gw.kit(sender)
    claims = made.claims(iss=sender, aud=gw.setup.gateway, uri_base=kit.uri_base)
    ((uri, _),) = claims["events"].items()
    jws, sealed = sealed_message(claims | {"events": {uri: event}, "txn": txn or made.txn}, kit.submit_key, kit.gateway_encryption)
    sent = Sent(Jti(made.jti), event, jws, sealed)
    async with gw.client(sender) as client:
        receipt_of(client, await client.submit(sealed), sent)
    return sent


async def arrived(gw: Deployment, partner: str, sent: Sent, family: Family) -> tuple[Verified, set[str]]:
    """What a partner got of a message, and what of it was withheld; nothing else may differ."""
    if partner in gw.pushed:
        document = await gw.until_received(partner, sent.jti)
    else:
        async with gw.client(partner) as client:
            document = await gw.take(client, partner, lambda one: original_of(one) == sent.jti)
    assert family_of(document) == family.name
    return document, check_survival(family, sent.event, event_of(document))


def reply(made: Sample, to: Verified, **pointers: object) -> dict[str, Any]:
    """An event as the answer to a document, as it was received."""
    event = replaced(made.event, "/routing/in_response_to", {"iss": to.claims["iss"], "jti": to.jti})
    event = replaced(event, "/subject", event_of(to)["subject"])
    for name, value in pointers.items():
        event = replaced(event, "/" + name.replace("__", "/"), value)
    return event


def intelligence(event: Event) -> bool:
    return event["body"]["kind"] == "intelligence" and (event["body"]["source_evaluation"], event["body"]["information_assessment"]) != (
        "3",
        "E",
    )


def concern(event: Event) -> bool:
    return event["body"]["kind"] == CONCERN


def with_document(event: Event) -> bool:
    return "identity_documents" in event["body"]["person"]


def to_a_treatment_service(event: Event) -> bool:
    return event["body"]["identity_mode"] == "IDENTIFIED" and "health" in event["body"] and not event["body"]["safeguarding_flag"]


# family, sender, receiver; which of the generator's; what is changed; groups that are withheld among others
ALONE = [
    pytest.param(REGISTRATION, REGISTER, FRANCE, None, {}, set(), id="registration-record-to-police"),
    pytest.param(INTELLIGENCE, REGISTER, FRANCE, intelligence, {"subject__status": "CONVICTED"}, set(), id="intelligence-to-police"),
    pytest.param(BREACH, REGISTER, "gb-court", with_document, {"handling__codes": ["H0"]}, {"identity_documents"}, id="breach-to-a-court"),
    pytest.param(ORDER, "gb-court", "gb-probation", None, {}, set(), id="order-of-a-court-to-probation"),
    pytest.param(RISK, "gb-probation", "gb-children", None, {"handling__purpose": "SAFEGUARD"}, set(), id="risk-to-children's-services"),
    pytest.param(REFERRAL, "gb-probation", "fr-health", to_a_treatment_service, {}, set(), id="referral-to-those-who-treat"),
    pytest.param(REFERRAL, "gb-support", "help-line", to_a_treatment_service, {}, {"health"}, id="referral-to-volunteers"),
]  # fmt: skip


@pytest.mark.parametrize(("family", "sender", "receiver", "wanted", "change", "withheld"), ALONE)
async def test_a_message_to_a_named_partner_arrives_as_it_was_sent(gw, family, sender, receiver, wanted, change, withheld):
    made = generated(gw, family, wanted or (lambda _: True))
    sent = await submitted(gw, sender, made, named(made.event, receiver, **change))
    _, gone = await arrived(gw, receiver, sent, family)
    assert withheld <= gone


async def test_a_safeguarding_concern_of_volunteers_reaches_all_who_protect_its_place(gw):
    made = generated(gw, INTELLIGENCE, concern)
    sent = await submitted(gw, "help-line", made, made.event)
    for protects in ("gb-police", "gb-social", "gb-children"):
        document, gone = await arrived(gw, protects, sent, INTELLIGENCE)
        assert event_of(document)["body"]["kind"] == CONCERN
        assert not gone & {"intelligence", "narrative"}


async def test_what_follows_a_notice_reaches_who_was_told_of_it_and_the_answer_its_sender(gw):
    """By their live interest alone: no recipient of the order or the risk update is named."""
    async with gw.client() as register:
        notice = gw.message()
        await register.submit(notice.sealed)
    told, _ = await arrived(gw, FRANCE, notice, TRAVEL)
    subject = notice.event["subject"]
    order = generated(gw, ORDER)
    ordered = await submitted(gw, REGISTER, order, replaced(order.event, "/subject", subject))
    await arrived(gw, FRANCE, ordered, ORDER)
    risk = generated(gw, RISK)
    assessed = await submitted(gw, REGISTER, risk, replaced(risk.event, "/subject", subject))
    await arrived(gw, FRANCE, assessed, RISK)
    seen = generated(gw, ACKNOWLEDGEMENT)
    body = {"stage": "RECEIVED", "at": instant(datetime.now(UTC))}
    acknowledged = await submitted(gw, FRANCE, seen, quality(reply(seen, told, body=body)), txn=told.claims["txn"])
    await arrived(gw, REGISTER, acknowledged, ACKNOWLEDGEMENT)


async def test_a_correction_reaches_who_was_told_and_shows_no_more_than_was_told(gw):
    made = generated(gw, ORDER, lambda event: "identifiers" in event["body"]["person"])
    wrong = await submitted(gw, REGISTER, made, named(made.event, BORDER, handling__purpose="BORDER"))
    _, hidden = await arrived(gw, BORDER, wrong, ORDER)
    correction = generated(
        gw, CORRECTION, lambda event: "identifiers" in event["body"].get("replacement", {}).get(ORDER.name, NOBODY)["person"]
    )
    event = replaced(replaced(correction.event, "/subject", made.event["subject"]), "/body/corrects", {"iss": REGISTER, "jti": wrong.jti})
    corrected = await submitted(gw, REGISTER, correction, event)
    document, _ = await arrived(gw, BORDER, corrected, CORRECTION)
    withheld = {entry["group"]: entry["reason"] for entry in event_of(document)["withheld"]}
    assert "identifiers" in hidden
    assert withheld["identifiers"] == "NOT_IN_ORIGINAL"
    assert set(event_of(document)["body"]["replacement"][ORDER.name]["person"]).isdisjoint({"identifiers", "description", "photo"})


async def test_a_transfer_of_supervision_is_proposed_and_accepted(gw):
    made = generated(gw, TRANSFER)
    proposed = await submitted(gw, "gb-probation", made, named(made.event, "fr-probation"))
    document, _ = await arrived(gw, "fr-probation", proposed, TRANSFER)
    answer = generated(gw, TRANSFER)
    event = reply(answer, document, routing__recipients=[{"partner": "gb-probation", "role": "NAMED"}], body__stage="ACCEPTED")
    accepted = await submitted(gw, "fr-probation", answer, event, txn=document.claims["txn"])
    await arrived(gw, "gb-probation", accepted, TRANSFER)


async def test_a_request_is_answered_for_the_purpose_it_was_made_for(gw):
    made = generated(gw, REQUEST, lambda event: event["handling"]["purpose"] == "INVESTIGATE")
    asked = await submitted(gw, REGISTER, made, named(made.event, FRANCE))
    document, _ = await arrived(gw, FRANCE, asked, REQUEST)
    answer = generated(gw, RESPONSE, lambda event: event["handling"]["purpose"] == "INVESTIGATE" and event["body"].get("records"))
    told = await submitted(gw, FRANCE, answer, reply(answer, document), txn=document.claims["txn"])
    _, gone = await arrived(gw, REGISTER, told, RESPONSE)
    assert not gone & {"exchange", "identity", "orders"}


def quality(event: Event) -> dict[str, Any]:
    """The event with an entry of quality for each group it now has."""
    return replaced(event, "/handling/data_quality", data_quality(event))


def test_every_family_is_among_those_sent_here():
    sent = {TRAVEL, ORDER, RISK, ACKNOWLEDGEMENT, CORRECTION, TRANSFER, REQUEST, RESPONSE, INTELLIGENCE} | {
        case.values[0] for case in ALONE
    }
    assert sent == set(GENERATORS)
