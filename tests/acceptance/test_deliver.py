"""How a message reaches its partners and what its sender hears of it, the same on both forms."""

from __future__ import annotations

import asyncio
import time

from gateway.contract.values import Jti
from gateway.testing.partner import LOST, Behaviour
from tests.acceptance.deployment import (
    BANGKOK,
    BORDER,
    FRANCE,
    REGISTER,
    SPAIN,
    behave,
    event_of,
    eventually_async,
    family_of,
    original_of,
    receipt_of,
)

DOWN = Behaviour(status=503)


def acknowledges(sent, partner):
    """Say of a document whether it tells the sender what became of a message at a partner."""
    return lambda document: (
        family_of(document) == "acknowledgement"
        and event_of(document)["routing"]["in_response_to"]["jti"] == sent.jti
        and event_of(document)["body"]["leg"]["partner"] == partner
    )


def about(sent):
    return lambda document: original_of(document) == sent.jti


async def test_a_message_is_pushed_to_its_partner_and_the_sender_hears_so(gw):
    async with gw.client() as register:
        sent = gw.message()
        await register.submit(sent.sealed)
        document = await gw.until_received(FRANCE, sent.jti)
        told = event_of(await gw.take(register, REGISTER, acknowledges(sent, FRANCE)))
        status = (await register.status(sent.jti)).value
    event = event_of(document)
    assert (document.claims["iss"], document.claims["aud"]) == (gw.setup.gateway, FRANCE)
    assert event["original"] == {"iss": REGISTER, "jti": sent.jti}
    assert event["body"]["itinerary"] == sent.event["body"]["itinerary"]
    assert (told["body"]["stage"], told["body"]["leg"]["jti"]) == ("DELIVERED", document.jti)
    (leg,) = status["legs"]
    assert (leg["partner"], leg["state"], leg["jti"], leg["attempt"]) == (FRANCE, "delivered", document.jti, 1)


async def test_every_country_entered_ends_in_a_leg_or_a_recorded_refusal(gw):
    async with gw.client() as register:
        sent = gw.message(BANGKOK)  # by Amsterdam, where a partner is, to Bangkok, where none is
        await register.submit(sent.sealed)
        status = (await register.status(sent.jti)).value
    assert [(leg["partner"], leg["countries"], leg["roles"]) for leg in status["legs"]] == [(BORDER, ["NL"], ["TRANSIT"])]
    assert [(refusal["partner"], refusal["country"]) for refusal in status["refusals"]] == [(None, "TH")]


async def test_a_partner_that_is_down_gets_the_message_when_it_is_back_once_and_unchanged(gw):
    simulator = behave(gw, FRANCE, DOWN, DOWN)
    async with gw.client() as register:
        sent = gw.message()
        await register.submit(sent.sealed)
        document = await gw.until_received(FRANCE, sent.jti)
        leg = await gw.until_ended(register, sent.jti, FRANCE)
    assert (leg["state"], leg["attempt"]) == ("delivered", 3)
    assert (document.jti, simulator.received[document.jti].copies) == (leg["jti"], 1)


async def test_a_partner_that_asks_for_patience_gets_it(gw):
    simulator = behave(gw, FRANCE, Behaviour(status=503, headers={"Retry-After": "4"}))
    asked = len(simulator.requests)
    async with gw.client() as register:
        sent = gw.message()
        await register.submit(sent.sealed)
        await eventually_async(lambda: _true(len(simulator.requests) > asked), what="the first attempt")
        first = time.monotonic()
        await gw.until_received(FRANCE, sent.jti)
    assert time.monotonic() - first > 3.5, "our own wait would have been a second at most"


async def _true(value):
    return value


async def test_an_answer_lost_after_storing_is_sent_again_after_a_newer_checkpoint_as_the_same_content(gw):
    simulator = behave(gw, FRANCE, LOST, after=DOWN)
    async with gw.client() as register:
        sent = gw.message()
        await register.submit(sent.sealed)
        document = await gw.until_received(FRANCE, sent.jti)  # stored, and the gateway does not know
        before = (await register.get("/v1/evidence/checkpoint")).body
        another = gw.message(BANGKOK)
        receipt_of(register, await register.submit(another.sealed), another)

        async def newer():
            return (await register.get("/v1/evidence/checkpoint")).body != before

        await eventually_async(newer, what="a newer checkpoint")
        behave(gw, FRANCE)
        leg = await gw.until_ended(register, sent.jti, FRANCE)
    assert leg["attempt"] >= 2
    assert (leg["state"], leg["jti"]) == ("delivered", document.jti)
    assert simulator.received[document.jti].copies == 2
    assert (simulator.conflicts, simulator.refused) == ([], []), "one jti, one content, and every copy opened"


async def test_messages_on_one_subject_arrive_in_their_order_whatever_fails(gw):
    simulator = behave(gw, FRANCE, DOWN)
    subject = f"s-{gw.dice.getrandbits(48):012x}"
    async with gw.client() as register:
        sent = [gw.message(subject_ref=subject) for _ in range(4)]
        for one in sent:
            await register.submit(one.sealed)
        await gw.until_received(FRANCE, sent[-1].jti)
    order = [original_of(each.verified) for each in list(simulator.received.values()) if each.verified is not None]
    mine = {one.jti for one in sent}
    assert [jti for jti in order if jti in mine] == [one.jti for one in sent]
    documents = [gw.received(FRANCE, one.jti)[0] for one in sent]
    assert [event_of(document).get("previous") for document in documents] == [None, *(document.jti for document in documents[:-1])]


