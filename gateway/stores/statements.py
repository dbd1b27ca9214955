"""Every statement, by name. Built once; values are bound when it runs; many rows come as one parameter.

Order of locks, kept by every transaction, so that none waits in a circle: claims, then subjects, then senders' rows, then watches, then
partners' rows, then legs; within each in key order. A statement that must lock before it writes does so in a CTE sorted by key. SQLite
has one writer and leaves `FOR UPDATE` out. `postgresql.insert` serves both: SQLite took its ON CONFLICT from there.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Delete,
    Insert,
    ScalarSelect,
    Select,
    Subquery,
    Table,
    Text,
    Update,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
    true,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate

from gateway.contract.values import LANES
from gateway.core.delivery import State
from gateway.stores import tables as t
from gateway.stores.types import LaneRank, Moment, StateName, at, lines

leg: Final = t.leg


def _states(name: str, states: list[State]) -> BindParameter[Any]:
    """States as literals in the text: only so does a partial index fit on both databases."""
    return bindparam(name, states, StateName, expanding=True, literal_execute=True)


def _is(state: State) -> ColumnElement[bool]:
    return leg.c.state == literal(state, StateName, literal_execute=True)


OPEN: Final = _states("open", t.OPEN_STATES)
NOW: Final = bindparam("now", type_=Moment)
UNTIL: Final = bindparam("until", type_=Moment)
PARTNER: Final = bindparam("of_partner", type_=Text)
LIMIT: Final = bindparam("limit", type_=BigInteger)
STARTED: Final = (  # what changes in a leg's life, also while it is only claimed
    *("state", "attempt", "failures", "due_at", "lease_until", "expires_at", "hold_reason", "reason", "last_code"),
    *("groups", "removed", "because", "policy_digest", "sent_at", "ended_at", "receipt_due_at", "proof"),
)
MOVED: Final = (
    *STARTED,
    "lane",
    "seq",
    "released_under",
)  # an acceptance may lift a claimed leg: only who has locked it may write its lane
SIGNED: Final = ("signed", "signed_digest")  # once


# --- intake -----------------------------------------------------------------------------------------------------------


@cache
def claim() -> ReturningInsert[Any]:
    """Claim ids, in key order: whoever loses waits here for the winner's commit."""
    ids = lines()
    rows = select(at(ids, 0).label("iss"), at(ids, 1).label("jti"), at(ids, 2), at(ids, 3, BigInteger)).where(literal(1) == 1)
    columns = ["iss", "jti", "digest", "accepted_at"]
    table = t.submission
    return upsert(table).from_select(columns, rows.order_by("iss", "jti")).on_conflict_do_nothing().returning(table.c.iss, table.c.jti)


@cache
def earlier() -> Select[Any]:
    """Read what was accepted before under these ids."""
    ids, table = lines(), t.submission
    return select(table.c.iss, table.c.jti, table.c.digest, table.c.receipt).join(
        ids, and_(table.c.iss == at(ids, 0), table.c.jti == at(ids, 1))
    )


@cache
def save_receipt() -> Update:
    """Store the receipt of a claimed id."""
    table = t.submission
    return (
        update(table).where(table.c.iss == bindparam("of_iss"), table.c.jti == bindparam("of_jti")).values(receipt=bindparam("new_receipt"))
    )


@cache
def insert_subjects() -> Insert:
    """Insert missing subjects, in key order."""
    keys = lines()
    rows = select(at(keys, 0).label("key"), literal(0, BigInteger)).where(literal(1) == 1).order_by("key")
    return upsert(t.subject).from_select(["key", "seq"], rows).on_conflict_do_nothing()


@cache
def lock_subjects() -> Select[Any]:
    """Lock subjects, in key order. What depends on them is read by later statements, never by this one."""
    keys = lines()
    wanted = t.subject.c.key.in_(select(at(keys, 0)))
    return select(t.subject.c.key, t.subject.c.seq).where(wanted).order_by(t.subject.c.key).with_for_update()


