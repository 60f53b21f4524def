"""Show everything that needs a person in one view, whatever its table.

`v_todo` has a row for each: open exceptions, pushes that are held, dead, short of stock or unknown for longer than
their proof takes, sources that fail, a feed whose window closes, a daemon that is silent, refused documents, what
waits for an answer of MPW's. What it says of a kind stands in `todo_kinds`, which the program keeps up to date.
`todo_clock` is the one place that asks the database for the time; the rules in force stand among the facts.

What was read and could be seen nowhere has its views: equipment, the lines of orders, the tasks of work orders, and
MPW's receipts and issuances as they stand. `v_outbox` says what a push waits for, `v_stock` which push an item is
blocked by, and what MPW's cost is where its inventory shows none.

Revision ID: 0016
Revises: 0015
"""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision: str | None = "0015"
branch_labels: str | None = None
depends_on: str | None = None

# `heartbeat` and `stopped` are ISO text among the facts; both are compared by `seconds(…)`, never as text.
CLOCK = """
create view todo_clock as
select now() as now,
    coalesce((select cast(value as float) from facts where name = 'proof_seconds'), 1800) as proof_seconds,
    case when learned.hours * 3600 < facts.seconds then learned.hours * 3600 else facts.seconds end as window_seconds
from (select coalesce((select cast(value as float) from facts where name = 'window_seconds'), 0) as seconds) as facts
cross join (select (select cast(value as float) from learned
    where system = 'mpservices' and fact = 'window_hours') as hours) as learned
"""

# What a push is about, in words; its item; what it changes, in millionths; whether an open exception speaks of it.
PUSHES = """
select o.id, o.state, o.operation, o.api_key, o.item, o.reason, o.last_error, o.created_at, o.finalized_at,
    o.last_sent_at, o.first_sent_at, o.stock_awaited_since, o.operation || ' ' || o.api_key as technical,
    case o.operation
        when 'post_receipt' then 'Receipt ' || o.api_key
        when 'post_issuance' then 'Issuance ' || o.api_key
        when 'post_transfer' then 'Transfer ' || o.api_key
        when 'post_inventory' then 'Inventory ' || o.api_key
        when 'delete_receipt' then 'Deletion of receipt ' || o.api_key
        when 'delete_issuance' then 'Deletion of issuance ' || o.api_key
        when 'approve' then 'Approval of order ' || replace(o.entity_key, 'po:', '')
        when 'patch_stock' then 'Stock and cost of ' || coalesce(o.item, o.api_key) || ' in MPservices'
        when 'create_product' then 'Product ' || coalesce(o.item, o.api_key) || ' in MPservices'
        else o.operation || ' ' || o.api_key
    end || case when o.operation like 'post\\_%' escape '\\' and o.item is not null then ' of ' || o.item else '' end
        as name,
    case
        when o.operation = 'approve'
            then (select p.total_cost from purchase_orders p where p.number = replace(o.entity_key, 'po:', ''))
        when o.operation = 'patch_stock'
            then (select money(s.mpw_quantity, coalesce(s.mpw_cost, s.mpw_unit_cost))
                    - money(s.mps_quantity, s.mps_unit_cost)
                from item_states s where s.external_id = o.item)
        else (select l.amount from ledger_entries l
            where l.kind = o.kind and l.entry_type = 'original' and l.api_key = coalesce(
                (select c.api_key from corrections c where c.pushed_key = o.api_key and c.kind = o.kind), o.api_key)
            order by l.id desc limit 1)
    end as amount
from outbox o
"""

TOLD = """exists (select 1 from exceptions x
    where x.subject_type = 'push' and x.subject = cast(o.id as text) and x.resolved_at is null)"""

