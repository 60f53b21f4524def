"""Keep what MPW had of a push that was short of stock, so that only more than that wakes it.

A shortage is told under one name, `not_enough_stock`: at once where the ERP asks, in place of `issuance_without_stock`
after a day.

Keep of each item by how much MPW's stock and its ledger differ, so that a new difference is noticed.

Revision ID: 0019
Revises: 0018
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision: str | None = "0018"
branch_labels: str | None = None
depends_on: str | None = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    """Add the columns, and give what is told of shortages its one name."""
    op.add_column("outbox", sa.Column("stock_seen", sa.BigInteger()))
    op.add_column("outbox", sa.Column("stock_seen_at", INSTANT))
    op.add_column("item_states", sa.Column("ledger_gap", sa.BigInteger()))
    op.add_column("item_states", sa.Column("gap_since", INSTANT))
    op.execute("update exceptions set kind = 'not_enough_stock' where kind = 'issuance_without_stock'")
