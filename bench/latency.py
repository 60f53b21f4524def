"""Backfill from a vendor who takes 100 ms for each answer: fetching must overlap storing.

python -m bench.latency
"""

from __future__ import annotations

from bench.databases import DATABASES, databases
from bench.frame import Row, Table, timed
from bench.ours import ROWS, app_of, backfill
from bench.vendor import vendor

DAYS, LATENCY_MS, CONCURRENCY = 365, 100, 8


def main() -> None:
    """Measure a first reading and one of the same again."""
    table = Table("latency")
    ideal = DAYS * LATENCY_MS / 1000 / CONCURRENCY
    against = f"{DAYS} days × {LATENCY_MS} ms / {CONCURRENCY}"
    with vendor(rows=ROWS, days=DAYS, latency_ms=LATENCY_MS) as server:
        for kind in DATABASES:
            with databases(kind) as make, app_of(server, make(), MPW_CONCURRENCY=str(CONCURRENCY)) as app:
                with timed() as first:
                    backfill(app, DAYS)
                with timed() as again:
                    backfill(app, DAYS, again=True)
            table.add(Row(f"backfill at {LATENCY_MS} ms, {kind}", first.wall, "s", 1.15, 1.05, against, ideal))
            work = f"the same again at {LATENCY_MS} ms, {kind}"
            table.add(Row(work, again.wall, "s", 1.15, 1.05, against, ideal))
    table.report()


if __name__ == "__main__":
    main()
