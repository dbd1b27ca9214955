"""R-SAF-04: a safeguarding concern that nobody answers goes to the desk, the place's police and its sender, again until somebody has it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.app import topics
from gateway.app.channels import Submissions
from gateway.app.ports import LegRow, Outgoing, WatchRow
from gateway.app.settle import Change
from gateway.contract.values import Country, Environment, Family, Jti, Lane, PartnerId, Role
from gateway.core import tokens
from gateway.core.correction import TAKEN_BACK
from gateway.core.delivery import Event, State
from gateway.core.directory import Directory
from gateway.core.escalation import ALERT, UNANSWERED
from gateway.core.evidence import entries
from gateway.core.keys import Use
from gateway.core.profiles import Delivery, Profile, Receives
from gateway.ops.telemetry import Telemetry
from gateway.stores.open import migrate
from gateway.stores.postgres import PostgresStore
from gateway.testing.clock import START, FakeClock
from gateway.testing.messages import replaced
from tests.house import GATEWAY, ROOT, TRAVEL, House, house
from tests.integration.test_postgres_concurrency import blocked
from tests.notices import answer_to

INT = Family("intelligence-report", "1.0")
ACK = Family("acknowledgement", "1.0")
CONCERN: Mapping[str, Any] = json.loads((ROOT / "schemas/families/intelligence-report/examples/warnings.json").read_text(encoding="utf-8"))
CHILDREN, POLICE, HELP, DESK = (PartnerId(name) for name in ("gb-children", "gb-police", "help-line", "gb-desk"))
FR = PartnerId("fr-police")
REF, COR = Family("support-referral", "1.0"), Family("correction", "1.0")
REFERRAL: Mapping[str, Any] = json.loads((ROOT / "schemas/families/support-referral/examples/valid.json").read_text(encoding="utf-8"))
FLAGGED = replaced(REFERRAL, "/body/safeguarding_flag", True)
WAIT = timedelta(minutes=15)
INBOX = Delivery(format="native", transport="inbox")


def profile(id_: PartnerId, kind: str, country: str = "GB", **more: Any) -> Profile:
    base = Profile(
        id=id_, name="Example", country=Country(country), kind=kind, sector="STATUTORY", environment=Environment.TEST, delivery=INBOX,
    )  # fmt: skip
    return replace(base, **more)


PROTECTS = (Receives(INT.name, frozenset({Role.SAFEGUARDING}), frozenset({"SAFEGUARD"})),)
QUIET = profile(POLICE, "POLICE")  # receives nothing by itself
REPORTS = profile(HELP, "SUPPORT_NGO", sector="NGO", sends=frozenset({INT.name, REF.name, COR.name, TRAVEL.name}))
PROFILES = {
    CHILDREN: profile(CHILDREN, "CHILDREN_SERVICES", receives=PROTECTS),
    POLICE: QUIET,
    HELP: REPORTS,
    DESK: profile(DESK, "CENTRAL_BUREAU"),
    FR: profile(FR, "POLICE", "FR"),
}


@asynccontextmanager
async def opened(folder: Path, *, desk: PartnerId | None = DESK, without: PartnerId | None = None, **more: Any) -> AsyncIterator[House]:
    """Open a house with a children's service, police that asked for nothing, a volunteers' line that raises concerns, and a desk."""
    profiles = {id_: p for id_, p in PROFILES.items() if id_ != without} | more.pop("changed", {})
    async with house(folder, profiles=profiles, **more) as h:
        h.holder.current = replace(h.holder.current, desk=desk)
        yield h


async def raise_concern(h: House, event: Mapping[str, Any] = CONCERN) -> Jti:
    return await h.submit(event, sender=HELP, family=INT)


async def look(h: House, after: timedelta = timedelta()) -> int:
    """Let time pass, then let the gateway look once."""
    h.clock.advance(after)
    return await h.escalate.run_once()


async def watched(h: House) -> list[WatchRow]:
    async with h.store.reading() as work:
        return await work.due_watches(UNANSWERED, h.clock.now() + timedelta(days=9_999), limit=99)


async def legs_of(h: House, jti: Jti) -> dict[PartnerId, LegRow]:
    return await h.legs(jti, sender=HELP)


async def alerts(h: House, who: PartnerId) -> list[Any]:
    """Poll and acknowledge; return what each alert answers."""
    await h.seal.run_once()
    said = [got.event for got in await h.poll_all(who)]
    return [e["routing"]["in_response_to"]["jti"] for e in said if (e["body"].get("stage"), e["body"].get("reason")) == ("ALERT", ALERT)]


async def events(h: House, name: str) -> float:
    return h.metrics.registry.get_sample_value("gateway_events_total", {"name": name}) or 0


# --- rounds


async def test_a_concern_nobody_answers_is_told_after_15_minutes_and_again_until_somebody_has_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as h:
        jti = await raise_concern(h)
        assert set(await legs_of(h, jti)) == {CHILDREN}
        assert await look(h, WAIT - timedelta(seconds=1)) == 0
        assert [await alerts(h, who) for who in (HELP, DESK)] == [[], []]

        assert await look(h, timedelta(seconds=1)) == 1
        assert [await alerts(h, who) for who in (HELP, DESK)] == [[jti], [jti]]
        assert set(await legs_of(h, jti)) == {CHILDREN, POLICE}
        assert await look(h) == 0

        assert await look(h, WAIT) == 1
        assert [await alerts(h, who) for who in (HELP, DESK)] == [[jti], [jti]]
        assert set(await legs_of(h, jti)) == {CHILDREN, POLICE}
        assert (await watched(h))[0].round == 2

        await h.poll_all(POLICE)  # fetches, and acknowledges
        assert (await legs_of(h, jti))[POLICE].state is State.RECEIPTED
        assert await look(h, WAIT) == 1
        assert await watched(h) == []
        assert [await alerts(h, who) for who in (HELP, DESK)] == [[], []]
        assert [await events(h, name) for name in (UNANSWERED, "safeguarding-answered")] == [2, 1]


async def test_what_is_answered_in_time_is_told_to_nobody(tmp_path: Path) -> None:
    async with opened(tmp_path) as h:
        jti = await raise_concern(h)
        await h.poll_all(CHILDREN)
        assert await look(h, WAIT) == 1
        assert (await watched(h), set(await legs_of(h, jti))) == ([], {CHILDREN})
        assert [await alerts(h, who) for who in (HELP, DESK)] == [[], []]
        assert await events(h, UNANSWERED) == 0


async def test_the_police_get_the_concern_itself_once_and_in_the_fastest_lane(tmp_path: Path) -> None:
    async with opened(tmp_path) as h:
        jti = await raise_concern(h)
        await look(h, WAIT)
        first = (await legs_of(h, jti))[POLICE]
        assert (first.roles, first.countries, first.lane) == (("SAFEGUARDING",), ("GB",), Lane.IMMEDIATE)
        await look(h, WAIT)
        assert (await legs_of(h, jti))[POLICE].jti == first.jti
        (got,) = await h.poll_all(POLICE)
        assert (got.jti, got.event["body"]["text"]) == (first.jti, CONCERN["body"]["text"])
        assert got.event["original"] == {"iss": HELP, "jti": jti}


async def test_a_concern_that_goes_to_nobody_is_told_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path, without=CHILDREN) as h:
        jti = await raise_concern(h)
        assert [row.reason for row in await h.refusals(jti, sender=HELP)] == ["NO_PARTNER"]
        assert await look(h) == 1
        assert [await alerts(h, who) for who in (HELP, DESK)] == [[jti], [jti]]
        assert set(await legs_of(h, jti)) == {POLICE}
        assert await look(h) == 0


async def test_a_held_leg_is_no_answer(tmp_path: Path) -> None:
    async with opened(tmp_path) as h:
        jti = await raise_concern(h)
        await h.settle.run([Change(leg_id=(await legs_of(h, jti))[CHILDREN].leg_id, event=Event.HELD)])
        await look(h, WAIT)
        assert [await alerts(h, who) for who in (HELP, DESK)] == [[jti], [jti]]


async def test_who_could_not_read_it_has_not_got_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as h:
        jti = await raise_concern(h)
        (token,) = await h.poll(CHILDREN)
        await h.poll(CHILDREN, errors={token: "invalid_key"})
        assert (await legs_of(h, jti))[CHILDREN].state is State.RECEIPTED
        await look(h, WAIT)
        assert await alerts(h, DESK) == [jti]


@pytest.mark.parametrize(("stage", "told"), [("RECEIVED", False), ("REFUSED", True)])
async def test_a_signed_acknowledgement_is_an_answer_unless_it_refuses(tmp_path: Path, stage: str, told: bool) -> None:
    async with opened(tmp_path) as h:
        jti = await raise_concern(h)
        (got,) = (await h.poll(CHILDREN)).values()
        more = {"reason": "NOT_COMPETENT"} if stage == "REFUSED" else {}
        assert (await h.send(answer_to(got, stage=stage, **more), sender=CHILDREN, family=ACK, txn=got.claims["txn"])).receipt is not None
        await look(h, WAIT)
        assert await alerts(h, DESK) == [jti] * told


# --- who is told


@pytest.mark.parametrize(
    ("changes", "reached"),
    [
        pytest.param({"kind": "BORDER"}, False, id="no-police"),
        pytest.param({"country": Country("FR")}, False, id="of-another-country"),
        pytest.param({"country": Country("FR"), "serves": frozenset({Country("GB")})}, True, id="that-stand-in-for-the-country"),
        pytest.param({"regions": frozenset({"GB-ENG"})}, True, id="of-the-region"),
        pytest.param({"regions": frozenset({"GB-SCT"})}, False, id="of-another-region"),
        pytest.param({"delivery": None}, False, id="cannot-be-told"),
        pytest.param({"environment": Environment.ACCEPTANCE}, False, id="of-another-environment"),
    ],
)
async def test_only_the_place_s_police_are_sent_it(tmp_path: Path, changes: dict[str, Any], reached: bool) -> None:
    async with opened(tmp_path, changed={POLICE: replace(QUIET, **changes)}) as h:
        jti = await raise_concern(h)
        await look(h, WAIT)
        assert (POLICE in await legs_of(h, jti)) is reached
        assert await alerts(h, DESK) == [jti]


async def test_a_refusal_of_police_is_recorded_once_however_many_rounds(tmp_path: Path) -> None:
    barred = replace(QUIET, excluded_countries=frozenset({Country("GB")}))
    async with opened(tmp_path, changed={POLICE: barred}) as h:
        jti = await raise_concern(h)
        for _ in range(3):
            await look(h, WAIT)
        refused = [(r.partner, r.reason, r.position) for r in await h.refusals(jti, sender=HELP)]
        assert refused == [(POLICE, "COUNTRY_EXCLUDED_BY_PROFILE", 0)]
        h.holder.current = with_profiles(h, {**PROFILES})  # somebody mends it at three in the morning
        await look(h, WAIT)
        assert set(await legs_of(h, jti)) == {CHILDREN, POLICE}


async def test_suspended_police_get_a_held_leg_and_the_rounds_go_on(tmp_path: Path) -> None:
    async with opened(tmp_path, changed={POLICE: replace(QUIET, suspended=True)}) as h:
        jti = await raise_concern(h)
        await look(h, WAIT)
        leg = (await legs_of(h, jti))[POLICE]
        assert (leg.state, leg.hold_reason) == (State.HELD, "SUSPENDED")
        assert await look(h, WAIT) == 1


async def test_without_a_desk_the_others_are_told(tmp_path: Path) -> None:
    async with opened(tmp_path, desk=None) as h:
        jti = await raise_concern(h)
        await look(h, WAIT)
        assert (await alerts(h, HELP), set(await legs_of(h, jti))) == ([jti], {CHILDREN, POLICE})


async def test_a_desk_that_raises_one_itself_is_told_once(tmp_path: Path) -> None:
    async with opened(tmp_path, desk=HELP) as h:
        jti = await raise_concern(h)
        await look(h, WAIT)
        assert await alerts(h, HELP) == [jti]


def with_profiles(h: House, profiles: Mapping[PartnerId, Profile]) -> Any:
    world, directory = h.holder.current, Directory(profiles.values())
    return replace(world, grounds=replace(world.grounds, directory=directory), context=replace(world.context, directory=directory))


async def test_an_alert_that_cannot_be_made_does_not_stop_the_others(tmp_path: Path) -> None:
    async with opened(tmp_path) as h:
        jti = await raise_concern(h)
        h.holder.current = with_profiles(h, {id_: p for id_, p in PROFILES.items() if id_ != HELP})  # the sender's profile was taken away
        assert await look(h, WAIT) == 1
        assert await alerts(h, DESK) == [jti]
        assert await events(h, "escalation-incomplete") == 1  # its own alert
        assert POLICE in await legs_of(h, jti)
        assert (await watched(h))[0].due_at == START + 2 * WAIT


async def test_a_concern_that_cannot_be_read_any_more_is_told_to_operators_and_stops_no_other(tmp_path: Path) -> None:
    async with opened(tmp_path) as h:
        lost, kept = await raise_concern(h), await raise_concern(h, replaced(CONCERN, "/subject/ref", "s-000078"))
        spoil(tmp_path / "gateway.db", lost)
        assert await look(h, WAIT) == 2
        assert await alerts(h, DESK) == [kept]
        assert [await events(h, name) for name in (UNANSWERED, "escalation-incomplete")] == [2, 1]


def spoil(path: Path, jti: Jti) -> None:
    """Destroy the key of one message."""
    with closing(sqlite3.connect(path)) as other, other:
        assert other.execute("DELETE FROM message_key WHERE jti = ?", (jti,)).rowcount == 1


async def test_the_rounds_end_with_the_message_and_an_operator_hears_that_nobody_had_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as h:
        jti = await raise_concern(h, replaced(CONCERN, "/handling/retention", {"review_by": "2026-11-22", "delete_by": "2026-11-22"}))
        assert await look(h, timedelta(hours=35)) == 1
        assert await look(h, timedelta(hours=1)) == 1
        assert await watched(h) == []
        assert await alerts(h, DESK) == [jti]
        assert await events(h, "safeguarding-lapsed") == 1


# --- what its sender said of it since


async def take_back(h: House, jti: Jti, kind: str = "WITHDRAW") -> Jti:
    """Send what takes a concern back: of intelligence a correction says no other words."""
    body = {
        "corrects": {"iss": HELP, "jti": jti}, "kind": kind, "reason": "Fictional mistake.", "deadline": "2026-11-24T12:00:00Z",
        "recipients_must_do": "DELETE",
    }  # fmt: skip
    event = replaced(CONCERN, "/body", body)
    quality = [{"group": group, "kind": "FACT"} for group in ("exchange", "sender_contact")]
    return await h.submit(replaced(event, "/handling/data_quality", quality), sender=HELP, family=COR, txn=jti)


@pytest.mark.parametrize("kind", sorted(TAKEN_BACK))
async def test_a_concern_that_was_taken_back_is_told_to_nobody_more(tmp_path: Path, kind: str) -> None:
    async with opened(tmp_path) as h:
        jti = await raise_concern(h)
        await take_back(h, jti, kind)
        assert await look(h, WAIT) == 1
        assert (await watched(h), POLICE in await legs_of(h, jti)) == ([], False)
        assert [await alerts(h, who) for who in (HELP, DESK)] == [[], []]
        assert await events(h, "safeguarding-withdrawn") == 1


async def test_another_that_is_taken_back_ends_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as h:
        jti, other = await raise_concern(h), await raise_concern(h)
        await take_back(h, other)
        assert await look(h, WAIT) == 2
        assert [row.message.jti for row in await watched(h)] == [jti]
        assert await alerts(h, DESK) == [jti]


async def test_where_it_is_unknown_whether_it_still_stands_it_goes_to_nobody_new_and_the_alerts_go_out(tmp_path: Path) -> None:
    async with opened(tmp_path) as h:
        jti = await raise_concern(h)
        spoil(tmp_path / "gateway.db", await take_back(h, jti))
        await look(h, WAIT)
        assert POLICE not in await legs_of(h, jti)
        assert [await alerts(h, who) for who in (HELP, DESK)] == [[jti], [jti]]
        assert await events(h, "escalation-incomplete") == 1


# --- safe in several processes, and after a crash


async def test_two_that_look_at_once_make_one_round(tmp_path: Path) -> None:
    async with opened(tmp_path) as h, opened(tmp_path, url=f"sqlite:///{tmp_path}/gateway.db", keys=h.keys, clock=h.clock, seed=2) as other:
        jti = await raise_concern(h)
        h.clock.advance(WAIT)
        assert sum(await asyncio.gather(h.escalate.run_once(), other.escalate.run_once())) == 1
        assert [await alerts(h, who) for who in (HELP, DESK)] == [[jti], [jti]]
        assert len(await h.legs(jti, sender=HELP)) == 2


@pytest.mark.services
async def test_two_inners_that_wait_for_the_same_subject_make_one_round(tmp_path: Path, postgres_dsn: str) -> None:
    await migrate(postgres_dsn)
    async with opened(tmp_path, url=postgres_dsn) as h, opened(tmp_path, url=postgres_dsn, keys=h.keys, clock=h.clock, seed=2) as other:
        jti = await raise_concern(h)
        h.clock.advance(WAIT)
        third = PostgresStore(postgres_dsn)
        async with third.unit_of_work() as work:
            await work.relock_subjects([(await watched(h))[0].subject])
            looking = [asyncio.create_task(each.escalate.run_once()) for each in (h, other)]
            await blocked(postgres_dsn, 2)  # both have found it due
        await third.close()
        assert sum(await asyncio.gather(*looking)) == 1
        assert [await alerts(h, who) for who in (HELP, DESK)] == [[jti], [jti]]
        assert set(await h.legs(jti, sender=HELP)) == {CHILDREN, POLICE}
        assert [(row.round, row.due_at) for row in await watched(h)] == [(1, START + 2 * WAIT)]


async def test_the_rounds_go_on_where_they_stood_when_the_process_is_gone(tmp_path: Path) -> None:
    clock = FakeClock()
    async with opened(tmp_path, clock=clock) as h:
        keys, jti = h.keys, await raise_concern(h)
        await look(h, WAIT)
    async with opened(tmp_path, clock=clock, keys=keys, seed=2) as again:
        assert await look(again) == 0
        assert await look(again, WAIT) == 1
        assert await alerts(again, DESK) == [jti, jti]
        assert [(row.round, row.due_at) for row in await watched(again)] == [(2, START + 3 * WAIT)]


async def test_a_round_that_cannot_be_committed_leaves_nothing_and_comes_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as h:
        jti = await raise_concern(h)
        break_rounds(tmp_path / "gateway.db", broken=True)
        assert await look(h, WAIT) == 0
        assert (set(await legs_of(h, jti)), await alerts(h, DESK)) == ({CHILDREN}, [])
        break_rounds(tmp_path / "gateway.db", broken=False)
        assert await look(h) == 1
        assert (set(await legs_of(h, jti)), await alerts(h, DESK)) == ({CHILDREN, POLICE}, [jti])


def break_rounds(path: Path, *, broken: bool) -> None:
    """Let the database refuse the last write of a round, or no longer."""
    trigger = "CREATE TRIGGER no_round BEFORE UPDATE ON watch BEGIN SELECT RAISE(ABORT, 'no'); END" if broken else "DROP TRIGGER no_round"
    with closing(sqlite3.connect(path)) as other, other:
        other.execute(trigger)


# --- what is on record


async def test_a_watch_is_of_a_concern_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as h:
        await h.submit(
            json.loads((ROOT / "schemas/families/travel-notification/examples/valid.json").read_text(encoding="utf-8")), sender=HELP
        )
        assert await watched(h) == []


async def test_who_was_sent_it_later_is_evidence(tmp_path: Path) -> None:
    async with opened(tmp_path) as h:
        jti = await raise_concern(h)
        await look(h, WAIT)
        await h.sequencer.run_once()
        async with h.store.reading() as work:
            said = [entries.decode(raw) for _, raw in await work.leaves(0, 99)]
        (added,) = [entry for entry in said if isinstance(entry, entries.Extended)]
        assert (added.iss, added.jti, added.reason) == (HELP, jti, ALERT)
        assert [(leg.partner, leg.state, leg.because) for leg in added.legs] == [
            (POLICE, "planned", ("safeguarding-to-those-who-protect",))
        ]


async def over_http(h: House, token: bytes) -> bytes:
    answer = await h.ask("submit", "/v1/messages", who=HELP, method="POST", body=token)
    assert answer.outcome == "accepted", answer.body
    return answer.body


async def over_kafka(h: House, token: bytes) -> bytes:
    await h.bus.publish([Outgoing(topics.submissions(HELP), b"key", token)])
    running = asyncio.create_task(Submissions(h.bus, h.intake, Telemetry(h.metrics), [HELP]).run(asyncio.Event()))
    async with h.bus.subscribe([topics.results(HELP)], group=topics.results_group(HELP)) as mine, asyncio.timeout(10):
        (answer,) = await mine.batch(max_records=1, wait_seconds=5)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert answer.headers["outcome"] == "accepted", answer.value
    return answer.value


@pytest.mark.parametrize("way", [over_http, over_kafka])
@pytest.mark.parametrize(
    ("family", "event", "rule", "detail"),
    [
        (INT, CONCERN, "R-SAF-03", "the emergency number in GB is 999 or 112"),
        (REF, FLAGGED, "R-SAF-05", "somebody may be in danger: this referral is held, and helps nobody now"),
    ],
    ids=["concern", "flagged-referral"],
)
async def test_the_signed_receipt_says_whom_to_call(
    tmp_path: Path, way: Callable[[House, bytes], Awaitable[bytes]], family: Family, event: Mapping[str, Any], rule: str, detail: str
) -> None:
    async with opened(tmp_path) as h:
        receipt = await way(h, h.token(event, sender=HELP, family=family))
        verified = tokens.verify(
            tokens.unwrap(receipt, {}, typ=tokens.RECEIPT, encrypted="refused"), h.keys[GATEWAY].pairs[Use.RECEIPT].entry
        )
        (said,) = [one for one in verified.claims["warnings"] if one.get("rule") == rule]
        assert said["detail"] == detail
        assert "no substitute for calling" in said["expected"]


async def test_a_gauge_shows_what_is_overdue_until_it_is_answered(tmp_path: Path) -> None:
    async with opened(tmp_path) as h:
        await raise_concern(h)
        seen = []
        for after in (timedelta(), WAIT, WAIT):
            await look(h, after)
            async with h.store.reading() as work:
                seen.append(await work.overdue_watches())
            if after:
                await h.poll_all(CHILDREN)
        assert seen == [{}, {UNANSWERED: 1}, {}]
        h.metrics.show_overdue({UNANSWERED: 2})
        assert h.metrics.registry.get_sample_value("gateway_overdue", {"kind": UNANSWERED}) == 2
        h.metrics.show_overdue({})
        assert h.metrics.registry.get_sample_value("gateway_overdue", {"kind": UNANSWERED}) is None
