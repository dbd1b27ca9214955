"""One batch, several messages under one id: the one that was decided is the one that is kept, and none fails the others."""

from __future__ import annotations

import json
from pathlib import Path

from gateway.app.intake import Submission
from gateway.contract.values import PartnerId
from gateway.core.problems import Code
from gateway.testing.messages import replaced
from tests.house import ROOT, house

REGISTER = PartnerId("gb-register")
EVENT = json.loads((ROOT / "schemas/families/travel-notification/examples/valid.json").read_text(encoding="utf-8"))
FAULTY = replaced(EVENT, "/body/person", {})


def submissions(*tokens: bytes) -> list[Submission]:
    return [Submission(token, REGISTER) for token in tokens]


async def test_of_two_contents_under_one_id_the_accepted_one_is_the_one_a_repeat_finds(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        for _ in range(8):  # which of the two a set gives first is chance
            jti = h.dice.uuid7(h.clock.now())
            one, other = h.token(EVENT, jti=jti), h.token(EVENT, jti=jti, txn=h.dice.uuid7(h.clock.now()))
            accepted, refused = await h.intake.accept(submissions(one, other))
            assert accepted.receipt is not None
            assert [p.code for p in refused.problems] == [Code.CONFLICT]
            (again,) = await h.intake.accept(submissions(one))
            assert (again.repeated, again.receipt) == (True, accepted.receipt)
            (conflict,) = await h.intake.accept(submissions(other))
            assert [p.code for p in conflict.problems] == [Code.CONFLICT]


async def test_a_mended_message_in_the_batch_of_the_faulty_one_is_accepted(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti = h.dice.uuid7(h.clock.now())
        faulty, mended, bystander = await h.intake.accept(submissions(h.token(FAULTY, jti=jti), h.token(EVENT, jti=jti), h.token(EVENT)))
        assert faulty.rejection is not None
        assert {p.code for p in faulty.problems} == {Code.SCHEMA_INVALID}
        assert mended.receipt is not None
        assert bystander.receipt is not None


async def test_a_faulty_message_after_the_accepted_one_is_a_conflict(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        jti = h.dice.uuid7(h.clock.now())
        accepted, faulty = await h.intake.accept(submissions(h.token(EVENT, jti=jti), h.token(FAULTY, jti=jti)))
        assert accepted.receipt is not None
        assert [p.code for p in faulty.problems] == [Code.CONFLICT]
