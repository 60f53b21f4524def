"""Let the item map say of an item that MPW is never to have it, and show it in v_stock and v_events.

`v_actions` shows what people said of events and exceptions.

`v_stock.difference` takes for none what is within the rounding of a factor of six decimals: by 0.083333 twelve pieces
are one box.

Revision ID: 0020
Revises: 0019
"""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision: str | None = "0019"
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

# As in 0016, but for its last two branches: how a reason begins stands in todo_kinds, and events that wait for six
# hours are to be decided about now.
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
    select 'unasked:events', case when seconds(w.now, min(w.since)) > 21600 then 'person' end, 'unasked',
        count(*) || ' events wait: ' || min(w.reason), cast(null as bigint), min(w.since), 'source', 'mpw', '', '', '',
        null, null
    from (
        select p.reason, clock.now, coalesce(
            (select min(l.recorded_at) from ledger_entries l where l.kind = p.kind and l.api_key = p.api_key),
            (select min(d.first_seen_at) from documents d
                where d.system = 'erp' and d.type = p.kind and d.remote_id = p.api_key), clock.now) as since
        from parked p
        cross join todo_clock as clock
        join todo_kinds as begins on begins.kind = 'begins:events'
        where p.reason like begins.meaning || '%' and not exists (select 1 from pauses where system = 'mpw')
    ) as w
    group by w.now
    union all
    select 'unasked:pushes', cast(null as text), 'unasked', count(*) || ' pushes wait: ' || min(o.last_error),
        cast(null as bigint), min(o.created_at), 'source', 'mpw', '', '', '', null, null
    from outbox o
    cross join todo_clock as clock
    join todo_kinds as begins on begins.kind = 'begins:pushes'
    where rarely(o.state in ('ready')) and o.last_error like begins.meaning || '%'
        and not exists (select 1 from pauses where system = 'mpw')
    group by clock.now
) as t
left join todo_kinds as k on k.kind = t.kind
left join todo_kinds as c on c.kind = t.choices_of
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
    for name, view in (("v_events", EVENTS), ("v_stock", STOCK), ("v_todo", TODO)):
        text = written_out(view, dialect)
        if dialect == "sqlite":
            op.execute(f"drop view {name}")
        else:
            text = text.replace("create view", "create or replace view", 1)
        op.execute(sa.text(re.sub(r"(?<!:):(?!:)", r"\\:", text)))