# `coalesce` and `rarely` keep SQLite from reading every row of the inbox and of the outbox.
# How the reasons begin that tell what MPW gave no answer to: `sync/reconcile/rules.py` and `sync/push/calls.py`.
# One branch for each kind of thing. What an open exception speaks of is its row; the other branches leave it out.
TODO = f"""
create view v_todo as
select t.id, coalesce(t.level, k.level, 'person') as level, t.kind, t.what, coalesce(k.meaning, '') as meaning,
    decimal(t.amount) as amount, t.since, t.subject_type, t.subject,
    replace(replace(coalesce(c.choices, k.choices, '[]'), '{{id}}', t.number), '{{subject}}', t.number_of_push)
        as choices,
    t.hint, t.api_key
from (
    select 'exception:' || e.id as id, cast(null as text) as level, e.kind,
        case when contains(e.detail, e.subject) or contains(e.detail, o.name) then '' else coalesce(o.name,
            e.subject_type || ' ' || e.subject) || ': ' end
            || coalesce(replace(replace(e.detail, o.technical || ' of ' || o.item || ': ', ''),
                o.technical || ': ', ''), e.detail) as what,
        case e.subject_type
            when 'push' then o.amount
            when 'order' then (select p.total_cost from purchase_orders p where p.number = e.subject)
            when 'item' then (select money(s.mpw_quantity, coalesce(s.mpw_cost, s.mpw_unit_cost))
                    - money(s.mps_quantity, s.mps_unit_cost)
                from item_states s where s.external_id = replace(e.subject, 'mps:', ''))
            when 'event' then (select l.amount from ledger_entries l
                where l.api_key = substr(e.subject, position(e.subject, ' ') + 1)
                    and l.kind || ' ' || l.api_key = e.subject and l.entry_type = 'original'
                order by l.id desc limit 1)
        end as amount,
        e.opened_at as since, e.subject_type, e.subject, cast(e.id as text) as number,
        coalesce(cast(o.id as text), '') as number_of_push, coalesce('push:' || o.state, '') as choices_of,
        e.hint, o.api_key
    from exceptions e
    left join ({PUSHES}) as o on e.subject_type = 'push' and o.id = cast(case when e.subject_type = 'push'
        then e.subject else '0' end as bigint)
    where e.resolved_at is null
    union all
    select 'push:' || o.id, case when o.state = 'dead' or o.state = 'unknown' then 'person' end,
        case
            when o.state = 'held' then 'push_held'
            when o.state = 'ready' then 'push_short_of_stock'
            else 'push_' || o.state
        end,
        o.name || case o.state
            when 'held' then ' is held for review: ' || coalesce(o.reason, 'no reason was kept')
            when 'ready' then ' waits for stock: ' || coalesce(o.last_error, 'there is none')
            when 'dead' then ' is dead: ' || coalesce(o.last_error, 'no reason was kept')
            else ' may have taken effect or not: ' || coalesce(o.last_error, 'its answer was lost')
        end,
        o.amount,
        case o.state
            when 'held' then o.created_at
            when 'ready' then o.stock_awaited_since
            when 'dead' then o.finalized_at
            else coalesce(o.last_sent_at, o.created_at)
        end,
        'push', cast(o.id as text), cast(o.id as text), cast(o.id as text), 'push:' || o.state, null, o.api_key
    from ({PUSHES}) as o cross join todo_clock as clock
    where rarely(o.state in ('held', 'ready', 'unknown', 'dead')) and not {TOLD} and (
        o.state in ('held', 'dead')
        or (o.state = 'ready' and o.stock_awaited_since is not null)
        or (o.state = 'unknown' and (
            seconds(clock.now, coalesce(o.last_sent_at, o.created_at)) > clock.proof_seconds
            or seconds(clock.now, coalesce(o.first_sent_at, o.created_at)) > 86400)))
    union all
    select 'source:' || f.source,
        case when seconds(clock.now, f.failing_since) > 21600 then 'person' end, 'source_failed',
        f.source || ' cannot be read: ' || f.error, cast(null as bigint), f.failing_since, 'source', f.source,
        '', '', '', null, null
    from feeds f cross join todo_clock as clock
    where f.error is not null and not exists (
        select 1 from pauses p where f.source like p.system || '.%')
    union all
    select 'source:' || c.source, case when seconds(clock.now, min(c.error_at)) > 21600 then 'person' end,
        'source_failed',
        c.source || ': ' || count(*) || ' day' || case when count(*) > 1 then 's' else '' end || ' could not be read: '
            || max(c.error),
        cast(null as bigint), min(c.error_at), 'source', c.source, '', '', '', null, null
    from coverage c cross join todo_clock as clock
    where c.error is not null
        and not exists (select 1 from feeds f where f.source = c.source and f.error is not null)
        and not exists (select 1 from pauses p where c.source like p.system || '.%')
    group by c.source, clock.now
    union all
    select 'window:' || f.source,
        case when seconds(clock.now, f.last_read_at) > clock.window_seconds * 20 / 48 then 'person' end,
        'window_closes',
        f.source || ' was last read ' || hours(seconds(clock.now, f.last_read_at)) || ' h ago' || case
            when seconds(clock.now, f.last_read_at) < clock.window_seconds
                then ': in ' || hours(clock.window_seconds - seconds(clock.now, f.last_read_at))
                    || ' h movements are lost for good. Export them from MPservices'' screens now'
            else ', and it reaches back ' || hours(clock.window_seconds)
                || ' h: movements are lost. Export them from MPservices'' screens'
        end,
        cast(null as bigint), f.last_read_at, 'source', f.source, '', '', '', null, null
    from feeds f cross join todo_clock as clock
    where f.source = 'mpservices.movements' and clock.window_seconds > 0
        and seconds(clock.now, f.last_read_at) > clock.window_seconds / 8
    union all
    select 'pause:' || p.system, 'person', 'credentials', p.system || ' is paused: ' || p.reason,
        cast(null as bigint), p.since, 'source', p.system, '', '', 'alone:credentials', null, null
    from pauses p
    where not exists (select 1 from exceptions x
        where x.kind = 'credentials' and x.subject = p.system and x.resolved_at is null)
    union all
    select 'gap:' || g.id, 'person', 'gap',
        'movements of MPservices created from ' || minute(g.gap_from) || ' to ' || minute(g.gap_to)
            || ' UTC were never read',
        cast(null as bigint), g.opened_at, 'source', g.source, '', '', 'alone:gap', null, null
    from gaps g
    where g.closed_at is null and not exists (select 1 from exceptions x
        where x.kind = 'gap' and x.resolved_at is null and x.facts like '%"gap_id": ' || g.id || ',%')
    union all
    select 'quarantine:' || q.id, 'person', 'quarantined_row',
        'a row of ' || q.source || ' could not be read: ' || q.reason,
        cast(null as bigint), q.seen_at, 'row', q.source, '', '', 'alone:quarantined_row', null, null
    from quarantine q
    where q.resolved_at is null and not exists (select 1 from exceptions x
        where x.kind = 'quarantined_row' and x.facts like '%"digest": "' || q.digest || '"%')
    union all
    select 'inbox:' || i.id, 'person', 'inbox_rejected',
        coalesce(i.document_type, 'document') || ' ' || coalesce(i.api_key, 'without a key')
            || ' from the ERP was refused: ' || coalesce(i.error, 'no reason was kept'),
        cast(null as bigint), coalesce(i.decided_at, i.received_at), 'row', 'inbox ' || i.id, '', '',
        'alone:inbox_rejected', null, i.api_key
    from inbox i
    where i.state = 'rejected'
        and not exists (select 1 from inbox later
            where later.document_type = i.document_type and later.api_key = i.api_key
                and coalesce(later.state, '') = 'accepted')
        and not exists (select 1 from exceptions x where x.kind = 'inbox_rejected' and (x.subject = cast(i.id as text)
            or x.subject = 'inbox ' || i.id or x.subject = i.api_key
            or x.subject = i.document_type || ' ' || i.api_key
            or (i.api_key is null and x.subject like coalesce(i.document_type, 'a document') || ' %')))
    union all
    select 'daemon', 'person', 'daemon_silent',
        case when stopped.value >= beat.value
            then 'the daemon was stopped ' || ago(seconds(clock.now, instant(beat.value))) || ' ago'
            else 'no daemon is at work: its last sign of life is ' || ago(seconds(clock.now, instant(beat.value)))
                || ' old'
        end,
        cast(null as bigint), beat.updated_at, 'source', 'mpsync run', '', '', '', null, null
    from facts beat
    cross join todo_clock as clock
    left join facts stopped on stopped.name = 'daemon_stopped_at'
    where beat.name = 'heartbeat_at' and abs(seconds(clock.now, instant(beat.value))) > 60
    union all
    select 'run:' || r.flow, cast(null as text), 'run_failed',
        'the last pass of ' || r.flow || ' failed: ' || coalesce(r.error, 'it did not say why'),
        cast(null as bigint), coalesce(r.ended_at, r.started_at), 'source', r.flow, '', '', '', null, null
    from (select max(id) as id from runs group by flow) as newest
    join runs r on r.id = newest.id
    where r.outcome = 'failed' and r.flow not like 'poll.%' and r.flow not like 'backfill.%'
    union all
    select 'unasked:events', cast(null as text), 'unasked', count(*) || ' events wait: ' || min(p.reason),
        cast(null as bigint), coalesce(min((select min(l.recorded_at) from ledger_entries l
            where l.kind = p.kind and l.api_key = p.api_key)), clock.now), 'source', 'mpw', '', '', '', null, null
    from parked p cross join todo_clock as clock
    where p.reason like 'MPW could not be asked%' and not exists (select 1 from pauses where system = 'mpw')
    group by clock.now
    union all
    select 'unasked:pushes', cast(null as text), 'unasked', count(*) || ' pushes wait: ' || min(o.last_error),
        cast(null as bigint), min(o.created_at), 'source', 'mpw', '', '', '', null, null
    from outbox o cross join todo_clock as clock
    where rarely(o.state in ('ready')) and o.last_error like 'waiting: MPW refuses the read%'
        and not exists (select 1 from pauses where system = 'mpw')
    group by clock.now
) as t
left join todo_kinds as k on k.kind = t.kind
left join todo_kinds as c on c.kind = t.choices_of
"""

