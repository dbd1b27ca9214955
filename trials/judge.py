"""The judge: holds what was promised against what came. Pure, complete each time; it knows nothing of the fault that was made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from trials.ledger import Arrival, Entry, Ledger

WELL: Final = frozenset({"delivered", "receipted"})
AGAIN: Final = frozenset({"503"})  # the one refusal that is always stated: not now, the same again later


class Kind(StrEnum):
    """What can be wrong."""

    LOST = "lost"  # receipted, and a partner never got it
    NO_END = "no-end"  # receipted, and a leg or the word of its end is missing
    TWO_JTI = "two-jti"  # one original, two documents at one partner
    TWO_CONTENTS = "two-contents"  # one jti, two contents; or one message, two receipts
    UNANSWERED = "unanswered"  # a record of gw.submissions.* without a result
    OUT_OF_ORDER = "out-of-order"  # of one subject, at one partner
    EVIDENCE = "evidence"  # does not verify
    REFUSAL = "refusal"  # other than stated
    UNASKED = "unasked"  # a document that nobody has sent, or for somebody else
    ISOLATION = "isolation"  # another partner's legs waited for the bad one
    RECOVERY = "recovery"  # a process did not come back, or does not answer again


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing that is wrong. `jti`: of the message it is about, where it is about one."""

    kind: Kind
    what: str
    jti: str = ""


def judge(ledger: Ledger) -> list[Fault]:
    """Return everything that is wrong, at a moment when nothing is under way."""
    found: set[Fault] = set()
    for entry in ledger.entries.values():
        found.update(_message(entry))
    found.update(_deliveries(ledger))
    found.update(_order(ledger))
    found.update(Fault(Kind.UNANSWERED, f"record {partition}:{offset}", jti) for (partition, offset), jti in ledger.unanswered().items())
    found.update(Fault(Kind.EVIDENCE, what) for what in ledger.evidence)
    found.update(Fault(Kind(kind), what) for kind, what in ledger.other)
    return sorted(found)


def _message(entry: Entry) -> Iterator[Fault]:
    """What its sender has heard of one message."""
    stated = entry.stated
    for answer in entry.answers:
        if answer.status not in AGAIN and not (stated.rejection and stated.rejection in answer.codes):
            yield Fault(Kind.REFUSAL, f"{answer.status} {' '.join(answer.codes)}".strip(), entry.jti)
    if len(entry.receipts) > 1:
        yield Fault(Kind.TWO_CONTENTS, f"{len(entry.receipts)} different receipts", entry.jti)
    if stated.rejection:
        if entry.receipts:
            yield Fault(Kind.REFUSAL, f"accepted, and should be {stated.rejection}", entry.jti)
        elif entry.is_open or entry.given_up:
            yield Fault(Kind.RECOVERY, "never answered", entry.jti)
        return
    if entry.receipted_at is None:
        yield Fault(Kind.RECOVERY, "never receipted", entry.jti)
        return
    yield from _ends(entry)


def _ends(entry: Entry) -> Iterator[Fault]:
    if entry.legs is None:
        yield Fault(Kind.LOST, "receipted, and its status is not known", entry.jti)
        return
    if entry.refusals != entry.stated.refusals:
        yield Fault(Kind.REFUSAL, f"refusals {sorted(entry.refusals)}, stated {sorted(entry.stated.refusals)}", entry.jti)
    for missing in entry.stated.partners - {leg.partner for leg in entry.legs}:
        yield Fault(Kind.NO_END, f"no leg to {missing}", entry.jti)
    for leg in entry.legs:
        if leg.partner not in entry.stated.partners:
            yield Fault(Kind.UNASKED, f"a leg to {leg.partner}", entry.jti)
        elif not leg.ended:
            yield Fault(Kind.NO_END, f"the leg to {leg.partner} is {leg.state}", entry.jti)
        elif leg.state not in WELL and not (leg.state == "dead" and leg.partner in entry.may_die):
            yield Fault(Kind.REFUSAL, f"the leg to {leg.partner} ended {leg.state}", entry.jti)
        elif leg.jti not in entry.told:
            yield Fault(Kind.NO_END, f"the sender was not told that the leg to {leg.partner} ended", entry.jti)


def _deliveries(ledger: Ledger) -> Iterator[Fault]:
    """What came to the partners, and what did not."""
    for (partner, jti), digests in ledger.contents.items():
        if len(digests) > 1:
            yield Fault(Kind.TWO_CONTENTS, f"{len(digests)} contents under {jti} at {partner}")
    came: dict[tuple[str, str], list[Arrival]] = defaultdict(list)
    for arrival in ledger.arrivals:
        came[arrival.original, arrival.partner].append(arrival)
    for (original, partner), arrivals in came.items():
        entry = ledger.entries.get(original)
        if entry is None or partner not in entry.stated.partners:
            yield Fault(Kind.UNASKED, f"a document at {partner}", original)
        if len(arrivals) > 1:
            yield Fault(Kind.TWO_JTI, f"{len(arrivals)} documents at {partner}", original)
    yield from _lost(ledger, came.keys())


def _lost(ledger: Ledger, came: Collection[tuple[str, str]]) -> Iterator[Fault]:
    for entry in ledger.entries.values():
        if entry.receipted_at is None or entry.stated.rejection:
            continue
        dead = {leg.partner for leg in entry.legs or () if leg.state == "dead"} & entry.may_die
        for partner in entry.stated.partners - dead:
            if (entry.jti, partner) not in came:
                yield Fault(Kind.LOST, f"{partner} never got it", entry.jti)


def _order(ledger: Ledger) -> Iterator[Fault]:
    """Of one subject at one partner: first arrivals in the order in which the register sent them."""
    last: dict[tuple[str, str], int] = {}
    for arrival in ledger.arrivals:
        entry = ledger.entries.get(arrival.original)
        if entry is None:
            continue
        line = arrival.partner, entry.subject
        before = last.get(line, 0)
        if entry.number < before:
            yield Fault(
                Kind.OUT_OF_ORDER, f"message {entry.number} of its subject came to {arrival.partner} after {before}", arrival.original
            )
        last[line] = max(before, entry.number)
