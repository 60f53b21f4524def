"""Expect an echo of each attempt, which carries a mark.

Until now one expectation stood for a patch, however often it was sent, and nothing of the call could be told from what
people do at the same cost. Each attempt sends a cost of its own by now, and expects a movement at it.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision: str | None = "0007"
branch_labels: str | None = None
depends_on: str | None = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

LINES = (
    sa.Column("shown_cost", sa.BigInteger(), nullable=False, server_default="0"),
    sa.Column("seen_seq", ROW_ID, nullable=False, server_default="0"),
    sa.Column("asked_of", ROW_ID),
)
STATES = (
    sa.Column("base_seq", ROW_ID, nullable=False, server_default="0"),
    sa.Column("base_cost", sa.BigInteger()),
    sa.Column("unfit_patches", sa.Integer(), nullable=False, server_default="0"),
)

COPY = """
insert into echoes (outbox_id, n, external_id, new_stock, new_cost, sent_cost, believed_quantity, claimed_seq,
    read_after, movement_id, line_n, quantity, outcome, closed_at)
select e.outbox_id, case when o.tries < 1 then 1 else o.tries end, e.external_id, e.new_stock, e.new_cost, e.new_cost,
    e.believed_quantity, 0, (select max(id) from runs), e.movement_id, e.line_n,
    (select l.quantity from movement_lines as l where l.movement_id = e.movement_id and l.n = e.line_n),
    e.outcome, e.closed_at
from old_echoes as e join outbox as o on o.id = e.outbox_id order by e.outbox_id
"""


def upgrade() -> None:
    """Write the expectations anew by attempt, and give lines and items what is asked of them now."""
    for column in LINES:
        op.add_column("movement_lines", column)
    for column in STATES:
        op.add_column("item_states", column)
    op.execute("update movement_lines set shown_cost = unit_cost, seen_seq = coalesce(entry_id, 0)")
    op.execute("update item_states set base_seq = (select coalesce(max(id), 0) from ledger_entries)")
    op.execute("create table old_echoes as select * from echoes")  # without rules, whose names the new ones take
    op.drop_table("echoes")
    op.create_table(
        "echoes",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("outbox_id", ROW_ID, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("new_stock", sa.BigInteger(), nullable=False),
        sa.Column("new_cost", sa.BigInteger(), nullable=False),
        sa.Column("sent_cost", sa.BigInteger(), nullable=False),
        sa.Column("believed_quantity", sa.BigInteger()),
        sa.Column("claimed_seq", ROW_ID, nullable=False),
        sa.Column("read_after", ROW_ID),
        sa.Column("follow_stock", sa.BigInteger()),
        sa.Column("movement_id", sa.Text()),
        sa.Column("line_n", sa.Integer()),
        sa.Column("quantity", sa.BigInteger()),
        sa.Column("drift", sa.BigInteger()),
        sa.Column("outcome", sa.Text()),
        sa.Column("closed_at", INSTANT),
        sa.ForeignKeyConstraint(["outbox_id"], ["outbox.id"], name=op.f("fk_echoes_outbox_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_echoes")),
        sa.UniqueConstraint("outbox_id", "n", name="uq_echoes_attempt"),
    )
    op.execute(COPY)
    op.drop_table("old_echoes")
    op.create_index("ix_echoes_item", "echoes", ["external_id", "id"])
    op.create_index(
        "ix_echoes_open",
        "echoes",
        ["external_id"],
        sqlite_where=sa.text("closed_at is null"),
        postgresql_where=sa.text("closed_at is null"),
    )