# As in 0003, but for its last column.
OUTBOX = """
create view v_outbox as
select id, route, operation, api_key, entity_key, state, attempts, due_at, reason, last_error, payload, remote_id,
    created_at, finalized_at, kind, item, evidence, flag(ambiguous) as ambiguous, first_sent_at, last_sent_at,
    case
        when o.state = 'held' then 'a release'
        when o.state = 'sending' then 'its answer'
        when o.state = 'unknown' then 'what proves whether it took effect'
        when o.state <> 'ready' then null
        else coalesce(
            (select 'push ' || b.id || ' (' || b.operation || ' ' || b.api_key || '), which is '
                    || case b.state when 'sending' then 'on its way' else 'unknown' end
                from outbox b
                where b.entity_key = o.entity_key and b.state in ('sending', 'unknown')),
            case when o.stock_awaited_since is not null then 'stock in MPW' end,
            (select 'push ' || b.id || ' (' || b.operation || ' ' || b.api_key || '), which goes first'
                from outbox b
                where b.entity_key = o.entity_key and b.state = 'ready' and b.stock_awaited_since is null
                    and (b.rank < o.rank or (b.rank = o.rank and b.id < o.id))
                order by b.rank, b.id limit 1),
            case when o.last_error is not null then 'its next try' else 'its turn' end)
    end as waits_for
from outbox o
"""

