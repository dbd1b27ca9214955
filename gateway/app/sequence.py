"""Sequencing: staged evidence becomes leaves of the log, and the log's head is signed. And what may be asked of the log.

What is staged has no number, so that no commit waits for another. One sequencer at a time gives the numbers: it holds a lease, taken in
a transaction of its own so that a frozen holder keeps no row locked, and what it then writes is guarded by the unique leaf index alone.
A holder that wakes up after its lease has ended reads the size before it reads what is staged, so it either sees all that its successor
did, or writes to a taken index and fails as a whole.

Leaves, nodes and the signed checkpoint commit together: there is no leaf that no checkpoint covers, and a checkpoint is signed for nothing
that could still be lost, because the note is released only from the row.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from gateway.app.ports import CheckpointRow, Clock, Store, UnitOfWork
from gateway.contract.errors import InvariantError
from gateway.core.evidence import merkle
from gateway.core.evidence.bundle import Leaf
from gateway.core.evidence.checkpoint import CheckpointSigner
from gateway.core.evidence.entries import LogOpened, decode, moment
from gateway.core.evidence.merkle import Coord, Edge, Span, append, leaf_hash
from gateway.core.problems import Code, Problem, RefusedInputError

LEASE: Final = "sequencer"
OPENS: Final = b'"log-opened"'  # in every entry that opens a log, and no other: what is decoded is only what may be one
LEASE_SECONDS: Final = 15  # a dead sequencer delays proofs by at most this, never a receipt
BATCH_COUNT_MAX: Final = 1000  # entries of one transaction: some 10 ms of hashing and inserts
OPENING_COUNT_MAX: Final = 100_000  # staged before the log was first opened: the entry that opens it is among the last
PAGE_COUNT_MAX: Final = 1000  # leaves of one page of an export


class Sequencer:
    """Numbers what is staged and signs the head of the log."""

    def __init__(self, store: Store, signer: CheckpointSigner, clock: Clock, *, holder: str) -> None:
        """Take the ports. `holder` names this process; `signer` has the name of a new gateway's log: a restored one has its own."""
        self._store, self._signer, self._clock = store, signer, clock
        self._holder = holder

    def use(self, signer: CheckpointSigner) -> None:
        """Take another key, from the next checkpoint on."""
        self._signer = signer

    async def run_once(self) -> int:
        """Integrate up to `BATCH_COUNT_MAX` staged entries and sign the new head; return how many. A full batch: call again at once.

        Returns 0 where nothing is staged or another process is the sequencer. Raises `StoreUnavailableError`, and `InvariantError`
        for a taken index: another sequencer was faster, nothing was written, and the next run sees what it did.
        """
        async with self._store.reading() as work:
            if await work.log_size() and not await work.staged(1):
                return 0
        if not await self._lead():
            return 0
        async with self._store.unit_of_work() as work:
            size = await work.log_size()  # before `staged`: see the module's docstring
            staged = await work.staged(BATCH_COUNT_MAX) if size else await self._open(work)
            if not staged:
                return 0
            await self._integrate(work, size, staged)
        return len(staged)

    async def _lead(self) -> bool:
        now = self._clock.now()
        async with self._store.unit_of_work() as work:
            return await work.take_lease(LEASE, self._holder, now, now + timedelta(seconds=LEASE_SECONDS)) is not None

    async def release(self) -> None:
        """End the lease if it is ours: another process need not wait until it is over. Raises `StoreUnavailableError`."""
        now = self._clock.now()
        async with self._store.unit_of_work() as work:
            await work.take_lease(LEASE, self._holder, now, now)

    async def _open(self, work: UnitOfWork) -> list[tuple[int, bytes]]:
        """Return what to integrate first: the entry that opens the log, staged by who restored the gateway or else now, leads."""
        staged = await work.staged(OPENING_COUNT_MAX)
        opening = [item for item in staged if opens(item[1])][-1:]
        if not opening:
            await work.stage_evidence([LogOpened(at=moment(self._clock.now()), origin=self._signer.origin).encode()])
            staged = await work.staged(OPENING_COUNT_MAX)
            opening = [item for item in staged if opens(item[1])][-1:]
        if not opening:
            raise InvariantError("more is staged than a new log may find", len(staged))
        return opening + [item for item in staged if item not in opening][: BATCH_COUNT_MAX - 1]

    async def _integrate(self, work: UnitOfWork, size: int, staged: Sequence[tuple[int, bytes]]) -> None:
        before = Edge.of(size, await work.log_nodes(merkle.parts((0, size))))
        hashes = [leaf_hash(entry) for _, entry in staged]
        after, nodes = append(before, hashes)
        leaves = [(staged_id, size + i, entry, hashes[i]) for i, (staged_id, entry) in enumerate(staged)]
        origin = origin_in(staged[0][1] if not size else (await work.leaves(0, 1))[0][1])
        await work.integrate(leaves, nodes)
        note = replace(self._signer, origin=origin).sign(after.size, after.root)
        await work.add_checkpoint(after.size, after.root, note, self._clock.now())


