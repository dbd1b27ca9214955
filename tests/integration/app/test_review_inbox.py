"""A partner that acknowledges nothing is still offered what is new, what is urgent first."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.contract.values import Jti, PartnerId
from gateway.testing.messages import replaced
from tests.house import ROOT, SHIPPED, House, house, with_delivery

BORDER = PartnerId("nl-border")
EVENT = json.loads((ROOT / "schemas/families/travel-notification/examples/valid.json").read_text(encoding="utf-8"))
WINDOW = 2


@pytest.fixture
async def h(tmp_path: Path) -> AsyncIterator[House]:
    profile = with_delivery(SHIPPED[BORDER], window=WINDOW, visibility_seconds=30)
    async with house(tmp_path, profiles={**SHIPPED, BORDER: profile}) as opened:
        yield opened


async def submit(h: House, subject: str, priority: str) -> Jti:
    jti = await h.submit(replaced(replaced(EVENT, "/subject/ref", subject), "/routing/priority", priority))
    return (await h.legs(jti))[BORDER].jti


async def poll(h: House) -> set[str]:
    answer = await h.ask("poll", "/v1/poll", who=BORDER, method="POST", body=b"{}")
    return set(json.loads(answer.body)["sets"])


async def test_an_urgent_leg_passes_those_not_answered(h: House) -> None:
    for number in range(WINDOW):
        await submit(h, f"s-{number}", "ROUTINE")
    silent = await poll(h)
    assert len(silent) == WINDOW
    h.clock.advance(seconds=31)
    urgent = await submit(h, "s-urgent", "IMMEDIATE")
    offered = await poll(h)
    assert urgent in offered
    assert len(offered & silent) == WINDOW - 1


async def test_silence_keeps_out_nothing_new(h: House) -> None:
    everything = {await submit(h, f"s-{number}", "ROUTINE") for number in range(WINDOW * 3)}
    seen: set[str] = set()
    for _ in range(WINDOW * 3):
        seen |= await poll(h)
        h.clock.advance(seconds=31)
    assert seen == everything


async def test_without_anything_new_what_was_not_answered_comes_again_in_full(h: House) -> None:
    for number in range(WINDOW):
        await submit(h, f"s-{number}", "ROUTINE")
    first = await poll(h)
    assert await poll(h) == set()
    h.clock.advance(seconds=31)
    assert await poll(h) == first
