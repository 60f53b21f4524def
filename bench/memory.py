"""The most memory that a backfill ever holds, over a year and over ten, each in a process of its own.

python -m bench.memory
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta

from bench.databases import DATABASES, databases, drop
from bench.frame import Row, Table
from bench.ours import RECEIPTS, ROWS
from bench.vendor import FIRST, Vendor, vendor

YEAR, DECADE = 365, 3650
END = FIRST + timedelta(days=YEAR)
"""Days that are yet to come are not read: ten years end where the one does."""


def megabytes(server: Vendor, url: str, days: int) -> float:
    """Return the peak of `mpsync backfill` into a new database, which it also makes."""
    command = [sys.executable, "-m", "bench.memory_child", "backfill", "--source", RECEIPTS, "--json"]
    command += ["--from", (END - timedelta(days=days)).isoformat(), "--to", (END - timedelta(days=1)).isoformat()]
    environment = os.environ | server.settings(url)
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    if ran.returncode != 0:
        raise RuntimeError(ran.stderr[-2000:])
    assert json.loads(ran.stdout)["added"] == days * ROWS
    return int(ran.stderr.split()[-1]) / 1024


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
    main()
