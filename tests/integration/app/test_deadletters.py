"""Dead letters: split by who must act, looked into, tried again, given up."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.app.ports import LegRow
from gateway.contract.errors import DeliveryError
from gateway.contract.transports import Outcome, Reply
from gateway.contract.values import PartnerId
from gateway.core.delivery import State
from gateway.core.profiles import Closes
from gateway.testing.messages import replaced
from tests.desk import Desk, desk
from tests.house import SHIPPED, with_delivery
from tests.notices import also, notice, policies
from tests.promises.test_referrals_live_apart import REF, profiles, referral

FR = PartnerId("fr-police")
ONE_TRY = also(with_delivery(SHIPPED[FR], attempts_max=1, retry_base_seconds=1, retry_max_seconds=1))
YES = Reply(Outcome.DELIVERED)
WHY = {"justification": "FAULT", "file": "2026-17"}


async def leg_of(d: Desk, jti: str) -> LegRow:
    return (await d.house.legs(jti))[FR]


TIMEOUT = DeliveryError("timeout")


async def dead(d: Desk, answer: Reply | Exception = TIMEOUT, **more: Any) -> LegRow:
    """A leg that died of one answer; the partner then says yes."""
    d.house.partners[FR].answers = [answer]
    jti = await d.house.submit(notice(**more))
    await d.house.run_until_idle()
    d.house.partners[FR].answers = [YES]
    leg = await leg_of(d, jti)
    assert leg.state is State.DEAD
    return leg


async def stages(d: Desk) -> list[tuple[str, str | None]]:
    return [(got.event["body"]["stage"], got.event["body"].get("reason")) for got in await d.house.poll_all("gb-register")]


async def test_they_are_listed_and_counted_by_who_must_act(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=ONE_TRY) as d:
        partner = await dead(d, subject="s-1")
        data = await dead(d, Reply(Outcome.REFUSED, "http-422"), subject="s-2")
        ours = await dead(d, Reply(Outcome.FAILED, "http-401"), subject="s-3")
        found = await d.do("deadletter-list", who="auditor")
        assert found["counts"] == {"partner": 1, "data": 1, "ours": 1}
        assert {row["leg"]: row["side"] for row in found["legs"]} == {partner.leg_id: "partner", data.leg_id: "data", ours.leg_id: "ours"}
        assert [row["leg"] for row in await d.listed("deadletter-list", side="data")] == [data.leg_id]
        assert await d.listed("deadletter-list", partner="es-police") == []


async def test_they_are_listed_since_they_died(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=ONE_TRY) as d:
        await dead(d, subject="s-1")
        since = d.house.clock.advance(timedelta(hours=1))
        later = await dead(d, subject="s-2")
        assert [row["leg"] for row in await d.listed("deadletter-list", since=since.isoformat())] == [later.leg_id]


async def test_a_retried_leg_goes_again_as_it_was_signed_and_its_sender_hears_of_it(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=ONE_TRY) as d:
        leg = await dead(d)
        later = await d.house.submit(notice())
        await d.house.run_until_idle()
        assert (await d.do("deadletter-retry", who="officer", legs=[leg.leg_id]))["legs"] == [
            {"leg": leg.leg_id, "done": True, "state": "planned"}
        ]
        await d.house.run_until_idle()
        row = await leg_of(d, leg.message.jti)
        assert (row.state, row.attempt, row.signed_digest, row.jti) == (State.DELIVERED, 2, leg.signed_digest, leg.jti)
        assert row.seq > (await leg_of(d, later)).seq
        after = next(got for got in d.house.partners[FR].received.values() if got.event["original"]["jti"] == later)
        assert after.event["prior_undelivered"] is True
        assert await stages(d) == [("DEAD", "ATTEMPTS"), ("DELIVERED", None), ("DELIVERED", None)]


async def test_a_retried_leg_is_held_where_policies_became_stricter(tmp_path: Path) -> None:
    """To try again is no release: nobody has looked at what the policies ask now."""
    stricter = '@id("no-risk") forbid (principal, action == Action::"see_risk", resource == Family::"travel-notification");'
    async with desk(tmp_path, profiles=ONE_TRY) as d:
        leg = await dead(d)
        world = d.house.holder.current
        d.house.holder.current = replace(world, grounds=replace(world.grounds, policies=policies(stricter)))
        await d.do("deadletter-retry", legs=[leg.leg_id])
        await d.house.run_until_idle()
        row = await leg_of(d, leg.message.jti)
        assert (row.state, row.hold_reason, row.released_under) == (State.HELD, "POLICY_CHANGED", None)
        await d.do("hold-release", legs=[leg.leg_id])
        await d.house.run_until_idle()
        assert (await leg_of(d, leg.message.jti)).state is State.HELD, "what they withhold stays withheld"


async def test_a_retried_leg_has_all_its_attempts_again(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=also(with_delivery(SHIPPED[FR], attempts_max=2, retry_base_seconds=1, retry_max_seconds=1))) as d:
        d.house.partners[FR].answers = [DeliveryError("timeout")]
        jti = await d.house.submit(notice())
        for _ in range(2):
            await d.house.run_until_idle()
            d.house.clock.advance(seconds=5)
        leg = await leg_of(d, jti)
        assert (leg.state, leg.attempt) == (State.DEAD, 2)
        await d.do("deadletter-retry", legs=[leg.leg_id])
        await d.house.run_until_idle()
        assert ((await leg_of(d, jti)).state, (await leg_of(d, jti)).failures) == (State.READY, 1)
        d.house.clock.advance(seconds=5)
        await d.house.run_until_idle()
        leg = await leg_of(d, jti)
        assert (leg.state, leg.attempt) == (State.DEAD, 4)


async def test_a_leg_that_owed_a_receipt_is_sent_again(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=also(with_delivery(SHIPPED[FR], closes=Closes.RECEIPTED, receipt_seconds=60))) as d:
        jti = await d.house.submit(notice())
        await d.house.run_until_idle()
        d.house.clock.advance(seconds=61)
        await d.house.run_until_idle()
        (row,) = await d.listed("deadletter-list")
        assert (row["reason"], row["side"]) == ("NO_RECEIPT", "partner")
        await d.do("deadletter-retry", legs=[row["leg"]])
        await d.house.run_until_idle()
        leg = await leg_of(d, jti)
        assert (leg.state, leg.attempt, leg.reason, leg.receipt_due_at is not None) == (State.DELIVERED, 2, None, True)


async def test_a_discarded_leg_ends_and_its_sender_is_told_why(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=ONE_TRY) as d:
        leg = await dead(d)
        await d.do("deadletter-discard", legs=[leg.leg_id], reason="NOT_COMPETENT")
        row = await leg_of(d, leg.message.jti)
        assert (row.state, row.reason) == (State.CANCELLED, "NOT_COMPETENT")
        assert await stages(d) == [("DEAD", "ATTEMPTS"), ("CANCELLED", "NOT_COMPETENT")]
        (entry,) = await d.entries("command")
        assert (entry["command"], entry["targets"], entry["reason"]) == ("deadletter-discard", [leg.leg_id], "NOT_COMPETENT")


@pytest.mark.parametrize(("command", "more"), [("deadletter-retry", {}), ("deadletter-discard", {"reason": "OTHER"})])
async def test_what_is_not_dead_stays_where_it_is(tmp_path: Path, command: str, more: dict[str, str]) -> None:
    """A leg that came to life since the list was read must not be given up by it."""
    async with desk(tmp_path, profiles=ONE_TRY) as d:
        leg = await dead(d)
        await d.do("deadletter-retry", legs=[leg.leg_id])
        before = await leg_of(d, leg.message.jti)
        assert (await d.do(command, legs=[leg.leg_id], **more))["legs"][0]["why"] == "not-dead"
        assert await leg_of(d, leg.message.jti) == before


async def test_a_look_shows_ids_attempts_and_codes_and_no_content(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=ONE_TRY) as d:
        leg = await dead(d, Reply(Outcome.REFUSED, "invalid_key"))
        raw = d.token("leg-inspect", {"leg": leg.leg_id}, who="auditor")
        answer = await d.commands.run(raw)
        found = json.loads(answer.body)
        assert (found["attempt"], found["last_code"], found["side"], found["signed_digest"]) == (
            1,
            "invalid_key",
            "ours",
            leg.signed_digest,
        )
        assert b"s-000001" not in answer.body
        assert not {"document", "subject"} & found.keys()
        assert await d.entries("command") == []


async def test_content_is_shown_for_a_reason_and_the_consultation_is_kept(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=ONE_TRY) as d:
        leg = await dead(d)
        found = await d.do("leg-read", who="dpo", change=WHY, leg=leg.leg_id)
        got = d.house.partners[FR].attempts[0]
        assert (found["signed"], found["document"]) == (True, got.claims["events"])
        (entry,) = await d.entries("command")
        assert (entry["operator"], entry["targets"], entry["justification"], entry["file"]) == ("dpo", [leg.leg_id], "FAULT", "2026-17")


async def test_content_of_a_held_leg_is_what_its_partner_would_get(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        jti = await d.house.submit(notice(subject__is_minor="YES", body__person__birth__date="2012-05-05"))
        leg = await leg_of(d, jti)
        found = await d.do("leg-read", change=WHY, leg=leg.leg_id)
        await d.do("hold-release", legs=[leg.leg_id])
        await d.house.run_until_idle()
        sent = d.house.partners[FR].attempts[0].event
        assert found["signed"] is False
        assert found["document"]["body"] == sent["body"]


LOOKS = {
    "no justification": ("reviewer", {}, "request-invalid"),
    "no file": ("reviewer", {"justification": "FAULT"}, "request-invalid"),
    "an officer": ("officer", WHY, "not-allowed"),
    "an auditor": ("auditor", WHY, "not-allowed"),
    "an admin": ("admin", WHY, "not-allowed"),
}


@pytest.mark.parametrize("case", LOOKS)
async def test_content_is_not_shown_otherwise(tmp_path: Path, case: str) -> None:
    who, change, code = LOOKS[case]
    async with desk(tmp_path, profiles=ONE_TRY) as d:
        leg = await dead(d)
        answer = await d.ask("leg-read", who=who, change=change, leg=leg.leg_id)
        assert (answer.outcome, answer.code) == ("problem", code)
        assert await d.entries("command") == []


async def test_a_referral_is_shown_to_no_operator(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=profiles()) as d:
        event = replaced(referral("PSEUDONYM", "p-000001"), "/body/safeguarding_flag", value=True)
        jti = await d.house.submit(event, family=REF)
        (leg,) = (await d.house.legs(jti)).values()
        assert leg.hold_reason == "SAFEGUARDING_FLAG"
        answer = await d.ask("leg-read", change=WHY, leg=leg.leg_id)
        assert (answer.outcome, answer.code, await d.entries("command")) == ("problem", "not-allowed", [])
        assert "p-000001" not in json.dumps(await d.do("leg-inspect", leg=leg.leg_id))


async def test_a_leg_that_does_not_stand_aside_is_nobodys_to_look_into(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        leg = await leg_of(d, await d.house.submit(notice()))
        for command, change in (("leg-read", WHY), ("leg-inspect", {})):
            assert (await d.ask(command, change=change, leg=leg.leg_id)).code == "not-found"


async def test_what_cannot_be_opened_is_a_fault_of_ours_and_no_consultation(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=ONE_TRY) as d:
        leg = await dead(d)
        with sqlite3.connect(tmp_path / "gateway.db") as database:
            database.execute("UPDATE leg SET signed = x'00' WHERE leg_id = ?", [leg.leg_id])
        database.close()
        answer = await d.ask("leg-read", change=WHY, leg=leg.leg_id)
        assert (answer.outcome, answer.code, await d.entries("command")) == ("problem", "internal", [])


async def test_a_command_counts_once(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=ONE_TRY) as d:
        leg = await dead(d)
        raw = d.token("deadletter-retry", {"legs": [leg.leg_id]})
        assert (await d.commands.run(raw)).outcome == "ok"
        again = await d.commands.run(raw)
        assert (again.outcome, again.code) == ("problem", "untrusted")
        assert len(await d.entries("command")) == 1


async def test_a_command_that_failed_for_its_arguments_is_not_used_up_and_not_kept(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        answer = await d.ask("deadletter-retry", legs=["all"])
        assert (answer.code, await d.entries("command")) == ("request-invalid", [])
