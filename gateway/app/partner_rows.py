"""The rows of partners beside their legs, as a unit of work reads and writes them: how they stand, their last check, attempts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from gateway.contract.values import Jti, KeyId, LegId, PartnerId
from gateway.core.next_key import KeyState
from gateway.core.standing import Line, Span, Standing

if TYPE_CHECKING:
    from gateway.app.ports import LegRow


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """One attempt at one leg, and what came of it. Ids and codes only."""

    partner: PartnerId
    leg_id: LegId
    jti: Jti
    number: int  # of the leg's attempts
    at: datetime  # when its report was settled
    code: str  # `ANSWERED`, or what the other side said
    retry_after: int | None = None  # seconds the partner asked for
    again_at: datetime | None = None  # when the leg goes again; none where it does not
    attempt_id: int = 0  # given by the store: a later report has a greater one


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFilter:
    """Which attempts of a partner."""

    partner: PartnerId
    since: datetime | None = None
    failed: bool = False  # those alone
    before: int | None = None  # the attempt that a page ended with


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """A key that a partner submitted, and what an operator made of it."""

    kid: KeyId
    partner: PartnerId
    jwk: str  # as `next_key.spelled`; it never says that it is revoked
    thumbprint: str  # RFC 7638
    state: KeyState
    signer: KeyId  # the partner's key that signed for it
    digest: str  # of the token it came in
    submitted_at: datetime
    decided_at: datetime | None = None
    decided_by: str | None = None  # an operator; none where a restore did again what one had decided
    revoked_at: datetime | None = None


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

    async def add_attempts(self, rows: Sequence[AttemptRow]) -> None:
        """Insert attempts, in one statement."""

    async def attempts(self, which: AttemptFilter, *, limit: int) -> list[AttemptRow]:
        """Return attempts, newest first, without a lock."""

    async def forget_attempts(self, before: datetime, *, limit: int) -> int:
        """Delete attempts from before a time, at most `limit`; return how many."""

    async def add_key(self, row: KeyRow) -> bool:
        """Insert a key; return whether its id was free, of everybody's."""

    async def key(self, kid: KeyId) -> KeyRow | None:
        """Return a key, locked where the transaction writes."""

    async def keys(self, partner: PartnerId | None, states: Collection[KeyState], *, after: KeyId | None, limit: int) -> list[KeyRow]:
        """Return keys in one of `states`, by their ids, from the one after `after` on, without a lock."""

    async def save_key(self, row: KeyRow) -> None:
        """Write what was decided of a locked key."""
