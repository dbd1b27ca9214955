"""What the use cases write into evidence: rows in, entries out. Digests, ids and codes only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from gateway.app.ports import LegRow, MessageRow, RefusalRow
from gateway.contract.values import Ref
from gateway.core import tokens
from gateway.core.delivery import State
from gateway.core.evidence import entries
from gateway.core.message import Signed
from gateway.core.problems import Problem


def accepted_entry(row: MessageRow, digest: str | None, legs: Sequence[LegRow], refusals: Sequence[RefusalRow], at: datetime) -> bytes:
    """Return the entry of an accepted message, with its legs and refusals; `digest` is None for a message of ours."""
    return entries.Accepted(
        at=entries.moment(at), iss=row.ref.iss, jti=row.ref.jti, digest=digest, family=row.family, family_version=row.version,
        decided_by=dict(row.decision), legs=tuple(map(_leg, legs)), refusals=tuple(map(_refusal, refusals)),
    ).encode()  # fmt: skip


def extended_entry(
    message: Ref, reason: str, legs: Sequence[LegRow], refusals: Sequence[RefusalRow], *, decided_by: Mapping[str, str], at: datetime
) -> bytes:
    """Return the entry of a message that is sent, or refused, to more partners than when it was accepted."""
    return entries.Extended(
        at=entries.moment(at), iss=message.iss, jti=message.jti, reason=reason, decided_by=dict(decided_by),
        legs=tuple(map(_leg, legs)), refusals=tuple(map(_refusal, refusals)),
    ).encode()  # fmt: skip


def rejected_entry(signed: Signed, problems: Sequence[Problem], at: datetime) -> bytes:
    """Return the entry of a rejection of a trusted message."""
    codes = tuple(dict.fromkeys(p.code.value for p in problems))
    rules = tuple(dict.fromkeys(p.rule for p in problems if p.rule is not None))
    return entries.Rejected(
        at=entries.moment(at),
        iss=signed.signer,
        jti=signed.jti if tokens.is_uuid(signed.jti) else None,
        digest=signed.digest,
        codes=codes,
        rules=rules,
    ).encode()


def leg_entry(leg: LegRow, at: datetime) -> bytes:
    """Return the entry of a leg that was sent, held, receipted or has ended."""
    when = entries.moment(at)
    if leg.state is State.HELD:
        return entries.Held(at=when, leg_id=leg.leg_id, jti=leg.jti, partner=leg.partner, reason=leg.hold_reason or "REVIEW").encode()
    if leg.state is State.RECEIPTED and leg.proof is not None:
        return entries.Receipted(
            at=when, leg_id=leg.leg_id, jti=leg.jti, partner=leg.partner, proof=leg.proof, code=code_of(leg.last_code)
        ).encode()
    return entries.LegMoved(
        at=when, leg_id=leg.leg_id, jti=leg.jti, partner=leg.partner, state=_state(leg), attempt=leg.attempt,
        reason=code_of(leg.reason), digest=leg.signed_digest,
    ).encode()  # fmt: skip


def code_of(word: str | None) -> str | None:
    """Return a code as evidence spells it: RFC 8935 has lower case with underscores, our catalogues capitals or hyphens."""
    return word.upper() if word is not None and "_" in word else word


def _state(leg: LegRow) -> entries.LegState:
    return leg.state.value


def _leg(leg: LegRow) -> entries.Leg:
    return entries.Leg(
        leg_id=leg.leg_id,
        jti=leg.jti,
        partner=leg.partner,
        countries=leg.countries,
        state=_state(leg),
        hold=leg.hold_reason,
        because=leg.because,
    )


def _refusal(row: RefusalRow) -> entries.Refusal:
    return entries.Refusal(partner=row.partner, country=row.country, reason=row.reason, because=row.because)
