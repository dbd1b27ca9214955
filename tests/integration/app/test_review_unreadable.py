"""A message whose key is gone: what became of it is told to nobody, and nobody else waits for it."""

from __future__ import annotations

import json
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.app.intake import Submission
from gateway.app.settle import Change
from gateway.contract.values import Jti, PartnerId
from gateway.core.delivery import Event, State
from gateway.core.limits import LEASE_SECONDS_MAX
from gateway.core.problems import Code
from gateway.testing.messages import replaced
from tests.house import ROOT, SHIPPED, House, house, with_delivery

BORDER = PartnerId("nl-border")
EVENT = json.loads((ROOT / "schemas/families/travel-notification/examples/valid.json").read_text(encoding="utf-8"))
ONE_AT_A_TIME = {**SHIPPED, BORDER: with_delivery(SHIPPED[BORDER], transport="https_push", window=1, closes="delivered")}


def destroy_key(folder: Path, jti: Jti) -> None:
    """Destroy a message's key, as an erasure does, or a restore that lacks the newest backup of the keys."""
    with sqlite3.connect(folder / "gateway.db") as database:
        database.execute("DELETE FROM message_key WHERE jti = ?", (jti,))
    database.close()


async def two_messages(h: House, folder: Path) -> tuple[Jti, Jti]:
    broken = await h.submit(EVENT)
    sound = await h.submit(replaced(EVENT, "/subject/ref", "s-another"))
    destroy_key(folder, broken)
    return broken, sound


async def test_pushed_legs_of_others_pass_one_that_cannot_be_sealed(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=ONE_AT_A_TIME) as h:
        broken, sound = await two_messages(h, tmp_path)
        await h.run_until_idle()
        leg = (await h.legs(broken))[BORDER]
        assert (leg.state, leg.attempt, leg.failures, leg.lease_until) == (State.READY, 0, 0, None)
        assert leg.due_at == h.clock.now() + timedelta(seconds=LEASE_SECONDS_MAX)
        assert (await h.legs(sound))[BORDER].state is State.DELIVERED


async def test_polled_legs_of_others_are_offered(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        _, sound = await two_messages(h, tmp_path)
        polled = await h.ask("poll", "/v1/poll", who=BORDER, method="POST", body=b"{}")
        assert list(json.loads(polled.body)["sets"]) == [(await h.legs(sound))[BORDER].jti]


@pytest.mark.parametrize("event", [Event.RECEIPTED, Event.EXPIRED, Event.CANCELLED], ids=lambda event: event.value)
async def test_its_leg_still_ends_and_so_do_those_settled_with_it(tmp_path: Path, event: Event) -> None:
    async with house(tmp_path) as h:
        jtis = await two_messages(h, tmp_path)
        legs = [(await h.legs(jti))[BORDER] for jti in jtis]
        moved = await h.settle.run([Change(leg_id=leg.leg_id, event=event, proof="0" * 64) for leg in legs])
        assert sorted(leg.leg_id for leg in moved) == sorted(leg.leg_id for leg in legs)
        async with h.store.reading() as work:
            told = [state for (partner, state), count in (await work.counts()).items() for _ in range(count) if partner == "gb-register"]
        assert told == [State.READY]  # of the sound one alone


async def test_a_subject_under_a_lost_epoch_fails_its_own_message_alone(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.submit(EVENT)
        with sqlite3.connect(tmp_path / "gateway.db") as database:
            database.execute("UPDATE subject_key SET epoch = 'epoch-0'")
        database.close()
        lost, other = await h.intake.accept(
            [Submission(h.token(event), PartnerId("gb-register")) for event in (EVENT, replaced(EVENT, "/subject/ref", "s-another"))]
        )
        assert [p.code for p in lost.problems] == [Code.INTERNAL]
        assert other.receipt is not None
