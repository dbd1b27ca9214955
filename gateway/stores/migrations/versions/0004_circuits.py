"""How a partner's line stands (its circuit), and how much of its urgent quota a sender has used."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
phase = "pre"  # columns and a table that the code before does not write


def upgrade() -> None:
    """Add the columns and the table."""
    op.add_column("partner_line", sa.Column("failures", sa.Integer(), nullable=False, server_default="0"))
    for name in ("failing_since", "open_until", "asked_until", "woken_at"):
        op.add_column("partner_line", sa.Column(name, sa.BigInteger()))
    op.create_table(
        "sender_line",
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("urgent_until", sa.BigInteger()),
        sa.PrimaryKeyConstraint("sender", name="pk_sender_line"),
    )

    meta = sa.table("meta", sa.column("name"), sa.column("value"))
    op.execute(meta.update().where(meta.c.name == "schema").values(value=4))
