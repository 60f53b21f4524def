"""Keep what proves that a push is done.

An answer alone proves little: `outbox.unseen_since` marks what is done by an answer and was not seen in MPW's lists
yet, and `purchase_orders.ordered_at` says when an order was last seen to be ordered, whatever it is by now. An event
whose push failed for good, or was dropped, is not matched by what else MPW has under its key.

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision: str | None = "0010"
branch_labels: str | None = None
depends_on: str | None = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")

UNSEEN = "unseen_since is not null"

# As before, but for what `matched` says where MPW has rows.
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
        when g.mpw_shown is not null then 1
        when g.kind = 'transfer' and exists (
            select 1 from outbox
            where outbox.api_key = g.api_key and outbox.kind = 'transfer'
                and coalesce(outbox.state, '') = 'done') then 1
        else 0
    end as matched,
    case when g.live = 0 then 1 else 0 end as voided,
    cast(coalesce(g.mpw_amount, g.mpservices_amount, g.erp_amount) as bigint) as amount_micros,
    g.last_seq
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
"""

DECIMAL = {"sqlite": r"((\1) / 1000000.0)", "postgresql": r"round((\1)::numeric / 1000000, 6)"}


def written_out(view: str, dialect: str) -> str:
    """Return the statement with `decimal(…)` in the dialect's own words."""
    return re.sub(r"\bdecimal\(((?:[^()]|\([^()]*\))*)\)", DECIMAL[dialect], view)


def upgrade() -> None:
    """Add the columns, and write v_events anew: in place on PostgreSQL, where others may have built on it."""
    op.add_column("outbox", sa.Column("unseen_since", INSTANT))
    op.create_index(
        "ix_outbox_unseen",
        "outbox",
        ["unseen_since"],
        sqlite_where=sa.text(UNSEEN),
        postgresql_where=sa.text(UNSEEN),
    )
    op.add_column("purchase_orders", sa.Column("ordered_at", INSTANT))
    view = written_out(EVENTS, op.get_bind().dialect.name)
    if op.get_bind().dialect.name == "sqlite":
        op.execute("drop view v_events")
        op.execute(view)
    else:
        op.execute(view.replace("create view", "create or replace view", 1))
