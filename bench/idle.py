"""A round of an idle daemon beside a long history, against one beside a short one; and what an idle daemon costs.

python -m bench.idle

The history: ledger entries of people's in MPW, and as many of each of what rounds look into: pushes done and their
attempts, echoes found, exceptions resolved, items at rest, and what MPW said of them. Beside it too: a scrape of
/metrics, a day's retention, and what a tick asks of the last day's pushes.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import event, text

from bench.databases import DATABASES, databases, drop
from bench.frame import Row, Table, median_of
from bench.ledgers import AT, NUMBERS, ledger
from bench.ours import app_of
from bench.vendor import Vendor, vendor
from sync.database.engine import Store
from sync.jobs.cycle import CycleReport, work_once
from sync.jobs.prune import prune_once
from sync.ledger.coverage import RECEIPTS
from sync.outbox.pushed import pushed_days
from sync.web.metrics import Metrics

SIZES = {10_000: 1_000, 1_000_000: 50_000}
"""Ledger entries, and of everything else."""

TIMES = 201
STATEMENTS_MAX = 10
ROUNDS_A_SECOND = 1
"""How often a daemon looks whether there is anything to do, at most (SYNC_WORK_SECONDS)."""

OLD = (
    """
insert into outbox (route, operation, kind, api_key, entity_key, item, rank, state, attempts, tries, fence, due_at,
    payload, created_at, finalized_at, evidence)
select 'stock_cost', 'patch_stock', 'stock_cost', 'old-' || i, 'stock:X-' || i, 'X-' || i, 0, 'done', 1, 1, 1, {at},
    '{{}}', {at}, {at}, 'answered 200'
from {numbers} as n
""",
    "insert into attempts (outbox_id, n, fence, started_at, outcome) select id, 1, 1, created_at, 'done' from outbox",
    """
insert into echoes (outbox_id, n, external_id, new_stock, new_cost, sent_cost, claimed_seq, outcome, closed_at)
select id, 1, item, 5000000, 1000000, 1000001, 0, 'found', {at} from outbox
""",
    """
insert into exceptions (kind, subject, subject_type, detail, hint, opened_at, resolved_at, acted_at, resolved_by,
    resolution)
select 'echo_undecided', 'old-' || i, 'event', 'it was not clear', 'look', {at}, {at}, {at}, 'ann', 'ours'
from {numbers} as n
""",
    """
insert into item_states (external_id, managed, mpw_quantity, mps_quantity)
select 'X-' || i, {yes}, 5000000, 5000000 from {numbers} as n
""",
    "update item_states set audited_at = {now}",
    """
insert into inventories (warehouse, part_number, found, quantity, unit_cost, read_at)
select 'Main', 'X-' || i, {yes}, 5000000, 1000000, {at} from {numbers} as n
""",
)


DONE = """
insert into outbox (route, operation, kind, api_key, entity_key, item, rank, state, attempts, tries, fence, due_at,
    payload, created_at, finalized_at, evidence)
select 'receipts', 'post_receipt', 'receipt', 'old-' || i, 'item:P', 'P', 0, 'done', 1, 1, 1, {at}, '{{}}', {at}, {at},
    'answered 200' from {numbers} as n
"""
DOCUMENTS = """
insert into documents (system, type, remote_id, source, day, raw, digest, first_seen_at, last_seen_at)
select 'mpw', 'receipt', 'd-' || i, 'mpw.receipts', null, '{{}}', 'd', {at}, {at} from {numbers} as n
"""
RUNS = """
insert into runs (flow, started_at, ended_at, outcome) select 'poll.x', {at}, {at}, 'ok' from {numbers} as n
"""
TODAY = """
insert into outbox (route, operation, kind, api_key, entity_key, item, rank, state, attempts, tries, fence, due_at,
    payload, created_at, finalized_at, last_sent_at, settled_no, evidence)
select 'receipts', 'post_receipt', 'receipt', 'today-' || i, 'item:T-' || i, 'T-' || i, 0, 'done', 1, 1, 1, {now},
    '{{"created_on": "2026-01-02", "part_number": "T-' || i || '", "quantity_received": 3, "unit_cost": 11.25}}',
    {now}, {now}, {now}, 1, 'answered 200'
