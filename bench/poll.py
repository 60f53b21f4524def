"""A poll of 2 unchanged days (1,000 rows), into a ledger of 10,000 rows and one of 1,000,000.

python -m bench.poll
"""

from __future__ import annotations

from datetime import date, timedelta

from bench.databases import DATABASES, databases, drop
from bench.frame import Row, Table, median_of
from bench.ledgers import ledger
from bench.ours import RECEIPTS, app_of
from bench.vendor import FIRST, Vendor, vendor
from sync.poll.schedule import poll_days_once

SIZES = (10_000, 1_000_000)
TIMES = 41
DAYS: list[date] = [FIRST + timedelta(days=1), FIRST]


def milliseconds(server: Vendor, url: str, rows: int) -> float:
    """Return the median CPU time of a poll, in milliseconds."""
    ledger(url, rows).close()
    with app_of(server, url) as app:
        ctx = app.context()
        assert poll_days_once(ctx, RECEIPTS, DAYS).added == 1000

        def poll() -> None:
            assert poll_days_once(ctx, RECEIPTS, DAYS).unchanged == 1000

        poll()
        return median_of(TIMES, poll).cpu * 1e3


def main() -> None:
    """Measure each size on each database."""
    table = Table("poll")
    with vendor(days=2) as server:
        for kind in DATABASES:
            with databases(kind) as make:
                took = {}
                for rows in SIZES:
                    url = make()
                    took[rows] = milliseconds(server, url, rows)
                    drop(url)
                    table.add(
                        Row(f"poll 2 unchanged days, {rows:,} rows, {kind}", took[rows], "ms", 20, 5, kind="at most")
                    )
                small, large = (took[rows] for rows in SIZES)
                table.add(Row(f"poll at {SIZES[1]:,} rows, {kind}", large, "ms", 1.2, 1.05, "at 10,000", small))
    table.report()


if __name__ == "__main__":
    main()
