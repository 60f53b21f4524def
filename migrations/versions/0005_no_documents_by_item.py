"""Drop the index of documents by item: every row that is read paid for it, and one rare question asked it.

What remains of a part's oldest receipt, asked when MPW refused an issuance without a number, is found by the part's
ledger entries. Parts come in no order, so the index was the dearest there was: a write anywhere in it for each row.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision: str | None = "0004"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Drop the index."""
    op.drop_index("ix_documents_item", "documents")
