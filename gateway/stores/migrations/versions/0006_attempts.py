"""What was tried at each partner, for a while; and the keys that partners submit."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
phase = "pre"  # tables that the code before does not write


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "attempt",
        sa.Column("attempt_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, autoincrement=True),
        sa.Column("partner", sa.Text(), nullable=False),
        sa.Column("leg_id", sa.Text(), nullable=False),
        sa.Column("jti", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("retry_after", sa.Integer()),
        sa.Column("again_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("attempt_id", name="pk_attempt"),
        sqlite_autoincrement=True,
    )
    columns, failed = ["partner", "at", "attempt_id"], sa.text("code != 'delivered'")
    op.create_index("ix_attempt_partner", "attempt", columns)
    op.create_index("ix_attempt_failed", "attempt", columns, postgresql_where=failed, sqlite_where=failed)

    op.create_table(
        "partner_key",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("kid", "partner", "jwk", "thumbprint", "state", "signer", "digest")),
        sa.Column("submitted_at", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", sa.BigInteger()),
        sa.Column("decided_by", sa.Text()),
        sa.Column("revoked_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("kid", name="pk_partner_key"),
    )
    op.create_index("ix_partner_key_partner", "partner_key", ["partner", "kid"])

    meta = sa.table("meta", sa.column("name"), sa.column("value"))
    op.execute(meta.update().where(meta.c.name == "schema").values(value=6))
