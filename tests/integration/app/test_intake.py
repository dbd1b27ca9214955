"""Intake: batches in one commit, no member fails another, replies match what was told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.app.intake import Outcome, Submission
from gateway.contract.values import Country, Jti, PartnerId, Ref, Role
from gateway.core import receipts, tokens
from gateway.core.delivery import State
from gateway.core.directory import Directory
from gateway.core.keys import Use
from gateway.core.problems import Code
from gateway.core.profiles import Profile, Receives
from gateway.core.request_tokens import RequestIdentity
from tests.house import ACK, GATEWAY, SHIPPED, Got, House, house
from tests.notices import RESTRICTION, also, another, answer_to, notice

REGISTER, FR, NL = PartnerId("gb-register"), PartnerId("fr-police"), PartnerId("nl-border")
SECOND: Profile = another("gb-register", "ie-register", country="IE", managing_authority=None)
PROFILES = also(SECOND)


def codes(outcome: Outcome) -> list[str]:
    return [problem.code.value for problem in outcome.problems if problem.is_error]


def statement(h: House, token: bytes, typ: str, *, reader: PartnerId = REGISTER) -> receipts.Statement:
    entry = h.keys[GATEWAY].pairs[Use.RECEIPT].entry
    opened = tokens.unwrap(token, {}, typ=typ, encrypted="allowed")
    return receipts.read_statement(tokens.verify(opened, entry), reader=reader)  # type: ignore[arg-type]  # a RECEIPT entry


async def staged(h: House) -> list[bytes]:
    async with h.store.reading() as work:
        return [entry for _, entry in await work.staged(1000)]


# --- receipts and rejections


async def test_a_receipt_names_what_was_received_and_carries_its_warnings(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        event = notice(
            "FR", body__notified_by_subject_at="2026-11-21T09:00:00Z", body__narratives=[{"kind": "OTHER", "language": "en", "text": "x"}]
        )
        signed = h.token(event, plain=True, jti=(jti := h.dice.uuid7(h.clock.now())))
        outcome = await h.send_token(h.encrypt(signed))
        assert outcome.receipt is not None
        said = statement(h, outcome.receipt, tokens.RECEIPT)
        assert (said.received.signer, said.received.jti, said.received.digest) == (REGISTER, jti, tokens.digest_of(signed))
        assert {problem["severity"] for problem in said.problems} <= {"warning", "note"}
        assert "R-GEN-10" in {problem.get("rule") for problem in said.problems}


async def test_a_rejection_of_a_trusted_message_is_signed_and_is_evidence(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        outcome = await h.send(notice("FR", handling__codes=[]), jti=(jti := h.dice.uuid7(h.clock.now())))
        assert (codes(outcome), outcome.receipt) == (["schema-invalid"], None)
        assert outcome.rejection is not None
        said = statement(h, outcome.rejection, tokens.REJECTION)
        assert said.received.jti == jti
        assert [problem["pointer"] for problem in said.problems] == ["/handling/codes"]
        (entry,) = await staged(h)
        assert b'"kind":"rejected"' in entry
        assert jti.encode() in entry


@pytest.mark.parametrize("jti", ["nonsense", "\x00", "6f9619ff-8b86-4011-b42d-00c04fc964ff", "'; drop table leg; --"])
async def test_a_rejection_for_a_jti_that_is_none_still_comes_and_fails_nobody(tmp_path: Path, jti: str) -> None:
    async with house(tmp_path) as h:
        batch = [h.token(notice("FR"), jti=jti), h.token(notice("FR"))]
        bad, good = await h.intake.accept([Submission(token, REGISTER) for token in batch])
        assert codes(bad) == ["claim-invalid"]
        assert good.receipt is not None


async def test_a_rejection_does_not_use_up_the_id(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti = h.dice.uuid7(h.clock.now())
        assert codes(await h.send(notice("FR", handling__codes=[]), jti=jti)) == ["schema-invalid"]
        assert (await h.send(notice("FR"), jti=jti)).receipt is not None


async def test_an_untrusted_message_is_counted_and_nothing_else(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        outcome = await h.send_token(b"nonsense")
        assert (outcome.rejection, outcome.receipt) == (None, None)
        assert await staged(h) == []
        assert h.metrics.registry.get_sample_value("gateway_messages_total", {"partner": "gb-register", "outcome": "rejected"}) == 1


def with_key(h: House, **changes: Any) -> None:
    """Reload the register's submit key, changed."""
    world = h.holder.current
    pair = h.keys[REGISTER].pairs[Use.SUBMIT]
    entries = [replace(e, **changes) if (e.owner, e.kid) == (REGISTER, pair.entry.kid) else e for e in world.context.keyring.entries]
    ring = type(world.context.keyring)(entries)
    h.holder.current = replace(world, context=replace(world.context, keyring=ring))


