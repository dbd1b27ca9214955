"""A partner's life by its operators' word: paused, suspended, resumed, checked; over restarts and in every inner."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.contract.transports import Outcome, Reply
from gateway.contract.values import Family, LegId, PartnerId
from gateway.core import limits
from gateway.core.delivery import State
from gateway.core.standing import VERIFICATION
from tests.desk import Desk, desk
from tests.house import SHIPPED, House, with_delivery
from tests.integration.app.test_earlier import correction
from tests.integration.app.test_hold import suspend
from tests.notices import notice

FR, ES = PartnerId("fr-police"), PartnerId("es-police")
PUSHED = {**SHIPPED, FR: with_delivery(SHIPPED[FR], transport="https_push")}


async def row(d: Desk, partner: str = FR) -> dict[str, Any]:
    rows = (await d.do("partner-list", who="auditor"))["partners"]
    (found,) = [each for each in rows if each["partner"] == partner]
    return dict(found)


async def state(h: House, jti: str) -> State:
    return (await h.legs(jti))[FR].state


async def test_nothing_is_claimed_for_a_paused_partner_and_everything_when_it_is_resumed(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        told = await d.do("partner-pause", who="officer", partner=FR)
        assert told == {"partner": FR, "standing": "paused"}
        jtis = [await d.house.submit(notice("FR")) for _ in range(3)]
        await d.house.run_until_idle()
        assert d.house.partners[FR].attempts == []
        seen = await row(d)
        assert (seen["standing"], seen["legs"], seen["oldest_due"] is not None) == ("paused", {"ready": 1, "planned": 2}, True)
        await d.do("partner-resume", who="admin", partner=FR)
        await d.house.run_until_idle()
        assert [await state(d.house, jti) for jti in jtis] == [State.DELIVERED] * 3
        assert (await row(d))["standing"] == "open"


async def test_a_pause_keeps_other_partners_going(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles={**PUSHED, ES: with_delivery(SHIPPED[ES], transport="https_push")}) as d:
        await d.do("partner-pause", who="officer", partner=FR)
        await d.house.submit(notice("FR", "ES"))
        await d.house.run_until_idle()
        assert (len(d.house.partners[FR].attempts), len(d.house.partners[ES].attempts)) == (0, 1)


async def test_a_poll_of_a_paused_partner_is_offered_nothing(tmp_path: Path) -> None:
    profiles = {**SHIPPED, FR: with_delivery(SHIPPED[FR], transport="inbox")}
    async with desk(tmp_path, profiles=profiles) as d:
        await d.house.submit(notice("FR"))
        await d.do("partner-pause", who="officer", partner=FR)
        assert await d.house.poll(FR) == {}
        await d.do("partner-resume", who="admin", partner=FR)
        assert len(await d.house.poll(FR)) == 1


async def test_legs_of_a_suspended_partner_are_held_and_go_in_their_order_when_it_is_resumed(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        await d.do("partner-suspend", who="admin", partner=FR)
        jtis = [await d.house.submit(notice("FR")) for _ in range(3)]
        await d.house.run_until_idle()
        legs = [(await d.house.legs(jti))[FR] for jti in jtis]
        assert [(leg.state, leg.hold_reason) for leg in legs] == [(State.HELD, "SUSPENDED")] * 3
        (told,) = (await d.do("hold-release", legs=[legs[0].leg_id]))["legs"]
        assert told["why"] == "partner-suspended"
        told = await d.do("partner-resume", who="admin", partner=FR)
        assert (told["standing"], told["next"], len(told["legs"])) == ("open", None, 3)
        await d.house.run_until_idle()
        assert [got.jti for got in d.house.partners[FR].attempts] == [leg.jti for leg in legs]


async def test_a_resumption_of_many_pauses_the_partner_until_its_last_page(tmp_path: Path) -> None:
    many = limits.COMMAND_LEGS_COUNT_MAX + 1
    async with desk(tmp_path, profiles=PUSHED) as d:
        await d.do("partner-suspend", who="admin", partner=FR)
        for _ in range(many):
            await d.house.submit(notice("FR"))
        await d.house.run_until_idle(seconds=60)
        first = await d.do("partner-resume", who="admin", partner=FR)
        assert (first["standing"], len(first["legs"])) == ("paused", many - 1)
        await d.house.run_until_idle()
        assert d.house.partners[FR].attempts == []
        last = await d.do("partner-resume", who="admin", partner=FR, after=first["next"])
        assert (last["standing"], len(last["legs"]), last["next"]) == ("open", 1, None)


async def test_a_pause_outlives_its_process(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        await d.do("partner-pause", who="officer", partner=FR)
        clock, keys = d.house.clock, d.house.keys
    async with desk(tmp_path, profiles=PUSHED, clock=clock, keys=keys, seed=2) as d:
        await d.house.submit(notice("FR"))
        await d.house.run_until_idle()
        assert d.house.partners[FR].attempts == []


async def test_a_partner_whose_profile_suspends_it_is_not_resumed_by_a_command(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        suspend(d.house)
        answer = await d.ask("partner-resume", who="admin", partner=FR)
        assert answer.outcome != "ok"
        assert "reload" in answer.body.decode()
        seen = await row(d)
        assert (seen["standing"], seen["by_profile"]) == ("suspended", True)


@pytest.mark.parametrize("command", ["partner-pause", "partner-suspend", "partner-resume", "partner-check"])
async def test_a_partner_without_a_profile_is_a_fault(tmp_path: Path, command: str) -> None:
    async with desk(tmp_path) as d:
        answer = await d.ask(command, who="admin", partner="nobody")
        assert "no such partner" in answer.body.decode()


async def test_what_is_done_about_a_partner_is_evidence(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        for command in ("partner-suspend", "partner-list", "partner-resume", "partner-check"):
            await d.do(command, who="admin", **({} if command == "partner-list" else {"partner": FR}))
        found = [(entry["command"], entry["operator"], entry["partner"]) for entry in await d.entries("command")]
        assert found == [(command, "admin", FR) for command in ("partner-suspend", "partner-resume", "partner-check")]


async def check(d: Desk) -> str | None:
    """Check the partner and wait for what becomes of it."""
    asked = await d.do("partner-check", who="officer", partner=FR)
    async with asyncio.timeout(10):
        while (found := (await row(d))["check"])["code"] is None:
            await asyncio.sleep(0.005)
    assert found["id"] == asked["check"]
    code: str = found["code"]
    return code


async def test_a_check_is_a_verification_event_signed_encrypted_and_without_anybody_in_it(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        assert await check(d) == "delivered"
        (got,) = d.house.partners[FR].attempts
        assert got.claims["events"] == {VERIFICATION: {"state": (await row(d))["check"]["id"]}}
        assert got.claims.keys() == {"iss", "aud", "jti", "iat", "toe", "txn", "events"}


@pytest.mark.parametrize("code", ["dns", "tls", "http-503", "invalid_key"])
async def test_a_check_says_what_failed_and_leaves_the_circuit_alone(tmp_path: Path, code: str) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        d.house.partners[FR].answers = [Reply(Outcome.FAILED, code)]
        assert await check(d) == code
        seen = await row(d)
        assert (seen["circuit"], seen["failures"]) == ("closed", 0)


async def test_a_partner_that_is_paused_can_be_checked(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        await d.do("partner-pause", who="officer", partner=FR)
        assert await check(d) == "delivered"


async def test_only_the_last_check_is_answered_and_once(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        await check(d)
        first = (await row(d))["check"]["id"]
        async with d.house.store.unit_of_work() as work:
            assert not await work.end_check(FR, first, "again")
            await work.begin_check(FR, LegId(d.house.dice.uuid7(d.house.clock.now())), d.house.clock.now())
        assert (await row(d))["check"]["code"] is None


async def test_a_partner_that_polls_is_not_checked(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles={**SHIPPED, FR: with_delivery(SHIPPED[FR], transport="inbox")}) as d:
        answer = await d.ask("partner-check", who="officer", partner=FR)
        assert "nothing is pushed" in json.dumps(json.loads(answer.body))


async def again(d: Desk, *, since: datetime, **more: Any) -> dict[str, Any]:
    return await d.do("partner-redeliver", who="admin", partner=FR, since=since.isoformat(), **more)


async def test_a_restored_partner_gets_the_same_bytes_in_the_same_order_and_only_what_it_lost(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        h = d.house
        before = await h.submit(notice("FR"))
        await h.run_until_idle()
        h.clock.advance(timedelta(hours=1))
        backup = h.clock.now()
        for subject in ("s-1", "s-1", "s-2", "s-1"):
            await h.submit(notice("FR", subject=subject))
            await h.run_until_idle()
            h.clock.advance(timedelta(minutes=1))
        h.clock.advance(timedelta(hours=1))
        took = [(got.jti, got.digest) for got in h.partners[FR].attempts[1:]]
        told = await again(d, since=backup)
        assert ([leg["done"] for leg in told["legs"]], told["next"]) == ([True] * 4, None)
        await h.run_until_idle()
        resent = [(got.jti, got.digest) for got in h.partners[FR].attempts[5:]]
        assert sorted(resent) == sorted(took)
        assert [each for each in resent if each != took[2]] == [each for each in took if each != took[2]]
        assert await state(h, before) is State.DELIVERED
        assert [entry["partner"] for entry in await d.entries("command")] == [FR]


async def test_what_was_sent_again_is_not_on_the_next_page(tmp_path: Path) -> None:
    many = limits.COMMAND_LEGS_COUNT_MAX + 2
    async with desk(tmp_path, profiles=PUSHED) as d:
        h = d.house
        backup = h.clock.now()
        for number in range(many):
            await h.submit(notice("FR", subject=f"s-{number % 7}"))
        await h.run_until_idle(seconds=60)
        h.clock.advance(timedelta(minutes=1))
        first = await again(d, since=backup)
        h.clock.advance(timedelta(minutes=1))
        await h.run_until_idle(seconds=60)
        await h.submit(notice("FR", subject="s-new"))
        await h.run_until_idle()
        last = await again(d, since=backup, until=first["until"], after=first["next"])
        assert (len(first["legs"]), len(last["legs"]), last["next"]) == (many - 2, 2, None)
        await h.run_until_idle()
        assert len(h.partners[FR].attempts) == 2 * many + 1
        assert len(h.partners[FR].received) == many + 1


async def test_what_its_sender_took_back_is_not_sent_again_and_the_withdrawal_is(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        h = d.house
        backup, first = h.clock.now(), await h.submit(notice("FR"))
        await h.run_until_idle()
        withdrawal = correction(first, "WITHDRAW", recipients_must_do="DELETE")
        second = await h.submit(withdrawal, family=Family("correction", "1.0"))
        await h.run_until_idle()
        h.clock.advance(timedelta(minutes=1))
        told = {leg["leg"]: leg.get("why", "sent") for leg in (await again(d, since=backup))["legs"]}
        legs = {name: (await h.legs(jti))[FR].leg_id for name, jti in (("first", first), ("second", second))}
        assert told == {legs["first"]: "taken-back", legs["second"]: "sent"}


async def test_what_has_expired_is_not_sent_again(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        h = d.house
        backup, jti = h.clock.now(), await h.submit(notice("FR"))
        await h.run_until_idle()
        h.clock.advance((await h.legs(jti))[FR].expires_at - backup)
        assert (await again(d, since=backup))["legs"] == []


async def test_a_partner_that_polls_is_offered_again_what_it_acknowledged(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles={**SHIPPED, FR: with_delivery(SHIPPED[FR], transport="inbox")}) as d:
        h = d.house
        backup, jti = h.clock.now(), await h.submit(notice("FR"))
        (got,) = await h.poll_all(FR)
        assert await state(h, jti) is State.RECEIPTED
        h.clock.advance(timedelta(minutes=1))
        await again(d, since=backup)
        (same,) = await h.poll_all(FR)
        assert (same.jti, same.digest) == (got.jti, got.digest)
        assert (await h.legs(jti))[FR].proof is not None


async def test_what_stayed_undelivered_is_not_sent_again(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        h = d.house
        h.partners[FR].answers = [Reply(Outcome.REFUSED, "invalid_request")]
        backup, jti = h.clock.now(), await h.submit(notice("FR"))
        await h.run_until_idle()
        assert await state(h, jti) is State.DEAD
        h.clock.advance(timedelta(minutes=1))
        assert (await again(d, since=backup))["legs"] == []
