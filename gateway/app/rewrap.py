"""Keys of subjects go under the epoch in force, so that an old epoch can be destroyed: what lies under it in old backups ends with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.app.ports import Store
from gateway.app.safe import Safe

BATCH: Final = 500  # rows of one transaction, and what an intake may have to wait for


async def rewrap(store: Store, safe: Safe, *, progress: Callable[[int, int], None] | None = None) -> int:
    """Put every subject's key under the epoch of its compartment that is in force; return how many were not.

    The gateway may run meanwhile: either epoch opens a row. Raises `EpochMissingError` for rows under an epoch that is not loaded.
    """
    async with store.reading() as work:
        counts = await work.epochs()
    old = {epoch: count for epoch, count in counts.items() if epoch not in safe.epochs}
    done, total = 0, sum(old.values())
    for epoch in sorted(old):
        while moved := await _batch(store, safe, epoch):
            done += moved
            if progress is not None:
                progress(done, max(done, total))
    return done


async def _batch(store: Store, safe: Safe, epoch: str) -> int:
    async with store.unit_of_work() as work:
        rows = await work.keys_under(epoch, BATCH)
        await work.rewrap({key: safe.rewrapped(key, epoch, wrapped) for key, wrapped in rows.items()})
    return len(rows)
