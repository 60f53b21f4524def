"""The journal: entries a second from the ledger, beside bare inserts of the same rows into the same table.

    python -m bench.journal

The ledger holds 100,000 entries of people's in MPW over 2,000 parts, each with its document. The peer takes the rows
that came of it and inserts them again into an empty copy of the table, with its constraints and indexes, in
transactions of the same size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date

from sqlalchemy import text

from bench.databases import DATABASES, databases, drop
from bench.frame import Row, Table, median_of, peak_megabytes, timed
from bench.ledgers import DAY, ENTRIES, NUMBERS, PARTS, ledger
from sync.clock import SystemClock
from sync.database.bulk import insert_stored
from sync.database.engine import Store
from sync.database.schema import journal_entries
from sync.jobs.due import an_agenda
from sync.journal.account_rows import save_rules
from sync.journal.accounts import numbered, read_rules, sample
from sync.journal.derive import BATCH, journal_once
from sync.ledger.books import Books
from sync.values.books import JournalTerms
from sync.values.policy import Policy
from sync.work.context import Context

LEDGER, LARGE, NEW = 100_000, 1_000_000, 1_000
DOCUMENTS = """
insert into documents (system, type, remote_id, source, day, raw, digest, api_key, item, warehouse, entry_id,
    first_seen_at, last_seen_at)
select 'mpw', kind, remote_id, 'mpw', occurred_on, '{{"id": ' || id || ', "part_number": "' || item
    || '", "vendor_name": "Bosch", "purchase_order_number": ' || (id % 900) || ', "description": "shop"}}', 'x',
    api_key, item, warehouse, id, recorded_at, recorded_at
from ledger_entries where id > :rows
"""
PAGE = "select * from v_journal where entry_id > :after order by entry_id, line limit 1000"


def prepared(url: str, rows: int) -> Store:
    """Return a store with a ledger, its documents and rules of accounts."""
    store = ledger(url, rows)
    with store.write() as conn:
        conn.execute(text(DOCUMENTS.replace("{{", "{").replace("}}", "}")), {"rows": 0})
        save_rules(Books(conn, now=SystemClock().now()), read_rules(numbered(sample())).rules, by="bench")
    if not store.is_sqlite:
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            conn.execute(text("analyze"))
    return store


def context(store: Store) -> Context:
    """Return what the flow works with."""
    policy = replace(Policy(), journal=JournalTerms(starts_on=date(2022, 1, 1)))
    return Context(store=store, clock=SystemClock(), policy=policy, agenda=an_agenda())


def grow(store: Store, start: int) -> None:
    """Append new entries of people's, with their documents."""
    with store.write() as conn:
        kind = conn.dialect.name
        shifted = ENTRIES.replace("from {numbers} as numbers", "from (select i + :start as i from {numbers} as n) as m")
        words = {"numbers": NUMBERS[kind], "day": DAY[kind], "at": _at(kind), "parts": PARTS}
        conn.execute(text(shifted.format(**words)), {"rows": NEW, "start": start})
        last = conn.execute(text("select max(id) from ledger_entries")).scalar_one()
        conn.execute(text(DOCUMENTS.replace("{{", "{").replace("}}", "}")), {"rows": last - NEW})


def _at(kind: str) -> str:
    return "'2024-01-01T00:00:00.000000Z'" if kind == "sqlite" else "timestamptz '2024-01-01T00:00:00Z'"


def bare(source: Store, target: Store) -> float:
    """Return the seconds that inserting the same rows takes, in transactions of the same size."""
    with source.read() as conn:
        rows = [tuple(row) for row in conn.exec_driver_sql("select * from journal_entries order by id").all()]
    names = [column.name for column in journal_entries.c]
    with timed() as spent:
        for start in range(0, len(rows), BATCH):
            with target.write() as conn:
                insert_stored(conn, journal_entries, names, rows[start : start + BATCH])
    return spent.wall


def cost_of_new(store: Store, start: int) -> float:
    """Return the CPU that NEW more entries cost, in ms: the least of five."""
    ctx, best = context(store), float("inf")
    for n in range(5):
        grow(store, start + n * NEW)
        with timed() as spent:
            assert journal_once(ctx).added == NEW
        best = min(best, spent.cpu * 1e3)
    return best


def main() -> None:
    """Measure both databases."""
    table = Table("journal")
    for kind in DATABASES:
        with databases(kind) as make:
            store, empty = prepared(make(), LEDGER), ledger(make(), 1)
            before = peak_megabytes()
            with timed() as spent:
                assert journal_once(context(store)).added == LEDGER
            grown = peak_megabytes()
            peer = bare(store, empty)
            work = f"derive {LEDGER:,} entries, {kind}"
            must = 10_000 if kind == "sqlite" else 7_000
            note = f"{LEDGER / spent.wall:,.0f} a second; {spent.cpu / LEDGER * 1e6:.0f} us of CPU each"
            table.add(Row(work, spent.wall, "s", LEDGER / must, kind="at most", note=note))
            table.add(Row(work, spent.wall, "s", 5.0, None, "bare inserts", peer, "times"))
            table.add(Row(f"{work}: peak", grown, "MB", 100, kind="at most", note=f"{before:.0f} before"))
            ctx = context(store)
            with ctx.agenda.round():
                ctx.due()
                idle = median_of(50, lambda ctx=ctx: journal_once(ctx)).wall * 1e3
            table.add(Row(f"nothing new, {kind}", idle, "ms", 1.0, kind="at most"))
            for after in (0, LEDGER // 2, LEDGER - 400):
                page = median_of(9, lambda store=store, after=after: _page(store, after)).wall * 1e3
                table.add(Row(f"v_journal, a page after {after:,}, {kind}", page, "ms", 10.0, kind="at most"))
            for one in (store, empty):
                one.close()
                drop(str(one.url))
            table.add(_growth(make, kind))
    table.report()


def _page(store: Store, after: int) -> None:
    with store.read() as conn:
        conn.execute(text(PAGE), {"after": after}).all()


def _growth(make: Callable[[], str], kind: str) -> Row:
    costs = []
    for rows in (10_000, LARGE):
        store = prepared(make(), rows)
        with store.write() as conn:
            conn.execute(text("select 1"))
        journal_once(context(store))
        costs.append(cost_of_new(store, rows))
        store.close()
    return Row(f"{NEW:,} new of {LARGE:,}, {kind}", costs[1], "ms CPU", 1.2, None, "of 10,000", costs[0], "times")


if __name__ == "__main__":
    main()
