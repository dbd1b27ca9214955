"""The rows of partners beside their legs, as a unit of work reads and writes them: how they stand, and their last check."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from gateway.contract.values import LegId, PartnerId
from gateway.core.standing import Line, Span, Standing

if TYPE_CHECKING:
    from gateway.app.ports import LegRow


class PartnerRows(Protocol):
    """A part of a unit of work."""

    async def standings(self) -> dict[PartnerId, Standing]:
        """Return which partners their operators have paused or suspended, without a lock."""

    async def set_standing(self, partner: PartnerId, standing: Standing) -> None:
        """Write how a partner stands (insert its row if missing)."""

    async def partner_lines(self) -> dict[PartnerId, Line]:
        """Return what is known of every partner that has a row, without a lock."""

    async def taken_since(self, partner: PartnerId, span: Span, *, after: LegId | None, limit: int) -> list[LegRow]:
        """Return what a partner took in a span and what is good yet, in the order it was first sent, from the one after `after` on."""

    async def begin_check(self, partner: PartnerId, check_id: LegId, at: datetime) -> None:
        """Note that a partner is being checked (insert its row if missing). The check before is forgotten."""

    async def end_check(self, partner: PartnerId, check_id: LegId, code: str) -> bool:
        """Note what became of a partner's last check, once. Return whether it was that one."""
