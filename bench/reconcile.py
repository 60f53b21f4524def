"""Reconcile 1,000 changed entries beside 1,000,000 ledger rows, against the same beside 10,000.

    python -m bench.reconcile

The ledgers are people's rows in MPW; the change is 1,000 receipts that MPservices shows, each of which becomes a held
push. CPU time of the pass, since what else the machine does is no part of it; each size is taken three times, on new
changes.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import text

from bench.databases import DATABASES, databases
from bench.frame import Row, Table, best_of
from bench.ledgers import AT, NUMBERS, PARTS, ledger
from sync.clock import SystemClock
from sync.database.engine import Store
from sync.jobs.due import an_agenda
from sync.log import configure_logging
from sync.reconcile.derive import reconcile_once
from sync.values.policy import Policy
from sync.work.context import Context

SMALL, LARGE, CHANGED = 10_000, 1_000_000, 1_000
TIMES = 3
TODAY = {"sqlite": "date('now')", "postgresql": "current_date"}

CHANGE = """
insert into ledger_entries (system, kind, api_key, remote_id, entry_type, item, warehouse, quantity, unit_cost, amount,
    occurred_on, occurred_at, posted_on, recorded_at)
select 'mpservices', 'receipt', 'mps-' || :round || '-' || i, 'm-' || :round || '-' || i, 'original',
    'P-' || (i % {parts}), null, 3000000, 12500000, 37500000, {today}, {at}, {today}, {at}
from {numbers} as numbers
"""
INVENTORIES = """
insert into inventories (warehouse, part_number, found, quantity, unit_cost, read_at)
select 'Main', 'P-' || i, {yes}, 5000000, 12500000, {now} from {numbers} as numbers
"""


def prepared(store: Store) -> Context:
    """Return a context whose reconcile has seen all there is, and knows every part to be in MPW."""
    kind = store.engine.dialect.name
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    words = {
        "numbers": NUMBERS[kind],
        "yes": "1" if store.is_sqlite else "true",
        "now": f"'{now}'" if store.is_sqlite else f"timestamptz '{now}'",
    }
    with store.write() as conn:
        conn.execute(text(INVENTORIES.format(**words)), {"rows": PARTS})
    ctx = Context(store=store, clock=SystemClock(), policy=Policy(warehouse="Main"), agenda=an_agenda())
    reconcile_once(ctx)
    return ctx


def seconds_per_entry(store: Store) -> float:
    """Return the CPU seconds of this process per changed entry, the least of several passes."""
    ctx, kind = prepared(store), store.engine.dialect.name
    words = {"numbers": NUMBERS[kind], "today": TODAY[kind], "at": AT[kind], "parts": PARTS}
    rounds = iter(range(TIMES))
    spent = []
    for number in rounds:
        with store.write() as conn:
            conn.execute(text(CHANGE.format(**words)), {"rows": CHANGED, "round": number})
        derived: list[int] = []
        spent.append(best_of(1, lambda got=derived: got.append(reconcile_once(ctx).added)))  # type: ignore[misc]
        assert derived == [CHANGED], derived
    return min(one.wall if kind == "postgresql" else one.cpu for one in spent) / CHANGED


def main() -> None:
    """Measure both sizes on both databases."""
    configure_logging("error", "console", [])
    table = Table("reconcile")
    for kind in DATABASES:
        with databases(kind) as make:
            figures = []
            for rows in (SMALL, LARGE):
                store = ledger(make(), rows)
                figures.append(seconds_per_entry(store) * 1e6)
                store.close()
        work = f"reconcile {CHANGED:,} entries at {LARGE:,}, {kind}"
        table.add(Row(work, figures[1], "µs an entry", 1.2, 1.05, f"at {SMALL:,}", figures[0]))
    table.report()


if __name__ == "__main__":
    main()
