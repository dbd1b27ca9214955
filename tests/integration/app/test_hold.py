"""Held legs: listed, released into their line again, refused; and what a release is good for when policies change."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.app.ports import LegRow, StoreUnavailableError
from gateway.contract.transports import Outcome, Reply
from gateway.contract.values import Lane, PartnerId
from gateway.core import tokens
from gateway.core.delivery import State
from gateway.core.directory import Directory
from gateway.core.operators import OperatorId, Operators
from gateway.core.policy import PolicySet
from tests.desk import Desk, desk
from tests.house import SHIPPED, House, with_delivery
from tests.notices import also, notice, policies, urgent

FR, ES = PartnerId("fr-police"), PartnerId("es-police")
MINOR = {"subject__is_minor": "YES", "body__person__birth__date": "2012-05-05"}
TO_ALL = 'forbid (principal, action == Action::"{}", resource == Family::"{}");'
LOOK_FIRST = policies('@id("test-review") ' + TO_ALL.format("send_unreviewed", "travel-notification"))
NO_SEND = policies('@id("test-no-send") ' + TO_ALL.format("send", "travel-notification"))
UNRELATED = policies('@id("test-unrelated") ' + TO_ALL.format("send", "order-summary"))


def minor(*to: str, **more: Any) -> dict[str, Any]:
    return notice(*to, **{**MINOR, **more})


class Down:
    """A store that does not answer."""

    def unit_of_work(self) -> None:
        raise StoreUnavailableError("down")


async def leg_of(h: House, jti: str, partner: str = FR) -> LegRow:
    return (await h.legs(jti))[PartnerId(partner)]


async def held(d: Desk, *to: str, **more: Any) -> LegRow:
    """A leg that waits for a person because its subject is a minor."""
    leg = await leg_of(d.house, await d.house.submit(minor(*to, **more)))
    assert (leg.state, leg.hold_reason) == (State.HELD, "MINOR")
    return leg


async def stages(h: House) -> list[tuple[str, str | None]]:
    return [(got.event["body"]["stage"], got.event["body"].get("reason")) for got in await h.poll_all("gb-register")]


def decide_by(h: House, policies_: PolicySet) -> None:
    """Put other policies in force, as a reload does."""
    world = h.holder.current
    h.holder.current = replace(world, grounds=replace(world.grounds, policies=policies_))


def suspend(h: House, *, suspended: bool = True) -> None:
    world = h.holder.current
    profiles = [replace(p, suspended=suspended) if p.id == FR else p for p in world.directory]
    directory = Directory(profiles)
    h.holder.current = replace(
        world, grounds=replace(world.grounds, directory=directory), context=replace(world.context, directory=directory)
    )


async def test_a_list_shows_reason_age_partner_and_ids_and_no_content(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        leg = await held(d)
        found = await d.do("hold-list", who="auditor")
        (row,) = found["legs"]
        assert found["counts"] == {"MINOR": 1}
        assert (row["leg"], row["jti"], row["partner"], row["hold_reason"]) == (leg.leg_id, leg.jti, "fr-police", "MINOR")
        assert row["created_at"] == leg.created_at.isoformat()
        assert not {"document", "groups", "signed", "subject"} & row.keys()


async def test_a_list_is_filtered_and_read_on_page_by_page(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        legs = [await held(d, subject=f"s-{number}") for number in range(3)]
        d.house.clock.advance(seconds=60)
        late = await held(d, subject="s-late")
        everything = {leg.leg_id for leg in (*legs, late)}
        page = await d.do("hold-list", limit=3)
        rest = await d.do("hold-list", limit=3, after=page["next"])
        assert ({row["leg"] for row in (*page["legs"], *rest["legs"])}, len(rest["legs"]), rest["next"]) == (everything, 1, None)
        assert [row["leg"] for row in await d.listed("hold-list", since=late.created_at.isoformat())] == [late.leg_id]
        assert await d.listed("hold-list", partner="es-police") == []
        assert await d.listed("hold-list", reason="COMPLAINT") == []
        assert len(await d.listed("hold-list", reason="MINOR", partner="fr-police")) == 4


async def test_a_released_leg_goes_and_what_came_later_went_before_it_marked(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        leg = await held(d)
        later = await d.house.submit(notice())
        await d.house.run_until_idle()
        told = await d.do("hold-release", legs=[leg.leg_id])
        assert told["legs"] == [{"leg": leg.leg_id, "done": True, "state": "planned"}]
        row = await leg_of(d.house, leg.message.jti)
        assert (row.state, row.hold_reason, row.seq > (await leg_of(d.house, later)).seq) == (State.READY, None, True)
        await d.house.run_until_idle()
        assert (await leg_of(d.house, leg.message.jti)).state is State.DELIVERED
        first, second = d.house.partners[FR].received.values()
        assert (first.event["original"]["jti"], first.event["prior_undelivered"]) == (later, True)
        assert (second.event["original"]["jti"], second.event["previous"]) == (leg.message.jti, first.jti)


async def test_a_released_leg_waits_behind_what_is_under_way_and_lifts_it_when_urgent(tmp_path: Path) -> None:
    async with desk(tmp_path, profiles=also(with_delivery(SHIPPED[FR], retry_base_seconds=600, retry_max_seconds=600))) as d:
        leg = await leg_of(d.house, await d.house.submit(urgent(minor())))
        d.house.partners[FR].answers = [Reply(Outcome.FAILED, "http-503"), Reply(Outcome.DELIVERED)]
        before = await d.house.submit(notice())
        await d.house.run_until_idle()
        await d.do("hold-release", legs=[leg.leg_id])
        row, first = await leg_of(d.house, leg.message.jti), await leg_of(d.house, before)
        assert (row.state, first.state, first.lane) == (State.PLANNED, State.READY, Lane.IMMEDIATE)
        d.house.clock.advance(timedelta(minutes=10))
        await d.house.run_until_idle()
        assert [got.event["original"]["jti"] for got in d.house.partners[FR].received.values()] == [before, leg.message.jti]


async def test_many_are_released_in_the_order_of_their_lines_whatever_the_order_asked_in(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        legs = [await held(d, seed=number) for number in range(4)]
        await d.do("hold-release", legs=[leg.leg_id for leg in (legs[2], legs[0], legs[3], legs[1])])
        await d.house.run_until_idle()
        assert [got.jti for got in d.house.partners[FR].received.values()] == [leg.jti for leg in legs]


async def test_one_that_cannot_be_released_fails_no_other(tmp_path: Path) -> None:
    unknown = "019a9d2e-5c00-7000-8000-000000000001"
    async with desk(tmp_path) as d:
        leg = await held(d)
        gone = await leg_of(d.house, await d.house.submit(notice(subject="s-other")))
        await d.house.run_until_idle()
        told = (await d.do("hold-release", legs=[unknown, gone.leg_id, leg.leg_id]))["legs"]
        assert [(each["done"], each.get("why")) for each in told] == [(False, "unknown-leg"), (False, "not-held"), (True, None)]
        (entry,) = await d.entries("command")
        assert entry["targets"] == [leg.leg_id]


async def test_a_leg_is_released_once(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        leg = await held(d)
        await d.do("hold-release", legs=[leg.leg_id])
        seq = (await leg_of(d.house, leg.message.jti)).seq
        assert (await d.do("hold-release", legs=[leg.leg_id]))["legs"][0]["why"] == "not-held"
        assert (await leg_of(d.house, leg.message.jti)).seq == seq


async def test_a_refused_leg_ends_and_its_sender_is_told(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        leg = await held(d)
        await d.do("hold-refuse", legs=[leg.leg_id], who="admin")
        row = await leg_of(d.house, leg.message.jti)
        assert (row.state, row.reason, row.ended_at is not None) == (State.REFUSED, "HOLD", True)
        assert await stages(d.house) == [("REFUSED", "HOLD")]
        await d.house.run_until_idle()
        assert d.house.partners[FR].attempts == []


async def stricter_after_an_attempt(d: Desk) -> LegRow:
    """A leg that was tried once under friendlier policies, and is held under those in force."""
    d.house.partners[FR].answers = [Reply(Outcome.FAILED, "http-503"), Reply(Outcome.DELIVERED)]
    jti = await d.house.submit(notice())
    await d.house.run_until_idle()
    decide_by(d.house, LOOK_FIRST)
    d.house.clock.advance(timedelta(minutes=5))
    await d.house.run_until_idle()
    leg = await leg_of(d.house, jti)
    assert (leg.state, leg.hold_reason, leg.attempt) == (State.HELD, "POLICY_CHANGED", 1)
    return leg


async def test_what_may_have_been_sent_is_cancelled_and_not_refused(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        leg = await stricter_after_an_attempt(d)
        await d.do("hold-refuse", legs=[leg.leg_id])
        row = await leg_of(d.house, leg.message.jti)
        assert (row.state, row.reason) == (State.CANCELLED, "HOLD")
        assert await stages(d.house) == [("CANCELLED", "HOLD")]


async def test_policies_that_ask_for_review_let_pass_what_a_person_released_under_them(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        leg = await stricter_after_an_attempt(d)
        await d.do("hold-release", legs=[leg.leg_id])
        await d.house.run_until_idle()
        assert (await leg_of(d.house, leg.message.jti)).state is State.DELIVERED
        assert len({got.digest for got in d.house.partners[FR].attempts}) == 1, "one jti, one content"


async def test_policies_that_changed_while_it_was_held_are_those_it_was_released_under(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        leg = await held(d)
        decide_by(d.house, UNRELATED)
        assert leg.policy_digest != d.house.holder.current.grounds.policies.digest
        await d.do("hold-release", legs=[leg.leg_id])
        await d.house.run_until_idle()
        assert (await leg_of(d.house, leg.message.jti)).state is State.DELIVERED


async def test_policies_that_change_after_the_release_ask_again(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        leg = await held(d)
        await d.do("hold-release", legs=[leg.leg_id])
        decide_by(d.house, LOOK_FIRST)
        await d.house.run_until_idle()
        row = await leg_of(d.house, leg.message.jti)
        assert (row.state, row.hold_reason) == (State.HELD, "MINOR")


async def test_a_release_lifts_no_policy_that_forbids(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        leg = await held(d)
        decide_by(d.house, NO_SEND)
        await d.do("hold-release", legs=[leg.leg_id])
        await d.house.run_until_idle()
        row = await leg_of(d.house, leg.message.jti)
        assert (row.state, row.reason) == (State.REFUSED, "POLICY")
        assert d.house.partners[FR].attempts == []


async def test_legs_of_a_suspended_partner_stay_held_until_it_is_not(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        leg = await held(d)
        suspend(d.house)
        assert (await d.do("hold-release", legs=[leg.leg_id]))["legs"][0]["why"] == "partner-suspended"
        suspend(d.house, suspended=False)
        assert (await d.do("hold-release", legs=[leg.leg_id]))["legs"][0]["done"]
        suspend(d.house)  # after the release, before the sealing
        await d.house.run_until_idle()
        row = await leg_of(d.house, leg.message.jti)
        assert (row.state, row.hold_reason) == (State.HELD, "SUSPENDED")


async def test_a_suspension_hides_no_review(tmp_path: Path) -> None:
    """Released from the one, a leg is held for the other: nobody has looked at it yet."""
    suspended = also(replace(SHIPPED[FR], suspended=True))
    async with desk(tmp_path, profiles=suspended, policies=LOOK_FIRST) as d:
        jti = await d.house.submit(notice())
        leg = await leg_of(d.house, jti)
        assert leg.hold_reason == "SUSPENDED"
        suspend(d.house, suspended=False)
        for reason in ("REVIEW", None):
            assert (await d.do("hold-release", legs=[leg.leg_id]))["legs"][0]["done"]
            await d.house.run_until_idle()
            assert (await leg_of(d.house, jti)).hold_reason == reason
        assert (await leg_of(d.house, jti)).state is State.DELIVERED


async def test_a_suspension_between_release_and_sealing_does_not_undo_the_release(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        leg = await held(d)
        await d.do("hold-release", legs=[leg.leg_id])
        suspend(d.house)
        await d.house.run_until_idle()
        suspend(d.house, suspended=False)
        await d.do("hold-release", legs=[leg.leg_id])
        await d.house.run_until_idle()
        assert (await leg_of(d.house, leg.message.jti)).state is State.DELIVERED


async def test_a_leg_whose_subject_was_erased_cannot_go_but_can_be_refused(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        leg = await held(d)
        with sqlite3.connect(tmp_path / "gateway.db") as database:
            database.execute("DELETE FROM subject_key")
        database.close()
        assert (await d.do("hold-release", legs=[leg.leg_id]))["legs"][0]["why"] == "erased"
        assert (await d.ask("leg-read", change={"justification": "REVIEW", "file": "1"}, leg=leg.leg_id)).code == "not-found"
        assert (await d.do("hold-refuse", legs=[leg.leg_id]))["legs"][0]["state"] == "refused"


async def test_what_is_not_held_is_not_refused(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        leg = await leg_of(d.house, await d.house.submit(notice()))
        assert (await d.do("hold-refuse", legs=[leg.leg_id]))["legs"][0]["why"] == "not-held"
        assert await leg_of(d.house, leg.message.jti) == leg


async def test_a_leg_to_a_partner_that_is_gone_is_not_released(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        leg = await held(d)
        world = d.house.holder.current
        directory = Directory(profile for profile in world.directory if profile.id != FR)
        d.house.holder.current = replace(world, grounds=replace(world.grounds, directory=directory))
        assert (await d.do("hold-release", legs=[leg.leg_id]))["legs"][0]["why"] == "partner-unknown"


async def test_without_a_database_a_command_is_told_to_come_again(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        leg = await held(d)
        raw, store = d.token("hold-release", {"legs": [leg.leg_id]}), d.commands._store
        d.commands._store = Down()
        answer = await d.commands.run(raw)
        assert (answer.outcome, answer.code) == ("problem", "unavailable")
        d.commands._store = store
        assert (await d.commands.run(raw)).outcome == "ok", "it was not used up"


async def test_every_command_is_kept_with_who_gave_it(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        leg = await held(d)
        await d.do("hold-list")
        raw = d.token("hold-release", {"legs": [leg.leg_id]})
        await d.commands.run(raw)
        (entry,) = await d.entries("command")
        moved = [each for each in await d.entries("leg") if each["leg_id"] == leg.leg_id]
    assert (entry["operator"], entry["command"], entry["digest"]) == ("reviewer", "hold-release", tokens.digest_of(raw))
    assert (entry["targets"], entry["key"]) == ([leg.leg_id], d.keys["reviewer"].kid)
    assert moved[0]["state"] == "planned"


@pytest.mark.parametrize("command", ["hold-release", "hold-refuse"])
async def test_nothing_happens_where_its_entry_cannot_be_written(tmp_path: Path, command: str) -> None:
    """The effect and its entry are one commit."""
    async with desk(tmp_path) as d:
        leg = await held(d)
        (reviewer,) = [each for each in d.house.holder.current.operators if each.id == "reviewer"]
        stranger = OperatorId("A Name")  # no id of ours: evidence does not take it
        keys = tuple(replace(key, owner=PartnerId(stranger)) for key in reviewer.keys)
        d.house.holder.current = replace(d.house.holder.current, operators=Operators([replace(reviewer, id=stranger, keys=keys)]))
        answer = await d.ask(command, change={"iss": stranger}, legs=[leg.leg_id])
        assert (answer.outcome, answer.code) == ("problem", "internal")
        assert (await leg_of(d.house, leg.message.jti)).state is State.HELD
        assert await stages(d.house) == []
        assert await d.entries("command") == []