def opens(entry: bytes) -> bool:
    """Say whether an entry opens a log."""
    return OPENS in entry and isinstance(decode(entry), LogOpened)


def origin_in(entry: bytes) -> str:
    """Return the name of the log that an entry opens. Raises `InvariantError` for any other entry."""
    opened = decode(entry)
    if not isinstance(opened, LogOpened):
        raise InvariantError("the first entry opens no log")
    return opened.origin


@dataclass(frozen=True, slots=True)
class Inclusion:
    """A proof that a leaf hash is number `index` of the log's first `size` leaves."""

    index: int
    size: int
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Export:
    """What a bundle is made of: all notes, the newest last, and how many leaves it covers."""

    size: int
    checkpoints: tuple[str, ...]

    @property
    def origin(self) -> str:
        """The name of the log."""
        return self.checkpoints[-1].partition("\n")[0]


class Evidence:
    """Answers questions about the log. Only digests and codes come out, so anybody may ask who may ask at all."""

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self._store = store

    async def checkpoint(self) -> CheckpointRow | None:
        """Return the newest checkpoint, None before the first."""
        async with self._store.reading() as work:
            return await work.latest_checkpoint()

    async def inclusion(self, leaf: bytes, size: int | None = None) -> Inclusion:
        """Prove that a leaf hash is in the log of `size` leaves, by default of the newest checkpoint.

        Raises `RefusedInputError`: `not-found` where it is not (yet), `request-invalid` for a size no checkpoint has reached.
        """
        async with self._store.reading() as work:
            size = await self._size(work, size)
            index = await work.leaf_index(leaf)
            if index is None or index >= size:
                raise _refused(
                    Code.NOT_FOUND, f"the first {size} entries of the log have no such leaf hash", "ask again after the next checkpoint"
                )
            return Inclusion(index, size, await self._proof(work, merkle.inclusion_spans(index, size)))

    async def consistency(self, first: int, second: int | None = None) -> tuple[bytes, ...]:
        """Prove that the log of `second` leaves (by default of the newest checkpoint) begins with that of `first`.

        Raises `RefusedInputError` (`request-invalid`) unless 1 <= first <= second <= the newest checkpoint's size.
        """
        async with self._store.reading() as work:
            second = await self._size(work, second)
            if not 1 <= first <= second:
                raise _refused(Code.REQUEST_INVALID, "there is no proof between these sizes", f"first from 1 to {second}")
            return await self._proof(work, merkle.consistency_spans(first, second))

    async def export(self) -> Export:
        """Return the notes of a bundle. Raises `RefusedInputError` (`not-found`) before the first checkpoint."""
        async with self._store.reading() as work:
            rows = await work.checkpoints()
        if not rows:
            raise _refused(Code.NOT_FOUND, "there is no checkpoint yet", "ask again after the first one")
        return Export(rows[-1].size, tuple(row.note for row in rows))

    async def leaves(self, size: int) -> AsyncIterator[list[Leaf]]:
        """Yield the first `size` leaves, page by page, each with the hash that is kept of it. The log only grows, so pages fit together."""
        for start in range(0, size, PAGE_COUNT_MAX):
            async with self._store.reading() as work:
                page = await work.leaves(start, min(PAGE_COUNT_MAX, size - start))
                hashes = await work.log_nodes([(0, index) for index, _ in page])
            yield [Leaf(index, entry, merkle.node(hashes, (0, index))) for index, entry in page]

    @staticmethod
    async def _size(work: UnitOfWork, size: int | None) -> int:
        latest = await work.latest_checkpoint()
        known = latest.size if latest is not None else 0
        if size is None:
            return known
        if not 0 <= size <= known:
            raise _refused(Code.REQUEST_INVALID, "no checkpoint has that size yet", f"a size up to {known}")
        return size

    @staticmethod
    async def _proof(work: UnitOfWork, spans: Sequence[Span]) -> tuple[bytes, ...]:
        coords: list[Coord] = [coord for span in spans for coord in merkle.parts(span)]
        return merkle.proof(spans, await work.log_nodes(coords))


def _refused(code: Code, detail: str, expected: str) -> RefusedInputError:
    return RefusedInputError(Problem(code=code, detail=detail, expected=expected))
