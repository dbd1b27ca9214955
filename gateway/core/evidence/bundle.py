"""A log to take away: what is in a bundle, and every check an auditor makes offline, with public keys only.

A bundle is a directory. `checkpoint` is the newest signed note, `checkpoints.jsonl` has all earlier ones, `leaves.jsonl` the entries with
the leaf hash the database keeps of each, `keys.json` the public keys. Nothing in it is believed because it is in it:

1. the checkpoint is signed by a key the auditor chose;
2. each entry has its index and its leaf hash, is an entry of a known kind, and only the first opens a log, of that name;
3. all leaves together have the checkpoint's root;
4. each earlier checkpoint, and each one that others kept (in receipts, or as notes), is signed and is the head of the log's beginning;
5. each receipt that others kept is signed by the receipt key, and its leaf is in the log and says the same.

Reads the log once, from front to back, and keeps a few hashes: a large log is no larger problem.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from gateway.core.evidence import checkpoint, entries, receipts
from gateway.core.evidence.checkpoint import Checkpoint, CheckpointKey
from gateway.core.evidence.errors import UNREADABLE, EvidenceError
from gateway.core.evidence.merkle import Edge, append, leaf_hash
from gateway.core.evidence.receipts import Receipt, ReceiptKeys

FAULTS_COUNT_MAX: Final = 100  # a log that is wrong everywhere need not be listed


@dataclass(frozen=True, slots=True)
class Leaf:
    """An entry with the leaf hash that the database keeps of it."""

    index: int
    entry: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class Keys:
    """The public keys to check with: of the log (an older and a newer one, perhaps) and of receipts."""

    checkpoint: tuple[CheckpointKey, ...]
    receipts: ReceiptKeys = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kept:
    """Something that others kept: the text of a file with a signed note, or one line with a receipt. `name` is for faults."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class VerifiedLog:
    """What was found good. Built by `verify_bundle` alone."""

    head: Checkpoint
    key_ids: tuple[str, ...]  # of the log's keys that were trusted
    checkpoints_count: int  # beside the newest: earlier ones and those that others kept
    receipts_count: int
    kinds: Mapping[str, int]
    first_at: str
    last_at: str
    opened: entries.LogOpened  # the first entry: of a restored gateway it names the log before


@dataclass(slots=True)
class _Claims:
    """What the pass over the leaves is held against."""

    heads: dict[int, list[tuple[str, bytes]]] = field(default_factory=dict)  # size → (name, root)
    receipts: dict[bytes, list[tuple[str, Receipt]]] = field(default_factory=dict)  # leaf hash → (name, receipt)


@dataclass(slots=True)
class _Pass:
    """What one pass over the leaves gathers."""

    origin: str
    edge: Edge = field(default_factory=Edge)
    kinds: Counter[str] = field(default_factory=Counter)
    first_at: str = ""
    last_at: str = ""
    opened: entries.LogOpened | None = None


def verify_bundle(note: str, leaves: Iterable[Leaf], *, keys: Keys, earlier: Sequence[str] = (), kept: Sequence[Kept] = ()) -> VerifiedLog:
    """Return what the log is when everything in it fits. Raises `EvidenceError` with all faults (the first hundred).

    Does not show that the log is the one everybody else sees: for that, `kept` must hold what others were given.
    """
    head = checkpoint.verify(note, keys.checkpoint)
    faults: list[str] = []
    claims = _Claims()
    for position, text in enumerate(earlier):
        faults += _claim_head(f"checkpoint {position} of the bundle", text, head=head, keys=keys, claims=claims)
    for item in kept:
        faults += _claim_kept(item, head=head, keys=keys, claims=claims)
    counted = sum(map(len, claims.heads.values())), sum(map(len, claims.receipts.values()))
    walk = _Pass(head.origin)
    for fault in _walk(leaves, head, claims, walk=walk):
        faults.append(fault)
        if len(faults) >= FAULTS_COUNT_MAX:
            break
    if walk.opened is None and not faults:
        faults.append("the log has no first entry")
    if faults or walk.opened is None:
        raise EvidenceError(*faults)
    key_ids = tuple(key.key_id.hex() for key in keys.checkpoint if key.name == head.origin)
    return VerifiedLog(head, key_ids, *counted, dict(sorted(walk.kinds.items())), walk.first_at, walk.last_at, walk.opened)


def _claim_head(name: str, note: str, *, head: Checkpoint, keys: Keys, claims: _Claims) -> Iterator[str]:
    try:
        seen = checkpoint.verify(note, keys.checkpoint)
    except EvidenceError as exc:
        yield f"{name}: {exc}"
        return
    if seen.origin != head.origin:
        yield f"{name}: is of another log, {seen.origin}"
    elif seen.size > head.size:
        yield f"{name}: has {seen.size} leaves, the bundle only {head.size}; export again, or the log was cut"
    else:
        claims.heads.setdefault(seen.size, []).append((name, seen.root))


def _claim_kept(item: Kept, *, head: Checkpoint, keys: Keys, claims: _Claims) -> Iterator[str]:
    if "\n" in item.text:
        yield from _claim_head(item.name, item.text, head=head, keys=keys, claims=claims)
        return
    try:
        receipt = receipts.verify(item.text, keys.receipts)
    except EvidenceError as exc:
        yield f"{item.name}: {exc}"
        return
    claims.receipts.setdefault(receipt.leaf, []).append((item.name, receipt))
    if receipt.checkpoint is not None:
        yield from _claim_head(f"{item.name}, its checkpoint", receipt.checkpoint, head=head, keys=keys, claims=claims)