from {numbers} as n
"""


def fill(store: Store, rows: int) -> None:
    """Add so many old rows of each kind."""
    kind = "sqlite" if store.is_sqlite else "postgresql"
    now = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')" if store.is_sqlite else "now()"
    words = {"numbers": NUMBERS[kind], "at": AT[kind], "yes": "1" if store.is_sqlite else "true", "now": now}
    with store.write() as conn:
        for statement in OLD:
            conn.execute(text(statement.format(**words)), {"rows": rows} if "{numbers}" in statement else {})


def idle_round(server: Vendor, url: str, rows: int) -> tuple[float, int]:
    """Return the median CPU time of an idle round, in milliseconds, and how many statements it sends."""
    store = ledger(url, rows)
    fill(store, SIZES[rows])
    store.close()
    sent: list[str] = []
    with app_of(server, url) as app:
        ctx = app.context()
        while work_once(ctx, CycleReport()):
            pass
        work_once(ctx, CycleReport())

        def note(conn: Any, cursor: Any, statement: str, *rest: Any) -> None:
            sent.append(statement)

        event.listen(app.store.engine, "before_cursor_execute", note)
        work_once(ctx, CycleReport())
        event.remove(app.store.engine, "before_cursor_execute", note)
        took = median_of(TIMES, lambda: work_once(ctx, CycleReport())).cpu * 1e3
    return took, len(sent)


def beside_history(server: Vendor, url: str, rows: int) -> tuple[float, float, float]:
    """Return the CPU time of a scrape of /metrics, of a day's retention that finds nothing, and of a look at the
    pushes of the last day, of which there are 2,000; in milliseconds."""
    store = ledger(url, rows)
    kind = "sqlite" if store.is_sqlite else "postgresql"
    with store.write() as conn:
        for statement in (DONE, OLD[1], RUNS, DOCUMENTS, OLD[3]):
            words = {"numbers": NUMBERS[kind], "at": AT[kind]}
            conn.execute(text(statement.format(**words)), {"rows": SIZES[rows]} if "{numbers}" in statement else {})
        now = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')" if store.is_sqlite else "now()"
        conn.execute(text(TODAY.format(numbers=NUMBERS[kind], now=now)), {"rows": 2_000})
    store.close()
    with app_of(server, url) as app:
        ctx = app.context()
        prune_once(ctx)
        pruned = median_of(11, lambda: prune_once(ctx)).cpu * 1e3
        scraped = median_of(11, lambda: Metrics(app).text()).cpu * 1e3
        with app.store.read() as conn:
            looked = median_of(11, lambda: pushed_days(conn, RECEIPTS, now=ctx.clock.now())).cpu * 1e3
    return scraped, pruned, looked


def main() -> None:
    """Measure each size on each database."""
    table = Table("idle")
    with vendor(days=2) as server:
        for kind in DATABASES:
            with databases(kind) as make:
                took, sent = {}, {}
                for rows in SIZES:
                    url = make()
                    took[rows], sent[rows] = idle_round(server, url, rows)
                    drop(url)
                short, long = SIZES
                table.add(
                    Row(f"idle round, {long:,} rows, {kind}", took[long], "ms", 1.25, 1.05, f"{short:,}", took[short])
                )
                most = max(sent.values())
                table.add(Row(f"statements of an idle round, {kind}", most, "", STATEMENTS_MAX, kind="at most"))
                share = took[long] * ROUNDS_A_SECOND / 10
                table.add(Row(f"an idle round a second, {kind}", share, "% CPU", 0.5, kind="at most"))
                scrapes, days, looks = {}, {}, {}
                for rows in SIZES:
                    url = make()
                    scrapes[rows], days[rows], looks[rows] = beside_history(server, url, rows)
                    drop(url)
                for work, found in (("a scrape of /metrics", scrapes), ("a day's retention", days)):
                    name = f"{work}, {long:,} rows, {kind}"
                    table.add(Row(name, found[long], "ms", 1.25, 1.05, f"{short:,}", found[short]))
                table.add(Row(f"a look at a day's 2,000 pushes, {kind}", looks[long], "ms", 40, kind="at most"))
    table.report()


if __name__ == "__main__":
    main()