@cache
def subject_keys() -> Select[Any]:
    """Read the wrapped keys of subjects."""
    keys, table = lines(), t.subject_key
    return select(table.c.key, table.c.epoch, table.c.wrapped).where(table.c.key.in_(select(at(keys, 0))))


@cache
def subjects() -> Select[Any]:
    """Read subjects with their wrapped keys, without a lock."""
    keys, key = lines(), t.subject_key
    joined = t.subject.join(key, key.c.key == t.subject.c.key)
    return select(t.subject, key.c.epoch, key.c.wrapped).select_from(joined).where(t.subject.c.key.in_(select(at(keys, 0))))


@cache
def insert_subject_key() -> Insert:
    """Give a subject a key, under the subject's lock."""
    return insert(t.subject_key)


@cache
def set_seq() -> Update:
    """Store the last `seq` given out, for many subjects."""
    seqs = lines()
    given = select(at(seqs, 0).label("key"), at(seqs, 1, BigInteger).label("seq")).cte("given")
    return update(t.subject).where(t.subject.c.key == given.c.key).values(seq=given.c.seq)


@cache
def answered() -> Select[Any]:
    """Read legs by their tokens' ids, with what their originals say."""
    jtis, of = lines(), t.message
    return (
        select(
            leg.c.leg_id, leg.c.jti, leg.c.partner, of.c.iss, of.c.jti.label("of_jti"), leg.c.family, of.c.txn, leg.c.subject, leg.c.state
        )
        .join(of, and_(of.c.iss == leg.c.message_iss, of.c.jti == leg.c.message_jti))
        .where(leg.c.jti.in_(select(at(jtis, 0))))
    )


@cache
def unclaim() -> Delete:
    """Take claims back, in the transaction that made them: what is rejected does not use up its `jti`."""
    ids, table = lines(), t.submission
    mine = tuple_(table.c.iss, table.c.jti).in_(select(at(ids, 0), at(ids, 1)))
    return delete(table).where(mine, table.c.receipt.is_(None))


@cache
def heads() -> Select[Any]:
    """Read what partners said of subjects, without the content."""
    keys, of = lines(), t.message
    said = and_(of.c.subject.in_(select(at(keys, 0))), of.c.channel != bindparam("besides"))
    known = select(of.c.subject, of.c.iss, of.c.jti, of.c.family, of.c.txn, of.c.received_at)
    return known.where(said).order_by(of.c.received_at, of.c.jti)


@cache
def insert_messages() -> tuple[Insert, Insert]:
    """Insert messages, and their keys into the table that is backed up apart."""
    return insert(t.message), insert(t.message_key)


@cache
def insert_legs() -> Insert:
    """Insert legs."""
    return insert(leg)


@cache
def insert_partners() -> Insert:
    """Insert the partners' rows that are missing, in key order."""
    names = lines()
    rows = select(at(names, 0).label("partner")).where(literal(1) == 1).order_by("partner")
    return upsert(t.partner_line).from_select(["partner"], rows).on_conflict_do_nothing()


@cache
def insert_refusals() -> Insert:
    """Insert refusals."""
    return insert(t.refusal)


# --- the line ---------------------------------------------------------------------------------------------------------


def _head(partner: ColumnElement[Any], subject: ColumnElement[Any]) -> ColumnElement[Any]:
    """The head of a line: one step into the index of what is open, however long the line is."""
    first = leg.alias("first")
    line = select(first.c.leg_id).where(first.c.partner == partner, first.c.subject == subject, first.c.state.in_(OPEN))
    return line.order_by(first.c.seq, first.c.leg_id).limit(literal(1, literal_execute=True)).scalar_subquery()


@cache
def lift() -> Update:
    """Raise the open legs of lines to a lane. They are locked in key order first, as start_attempts does."""
    wanted = lines()
    rank = at(wanted, 2, LaneRank)
    behind = (
        select(leg.c.leg_id, rank.label("lane"))
        .join(wanted, and_(leg.c.partner == at(wanted, 0), leg.c.subject == at(wanted, 1)))
        .where(leg.c.state.in_(OPEN))
        .order_by(leg.c.leg_id)
        .with_for_update(of=leg)
        .cte("behind")
    )
    return update(leg).where(leg.c.leg_id == behind.c.leg_id, leg.c.lane < behind.c.lane).values(lane=behind.c.lane)


