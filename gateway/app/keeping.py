"""Whether the store keeps what it is given: found out by giving it something.

A store that can be read may still take no write: its disk is full, another process holds the lock, it is a standby. Readiness must say so
before the next message comes. What the last trial found is remembered: who asks whether we are ready causes no write, however often.
"""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.app.ports import Clock, Dice, Store, StoreUnavailableError, Telemetry
from gateway.app.supervise import wait
from gateway.contract.values import Jti, PartnerId
from gateway.core.message import Signed

TRIAL_SECONDS: Final = 2.0  # between two trials
TRIAL_SECONDS_MAX: Final = 5.0  # a write that takes longer: who waits for a receipt is about to give up, too
STANDS: Final = "no write in time"
TRIAL: Final = PartnerId("gateway:trial")  # no partner's id: none has a colon


class Keeping:
    """Tries, again and again, whether the store takes a write."""

    def __init__(self, store: Store, *, clock: Clock, dice: Dice, telemetry: Telemetry) -> None:
        """Take the ports. What is opened has just been written to: it is well until found otherwise."""
        self._store, self._clock, self._dice, self._telemetry = store, clock, dice, telemetry
        self.trouble = ""  # in words; nothing while it is well

    async def check(self) -> None:
        """Say that the store can be read, and kept what it was last given. Raises `StoreUnavailableError`."""
        if self.trouble:
            raise StoreUnavailableError(self.trouble)
        await self._store.check()

    async def run(self, stopping: asyncio.Event) -> None:
        """Try until `stopping`; say each trouble once, and its end."""
        trial: asyncio.Task[None] | None = None
        try:
            while not stopping.is_set():
                trial = trial or asyncio.create_task(self._try())
                done, _ = await asyncio.wait([trial], timeout=TRIAL_SECONDS_MAX)
                if not done:
                    self._is(STANDS)  # waited for further: to cut it off would add to what the store has to do
                    continue
                ended, trial = trial, None
                self._is(_words(ended))
                await wait(stopping, TRIAL_SECONDS)
        finally:
            if trial is not None:
                trial.cancel()
                await asyncio.gather(trial, return_exceptions=True)

    async def _try(self) -> None:
        """Commit a claim that is taken back in the same transaction: it is written, and leaves nothing."""
        now = self._clock.now()
        jti = Jti(self._dice.uuid7(now))
        async with self._store.unit_of_work() as work:
            claimed = await work.claim([Signed(TRIAL, jti, "")], now)
            await work.unclaim(sorted(claimed))

    def _is(self, trouble: str) -> None:
        if trouble == self.trouble:
            return
        self.trouble = trouble
        if trouble:
            self._telemetry.event("store-refuses", code=trouble)
        else:
            self._telemetry.event("store-keeps")


def _words(ended: asyncio.Task[None]) -> str:
    """Return why a trial failed, nothing where it did not. Raises whatever is no dependency's failure."""
    try:
        ended.result()
    except StoreUnavailableError as exc:
        return str(exc)
    return ""
