"""Backfill of 365 × 500 receipts, against the bare floor and dlt, on both databases; then again, with nothing changed.

    python -m bench.backfill

dlt is the `bench` extra; where it lives in another environment, MPSYNC_BENCH_PYTHON names that one's interpreter.
Without dlt its rows are left out, and said to be.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import make_url

from bench import floor
from bench.databases import DATABASES, databases, drop
from bench.frame import Row, Spent, Table, best_of, timed
from bench.ours import ROWS, app_of, backfill
from bench.vendor import FIRST, Vendor, vendor

DAYS = 365
TIMES = 3
"""Ours and the floor in turn, so many times; the quickest of each counts. dlt, which takes longer, once a mode."""

MUST = {"sqlite": (4.0, 2.0, 2.5, 1.7), "postgresql": (3.0, 1.0, 2.0, 1.4)}
"""Faster than dlt's default, faster than its best, at most so many floors, and the goal of that."""


def ours(server: Vendor, make: Callable[[], str]) -> tuple[Spent, Spent]:
    """Return what a first reading took, and a second one of the same."""
    url = make()
    with app_of(server, url) as app:
        with timed() as first:
            counts = backfill(app, DAYS)
        assert counts.added == DAYS * ROWS
        with timed() as again:
            counts = backfill(app, DAYS, again=True)
        assert (counts.unchanged, counts.added, counts.changed) == (DAYS * ROWS, 0, 0)
    drop(url)
    return first, again


def bare(server: Vendor, kind: str, make: Callable[[], str]) -> Spent:
    """Return what the floor took."""
    url = make()
    with timed() as spent:
        if kind == "sqlite":
            floor.into_sqlite(server.url, url.removeprefix("sqlite:///"), DAYS)
        else:
            floor.into_postgresql(server.url, url, DAYS)
    drop(url)
    return spent


def dlt(server: Vendor, mode: str, make: Callable[[], str]) -> float | None:
    """Return dlt's seconds, None where it is not installed."""
    python = os.environ.get("MPSYNC_BENCH_PYTHON")
    if python is None and importlib.util.find_spec("dlt") is None:
        return None
    url = make()
    made = make_url(url)
    if made.get_backend_name() != "sqlite":
        host = str(made.query["host"]).replace("/", "%2F")
        url_for_dlt = f"postgresql://{made.username}:none@{host}:5432/{made.database}"
    else:
        url_for_dlt = url
    script = str(Path(__file__).with_name("dlt_peer.py"))
    command = [python or sys.executable, script, mode, server.url, FIRST.isoformat(), str(DAYS), url_for_dlt]
    ran = subprocess.run(command, capture_output=True, text=True)
    drop(url)
    if ran.returncode != 0:
        raise RuntimeError(ran.stderr[-2000:])
    said = json.loads(ran.stdout.splitlines()[-1])
    assert said["rows"] == DAYS * ROWS
    return float(said["wall"])


def measure(table: Table, server: Vendor, kind: str) -> None:
    """Add the rows of one database."""
    work = f"backfill {DAYS} × {ROWS}, {kind}"
    default_times, best_times, floors, goal = MUST[kind]
    with databases(kind) as make:
        runs: list[tuple[Spent, Spent]] = []
        bares: list[Spent] = []
        for _ in range(TIMES):
            runs.append(ours(server, make))
            bares.append(bare(server, kind, make))
        first = min(run.wall for run, _ in runs)
        again = min(run.wall for _, run in runs)
        spent = min((run for run, _ in runs), key=lambda run: run.wall)
        note = f"{spent.cpu / DAYS / ROWS * 1e6:.1f} µs of CPU a row"
        table.add(Row(work, first, "s", floors, goal, "the bare floor", min(run.wall for run in bares), note=note))
        for mode, times in (("default", default_times), ("best", best_times)):
            peer = dlt(server, mode, make)
            if peer is None:
                print(f"  dlt is not installed: {work} vs its {mode} is left out", file=sys.stderr)
            else:
                table.add(Row(work, first, "s", times, None, f"dlt's {mode}", peer, "faster"))
        hashed = best_of(TIMES, lambda: floor.hash_all(server.url, DAYS)).wall
        table.add(Row(f"the same again, {kind}", again, "s", 1.3, 1.1, "fetching and hashing alone", hashed))


def main() -> None:
    """Measure both databases."""
    table = Table("backfill")
    with vendor(rows=ROWS, days=DAYS) as server:
        floor.hash_all(server.url, DAYS)
        for kind in DATABASES:
            measure(table, server, kind)
    table.report()


if __name__ == "__main__":
    main()
