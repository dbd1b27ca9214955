"""Statements about the rows of partners and senders: how a partner's line stands, and what a sender has used of its quota."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Delete,
    Insert,
    Select,
    Text,
    Update,
    and_,
    bindparam,
    delete,
    insert,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.sql.dml import ReturningInsert

from gateway.core.delivery import State
from gateway.stores import tables as t
from gateway.stores.types import Moment, StateName, at, lines

CIRCUIT: Final = ("failures", "failing_since", "open_until", "asked_until", "woken_at")
PARTNER: Final = bindparam("of_partner", type_=Text)
ATTEMPT: Final = ("partner", "leg_id", "jti", "number", "at", "code", "retry_after", "again_at")
DECIDED: Final = ("state", "decided_at", "decided_by", "revoked_at")
NEW_CHECK: Final = ("check_id", "checked_at", "check_code")


@cache
def insert_senders() -> Insert:
    """Insert the senders' rows that are missing, in key order."""
    names = lines()
    rows = select(at(names, 0).label("sender")).where(literal(1) == 1).order_by("sender")
    return upsert(t.sender_line).from_select(["sender"], rows).on_conflict_do_nothing()


@cache
def lock_senders() -> Select[Any]:
    """Lock senders' rows, in key order."""
    names, line = lines(), t.sender_line
    return select(line).where(line.c.sender.in_(select(at(names, 0)))).order_by(line.c.sender).with_for_update()


@cache
def save_sender() -> Update:
    """Write how much of its urgent quota a locked sender has used."""
    line = t.sender_line
    return update(line).where(line.c.sender == bindparam("of_sender")).values(urgent_until=bindparam("new_until", type_=Moment))


@cache
def circuits() -> Select[Any]:
    """Lock those partners' rows that nobody else holds, in key order, and read their circuits."""
    names, line = lines(), t.partner_line
    return select(line).where(line.c.partner.in_(select(at(names, 0)))).order_by(line.c.partner).with_for_update(skip_locked=True)


@cache
def troubles() -> Select[Any]:
    """Read the circuits that are not at rest, without a lock: partners are few."""
    line = t.partner_line
    return select(line).where(or_(line.c.failures > 0, line.c.open_until.is_not(None)))


@cache
def save_circuit() -> Update:
    """Write the circuit of a locked partner."""
    line = t.partner_line
    new = {name: bindparam(f"new_{name}", type_=line.c[name].type) for name in CIRCUIT}
    return update(line).where(line.c.partner == PARTNER).values(new)


@cache
def standings() -> Select[Any]:
    """Read which partners are paused or suspended: partners are few."""
    line = t.partner_line
    return select(line.c.partner, line.c.standing).where(line.c.standing != "open")


@cache
def set_standing() -> Update:
    """Write how a partner stands."""
    return update(t.partner_line).where(t.partner_line.c.partner == PARTNER).values(standing=bindparam("new_standing", type_=Text))


@cache
def partner_lines() -> Select[Any]:
    """Read every partner's row."""
    return select(t.partner_line).order_by(t.partner_line.c.partner)


@cache
def begin_check() -> Update:
    """Note a check that is under way."""
    line = t.partner_line
    new = {name: bindparam(f"new_{name}", type_=line.c[name].type) for name in NEW_CHECK}
    return update(line).where(line.c.partner == PARTNER).values(new)


@cache
def end_check() -> Update:
    """Note what became of a partner's last check, once."""
    line = t.partner_line
    mine = (line.c.partner == PARTNER, line.c.check_id == bindparam("of_check_id", type_=Text), line.c.check_code.is_(None))
    return update(line).where(*mine).values(check_code=bindparam("new_check_code", type_=Text))


