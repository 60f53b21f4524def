"""Find the last exception about a subject by index, and give creations of products the entity that they have today.

Revision ID: 0014
Revises: 0013
"""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision: str | None = "0013"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add the index; a product's creation no longer keeps back the stock patch that tells whether it is there."""
    op.create_index("ix_exceptions_told", "exceptions", ["kind", "subject_type", "subject", "id"])
    op.execute(
        "update outbox set entity_key = 'product:' || substr(entity_key, 5)"
        " where operation = 'create_product' and entity_key like 'mps:%'"
    )
