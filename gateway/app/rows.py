"""From decided values to rows, and back. The only place that knows both shapes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from gateway.app.ports import LegRow, MessageRow, RefusalRow, SubjectRow
from gateway.app.safe import Safe
from gateway.contract.errors import InvariantError
from gateway.contract.values import Family, PartnerId, Ref, Role, SubjectKey
from gateway.core import jose, strict_json
from gateway.core.decided import Decision, PlannedLeg, Refusal
from gateway.core.delivery import State
from gateway.core.facts import Facts
from gateway.core.message import Message
from gateway.core.schema import parse_family_uri


def message_row(  # noqa: PLR0913 -- a row is made of many things
    message: Message,
    payload: bytes,
    facts: Facts,
    *,
    channel: PartnerId,
    subject: SubjectRow,
    safe: Safe,
    digests: Mapping[str, str],
    now: datetime,
    marks: tuple[str, ...] = (),
) -> MessageRow:
    """Return the row of an accepted message, its payload and facts encrypted under a message key of its own."""
    key, wrapped = safe.new_message_key(subject)
    last_day = datetime.fromisoformat(message.event["handling"]["retention"]["delete_by"])
    return MessageRow(
        ref=message.ref, channel=channel, family=message.family.name, version=message.family.version, subject=subject.key,
        txn=safe.conversation(subject.key, message.txn), lane=message.lane, received_at=now, iat=message.iat,
        delete_by=last_day.replace(hour=23, minute=59, second=59, tzinfo=UTC),
        payload=safe.seal(key, payload, of=message.ref, what="payload"), wrapped=wrapped,
        facts=safe.seal(key, _facts(facts, marks), of=message.ref, what="facts"), decision=digests,
    )  # fmt: skip


def _facts(facts: Facts, marks: tuple[str, ...]) -> bytes:
    """Write down what a decision rested on (R-GEN-21): which messages, not again what they say."""
    answered = facts.answered
    value: dict[str, Any] = {"unread": list(facts.unread), "marks": list(marks)}
    if facts.urgent_spent:
        value["urgent_spent"] = True
    if answered is not None:
        value["answered"] = {"leg_id": answered.leg_id, "jti": answered.jti, "partner": answered.partner, "state": answered.state.value}
    if facts.earlier:
        value["earlier"] = [{"iss": e.message.iss, "jti": e.message.jti, "family": e.message.family.name} for e in facts.earlier]
    return strict_json.canonical(value)


def read_marks(facts: bytes) -> tuple[str, ...]:
    """Read what every copy of a message is marked with, from the facts kept with it."""
    return tuple(strict_json.reread(facts).get("marks", ()))


def own_payload(message: Message, uri: str) -> bytes:
    """Return the payload of a message of ours: its claims."""
    claims = {"iss": message.iss, "jti": message.jti, "iat": int(message.iat.timestamp()), "toe": int(message.toe.timestamp())}
    return strict_json.canonical({**claims, "txn": message.txn, "events": {uri: message.event}})


def read_message(row: MessageRow, payload: bytes, base: str) -> Message:
    """Read a stored payload again: the JWS as received, or the claims of one of ours. Raises `InvariantError`."""
    if not payload.startswith(b"{"):
        payload = jose.b64decode(payload.split(b".")[1])
    claims = strict_json.reread(payload)
    ((uri, event),) = claims["events"].items()
    family = parse_family_uri(base, uri)
    if family != Family(row.family, row.version):
        raise InvariantError(row.ref, "family")
    return Message(
        iss=row.ref.iss, jti=row.ref.jti, digest="", aud=row.channel, iat=row.iat,
        toe=datetime.fromtimestamp(claims["toe"], UTC), txn=claims["txn"], family=family, event=event,
    )  # fmt: skip


def leg_row(message: Message, leg: PlannedLeg, *, subject: SubjectKey, seq: int, policy_digest: str, now: datetime) -> LegRow:
    """Return the row of a planned or held leg."""
    return LegRow(
        leg_id=leg.leg_id, message=message.ref, family=message.family.name, partner=leg.partner, subject=subject, jti=leg.jti,
        countries=leg.countries, roles=tuple(role.value for role in leg.roles), lane=leg.lane, seq=seq,
        state=State.HELD if leg.hold else State.PLANNED, due_at=now, created_at=now, expires_at=leg.expires_at, delete_by=leg.delete_by,
        hold_reason=leg.hold.value if leg.hold else None, groups=tuple(sorted(leg.groups)),
        removed=tuple((r.group, r.reason, r.because) for r in leg.removed), because=leg.because, policy_digest=policy_digest,
    )  # fmt: skip


def refusal_row(message: Ref, position: int, refusal: Refusal) -> RefusalRow:
    """Return the row of a refusal."""
    return RefusalRow(
        message=message, position=position, partner=refusal.partner, country=refusal.country,
        roles=tuple(role.value for role in refusal.roles), reason=refusal.reason.value, because=refusal.because,
    )  # fmt: skip


def rows_of(
    message: Message, decision: Decision, *, subject: SubjectKey, seq: int, policy_digest: str, now: datetime
) -> tuple[list[LegRow], list[RefusalRow]]:
    """Return the rows of a whole decision. All legs of a message share one place in their subject's order."""
    legs = [leg_row(message, leg, subject=subject, seq=seq, policy_digest=policy_digest, now=now) for leg in decision.legs]
    return legs, [refusal_row(message.ref, i, refusal) for i, refusal in enumerate(decision.refusals)]


def roles_of(leg: LegRow) -> tuple[Role, ...]:
    """Return a leg's roles as values."""
    return tuple(Role(role) for role in leg.roles)
