"""The tree of RFC 6962, section 2.1: hashes, growth, proofs, and the checks an auditor runs.

A node is named by (level, index): the complete subtree over the leaves `index * 2**level` up to `(index + 1) * 2**level`. Such a node never
changes once it exists, so the log keeps them all, and every proof is made of O(log n) of them. Functions that make proofs say which
nodes they need (`parts`) and take those as a mapping; functions that check share no code with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from gateway.contract.errors import InvariantError
from gateway.core.evidence.errors import EvidenceError

Coord = tuple[int, int]  # (level, index) of a complete subtree
Node = tuple[int, int, bytes]  # level, index, hash
Span = tuple[int, int]  # leaves from (inside) to (outside)
HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of an entry: it starts with 0x00, so no inner node can be passed off as an entry."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of two subtrees."""
    return sha256(b"\x01" + left + right).digest()


# --- growth -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Edge:
    """The right edge of a tree: all that is needed to grow it, and its root. One hash for each bit set in `size`, largest subtree first."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    @property
    def root(self) -> bytes:
        """The root of the tree."""
        return _fold(self.hashes) if self.hashes else EMPTY_ROOT

    @staticmethod
    def of(size: int, nodes: Mapping[Coord, bytes]) -> Edge:
        """Return the edge of a stored tree; `nodes` holds `parts((0, size))`. Raises `InvariantError` where one is missing."""
        return Edge(size, tuple(node(nodes, coord) for coord in parts((0, size))))


def append(edge: Edge, leaves: Iterable[bytes]) -> tuple[Edge, list[Node]]:
    """Return the grown edge and every node that became complete, leaves included. `leaves` are leaf hashes."""
    size, hashes = edge.size, list(edge.hashes)
    nodes: list[Node] = []
    for leaf in leaves:
        level, index, here = 0, size, _sized(leaf)
        nodes.append((level, index, here))
        while index & 1:
            level, index, here = level + 1, index >> 1, node_hash(hashes.pop(), here)
            nodes.append((level, index, here))
        hashes.append(here)
        size += 1
    return Edge(size, tuple(hashes)), nodes


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Return the root over leaf hashes."""
    return append(Edge(), leaves)[0].root


# --- proofs -----------------------------------------------------------------------------------------------------------


def inclusion_spans(index: int, size: int) -> list[Span]:
    """Return the spans whose hashes prove that leaf `index` is in the tree of `size` leaves, from the leaf up (RFC 6962, 2.1.1).

    Raises `ValueError` where there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    spans: list[Span] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((start, middle))
            start = middle
    return spans[::-1]


def consistency_spans(first: int, second: int) -> list[Span]:
    """Return the spans whose hashes prove that the tree of `second` leaves begins with the tree of `first` (RFC 6962, 2.1.2).

    Raises `ValueError` unless 1 <= first <= second: an empty tree proves nothing.
    """
    if not 1 <= first <= second:
        raise ValueError(f"no proof from {first} to {second}")
    spans: list[Span] = []
    start, end = 0, second
    while end != first:
        middle = start + _split(end - start)
        if first <= middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((start, middle))
            start = middle
    if start:  # the old tree is not one complete subtree: its last part is not known from its root
        spans.append((start, end))
    return spans[::-1]


def parts(span: Span) -> list[Coord]:
    """Return the complete subtrees that make up a span of a proof, left to right."""
    start, end = span
    coords: list[Coord] = []
    while start < end:
        level = (end - start).bit_length() - 1
        coords.append((level, start >> level))
        start += 1 << level
    return coords


def proof(spans: Sequence[Span], nodes: Mapping[Coord, bytes]) -> tuple[bytes, ...]:
    """Return the hashes of a proof; `nodes` holds the `parts` of every span. Raises `InvariantError` where one is missing."""
    return tuple(_fold([node(nodes, coord) for coord in parts(span)]) for span in spans)


# --- checks -----------------------------------------------------------------------------------------------------------


def verify_inclusion(leaf: bytes, index: int, size: int, *, path: Sequence[bytes], root: bytes) -> bytes:
    """Return `leaf`, a leaf hash, when `path` proves that it is number `index` under `root` (RFC 9162, 2.1.3.2).

    Raises `EvidenceError`. Does not show who signed `root`: `checkpoint.verify` does.
    """
    if not 0 <= index < size:
        raise EvidenceError(f"leaf {index}: outside a tree of {size}")
    here, position, last = leaf, index, size - 1
    for step in path:
        if last == 0 or len(step) != HASH_BYTES:
            raise EvidenceError(f"leaf {index}: the inclusion proof has the wrong shape")
        if position & 1 or position == last:
            here = node_hash(step, here)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            here = node_hash(here, step)
        position, last = position >> 1, last >> 1
    if last != 0 or here != root:
        raise EvidenceError(f"leaf {index}: the inclusion proof does not lead to the root of {size}")
    return leaf


def verify_consistency(first: int, second: int, *, path: Sequence[bytes], first_root: bytes, second_root: bytes) -> bytes:
    """Return `second_root` when `path` proves that its tree only added to the tree of `first_root` (RFC 9162, 2.1.4.2).

    Raises `EvidenceError`. Does not show who signed the roots.
    """
    name = f"checkpoint {first}: "
    if not 1 <= first <= second:
        raise EvidenceError(f"{name}there is no proof to {second}")
    if first == second:
        if path or first_root != second_root:
            raise EvidenceError(f"{name}another root of the same size")
        return second_root
    if not path or any(len(step) != HASH_BYTES for step in path):
        raise EvidenceError(f"{name}the consistency proof has the wrong shape")
    steps = [first_root, *path] if first & (first - 1) == 0 else list(path)
    if _replay(first, second, steps) != (first_root, second_root):
        raise EvidenceError(f"{name}the log of {second} does not begin with it")
    return second_root


def _replay(first: int, second: int, steps: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Walk a consistency proof up; return the two roots it leads to, empty ones where the proof is too long or too short."""
    position, last = first - 1, second - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            return b"", b""
        if position & 1 or position == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            new = node_hash(new, step)
        position, last = position >> 1, last >> 1
    return (old, new) if last == 0 else (b"", b"")


# --- small things -----------------------------------------------------------------------------------------------------


def _split(size: int) -> int:
    """Return the largest power of two below `size` (RFC 6962, 2.1: k < n <= 2k)."""
    return 1 << ((size - 1).bit_length() - 1)


def _fold(hashes: Sequence[bytes]) -> bytes:
    """Return the hash over subtrees of falling size, left to right."""
    here = hashes[-1]
    for left in reversed(hashes[:-1]):
        here = node_hash(left, here)
    return here


def node(nodes: Mapping[Coord, bytes], coord: Coord) -> bytes:
    """Return a stored node. Raises `InvariantError` where it is missing or no hash."""
    found = nodes.get(coord)
    if found is None:
        raise InvariantError("the log has no node", *coord)
    return _sized(found)


def _sized(value: bytes) -> bytes:
    if len(value) != HASH_BYTES:
        raise InvariantError("not a SHA-256 hash")
    return value
