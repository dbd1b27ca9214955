"""Dead letters, split by who must act: listed, tried again or given up by a person."""

from __future__ import annotations

from collections import Counter
from typing import Final

from gateway.app.aside import Done, move, row_of
from gateway.app.ports import AsideFilter, LegRow, UnitOfWork
from gateway.app.settle import Change, Settle
from gateway.contract.values import LegId, PartnerId
from gateway.core.commands import DeadListing, Discarded, Legs, legs_of
from gateway.core.deadletters import side_of
from gateway.core.delivery import Event, State

NOT_DEAD: Final = "not-dead"


class DeadLetters:
    """What an operator does about dead legs."""

    def __init__(self, settle: Settle) -> None:
        """Take what moves legs."""
        self._settle = settle

    @staticmethod
    async def list(work: UnitOfWork, asked: DeadListing) -> Done:
        """Return dead legs, oldest first, with `next` where there are more; on the first page, how many there are by who must act.

        A page is read whole and then looked through for the side asked for, so that it may be short, or empty, before the last.
        """
        which = AsideFilter(
            partner=PartnerId(asked.partner) if asked.partner else None,
            since=asked.since,
            after=LegId(asked.after) if asked.after else None,
        )
        legs = await work.aside(State.DEAD, which, limit=asked.limit)
        counts: Counter[str] = Counter()
        for count in await work.aside_counts() if asked.after is None else ():
            if count.state is State.DEAD:
                counts[side_of(count.reason, count.last_code).value] += count.legs
        wanted = [leg for leg in legs if asked.side is None or side_of(leg.reason, leg.last_code) is asked.side]
        more = legs[-1].leg_id if len(legs) == asked.limit else None
        return Done(value={"legs": [row_of(leg) for leg in wanted], "next": more, "counts": dict(counts)})

    async def retry(self, work: UnitOfWork, asked: Legs) -> Done:
        """Put dead legs back at the end of their lines, with all the attempts of their profile before them."""
        return await move(work, self._settle, legs_of(asked), lambda leg: _if_dead(leg, Change(leg_id=leg.leg_id, event=Event.RETRIED)))

    async def discard(self, work: UnitOfWork, asked: Discarded) -> Done:
        """Give dead legs up. Their senders are told the reason."""
        reason = asked.reason.value

        def discarded(leg: LegRow) -> Change | str:
            return _if_dead(leg, Change(leg_id=leg.leg_id, event=Event.CANCELLED, reason=reason))

        return await move(work, self._settle, legs_of(asked), discarded, reason=reason)


def _if_dead(leg: LegRow, change: Change) -> Change | str:
    return change if leg.state is State.DEAD else NOT_DEAD
