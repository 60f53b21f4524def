"""Keep what the vendors do that their documents do not say.

Each fact was learnt from ordinary work, or set by a person, whose word stands. `contrary` keeps the rows that have said
otherwise since: several are needed before what was learnt is replaced.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision: str | None = "0009"
branch_labels: str | None = None
depends_on: str | None = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


VIEW = """
create view v_learned as
select system, fact, value, evidence, seen_at, set_by
from learned
"""


def upgrade() -> None:
    """Make the table, and the view that people read."""
    op.create_table(
        "learned",
        sa.Column("system", sa.Text, nullable=False),
        sa.Column("fact", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.Column("set_by", sa.Text),
        sa.Column("contrary", sa.Text, nullable=False, server_default="{}"),
        sa.PrimaryKeyConstraint("system", "fact", name="pk_learned"),
    )
    op.execute(VIEW)