# As in 0003, but for the cost and for what blocks an item without a word of its own.
STOCK = """
create view v_stock as
select coalesce(items.part_number, known.external_id) as item, known.external_id,
    decimal(s.mpw_quantity) as mpw_quantity, decimal(s.mps_quantity) as mpservices_quantity,
    round(decimal(s.mpw_quantity) - decimal(s.mps_quantity) * coalesce(decimal(items.factor), 1), 6) as difference,
    decimal(coalesce(s.mpw_cost, s.mpw_unit_cost)) as mpw_unit_cost, decimal(s.mps_unit_cost) as mpservices_unit_cost,
    s.mpw_read_at, s.last_patched_at,
    coalesce(s.blocked_reason,
        (select 'push ' || b.id || ' (' || b.operation || ' ' || b.api_key || ') is unknown, and '
                || (select count(*) from outbox w where w.entity_key = b.entity_key and w.state = 'ready')
                || ' wait behind it'
            from outbox b
            where b.entity_key = 'item:' || coalesce(items.part_number, known.external_id)
                and b.state in ('sending', 'unknown') and b.state = 'unknown'
            order by b.id limit 1)) as blocked_reason,
    coalesce(decimal(items.factor), 1) as factor, coalesce(flag(s.managed), 0) as managed,
    coalesce(flag(s.base_verified), 0) as verified, s.dirty_at
from (select external_id from item_states union select external_id from items) as known
left join item_states as s on s.external_id = known.external_id
left join items on items.external_id = known.external_id
"""

