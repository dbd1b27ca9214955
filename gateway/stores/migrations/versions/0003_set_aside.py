"""What a person released, and a way to all that stands aside."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
phase = "pre"  # a column the code before does not write, and an index

ASIDE = sa.text("state IN ('dead', 'held')")


def upgrade() -> None:
    """Add the column and the index."""
    op.add_column("leg", sa.Column("released_under", sa.Text()))
    op.create_index("ix_leg_set_aside", "leg", ["state", "leg_id"], postgresql_where=ASIDE, sqlite_where=ASIDE)

    meta = sa.table("meta", sa.column("name"), sa.column("value"))
    op.execute(meta.update().where(meta.c.name == "schema").values(value=3))