@cache
def give_turns() -> ReturningUpdate[Any]:
    """Make ready the planned heads of lines. The subjects are locked, so nobody else moves a planned leg of theirs."""
    wanted = lines()
    heads = select(_head(at(wanted, 0), at(wanted, 1)).label("leg_id")).select_from(wanted).cte("heads")
    return update(leg).where(leg.c.leg_id.in_(select(heads.c.leg_id)), _is(State.PLANNED)).values(state=State.READY).returning(leg.c.leg_id)


@cache
def previous_sent() -> Select[Any]:
    """Read the `jti` last sent on each line, and when."""
    wanted = lines()
    partner, subject = at(wanted, 0), at(wanted, 1)

    def newest(alias: str, column: str) -> ScalarSelect[Any]:
        last = leg.alias(alias)
        of_line = select(last.c[column]).where(last.c.partner == partner, last.c.subject == subject, last.c.sent_at.is_not(None))
        return of_line.order_by(last.c.sent_at.desc(), last.c.seq.desc()).limit(literal(1, literal_execute=True)).scalar_subquery()

    found = newest("last", "jti").label("jti"), newest("last_at", "sent_at").label("sent_at")
    return select(partner.label("partner"), subject.label("subject"), *found).select_from(wanted)


@cache
def undelivered_before() -> Select[Any]:
    """Read which legs have one set aside before them on their line."""
    ids, aside = lines(), leg.alias("aside")
    before = exists().where(
        aside.c.partner == leg.c.partner,
        aside.c.subject == leg.c.subject,
        aside.c.state.in_(_states("aside", t.ASIDE_STATES)),
        aside.c.seq < leg.c.seq,
    )
    return select(leg.c.leg_id).where(leg.c.leg_id.in_(select(at(ids, 0))), before)


# --- seal -------------------------------------------------------------------------------------------------------------


def _claimable() -> ColumnElement[bool]:
    """Ready, due, not leased by another worker."""
    return and_(_is(State.READY), or_(leg.c.lease_until.is_(None), leg.c.lease_until <= NOW))


def _lanes() -> Subquery:
    return union_all(*(select(literal(lane, LaneRank).label("lane")) for lane in LANES)).subquery("lanes")


@cache
def due_partners() -> Select[Any]:
    """Read which (partner, lane) have claimable legs: one step into `ix_leg_due` for each pair, however long the backlog.

    Partners that are paused, or whose circuit is open, have none.
    A scalar subquery and no EXISTS, which PostgreSQL would turn into a join over all that is due.
    """
    lanes, line = _lanes(), t.partner_line
    oldest = (
        select(leg.c.leg_id)
        .where(leg.c.partner == line.c.partner, leg.c.lane == lanes.c.lane, leg.c.due_at <= NOW)
        .where(_claimable(), leg.c.leg_id == _head(leg.c.partner, leg.c.subject))
        .order_by(leg.c.due_at, leg.c.seq)
        .limit(literal(1, literal_execute=True))
        .scalar_subquery()
    )
    shut = or_(line.c.standing == "paused", and_(line.c.open_until.is_not(None), line.c.open_until > NOW))
    return select(line.c.partner, lanes.c.lane).select_from(line.join(lanes, true())).where(not_(shut), oldest.is_not(None))


def _first_due(lanes: Subquery, line: Table) -> ScalarSelect[Any]:
    """When the oldest ready leg of a (partner, lane) is due: one step into `ix_leg_due`."""
    ready = select(leg.c.due_at).where(leg.c.partner == line.c.partner, leg.c.lane == lanes.c.lane, _is(State.READY))
    return ready.order_by(leg.c.due_at, leg.c.seq).limit(literal(1, literal_execute=True)).scalar_subquery()


