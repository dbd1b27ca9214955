"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
phase = "pre"  # nothing ran before it

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make everything."""
    op.create_table(
        "checkpoint",
        sa.Column("size", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("size", name="pk_checkpoint"),
    )

    op.create_table(
        "cursor",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_cursor"),
    )

    op.create_table(
        "evidence_leaf",
        sa.Column("idx", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("idx", name="pk_evidence_leaf"),
    )
    op.create_index("ix_evidence_leaf_leaf_hash", "evidence_leaf", ["leaf_hash"])

    op.create_table(
        "evidence_node",
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("idx", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "idx", name="pk_evidence_node"),
    )

    op.create_table(
        "evidence_staged",
        sa.Column("staged_id", BIG_ID, autoincrement=True, nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("staged_id", name="pk_evidence_staged"),
        sqlite_autoincrement=True,
    )

    op.create_table(
        "lease",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_lease"),
    )

    op.create_table(
        "message_key",
        sa.Column("iss", sa.Text(), nullable=False),
        sa.Column("jti", sa.Text(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("iss", "jti", name="pk_message_key"),
    )

    op.create_table(
        "meta",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_meta"),
    )

    op.create_table(
        "partner_line", sa.Column("partner", sa.Text(), nullable=False), sa.PrimaryKeyConstraint("partner", name="pk_partner_line")
    )

    op.create_table(
        "request_id",
        sa.Column("iss", sa.Text(), nullable=False),
        sa.Column("jti", sa.Text(), nullable=False),
        sa.Column("exp", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("iss", "jti", name="pk_request_id"),
    )
    op.create_index("ix_request_id_exp", "request_id", ["exp"])

    op.create_table(
        "subject",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_subject"),
    )

    op.create_table(
        "subject_key",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_subject_key"),
    )
    op.create_index("ix_subject_key_epoch", "subject_key", ["epoch"])

    op.create_table(
        "submission",
        sa.Column("iss", sa.Text(), nullable=False),
        sa.Column("jti", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("receipt", sa.LargeBinary(), nullable=True),
        sa.Column("accepted_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("iss", "jti", name="pk_submission"),
    )

    op.create_table(
        "message",
        sa.Column("iss", sa.Text(), nullable=False),
        sa.Column("jti", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("family", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("txn", sa.Text(), nullable=False),
        sa.Column("lane", sa.SmallInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("iat", sa.BigInteger(), nullable=False),
        sa.Column("delete_by", sa.BigInteger(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("facts", sa.LargeBinary(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["subject"], ["subject.key"], name="fk_message_subject"),
        sa.PrimaryKeyConstraint("iss", "jti", name="pk_message"),
    )
    op.create_index("ix_message_delete_by", "message", ["delete_by"])
    op.create_index("ix_message_subject", "message", ["subject"])

    op.create_table(
        "leg",
        sa.Column("leg_id", sa.Text(), nullable=False),
        sa.Column("message_iss", sa.Text(), nullable=False),
        sa.Column("message_jti", sa.Text(), nullable=False),
        sa.Column("family", sa.Text(), nullable=False),
        sa.Column("partner", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("jti", sa.Text(), nullable=False),
        sa.Column("countries", sa.Text(), nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("lane", sa.SmallInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("delete_by", sa.BigInteger(), nullable=False),
        sa.Column("hold_reason", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("last_code", sa.Text(), nullable=True),
        sa.Column("groups", sa.Text(), nullable=False),
        sa.Column("removed", sa.Text(), nullable=False),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("policy_digest", sa.Text(), nullable=False),
        sa.Column("signed", sa.LargeBinary(), nullable=True),
        sa.Column("signed_digest", sa.Text(), nullable=True),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("receipt_due_at", sa.BigInteger(), nullable=True),
        sa.Column("proof", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["message_iss", "message_jti"], ["message.iss", "message.jti"], name="fk_leg_message"),
        sa.PrimaryKeyConstraint("leg_id", name="pk_leg"),
    )
    _partial("ix_leg_aside", ["partner", "subject", "seq"], "state IN ('dead', 'held')")
    _partial("ix_leg_claimed", ["partner", "lease_until"], "state IN ('ready', 'sending') AND lease_until IS NOT NULL")
    _partial("ix_leg_due", ["partner", "lane", "due_at", "seq"], "state = 'ready'")
    op.create_index("ix_leg_retained", "leg", ["delete_by", "partner", "state"])
    _partial("ix_leg_expiring", ["expires_at"], "state IN ('available', 'dead', 'held', 'planned', 'ready')")
    op.create_index("ix_leg_message", "leg", ["message_iss", "message_jti"])
    _partial("ix_leg_offered", ["partner", "lease_until", "seq"], "state = 'available'")
    _partial("ix_leg_open", ["partner", "subject", "seq", "leg_id"], "state IN ('available', 'planned', 'ready', 'sending')")
    _partial("ix_leg_receipt_due", ["receipt_due_at"], "state = 'delivered'")
    _partial("ix_leg_sending", ["lease_until"], "state = 'sending'")
    _partial("ix_leg_sent", ["partner", "subject", "sent_at", "seq"], "sent_at IS NOT NULL")
    op.create_index("uq_leg_jti", "leg", ["jti"], unique=True)

    op.create_table(
        "refusal",
        sa.Column("message_iss", sa.Text(), nullable=False),
        sa.Column("message_jti", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("partner", sa.Text(), nullable=True),
        sa.Column("country", sa.Text(), nullable=True),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("because", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["message_iss", "message_jti"], ["message.iss", "message.jti"], name="fk_refusal_message"),
        sa.PrimaryKeyConstraint("message_iss", "message_jti", "position", name="pk_refusal"),
    )

    meta = sa.table("meta", sa.column("name"), sa.column("value"))
    op.bulk_insert(meta, [{"name": "schema", "value": 1}, {"name": "oldest_code", "value": 1}])


def _partial(name: str, columns: list[str], where: str) -> None:
    op.create_index(name, "leg", columns, postgresql_where=sa.text(where), sqlite_where=sa.text(where))
