"""How sealed documents and reports look on the bus: ids, times and sealed bytes, no personal data in clear."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

import msgspec

from gateway.contract.errors import InvariantError
from gateway.contract.transports import Outcome, Reply
from gateway.contract.values import LegId, PartnerId, Sealed
from gateway.core import tokens
from gateway.core.delivery import Event

CODE_CHARS_MAX: Final = 40
CODE: Final = re.compile(rf"[A-Za-z0-9_-]{{0,{CODE_CHARS_MAX}}}")  # one word: what is longer or other is somebody's own words
UNREADABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)  # bad UTF-8 and endless nesting have no error of msgspec's own
CUT_SHORT: Final = "cut-short"  # our own process ended before the partner had answered
RETRY_SECONDS_MAX: Final = 7 * 86_400  # no partner may have itself forgotten


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A courier's report about one attempt."""

    leg_id: LegId
    partner: PartnerId
    attempt: int
    outcome: Outcome
    code: str = ""
    retry_after_seconds: float | None = None

    @property
    def event(self) -> Event:
        """What the report means for the leg: a refusal by the transport is a dead letter, as nobody signed for it.

        An attempt that we cut short is no failure of the partner's: it goes again as if its lease had ended.
        """
        if self.outcome is Outcome.FAILED and self.code == CUT_SHORT:
            return Event.LEASE_ENDED
        return {Outcome.DELIVERED: Event.DELIVERED, Outcome.FAILED: Event.FAILED, Outcome.REFUSED: Event.GAVE_UP}[self.outcome]

    @property
    def retry_after(self) -> timedelta | None:
        """When the partner asked to be tried again."""
        return None if self.retry_after_seconds is None else timedelta(seconds=self.retry_after_seconds)

    @classmethod
    def of(cls, item: Sealed, reply: Reply) -> Report:
        """Report a transport's reply."""
        after = None if reply.retry_after is None else reply.retry_after.total_seconds()
        return cls(
            leg_id=item.leg_id, partner=item.partner, attempt=item.attempt, outcome=reply.outcome,
            code=reply.code if CODE.fullmatch(reply.code) else "unknown", retry_after_seconds=after,
        )  # fmt: skip


class _Sealed(msgspec.Struct, frozen=True, kw_only=True):
    leg_id: LegId
    jti: str
    partner: PartnerId
    attempt: int
    not_after: datetime
    body: bytes
    media_type: str


def encode_sealed(item: Sealed) -> bytes:
    """Return a record's value."""
    return msgspec.msgpack.encode(
        {name: getattr(item, name) for name in ("leg_id", "jti", "partner", "attempt", "not_after", "body", "media_type")}
    )


def decode_sealed(value: bytes) -> Sealed:
    """Read a record's value. Raises `InvariantError`."""
    try:
        item = msgspec.msgpack.decode(value, type=_Sealed)
    except UNREADABLE as exc:
        raise InvariantError("sealed record") from exc
    return Sealed(**{name: getattr(item, name) for name in item.__struct_fields__})


def encode_report(report: Report) -> bytes:
    """Return a record's value."""
    return msgspec.msgpack.encode(report)


def decode_report(value: bytes) -> Report:
    """Read a record's value, which an outer zone that was taken over may have written. Raises `InvariantError`."""
    try:
        report = msgspec.msgpack.decode(value, type=Report)
    except UNREADABLE as exc:
        raise InvariantError("outcome record") from exc
    after = report.retry_after_seconds
    if not tokens.is_uuid(report.leg_id) or not CODE.fullmatch(report.code) or (after is not None and not 0 <= after <= RETRY_SECONDS_MAX):
        raise InvariantError("outcome record")
    return report