@cache
def oldest_due() -> Select[Any]:
    """Read since when the oldest ready leg is due: one step into `ix_leg_due` for each (partner, lane)."""
    lanes, line = _lanes(), t.partner_line
    due = _first_due(lanes, line)
    return select(func.min(due).label("due_at")).select_from(line.join(lanes, true()))


@cache
def oldest_due_each() -> Select[Any]:
    """Read, for each partner, since when its oldest ready leg is due, as `oldest_due` does."""
    lanes, line = _lanes(), t.partner_line
    due = _first_due(lanes, line)
    each = select(line.c.partner, due.label("due_at")).select_from(line.join(lanes, true())).subquery("each")
    return select(each.c.partner, func.min(each.c.due_at).label("due_at")).where(each.c.due_at.is_not(None)).group_by(each.c.partner)


@cache
def lock_partner() -> Select[Any]:
    """Lock a partner's row: who claims next counts what this one has claimed."""
    return select(t.partner_line.c.partner).where(t.partner_line.c.partner == PARTNER).with_for_update()


@cache
def wake() -> ReturningUpdate[Any]:
    """Make a partner's legs due that wait after a failure. Its row is locked; what others hold is theirs to settle."""
    waiting = and_(_is(State.READY), leg.c.due_at > NOW)
    later = (
        select(leg.c.leg_id)
        .where(leg.c.partner == PARTNER, leg.c.lane.in_(select(_lanes().c.lane)), waiting, leg.c.failures > 0)
        .limit(LIMIT)
        .with_for_update(of=leg, skip_locked=True)
        .cte("later")
    )
    return update(leg).where(leg.c.leg_id.in_(select(later.c.leg_id)), waiting).values(due_at=NOW).returning(leg.c.leg_id)


@cache
def under_way() -> Select[Any]:
    """Count a partner's legs that are sending, or claimed by a worker whose lease lasts."""
    leased = and_(leg.c.partner == PARTNER, leg.c.state.in_(_states("claimed", t.CLAIMED_STATES)), leg.c.lease_until.is_not(None))
    return select(func.count()).select_from(leg).where(leased, or_(_is(State.SENDING), leg.c.lease_until > NOW))


@cache
def claim_legs() -> ReturningUpdate[Any]:
    """Lease due legs, oldest first, and only the head of each (partner, subject).

    Reads in proportion to the limit, not to the backlog: `ix_leg_due` gives the order, `ix_leg_open` each head.
    """
    due = (
        select(leg.c.leg_id)
        .where(leg.c.partner == PARTNER, leg.c.lane == bindparam("of_lane", type_=LaneRank), leg.c.due_at <= NOW)
        .where(_claimable(), leg.c.leg_id == _head(leg.c.partner, leg.c.subject))
        .order_by(leg.c.due_at, leg.c.seq)
        .limit(LIMIT)
        .with_for_update(of=leg, skip_locked=True)
        .cte("due")
    )
    return update(leg).where(leg.c.leg_id.in_(select(due.c.leg_id)), _claimable()).values(lease_until=UNTIL).returning(*leg.c)


@cache
def offered() -> ReturningUpdate[Any]:
    """Lease again what was offered in the inbox and not acknowledged, the longest unseen first."""
    unseen = and_(_is(State.AVAILABLE), leg.c.lease_until <= NOW)
    due = (
        select(leg.c.leg_id)
        .where(leg.c.partner == PARTNER, unseen)
        .order_by(leg.c.lease_until, leg.c.seq)
        .limit(LIMIT)
        .with_for_update(of=leg, skip_locked=True)
        .cte("due")
    )
    return update(leg).where(leg.c.leg_id.in_(select(due.c.leg_id)), unseen).values(lease_until=UNTIL).returning(*leg.c)


