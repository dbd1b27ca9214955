"""What was tried at each partner, for a while."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
phase = "pre"  # a table that the code before does not write


def upgrade() -> None:
    """Make the table."""
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

    meta = sa.table("meta", sa.column("name"), sa.column("value"))
    op.execute(meta.update().where(meta.c.name == "schema").values(value=6))
