"""Say where two systems have one event and not alike, and what a person has settled by hand.

`book_differences` has a row for each event whose books differ, written by reconcile as it looks at the event: the view
would else work out the item map for every event. `settlements` holds a person's word that an event is dealt with:
it is never pushed and no longer open. `v_events` shows both, and matches only what does not differ.

Revision ID: 0018
Revises: 0017
"""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision: str | None = "0017"
branch_labels: str | None = None
depends_on: str | None = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")

# As in 0011, but for what differs and what is settled. Both tables are asked by their primary keys, an event at a time.
EVENTS = """
create view v_events as
select g.kind, g.api_key, shown.item, shown.occurred_on,
    decimal(g.mpw_quantity) as mpw_quantity, decimal(g.mpservices_quantity) as mpservices_quantity,
    decimal(g.erp_quantity) as erp_quantity,
    decimal(coalesce(g.mpw_amount, g.mpservices_amount, g.erp_amount)) as amount,
    case
        when g.kind = 'adjustment' then 1
        when g.mpw_shown is not null and exists (
            select 1 from outbox
            where outbox.api_key = g.api_key and outbox.kind = g.kind
                and outbox.operation in ('post_receipt', 'post_issuance')
                and coalesce(outbox.state, '') in ('dead', 'discarded')) then 0
        when d.difference is not null then 0
        when g.mpw_shown is not null then 1
        when g.kind = 'transfer' and exists (
            select 1 from outbox
            where outbox.api_key = g.api_key and outbox.kind = 'transfer'
                and coalesce(outbox.state, '') = 'done') then 1
        else 0
    end as matched,
    case when g.live = 0 then 1 else 0 end as voided,
    cast(coalesce(g.mpw_amount, g.mpservices_amount, g.erp_amount) as bigint) as amount_micros,
    g.last_seq, d.difference, case when s.api_key is not null then 1 else 0 end as settled
from (
    select kind, api_key,
        sum(case when system = 'mpw' then quantity end) as mpw_quantity,
        sum(case when system = 'mpservices' then quantity end) as mpservices_quantity,
        sum(case when system = 'erp' then quantity end) as erp_quantity,
        sum(case when system = 'mpw' then amount end) as mpw_amount,
        sum(case when system = 'mpservices' then amount end) as mpservices_amount,
        sum(case when system = 'erp' then amount end) as erp_amount,
        max(case when system = 'mpw' and entry_type = 'original' then id end) as mpw_shown,
        max(case when system = 'mpservices' and entry_type = 'original' then id end) as mpservices_shown,
        max(case when system = 'erp' and entry_type = 'original' then id end) as erp_shown,
        sum(case entry_type when 'original' then 1 else -1 end) as live,
        max(id) as last_seq
    from ledger_entries
    group by kind, api_key
) as g
join ledger_entries as shown on shown.id = coalesce(g.mpw_shown, g.mpservices_shown, g.erp_shown)
left join book_differences as d on d.api_key = g.api_key and d.kind = g.kind
left join settlements as s on s.api_key = g.api_key and s.kind = g.kind
"""

DECIMAL = {"sqlite": r"((\1) / 1000000.0)", "postgresql": r"round((\1)::numeric / 1000000, 6)"}


def written_out(view: str, dialect: str) -> str:
    """Return the statement with `decimal(…)` in the dialect's own words."""
    return re.sub(r"\bdecimal\(((?:[^()]|\([^()]*\))*)\)", DECIMAL[dialect], view)


def upgrade() -> None:
    """Make the two tables, and write v_events anew: in place on PostgreSQL, where others may have built on it."""
    op.create_table(
        "book_differences",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("api_key", sa.Text(), nullable=False),
        sa.Column("difference", sa.Text(), nullable=False),
        sa.Column("since", INSTANT, nullable=False),
        sa.Column("waits", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("api_key", "kind", name="pk_book_differences"),
    )
    op.create_index(
        "ix_book_differences_waits",
        "book_differences",
        ["api_key"],
        sqlite_where=sa.text("waits = 1"),
        postgresql_where=sa.text("waits"),
    )
    op.create_table(
        "settlements",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("api_key", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("mpw_id", sa.Text()),
        sa.Column("made_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("api_key", "kind", name="pk_settlements"),
    )
    view = written_out(EVENTS, op.get_bind().dialect.name)
    if op.get_bind().dialect.name == "sqlite":
        op.execute("drop view v_events")
        op.execute(view)
    else:
        op.execute(view.replace("create view", "create or replace view", 1))
