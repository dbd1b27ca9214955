"""P5. Order holds per subject and partner (what is set aside is marked); urgent messages overtake a backlog of other subjects."""

from __future__ import annotations

from pathlib import Path

from gateway.contract.errors import DeliveryError
from gateway.contract.transports import Outcome, Reply
from gateway.contract.values import Jti, Lane, PartnerId
from gateway.core.delivery import State
from tests.house import SHIPPED, Got, House, house, with_delivery
from tests.notices import also, notice, urgent

FR, NL = PartnerId("fr-police"), PartnerId("nl-border")
YES = Reply(Outcome.DELIVERED)


def originals(got: list[Got]) -> list[Jti]:
    return [one.event["original"]["jti"] for one in got]


async def test_p5_what_concerns_one_subject_arrives_in_the_order_it_was_accepted(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        partner = h.partners[FR]
        partner.answers = [DeliveryError("connect"), YES]
        sent = [await h.submit(notice("FR")) for _ in range(5)]
        for _ in range(4):
            await h.run_until_idle()
            h.clock.advance(seconds=60)
        assert originals(partner.attempts) == [sent[0], *sent]  # nothing passed the one that had to be tried again
        assert [one.event.get("previous") for one in partner.received.values()] == [None, *list(partner.received)[:-1]]


async def test_p5_an_inbox_shows_one_token_of_a_subject_at_a_time(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        sent = [await h.submit(notice("NL")) for _ in range(3)]
        other = await h.submit(notice("NL", subject="s-other"))
        first = await h.poll(NL)
        assert sorted(originals(list(first.values()))) == sorted([sent[0], other])
        assert await h.poll(NL) == {}
        assert originals(await h.poll_all(NL)) == []  # nothing was acknowledged yet, and nothing is due again
        second = await h.poll(NL, ack=first)
        assert originals(list(second.values())) == [sent[1]]
        assert originals(list((await h.poll(NL, ack=second)).values())) == [sent[2]]


async def test_p5_a_dead_leg_is_set_aside_and_what_follows_says_so(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        partner = h.partners[FR]
        partner.answers = [Reply(Outcome.REFUSED, "invalid_request"), YES]
        dead, after = [await h.submit(notice("FR")) for _ in range(2)]
        await h.run_until_idle()
        assert (await h.legs(dead))[FR].state is State.DEAD
        (got,) = partner.received.values()
        assert (got.event["original"]["jti"], got.event["prior_undelivered"]) == (after, True)


async def test_p5_a_held_leg_is_set_aside_and_what_follows_says_so(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        held = await h.submit(notice("FR", subject__is_minor="UNKNOWN", handling__classification="OFFICIAL-SENSITIVE"))
        after = await h.submit(notice("FR"))
        await h.run_until_idle()
        assert (await h.legs(held))[FR].state is State.HELD
        (got,) = h.partners[FR].received.values()
        assert (got.event["original"]["jti"], got.event["prior_undelivered"]) == (after, True)


async def backlog(h: House) -> list[Jti]:
    return [await h.submit(notice("FR", subject=f"s-{number:06d}")) for number in range(6)]


async def test_p5_an_urgent_message_overtakes_the_backlog_of_other_subjects(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=also(with_delivery(SHIPPED[FR], window=1))) as h:
        routine = await backlog(h)
        fast = await h.submit(urgent(notice("FR", subject="s-urgent")))
        await h.run_until_idle()
        assert originals(list(h.partners[FR].received.values())) == [fast, *routine]


async def test_p5_an_urgent_message_lifts_what_lies_before_it_on_its_subject(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=also(with_delivery(SHIPPED[FR], window=1))) as h:
        routine = await backlog(h)
        fast = await h.submit(urgent(notice("FR", subject="s-000005")))
        assert (await h.legs(routine[5]))[FR].lane is Lane.IMMEDIATE
        await h.run_until_idle()
        assert originals(list(h.partners[FR].received.values())) == [routine[5], fast, *routine[:5]]
