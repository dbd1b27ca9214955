"""Attacks and accidents over what was said before: nobody ends, hides, borrows or outlives the words of another."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.app.intake import Outcome
from gateway.app.settle import Change
from gateway.contract.values import PartnerId, Role
from gateway.core.delivery import Event
from gateway.core.directory import Directory
from gateway.core.groups import ALWAYS
from gateway.core.profiles import Receives
from gateway.testing.messages import replaced
from tests.house import SCHEMAS, SHIPPED, Got, House, house
from tests.integration.app.test_earlier import ACK, ES, FR, REGISTER, RESPONSE, answer, asked, correction, legs_of, of, ours, said
from tests.notices import also, answer_to, notice
from tests.promises.test_referrals_live_apart import EXAMPLES, POLICE, PROVIDER, REF, profiles, referral, tables_of

FRENCH = [{"jurisdiction": "FR", "code": "REPLY", "citation": "Fictional Act 3"}]
SPANISH = [{"jurisdiction": "ES", "code": "REPLY", "citation": "Fictional Act 4"}]


def risk(mode: str, *, to: str = "gb-police", answers: Got | None = None) -> dict[str, Any]:
    """A risk update that says little but how the person is managed."""
    event = said("risk-update", to=to, answers=answers)
    body = {name: event["body"][name] for name in ("person", "assessed_on", "assessor_kind", "next_review", "rmp")} | {
        "management_mode": mode
    }
    if mode == "REACTIVE":
        days = {"since": "2024-01-01", "low_since": "2020-01-01", "notification_due": "2026-12-01"}
        body["reactive"] = days | {"notification_station": "Example Station"}
    event = {**event, "body": body}
    _, present = SCHEMAS.cut(of("risk-update"), event, ALWAYS)
    event["handling"]["data_quality"] = [{"group": group, "kind": "ASSESSMENT"} for group in sorted(present)]
    return event


def lawful(event: dict[str, Any], basis: list[dict[str, str]]) -> dict[str, Any]:
    event["handling"]["legal_basis"] = basis
    return event


def errors(outcome: Outcome) -> list[tuple[str | None, str | None]]:
    return [(p.rule, p.pointer or p.claim) for p in outcome.problems if p.is_error]


def received(h: House, who: PartnerId, family: str) -> Got:
    """What a partner that is pushed to got of a family; of several the last."""
    return [got for got in h.partners[who].received.values() if got.family == family][-1]


async def taken(h: House, who: str, family: str) -> Got:
    """What a partner that polls has of a family."""
    await h.run_until_idle()
    return next(got for got in await h.poll_all(who) if got.family == family)


async def alerts(h: House, who: str = REGISTER) -> list[str]:
    await h.run_until_idle()
    return [event["body"]["reason"] for event in ours(await h.poll_all(who), "ALERT")]


def leaves(h: House, gone: str) -> None:
    """A partner's profile is taken away, as by a reload."""
    world = h.holder.current
    directory = Directory([profile for profile in world.directory if profile.id != gone])
    h.holder.current = replace(
        world, grounds=replace(world.grounds, directory=directory), context=replace(world.context, directory=directory)
    )


# --- corrections ------------------------------------------------------------------------------------------------------


