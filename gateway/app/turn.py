"""The turn of keys: what signs and what new things are put under changes when a key's time comes, without a restart or a refusal.

A new key is published with a time from which it is used, later than anybody can still have the key set from before. So every process turns
by its own clock, one after another, and nobody meets a signature by a key that it has not heard of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from gateway.app.ports import Clock, Telemetry
from gateway.app.safe import Safe
from gateway.app.sequence import Sequencer
from gateway.app.world import Holder, Signers
from gateway.core.evidence.checkpoint import CheckpointSigner
from gateway.core.vault import Compartment


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """Our keys as they are used at one moment."""

    signers: Signers
    checkpoint: CheckpointSigner
    registers: Compartment = field(repr=False)
    referrals: Compartment = field(repr=False)
    ends: Mapping[str, datetime]  # by use: until when a key of ours is there without a gap, its successors counted

    @property
    def ids(self) -> tuple[str, ...]:
        """Which keys these are."""
        made = self.checkpoint.key.key_id.hex()
        return self.signers.document.kid, self.signers.receipt.kid, made, self.registers.epoch, self.referrals.epoch


Read = Callable[[datetime], InForce]


class Turn:
    """Puts keys in force when their time comes."""

    def __init__(self, read: Read, *, holder: Holder, safe: Safe, sequencer: Sequencer, clock: Clock, telemetry: Telemetry) -> None:
        """Take what says which keys are used when, and everything that uses them."""
        self._read, self._holder, self._safe, self._sequencer = read, holder, safe, sequencer
        self._clock, self._telemetry = clock, telemetry
        self._ids = read(clock.now()).ids

    def put(self, read: Read) -> None:
        """Take keys that were read anew, all or nothing. Raises what `read` raises where one is missing; what was in force then stays."""
        found = read(self._clock.now())
        self._read = read
        self._use(found)

    def ends(self) -> Mapping[str, datetime]:
        """Return until when there are keys of each use, as of now. Raises what `read` raises."""
        return self._read(self._clock.now()).ends

    async def run_once(self) -> int:
        """Use the keys whose time has come. Raises what `read` raises where one has ended and none follows: it is used on."""
        found = self._read(self._clock.now())
        if found.ids != self._ids:
            self._use(found)
        return 0

    def _use(self, found: InForce) -> None:
        for before, after in zip(self._ids, found.ids, strict=True):
            if before != after:
                self._telemetry.event("key-in-force", code=after)
        self._safe.use(found.registers, found.referrals)
        self._sequencer.use(found.checkpoint)
        self._holder.current = replace(self._holder.current, signers=found.signers)
        self._ids = found.ids
