"""One log after another: how logs of one gateway are named, and what is known of the one before from outside the database.

A backup is always too old, and what was said since then is known only to those it was said to. So a restored gateway does not go on
with the log that it finds: it would sign other entries at places that are taken. It opens the next log, under a name of its own, and
the first entry names the newest head of the log before that was found outside: in a signed note, in the receipt or document that carried
it, or reckoned from the entries themselves as `gw.events` published them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from gateway.core.evidence import checkpoint, entries, receipts
from gateway.core.evidence.checkpoint import Checkpoint, CheckpointKey
from gateway.core.evidence.entries import Entry, LogOpened, PreviousLog
from gateway.core.evidence.errors import UNREADABLE, EvidenceError
from gateway.core.evidence.merkle import Edge, append, leaf_hash
from gateway.core.evidence.receipts import Receipt, ReceiptKeys

_NUMBER: Final = re.compile(r"[1-9][0-9]{0,5}")


# --- names ------------------------------------------------------------------------------------------------------------


def origin_of(gateway: str, number: int) -> str:
    """Return the name of a gateway's log: its own id, and from the second log on a number after it."""
    return gateway if number == 1 else f"{gateway}/{number}"


def number_of(origin: str, gateway: str) -> int:
    """Return which log of a gateway `origin` is, from 1. Raises `EvidenceError` for a log of anybody else."""
    if origin == gateway:
        return 1
    name, _, number = origin.rpartition("/")
    if name != gateway or not _NUMBER.fullmatch(number) or number == "1":
        raise EvidenceError(f"{origin} is no log of {gateway}")
    return int(number)


def keys_of(origin: str, keys: Iterable[CheckpointKey]) -> tuple[CheckpointKey, ...]:
    """Return the same public keys under the name of another log of the gateway: a note's key id covers its log's name."""
    return tuple(CheckpointKey(origin, key.public) for key in keys)


def read_head(note: str, keys: Sequence[CheckpointKey], *, gateway: str) -> Checkpoint:
    """Return the head that a signed note of any log of the gateway names. Raises `EvidenceError`."""
    origin = note.partition("\n")[0]
    number_of(origin, gateway)
    return checkpoint.verify(note, keys_of(origin, keys))


# --- what others have -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outside:
    """What was found outside the database, checked as far as it can be without it. `names` say where each was found."""

    heads: tuple[tuple[str, Checkpoint], ...] = ()
    receipts: tuple[tuple[str, Receipt], ...] = ()
    events: tuple[tuple[int, bytes], ...] = ()  # (place in the log, entry) without a gap


def read_kept(name: str, text: str, *, keys: Sequence[CheckpointKey], receipt_keys: ReceiptKeys, gateway: str) -> Outside:
    """Read what somebody kept: a signed note, or a receipt a line. Raises `EvidenceError` with every fault."""
    if "\n\n" in text:
        return Outside(heads=((name, read_head(text, keys, gateway=gateway)),))
    heads: list[tuple[str, Checkpoint]] = []
    found: list[tuple[str, Receipt]] = []
    faults: list[str] = []
    for number, line in enumerate(text.split(), start=1):
        where = f"{name}:{number}"
        try:
            receipt = receipts.verify(line, receipt_keys)
            found.append((where, receipt))
            if receipt.checkpoint is not None:
                heads.append((where, read_head(receipt.checkpoint, keys, gateway=gateway)))
        except EvidenceError as exc:
            faults.append(f"{where}: {exc}")
    if faults:
        raise EvidenceError(*faults)
    return Outside(heads=tuple(heads), receipts=tuple(found))


class _Event(msgspec.Struct, frozen=True):
    """A record of `gw.events`; what else its envelope says is not read."""

    source: str
    sequence: str
    data: msgspec.Raw


_EVENT: Final = msgspec.json.Decoder(_Event)
_SEQUENCE: Final = re.compile(r"0|[1-9][0-9]{0,17}")
_LATER_LOG: Final = re.compile(r"/logs/[1-9][0-9]{0,5}\Z")


def source_of(base: str, origin: str) -> str:
    """Return the `source` of events of the log `origin`: `source` and `id` together name one event for ever (CloudEvents)."""
    number = origin.partition("/")[2]
    return f"{base}/logs/{number}" if number else base


def read_events(name: str, lines: Iterable[bytes], *, origin: str) -> Outside:
    """Read a dump of `gw.events`, one event a line, in any order, each perhaps more than once; those of other logs are passed over.

    Raises `EvidenceError` for a gap, and for two entries at one place.
    """
    suffix = source_of("", origin)
    found: dict[int, bytes] = {}
    for number, line in enumerate(lines, start=1):
        try:
            event = _EVENT.decode(line)
        except UNREADABLE:
            raise EvidenceError(f"{name}:{number}: is no event of gw.events") from None
        if "".join(_LATER_LOG.findall(event.source)) != suffix:
            continue
        if not _SEQUENCE.fullmatch(event.sequence):
            raise EvidenceError(f"{name}:{number}: has no sequence")
        place, entry = int(event.sequence), bytes(event.data)
        entries.decode(entry)
        if found.setdefault(place, entry) != entry:
            raise EvidenceError(f"{name}: two entries stand at place {place}: of two logs, or not ours")
    if not found:
        raise EvidenceError(f"{name}: holds no event of {origin}")
    first, last = min(found), max(found)
    if last - first + 1 != len(found):
        missing = next(place for place in range(first, last) if place not in found)
        raise EvidenceError(f"{name}: entry {missing} is missing between {first} and {last}; dump the topic from its beginning again")
    return Outside(events=tuple(sorted(found.items())))


