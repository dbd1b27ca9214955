"""Keys of subjects go under the epoch in force, so that an old epoch can be destroyed: what lies under it in old backups ends with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.app.ports import Store
from gateway.app.safe import Safe
from gateway.contract.errors import OperatorError

BATCH: Final = 500  # rows of one transaction, and what an intake may have to wait for


class EpochInUseError(OperatorError):
    """An epoch cannot be destroyed: something is under it, or will be."""


async def end(store: Store, safe: Safe, epoch: str) -> None:
    """Make sure that nothing is under an epoch, and that no process puts anything under it from now on: it may be destroyed.

    An inner that has not read its keys since the epoch was followed refuses new subjects from then on (`EpochEndedError`), where it would
    have kept what nobody could open. Raises `EpochInUseError`; then nothing has changed.
    """
    if epoch in safe.epochs:
        raise EpochInUseError(f"{epoch}: is in force; nothing was destroyed")
    async with store.unit_of_work() as work:
        if count := await work.end_epoch(epoch):
            raise EpochInUseError(
                f"{epoch}: {count} keys of subjects are under it; nothing was destroyed. Where they came since the rewrap, another inner "
                "still uses it: run gateway reload on each, and this again"
            )


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
