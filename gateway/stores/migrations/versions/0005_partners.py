"""How a partner stands by its operators' word, and what its last check found."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
phase = "pre"  # columns that the code before does not write


def upgrade() -> None:
    """Add the columns."""
    op.add_column("partner_line", sa.Column("standing", sa.Text(), nullable=False, server_default="open"))
    for name in ("check_id", "check_code"):
        op.add_column("partner_line", sa.Column(name, sa.Text()))
    op.add_column("partner_line", sa.Column("checked_at", sa.BigInteger()))

    meta = sa.table("meta", sa.column("name"), sa.column("value"))
    op.execute(meta.update().where(meta.c.name == "schema").values(value=5))
