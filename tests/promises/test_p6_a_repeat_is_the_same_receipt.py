"""P6. A repeated submission gets the same receipt, byte for byte; the same id with other content is a conflict."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from gateway.app.intake import Submission
from gateway.contract.values import Jti, PartnerId, Ref
from gateway.core.limits import DUPLICATE_SECONDS_MIN
from gateway.core.problems import Code
from tests.house import House, house
from tests.notices import notice

REGISTER = PartnerId("gb-register")


async def accepted(h: House) -> tuple[str, bytes, bytes]:
    """Send a notice; return its id, the signed token and its receipt."""
    jti = h.dice.uuid7(h.clock.now())
    signed = h.token(notice("FR"), plain=True, jti=jti)
    outcome = await h.send_token(h.encrypt(signed))
    assert outcome.receipt is not None
    return jti, signed, outcome.receipt


async def test_p6_a_repeat_gets_the_same_bytes_however_late_it_comes(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti, signed, receipt = await accepted(h)
        await h.run_until_idle()
        for later in (timedelta(), timedelta(days=10), timedelta(days=3650)):  # past iat's window, past the key's period
            h.clock.advance(later)
            again = await h.send_token(h.encrypt(signed))  # encrypted anew: other bytes, the same content
            assert (again.receipt, again.repeated) == (receipt, True)
        assert len(await h.legs(jti)) == 1
        assert len(h.partners[PartnerId("fr-police")].received) == 1


async def test_p6_a_repeat_after_a_restart_gets_the_same_bytes(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        _, signed, receipt = await accepted(h)
    async with house(tmp_path, keys=h.keys, seed=2) as after:
        again = await after.send_token(after.encrypt(signed))
        assert (again.receipt, again.repeated) == (receipt, True)


async def test_p6_twice_in_one_batch_is_one_message_and_one_receipt(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        token = h.token(notice("FR"))
        first, second = await h.intake.accept([Submission(token, REGISTER), Submission(token, REGISTER)])
        assert first.receipt is not None
        assert first.receipt == second.receipt
        assert (first.repeated, second.repeated) == (False, True)


async def test_p6_the_same_id_with_other_content_is_a_conflict(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti, signed, receipt = await accepted(h)
        other = await h.send(notice("NL"), jti=jti)
        assert [p.code for p in other.problems] == [Code.CONFLICT]
        assert other.receipt is None
        assert set(await h.legs(jti)) == {"fr-police"}
        assert (await h.send_token(h.encrypt(signed))).receipt == receipt  # the first stays what it was


async def test_p6_two_contents_of_one_id_in_one_batch_are_a_conflict_too(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti = h.dice.uuid7(h.clock.now())
        tokens = [h.token(notice(to), jti=jti) for to in ("FR", "NL")]
        first, second = await h.intake.accept([Submission(token, REGISTER) for token in tokens])
        assert first.receipt is not None
        assert [p.code for p in second.problems] == [Code.CONFLICT]


async def test_p6_the_receipt_asked_for_later_is_the_same(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti, _, receipt = await accepted(h)
        assert (await h.ask("receipt", f"/v1/messages/{jti}/receipt")).body == receipt


async def test_p6_what_is_remembered_outlives_the_erasure_of_message_and_subject(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti, signed, receipt = await accepted(h)
        await h.run_until_idle()
        ref = Ref(REGISTER, Jti(jti))
        async with h.store.unit_of_work() as work:
            subject = (await work.messages([ref]))[ref].subject
            assert await work.destroy_keys(messages=[ref], subjects=[subject], epochs=[]) == 2
        async with h.store.reading() as work:
            assert await work.messages([ref]) == {}, "nobody can read it any more"
        h.clock.advance(timedelta(seconds=DUPLICATE_SECONDS_MIN))
        again = await h.send_token(h.encrypt(signed))
        assert (again.receipt, again.repeated) == (receipt, True)
        other = await h.send(notice("NL"), jti=jti)
        assert [p.code for p in other.problems] == [Code.CONFLICT]