# --- the inbox -----------------------------------------------------------------------------------------------------------


async def test_an_inbox_shows_a_message_until_it_is_acknowledged_and_the_signed_poll_receipts_it(gw):
    async with gw.client() as register, gw.client(BORDER) as border:
        sent = gw.message(BANGKOK)
        await register.submit(sent.sealed)
        first = await gw.take(border, BORDER, about(sent), ack=False)
        offered = await gw.until_leg(register, sent.jti, BORDER, lambda leg: leg["attempt"] == 1)
        assert offered["state"] == "available"
        assert first.jti not in (await border.poll()).sets, "hidden until its visibility ends"
        second = await gw.take(border, BORDER, about(sent), ack=True)
        assert (second.jti, second.digest) == (first.jti, first.digest), "offered again as it was signed"
        leg = await gw.until_ended(register, sent.jti, BORDER)
        assert (leg["state"], leg["attempt"]) == ("receipted", 2)
        told = event_of(await gw.take(register, REGISTER, acknowledges(sent, BORDER)))
        assert told["body"]["leg"]["jti"] == first.jti
        await asyncio.sleep(3.5)
        assert first.jti not in (await border.poll()).sets


async def test_what_a_partner_cannot_take_is_receipted_with_its_reason_and_not_offered_again(gw):
    async with gw.client() as register, gw.client(BORDER) as border:
        sent = gw.message(BANGKOK)
        await register.submit(sent.sealed)
        document = await gw.take(border, BORDER, about(sent), ack=False)
        await border.poll(errors={document.jti: "invalid_key"}, max_events=0)
        leg = await gw.until_ended(register, sent.jti, BORDER)
    assert (leg["state"], leg["last_code"]) == ("receipted", "invalid_key")


async def test_a_long_poll_is_answered_when_a_message_comes(gw):
    async with gw.client() as register, gw.client(BORDER) as border:
        while (batch := await border.poll()).sets:
            await border.poll(ack=list(batch.sets), max_events=0)
        waiting = asyncio.create_task(border.poll(wait=True))
        await asyncio.sleep(1)
        assert not waiting.done()
        sent = gw.message(BANGKOK)
        await register.submit(sent.sealed)
        batch = await asyncio.wait_for(waiting, 10)
        documents = [gw.kit(BORDER).opener.open(raw) for raw in batch.sets.values()]
        await border.poll(ack=list(batch.sets), max_events=0)
    assert sent.jti in map(original_of, documents)


async def test_of_one_subject_one_token_is_offered_at_a_time(gw):
    subject = f"s-{gw.dice.getrandbits(48):012x}"
    async with gw.client() as register, gw.client(BORDER) as border:
        one, two = gw.message(BANGKOK, subject_ref=subject), gw.message(BANGKOK, subject_ref=subject)
        for sent in (one, two):
            await register.submit(sent.sealed)
        first = await gw.take(border, BORDER, about(one), ack=False)
        documents = [gw.kit(BORDER).opener.open(raw) for raw in (await border.poll()).sets.values()]
        assert two.jti not in map(original_of, documents)
        await border.poll(ack=[first.jti], max_events=0)
        second = await gw.take(border, BORDER, about(two))
    assert event_of(second)["previous"] == first.jti


async def test_nobody_takes_from_the_inbox_of_another(gw):
    async with gw.client() as register, gw.client(BORDER) as border, gw.client(SPAIN) as spain:
        sent = gw.message(BANGKOK)
        await register.submit(sent.sealed)
        document = await gw.take(border, BORDER, about(sent), ack=False)
        assert (await spain.poll(ack=[document.jti])).sets == {}
        leg = await gw.until_leg(register, sent.jti, BORDER, lambda leg: leg["attempt"] >= 1)
        assert leg["state"] == "available", "another's acknowledgement settles nothing"
        await border.poll(ack=[document.jti], max_events=0)


# --- who may ask what ----------------------------------------------------------------------------------------------------


async def test_status_is_for_the_sender_whole_for_a_recipient_its_own_leg_and_for_strangers_nothing(gw):
    async with gw.client() as register, gw.client(FRANCE) as france, gw.client(SPAIN) as spain:
        sent = gw.message()
        first = await register.submit(sent.sealed)
        document = await gw.until_received(FRANCE, sent.jti)
        await gw.until_ended(register, sent.jti, FRANCE)
        own = await france.status(document.jti)
        not_found = [
            await spain.status(sent.jti),
            await spain.status(document.jti),
            await france.status(sent.jti),
            await spain.receipt(sent.jti),
            await france.receipt(document.jti),
            await register.status(Jti("01a1fe54-fd9f-761b-80ea-a827c8237498")),
        ]
        stored = await register.receipt(sent.jti)
    assert (stored.status, stored.body) == (200, first.body)
    assert own.status == 200
    (leg,) = own.value["legs"]
    assert (leg["jti"], leg["state"]) == (document.jti, "delivered")
    assert "partner" not in leg
    assert "withheld" not in leg
    assert {(answer.status, answer.problems[0]["code"]) for answer in not_found} == {(404, "not-found")}
    assert len({answer.body for answer in not_found}) == 1, "what is another's looks like what is not there"
