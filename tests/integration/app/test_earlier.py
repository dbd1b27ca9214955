"""What was said before decides what follows: interests, conversations, corrections, over a real store, one message at a time and in batches."""

from __future__ import annotations

import copy
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from gateway.app.intake import Outcome, Submission
from gateway.contract.values import Family, PartnerId
from gateway.core.delivery import State
from gateway.core.groups import ALWAYS
from gateway.testing.clock import START
from tests.house import ROOT, SCHEMAS, House, house
from tests.notices import answer_to, notice

FR, ES, NL, REGISTER = PartnerId("fr-police"), PartnerId("es-police"), PartnerId("nl-border"), "gb-register"
ACK = Family("acknowledgement", "1.0")
SUBJECT = "s-000001"


def said(family: str, *, subject: str = SUBJECT, answers: Any = None, to: str | None = None, **body: Any) -> dict[str, Any]:
    """The valid example of a family about the subject of `notice`; a member set to ... is left out."""
    event: dict[str, Any] = json.loads((ROOT / "schemas/families" / family / "examples/valid.json").read_text(encoding="utf-8"))
    event["subject"]["ref"] = subject
    event["body"] = {name: value for name, value in (event["body"] | body).items() if value is not ...}
    for name in ("in_response_to", "recipients", "reply_by"):
        event["routing"].pop(name, None)
    event["routing"]["action_requested"] = "INFORMATION_ONLY"
    if to is not None:
        event["routing"]["recipients"] = [{"partner": to, "role": "NAMED"}]
    if answers is not None:
        event["routing"]["in_response_to"] = {"iss": "gw-test", "jti": answers.jti}
        event["subject"] = copy.deepcopy(answers.event["subject"])
    return event


def of(family: str) -> Family:
    return Family(family, "1.0")


async def legs_of(h: House, jti: str, *, sender: str = REGISTER) -> dict[str, State]:
    return {leg.partner: leg.state for leg in (await h.legs(jti, sender=sender)).values()}


def ours(events: list[Any], stage: str) -> list[Any]:
    return [got.event for got in events if got.event["body"].get("stage") == stage]


# --- interests --------------------------------------------------------------------------------------------------------