def _walk(leaves: Iterable[Leaf], head: Checkpoint, claims: _Claims, *, walk: _Pass) -> Iterator[str]:
    """Go through the log once and say what does not fit."""
    yield from _prefix(walk.edge, claims)
    for expected, leaf in enumerate(leaves):
        if leaf.index != expected:
            yield f"leaf {expected}: is missing, {leaf.index} stands in its place"
            return
        digest = leaf_hash(leaf.entry)
        if digest != leaf.digest:
            yield f"leaf {leaf.index}: digest differs"
        walk.edge, _ = append(walk.edge, [digest])
        yield from _read(leaf, walk, claims.receipts.pop(digest, []))
        yield from _prefix(walk.edge, claims)
    if walk.edge.size != head.size:
        yield f"the log has {walk.edge.size} leaves, its checkpoint says {head.size}"
    elif walk.edge.root != head.root:
        yield f"the root over all {head.size} leaves is not that of the checkpoint"
    for digest, missed in claims.receipts.items():
        for name, _ in missed:
            yield f"{name}: its leaf {digest.hex()} is not in the log; if the receipt is newer than the bundle, export again"


def _prefix(edge: Edge, claims: _Claims) -> Iterator[str]:
    for name, root in claims.heads.pop(edge.size, []):
        if root != edge.root:
            yield f"{name}: the log does not begin with its {edge.size} leaves"


def _read(leaf: Leaf, walk: _Pass, promised: Sequence[tuple[str, Receipt]]) -> Iterator[str]:
    """Read one entry, and hold it against the receipts that promised it."""
    try:
        entry = entries.decode(leaf.entry)
    except EvidenceError as exc:
        yield f"leaf {leaf.index}: {exc}"
        return
    opens = isinstance(entry, entries.LogOpened)
    if opens != (leaf.index == 0):
        yield f"leaf {leaf.index}: {'opens a log inside a log' if opens else 'does not open the log'}"
    if isinstance(entry, entries.LogOpened) and entry.origin != walk.origin:
        yield f"leaf {leaf.index}: opens another log, {entry.origin}"
    if isinstance(entry, entries.LogOpened):
        walk.opened = walk.opened or entry
    walk.kinds[entry.kind] += 1
    walk.first_at = walk.first_at or entry.at
    walk.last_at = entry.at
    for name, receipt in promised:
        if not isinstance(entry, entries.Accepted) or (entry.iss, entry.jti, entry.digest) != (receipt.iss, receipt.jti, receipt.digest):
            yield f"{name}: leaf {leaf.index} records something else than it says"


# --- the files --------------------------------------------------------------------------------------------------------


class _LeafLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    index: int
    entry: str  # base64
    digest: entries.Digest


class _NoteLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    note: str


class _KeysFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    checkpoint: tuple[str, ...]
    receipts: msgspec.Raw = msgspec.Raw(b'{"keys":[]}')


_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_LEAF: Final = msgspec.json.Decoder(_LeafLine)
_NOTE: Final = msgspec.json.Decoder(_NoteLine)
_KEYS: Final = msgspec.json.Decoder(_KeysFile)


def write_leaf(leaf: Leaf) -> bytes:
    """Return a leaf as a line of `leaves.jsonl`."""
    return _ENCODER.encode(_LeafLine(leaf.index, base64.b64encode(leaf.entry).decode(), leaf.digest.hex())) + b"\n"


def read_leaf(line: bytes, number: int) -> Leaf:
    """Return the leaf on line `number` (from 0) of `leaves.jsonl`. Raises `EvidenceError` for any but its one spelling."""
    try:
        read = _LEAF.decode(line)
        leaf = Leaf(read.index, base64.b64decode(read.entry, validate=True), bytes.fromhex(read.digest))
    except UNREADABLE:
        raise EvidenceError(f"leaf {number}: the line cannot be read") from None  # the cause may quote the line
    if write_leaf(leaf) != line:
        raise EvidenceError(f"leaf {number}: the line is not in its one spelling")
    return leaf


def write_note(note: str) -> bytes:
    """Return a note as a line of `checkpoints.jsonl`."""
    return _ENCODER.encode(_NoteLine(note)) + b"\n"


def read_note(line: bytes, number: int) -> str:
    """Return the note on line `number` (from 0) of `checkpoints.jsonl`. Raises `EvidenceError`."""
    try:
        return _NOTE.decode(line).note
    except UNREADABLE:
        raise EvidenceError(f"checkpoint {number} of the bundle: the line cannot be read") from None


def write_keys(keys: Keys) -> bytes:
    """Return public keys as `keys.json`."""
    jwks = msgspec.Raw(receipts.write_keys(keys.receipts))
    return _ENCODER.encode(_KeysFile(tuple(key.vkey for key in keys.checkpoint), jwks)) + b"\n"


def read_keys(raw: bytes) -> Keys:
    """Return the public keys in a `keys.json`. Raises `EvidenceError`."""
    try:
        read = _KEYS.decode(raw)
    except UNREADABLE:
        raise EvidenceError("keys: not an object with checkpoint and receipts") from None
    if not read.checkpoint:
        raise EvidenceError("keys: no key of a log")
    return Keys(tuple(map(CheckpointKey.parse, read.checkpoint)), receipts.read_keys(bytes(read.receipts)))
