"""The statements of the evidence log, of leases, cursors and versions: what is not about messages and their legs."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Delete,
    Insert,
    Select,
    Text,
    TextClause,
    Update,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.sql.dml import ReturningInsert

from gateway.stores import tables as t
from gateway.stores.statements import LIMIT, NOW, UNTIL
from gateway.stores.types import at, lines

EPOCH: Final = "epoch:"  # before the name of a key-encryption-key epoch: of the lease that nobody has while it may be used
ENDED: Final = "ended"  # holds that lease for ever

# --- evidence ---------------------------------------------------------------------------------------------------------


@cache
def stage() -> Insert:
    """Stage an entry."""
    return insert(t.evidence_staged)


@cache
def take_lease() -> ReturningInsert[Any]:
    """Take a lease that is free, over, or ours. A new holder starts a new epoch."""
    mine = upsert(t.lease).values(name=bindparam("name"), holder=bindparam("holder"), epoch=literal(1), until=UNTIL)
    epoch = case((t.lease.c.holder == mine.excluded.holder, t.lease.c.epoch), else_=t.lease.c.epoch + 1)
    return mine.on_conflict_do_update(
        index_elements=[t.lease.c.name],
        set_={"holder": mine.excluded.holder, "epoch": epoch, "until": mine.excluded.until},
        where=or_(t.lease.c.holder == mine.excluded.holder, t.lease.c.until <= NOW),
    ).returning(t.lease.c.epoch)


@cache
def staged() -> Select[Any]:
    """Read the oldest staged entries."""
    table = t.evidence_staged
    return select(table.c.staged_id, table.c.entry).order_by(table.c.staged_id).limit(LIMIT)


@cache
def unstage() -> Delete:
    """Delete staged entries that are in the log now."""
    ids, table = lines(), t.evidence_staged
    return delete(table).where(table.c.staged_id.in_(select(at(ids, 0, BigInteger))))


@cache
def insert_leaves() -> tuple[Insert, Insert]:
    """Insert leaves, and the complete subtrees they close."""
    return insert(t.evidence_leaf), insert(t.evidence_node)


@cache
def log_size() -> Select[Any]:
    """Read how many leaves there are: they are numbered without a gap."""
    return select(func.coalesce(func.max(t.evidence_leaf.c.idx) + 1, 0))


@cache
def log_nodes() -> Select[Any]:
    """Read hashes of complete subtrees."""
    coords, node = lines(), t.evidence_node
    return select(node.c.level, node.c.idx, node.c.hash).join(
        coords, and_(node.c.level == at(coords, 0, BigInteger), node.c.idx == at(coords, 1, BigInteger))
    )


@cache
def insert_checkpoint() -> Insert:
    """Store a checkpoint."""
    return insert(t.checkpoint)


@cache
def checkpoints() -> Select[Any]:
    """Read all checkpoints, by size."""
    return select(t.checkpoint).order_by(t.checkpoint.c.size)


@cache
def latest_checkpoint() -> Select[Any]:
    """Read the newest checkpoint."""
    return select(t.checkpoint).order_by(t.checkpoint.c.size.desc()).limit(literal(1, literal_execute=True))


@cache
def checkpoint_at() -> Select[Any]:
    """Read the checkpoint of one size."""
    return select(t.checkpoint).where(t.checkpoint.c.size == bindparam("size"))


@cache
def leaf_index() -> Select[Any]:
    """Read where an entry stands: the first place, should the same bytes have been staged twice."""
    return select(func.min(t.evidence_leaf.c.idx)).where(t.evidence_leaf.c.leaf_hash == bindparam("leaf_hash"))


@cache
def leaves() -> Select[Any]:
    """Read entries from a place on."""
    leaf = t.evidence_leaf
    return select(leaf.c.idx, leaf.c.entry).where(leaf.c.idx >= bindparam("start", type_=BigInteger)).order_by(leaf.c.idx).limit(LIMIT)


@cache
def empty_log() -> tuple[Delete, ...]:
    """Delete the log, its tree, its checkpoints, and how far projections of it have come."""
    return tuple(delete(table) for table in (t.evidence_leaf, t.evidence_node, t.checkpoint, t.cursor))


# --- keys -------------------------------------------------------------------------------------------------------------


@cache
def destroy_message_keys() -> Delete:
    """Delete the keys of messages."""
    refs, key = lines(), t.message_key
    return delete(key).where(tuple_(key.c.iss, key.c.jti).in_(select(at(refs, 0, Text), at(refs, 1, Text))))


@cache
def destroy_subject_keys() -> Delete:
    """Delete the keys of subjects."""
    keys, key = lines(), t.subject_key
    return delete(key).where(key.c.key.in_(select(at(keys, 0, Text))))


@cache
def destroy_keys_under() -> Delete:
    """Delete the keys of all subjects under epochs."""
    epochs, key = lines(), t.subject_key
    return delete(key).where(key.c.epoch.in_(select(at(epochs, 0, Text))))


@cache
def epochs() -> Select[Any]:
    """Count the keys of subjects by epoch."""
    return select(t.subject_key.c.epoch, func.count().label("held")).group_by(t.subject_key.c.epoch)


def hold_keys() -> TextClause:
    """Wait until nobody is putting keys of subjects, and let nobody until the end of this transaction. Readers go on."""
    return text(f"LOCK TABLE {t.subject_key.name} IN SHARE ROW EXCLUSIVE MODE")


@cache
def ended() -> Select[Any]:
    """Read which of these epochs have ended."""
    names, table = lines(), t.lease
    return select(table.c.name).where(table.c.name.in_(select(at(names, 0, Text))), table.c.holder == literal(ENDED))


@cache
def keys_under(*, locked: bool) -> Select[Any]:
    """Read keys of subjects under an epoch, in key order."""
    key = t.subject_key
    found = select(key.c.key, key.c.wrapped).where(key.c.epoch == bindparam("epoch", type_=Text)).order_by(key.c.key).limit(LIMIT)
    return found.with_for_update() if locked else found


@cache
def rewrap() -> Update:
    """Replace the wrapped key of a subject."""
    key = t.subject_key
    new = {name: bindparam(f"new_{name}", type_=key.c[name].type) for name in ("epoch", "wrapped")}
    return update(key).where(key.c.key == bindparam("of_key", type_=Text)).values(new)


# --- everything, page by page -----------------------------------------------------------------------------------------


@cache
def submissions_after() -> Select[Any]:
    """Read what was accepted, in key order."""
    of = t.submission
    behind = tuple_(of.c.iss, of.c.jti) > tuple_(bindparam("iss", type_=Text), bindparam("jti", type_=Text))
    return select(of).where(behind, of.c.receipt.is_not(None)).order_by(of.c.iss, of.c.jti).limit(LIMIT)


@cache
def legs_after() -> Select[Any]:
    """Read legs, in key order."""
    return select(t.leg).where(t.leg.c.leg_id > bindparam("after", type_=Text)).order_by(t.leg.c.leg_id).limit(LIMIT)


# --- cursors and versions ---------------------------------------------------------------------------------------------


@cache
def cursor() -> Select[Any]:
    """Read a projection's position."""
    return select(t.cursor.c.position).where(t.cursor.c.name == bindparam("name"))


@cache
def set_cursor() -> ReturningInsert[Any]:
    """Store a projection's position, forward only: whoever comes too late moves nothing, and is told so by no row."""
    new = upsert(t.cursor).values(name=bindparam("name"), position=bindparam("position", type_=BigInteger))
    return new.on_conflict_do_update(
        index_elements=[t.cursor.c.name], set_={"position": new.excluded.position}, where=t.cursor.c.position < new.excluded.position
    ).returning(t.cursor.c.position)


@cache
def versions() -> Select[Any]:
    """Read the schema's version and the oldest code version it supports."""
    return select(t.meta.c.name, t.meta.c.value)
