"""Let an idle round ask its questions by index, and let a person's answer to a doubt be acted on once.

`exceptions.acted_at` says when a decided doubt was carried out: until then a round looks at it, and never again. What
was decided before is looked at once more, which changes nothing.

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision: str | None = "0011"
branch_labels: str | None = None
depends_on: str | None = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")

TO_ACT = "kind = 'echo_undecided' and resolved_by <> 'mpsync' and acted_at is null"
ASKING = "outcome = 'asking'"


def upgrade() -> None:
    """Add the column and the indexes."""
    op.add_column("exceptions", sa.Column("acted_at", INSTANT))
    _index("ix_exceptions_to_act", "exceptions", "id", sqlite=TO_ACT, postgresql=TO_ACT)
    _index("ix_echoes_asking", "echoes", "external_id", sqlite=ASKING, postgresql=ASKING)
    _index(
        "ix_item_states_audit",
        "item_states",
        "audited_at",
        sqlite="managed = 1 and dirty_at is null",
        postgresql="managed and dirty_at is null",
    )


def _index(name: str, table: str, column: str, *, sqlite: str, postgresql: str) -> None:
    op.create_index(name, table, [column], sqlite_where=sa.text(sqlite), postgresql_where=sa.text(postgresql))
