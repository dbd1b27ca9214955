"""P12. A process may end anywhere: nothing accepted is lost; for each (original, partner) one `jti`, for each `jti` one content.

Here the places are chosen: everything the process would still have done is left out, and a second one stands on the same file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.app import topics
from gateway.app.ports import BusUnavailableError, Outgoing
from gateway.app.settle import Change
from gateway.buses.memory import MemoryBus
from gateway.contract.values import LegId, PartnerId
from gateway.core.delivery import Event, State
from gateway.core.limits import LEASE_SECONDS_MAX
from tests.house import Got, House, house
from tests.notices import notice

FR, NL = PartnerId("fr-police"), PartnerId("nl-border")
COUNT = 3


class DyingBus(MemoryBus):
    """A bus that at some record stops: loses it in silence, or says that it does not answer."""

    def __init__(self, stops_at: Callable[[str], bool], *, raises: bool) -> None:
        super().__init__()
        self._stops_at, self._raises = stops_at, raises

    async def publish(self, records: Sequence[Outgoing]) -> None:
        if any(self._stops_at(record.topic) for record in records):
            if self._raises:
                raise BusUnavailableError("gone")
            return
        await super().publish(records)


def is_delivery(topic: str) -> bool:
    return topic.startswith("gw.deliveries.")


async def claimed(h: House) -> None:
    """It dies with legs claimed and nothing of them written."""
    now = h.clock.now()
    assert await h.seal._claim(now, now + timedelta(seconds=LEASE_SECONDS_MAX))


async def published_to_nobody(h: House) -> None:
    """It dies between the row and the bus: the leg says sending, no courier has it."""
    await h.seal.run_once()


async def broker_gone(h: House) -> None:
    """The broker does not acknowledge: whether a record arrived is unknown."""
    with pytest.raises(BusUnavailableError):
        await h.seal.run_once()


async def delivered_but_not_reported(h: House) -> None:
    """The partner has it, and nobody will ever say so."""
    await h.run_until(lambda: len(h.partners[FR].received) == COUNT)


CRASHES = [
    pytest.param(claimed, MemoryBus, 0, id="between-claim-and-start"),
    pytest.param(published_to_nobody, lambda: DyingBus(is_delivery, raises=False), 0, id="between-start-and-publish"),
    pytest.param(broker_gone, lambda: DyingBus(is_delivery, raises=True), 0, id="broker-gone-while-publishing"),
    pytest.param(
        delivered_but_not_reported, lambda: DyingBus(lambda topic: topic == topics.OUTCOMES, raises=False), COUNT,
        id="between-delivery-and-report",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("crash", "bus", "had"), CRASHES)
async def test_p12_what_was_accepted_is_delivered_after_a_crash_with_one_content(
    tmp_path: Path, crash: Callable[[House], object], bus: Callable[[], MemoryBus], had: int
) -> None:
    async with house(tmp_path, bus=bus()) as h:
        sent = [await h.submit(notice("FR", subject=f"s-{number:06d}")) for number in range(COUNT)]
        await crash(h)  # type: ignore[misc]  # an awaitable
        before = list(h.partners[FR].attempts)
    assert len(before) == had
    async with house(tmp_path, keys=h.keys, clock=h.clock, seed=2) as after:
        await after.sequencer.run_once()  # a newer checkpoint: what was signed must not change with it
        after.clock.advance(seconds=LEASE_SECONDS_MAX + 1)
        for _ in range(3):
            await after.run_until_idle()
            after.clock.advance(seconds=5)
        legs = [(await after.legs(jti))[FR] for jti in sent]
        assert [leg.state for leg in legs] == [State.DELIVERED] * COUNT
        assert_one_content([*before, *after.partners[FR].attempts], sent)


def assert_one_content(got: list[Got], sent: Sequence[str]) -> None:
    """For each original one `jti`, for each `jti` one content."""
    jtis, digests = defaultdict(set), defaultdict(set)
    for one in got:
        jtis[one.event["original"]["jti"]].add(one.jti)
        digests[one.jti].add(one.digest)
    assert {original: len(found) for original, found in jtis.items()} == dict.fromkeys(sent, 1)
    assert {len(found) for found in digests.values()} == {1}


async def test_p12_an_inbox_offers_the_same_token_again_after_a_crash(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti = await h.submit(notice("NL"))
        first = list((await h.poll(NL)).values())  # the answer is lost, and the process with it
        await h.sequencer.run_once()
    async with house(tmp_path, keys=h.keys, clock=h.clock, seed=2) as after:
        await after.sequencer.run_once()
        assert await after.poll(NL) == {}
        after.clock.advance(seconds=61)
        second = list((await after.poll(NL)).values())
        assert_one_content([*first, *second], [jti])
        assert (len(first), len(second)) == (1, 1)
        await after.poll(NL, ack=[second[0].jti])
        assert (await after.legs(jti))[NL].state is State.RECEIPTED


async def test_p12_a_report_that_comes_after_the_lease_still_counts_and_nothing_is_sent_twice(tmp_path: Path) -> None:
    bus = DyingBus(is_delivery, raises=False)
    async with house(tmp_path, bus=bus) as h:
        jti = await h.submit(notice("FR"))
        await h.seal.run_once()
        h.clock.advance(seconds=LEASE_SECONDS_MAX + 1)
        await h.timers.run_once()
        leg = (await h.legs(jti))[FR]
        assert (leg.state, leg.attempt, leg.failures) == (State.READY, 1, 0)
        await h.settle.run([success(leg.leg_id, attempt=1)])
        h.clock.advance(seconds=3600)
        await h.run_until_idle()
        leg = (await h.legs(jti))[FR]
        assert (leg.state, leg.attempt) == (State.DELIVERED, 1)


def success(leg_id: str, *, attempt: int) -> Change:
    return Change(leg_id=LegId(leg_id), event=Event.DELIVERED, attempt=attempt)


async def test_p12_an_acceptance_whose_answer_was_lost_is_one_message(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        signed = h.token(notice("FR"), plain=True, jti=(jti := h.dice.uuid7(h.clock.now())))
        assert (await h.send_token(h.encrypt(signed))).receipt is not None  # and the process dies before it answers
    async with house(tmp_path, keys=h.keys, clock=h.clock, seed=2) as after:
        assert (await after.send_token(after.encrypt(signed))).repeated
        await after.run_until_idle()
        assert_one_content(after.partners[FR].attempts, [jti])