EQUIPMENT = """
create view v_equipment as
select d.remote_id as id, d.item as name, word(d.raw, status) as status, word(d.raw, category_name) as category,
    word(d.raw, assignee_name) as assignee_name, word(d.raw, assignee_number) as assignee_number,
    day(word(d.raw, last_recorded_on)) as last_recorded_on, d.provider, d.last_seen_at as last_read_at
from documents d
where d.system = 'mpw' and d.type = 'equipment' and d.voided_at is null
"""

ORDER_LINES = """
create view v_purchase_order_lines as
select o.number, word(line.value, id) as line_id, word(line.value, part_number) as part_number,
    word(line.value, name) as name, amount(word(line.value, quantity)) as quantity,
    amount(word(line.value, quantity_received)) as quantity_received,
    amount(word(line.value, unit_cost)) as unit_cost, amount(word(line.value, extended_cost)) as extended_cost,
    word(line.value, unit_type) as unit, word(line.value, supplier_part_number) as supplier_part_number
from purchase_orders o cross join each(o.raw, items) as line
"""

TASKS = """
create view v_work_order_tasks as
select o.number, word(task.value, id) as task_id, word(task.value, name) as name,
    word(task.value, task_type) as task_type, word(task.value, completed_at) as completed_at
from work_orders o cross join each(o.raw, tasks) as task
where o.system = 'mpw'
"""

RECEIPTS = """
create view v_receipts as
select d.remote_id as id, d.api_key, d.item as part_number, word(d.raw, inventory_name) as name, d.warehouse,
    l.occurred_on as created_on, decimal(l.quantity) as quantity, decimal(l.unit_cost) as unit_cost,
    decimal(l.amount) as amount, decimal(d.remaining) as remaining, word(d.raw, vendor_name) as vendor_name,
    word(d.raw, vendor_number) as vendor_number, word(d.raw, invoice_number) as invoice_number,
    word(d.raw, purchase_order_number) as purchase_order_number, word(d.raw, description) as description,
    d.last_seen_at as last_read_at, d.missing_since
from documents d
join ledger_entries l on l.id = d.entry_id
where d.source = 'mpw.receipts' and d.type = 'receipt'
"""

ISSUANCES = """
create view v_issuances as
select d.remote_id as id, d.api_key, d.item as part_number, word(d.raw, inventory_name) as name, d.warehouse,
    l.occurred_on as created_on, decimal(-l.quantity) as quantity, decimal(l.unit_cost) as unit_cost,
    decimal(-l.amount) as amount, yes(d.raw, overdraft) as overdraft, word(d.raw, description) as description,
    d.last_seen_at as last_read_at, d.missing_since
from documents d
join ledger_entries l on l.id = d.entry_id
where d.source = 'mpw.issuances' and d.type = 'issuance'
"""

