"""The tables, one metadata for SQLite and PostgreSQL.

Key tables (`subject_key`, `message_key`) are apart from the data, without foreign keys, because they are backed up apart:
destroying a key ends what lies under it. `submission` outlives erasure: it is the memory of duplicates.
No foreign key points at `partner_line`: its check would wait for whoever has locked the partner to claim legs.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    and_,
    literal_column,
)

from gateway.core.delivery import OPEN, State
from gateway.core.standing import ANSWERED
from gateway.stores.types import BIG_ID, LaneRank, Moment, Packed, StateName

SCHEMA_VERSION: Final = 6  # of this code; the database stores its own and the oldest code version it supports

OPEN_STATES: Final = sorted(OPEN)
CLAIMED_STATES: Final = sorted((State.READY, State.SENDING))  # by a worker, while it has a lease
ASIDE_STATES: Final = sorted((State.HELD, State.DEAD))  # out of the line: what follows is marked `prior_undelivered`
EXPIRING_STATES: Final = sorted((State.PLANNED, State.READY, State.HELD, State.AVAILABLE, State.DEAD))

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

submission: Final = Table(
    "submission",
    metadata,
    Column("iss", Text, primary_key=True),
    Column("jti", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("receipt", LargeBinary),  # none only inside the transaction that claims
    Column("accepted_at", Moment, nullable=False),
)

subject: Final = Table(
    "subject",
    metadata,
    Column("key", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
)

subject_key: Final = Table(
    "subject_key",
    metadata,
    Column("key", Text, primary_key=True),
    Column("epoch", Text, nullable=False, index=True),
    Column("wrapped", LargeBinary, nullable=False),
)

message: Final = Table(
    "message",
    metadata,
    Column("iss", Text, primary_key=True),
    Column("jti", Text, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("family", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("subject", Text, ForeignKey("subject.key"), nullable=False, index=True),
    Column("txn", Text, nullable=False),
    Column("lane", LaneRank, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("iat", Moment, nullable=False),
    Column("delete_by", Moment, nullable=False, index=True),
    Column("payload", LargeBinary, nullable=False),
    Column("facts", LargeBinary, nullable=False),
    Column("decision", Packed(dict[str, str]), nullable=False),
)

message_key: Final = Table(
    "message_key",
    metadata,
    Column("iss", Text, primary_key=True),
    Column("jti", Text, primary_key=True),
    Column("wrapped", LargeBinary, nullable=False),
)

leg: Final = Table(
    "leg",
    metadata,
    Column("leg_id", Text, primary_key=True),
    Column("message_iss", Text, nullable=False),
    Column("message_jti", Text, nullable=False),
    Column("family", Text, nullable=False),
    Column("partner", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("jti", Text, nullable=False),
    Column("countries", Packed(tuple[str, ...]), nullable=False),
    Column("roles", Packed(tuple[str, ...]), nullable=False),
    Column("lane", LaneRank, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("state", StateName, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("due_at", Moment, nullable=False),
    Column("lease_until", Moment),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("delete_by", Moment, nullable=False),
    Column("hold_reason", Text),
    Column("reason", Text),
    Column("last_code", Text),
    Column("groups", Packed(tuple[str, ...]), nullable=False),
    Column("removed", Packed(tuple[tuple[str, str, tuple[str, ...]], ...]), nullable=False),
    Column("because", Packed(tuple[str, ...]), nullable=False),
    Column("policy_digest", Text, nullable=False),
    Column("signed", LargeBinary),
    Column("signed_digest", Text),
    Column("sent_at", Moment),
    Column("ended_at", Moment),
    Column("receipt_due_at", Moment),
    Column("proof", Text),
    Column("released_under", Text),
    ForeignKeyConstraint(["message_iss", "message_jti"], ["message.iss", "message.jti"]),
)


def _where(name: str, *columns: str, only: object) -> Index:
    """Make a partial index. SQLite uses it only for a condition spelled exactly like `only`."""
    return Index(name, *(leg.c[column] for column in columns), postgresql_where=only, sqlite_where=only)


Index("uq_leg_jti", leg.c.jti, unique=True)
Index("ix_leg_message", leg.c.message_iss, leg.c.message_jti)
Index("ix_leg_retained", leg.c.delete_by, leg.c.partner, leg.c.state)  # also all that counting legs has to read
_where("ix_leg_due", "partner", "lane", "due_at", "seq", only=leg.c.state == State.READY)
_where("ix_leg_open", "partner", "subject", "seq", "leg_id", only=leg.c.state.in_(OPEN_STATES))
_where("ix_leg_aside", "partner", "subject", "seq", only=leg.c.state.in_(ASIDE_STATES))
_where("ix_leg_set_aside", "state", "leg_id", only=leg.c.state.in_(ASIDE_STATES))
_where("ix_leg_sent", "partner", "subject", "sent_at", "seq", only=leg.c.sent_at.is_not(None))
_where("ix_leg_offered", "partner", "lease_until", "seq", only=leg.c.state == State.AVAILABLE)
_where("ix_leg_claimed", "partner", "lease_until", only=and_(leg.c.state.in_(CLAIMED_STATES), leg.c.lease_until.is_not(None)))
_where("ix_leg_sending", "lease_until", only=leg.c.state == State.SENDING)
_where("ix_leg_expiring", "expires_at", only=leg.c.state.in_(EXPIRING_STATES))
_where("ix_leg_receipt_due", "receipt_due_at", only=leg.c.state == State.DELIVERED)

refusal: Final = Table(
    "refusal",
    metadata,
    Column("message_iss", Text, primary_key=True),
    Column("message_jti", Text, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("partner", Text),
    Column("country", Text),
    Column("roles", Packed(tuple[str, ...]), nullable=False),
    Column("reason", Text, nullable=False),
    Column("because", Packed(tuple[str, ...]), nullable=False),
    ForeignKeyConstraint(["message_iss", "message_jti"], ["message.iss", "message.jti"]),
)

watch: Final = Table(
    "watch",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("message_iss", Text, primary_key=True),
    Column("message_jti", Text, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("due_at", Moment, nullable=False),
    Column("until", Moment, nullable=False),
    Column("round", Integer, nullable=False),
    ForeignKeyConstraint(["message_iss", "message_jti"], ["message.iss", "message.jti"]),
    Index("ix_watch_due", "kind", "due_at"),
)

partner_line: Final = Table(
    "partner_line",
    metadata,
    Column("partner", Text, primary_key=True),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("failing_since", Moment),
    Column("open_until", Moment),
    Column("asked_until", Moment),
    Column("woken_at", Moment),
    Column("standing", Text, nullable=False, server_default="open"),  # what its operators say: open, paused, suspended
    Column("check_id", Text),
    Column("check_code", Text),
    Column("checked_at", Moment),
)

attempt: Final = Table(
    "attempt",
    metadata,
    Column("attempt_id", BIG_ID, primary_key=True, autoincrement=True),
    Column("partner", Text, nullable=False),
    Column("leg_id", Text, nullable=False),  # ids without a foreign key: what was tried is forgotten by its age, not with its leg
    Column("jti", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("at", Moment, nullable=False),
    Column("code", Text, nullable=False),
    Column("retry_after", Integer),  # seconds
    Column("again_at", Moment),
    sqlite_autoincrement=True,  # a page is read on from an id, which must not come to mean another
)
Index("ix_attempt_partner", attempt.c.partner, attempt.c.at, attempt.c.attempt_id)
FAILED: Final = attempt.c.code != literal_column(f"'{ANSWERED}'")
Index("ix_attempt_failed", attempt.c.partner, attempt.c.at, attempt.c.attempt_id, postgresql_where=FAILED, sqlite_where=FAILED)

partner_key: Final = Table(
    "partner_key",
    metadata,
    Column("kid", Text, primary_key=True),  # whoever comes first has it
    Column("partner", Text, nullable=False),
    Column("jwk", Text, nullable=False),
    Column("thumbprint", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("signer", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("submitted_at", Moment, nullable=False),
    Column("decided_at", Moment),
    Column("decided_by", Text),
    Column("revoked_at", Moment),
    Index("ix_partner_key_partner", "partner", "kid"),
)

sender_line: Final = Table(
    "sender_line",
    metadata,
    Column("sender", Text, primary_key=True),
    Column("urgent_until", Moment),  # when its urgent quota will be whole again
)

request_id: Final = Table(
    "request_id",
    metadata,
    Column("iss", Text, primary_key=True),
    Column("jti", Text, primary_key=True),
    Column("exp", Moment, nullable=False, index=True),
)

evidence_staged: Final = Table(
    "evidence_staged",
    metadata,
    Column("staged_id", BIG_ID, primary_key=True, autoincrement=True),
    Column("entry", LargeBinary, nullable=False),
    sqlite_autoincrement=True,  # an id is never used twice, so that nothing is moved under another's id
)

evidence_leaf: Final = Table(
    "evidence_leaf",
    metadata,
    Column("idx", BIG_ID, primary_key=True, autoincrement=False),
    Column("entry", LargeBinary, nullable=False),
    Column("leaf_hash", LargeBinary, nullable=False, index=True),
)

evidence_node: Final = Table(
    "evidence_node",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("idx", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
)

checkpoint: Final = Table(
    "checkpoint",
    metadata,
    Column("size", BIG_ID, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),
    Column("at", Moment, nullable=False),
)

lease: Final = Table(
    "lease",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("until", Moment, nullable=False),
)

cursor: Final = Table(
    "cursor",
    metadata,
    Column("name", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
)

meta: Final = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),  # schema, oldest_code
    Column("value", Integer, nullable=False),
)