@cache
def lock_as_claimed() -> Select[Any]:
    """Lock those legs that are still as this worker claimed them: the fence of an attempt. One `jti`, one signed content."""
    claimed = lines()
    same = or_(leg.c.signed_digest.is_(None), leg.c.signed_digest == at(claimed, 2))
    return (
        select(leg.c.leg_id)
        .join(claimed, leg.c.leg_id == at(claimed, 0))
        .where(leg.c.state.in_(_states("startable", [State.AVAILABLE, State.READY])))
        .where(leg.c.lease_until == UNTIL, leg.c.attempt <= at(claimed, 1, BigInteger), same)
        .order_by(leg.c.leg_id)
        .with_for_update(of=leg)
    )


@cache
def save_leg(columns: tuple[str, ...]) -> Update:
    """Write what changes in a leg's life. Signed bytes once stored stay."""
    new = {name: bindparam(f"new_{name}", type_=leg.c[name].type) for name in (*columns, *SIGNED)}
    once = {name: func.coalesce(leg.c[name], new[name]) for name in SIGNED}
    return update(leg).where(leg.c.leg_id == bindparam("of_leg_id")).values({**new, **once})


# --- settle -----------------------------------------------------------------------------------------------------------


@cache
def legs(*, locked: bool) -> Select[Any]:
    """Read legs, locked in key order where the transaction writes."""
    ids = lines()
    found = select(leg).where(leg.c.leg_id.in_(select(at(ids, 0)))).order_by(leg.c.leg_id)
    return found.with_for_update() if locked else found


@cache
def lines_of() -> Select[Any]:
    """Read the (partner, subject) of legs, without a lock."""
    ids = lines()
    return select(leg.c.leg_id, leg.c.partner, leg.c.subject).where(leg.c.leg_id.in_(select(at(ids, 0))))


@cache
def legs_by_jti() -> Select[Any]:
    """Read one partner's legs by their tokens' ids."""
    jtis = lines()
    return select(leg).join(jtis, leg.c.jti == at(jtis, 0)).where(leg.c.partner == PARTNER)


@cache
def legs_of() -> Select[Any]:
    """Read all legs of a message."""
    of = and_(leg.c.message_iss == bindparam("iss"), leg.c.message_jti == bindparam("jti"))
    return select(leg).where(of).order_by(leg.c.seq, leg.c.partner, leg.c.leg_id)


@cache
def legs_of_each() -> Select[Any]:
    """Read all legs of several messages."""
    refs = lines()
    of = and_(leg.c.message_iss == at(refs, 0), leg.c.message_jti == at(refs, 1))
    return select(leg).join(refs, of).order_by(leg.c.seq, leg.c.partner, leg.c.leg_id)


@cache
def refusals_of() -> Select[Any]:
    """Read all refusals of a message."""
    table = t.refusal
    of = and_(table.c.message_iss == bindparam("iss"), table.c.message_jti == bindparam("jti"))
    return select(table).where(of).order_by(table.c.position)


@cache
def end_leases() -> ReturningUpdate[Any]:
    """End the leases of claimed legs: they are due now."""
    held = and_(leg.c.state.in_(_states("claimed", t.CLAIMED_STATES)), leg.c.lease_until.is_not(None))
    return update(leg).where(held, leg.c.lease_until > NOW).values(lease_until=NOW).returning(leg.c.leg_id)


@cache
def due_timers() -> Select[Any]:
    """Read legs whose time has come, one index for each kind of timer, the longest overdue first."""
    kinds = (
        (leg.c.lease_until, _is(State.SENDING)),
        (leg.c.expires_at, leg.c.state.in_(_states("expiring", t.EXPIRING_STATES))),
        (leg.c.receipt_due_at, _is(State.DELIVERED)),
    )
    parts = [
        select(select(leg.c.leg_id, when.label("due")).where(only, when <= NOW).order_by(when).limit(LIMIT).subquery())
        for when, only in kinds
    ]
    due = union_all(*parts).subquery("overdue")
    return select(leg).join(due, due.c.leg_id == leg.c.leg_id).order_by(due.c.due, leg.c.leg_id).limit(LIMIT)


