"""Partners' circuits in rows: moved by what couriers report and by a partner that comes to us, kept by whoever claims.

The pause of a circuit is no news about a leg: its own due time stays, and its attempts are not used up meanwhile.
A partner's row that another transaction holds is left as it is, not waited for: a report that is not counted makes a circuit open one
failure later, or a probe go twice; a report that waits would hold up the other partners' reports beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.app.ports import Clock, Dice, Telemetry, UnitOfWork
from gateway.app.world import Holder
from gateway.contract.values import PartnerId
from gateway.core import limits
from gateway.core.circuit import Circuit, Heard, Position, after, heard_of
from gateway.core.delivery import Event
from gateway.core.profiles import Delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a courier reported about an attempt, as far as it says something of the partner."""

    partner: PartnerId
    event: Event
    code: str | None = None
    retry_after: timedelta | None = None

    @property
    def heard(self) -> Heard:
        """What it says of the partner's endpoint."""
        return heard_of(self.event, self.code, self.retry_after)


class Circuits:
    """Moves circuits, in its caller's transaction."""

    def __init__(self, holder: Holder, *, clock: Clock, dice: Dice, telemetry: Telemetry) -> None:
        """Take the ports."""
        self._holder, self._clock, self._dice, self._telemetry = holder, clock, dice, telemetry

    async def lock(self, work: UnitOfWork, said: Iterable[Said]) -> dict[PartnerId, Circuit]:
        """Lock the partners whose circuit may move, before their legs are locked. A success of a partner at rest moves nothing."""
        said = list(said)
        if not said:
            return {}
        moving = {one.partner for one in said if one.heard is not Heard.ANSWERED}
        answering = {one.partner for one in said} - moving
        troubled = answering & (await work.troubles()).keys() if answering else set()
        return await work.circuits(sorted(moving | troubled))

    async def settle(self, work: UnitOfWork, locked: Mapping[PartnerId, Circuit], said: Iterable[Said]) -> None:
        """Move locked circuits by what was said, in its order; a partner that is back gets at once what waits after failures."""
        now, new = self._clock.now(), dict(locked)
        for one in said:
            delivery = self._delivery(one.partner)
            if one.partner in new and delivery is not None:
                new[one.partner] = after(
                    new[one.partner], one.heard, now=now, delivery=delivery, jitter=self._dice.jitter(), asked=one.retry_after
                )
                if one.heard is Heard.ASKED:
                    self._telemetry.event("partner-asked-to-wait", partner=one.partner, code=one.code)
        await self._save(work, locked, new, now)

    async def contact(self, work: UnitOfWork, partners: Iterable[PartnerId]) -> None:
        """Take in that partners came to us with a good signature: their waiting legs are due, and a silent endpoint is probed."""
        now = self._clock.now()
        calling = set(partners)
        troubled = calling & (await work.troubles()).keys() if calling else set()
        locked = await work.circuits(sorted(troubled))
        new = {
            id_: after(circuit, Heard.CONTACT, now=now, delivery=delivery)
            for id_, circuit in locked.items()
            if (delivery := self._delivery(id_)) is not None
        }
        await self._save(work, locked, new, now)

    async def _save(self, work: UnitOfWork, before: Mapping[PartnerId, Circuit], new: Mapping[PartnerId, Circuit], now: datetime) -> None:
        changed = {id_: circuit for id_, circuit in new.items() if circuit != before[id_]}
        await work.save_circuits(changed)
        for id_, circuit in sorted(changed.items()):
            was, is_ = before[id_].position(now), circuit.position(now)
            if is_ is not was:
                self._telemetry.event(f"circuit-{is_.value}", partner=id_, count=circuit.failures or None)
            if (is_ is Position.CLOSED and was is not is_) or circuit.woken_at != before[id_].woken_at:
                await work.wake(id_, now, limit=limits.WAKE_COUNT_MAX)

    def _delivery(self, partner: PartnerId) -> Delivery | None:
        profile = self._holder.current.directory.find(partner)
        return None if profile is None else profile.delivery
