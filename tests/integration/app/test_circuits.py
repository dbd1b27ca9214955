"""Circuits over the whole way: a silent partner is left alone, probed one leg at a time, and catches up at once when it is back."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.app.ports import LegRow
from gateway.app.settle import Change
from gateway.contract.errors import DeliveryError
from gateway.contract.transports import Outcome, Reply, Transport
from gateway.contract.values import Jti, Lane, PartnerId, Sealed
from gateway.core.circuit import Circuit, Position
from gateway.core.delivery import Event, State
from gateway.core.profiles import Profile
from gateway.core.quiet import QuietHours
from tests.house import ACK, SHIPPED, House, house, with_delivery
from tests.notices import also, answer_to, notice

FR, ES = PartnerId("fr-police"), PartnerId("es-police")
YES, NO = Reply(Outcome.DELIVERED), DeliveryError("timeout")
BUSY = Reply(Outcome.FAILED, "http-429", timedelta(minutes=10))


def fr(**changes: Any) -> dict[PartnerId, Profile]:
    fast = {"circuit_failures": 3, "circuit_pause_seconds": 60, "circuit_pause_max_seconds": 600}
    return also(with_delivery(SHIPPED[FR], **fast | changes))


async def circuit(h: House) -> Circuit:
    async with h.store.reading() as work:
        return (await work.troubles()).get(FR, Circuit())


async def send(h: House, count: int, *, first: int = 0, **more: Any) -> list[str]:
    return [await h.submit(notice("FR", subject=f"s-{number:06d}", **more)) for number in range(first, first + count)]


async def leg_of(h: House, jti: str) -> LegRow:
    return (await h.legs(jti))[FR]


async def silent(h: House, count: int = 8) -> list[str]:
    """A partner that does not answer, until its circuit is open."""
    h.partners[FR].answers = [NO]
    jtis = await send(h, count)
    await h.run_until_idle()
    assert (await circuit(h)).position(h.clock.now()) is Position.OPEN
    return jtis


async def test_after_failures_in_a_row_nothing_is_tried_and_no_attempt_is_used_up(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=fr(window=2)) as h:
        jtis = await silent(h)
        tried = len(h.partners[FR].attempts)
        assert tried <= 3 + 1  # the three that opened it, and what was under way beside the last of them
        h.clock.advance(seconds=29)  # above every back-off, below the shortest pause
        await h.run_until_idle()
        assert len(h.partners[FR].attempts) == tried
        assert sum([(await leg_of(h, jti)).attempt for jti in jtis]) == tried


async def test_half_open_one_leg_is_the_probe_and_its_failure_doubles_the_pause(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=fr()) as h:
        await silent(h)
        pauses = []
        for _ in range(4):
            before = await circuit(h)
            assert before.open_until is not None
            h.clock.advance(before.open_until - h.clock.now())
            tried = len(h.partners[FR].attempts)
            await h.run_until_idle()
            assert len(h.partners[FR].attempts) == tried + 1
            after = await circuit(h)
            assert after.open_until is not None
            pauses.append((after.open_until - h.clock.now()).total_seconds())
        bounds = [(60, 120), (120, 240), (240, 480), (300, 600)]
        assert all(low <= pause <= high for pause, (low, high) in zip(pauses, bounds, strict=True)), pauses


class Poisoned(Transport):
    """Everything arrives but one document, which breaks the other side each time."""

    def __init__(self) -> None:
        self.poison: Jti | None = None
        self.tried = 0
        self.received: set[Jti] = set()

    async def _send(self, item: Sealed) -> Reply:
        self.tried += 1
        if item.jti == self.poison:
            raise DeliveryError("timeout")
        self.received.add(item.jti)
        return YES


async def test_an_urgent_document_that_always_fails_keeps_nobody_else_s_from_being_the_probe(tmp_path: Path) -> None:
    partner = Poisoned()
    profiles = fr(retry_schedule_seconds=(1,), attempts_max=1_000)
    async with house(tmp_path, profiles=profiles, transports={FR: partner}) as h:
        bad = await h.submit(notice("FR", subject="s-bad", routing__priority="IMMEDIATE"))
        partner.poison = (await leg_of(h, bad)).jti
        for _ in range(3):
            await h.run_until_idle()
            h.clock.advance(seconds=1)
        assert (await circuit(h)).position(h.clock.now()) is Position.OPEN
        others = await send(h, 5, routing__priority="ROUTINE")
        h.clock.advance(seconds=60)
        await h.run_until_idle()
        assert len(partner.received) == len(others)
        assert (await circuit(h)).failures <= 1


async def test_a_partner_that_is_back_gets_everything_at_once_though_its_legs_had_long_to_wait(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=fr(retry_base_seconds=3600, retry_max_seconds=3600)) as h:
        jtis = await silent(h)
        assert {(await leg_of(h, jti)).due_at > h.clock.now() + timedelta(minutes=20) for jti in jtis[:3]} == {True}
        more = await send(h, 1, first=50)
        h.partners[FR].answers = [YES]
        h.clock.advance(seconds=60)
        await h.run_until_idle()
        assert [(await leg_of(h, jti)).state for jti in (*jtis, *more)] == [State.DELIVERED] * 9
        assert (await circuit(h)).at_rest


@pytest.mark.parametrize("how", ["request", "message", "poll"])
async def test_a_partner_that_comes_to_us_is_tried_at_once(tmp_path: Path, how: str) -> None:
    async with house(tmp_path, profiles=fr(retry_base_seconds=3600, retry_max_seconds=3600)) as h:
        first = await h.submit(notice("FR", subject="s-before"))
        await h.run_until_idle()
        (got,) = h.partners[FR].received.values()
        jtis = await silent(h)
        h.partners[FR].answers = [YES]
        await h.run_until_idle()
        assert len(h.partners[FR].received) == 1, "nothing goes by itself"
        if how == "request":
            await h.ask("status", f"/v1/messages/{first}", who=FR)
        elif how == "poll":
            await h.ask("poll", "/v1/poll", who=FR, method="POST", body=b"{}")
        else:
            assert (await h.send(answer_to(got), sender=FR, family=ACK)).receipt is not None
        await h.run_until_idle()
        assert {(await leg_of(h, jti)).state for jti in jtis} == {State.DELIVERED}


async def test_who_comes_without_a_good_signature_wakes_nothing(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=fr()) as h:
        await silent(h)
        before = await circuit(h)
        outcome = await h.send_token(b"e30.e30.e30", sender=FR)
        assert outcome.receipt is None
        answer = await h.ask("status", "/v1/messages/x", who=ES)
        assert answer.outcome == "problem"
        assert await circuit(h) == before


async def test_a_partner_that_asks_us_all_the_time_has_its_silent_endpoint_probed_once_a_minute(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=fr(circuit_pause_seconds=600)) as h:
        await silent(h)
        tried = len(h.partners[FR].attempts)
        for _ in range(130):
            await h.ask("checkpoint", "/v1/evidence/checkpoint", who=FR)
            await h.seal.run_once()
            await h.run_until_idle()
            h.clock.advance(seconds=1)
        assert tried + 2 <= len(h.partners[FR].attempts) <= tried + 3


async def test_retry_after_is_asked_for_the_partner_and_not_only_for_one_leg(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=fr(window=1)) as h:
        h.partners[FR].answers = [BUSY, YES]
        jtis = await send(h, 4)
        await h.run_until_idle()
        assert len(h.partners[FR].attempts) == 1
        await h.ask("checkpoint", "/v1/evidence/checkpoint", who=FR)  # a contact does not end what the partner asked for
        h.clock.advance(seconds=599)
        await h.run_until_idle()
        assert len(h.partners[FR].attempts) == 1
        h.clock.advance(seconds=1)
        await h.run_until_idle()
        assert {(await leg_of(h, jti)).state for jti in jtis} == {State.DELIVERED}
        assert (await circuit(h)).failures == 0


async def test_who_refuses_each_document_for_itself_is_there_and_who_does_not_know_us_is_not(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=fr(window=1)) as h:
        h.partners[FR].answers = [Reply(Outcome.REFUSED, "http-422")]
        jtis = await send(h, 6)
        await h.run_until_idle()
        assert {(await leg_of(h, jti)).state for jti in jtis} == {State.DEAD}
        h.partners[FR].answers = [Reply(Outcome.REFUSED, "invalid_key")]
        jtis = await send(h, 6, first=10)
        await h.run_until_idle()
        assert [(await leg_of(h, jti)).state for jti in jtis].count(State.DEAD) == 3, "not the whole backlog dies of our own fault"


async def test_the_circuit_and_what_waits_survive_a_restart(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=fr()) as h:
        jtis = await silent(h)
        clock, keys, before = h.clock, h.keys, await circuit(h)
    async with house(tmp_path, profiles=fr(), clock=clock, keys=keys, seed=2) as h:
        assert await circuit(h) == before
        await h.run_until_idle()
        assert h.partners[FR].attempts == []
        clock.advance(seconds=120)
        await h.run_until_idle()
        assert {(await leg_of(h, jti)).state for jti in jtis} == {State.DELIVERED}


async def test_two_inners_send_one_probe(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=fr()) as h, house(tmp_path, profiles=fr(), clock=h.clock, keys=h.keys, seed=2) as other:
        await silent(h)
        h.clock.advance(seconds=60)
        for each in (h, other):
            each.partners[FR].gate = asyncio.Event()
        claimed = await asyncio.gather(h.seal.run_once(), other.seal.run_once())
        assert sorted(claimed) == [0, 1]


async def test_a_courier_s_word_about_another_partner_moves_no_circuit(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=fr()) as h:
        h.partners[FR].gate = asyncio.Event()
        (jti,) = await send(h, 1)
        await h.seal.run_once()
        leg = await leg_of(h, jti)
        lie = Change(leg_id=leg.leg_id, event=Event.FAILED, attempt=1, partner=ES, code="timeout")
        late = replace(lie, partner=FR, attempt=7)
        assert await h.settle.run([lie, late] * 5) == []
        async with h.store.reading() as work:
            assert await work.troubles() == {}


async def test_a_leg_of_a_partner_whose_circuit_is_open_still_expires(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=fr(expire_seconds=60)) as h:
        jtis = await silent(h)
        h.clock.advance(seconds=61)
        h.partners[FR].gate = asyncio.Event()
        await h.timers.run_once()
        assert {(await leg_of(h, jti)).state for jti in jtis} == {State.EXPIRED}


async def test_in_quiet_hours_only_what_is_urgent_goes_and_the_rest_after_them(tmp_path: Path) -> None:
    night = QuietHours(zone="Europe/Paris", starts=time(22), ends=time(6))
    async with house(tmp_path, profiles=fr(quiet=(night,))) as h:
        midnight = datetime.combine(h.clock.now().date() + timedelta(days=1), time(23, 30), UTC)
        h.clock.advance(midnight - h.clock.now())
        plain = await h.submit(notice("FR", subject="s-1", routing__priority="ROUTINE"))
        urgent = await h.submit(notice("FR", subject="s-2", routing__priority="IMMEDIATE"))
        await h.run_until_idle()
        assert [(await leg_of(h, jti)).state for jti in (plain, urgent)] == [State.READY, State.DELIVERED]
        assert (await leg_of(h, urgent)).lane is Lane.IMMEDIATE
        h.clock.advance(timedelta(hours=6, minutes=31))
        await h.run_until_idle()
        assert (await leg_of(h, plain)).state is State.DELIVERED
