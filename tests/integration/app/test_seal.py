"""Sealing: asked again at the first time, signed once, and what was signed never changes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.contract.errors import DeliveryError
from gateway.contract.transports import Outcome, Reply
from gateway.contract.values import Jti, PartnerId
from gateway.core.delivery import Event, State
from gateway.core.directory import Directory
from gateway.core.evidence.checkpoint import verify
from gateway.core.message import Signed
from gateway.core.policy import PolicySet
from tests.house import GATEWAY, SCHEMAS, SHIPPED, TRAVEL, House, house, with_delivery
from tests.notices import also, notice, policies

FR, ES, NL = PartnerId("fr-police"), PartnerId("es-police"), PartnerId("nl-border")
YES = Reply(Outcome.DELIVERED)
NO_RISK = policies('@id("no-risk") forbid (principal, action == Action::"see_risk", resource == Family::"travel-notification");')
NO_SEND = policies('@id("no-send") forbid (principal, action == Action::"send", resource == Family::"travel-notification");')
NO_HURRY = policies('@id("look-first") forbid (principal, action == Action::"send_unreviewed", resource == Family::"travel-notification");')


def reload(h: House, *, policies_: PolicySet | None = None, **profile: Any) -> None:
    """Reload policies, or FR's profile with changes."""
    world = h.holder.current
    directory = Directory(replace(p, **profile) if p.id == FR else p for p in world.directory)
    grounds = replace(world.grounds, policies=policies_ or world.grounds.policies, directory=directory)
    h.holder.current = replace(world, grounds=grounds, context=replace(world.context, directory=directory))


async def leg_of(h: House, jti: str, partner: PartnerId = FR) -> Any:
    return (await h.legs(jti))[partner]


