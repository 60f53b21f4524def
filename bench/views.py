"""The views and `mpsync status` at 1,000,000 entries and 100,000 pushes.

python -m bench.views
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from sqlalchemy import text

from bench.databases import DATABASES, databases
from bench.frame import Row, Table, median_of
from bench.ledgers import ledger
from sync.database.engine import Store

ENTRIES, PUSHES = 1_000_000, 100_000
TIMES = 9
QUERIES = (
    ("v_events by key", "select * from v_events where api_key = 'mpw-r-500000'", 10.0, 1),
    ("v_events by kind and key", "select * from v_events where kind = 'receipt' and api_key = 'mpw-r-500000'", 10.0, 1),
    ("v_stock", "select * from v_stock", 200.0, 2000),
    ("v_outbox by state", "select * from v_outbox where state = 'dead'", 20.0, 100),
    ("v_outbox by state, the oldest", "select * from v_outbox where state = 'held' order by id limit 50", 20.0, 50),
)


def milliseconds(store: Store, query: str, rows: int) -> float:
    """Return the median time of a query, its rows fetched."""

    def run() -> None:
        with store.read() as conn:
            assert len(conn.execute(text(query)).all()) == rows, query

    run()
    return median_of(TIMES, run).wall * 1e3


def status_seconds(url: str) -> float:
    """Return the median time of the whole command."""
    mpsync = str(Path(sys.executable).with_name("mpsync"))
    environment = {**os.environ, "DATABASE_URL": url}

    def run() -> None:
        subprocess.run([mpsync, "status", "--json"], env=environment, capture_output=True)  # exit 1: some are dead

    run()
    return median_of(5, run).wall


def main() -> None:
    """Measure both databases."""
    table = Table("views")
    for kind in DATABASES:
        with databases(kind) as make:
            url = make()
            store = ledger(url, ENTRIES, pushes=PUSHES)
            for name, query, must, rows in QUERIES:
                table.add(Row(f"{name}, {kind}", milliseconds(store, query, rows), "ms", must, kind="at most"))
            store.close()
            table.add(Row(f"mpsync status, {kind}", status_seconds(url), "s", 0.5, kind="at most"))
    table.report()


if __name__ == "__main__":
    main()