async def test_who_is_no_partner_any_more_keeps_a_withdrawal_from_nobody_else(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        first = await h.submit(notice("FR", "ES"))
        await h.run_until_idle()
        leaves(h, ES)
        jti = await h.submit(correction(first, "WITHDRAW", recipients_must_do="DELETE"), family=of("correction"))
        assert set(await legs_of(h, jti)) == {FR}
        assert [(r.partner, r.reason) for r in await h.refusals(jti)] == [(ES, "NO_PARTNER")]


async def test_a_withdrawal_can_be_withdrawn(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        first = await h.submit(notice("FR"))
        await h.run_until_idle()
        mistaken = await h.submit(correction(first, "WITHDRAW", recipients_must_do="DELETE"), family=of("correction"))
        await h.run_until_idle()
        await h.submit(correction(mistaken, "WITHDRAW", recipients_must_do="UPDATE"), family=of("correction"))
        assert set(await legs_of(h, await h.submit(said("risk-update"), family=of("risk-update")))) == {FR}
        assert set(await legs_of(h, await h.submit(notice("FR")))) == {FR}, "the true journey is not refused for good"


async def test_what_was_corrected_never_comes_after_its_correction(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        first = await h.submit(notice("FR"))
        leg = (await h.legs(first))[FR]
        await h.settle.run([Change(leg_id=leg.leg_id, event=Event.GAVE_UP)])
        put = {"replacement": {"travel-notification": notice("FR", seed=2)["body"]}, "fields_changed": ["/body/itinerary"]}
        await h.submit(correction(first, "REPLACE", **put), family=of("correction"))
        await h.settle.run([Change(leg_id=leg.leg_id, event=Event.RETRIED)])
        await h.run_until_idle()
        assert [got.family for got in h.partners[FR].received.values()] == ["correction"]


async def test_a_correction_into_a_forbidden_country_alerts_as_a_notice_would(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        spain = {"scope": "NAMED_COUNTRIES", "countries": ["ES"]}
        await h.submit(said("order-summary", travel_prohibition=spain, to="gb-probation"), family=of("order-summary"))
        first = await h.submit(notice("FR", body__active_travel_restriction="NONE"))
        assert await alerts(h) == []
        body = notice("FR", "ES", seed=2, body__active_travel_restriction="NONE")["body"]
        put = {"replacement": {"travel-notification": body}, "fields_changed": ["/body/itinerary"]}
        await h.submit(correction(first, "REPLACE", **put), family=of("correction"))
        assert await alerts(h) == ["TRAVEL_RESTRICTION"]


async def test_a_request_that_was_withdrawn_is_not_answered(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        got = await asked(h)
        withdrawal = correction(got.event["original"]["jti"], "WITHDRAW", corrects=got.event["original"])
        withdrawal["subject"] = {"ref": "fr-0001", "status": "CONVICTED", "is_minor": "NO"}
        await h.submit(lawful(withdrawal, FRENCH), sender=FR, family=of("correction"))
        assert errors(await h.send(answer(got), family=RESPONSE)) == [("R-CNV-01", "/routing/in_response_to")]


# --- the words of others ----------------------------------------------------------------------------------------------


async def test_nobody_takes_the_place_of_another_s_notice(tmp_path: Path) -> None:
    sends = replace(SHIPPED[ES], sends=SHIPPED[ES].sends | {"travel-notification"})
    async with house(tmp_path, profiles=also(sends)) as h:
        await h.submit(notice("FR", "ES"))
        await h.run_until_idle()
        got = received(h, ES, "travel-notification")
        other = notice("NL", routing__in_response_to={"iss": "gw-test", "jti": got.jti})
        other["subject"] = got.event["subject"]
        other["body"]["supersedes"] = got.event["original"]
        await h.send(lawful(other, SPANISH), sender=ES, family=of("travel-notification"))
        jti = await h.submit(said("risk-update"), family=of("risk-update"))
        assert {FR, ES} <= set(await legs_of(h, jti)), "the register's notice stands"


async def test_nobody_lifts_the_order_that_another_told_of(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        france = {"scope": "NAMED_COUNTRIES", "countries": ["FR"]}
        order = said("order-summary", travel_prohibition=france, to="gb-probation")
        await h.submit(order, family=of("order-summary"))
        got = await taken(h, "gb-probation", "order-summary")
        lifted = said("order-summary", answers=got, to="gb-court")
        lifted["body"]["order"] |= {name: order["body"]["order"][name] for name in ("id", "jurisdiction")} | {"status": "DISCHARGED"}
        await h.submit(lifted, sender="gb-probation", family=of("order-summary"))
        await h.submit(notice("FR", body__active_travel_restriction="NONE"))
        assert await alerts(h, "gb-police") == ["TRAVEL_RESTRICTION"]


async def test_nobody_ends_the_review_that_another_s_subject_is_due(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.submit(risk("REACTIVE", to="fr-probation"), family=of("risk-update"))
        got = await taken(h, "fr-probation", "risk-update")
        other = lawful(risk("ACTIVE", to="gb-probation", answers=got), FRENCH)
        await h.submit(other, sender="fr-probation", family=of("risk-update"))
        await h.submit(said("breach-notification", to="gb-probation"), family=of("breach-notification"))
        assert await alerts(h, "gb-police") == ["REVIEW_DUE"]


async def test_how_a_person_is_managed_is_told_to_its_register_however_the_news_came(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.submit(notice("ES"))
        await h.submit(risk("REACTIVE"), family=of("risk-update"))
        await h.run_until_idle()
        intelligence = said("intelligence-report", answers=received(h, ES, "travel-notification"), to=FR)
        await h.submit(lawful(intelligence, SPANISH), sender=ES, family=of("intelligence-report"))
        assert await alerts(h) == ["REVIEW_DUE"]
        breach = said("breach-notification", answers=received(h, FR, "intelligence-report"), to=ES)
        await h.submit(lawful(breach, FRENCH), sender=FR, family=of("breach-notification"))
        assert await alerts(h) == ["REVIEW_DUE"]
        stages = [got.event["body"].get("stage") for got in h.partners[ES].received.values()]
        assert "ALERT" not in stages, "who only passed the news on is not told"


@pytest.mark.parametrize("body", [{"stage": "ALERT", "reason": "REVIEW_DUE"}, {"stage": "DELIVERED"}, {"stage": "DEAD", "reason": "OTHER"}])
async def test_a_partner_does_not_speak_as_the_gateway(tmp_path: Path, body: dict[str, str]) -> None:
    async with house(tmp_path) as h:
        await h.submit(notice("FR"))
        await h.run_until_idle()
        outcome = await h.send(answer_to(received(h, FR, "travel-notification"), **body), sender=FR, family=ACK)
        assert ("R-CNV-02", "/body/stage") in errors(outcome)


async def test_a_reply_about_somebody_else_is_no_reply(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.submit(notice("FR"))
        await h.run_until_idle()
        event = answer_to(received(h, FR, "travel-notification"), stage="RECEIVED")
        outcome = await h.send(replaced(event, "/subject/ref", "s-999999"), sender=FR, family=ACK)
        assert errors(outcome) == [("R-CNV-01", "/subject")]


async def test_many_warnings_hide_no_error(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        got = await asked(h)
        body = said("order-summary", travel_prohibition={"scope": "ALL"})["body"]
        body["passport_surrender"] = {"required": False, "due": "2026-12-01", "station": "Example"}
        body["conditions"] = [body["conditions"][0] | {"id": f"c-{number}", "text": "words"} for number in range(60)]
        records = [{"order-summary": body}, {"order-summary": body}]
        assert {rule for rule, _ in errors(await h.send(answer(got, records=records), family=RESPONSE))} == {"R-ORD-03"}


# --- interests --------------------------------------------------------------------------------------------------------


async def test_who_was_told_by_mistake_is_not_kept_informed_though_it_asked(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        first = await h.submit(notice("FR"))
        await h.run_until_idle()
        until = str((h.clock.now() + timedelta(days=60)).date())
        asks = answer_to(received(h, FR, "travel-notification"), stage="RECEIVED", keep_informed_until=until)
        await h.submit(asks, sender=FR, family=ACK)
        await h.submit(correction(first, "WITHDRAW", recipients_must_do="DELETE"), family=of("correction"))
        assert await legs_of(h, await h.submit(said("risk-update"), family=of("risk-update"))) == {}


async def test_an_interest_in_two_countries_is_not_lost_with_the_first(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.submit(notice("FR", body__person__nationalities=["DK", "NO"]))
        breach = said("breach-notification")
        breach["handling"]["excluded_countries"] = ["DK"]
        jti = await h.submit(breach, family=of("breach-notification"))
        assert "se-hub" in await legs_of(h, jti)
        assert ("se-hub", "DK", "COUNTRY_EXCLUDED_BY_SENDER") in {(r.partner, r.country, r.reason) for r in await h.refusals(jti)}


async def test_no_recipients_named_is_as_none(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.submit(notice("FR"))
        event = said("risk-update")
        event["routing"]["recipients"] = []
        assert set(await legs_of(h, await h.submit(event, family=of("risk-update")))) == {FR}


async def test_who_is_not_concerned_any_more_by_a_changed_journey_is_told_so_and_is_interested_no_longer(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        first = await h.submit(notice("FR"))
        await h.run_until_idle()
        changed = notice("ES", seed=2)
        changed["body"]["supersedes"] = {"iss": REGISTER, "jti": first}
        jti = await h.submit(changed)
        legs = await h.legs(jti)
        assert {partner: leg.roles for partner, leg in legs.items()} == {ES: ("DESTINATION",), FR: ("INTEREST",)}
        assert set(legs[FR].groups) <= set((await h.legs(first))[FR].groups)
        await h.run_until_idle()
        assert received(h, FR, "travel-notification").event["body"]["supersedes"] == {"iss": REGISTER, "jti": first}
        assert set(await legs_of(h, await h.submit(said("risk-update"), family=of("risk-update")))) == {ES}


# --- referrals --------------------------------------------------------------------------------------------------------


async def test_what_is_no_referral_is_not_kept_with_the_one_it_answers(tmp_path: Path) -> None:
    known = profiles()
    provider = replace(known[PROVIDER], sends=known[PROVIDER].sends | {"breach-notification"})
    reads = (*known[POLICE].receives, Receives("breach-notification", frozenset({Role.NAMED}), frozenset({"MANAGE_OFFENDER"})))
    both = dict(known) | {PROVIDER: provider, POLICE: replace(known[POLICE], receives=reads)}
    async with house(tmp_path, profiles=both) as h:
        await h.submit(referral("PSEUDONYM", "p-000001"), family=REF)
        await h.run_until_idle()
        got = received(h, PROVIDER, REF.name)
        breach = lawful(said("breach-notification", answers=got, to=POLICE), FRENCH)
        outcome = await h.send(breach, sender=PROVIDER, family=of("breach-notification"))
        assert ("R-REF-03", "/routing/in_response_to") in errors(outcome)
        assert {row["family"] for row in tables_of(tmp_path)["message"]} <= {REF.name, ACK.name}


async def test_an_anonymous_referral_shares_no_conversation_with_a_notice(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=profiles()) as h:
        txn = h.dice.uuid7(h.clock.now())
        await h.submit(notice("FR"), txn=txn)
        event = replaced(EXAMPLES["ANONYMOUS"], "/routing/recipients", [{"partner": PROVIDER, "role": "NAMED"}])
        assert errors(await h.send(event, family=REF, txn=txn)) == [("R-REF-01", "txn")]


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/subject/ref", "p-1"), ("/subject/iss", REGISTER), ("/routing/case_reference", "TEST-CASE"),
        ("/body/consent", {"given": True, "at": "2026-11-01T10:00:00Z", "scope": "TEST PERSON"}),
        ("/body/person", {"names": []}), ("/extensions", {"https://gateway.example/x/1.0": {}}),
    ],
)  # fmt: skip
async def test_an_anonymous_referral_carries_no_identifier(tmp_path: Path, pointer: str, value: object) -> None:
    async with house(tmp_path, profiles=profiles()) as h:
        event = replaced(EXAMPLES["ANONYMOUS"], "/routing/recipients", [{"partner": PROVIDER, "role": "NAMED"}])
        outcome = await h.send(replaced(event, pointer, value), family=REF)
        assert outcome.receipt is None
        assert any((where or "").startswith(pointer) for _, where in errors(outcome)), errors(outcome)
