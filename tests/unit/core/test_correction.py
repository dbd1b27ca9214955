"""Corrections reach who may have got the original, and nothing of it that is taken back goes on (R-GEN-05)."""

from __future__ import annotations

import pytest

from gateway.core.correction import original_of, past_recipients, recalls, standing, taken_back
from gateway.core.decided import HoldReason
from gateway.core.delivery import Event, State
from tests.unit.core.earlier_samples import GROUPS, before, facts, said, told

S, E = State, Event
KINDS = ("CORRECT", "REPLACE", "WITHDRAW", "RECALL")


def correction(kind="CORRECT", jti="o", *, iss="gb-register", **body):
    return said("correction", "c", iss=iss, corrects={"iss": "gb-register", "jti": jti}, kind=kind, **body)


ORIGINAL = said("travel-notification", "o")
TABLE = [  # state, attempt: goes the correction of a kind that corrects, of one that takes back, and what happens to the original's leg
    pytest.param(S.DELIVERED, 1, True, True, None, id="delivered"),
    pytest.param(S.RECEIPTED, 1, True, True, None, id="receipted"),
    pytest.param(S.SENDING, 1, True, True, None, id="under-way-now"),
    pytest.param(S.READY, 2, True, True, E.CANCELLED, id="between-two-attempts"),
    pytest.param(S.AVAILABLE, 1, True, True, E.CANCELLED, id="offered"),
    pytest.param(S.DEAD, 5, True, True, E.CANCELLED, id="dead-after-attempts"),
    pytest.param(S.EXPIRED, 3, True, True, None, id="expired-after-attempts"),
    pytest.param(S.CANCELLED, 1, True, True, None, id="cancelled-after-an-attempt"),
    pytest.param(S.DEAD, 0, True, False, E.CANCELLED, id="dead-before-any-attempt"),
    pytest.param(S.HELD, 1, True, True, E.CANCELLED, id="held-after-an-attempt"),
    pytest.param(S.PLANNED, 0, True, False, E.REFUSED, id="in-line"),
    pytest.param(S.READY, 0, True, False, E.REFUSED, id="at-the-head-of-its-line"),
    pytest.param(S.HELD, 0, True, False, E.REFUSED, id="held"),
    pytest.param(S.REFUSED, 0, False, False, None, id="refused"),
    pytest.param(S.EXPIRED, 0, False, False, None, id="expired-unsent"),
    pytest.param(S.CANCELLED, 0, False, False, None, id="cancelled-unsent"),
]


@pytest.mark.parametrize(("state", "attempt", "corrects", "takes_back", "recall"), TABLE)
@pytest.mark.parametrize("kind", KINDS)
def test_a_correction_goes_to_who_may_have_the_original_and_stops_what_need_not_go(kind, state, attempt, corrects, takes_back, recall):
    backwards = kind in {"WITHDRAW", "RECALL"}
    original = before(ORIGINAL, told("p", "FR", state=state, attempt=attempt, hold="MINOR" if state is S.HELD else None))
    expected = takes_back if backwards else corrects
    assert [c.partner for c in past_recipients(correction(kind), original)] == (["p"] if expected else [])
    stops = backwards or state in {S.HELD, S.DEAD}  # what stands aside would come after its correction, as it was
    assert [r.event for r in recalls(correction(kind), original)] == ([recall] if stops and recall else [])


def test_every_state_of_a_leg_is_in_the_table():
    assert {param.values[0] for param in TABLE} == set(State)


def test_a_correction_is_bounded_by_what_the_view_of_the_original_showed():
    (candidate,) = past_recipients(correction(), before(ORIGINAL, told("p", "FR")))
    assert candidate.bound == GROUPS | {"exchange", "sender_contact"}
    assert candidate.hold is None


def test_while_the_original_waits_for_a_person_its_correction_waits_for_the_same_reason():
    (candidate,) = past_recipients(correction(), before(ORIGINAL, told("p", "FR", state=S.HELD, attempt=0, hold="MINOR")))
    assert candidate.hold is HoldReason.MINOR


@pytest.mark.parametrize(
    ("message", "found"),
    [
        pytest.param(correction(), True, id="one-s-own"),
        pytest.param(correction(jti="x"), False, id="one-that-is-not-there"),
        pytest.param(correction(iss="fr-police"), False, id="another-s"),
    ],
)
def test_only_a_message_of_one_s_own_is_corrected(message, found):
    assert (original_of(message, facts(before(ORIGINAL))) is not None) is found


def test_what_stands_is_what_was_said_last():
    order = [before(said("order-summary", f"o{n}")) for n in range(3)]
    put = {"order-summary": {"order": "as corrected"}}
    known = facts(*order, before(correction("REPLACE", "o1", replacement=put)), before(correction("WITHDRAW", "o2")))
    assert [(e.message.jti, e.message.body.get("order") == "as corrected") for e in standing(known, "order-summary")] == [
        ("o0", False), ("o1", True),
    ]  # fmt: skip


@pytest.mark.parametrize(("do", "wrong"), [("DELETE", True), ("UPDATE", False), ("RESTRICT", False)])
def test_what_recipients_must_delete_was_wrong(do, wrong):
    known = facts(before(correction("WITHDRAW", recipients_must_do=do)))
    assert len(taken_back(known)) == 1
    assert bool(taken_back(known, as_wrong=True)) is wrong