# --- the head that is named -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kept:
    """The log as the backup has it: which one, its right edge, and the roots it had at sizes that others name."""

    origin: str
    edge: Edge
    roots: dict[int, bytes]


@dataclass(frozen=True, slots=True)
class Succession:
    """What a new log follows: the head it names, and what of the log before it is not in the backup."""

    previous: PreviousLog
    found_in: str
    missing_count: int  # entries that the log before had and the backup has not
    recovered: tuple[bytes, ...]  # those of them that gw.events told, from the backup's end on
    next_origin: str


def succeed(kept: Kept, outside: Outside, *, gateway: str) -> Succession:
    """Return what the next log is to name. Raises `EvidenceError` where the backup is no part of what others were told.

    The newest head wins, and every other one must be the head of its beginning, as far as its entries are here.
    """
    faults: list[str] = []
    recovered, edge, roots = _continue(kept, outside, faults)
    best, name = Checkpoint(kept.origin, edge.size, edge.root), "gw.events" if recovered else "the backup itself"
    for where, head in outside.heads:
        if head.origin == kept.origin and head.size in roots and roots[head.size] != head.root:
            faults.append(f"{where}: says that the first {head.size} entries are others: not a backup of this log, or it was altered")
        if _rank(head, gateway) > _rank(best, gateway):
            best, name = head, where
    faults += _forks(outside.heads)
    if faults:
        raise EvidenceError(*faults)
    same = best.origin == kept.origin
    missing = best.size - kept.edge.size if same else best.size
    previous = PreviousLog(origin=best.origin, size=best.size, root=best.root.hex())
    return Succession(previous, name, missing, tuple(recovered), origin_of(gateway, number_of(best.origin, gateway) + 1))


def wanted_sizes(outside: Outside) -> frozenset[int]:
    """Return the sizes at which the backup's root is asked for."""
    return frozenset(head.size for _, head in outside.heads)


def _continue(kept: Kept, outside: Outside, faults: list[str]) -> tuple[list[bytes], Edge, dict[int, bytes]]:
    """Grow the backup's log by the entries that were published after it; return them, the edge, and roots at wanted sizes."""
    edge, roots, wanted = kept.edge, dict(kept.roots), wanted_sizes(outside)
    fresh = [(place, entry) for place, entry in outside.events if place >= edge.size]
    if fresh and fresh[0][0] != edge.size:
        faults.append(f"gw.events: begins with entry {fresh[0][0]}, the backup ends with {edge.size - 1}: dump it from its beginning")
        return [], edge, roots
    for _, entry in fresh:
        edge, _ = append(edge, [leaf_hash(entry)])
        if edge.size in wanted:
            roots[edge.size] = edge.root
    return [entry for _, entry in fresh], edge, roots


def _rank(head: Checkpoint, gateway: str) -> tuple[int, int]:
    return number_of(head.origin, gateway), head.size


def _forks(heads: Sequence[tuple[str, Checkpoint]]) -> Iterable[str]:
    seen: dict[tuple[str, int], tuple[str, bytes]] = {}
    for where, head in heads:
        other, root = seen.setdefault((head.origin, head.size), (where, head.root))
        if root != head.root:
            yield f"{where} and {other}: two heads of {head.origin} at {head.size} entries: somebody signed a fork"


# --- seen from outside ------------------------------------------------------------------------------------------------


def follow(opened: Entry, before: Checkpoint) -> int:
    """Say that a log's first entry follows the head `before`, which somebody kept of the log before; return how many entries it names more.

    Raises `EvidenceError` where it names another log, less than what is known of it, or another root at the same size.
    """
    previous = opened.previous if isinstance(opened, LogOpened) else None
    if previous is None:
        raise EvidenceError("the log's first entry names no log before it")
    if previous.origin != before.origin:
        raise EvidenceError(f"the log's first entry follows {previous.origin}, not {before.origin}")
    if previous.size < before.size:
        raise EvidenceError(f"the log's first entry follows {previous.size} entries, but {before.size} are known of {before.origin}")
    if previous.size == before.size and previous.root != before.root.hex():
        raise EvidenceError(f"the log's first entry follows another {before.origin}: the root over {before.size} entries differs")
    return previous.size - before.size


def describe(head: PreviousLog) -> dict[str, Any]:
    """Return a head as a report shows it."""
    return {"origin": head.origin, "size": head.size, "root": head.root}
