"""The judge finds each fault that is fed to it by hand, and no other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from trials.judge import Kind, judge
from trials.ledger import Answer, Arrival, Ledger, Leg, Stated, Way

FR, NL = "fr-police", "nl-border"
TO_FR = Stated(frozenset({FR}))
TO_BOTH = Stated(frozenset({FR, NL}), frozenset({("TH", "NO_PARTNER")}))
WRONG = Stated(rejection="schema-invalid")


def sends(ledger: Ledger, jti: str, subject: str = "s-1", stated: Stated = TO_FR, way: Way = Way.HTTP) -> None:
    ledger.submits(jti, subject, stated, way, trial=1, at=1.0)


def receipt(ledger: Ledger, jti: str, raw: bytes = b"receipt") -> None:
    ledger.receipted(jti, raw, b"leaf", at=2.0)


def comes(ledger: Ledger, original: str, partner: str = FR, jti: str = "", digest: str = "d") -> None:
    ledger.arrived(Arrival(partner, jti or f"leg-{original}-{partner}", digest, original, ledger.entries[original].subject, 3.0))


def ends(ledger: Ledger, jti: str, *partners: str, state: str = "delivered", told: bool = True) -> None:
    entry = ledger.entries[jti]
    ledger.status(jti, [Leg(partner, f"leg-{jti}-{partner}", state, ended=True) for partner in partners], entry.stated.refusals)
    if told:
        entry.told |= {f"leg-{jti}-{partner}": state.upper() for partner in partners}


def good() -> Ledger:
    """Three messages, two about one person; one to two partners and a country without any; one that is rejected as it should be."""
    ledger = Ledger()
    for jti in ("m-1", "m-2"):
        sends(ledger, jti)
        receipt(ledger, jti)
        comes(ledger, jti)
        ends(ledger, jti, FR)
    sends(ledger, "m-3", "s-2", TO_BOTH, Way.KAFKA)
    ledger.produced[0, 7], ledger.answered[0, 7] = "m-3", "accepted"
    receipt(ledger, "m-3")
    receipt(ledger, "m-3")  # a repeat got the same
    ledger.said("m-3", Answer(2.5, "503"))
    comes(ledger, "m-3", FR)
    comes(ledger, "m-3", FR)  # a copy
    comes(ledger, "m-3", NL)
    ends(ledger, "m-3", FR, NL)
    sends(ledger, "m-4", "s-3", WRONG)
    ledger.said("m-4", Answer(2.5, "422", ("schema-invalid",)))
    return ledger


def test_what_went_as_stated_is_no_fault() -> None:
    ledger = good()
    assert ledger.open() == []
    assert judge(ledger) == []


def never_arrives(ledger: Ledger) -> None:
    sends(ledger, "x", "s-9")
    receipt(ledger, "x")
    ends(ledger, "x", FR)


def is_not_known(ledger: Ledger) -> None:
    sends(ledger, "x", "s-9")
    receipt(ledger, "x")
    comes(ledger, "x")


def has_no_leg(ledger: Ledger) -> None:
    ledger.status("m-3", [leg for leg in ledger.entries["m-3"].legs or () if leg.partner == FR], [("TH", "NO_PARTNER")])


def stays_on_its_way(ledger: Ledger) -> None:
    ledger.status("m-1", [Leg(FR, f"leg-m-1-{FR}", "sending", ended=False)], ())


def is_not_told_of(ledger: Ledger) -> None:
    ledger.entries["m-1"].told.clear()


def comes_as_two(ledger: Ledger) -> None:
    comes(ledger, "m-2", jti="another")


def comes_with_two_contents(ledger: Ledger) -> None:
    comes(ledger, "m-2", digest="another")


def has_two_receipts(ledger: Ledger) -> None:
    receipt(ledger, "m-1", b"another")


def is_produced_and_not_answered(ledger: Ledger) -> None:
    ledger.produced[0, 8] = "m-3"


def comes_before_its_elder(ledger: Ledger) -> None:
    for jti in ("x-1", "x-2"):
        sends(ledger, jti, "s-9")
        receipt(ledger, jti)
        ends(ledger, jti, FR)
    comes(ledger, "x-2")
    comes(ledger, "x-1")


def does_not_verify(ledger: Ledger) -> None:
    ledger.evidence.append("the log has 3 leaves, and had 4")


def is_refused_a_country(ledger: Ledger) -> None:
    ledger.status("m-1", ledger.entries["m-1"].legs or (), [("FR", "POLICY")])


def is_accepted_though_wrong(ledger: Ledger) -> None:
    receipt(ledger, "m-4")


def is_answered_401(ledger: Ledger) -> None:
    ledger.said("m-1", Answer(2.5, "401", ("untrusted",)))


def is_rejected_for_another_reason(ledger: Ledger) -> None:
    ledger.said("m-4", Answer(2.5, "422", ("itinerary-order",)))


def ends_dead(ledger: Ledger) -> None:
    ends(ledger, "m-1", FR, state="dead")


def goes_to_another(ledger: Ledger) -> None:
    comes(ledger, "m-1", NL)


def has_a_leg_to_another(ledger: Ledger) -> None:
    ends(ledger, "m-1", FR, NL)
    comes(ledger, "m-1", FR)


def comes_from_nowhere(ledger: Ledger) -> None:
    ledger.arrived(Arrival(FR, "j", "d", "nobody-sent-it", "s-1", 3.0))


def is_never_receipted(ledger: Ledger) -> None:
    sends(ledger, "x", "s-9")


def wrong_is_never_answered(ledger: Ledger) -> None:
    sends(ledger, "x", "s-9", WRONG)


def is_seen_by_the_harness(ledger: Ledger) -> None:
    ledger.other.append((Kind.ISOLATION, "3 messages to es-police wait for fr-police"))


FAULTS: dict[Callable[[Ledger], None], set[Kind]] = {
    never_arrives: {Kind.LOST},
    is_not_known: {Kind.LOST},
    has_no_leg: {Kind.NO_END},
    stays_on_its_way: {Kind.NO_END},
    is_not_told_of: {Kind.NO_END},
    comes_as_two: {Kind.TWO_JTI},
    comes_with_two_contents: {Kind.TWO_CONTENTS},
    has_two_receipts: {Kind.TWO_CONTENTS},
    is_produced_and_not_answered: {Kind.UNANSWERED},
    comes_before_its_elder: {Kind.OUT_OF_ORDER},
    does_not_verify: {Kind.EVIDENCE},
    is_refused_a_country: {Kind.REFUSAL},
    is_accepted_though_wrong: {Kind.REFUSAL},
    is_answered_401: {Kind.REFUSAL},
    is_rejected_for_another_reason: {Kind.REFUSAL},
    ends_dead: {Kind.REFUSAL},
    goes_to_another: {Kind.UNASKED},
    has_a_leg_to_another: {Kind.UNASKED},
    comes_from_nowhere: {Kind.UNASKED},
    is_never_receipted: {Kind.RECOVERY},
    wrong_is_never_answered: {Kind.RECOVERY},
    is_seen_by_the_harness: {Kind.ISOLATION},
}


@pytest.mark.parametrize("wrong", FAULTS, ids=lambda f: f.__name__)
def test_a_fault_is_found_and_called_by_its_name(wrong: Callable[[Ledger], None]) -> None:
    ledger = good()
    wrong(ledger)
    assert {fault.kind for fault in judge(ledger)} == FAULTS[wrong]


def test_every_kind_of_fault_is_fed_in_here() -> None:
    assert set().union(*FAULTS.values()) == set(Kind)


def test_a_document_that_a_partner_refused_for_good_may_end_dead_there_and_only_there() -> None:
    ledger = good()
    sends(ledger, "x", "s-9")
    receipt(ledger, "x")
    ledger.entries["x"].may_die.add(FR)
    ends(ledger, "x", FR, state="dead")
    assert judge(ledger) == []
    ledger.entries["x"].may_die = {NL}
    assert {fault.kind for fault in judge(ledger)} == {Kind.REFUSAL, Kind.LOST}


def test_one_that_was_delivered_may_have_come_though_it_might_have_died() -> None:
    ledger = good()
    ledger.entries["m-1"].may_die.add(FR)
    assert judge(ledger) == []
    ledger.arrivals = [arrival for arrival in ledger.arrivals if arrival.original != "m-1"]
    assert {fault.kind for fault in judge(ledger)} == {Kind.LOST}


@pytest.mark.parametrize("partner", [FR, NL])
def test_order_is_held_for_each_partner_by_itself(partner: str) -> None:
    ledger = Ledger()
    for jti in ("a", "b"):
        sends(ledger, jti, "s-1", Stated(frozenset({FR, NL})))
        receipt(ledger, jti)
        ends(ledger, jti, FR, NL)
    other = NL if partner == FR else FR
    for original, where in (("a", other), ("b", other), ("b", partner), ("a", partner)):
        comes(ledger, original, where)
    assert [(fault.kind, fault.jti) for fault in judge(ledger)] == [(Kind.OUT_OF_ORDER, "a")]


def test_a_message_is_open_until_its_sender_has_seen_every_end_and_was_told() -> None:
    ledger = Ledger()
    sends(ledger, "x")
    assert [entry.jti for entry in ledger.open()] == ["x"]
    receipt(ledger, "x")
    ends(ledger, "x", FR, told=False)
    assert ledger.open()
    ledger.entries["x"].told[f"leg-x-{FR}"] = "DELIVERED"
    assert ledger.open() == []