async def test_a_delivery_is_right_by_its_schema(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.submit(notice("NL", "ES", "FR"))
        await h.run_until_idle()
        await h.submit(notice("FR"))
        await h.run_until_idle()
        got = [*h.partners[FR].received.values(), *h.partners[ES].received.values(), *(await h.poll(NL)).values()]
        assert len(got) == 4
        for one in got:
            assert SCHEMAS.check_delivery(TRAVEL, one.event) == []


async def test_an_acknowledgement_is_delivered_right_by_its_schema(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.partners[FR].answers = [Reply(Outcome.REFUSED, "invalid_key")]
        h.partners[ES].answers = [DeliveryError("timeout"), YES]
        await h.submit(notice("ES", "FR"))
        await h.run_until_idle()
        h.clock.advance(seconds=60)
        await h.run_until_idle()
        heard = await h.poll_all("gb-register")
        assert {(one.event["body"]["stage"], one.event["body"].get("reason")) for one in heard} == {
            ("DEAD", "NOT_READABLE"),
            ("DELIVERED", None),
        }
        for one in heard:
            assert SCHEMAS.check_delivery(replace(TRAVEL, name="acknowledgement"), one.event) == []


# --- looked at again


async def test_a_policy_that_became_narrower_before_signing_wins(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti = await h.submit(notice("FR"))
        reload(h, policies_=NO_RISK)
        await h.run_until_idle()
        (got,) = h.partners[FR].received.values()
        assert "risk_level" not in got.event["body"]
        assert {"group": "risk", "reason": "POLICY_FORBID"} in got.event["withheld"]
        leg = await leg_of(h, jti)
        assert "risk" not in leg.groups
        assert ("risk", "POLICY_FORBID", ("no-risk",)) in leg.removed


async def test_a_policy_that_became_wider_shows_no_more_than_was_decided(tmp_path: Path) -> None:
    async with house(tmp_path, policies=NO_RISK) as h:
        jti = await h.submit(notice("FR"))
        reload(h, policies_=policies())
        await h.run_until_idle()
        (got,) = h.partners[FR].received.values()
        assert "risk_level" not in got.event["body"]
        assert ("risk", "POLICY_FORBID", ("no-risk",)) in (await leg_of(h, jti)).removed


async def test_a_policy_that_now_forbids_sending_refuses_what_never_left(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti = await h.submit(notice("FR"))
        reload(h, policies_=NO_SEND)
        await h.run_until_idle()
        leg = await leg_of(h, jti)
        assert (leg.state, leg.reason, leg.attempt) == (State.REFUSED, "POLICY", 0)
        (heard,) = await h.poll_all("gb-register")
        assert (heard.event["body"]["stage"], heard.event["body"]["reason"]) == ("REFUSED", "POLICY")


async def test_a_policy_that_now_wants_a_review_holds_what_never_left(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti = await h.submit(notice("FR"))
        reload(h, policies_=NO_HURRY)
        await h.run_until_idle()
        leg = await leg_of(h, jti)
        assert (leg.state, leg.hold_reason) == (State.HELD, "REVIEW")
        assert not h.partners[FR].attempts


@pytest.mark.parametrize("stricter", [NO_RISK, NO_SEND, NO_HURRY], ids=["fewer-fields", "no-send", "review"])
async def test_a_policy_that_became_stricter_after_signing_holds(tmp_path: Path, stricter: PolicySet) -> None:
    async with house(tmp_path) as h:
        h.partners[FR].answers = [DeliveryError("timeout"), YES]
        jti, after = await h.submit(notice("FR")), await h.submit(notice("FR"))
        await h.run_until_idle()
        reload(h, policies_=stricter)
        h.clock.advance(seconds=60)
        await h.run_until_idle()
        leg = await leg_of(h, jti)
        assert (leg.state, leg.hold_reason, leg.attempt) == (State.HELD, "POLICY_CHANGED", 1)
        assert len([got for got in h.partners[FR].attempts if got.jti == leg.jti]) == 1  # other content never goes out under one jti
        assert (await leg_of(h, after)).state is not State.PLANNED  # it gave its turn on


async def test_a_policy_that_became_wider_after_signing_changes_nothing(tmp_path: Path) -> None:
    async with house(tmp_path, policies=NO_RISK) as h:
        h.partners[FR].answers = [DeliveryError("timeout"), YES]
        await h.submit(notice("FR"))
        await h.run_until_idle()
        reload(h, policies_=policies())
        h.clock.advance(seconds=60)
        await h.run_until_idle()
        assert len({got.digest for got in h.partners[FR].attempts}) == 1
        assert len(h.partners[FR].attempts) == 2


async def test_a_partner_suspended_since_holds(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti = await h.submit(notice("FR"))
        reload(h, suspended=True)
        await h.run_until_idle()
        leg = await leg_of(h, jti)
        assert (leg.state, leg.hold_reason) == (State.HELD, "SUSPENDED")


async def test_what_is_past_its_time_expires_and_is_not_sent(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=also(with_delivery(SHIPPED[FR], expire_seconds=60))) as h:
        jti = await h.submit(notice("FR"))
        h.clock.advance(seconds=60)
        await h.seal.run_once()
        leg = await leg_of(h, jti)
        assert (leg.state, leg.reason) == (State.EXPIRED, "EXPIRED")
        assert not h.partners[FR].attempts


# --- signed once


async def test_attempts_are_one_content_though_a_newer_checkpoint_came(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        partner = h.partners[FR]
        partner.answers = [DeliveryError("the answer is lost")] * 2 + [YES]
        await h.submit(notice("FR"))
        for number in range(4):
            await h.run_until_idle()
            await h.submit(notice("NL", subject=f"s-{number}"))
            h.clock.advance(timedelta(hours=2))
        assert len(partner.attempts) == 3
        assert len({(got.jti, got.digest, repr(got.claims)) for got in partner.attempts}) == 1


async def test_our_own_duplicate_check_sees_a_repeated_delivery_as_one(tmp_path: Path) -> None:
    for name in ("sender", "receiver"):
        (tmp_path / name).mkdir()
    async with house(tmp_path / "sender") as h, house(tmp_path / "receiver", seed=2) as receiver:
        h.partners[FR].answers = [DeliveryError("the answer is lost"), YES]
        await h.submit(notice("FR"))
        await h.run_until_idle()
        h.clock.advance(timedelta(hours=2))
        await h.submit(notice("NL"))
        await h.run_until_idle()
        first, second = h.partners[FR].attempts
        claims, digests = [], []
        for got in (first, second):
            async with receiver.store.unit_of_work() as work:
                said = Signed(GATEWAY, got.jti, got.digest)
                claims.append(await work.claim([said], receiver.clock.now()))
                await work.save_receipts(dict.fromkeys(claims[-1], b"receipt"))
            async with receiver.store.reading() as work:
                digests += [row.digest for row in (await work.earlier(list(claims[0]))).values()]
        assert [len(claim) for claim in claims] == [1, 0]  # the second is known
        assert digests == [first.digest, second.digest]  # and known to be the same


async def test_the_bytes_are_encrypted_anew_for_each_attempt(tmp_path: Path) -> None:
    async with house(tmp_path) as h, h.bus.subscribe(["gw.deliveries.main.routine"], group="spy") as spy:
        h.partners[FR].answers = [DeliveryError("timeout"), YES]
        await h.submit(notice("FR"))
        await h.run_until_idle()
        h.clock.advance(seconds=60)
        await h.run_until_idle()
        records = await spy.batch(max_records=10, wait_seconds=1)
        assert len({record.value for record in records}) == 2
        assert len({record.key for record in records}) == 1


async def test_previous_names_what_was_last_sent_on_this_subject_to_this_partner(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        sent: list[Jti] = []
        for number, subject in enumerate(["s-1", "s-2", "s-1", "s-1"]):
            await h.submit(notice("FR", "ES", subject=subject, seed=number))
            await h.run_until_idle()
            sent.append(list(h.partners[FR].received)[-1])
        previous = [got.event.get("previous") for got in h.partners[FR].received.values()]
        assert previous == [None, None, sent[0], sent[2]]


async def test_previous_counts_what_may_have_arrived(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=also(with_delivery(SHIPPED[FR], attempts_max=1))) as h:
        partner = h.partners[FR]
        partner.answers = [DeliveryError("timeout"), YES]
        first, _ = await h.submit(notice("FR")), await h.submit(notice("FR"))
        await h.run_until_idle()
        assert (await leg_of(h, first)).state is State.DEAD
        (got,) = partner.received.values()
        assert (got.event["previous"], got.event["prior_undelivered"]) == ((await leg_of(h, first)).jti, True)


async def test_a_delivery_carries_the_newest_signed_checkpoint_of_its_signing(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.submit(notice("FR", subject="s-1"))
        await h.run_until_idle()
        await h.submit(notice("FR", subject="s-2"))
        await h.run_until_idle()
        first, second = h.partners[FR].received.values()
        assert "checkpoint" not in first.event
        assert verify(second.event["checkpoint"], [h.checkpoint_key]).size > 0


# --- claims


async def test_the_window_bounds_what_is_under_way(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=also(with_delivery(SHIPPED[FR], window=2))) as h:
        h.partners[FR].gate = asyncio.Event()
        for number in range(5):
            await h.submit(notice("FR", subject=f"s-{number}"))
        assert [await h.seal.run_once(), await h.seal.run_once()] == [2, 0]


async def test_a_claim_that_was_lost_starts_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as h, h.bus.subscribe(["gw.deliveries.main.routine"], group="spy") as spy:
        jti = await h.submit(notice("FR"))
        now, until = h.clock.now(), h.clock.now() + timedelta(seconds=60)
        claimed = await h.seal._claim(now, until)
        batch = await h.seal._sealer.seal(h.store, claimed, now=now, event=Event.PUBLISHED)
        h.clock.advance(seconds=61)
        assert await h.seal.run_once() == 1  # another worker, after the lease
        await h.seal._start(batch, until)  # and the first one wakes up
        await h.run_until_idle()
        assert len(await spy.batch(max_records=10, wait_seconds=1)) == 1
        assert (await leg_of(h, jti)).attempt == 1


async def test_a_partner_whose_profile_is_gone_stops_nobody_else(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=also(with_delivery(SHIPPED[FR], expire_seconds=3600))) as h:
        jti = await h.submit(notice("ES", "FR"))
        world = h.holder.current
        directory = Directory(p for p in world.directory if p.id != FR)
        h.holder.current = replace(world, grounds=replace(world.grounds, directory=directory))
        await h.run_until_idle()
        assert {p: leg.state for p, leg in (await h.legs(jti)).items()} == {ES: State.DELIVERED, FR: State.READY}
        h.clock.advance(seconds=3601)
        await h.run_until_idle()
        assert (await leg_of(h, jti)).state is State.EXPIRED


async def test_a_sender_whose_profile_is_gone_is_not_told_and_stops_nobody(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti = await h.submit(notice("FR"))
        world = h.holder.current
        directory = Directory(p for p in world.directory if p.id != "gb-register")
        grounds, context = replace(world.grounds, directory=directory), replace(world.context, directory=directory)
        h.holder.current = replace(world, grounds=grounds, context=context)
        await h.run_until_idle()
        assert (await leg_of(h, jti)).state is State.DELIVERED  # accepted is accepted
        h.holder.current = world
        assert await h.poll("gb-register") == {}
