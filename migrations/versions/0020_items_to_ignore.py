"""Let the item map say of an item that MPW is never to have it, and show it in v_stock and v_events.

`v_actions` shows what people said of events and exceptions.

`v_stock.difference` takes for none what is within the rounding of a factor of six decimals: by 0.083333 twelve pieces
are one box.

Revision ID: 0020
Revises: 0018
"""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision: str | None = "0018"
branch_labels: str | None = None
depends_on: str | None = None

# As in 0018, but for its last column.
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
    g.last_seq, d.difference, case when s.api_key is not null then 1 else 0 end as settled,
    case when i.external_id is not null then 1 else 0 end as ignored
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
        max(id) as last_seq,
        max(case when system = 'mpservices' then item end) as mpservices_item
    from ledger_entries
    group by kind, api_key
) as g
join ledger_entries as shown on shown.id = coalesce(g.mpw_shown, g.mpservices_shown, g.erp_shown)
left join book_differences as d on d.api_key = g.api_key and d.kind = g.kind
left join settlements as s on s.api_key = g.api_key and s.kind = g.kind
left join items as i on i.external_id = g.mpservices_item and i.ignored
"""

# As in 0016, but for the difference, what is ignored, and the last column.
STOCK = """
create view v_stock as
select coalesce(nullif(items.part_number, ''), known.external_id) as item, known.external_id,
    decimal(s.mpw_quantity) as mpw_quantity, decimal(s.mps_quantity) as mpservices_quantity,
    case
        when abs(decimal(s.mpw_quantity) - decimal(s.mps_quantity) * coalesce(decimal(items.factor), 1))
            <= abs(s.mps_quantity) / 1000000 * 0.000001 then 0
        else round(decimal(s.mpw_quantity) - decimal(s.mps_quantity) * coalesce(decimal(items.factor), 1), 6)
    end as difference,
    decimal(coalesce(s.mpw_cost, s.mpw_unit_cost)) as mpw_unit_cost, decimal(s.mps_unit_cost) as mpservices_unit_cost,
    s.mpw_read_at, s.last_patched_at,
    coalesce(case when items.ignored then 'ignored: the item map says so' end, s.blocked_reason,
        (select 'push ' || b.id || ' (' || b.operation || ' ' || b.api_key || ') is unknown, and '
                || (select count(*) from outbox w where w.entity_key = b.entity_key and w.state = 'ready')
                || ' wait behind it'
            from outbox b
            where b.entity_key = 'item:' || coalesce(nullif(items.part_number, ''), known.external_id)
                and b.state in ('sending', 'unknown') and b.state = 'unknown'
            order by b.id limit 1)) as blocked_reason,
    coalesce(decimal(items.factor), 1) as factor, coalesce(flag(s.managed), 0) as managed,
    coalesce(flag(s.base_verified), 0) as verified, s.dirty_at, coalesce(flag(items.ignored), 0) as ignored
from (select external_id from item_states union select external_id from items) as known
left join item_states as s on s.external_id = known.external_id
left join items on items.external_id = known.external_id
"""

ACTIONS = """
create view v_actions as
select s.made_at as at, s.made_by as who, 'events settle' as action, s.kind || ' ' || s.api_key as subject, s.why
from settlements s
union all
select e.resolved_at, e.resolved_by, 'exceptions resolve', e.kind || ' ' || e.subject, e.resolution
from exceptions e where e.resolved_at is not null and e.resolved_by is not null and e.resolved_by <> 'mpsync'
"""

WORDS = {
    "sqlite": {r"\bdecimal\(((?:[^()]|\([^()]*\))*)\)": r"((\1) / 1000000.0)", r"\bflag\(([^()]*)\)": r"(\1)"},
    "postgresql": {
        r"\bdecimal\(((?:[^()]|\([^()]*\))*)\)": r"round(cast(\1 as numeric) / 1000000, 6)",
        r"\bflag\(([^()]*)\)": r"(\1)::integer",
    },
}


def written_out(view: str, dialect: str) -> str:
    """Return the statement with `decimal(…)` and `flag(…)` in the dialect's own words."""
    for word, meaning in WORDS[dialect].items():
        view = re.sub(word, meaning, view)
    return view


def upgrade() -> None:
    """Add the column, and write the views anew: in place on PostgreSQL, where others may have built on them."""
    dialect = op.get_bind().dialect.name
    op.add_column("items", sa.Column("ignored", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_index(
        "ix_items_ignored",
        "items",
        ["external_id"],
        sqlite_where=sa.text("ignored = 1"),
        postgresql_where=sa.text("ignored"),
    )
    op.execute(ACTIONS)
    for name, view in (("v_events", EVENTS), ("v_stock", STOCK)):
        text = written_out(view, dialect)
        if dialect == "sqlite":
            op.execute(f"drop view {name}")
        else:
            text = text.replace("create view", "create or replace view", 1)
        op.execute(sa.text(re.sub(r"(?<!:):(?!:)", r"\\:", text)))
