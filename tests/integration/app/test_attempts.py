"""The list of attempts at a partner: what settled them wrote it, in the same transaction, and only what was an attempt."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.app.forget import Forget
from gateway.app.partner_rows import AttemptFilter
from gateway.app.settle import Change
from gateway.contract.errors import DeliveryError
from gateway.contract.transports import Outcome, Reply
from gateway.contract.values import PartnerId
from gateway.core import limits
from gateway.core.delivery import Event, State
from gateway.stores.open import migrate
from tests.desk import Desk, desk
from tests.house import SHIPPED, House, with_delivery
from tests.notices import notice

FR, ES = PartnerId("fr-police"), PartnerId("es-police")
PUSHED = {
    **SHIPPED,
    FR: with_delivery(SHIPPED[FR], transport="https_push", retry_base_seconds=10, retry_max_seconds=600, attempts_max=4),
    ES: with_delivery(SHIPPED[ES], transport="inbox"),
}


async def tried(d: Desk, partner: str = FR, **more: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await d.do("partner-attempts", who="auditor", partner=partner, **more))["attempts"]
    return found


async def sending(h: House, *, count: int = 1) -> list[Any]:
    """Legs with a courier that does not answer."""
    h.partners[FR].gate = asyncio.Event()
    jtis = [await h.submit(notice("FR", subject=f"s-{number:06d}")) for number in range(count)]
    await h.seal.run_once()
    legs = [(await h.legs(jti))[FR] for jti in jtis]
    assert {leg.state for leg in legs} == {State.SENDING}
    return legs


async def test_each_attempt_is_listed_with_what_came_of_it_and_when_it_goes_again(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        h = d.house
        h.partners[FR].answers = [
            Reply(Outcome.FAILED, "http-503", timedelta(seconds=120)), DeliveryError("timeout"), Reply(Outcome.DELIVERED),
        ]  # fmt: skip
        jti = await h.submit(notice("FR"))
        due: list[datetime] = []
        for _ in range(3):
            await h.run_until_idle()
            leg = (await h.legs(jti))[FR]
            due.append(leg.due_at)
            h.clock.advance(seconds=600)
        found = await tried(d)
        assert [(row["attempt"], row["code"], row["retry_after"]) for row in found] == [
            (3, "delivered", None),
            (2, "timeout", None),
            (1, "http-503", 120),
        ]
        assert [row["again_at"] for row in found] == [None, due[1].isoformat(), due[0].isoformat()]
        assert {(row["leg"], row["jti"]) for row in found} == {(leg.leg_id, leg.jti)}
        assert [row["code"] for row in await tried(d, failed=True)] == ["timeout", "http-503"]
        assert [row["attempt"] for row in await tried(d, since=found[1]["at"])] == [3, 2]


async def test_pages_of_attempts_join(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        for number in range(5):
            await d.house.submit(notice("FR", subject=f"s-{number:06d}"))
        await d.house.run_until_idle()
        legs, after = list[str](), None
        for _ in range(3):
            page = await d.do("partner-attempts", who="officer", partner=FR, limit=2, **({} if after is None else {"after": after}))
            legs += [row["leg"] for row in page["attempts"]]
            after = page["next"]
        assert after is None
        assert legs == [row["leg"] for row in await tried(d)]
        assert len(set(legs)) == 5


async def test_the_end_of_a_lease_is_an_attempt_of_which_nobody_knows_and_a_late_failure_is_none(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        h = d.house
        (leg,) = await sending(h)
        h.clock.advance(seconds=limits.LEASE_SECONDS_MAX + 1)
        await h.timers.run_once()
        (row,) = await tried(d)
        assert (row["code"], row["again_at"]) == ("no-report", h.clock.now().isoformat())
        late = Change(leg_id=leg.leg_id, event=Event.FAILED, attempt=1, partner=FR, code="http-500")
        assert await h.settle.run([late]) == []
        assert len(await tried(d)) == 1
        assert await h.settle.run([Change(leg_id=leg.leg_id, event=Event.DELIVERED, attempt=1, partner=FR)])
        assert [(row["attempt"], row["code"]) for row in await tried(d)] == [(1, "delivered"), (1, "no-report")]


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param({"attempt": 2}, id="an attempt that was never published"),
        pytest.param({"partner": ES}, id="a leg of another partner"),
        pytest.param({"attempt": 0}, id="no attempt at all"),
    ],
)
async def test_a_courier_s_lie_is_no_attempt(tmp_path: Path, lie: dict[str, Any]) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        (leg,) = await sending(d.house)
        change: dict[str, Any] = {"leg_id": leg.leg_id, "event": Event.DELIVERED, "attempt": 1, "partner": FR} | lie
        assert await d.house.settle.run([Change(**change)]) == []
        assert (await tried(d), await tried(d, ES)) == ([], [])


async def test_what_persons_and_clocks_do_and_what_is_polled_for_is_no_attempt(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        await d.house.submit(notice("ES"))
        (jti,) = await d.house.poll(ES)
        await d.house.poll(ES, ack=[jti])
        await d.do("partner-suspend", who="admin", partner=FR)
        await d.house.submit(notice("FR"))
        await d.house.run_until_idle()
        await d.do("partner-check", who="admin", partner=FR)
        await d.house.run_until_idle()
        assert (await tried(d), await tried(d, ES)) == ([], [])


async def test_a_report_that_comes_twice_is_one_attempt(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        (leg,) = await sending(d.house)
        report = Change(leg_id=leg.leg_id, event=Event.FAILED, attempt=1, partner=FR, code="http-500")
        await d.house.settle.run([report, report])
        await d.house.settle.run([report])
        assert [row["code"] for row in await tried(d)] == ["http-500"]


async def test_a_dead_letter_s_last_attempt_goes_nowhere(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        d.house.partners[FR].answers = [Reply(Outcome.REFUSED, "http-413")]
        await d.house.submit(notice("FR"))
        await d.house.run_until_idle()
        (row,) = await tried(d)
        assert (row["code"], row["again_at"]) == ("http-413", None)


async def test_the_list_of_a_partner_nobody_knows_is_a_fault_and_one_whose_profile_is_gone_is_shown(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        assert "no such partner" in (await d.ask("partner-attempts", who="admin", partner="nobody")).body.decode()
        assert await tried(d, "gb-register") == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"limit": 0},
        {"limit": limits.LIST_COUNT_MAX + 1},
        {"after": 0},
        {"after": "1"},
        {"failed": "yes"},
        {"since": "yesterday"},
        {"leg": "x"},
    ],
)
async def test_arguments_that_are_not_those_of_the_list_are_refused(tmp_path: Path, arguments: dict[str, Any]) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        answer = await d.ask("partner-attempts", who="admin", partner=FR, **arguments)
        assert answer.outcome == "problem"
        assert "arguments" in answer.body.decode()


async def test_attempts_are_forgotten_after_their_days(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        forget = Forget(d.house.store, clock=d.house.clock)
        await d.house.submit(notice("FR"))
        await d.house.run_until_idle()
        d.house.clock.advance(seconds=limits.ATTEMPT_DAYS_MAX * 24 * 3600)
        assert await forget.run_once() == 0
        assert len(await tried(d)) == 1
        d.house.clock.advance(seconds=1)
        assert await forget.run_once() == 0
        assert await tried(d) == []


async def test_forgetting_goes_on_at_once_after_a_full_portion(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=PUSHED) as d:
        await d.house.submit(notice("FR"))
        await d.house.run_until_idle()
        async with d.house.store.unit_of_work() as work:
            (row,) = await work.attempts(AttemptFilter(partner=FR), limit=9)
            await work.add_attempts([row] * limits.FORGET_COUNT_MAX)
        d.house.clock.advance(seconds=limits.ATTEMPT_DAYS_MAX * 24 * 3600 + 1)
        forget = Forget(d.house.store, clock=d.house.clock)
        assert [await forget.run_once(), await forget.run_once()] == [limits.FORGET_COUNT_MAX, 0]
        assert await tried(d) == []


@pytest.mark.services
async def test_on_postgresql_attempts_are_listed_and_forgotten(tmp_path: Path, postgres_dsn: str) -> None:
    await migrate(postgres_dsn)
    async with desk(tmp_path, profiles=PUSHED, url=postgres_dsn) as d:
        d.house.partners[FR].answers = [Reply(Outcome.FAILED, "http-503", timedelta(seconds=120)), Reply(Outcome.DELIVERED)]
        await d.house.submit(notice("FR"))
        await d.house.run_until_idle()
        d.house.clock.advance(seconds=600)
        await d.house.run_until_idle()
        assert [(row["code"], row["retry_after"]) for row in await tried(d)] == [("delivered", None), ("http-503", 120)]
        assert [row["attempt"] for row in await tried(d, failed=True)] == [1]
        d.house.clock.advance(seconds=limits.ATTEMPT_DAYS_MAX * 24 * 3600 + 1)
        assert await Forget(d.house.store, clock=d.house.clock).run_once() == 0
        assert await tried(d) == []
