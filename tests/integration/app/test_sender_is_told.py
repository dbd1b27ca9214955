"""Whatever a message bars for others, its own sender is told how it ended, and is alerted."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.contract.values import PartnerId
from gateway.core.delivery import State
from gateway.testing.messages import replaced
from tests.house import ROOT, SHIPPED, House, house

EVENT = json.loads((ROOT / "schemas/families/travel-notification/examples/valid.json").read_text(encoding="utf-8"))
RESTRICTED = {"order": {"id": "TEST-ORDER-0001", "kind": "SHPO", "jurisdiction": "GB-EAW"}, "scope": "ALL"}
BORDER, REGISTER, POLICE = (PartnerId(name) for name in ("nl-border", "gb-register", "gb-police"))
ONLY_NL = [{"jurisdiction": "NL", "code": "TRAVEL_NOTICE", "citation": "Fictional Act 1"}]


async def stages(h: House, who: PartnerId) -> list[str]:
    polled = await h.ask("poll", "/v1/poll", who=who, method="POST", body=b"{}")
    sets = json.loads(polled.body)["sets"]
    said = [h.open(who, token.encode()).event["body"]["stage"] for token in sets.values()]
    if sets:
        await h.ask("poll", "/v1/poll", who=who, method="POST", body=json.dumps({"ack": list(sets), "maxEvents": 0}).encode())
    return said


async def ack_border(h: House) -> None:
    polled = await h.ask("poll", "/v1/poll", who=BORDER, method="POST", body=b"{}")
    await h.ask("poll", "/v1/poll", who=BORDER, method="POST", body=json.dumps({"ack": list(json.loads(polled.body)["sets"])}).encode())


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        pytest.param("/handling/legal_basis", ONLY_NL, id="a-legal-basis-of-the-recipient-alone"),
        pytest.param("/handling/excluded_countries", ["GB"], id="the-sender-s-own-country-excluded"),
        pytest.param("/handling/codes", ["H1"], id="a-handling-code"),
    ],
)
async def test_the_end_of_a_leg_is_told_whatever_the_message_bars_for_others(tmp_path: Path, pointer: str, value: Any) -> None:
    async with house(tmp_path) as h:
        await h.submit(replaced(EVENT, pointer, value))
        await ack_border(h)
        await h.run_until_idle()
        assert await stages(h, REGISTER) == ["RECEIPTED"]


async def test_the_end_of_the_message_itself_is_told(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        day = (h.clock.now() + timedelta(days=1)).date().isoformat()
        jti = await h.submit(replaced(replaced(EVENT, "/handling/retention/delete_by", day), "/handling/retention/review_by", day))
        h.clock.advance(timedelta(days=3))
        await h.run_until_idle()
        assert (await h.legs(jti))[BORDER].state is State.EXPIRED
        assert await stages(h, REGISTER) == ["EXPIRED"]


async def test_a_foreign_legal_basis_does_not_switch_the_alert_off(tmp_path: Path) -> None:
    assert SHIPPED[REGISTER].managing_authority == POLICE
    async with house(tmp_path) as h:
        event = replaced(replaced(EVENT, "/handling/legal_basis", ONLY_NL), "/body/active_travel_restriction", RESTRICTED)
        groups = [*EVENT["handling"]["data_quality"], {"group": "orders", "kind": "FACT"}]
        present = {entry["group"]: entry for entry in groups}
        await h.submit(replaced(event, "/handling/data_quality", list(present.values())))
        assert await stages(h, REGISTER) == ["ALERT"]
        assert await stages(h, POLICE) == ["ALERT"]
