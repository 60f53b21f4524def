"""The views: the names that users and their scripts read.

Tables may change with the program; these names and columns stay, more columns are only ever added at the end. They turn
scaled integers into decimals and booleans into 0 or 1, so that a query is the same on both databases.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import re

from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None

LEDGER = """
create view v_ledger as
select id, id as seq, system, kind, api_key, remote_id, entry_type, reverses_id, item, warehouse,
    decimal(quantity) as quantity, decimal(unit_cost) as unit_cost, decimal(amount) as amount,
    occurred_on, posted_on, recorded_at, run_id,
    quantity as quantity_micros, unit_cost as unit_cost_micros, amount as amount_micros, occurred_at
from ledger_entries
"""

# One group per event; `shown` is the latest original of the first system that has one: MPW, MPservices, the ERP.
# A lookup by key goes through the grouping to the index on (api_key, kind), since those are what is grouped by.
# `coalesce` keeps SQLite from searching the outbox by state, which would read every row that is done.
EVENTS = """
create view v_events as
select g.kind, g.api_key, shown.item, shown.occurred_on,
    decimal(g.mpw_quantity) as mpw_quantity, decimal(g.mpservices_quantity) as mpservices_quantity,
    decimal(g.erp_quantity) as erp_quantity,
    decimal(coalesce(g.mpw_amount, g.mpservices_amount, g.erp_amount)) as amount,
    case
        when g.kind = 'adjustment' or g.mpw_shown is not null then 1
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

OUTBOX = """
create view v_outbox as
select id, route, operation, api_key, entity_key, state, attempts, due_at, reason, last_error, payload, remote_id,
    created_at, finalized_at, kind, item, evidence, flag(ambiguous) as ambiguous, first_sent_at, last_sent_at
from outbox
"""

ATTEMPTS = """
create view v_attempts as
select outbox_id, n, started_at, ended_at, http_status, outcome, error, sent_key, batch_id, answered_at
from attempts
"""

COVERAGE = """
create view v_coverage as
select source, day, flag(complete) as complete, rows, last_read_at, error, error_at
from coverage
"""

GAPS = """
create view v_gaps as
select source, gap_from, gap_to, opened_at, closed_at, note, id
from gaps
"""

EXCEPTIONS = """
create view v_exceptions as
select id, kind, subject, detail, hint, opened_at, resolved_at, resolution, resolved_by
from exceptions
"""

QUARANTINE = """
create view v_quarantine as
select id, source, day, reason, raw, seen_at, resolved_at
from quarantine
"""

# The difference is rounded on SQLite too: binary fractions would show 0.00000000000000006 where nothing differs.
STOCK = """
create view v_stock as
select coalesce(items.part_number, known.external_id) as item, known.external_id,
    decimal(s.mpw_quantity) as mpw_quantity, decimal(s.mps_quantity) as mpservices_quantity,
    round(decimal(s.mpw_quantity) - decimal(s.mps_quantity) * coalesce(decimal(items.factor), 1), 6) as difference,
    decimal(s.mpw_unit_cost) as mpw_unit_cost, decimal(s.mps_unit_cost) as mpservices_unit_cost,
    s.mpw_read_at, s.last_patched_at, s.blocked_reason,
    coalesce(decimal(items.factor), 1) as factor, coalesce(flag(s.managed), 0) as managed,
    coalesce(flag(s.base_verified), 0) as verified, s.dirty_at
from (select external_id from item_states union select external_id from items) as known
left join item_states as s on s.external_id = known.external_id
left join items on items.external_id = known.external_id
"""

# An order whose content did not change is not written again; its day's coverage says when it was last read.
PURCHASE_ORDERS = """
create view v_purchase_orders as
select o.number, o.status, o.created_on, o.vendor_name, o.warehouse_name, decimal(o.total_cost) as total_cost, o.lines,
    case when c.last_read_at > o.last_read_at then c.last_read_at else o.last_read_at end as last_read_at, o.approval
from purchase_orders as o
left join coverage as c on c.source = 'mpw.purchase_orders' and c.day = o.created_on
"""

WORK_ORDERS = """
create view v_work_orders as
select system, number, title, status, scheduled_on, completed_on, decimal(parts_cost) as parts_cost,
    decimal(total_cost) as total_cost, last_read_at
from work_orders
"""

INBOX = """
create view v_inbox as
select id, document_type, api_key, state, error, payload, received_at, decided_at
from inbox
"""

RUNS = """
create view v_runs as
select id, flow, started_at, ended_at, outcome, seen, added, changed, voided, unchanged, quarantined, error
from runs
"""

VIEWS = (
    LEDGER,
    EVENTS,
    OUTBOX,
    ATTEMPTS,
    COVERAGE,
    GAPS,
    EXCEPTIONS,
    QUARANTINE,
    STOCK,
    PURCHASE_ORDERS,
    WORK_ORDERS,
    INBOX,
    RUNS,
)

DECIMAL = {"sqlite": r"((\1) / 1000000.0)", "postgresql": r"round((\1)::numeric / 1000000, 6)"}
"""A scaled integer as a decimal: exact on PostgreSQL; on SQLite a double, beside which v_ledger keeps the integers."""

FLAG = {"sqlite": r"(\1)", "postgresql": r"(\1)::integer"}
"""A boolean as 0 or 1."""


def written_out(view: str, dialect: str) -> str:
    """Return the statement with `decimal(…)` and `flag(…)` in the dialect's own words."""
    view = re.sub(r"\bdecimal\(((?:[^()]|\([^()]*\))*)\)", DECIMAL[dialect], view)
    return re.sub(r"\bflag\(([^()]*)\)", FLAG[dialect], view)


def upgrade() -> None:
    """Create the views."""
    for view in VIEWS:
        op.execute(written_out(view, op.get_bind().dialect.name))