# What a vendor sent is text: nothing in it may make a query fail. PostgreSQL takes no zero character out of JSON.
SQLITE = {
    r"\bday\((NEST)\)": r"substr(\1, 1, 10)",
    r"\bamount\((NEST)\)": r"round(cast(\1 as real), 6)",
    r"\bword\((NEST), (\w+)\)": r"cast(json_extract(case when json_valid(\1) then \1 else '{}' end, '$.\2') as text)",
    r"\byes\((NEST), (\w+)\)": r"json_extract(case when json_valid(\1) then \1 else '{}' end, '$.\2')",
    r"\beach\((NEST), (\w+)\)": r"json_each(case when json_valid(\1) then \1 else '{}' end, '$.\2')",
    r"\bflag\((NEST)\)": r"(\1)",
    r"\bminute\((NEST)\)": r"replace(substr(\1, 1, 16), 'T', ' ')",
    r"\brarely\(": "unlikely(",
    r"\bnow\(\)": "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')",
    r"\bseconds\((NEST), (NEST)\)": r"round((julianday(\1) - julianday(\2)) * 86400, 3)",
    r"\binstant\((NEST)\)": r"(\1)",
    r"\bhours\((NEST)\)": r"cast(max(round((\1) / 3600), 0) as integer)",
    r"\bmoney\((NEST), (NEST)\)": r"cast(round((\1) * 1.0 * (\2) / 1000000) as integer)",
    r"\bdecimal\((NEST)\)": r"((\1) / 1000000.0)",
    r"\bcontains\((NEST), (NEST)\)": r"coalesce(instr(\1, \2) > 0, 0)",
    r"\bposition\((NEST), (NEST)\)": r"instr(\1, \2)",
}
OBJECT = r"cast(case when strpos(cast(\1 as text), '\\u0000') > 0 then '{}' else cast(\1 as text) end as json)"
POSTGRESQL = {
    r"\bday\((NEST)\)": r"case when \1 ~ '^\\d{4}-\\d{2}-\\d{2}' then cast(substr(\1, 1, 10) as date) end",
    r"\bamount\((NEST)\)": (
        r"case when \1 ~ '^\\s*[-+]?[0-9]+([.][0-9]*)?([eE][-+]?[0-9]{1,3})?\\s*$'"
        r" then round(cast(\1 as numeric), 6) end"
    ),
    r"\bword\((NEST), (\w+)\)": rf"({OBJECT} ->> '\2')",
    r"\byes\((NEST), (\w+)\)": rf"case {OBJECT} ->> '\2' when 'true' then 1 when 'false' then 0 end",
    r"\beach\((NEST), (\w+)\)": (
        rf"lateral json_array_elements(case when json_typeof({OBJECT} -> '\2') = 'array' then {OBJECT} -> '\2'"
        r" else cast('[]' as json) end)"
    ),
    r"\bflag\((NEST)\)": r"(\1)::integer",
    r"\bminute\((NEST)\)": r"to_char(\1 at time zone 'UTC', 'YYYY-MM-DD HH24:MI')",
    r"\brarely\(": "(",
    r"\bseconds\((NEST), (NEST)\)": r"extract(epoch from (\1) - (\2))",
    r"\binstant\((NEST)\)": r"cast(\1 as timestamp with time zone)",
    r"\bhours\((NEST)\)": r"cast(greatest(round(cast((\1) / 3600 as numeric)), 0) as bigint)",
    r"\bmoney\((NEST), (NEST)\)": r"cast(round(cast(\1 as numeric) * (\2) / 1000000) as bigint)",
    r"\bdecimal\((NEST)\)": r"round(cast(\1 as numeric) / 1000000, 6)",
    r"\bcontains\((NEST), (NEST)\)": r"coalesce(strpos(\1, \2) > 0, false)",
    r"\bposition\((NEST), (NEST)\)": r"strpos(\1, \2)",
}
AGO = (
    r"case when abs(\1) < 7200 then cast(cast(abs(\1) / 60 as integer) as text) || ' min'"
    r" else cast(cast(abs(\1) / 3600 as integer) as text) || ' h' end"
)


def written_out(view: str, dialect: str) -> str:
    """Return the statement with `seconds(…)`, `decimal(…)` and the like in the dialect's own words."""
    nest = r"(?:[^(),]|\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))+"
    words = SQLITE if dialect == "sqlite" else POSTGRESQL
    for word, meaning in {r"\bago\((NEST)\)": AGO, **words}.items():
        view = re.sub(word.replace("NEST", nest), meaning, view)
    return view


REPLACED = {"v_outbox": OUTBOX, "v_stock": STOCK}
NEW = (CLOCK, TODO, EQUIPMENT, ORDER_LINES, TASKS, RECEIPTS, ISSUANCES)


def upgrade() -> None:
    """Make the table of texts, two columns, and the views; those of before in place on PostgreSQL."""
    dialect = op.get_bind().dialect.name
    op.create_table(
        "todo_kinds",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("meaning", sa.Text(), nullable=False),
        sa.Column("choices", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("kind", name="pk_todo_kinds"),
        sa.CheckConstraint("level in ('person', 'waiting')", name=op.f("ck_todo_kinds_level")),
    )
    op.add_column("item_states", sa.Column("mpw_cost", sa.BigInteger()))
    op.add_column("documents", sa.Column("provider", sa.Text()))
    for name, view in REPLACED.items():
        if dialect == "sqlite":
            op.execute(f"drop view {name}")
        else:
            view = view.replace("create view", "create or replace view", 1)
        _make(view, dialect)
    for view in NEW:
        _make(view, dialect)


def _make(view: str, dialect: str) -> None:
    op.execute(sa.text(re.sub(r"(?<!:):(?!:)", r"\\:", written_out(view, dialect))))