@cache
def taken_since() -> Select[Any]:
    """Read what a partner took, in the order of its first sending, which never changes: so pages neither repeat a leg nor lose one.

    Of a leg that owes a receipt nobody knows when it arrived, so it counts. What was sent again since has another due time.
    """
    leg, last = t.leg, t.leg.alias("last")
    after, until = bindparam("after", type_=Text), bindparam("until", type_=Moment)
    sent = select(last.c.sent_at).where(last.c.leg_id == after).scalar_subquery()
    later = or_(after == "", leg.c.sent_at > sent, and_(leg.c.sent_at == sent, leg.c.leg_id > after))
    taken = leg.c.state.in_(bindparam("taken", [State.DELIVERED, State.RECEIPTED], StateName, expanding=True, literal_execute=True))
    since = or_(leg.c.ended_at.is_(None), leg.c.ended_at >= bindparam("since", type_=Moment))
    good = and_(leg.c.due_at < until, leg.c.expires_at > until, leg.c.delete_by > until)
    wanted = select(leg).where(leg.c.partner == PARTNER, leg.c.sent_at.is_not(None), taken, since, good, later)
    return wanted.order_by(leg.c.sent_at, leg.c.leg_id).limit(bindparam("limit", type_=BigInteger))


# --- attempts ---------------------------------------------------------------------------------------------------------


@cache
def insert_attempts() -> Insert:
    """Insert attempts, in the order of their reports."""
    rows, table = lines(), t.attempt
    new = [at(rows, position, table.c[name].type) for position, name in enumerate(ATTEMPT)]
    return insert(table).from_select(ATTEMPT, select(*new).select_from(rows))


@cache
def attempts(*, failed: bool) -> Select[Any]:
    """Read attempts of a partner, newest first, from behind the one that the page before ended with."""
    table, last = t.attempt, t.attempt.alias("last")
    before, since = bindparam("before", type_=BigInteger), bindparam("since", type_=Moment)
    at_ = select(last.c.at).where(last.c.attempt_id == before).scalar_subquery()
    older = or_(before.is_(None), tuple_(table.c.at, table.c.attempt_id) < tuple_(at_, before))
    wanted = select(table).where(table.c.partner == PARTNER, or_(since.is_(None), table.c.at >= since), older)
    wanted = wanted.where(t.FAILED) if failed else wanted
    return wanted.order_by(table.c.at.desc(), table.c.attempt_id.desc()).limit(bindparam("limit", type_=BigInteger))


@cache
def forget_attempts() -> Delete:
    """Delete old attempts: of the first so many rows, which are the oldest, those from before a time."""
    table, oldest = t.attempt, t.attempt.alias("oldest")
    first = select(oldest.c.attempt_id).order_by(oldest.c.attempt_id).limit(bindparam("limit", type_=BigInteger))
    return delete(table).where(table.c.attempt_id.in_(first), table.c.at < bindparam("before", type_=Moment))


# --- keys that partners submit ----------------------------------------------------------------------------------------


@cache
def insert_key() -> ReturningInsert[Any]:
    """Insert a key, unless its id is taken."""
    return upsert(t.partner_key).on_conflict_do_nothing().returning(t.partner_key.c.kid)


@cache
def key(*, locked: bool) -> Select[Any]:
    """Read one key."""
    found = select(t.partner_key).where(t.partner_key.c.kid == bindparam("of_kid", type_=Text))
    return found.with_for_update() if locked else found


@cache
def keys(*, of_partner: bool) -> Select[Any]:
    """Read keys by their ids: of one partner, or all there are, which are few."""
    table = t.partner_key
    wanted = table.c.state.in_(bindparam("states", expanding=True, type_=Text))
    found = select(table).where(table.c.kid > bindparam("after", type_=Text), wanted)
    found = found.where(table.c.partner == PARTNER) if of_partner else found
    return found.order_by(table.c.kid).limit(bindparam("limit", type_=BigInteger))


@cache
def save_key() -> Update:
    """Write what was decided of a key."""
    table = t.partner_key
    new = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in DECIDED}
    return update(table).where(table.c.kid == bindparam("of_kid", type_=Text)).values(new)
