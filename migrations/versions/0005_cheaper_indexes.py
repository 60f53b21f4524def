"""Make two indexes cheaper that every row paid for when it was first read, and few questions ask.

Documents by item: parts come in no order, so each row was a write somewhere else in it. The one who asked, what
remains of a part's oldest receipt when MPW refused an issuance without a number, finds it by the part's entries.

Entries by date: they are asked for over spans (an export, a changed go-live date), and come in about that order.
On PostgreSQL an index of the spans of blocks (BRIN) answers that at a tenth of the cost.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision: str | None = "0004"
branch_labels: str | None = None
depends_on: str | None = None

OCCURRED_ON = "ix_ledger_entries_occurred_on"


def upgrade() -> None:
    """Drop the one, and make the other anew on PostgreSQL."""
    op.drop_index("ix_documents_item", "documents")
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index(OCCURRED_ON, "ledger_entries")
        op.create_index(OCCURRED_ON, "ledger_entries", ["occurred_on"], postgresql_using="brin")
