"""Partners that misbehave in every way we know, beside one that does not: over real TLS, through one courier, out of one database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from gateway import bootstrap
from gateway.contract.transports import Reply, Transport
from gateway.contract.values import PartnerId, Sealed
from gateway.core.delivery import State
from gateway.testing.certificates import Authority
from gateway.testing.partner import DROPPED, ENDLESS, FLAPPING, HEADLONG, MIDWAY, SLOW, STRANGER, TRICKLING, Behaviour, PartnerSimulator
from tests.house import SHIPPED, House, house, with_delivery
from tests.notices import also, another, notice

FR = PartnerId("fr-police")
COUNT, WINDOW, TIMEOUT = 12, 4, 3
BAD: Mapping[str, tuple[Behaviour, ...]] = {
    "bad-slow": (SLOW,),
    "bad-flapping": FLAPPING,
    "bad-stranger": (STRANGER,),
    "bad-refusing": (Behaviour(status=400),),
    "bad-busy": (Behaviour(status=429, headers={"Retry-After": "600"}),),
    "bad-midway": (MIDWAY,),
    "bad-dropping": (DROPPED,),
    "bad-endless": (ENDLESS,),
    "bad-headlong": (HEADLONG,),
    "bad-trickling": (TRICKLING,),
}
DEAD = PartnerId("bad-dead")  # nobody listens


class Counted(Transport):
    """A transport that knows how many attempts it had under way at once."""

    def __init__(self, real: Transport) -> None:
        self._real, self.now, self.most = real, 0, 0

    async def _send(self, item: Sealed) -> Reply:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await self._real._send(item)
        finally:
            self.now -= 1


@dataclass(slots=True)
class Street:
    """A house, its good partner and the bad ones."""

    h: House
    counted: Mapping[PartnerId, Counted]
    good: PartnerSimulator
    bad: Mapping[PartnerId, PartnerSimulator]


@asynccontextmanager
async def street(folder: Path) -> AsyncIterator[Street]:
    authority = Authority("Throw-away authority of the street")
    certificate = authority.issue(folder / "server.pem", "street", hosts=("localhost",), addresses=("127.0.0.1",))
    settings = {"ca_file": str(authority.write(folder / "ca.pem")), "allow_networks": ["127.0.0.0/8"]}
    push = bootstrap.load_adapters()["https_push"]
    async with AsyncExitStack() as stack:
        simulators = {name: await stack.enter_async_context(PartnerSimulator(certificate)) for name in (FR, DEAD, *map(PartnerId, BAD))}
        for name, behaviours in BAD.items():
            simulators[PartnerId(name)].repeat(behaviours)
        await simulators[DEAD].refuse_connections()
        transports: dict[PartnerId, Counted] = {}
        for name, simulator in simulators.items():
            real = push.transport({"url": simulator.url, **settings})
            stack.push_async_callback(real.close)
            transports[name] = Counted(real)
        bounds = {"window": WINDOW, "timeout_seconds": TIMEOUT}
        profiles = also(
            with_delivery(SHIPPED[FR], **bounds), *(with_delivery(another(FR, name), **bounds) for name in simulators if name != FR)
        )
        h = await stack.enter_async_context(house(folder, profiles=profiles, transports=transports))
        yield Street(h, transports, simulators[FR], {name: each for name, each in simulators.items() if name != FR})


async def states(h: House, jti: str) -> dict[PartnerId, State]:
    return {partner: leg.state for partner, leg in (await h.legs(jti)).items()}


async def test_no_bad_partner_is_noticed_by_a_good_one_and_no_bad_one_gets_more_than_its_window(tmp_path: Path) -> None:
    async with street(tmp_path) as s:
        jtis = [await s.h.submit(notice("FR", subject=f"s-{number:06d}")) for number in range(COUNT)]
        loop = asyncio.get_running_loop()
        began = loop.time()
        await s.h.run_until(lambda: len(s.good.received) == COUNT, seconds=60)
        # the clock of due times stands still, so that no bad partner was tried twice; and no attempt of theirs was waited for
        assert loop.time() - began < TIMEOUT + COUNT
        for name in ("bad-slow", "bad-trickling"):
            assert len(s.bad[PartnerId(name)].requests) <= WINDOW, "who does not answer has a window under way, and no more"
        await s.h.run_until_idle(seconds=60)
        for jti in jtis:
            found = await states(s.h, jti)
            assert found[FR] is State.DELIVERED
            assert found.keys() >= set(s.bad)
        for name, simulator in s.bad.items():
            tried = len(simulator.requests)
            assert tried <= 2 * WINDOW + (COUNT if name == "bad-flapping" else 0), (
                f"{name} was tried {tried} times: its circuit did not open"
            )


async def test_bad_partners_that_mend_their_ways_get_everything_and_each_document_once(tmp_path: Path) -> None:
    async with street(tmp_path) as s:
        jtis = [await s.h.submit(notice("FR", subject=f"s-{number:06d}")) for number in range(COUNT)]
        await s.h.run_until_idle(seconds=60)
        for simulator in s.bad.values():
            simulator.repeat([Behaviour()])
        await s.bad[DEAD].accept_connections()
        for _ in range(4):
            s.h.clock.advance(timedelta(minutes=20))
            await s.h.run_until_idle(seconds=60)
        for jti in jtis:
            found = await states(s.h, jti)
            lost = {name for name, state in found.items() if state is not State.DELIVERED}
            assert lost <= {PartnerId("bad-refusing"), PartnerId("bad-endless"), PartnerId("bad-midway")}, "only a refusal is a dead letter"
        assert all(not simulator.conflicts for simulator in s.bad.values())


async def test_what_a_courier_has_under_way_is_bounded_by_the_windows_whatever_the_backlog(tmp_path: Path) -> None:
    async with street(tmp_path) as s:
        for number in range(3 * COUNT):
            await s.h.submit(notice("FR", subject=f"s-{number:06d}"))
        await s.h.run_until(lambda: len(s.good.received) == 3 * COUNT, seconds=60)
        assert {name: counted.most for name, counted in s.counted.items() if counted.most > WINDOW} == {}
        assert s.counted[PartnerId("bad-slow")].most == WINDOW
