"""Order reads by a number from the database.

A number of a run says what came first whatever any clock showed: `coverage.began_no` is the run that read a day,
`read_no` the newest run when the answer was taken in, `outbox.settled_no` the newest run when a push changed its state.
The times stay for people. `feeds.vendor_read_at` is the vendor's own clock, which its feed's window is reckoned by.
`pauses.tried_at` is when refused credentials were last tried. Rows from before have no numbers, and yield to any read.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision: str | None = "0008"
branch_labels: str | None = None
depends_on: str | None = None


INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the columns."""
    op.add_column("coverage", sa.Column("began_no", NUMBER))
    op.add_column("coverage", sa.Column("read_no", NUMBER))
    op.add_column("feeds", sa.Column("read_no", NUMBER))
    op.add_column("feeds", sa.Column("vendor_read_at", INSTANT))
    op.add_column("outbox", sa.Column("settled_no", NUMBER))
    op.add_column("pauses", sa.Column("tried_at", INSTANT))
