"""What has been delivered is rows and files, nothing in the memory of the process: the embedded form has its bus there."""

from __future__ import annotations

import asyncio
from pathlib import Path

from benchmarks import backlog
from benchmarks.neighbours import profile
from gateway import bootstrap
from gateway.bootstrap import inner
from gateway.buses.memory import MemoryBus
from gateway.cli.devsetup import make_dev_setup
from gateway.contract.values import PartnerId
from gateway.ops.settings import ProcessRole, load_settings
from gateway.testing.partner import PartnerSimulator

NEIGHBOUR = PartnerId("fr-neighbour")
LEGS = 40


async def test_the_bus_of_an_embedded_gateway_holds_nothing_of_what_is_delivered(tmp_path: Path) -> None:
    setup = make_dev_setup(tmp_path / "made", partners=("gb-register", "gb-police", NEIGHBOUR), profiles={NEIGHBOUR: profile(NEIGHBOUR)})
    file = setup.settings[ProcessRole.EMBEDDED]
    await backlog.fill(file, setup.kit("gb-register"), NEIGHBOUR, LEGS, seed=1, say=lambda _: None)
    kit, port = setup.kit(NEIGHBOUR), setup.ports.partners[NEIGHBOUR]
    async with (
        PartnerSimulator(setup.certificate(NEIGHBOUR), opener=kit.opener, port=port) as partner,
        bootstrap.build(load_settings(file)) as built,
    ):
        stop = asyncio.Event()
        running = asyncio.create_task(built.run(stop))
        await partner.until_received(LEGS)
        assert built.store is not None
        async with asyncio.timeout(20):
            while await _numbered(built) < 2 * LEGS:  # sent and delivered, each
                await asyncio.sleep(0.05)
        await asyncio.sleep(2 * inner.EVENTS_SECONDS)  # time enough to tell of them
        assert isinstance(built.bus, MemoryBus)
        kept = {topic: sum(len(each.records) for each in built.bus.partitions(topic)) for topic in built.bus.topics}
        stop.set()
        await running
    assert {topic: count for topic, count in kept.items() if count} == {}
    assert len(kept) > 1, "something went over it"


async def _numbered(built: bootstrap.Gateway) -> int:
    assert built.store is not None
    async with built.store.reading() as work:
        return await work.log_size()
