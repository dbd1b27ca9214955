"""Holds: what waits for a person is listed, released or refused by one (four eyes are another matter)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from gateway.app.aside import Done, move, row_of
from gateway.app.ports import AsideFilter, LegRow, UnitOfWork
from gateway.app.settle import Change, Settle
from gateway.app.world import Holder
from gateway.contract.values import LegId, PartnerId
from gateway.core.commands import HoldListing, Legs, legs_of
from gateway.core.decided import HoldReason, Reason
from gateway.core.delivery import Event, State
from gateway.core.standing import Standing

NOT_HELD: Final = "not-held"
SUSPENDED: Final = "partner-suspended"
NO_PARTNER: Final = "partner-unknown"
KEY_REVOKED: Final = "key-revoked"


class Hold:
    """What an operator does about held legs."""

    def __init__(self, holder: Holder, settle: Settle) -> None:
        """Take what moves legs."""
        self._holder, self._settle = holder, settle

    @staticmethod
    async def list(work: UnitOfWork, asked: HoldListing) -> Done:
        """Return held legs, oldest first, with `next` where there are more; on the first page, how many there are by reason."""
        which = AsideFilter(
            partner=PartnerId(asked.partner) if asked.partner else None, hold_reason=asked.reason, since=asked.since,
            after=LegId(asked.after) if asked.after else None,
        )  # fmt: skip
        legs = await work.aside(State.HELD, which, limit=asked.limit)
        counts: dict[str, int] = {}
        for count in await work.aside_counts() if asked.after is None else ():
            if count.state is State.HELD and count.hold_reason is not None:
                counts[count.hold_reason] = counts.get(count.hold_reason, 0) + count.legs
        more = legs[-1].leg_id if len(legs) == asked.limit else None
        return Done(value={"legs": [row_of(leg) for leg in legs], "next": more, "counts": counts})

    async def release(self, work: UnitOfWork, asked: Legs) -> Done:
        """Put held legs back at the end of their lines. Some stay: sealing would hold them again."""
        suspended = {partner for partner, standing in (await work.standings()).items() if standing is Standing.SUSPENDED}
        return await move(work, self._settle, legs_of(asked), lambda leg: self._released(leg, suspended))

    async def refuse(self, work: UnitOfWork, asked: Legs) -> Done:
        """End held legs: refused where nothing was sent, cancelled where it may have been. Their senders are told."""
        return await move(work, self._settle, legs_of(asked), _refused, reason=Reason.HOLD.value)

    def _released(self, leg: LegRow, suspended: Collection[PartnerId]) -> Change | str:
        profile = self._holder.current.directory.find(leg.partner)
        if leg.state is not State.HELD:
            return NOT_HELD
        if profile is None:
            return NO_PARTNER
        if leg.hold_reason == HoldReason.KEY_REVOKED.value:  # a leg is signed once, and what it carries nobody would believe
            return KEY_REVOKED
        return SUSPENDED if profile.suspended or leg.partner in suspended else Change(leg_id=leg.leg_id, event=Event.RELEASED)


def _refused(leg: LegRow) -> Change | str:
    if leg.state is not State.HELD:
        return NOT_HELD
    event = Event.CANCELLED if leg.attempt > 0 else Event.REFUSED
    return Change(leg_id=leg.leg_id, event=event, reason=Reason.HOLD.value)
