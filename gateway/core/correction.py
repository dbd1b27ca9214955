"""Corrections (R-GEN-05, R-GEN-15): who may have got the original, what of it each may see corrected, and what of it no longer goes out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from gateway.contract.values import Country, Ref
from gateway.core.decided import Candidate, HoldReason, Recall
from gateway.core.delivery import OPEN, Event, State
from gateway.core.facts import Earlier, Facts, corrected, superseded
from gateway.core.families import CORRECTION
from gateway.core.message import Message

TAKEN_BACK: Final = frozenset({"WITHDRAW", "RECALL"})  # kinds after which there is no message any more
OF_ITS_OWN: Final = frozenset({"exchange", "sender_contact"})  # what a correction says itself, whatever the original showed
ASIDE: Final = frozenset({State.HELD, State.DEAD})  # out of the line
RECALLED: Final = frozenset({State.PLANNED, State.READY, State.AVAILABLE, State.HELD, State.DEAD})


def original_of(message: Message, facts: Facts) -> Earlier | None:
    """Return the message that a correction is about: the sender's own, about the same subject."""
    ref = corrected(message)
    return facts.find(ref) if ref is not None and ref.iss == message.iss else None


def past_recipients(message: Message, original: Earlier) -> Iterator[Candidate]:
    """Yield everybody who may have got the original, or will yet, each bounded by what its view of the original showed.

    Where the original is taken back, who has not been sent it is never told of it. Where it is corrected, who will still be sent it hears
    the correction next; where it stands aside, the correction goes in its place, held for the same reason.
    """
    takes_back = message.body["kind"] in TAKEN_BACK
    for leg in original.legs:
        if leg.perhaps_sent or (not takes_back and leg.state in OPEN | ASIDE):
            hold = HoldReason(leg.hold) if leg.hold is not None and not leg.perhaps_sent else None
            yield Candidate(leg.partner, leg.countries, leg.roles, bound=leg.groups | OF_ITS_OWN, hold=hold)


def recalls(message: Message, original: Earlier) -> Iterator[Recall]:
    """Yield what is not sent any more: refused (WITHDRAWN) if it was never published, else cancelled.

    Of what is taken back everything that a courier does not carry this moment. Of what is corrected all that stands aside: released, or
    tried again later, it would come after its correction, as it was.
    """
    stopped = RECALLED if message.body["kind"] in TAKEN_BACK else ASIDE
    for leg in original.legs:
        if leg.state in stopped:
            yield Recall(leg.leg_id, Event.CANCELLED if leg.perhaps_sent or leg.state is State.DEAD else Event.REFUSED)


def not_told(original: Earlier, countries: frozenset[Country]) -> frozenset[Country]:
    """Return the countries of a replacement that nobody was told of the original for: a correction does not reach them."""
    told = {country for leg in original.legs for country in leg.countries}
    return countries - told


def standing(facts: Facts, family: str) -> Iterator[Earlier]:
    """Yield what stands of a family, oldest first: not taken back, not superseded, and with what a correction put in its place."""
    gone = taken_back(facts) | {ref for e in facts.of(family) if (ref := superseded(e.message)) is not None and ref.iss == e.message.iss}
    put: dict[Ref, Mapping[str, Any]] = {}
    for correction in _corrections(facts):
        ref, replacement = corrected(correction.message), correction.message.body.get("replacement", {})
        if ref is not None and family in replacement:
            put[ref] = replacement[family]
    for earlier in facts.of(family):
        ref = earlier.message.ref
        if ref in put and ref not in gone:
            message = replace(earlier.message, event={**earlier.message.event, "body": put[ref]})
            yield replace(earlier, message=message)
        elif ref not in gone:
            yield earlier


def taken_back(facts: Facts, *, as_wrong: bool = False) -> frozenset[Ref]:
    """Return the messages that were withdrawn or recalled; `as_wrong` those that recipients had to delete."""
    found = ((corrected(c.message), c.message.body) for c in _corrections(facts))
    return frozenset(
        ref
        for ref, body in found
        if ref is not None and body["kind"] in TAKEN_BACK and (not as_wrong or body["recipients_must_do"] == "DELETE")
    )


def _corrections(facts: Facts) -> list[Earlier]:
    """Return the corrections that stand, oldest first: what a withdrawn withdrawal took back is as it was."""
    stand: list[Earlier] = []
    gone: set[Ref | None] = set()
    for correction in reversed(facts.of(CORRECTION)):
        if correction.message.ref in gone:
            continue
        stand.insert(0, correction)
        if correction.message.body["kind"] in TAKEN_BACK:
            gone.add(corrected(correction.message))
    return stand
