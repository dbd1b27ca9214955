"""The log as the database has it, held against itself: every leaf, every node of the tree, every checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.app.ports import CheckpointRow, Store
from gateway.app.sequence import PAGE_COUNT_MAX
from gateway.core.evidence import checkpoint, entries
from gateway.core.evidence.checkpoint import CheckpointKey
from gateway.core.evidence.errors import EvidenceError
from gateway.core.evidence.ledger import Ledger
from gateway.core.evidence.merkle import Coord, Edge, append, leaf_hash
from gateway.core.evidence.succession import keys_of

FAULTS_COUNT_MAX: Final = 100


@dataclass(slots=True)
class CheckedLog:
    """A log in which everything fits. Built by `check_log` alone."""

    origin: str = ""  # empty before the first entry
    edge: Edge = field(default_factory=Edge)
    roots: dict[int, bytes] = field(default_factory=dict)  # at the sizes asked for
    ledger: Ledger = field(default_factory=Ledger)
    checkpoints_count: int = 0


async def check_log(
    store: Store, *, keys: Sequence[CheckpointKey] | None, sizes: Collection[int] = (), progress: Callable[[int, int], None] | None = None
) -> CheckedLog:
    """Return what the log is when everything in it fits, and the roots it had at `sizes`.

    `keys` sign its checkpoints; where they are None, signatures are not looked at.
    Raises `EvidenceError` with all faults (the first hundred), and `StoreUnavailableError`.
    """
    async with store.reading() as work:
        rows, size = await work.checkpoints(), await work.log_size()
    walk = _Walk(store, {row.size: row for row in rows}, sizes)
    while walk.found.edge.size < size and len(walk.faults) < FAULTS_COUNT_MAX:
        await walk.page(min(PAGE_COUNT_MAX, size - walk.found.edge.size))
        if progress is not None:
            progress(walk.found.edge.size, size)
    newest = rows[-1].size if rows else 0
    faults = [*walk.faults, *_signatures(rows, walk.found.origin, keys)]
    if newest != size:
        faults.append(f"the log has {size} entries, its newest checkpoint says {newest}")
    if faults:
        raise EvidenceError(*faults[:FAULTS_COUNT_MAX])
    walk.found.checkpoints_count = len(rows)
    return walk.found


class _Walk:
    """One pass over the log, page by page."""

    def __init__(self, store: Store, heads: Mapping[int, CheckpointRow], sizes: Collection[int]) -> None:
        self._store, self._heads, self._sizes = store, heads, sizes
        self.found = CheckedLog()
        self.faults: list[str] = []

    async def page(self, count: int) -> None:
        """Check the next entries, and the nodes of the tree that they complete."""
        start, edge, nodes = self.found.edge.size, self.found.edge, dict[Coord, bytes]()
        async with self._store.reading() as work:
            for place, (index, raw) in enumerate(await work.leaves(start, count), start=start):
                if index != place:
                    self.faults.append(f"entry {place}: is missing, {index} stands in its place")
                edge, grown = append(edge, [leaf_hash(raw)])
                nodes |= {(level, at): digest for level, at, digest in grown}
                self._take(raw, edge)
            kept = await work.log_nodes(sorted(nodes))
        self.found.edge = edge
        wrong = [coord for coord in sorted(nodes) if kept.get(coord) != nodes[coord]]
        self.faults += [f"node {level}/{at} of the tree: is not what follows from the entries" for level, at in wrong]
        if edge.size != start + count:
            raise EvidenceError(*self.faults, f"entry {edge.size}: is missing")

    def _take(self, raw: bytes, edge: Edge) -> None:
        place, found = edge.size - 1, self.found
        head = self._heads.get(edge.size)
        if head is not None and head.root != edge.root:
            self.faults.append(f"checkpoint {edge.size}: its root is not that of the first {edge.size} entries")
        if edge.size in self._sizes:
            found.roots[edge.size] = edge.root
        try:
            entry = entries.decode(raw)
        except EvidenceError as exc:
            self.faults.append(f"entry {place}: {exc}")
            return
        if isinstance(entry, entries.LogOpened) != (place == 0):
            self.faults.append(f"entry {place}: {'opens no log' if place == 0 else 'opens a log inside a log'}")
        if isinstance(entry, entries.LogOpened):
            found.origin = found.origin or entry.origin
        found.ledger.take(entry)


def _signatures(rows: Sequence[CheckpointRow], origin: str, keys: Sequence[CheckpointKey] | None) -> list[str]:
    faults = []
    for row in rows if keys is not None else ():
        try:
            seen = checkpoint.verify(row.note, keys_of(origin, keys or ()))
        except EvidenceError as exc:
            faults.append(f"checkpoint {row.size}: {exc}")
        else:
            if (seen.size, seen.root) != (row.size, row.root):
                faults.append(f"checkpoint {row.size}: its note says something else")
    return faults