async def test_a_repeat_under_an_expired_key_gets_its_receipt_and_something_new_does_not(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        signed = h.token(notice("FR"), plain=True)
        first = await h.send_token(h.encrypt(signed))
        with_key(h, valid_to=h.clock.now())
        assert (await h.send_token(h.encrypt(signed))).receipt == first.receipt
        new = await h.send(notice("FR"))
        assert (codes(new), new.rejection) == (["untrusted"], None)


async def test_a_repeat_under_a_revoked_key_is_refused(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        signed = h.token(notice("FR"), plain=True)
        assert (await h.send_token(h.encrypt(signed))).receipt is not None
        with_key(h, revoked_at=h.clock.now())
        assert codes(await h.send_token(h.encrypt(signed))) == ["untrusted"]


# --- batches


async def test_one_poison_member_does_not_fail_the_batch(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=PROFILES) as h:
        world = h.holder.current
        gone = Directory(profile for profile in world.directory if profile.id != SECOND.id)  # admitted, and nobody can decide it
        h.holder.current = replace(world, grounds=replace(world.grounds, directory=gone))
        batch = [Submission(h.token(notice("FR", subject=f"s-{n}")), REGISTER) for n in range(3)]
        batch.insert(1, Submission(h.token(notice("FR", handling__legal_basis=IRISH), sender=SECOND.id), SECOND.id))
        outcomes = await h.intake.accept(batch)
        assert [outcome.receipt is not None for outcome in outcomes] == [True, False, True, True]
        assert codes(outcomes[1]) == ["internal"]
        assert sum(b'"kind":"accepted"' in entry for entry in await staged(h)) == 3
        h.holder.current = world
        assert (await h.intake.accept([batch[1]]))[0].receipt is not None  # mended, the same bytes are right


IRISH = [{"jurisdiction": "IE", "code": "TRAVEL_NOTICE", "citation": "Fictional Act, section 1"}]


async def test_a_batch_is_answered_member_by_member_in_order(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        old = h.token(notice("FR"))
        assert (await h.send_token(old)).receipt is not None
        wrong = h.token(notice("FR", handling__codes=[]))
        batch = [wrong, h.token(notice("FR")), b"", old, h.token(notice("NL"))]
        outcomes = await h.intake.accept([Submission(token, REGISTER) for token in batch])
        assert [(o.receipt is not None, o.repeated) for o in outcomes] == [
            (False, False), (True, False), (False, False), (True, True), (True, False)
        ]  # fmt: skip


async def test_members_of_a_batch_stand_in_line_as_they_came(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jtis = [h.dice.uuid7(h.clock.now()) for _ in range(4)]
        tokens_ = [h.token(notice("FR"), jti=jti) for jti in reversed(jtis)]
        await h.intake.accept([Submission(token, REGISTER) for token in tokens_])
        seqs = [(await h.legs(jti))[FR].seq for jti in reversed(jtis)]
        states = [(await h.legs(jti))[FR].state for jti in reversed(jtis)]
        assert seqs == sorted(seqs)
        assert states == [State.READY, State.PLANNED, State.PLANNED, State.PLANNED]


async def test_an_empty_batch_is_no_work(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        assert await h.intake.accept([]) == []


async def test_concurrent_batches_of_the_same_message_are_one_message(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        token = h.token(notice("FR"), jti=(jti := h.dice.uuid7(h.clock.now())))
        outcomes = await asyncio.gather(*(h.send_token(token) for _ in range(8)))
        assert len({outcome.receipt for outcome in outcomes}) == 1
        assert sum(not outcome.repeated for outcome in outcomes) == 1
        assert len(await h.legs(jti)) == 1


async def test_two_registers_never_merge_two_persons(tmp_path: Path) -> None:
    async with house(tmp_path, profiles=PROFILES) as h:
        one = await h.submit(notice("FR", subject="s-same"))
        two = await h.submit(notice("FR", subject="s-same", handling__legal_basis=IRISH), sender=SECOND.id)
        legs = [(await h.legs(one))[FR], (await h.legs(two, sender=SECOND.id))[FR]]
        assert len({leg.subject for leg in legs}) == 2
        await h.run_until_idle()
        issuers = {got.event["subject"]["iss"] for got in h.partners[FR].received.values()}
        assert issuers == {"gb-register", "ie-register"}


async def test_a_request_token_used_twice_is_refused_and_its_message_not_accepted(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        used = RequestIdentity(REGISTER, Jti(h.dice.uuid7(h.clock.now())), h.clock.now() + timedelta(seconds=60))
        batch = [Submission(h.token(notice("FR")), REGISTER, used), Submission(h.token(notice("NL")), REGISTER, used)]
        first, second = await h.intake.accept(batch)
        assert first.receipt is not None
        assert codes(second) == ["untrusted"]
        assert codes((await h.intake.accept([Submission(h.token(notice("NL")), REGISTER, used)]))[0]) == ["untrusted"]


async def test_a_request_that_the_bus_brings_again_gets_the_receipt_it_had_earned(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        used = RequestIdentity(REGISTER, Jti(h.dice.uuid7(h.clock.now())), h.clock.now() + timedelta(seconds=60))
        submission = Submission(h.token(notice("FR")), REGISTER, used)
        (first,) = await h.intake.accept([submission])
        (again,) = await h.intake.accept([submission])  # its inner was killed between commit and answer
        assert first.receipt is not None
        assert (again.receipt, again.repeated) == (first.receipt, True)


async def test_a_malformed_message_uses_up_its_request_token_too(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        used = RequestIdentity(REGISTER, Jti(h.dice.uuid7(h.clock.now())), h.clock.now() + timedelta(seconds=60))
        assert codes((await h.intake.accept([Submission(b"nonsense", REGISTER, used)]))[0]) == ["not-a-token"]
        assert codes((await h.intake.accept([Submission(h.token(notice("FR")), REGISTER, used)]))[0]) == ["untrusted"]


# --- replies


async def delivered(h: House, *to: str) -> tuple[Jti, Mapping[PartnerId, Got]]:
    jti = await h.submit(notice(*to))
    await h.run_until_idle()
    got = {partner: next(iter(p.received.values())) for partner, p in h.partners.items() if p.received}
    return jti, got


async def test_an_answer_closes_its_leg_as_receipted_and_reaches_the_sender(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti, got = await delivered(h, "FR")
        await h.poll_all("gb-register")
        outcome = await h.send(answer_to(got[FR], stage="ACTIONED", outcome="MONITORED"), sender=FR, family=ACK)
        assert outcome.receipt is not None, outcome.problems
        leg = (await h.legs(jti))[FR]
        assert (leg.state, leg.last_code) == (State.RECEIPTED, "ACTIONED")
        assert leg.proof == statement(h, outcome.receipt, tokens.RECEIPT, reader=FR).received.digest
        await h.run_until_idle()
        heard = await h.poll_all("gb-register")
        stages = [(one.event["body"]["stage"], one.event.get("original", {}).get("iss")) for one in heard]
        assert sorted(stages) == [("ACTIONED", "fr-police"), ("RECEIPTED", "gw-test")]


async def test_an_answer_counts_to_the_original_s_subject(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti, got = await delivered(h, "FR")
        answer = answer_to(got[FR])
        answer_jti = await h.submit(answer, sender=FR, family=ACK)
        (reply,) = (await h.legs(answer_jti, sender=FR)).values()
        assert reply.subject == (await h.legs(jti))[FR].subject
        assert (reply.partner, reply.roles) == ("gb-register", (Role.REPLY.value,))


@pytest.mark.parametrize("who", ["es-police", "nl-border", "gb-register"])
async def test_nobody_answers_for_another(tmp_path: Path, who: str) -> None:
    async with house(tmp_path) as h:
        jti, got = await delivered(h, "FR", "ES", "NL")
        outcome = await h.send(answer_to(got[FR]), sender=who, family=ACK)
        assert codes(outcome) == ["reply-unmatched"]
        assert outcome.rejection is not None
        assert (await h.legs(jti))[FR].state is State.DELIVERED


async def test_an_answer_to_nothing_is_rejected_and_can_be_mended(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        _, got = await delivered(h, "FR")
        answer = answer_to(got[FR])
        answer["routing"]["in_response_to"]["jti"] = h.dice.uuid7(h.clock.now())
        outcome = await h.send(answer, sender=FR, family=ACK, jti=(jti := h.dice.uuid7(h.clock.now())))
        assert codes(outcome) == ["reply-unmatched"]
        assert (await h.send(answer_to(got[FR]), sender=FR, family=ACK, jti=jti)).receipt is not None


async def test_an_answer_that_names_the_register_s_own_reference_is_unmatched(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti, got = await delivered(h, "FR")
        answer = answer_to(got[FR])
        answer["routing"]["in_response_to"] = {"iss": "gb-register", "jti": jti}  # not as it was received
        assert codes(await h.send(answer, sender=FR, family=ACK)) == ["reply-unmatched"]


async def test_an_answer_to_an_acknowledgement_ends_there(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await delivered(h, "FR")
        (heard,) = await h.poll_all("gb-register")
        jti = await h.submit(answer_to(heard), family=ACK)
        assert await h.legs(jti) == {}
        assert await h.refusals(jti) == []
        await h.run_until_idle()
        assert await h.poll("gb-register") == {}


async def test_a_second_answer_is_kept_and_passed_on_and_the_leg_stays_receipted(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti, got = await delivered(h, "FR")
        for stage in ("RECEIVED", "VALID"):
            assert (await h.send(answer_to(got[FR], stage=stage), sender=FR, family=ACK)).receipt is not None
        await h.run_until_idle()
        heard = [one.event["body"]["stage"] for one in await h.poll_all("gb-register")]
        assert sorted(heard) == ["DELIVERED", "RECEIPTED", "RECEIVED", "VALID"]
        assert (await h.legs(jti))[FR].last_code == "RECEIVED"


# --- alerts


async def test_a_travel_restriction_alerts_sender_and_managing_authority_and_never_suppresses(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti = await h.submit(notice("FR", body__active_travel_restriction=RESTRICTION))
        await h.run_until_idle()
        assert (await h.legs(jti))[FR].state is State.DELIVERED
        for who in ("gb-register", "gb-police"):
            first, *_ = await h.poll_all(who)
            said = first.event
            assert (said["body"]["stage"], said["body"]["reason"]) == ("ALERT", "TRAVEL_RESTRICTION")
            assert said["routing"]["priority"] == "IMMEDIATE"
            assert said["routing"]["in_response_to"] == {"iss": "gb-register", "jti": jti}


async def test_an_alert_lifts_what_waits_before_it(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.submit(notice("FR"))
        await h.run_until_idle()  # an acknowledgement now waits in the register's inbox
        await h.submit(notice("FR", body__active_travel_restriction=RESTRICTION))
        async with h.store.reading() as work:
            due = await work.due_partners(h.clock.now())
        assert (REGISTER, "immediate") in [(partner, lane.value) for partner, lane in due]


# --- other people's messages are not disturbed


async def test_a_message_nobody_may_get_is_accepted_and_receipted_with_its_refusals(tmp_path: Path) -> None:
    profile = SHIPPED[NL]
    deaf = replace(profile, receives=(Receives("travel-notification", frozenset({Role.NAMED}), frozenset({"BORDER"})),))
    async with house(tmp_path, profiles=also(deaf)) as h:
        jti = await h.submit(notice("NL"))
        assert await h.legs(jti) == {}
        assert [(r.partner, r.country, r.reason) for r in await h.refusals(jti)] == [(None, "NL", "NO_PARTNER")]
        async with h.store.reading() as work:
            assert Ref(REGISTER, jti) in await work.messages([Ref(REGISTER, jti)])
        assert Code.INTERNAL.value not in (await h.ask("status", f"/v1/messages/{jti}")).body.decode()


async def test_a_partner_that_serves_two_countries_of_a_journey_gets_one_leg_that_names_both(tmp_path: Path) -> None:
    """In the row, in the status its sender sees, and in the evidence that it can prove later."""
    profiles = dict(SHIPPED) | {FR: replace(SHIPPED[FR], serves=frozenset({Country("NL")}))}
    async with house(tmp_path, profiles=profiles) as h:
        jti = await h.submit(notice("NL", "FR"))
        [entry] = [json.loads(entry) for entry in await staged(h)]
        row = (await h.legs(jti))[FR]
        assert set(row.countries) == {"NL", "FR"}
        (told,) = [leg for leg in json.loads((await h.ask("status", f"/v1/messages/{jti}")).body)["legs"] if leg["partner"] == FR]
        assert told["countries"] == list(row.countries)
        assert {leg["partner"]: leg["countries"] for leg in entry["legs"]}[FR] == list(row.countries)
