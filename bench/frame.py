"""What every measurement shares: a row of the table, the clock of a piece of work, and where results go."""

from __future__ import annotations

import gc
import json
import os
import platform
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

RESULTS = Path(__file__).with_name("results.json")
"""All scripts write here, each under its own name; `python -m bench` fills it whole."""

Kind = Literal["times", "faster", "at most"]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    `kind` says what counts: "times" is measured / peer and may be `must` at most, "faster" is peer / measured
    and must be `must` at least, "at most" is the measured figure itself.
    """

    work: str
    measured: float
    unit: str
    must: float
    goal: float | None = None
    against: str = ""
    peer: float | None = None
    kind: Kind = "times"
    note: str = ""

    @property
    def value(self) -> float:
        """The figure that is held against `must`."""
        if self.kind == "at most" or self.peer is None:
            return self.measured
        return self.measured / self.peer if self.kind == "times" else self.peer / self.measured

    @property
    def met(self) -> bool:
        """Whether the issue's bound is kept."""
        return self.value >= self.must if self.kind == "faster" else self.value <= self.must


@dataclass(slots=True)
class Spent:
    """What a piece of work took, in seconds: by the wall, and of this process's CPU in all its threads."""

    wall: float = 0.0
    cpu: float = 0.0


@contextmanager
def timed() -> Iterator[Spent]:
    """Measure a block."""
    gc.collect()
    spent = Spent()
    wall, cpu = time.perf_counter(), time.process_time()
    yield spent
    spent.wall, spent.cpu = time.perf_counter() - wall, time.process_time() - cpu


def best_of(times: int, work: Callable[[], object]) -> Spent:
    """Return the quickest of several runs, by the wall: what else the machine did only ever adds."""
    runs: list[Spent] = []
    for _ in range(times):
        with timed() as spent:
            work()
        runs.append(spent)
    return min(runs, key=lambda run: run.wall)


def median_of(times: int, work: Callable[[], object]) -> Spent:
    """Return the medians of several runs: for work of milliseconds."""
    runs: list[Spent] = []
    for _ in range(times):
        with timed() as spent:
            work()
        runs.append(spent)
    return Spent(statistics.median(run.wall for run in runs), statistics.median(run.cpu for run in runs))


def peak_megabytes(pid: int | str = "self") -> float:
    """Return the most memory that a process ever held, in MB (Linux: VmHWM)."""
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def report(name: str, rows: Sequence[Row]) -> None:
    """Print the table of a measurement and write it into bench/results.json under its name."""
    print(f"\n{name}")
    for row in rows:
        print(_line(row))
    sys.stdout.flush()
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    known["machine"] = machine()
    known[name] = [asdict(row) | {"value": round(row.value, 4), "met": row.met} for row in rows]
    RESULTS.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")


def machine() -> dict[str, object]:
    """Say what the figures were taken on."""
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "kernel": platform.release(),
        "load": round(os.getloadavg()[0], 2),
    }


def _line(row: Row) -> str:
    sign = {"times": "≤", "faster": "≥", "at most": "≤"}[row.kind]
    unit = row.unit if row.kind == "at most" else "×"
    goal = "" if row.goal is None else f" (goal {row.goal:g})"
    peer = "" if row.peer is None else f"   {row.measured:.3f} {row.unit} against {row.peer:.3f}"
    mark = "ok   " if row.met else "SHORT"
    name = f"{row.work}{' vs ' + row.against if row.against else ''}"
    note = f"   {row.note}" if row.note else ""
    return f"  {mark} {name:<64} {row.value:>9.2f} {unit:<3} {sign} {row.must:g}{goal}{peer}{note}"


@dataclass(slots=True)
class Table:
    """Rows in the making: `add` prints nothing, `report` says all."""

    name: str
    rows: list[Row] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """Add a line and say it at once: a long run should show how far it is."""
        self.rows.append(row)
        print(_line(row), file=sys.stderr, flush=True)

    def report(self) -> None:
        """Print and write all of it."""
        report(self.name, self.rows)
