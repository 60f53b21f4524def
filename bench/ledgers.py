"""Big ledgers, made by the database itself through the real schema: a million rows in seconds."""

from __future__ import annotations

from sqlalchemy import Connection, text

from sync.database.engine import Store
from sync.database.migrate import upgrade

NUMBERS = {
    "sqlite": "(with recursive n(i) as (select 1 union all select i + 1 from n where i < :rows) select i from n)",
    "postgresql": "(select i from generate_series(1, :rows) as i)",
}
DAY = {
    "sqlite": "date('2022-01-01', '+' || (i % 700) || ' days')",
    "postgresql": "(date '2022-01-01' + cast(i % 700 as integer))",
}
AT = {"sqlite": "'2024-01-01T00:00:00.000000Z'", "postgresql": "timestamptz '2024-01-01T00:00:00Z'"}
PARTS = 2000

ENTRIES = """
insert into ledger_entries (system, kind, api_key, remote_id, entry_type, item, warehouse, quantity, unit_cost, amount,
    occurred_on, posted_on, recorded_at)
select 'mpw', case when i % 4 = 0 then 'receipt' else 'issuance' end,
    case when i % 4 = 0 then 'mpw-r-' else 'mpw-i-' end || i, cast(i as text),
    'original', 'P-' || (i % {parts}), 'Main',
    case when i % 4 = 0 then 6000000 else -2000000 end, 12500000, case when i % 4 = 0 then 75000000 else -25000000 end,
    {day}, {day}, {at}
from {numbers} as numbers
"""
PUSHES = """
insert into outbox (route, operation, kind, api_key, entity_key, item, rank, state, attempts, tries, fence, due_at,
    payload, created_at, finalized_at, evidence)
select 'receipts', 'post_receipt', 'receipt', 'erp-' || i, 'item:P-' || (i % {parts}), 'P-' || (i % {parts}), 0,
    case i % 1000 when 0 then 'dead' when 1 then 'held' when 2 then 'ready' else 'done' end,
    1, 1, 1, {at}, '{{}}', {at},
    case when i % 1000 in (1, 2) then null else {at} end, 'answered 200'
from {numbers} as numbers
"""
ATTEMPTS = (
    "insert into attempts (outbox_id, n, fence, started_at, outcome) select id, 1, 1, created_at, 'done' from outbox"
)
ITEMS = """
insert into item_states (external_id, managed, mpw_quantity, mps_quantity, mpw_unit_cost, mps_unit_cost)
select 'P-' || i, {yes}, 5000000, 5000000, 12500000, 12500000 from {numbers} as numbers
"""
COVERAGE = (
    "insert into coverage (source, day, complete, rows) select 'mpw.receipts', {day}, {yes}, 500 from {numbers} as n"
)


def ledger(url: str, rows: int, *, pushes: int = 0) -> Store:
    """Return a migrated store with so many entries of people's in MPW, over two years and 2,000 parts, and pushes."""
    upgrade(url)
    store = Store(url)
    with store.write() as conn:
        _fill(conn, ENTRIES, rows)
        _fill(conn, COVERAGE, 700)
        _fill(conn, ITEMS, PARTS)
        if pushes:
            _fill(conn, PUSHES, pushes)
            conn.execute(text(ATTEMPTS))
    if not store.is_sqlite:  # as its autovacuum does by and by
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            conn.execute(text("vacuum analyze"))
    return store


def _fill(conn: Connection, statement: str, rows: int) -> None:
    kind = conn.dialect.name
    words = {"numbers": NUMBERS[kind], "day": DAY[kind], "at": AT[kind], "parts": PARTS}
    conn.execute(text(statement.format(**words, yes="1" if kind == "sqlite" else "true")), {"rows": rows})
