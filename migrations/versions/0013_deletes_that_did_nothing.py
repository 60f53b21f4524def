"""Find the deletes of the last days by index: every round looks whether their rows are there all the same.

Revision ID: 0013
Revises: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision: str | None = "0012"
branch_labels: str | None = None
depends_on: str | None = None

DELETED = "state = 'done' and operation in ('delete_receipt', 'delete_issuance')"


def upgrade() -> None:
    """Add the index."""
    where = sa.text(DELETED)
    op.create_index("ix_outbox_deleted", "outbox", ["finalized_at"], sqlite_where=where, postgresql_where=where)
