"""Mark the pushes that wait for stock, so that looking after them costs as much as there are of them.

Whether a row waits was read off its last attempt: a look at every row that was ready, every second. The column says
since when its tries have found no stock, and the index holds nothing but such rows.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")

WAITS = "state = 'ready' and stock_awaited_since is not null"

FILL = """
update outbox set stock_awaited_since = (
    select min(a.started_at) from attempts as a
    where a.outbox_id = outbox.id and a.n > (
        select coalesce(max(other.n), 0) from attempts as other
        where other.outbox_id = outbox.id and other.outcome <> 'no_stock'))
where state = 'ready' and exists (
    select 1 from attempts as a where a.outbox_id = outbox.id and a.n = outbox.tries and a.outcome = 'no_stock')
"""


def upgrade() -> None:
    """Add the column, fill it from the attempts, and index it."""
    op.add_column("outbox", sa.Column("stock_awaited_since", INSTANT))
    op.execute(FILL)
    op.create_index(
        "ix_outbox_awaiting_stock",
        "outbox",
        ["stock_awaited_since"],
        sqlite_where=sa.text(WAITS),
        postgresql_where=sa.text(WAITS),
    )