@cache
def messages() -> Select[Any]:
    """Read messages with their wrapped keys; one whose key is destroyed cannot be read."""
    ids, of, key = lines(), t.message, t.message_key
    joined = of.join(key, and_(key.c.iss == of.c.iss, key.c.jti == of.c.jti))
    return select(of, key.c.wrapped).select_from(joined).join(ids, and_(of.c.iss == at(ids, 0), of.c.jti == at(ids, 1)))


# --- what stands aside ------------------------------------------------------------------------------------------------

ASIDE: Final = _states("aside", t.ASIDE_STATES)
SINCE: Final = func.coalesce(leg.c.ended_at, leg.c.created_at)


@cache
def aside(state: State) -> Select[Any]:
    """Read held or dead legs by id; a filter that is not given filters nothing."""
    given = {name: bindparam(f"of_{name}", type_=Text) for name in ("partner", "hold_reason")}
    since = bindparam("since", type_=Moment)
    filters = [or_(value.is_(None), leg.c[name] == value) for name, value in given.items()]
    filters += [or_(since.is_(None), since <= SINCE), leg.c.leg_id > bindparam("after", type_=Text)]
    return select(leg).where(leg.c.state.in_(ASIDE), _is(state), *filters).order_by(leg.c.leg_id).limit(LIMIT)


@cache
def aside_counts() -> Select[Any]:
    """Count what stands aside, by partner and reason."""
    why = (leg.c.partner, leg.c.state, leg.c.hold_reason, leg.c.reason, leg.c.last_code)
    return select(*why, func.count().label("legs"), func.min(SINCE).label("oldest")).where(leg.c.state.in_(ASIDE)).group_by(*why)


# --- watched deadlines ------------------------------------------------------------------------------------------------


def _this_watch() -> ColumnElement[bool]:
    table = t.watch
    return and_(
        table.c.kind == bindparam("of_kind"),
        table.c.message_iss == bindparam("of_iss", type_=Text),
        table.c.message_jti == bindparam("of_jti", type_=Text),
    )


@cache
def insert_watches() -> Insert:
    """Insert watches."""
    return insert(t.watch)


@cache
def due_watches() -> Select[Any]:
    """Read watches whose time has come, the longest overdue first."""
    table = t.watch
    return select(table).where(table.c.kind == bindparam("of_kind"), table.c.due_at <= NOW).order_by(table.c.due_at).limit(LIMIT)


@cache
def lock_watch() -> Select[Any]:
    """Lock one watch, after its subject."""
    return select(t.watch).where(_this_watch()).with_for_update()


@cache
def save_watch() -> Update:
    """Write when a watch is due next, and how often it was."""
    new = {name: bindparam(f"new_{name}", type_=t.watch.c[name].type) for name in ("due_at", "round")}
    return update(t.watch).where(_this_watch()).values(new)


@cache
def end_watch() -> Delete:
    """Delete a watch."""
    return delete(t.watch).where(_this_watch())


@cache
def overdue_watches() -> Select[Any]:
    """Count what was due and has not ended, by kind."""
    table = t.watch
    return select(table.c.kind, func.count().label("watches")).where(table.c.round > 0).group_by(table.c.kind)


@cache
def counts() -> Select[Any]:
    """Count legs by partner and state."""
    return select(leg.c.partner, leg.c.state, func.count().label("legs")).group_by(leg.c.partner, leg.c.state)


# --- requests ---------------------------------------------------------------------------------------------------------


@cache
def remember_requests() -> ReturningInsert[Any]:
    """Note request ids, in key order; those returned were new."""
    ids, table = lines(), t.request_id
    rows = select(at(ids, 0).label("iss"), at(ids, 1).label("jti"), at(ids, 2, BigInteger)).where(literal(1) == 1).order_by("iss", "jti")
    return upsert(table).from_select(["iss", "jti", "exp"], rows).on_conflict_do_nothing().returning(table.c.iss, table.c.jti)


@cache
def forget_requests() -> Delete:
    """Delete request ids that nobody would accept any more."""
    return delete(t.request_id).where(t.request_id.c.exp <= NOW)
