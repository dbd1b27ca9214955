"""Watched deadlines."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
phase = "pre"  # a table the code before does not know, and does not miss


def upgrade() -> None:
    """Make the table of what must have happened by when."""
    op.create_table(
        "watch",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("message_iss", sa.Text(), nullable=False),
        sa.Column("message_jti", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["message_iss", "message_jti"], ["message.iss", "message.jti"], name="fk_watch_message"),
        sa.PrimaryKeyConstraint("kind", "message_iss", "message_jti", name="pk_watch"),
    )
    op.create_index("ix_watch_due", "watch", ["kind", "due_at"])

    meta = sa.table("meta", sa.column("name"), sa.column("value"))
    op.execute(meta.update().where(meta.c.name == "schema").values(value=2))
