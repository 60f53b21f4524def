"""The most memory that a backfill ever holds, over a year and over ten, each in a process of its own.

python -m bench.memory
"""

from __future__ import annotations

import subprocess
import sys

from bench.databases import DATABASES, databases, drop
from bench.frame import Row, Table, peak_megabytes
from bench.ours import ROWS, app_of, backfill
from bench.vendor import Vendor, vendor

YEAR, DECADE = 365, 3650


def child(server_url: str, database_url: str, days: int) -> None:
    """Read in this process, and print its peak."""
    with app_of(Vendor(server_url, 0), database_url) as app:
        backfill(app, days)
    print(peak_megabytes())


def megabytes(server: Vendor, url: str, days: int) -> float:
    """Return the peak of a reading in a fresh process."""
    command = [sys.executable, "-m", "bench.memory", server.url, url, str(days)]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(ran.stdout)


def main() -> None:
    """Measure a year on both databases, ten years on SQLite."""
    table = Table("memory")
    with vendor(rows=ROWS, days=YEAR) as server:
        for kind in DATABASES:
            with databases(kind) as make:
                for days in (YEAR, DECADE) if kind == "sqlite" else (YEAR,):
                    url = make()
                    peak = megabytes(server, url, days)
                    drop(url)
                    table.add(Row(f"peak of {days:,} days × {ROWS}, {kind}", peak, "MB", 130, 100, kind="at most"))
    table.report()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        child(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    else:
        main()