async def test_a_risk_update_follows_the_notice_to_those_it_told_and_to_nobody_else(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.submit(notice("FR"))
        jti = await h.submit(said("risk-update"), family=of("risk-update"))
        assert set(await legs_of(h, jti)) == {FR}
        await h.run_until_idle()
        assert [got.event["body"].get("management_mode") is not None for got in h.partners[FR].received.values()] == [False, True]
        assert not h.partners[ES].received
        other = await h.submit(said("risk-update", subject="s-another"), family=of("risk-update"))
        assert await legs_of(h, other) == {}


async def test_a_stay_that_ended_ends_the_interest(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        itinerary = notice("FR")["body"]["itinerary"]
        arrives = itinerary["segments"][0]["arrival"]["date"]
        await h.submit(notice("FR", body__itinerary__return={"date": arrives}))
        h.clock.advance(timedelta(days=2) + (_noon(arrives) - START))
        event = said("risk-update")
        event["handling"]["retention"] |= {"delete_by": "2099-01-01", "review_by": "2099-01-01"}
        jti = await h.submit(_fresh(event, h), family=of("risk-update"))
        assert await legs_of(h, jti) == {}


def _noon(day: str) -> Any:
    return START.fromisoformat(f"{day}T12:00:00+00:00")


def _fresh(event: dict[str, Any], h: House) -> dict[str, Any]:
    """Return an event whose own days lie right at the time of the house."""
    today = h.clock.now().date()
    event["handling"]["retention"] = {"review_by": str(today + timedelta(days=90)), "delete_by": str(today + timedelta(days=300))}
    return event


async def test_a_member_of_a_batch_sees_those_before_it(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        tokens = [h.token(notice("FR")), h.token(said("risk-update"), family=of("risk-update"))]
        told, updated = await h.intake.accept([Submission(token, PartnerId(REGISTER)) for token in tokens])
        assert told.receipt is not None
        assert updated.receipt is not None, updated.problems
        await h.run_until_idle()
        assert len(h.partners[FR].received) == 2


# --- conversations ----------------------------------------------------------------------------------------------------


async def asked(h: House) -> Any:
    """Let the French police ask the register about a person of its own; return what the register read."""
    event = said("information-request", subject="fr-0001", to=REGISTER)
    event["handling"] |= {"legal_basis": [{"jurisdiction": "FR", "code": "REQUEST", "citation": "Fictional Act 1"}]}
    await h.submit(event, sender=FR, family=of("information-request"))
    await h.run_until_idle()
    (got,) = [one for one in await h.poll_all(REGISTER) if "requested_blocks" in one.event["body"]]
    return got


def answer(got: Any, **body: Any) -> dict[str, Any]:
    event = said("information-response", answers=got, **body)
    event["handling"]["purpose"] = got.event["handling"]["purpose"]
    return event


RESPONSE = of("information-response")


async def test_a_response_goes_to_who_asked_and_closes_the_conversation(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        got = await asked(h)
        jti = await h.submit(answer(got), family=RESPONSE)
        assert set(await legs_of(h, jti)) == {FR}
        again = await h.send(answer(got), family=RESPONSE)
        assert [(p.rule, p.pointer) for p in again.problems] == [("R-CNV-01", "/routing/in_response_to")]
        assert again.rejection is not None, "it was signed, so the rejection is"


async def test_what_was_said_before_does_not_use_up_the_jti_of_what_it_rejects(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        got = await asked(h)
        wrong = answer(got)
        wrong["handling"]["purpose"] = "BORDER"
        jti = h.dice.uuid7(h.clock.now())
        refused = await h.send(wrong, family=RESPONSE, jti=jti)
        assert [p.rule for p in refused.problems] == ["R-REQ-04"]
        mended = await h.send(answer(got), family=RESPONSE, jti=jti)
        assert mended.receipt is not None, mended.problems
        assert [p.code.value for p in (await h.send(wrong, family=RESPONSE, jti=jti)).problems] == ["conflict"]


async def test_the_same_bytes_twice_in_a_batch_are_rejected_alike(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        got = await asked(h)
        await h.submit(answer(got), family=RESPONSE)
        token = h.token(answer(got), family=RESPONSE)
        outcomes: list[Outcome] = await h.intake.accept([Submission(token, PartnerId(REGISTER))] * 2)
        assert [[p.rule for p in outcome.problems] for outcome in outcomes] == [["R-CNV-01"]] * 2


async def test_a_transfer_runs_from_proposal_to_return(tmp_path: Path) -> None:
    transfer = of("supervision-transfer")
    async with house(tmp_path) as h:
        here, there = "gb-probation", "fr-probation"
        txn = h.dice.uuid7(h.clock.now())
        proposal = said("supervision-transfer", subject="case-1", to=there, stage="PROPOSED", refusal_reason=...)
        await h.submit(proposal, sender=here, family=transfer, txn=txn)
        (got,) = (await h.poll_all(there)) or [await _offered(h, there)]
        accepted = said("supervision-transfer", answers=got, to=here, stage="ACCEPTED", refusal_reason=...)
        accepted["handling"]["legal_basis"] = [{"jurisdiction": "FR", "code": "TRANSFER", "citation": "Fictional Act 2"}]
        jti = await h.submit(accepted, sender=there, family=transfer)
        assert set(await legs_of(h, jti, sender=there)) == {here}, "as a reply, though it names it too"
        early = await h.send(
            said("supervision-transfer", subject="case-1", to=there, stage="RETURNED"), sender=here, family=transfer, txn=txn
        )
        assert [(p.rule, p.pointer) for p in early.problems] == [("R-CNV-02", "/body/stage")]
        done = said("supervision-transfer", subject="case-1", to=there, stage="COMPLETED", refusal_reason=...)
        assert set(await legs_of(h, await h.submit(done, sender=here, family=transfer, txn=txn), sender=here)) == {there}


async def _offered(h: House, who: str) -> Any:
    await h.run_until_idle()
    (got,) = await h.poll_all(who)
    return got


async def test_an_answer_after_its_time_is_taken_and_marked_on_its_copy(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        due = (START + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
        await h.submit(notice("FR", routing__action_requested="REPLY", routing__reply_by=due))
        await h.run_until_idle()
        (got,) = h.partners[FR].received.values()
        h.clock.advance(timedelta(hours=2))
        await h.submit(answer_to(got, stage="RECEIVED"), sender=FR, family=ACK)
        await h.run_until_idle()
        (received,) = ours(await h.poll_all(REGISTER), "RECEIVED")
        assert received["marks"] == ["REPLY_LATE"]


async def test_acknowledgements_go_only_forward(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.submit(notice("FR"))
        await h.run_until_idle()
        (got,) = h.partners[FR].received.values()
        await h.submit(answer_to(got, stage="ACTIONED", outcome="MONITORED"), sender=FR, family=ACK)
        back = await h.send(answer_to(got, stage="RECEIVED"), sender=FR, family=ACK)
        assert [(p.rule, p.pointer) for p in back.problems] == [("R-CNV-02", "/body/stage")]


# --- corrections ------------------------------------------------------------------------------------------------------


def correction(jti: str, kind: str, **body: Any) -> dict[str, Any]:
    given = {"corrects": {"iss": REGISTER, "jti": jti}, "kind": kind, "replacement": ..., "fields_changed": ...} | body
    event = said("correction", **given)
    _, present = SCHEMAS.cut(of("correction"), event, ALWAYS)
    event["handling"]["data_quality"] = [{"group": group, "kind": "FACT"} for group in sorted(present)]
    return event


async def test_a_withdrawal_reaches_who_was_told_and_stops_what_was_not_sent(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        first = await h.submit(notice("FR", "NL"))
        await h.run_until_idle()  # pushed to France; the Dutch have not polled
        jti = await h.submit(correction(first, "WITHDRAW", recipients_must_do="DELETE"), family=of("correction"))
        assert set(await legs_of(h, jti)) == {FR}
        assert await legs_of(h, first) == {FR: State.DELIVERED, NL: State.REFUSED}
        await h.run_until_idle()
        *_, last = h.partners[FR].received.values()
        assert (last.event["body"]["kind"], last.event["body"]["corrects"]) == ("WITHDRAW", {"iss": REGISTER, "jti": first})
        told = [e["body"]["reason"] for e in ours(await h.poll_all(REGISTER), "REFUSED")]
        assert told == ["WITHDRAWN"]


async def test_a_replacement_reaches_all_shows_no_more_than_the_original_did_and_goes_in_order(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        first = await h.submit(notice("FR", "NL"))
        await h.run_until_idle()
        body = notice("FR", "NL", seed=2)["body"]
        put = {"replacement": {"travel-notification": body}, "fields_changed": ["/body/itinerary"]}
        jti = await h.submit(correction(first, "REPLACE", **put), family=of("correction"))
        original, replaced = await h.legs(first), await h.legs(jti)
        assert set(replaced) == {FR, NL}
        for partner, leg in replaced.items():
            assert set(leg.groups) <= set(original[partner].groups) | {"exchange", "sender_contact"}
            assert {r[1] for r in leg.removed} <= {"NOT_IN_ORIGINAL", "NO_PERMIT", "THIRD_PARTY", "STAFF_SAFETY", "EXTENSION"}
        assert {"NOT_IN_ORIGINAL"} == {r[1] for r in replaced[NL].removed if r[0] == "offences"} or "offences" not in body
        taken = await h.poll_all(NL)
        assert [got.event["body"].get("kind") for got in taken] == [None, "REPLACE"]


async def status(h: House, jti: str, who: str = REGISTER) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((await h.ask("status", f"/v1/messages/{jti}", who=who)).body)
    return read


async def test_the_status_of_what_was_wrong_has_the_facts_of_the_letter_to_the_person(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        first, other = await h.submit(notice("FR")), await h.submit(notice("ES"))
        await h.run_until_idle()
        jti = await h.submit(correction(first, "RECALL", recipients_must_do="DELETE"), family=of("correction"))
        (said_of,) = (await status(h, first))["corrections"]
        assert {name: said_of[name] for name in ("jti", "kind", "recipients_must_do")} == {
            "jti": jti, "kind": "RECALL", "recipients_must_do": "DELETE",
        }  # fmt: skip
        assert [leg["partner"] for leg in (await status(h, jti))["legs"]] == [FR]
        assert (await status(h, other))["corrections"] == []
        (leg,) = (await h.legs(first)).values()
        assert "corrections" not in await status(h, leg.jti, FR), "a recipient hears of it by the correction itself"


@pytest.mark.parametrize("sender", [REGISTER, FR])
async def test_nobody_corrects_what_is_not_its_own(tmp_path: Path, sender: str) -> None:
    async with house(tmp_path) as h:
        await h.submit(notice("FR"))
        event = correction("019a9d2e-5c00-7000-8000-00000000ffff", "WITHDRAW")
        outcome = await h.send(event, sender=sender, family=of("correction"))
        assert [(p.code.value, p.pointer) for p in outcome.problems] == [("reply-unmatched", "/body/corrects")]


async def test_a_journey_withdrawn_as_wrong_is_refused_when_it_comes_again(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        first = await h.submit(notice("FR"))
        await h.run_until_idle()
        await h.submit(correction(first, "WITHDRAW", recipients_must_do="DELETE"), family=of("correction"))
        again = await h.submit(notice("FR"))
        assert await legs_of(h, again) == {}
        assert {(r.partner, r.reason) for r in await h.refusals(again)} == {(FR, "DO_NOT_SEND")}


# --- orders and alerts ------------------------------------------------------------------------------------------------


async def test_a_carried_order_alerts_and_marks_the_copies_of_who_may_see_orders(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        france = {"scope": "NAMED_COUNTRIES", "countries": ["FR"]}
        await h.submit(said("order-summary", travel_prohibition=france, to="gb-probation"), family=of("order-summary"))
        await h.submit(notice("FR", body__active_travel_restriction="NONE"))
        await h.run_until_idle()
        (got,) = h.partners[FR].received.values()
        assert got.event["marks"] == ["TRAVEL_RESTRICTION"]
        assert [e["body"]["reason"] for e in ours(await h.poll_all("gb-police"), "ALERT")] == ["TRAVEL_RESTRICTION"]
        assert "TRAVEL_RESTRICTION" in [e["body"]["reason"] for e in ours(await h.poll_all(REGISTER), "ALERT")]


# --- what cannot be read ----------------------------------------------------------------------------------------------


async def spoil(h: House, statement: str) -> None:
    async with h.store.unit_of_work() as work:
        await work._connection.execute(text(statement))  # type: ignore[attr-defined]


async def test_what_cannot_be_read_holds_every_leg(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.submit(notice("FR"))
        await spoil(h, "UPDATE message SET payload = x'00'")
        jti = await h.submit(said("risk-update", to=FR), family=of("risk-update"))
        ((_, leg),) = (await h.legs(jti)).items()
        assert (leg.state, leg.hold_reason) == (State.HELD, "FACT_UNREAD")


async def test_what_was_erased_is_not_there(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.submit(notice("FR"))
        await spoil(h, "DELETE FROM message_key")
        jti = await h.submit(said("risk-update"), family=of("risk-update"))
        assert await legs_of(h, jti) == {}
