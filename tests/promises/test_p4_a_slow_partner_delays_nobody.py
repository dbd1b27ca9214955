"""P4. A dead or slow partner delays nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from gateway.contract.errors import DeliveryError
from gateway.contract.values import PartnerId
from gateway.core.delivery import State
from gateway.core.keys import Use
from gateway.testing.clock import FakeClock
from tests.house import GATEWAY, GATEWAY_USES, PARTNER_USES, SHIPPED, Keys, house, with_delivery
from tests.notices import also, notice

FR, ES = PartnerId("fr-police"), PartnerId("es-police")
COUNT = 12


def subjects() -> list[str]:
    return [f"s-{number:06d}" for number in range(COUNT)]


async def test_p4_a_partner_that_never_answers_holds_up_nobody_else(tmp_path: Path) -> None:
    window = 3
    async with house(tmp_path, profiles=also(with_delivery(SHIPPED[ES], window=window))) as h:
        slow, quick = h.partners[ES], h.partners[FR]
        slow.gate = asyncio.Event()
        for subject in subjects():
            await h.submit(notice("ES", "FR", subject=subject))
        await h.run_until(lambda: len(quick.received) == COUNT)  # the clock stands still: nobody waited for a time-out
        assert len(slow.attempts) == window
        assert not slow.received
        slow.gate.set()
        await h.run_until_idle()
        assert len(slow.received) == COUNT


async def test_p4_a_partner_that_refuses_connections_holds_up_nobody_else(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        h.partners[ES].answers = [DeliveryError("connect")]
        jtis = [await h.submit(notice("ES", "FR", subject=subject)) for subject in subjects()]
        await h.run_until_idle()
        assert len(h.partners[FR].received) == COUNT
        states = [{partner: leg.state for partner, leg in (await h.legs(jti)).items()} for jti in jtis]
        assert states == [{ES: State.READY, FR: State.DELIVERED}] * COUNT


async def test_p4_a_partner_we_have_no_key_for_holds_up_nobody_else(tmp_path: Path) -> None:
    clock = FakeClock()
    keys: dict[PartnerId, Keys] = {id_: Keys.of(id_, clock, PARTNER_USES) for id_ in SHIPPED}
    keys[GATEWAY] = Keys.of(GATEWAY, clock, GATEWAY_USES)
    keys[ES] = without(keys[ES], Use.ENCRYPT)
    async with house(tmp_path, keys=keys, clock=clock) as h:
        jti = await h.submit(notice("ES", "FR"))
        await h.run_until_idle()
        legs = await h.legs(jti)
        assert legs[FR].state is State.DELIVERED
        assert (legs[ES].state, legs[ES].attempt, legs[ES].signed) == (State.READY, 0, None)


def without(keys: Keys, use: Use) -> Keys:
    pairs: Mapping[Use, object] = {name: pair for name, pair in keys.pairs.items() if name is not use}
    return Keys(pairs)  # type: ignore[arg-type]  # the same pairs
