"""The ledger as a file."""

from __future__ import annotations

import csv
import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from sync.database.engine import Store
from sync.errors import ConfigError
from sync.jobs.export import export_ledger
from sync.ledger.books import Books
from sync.ledger.rules import NewEntry
from tests.clocks import FakeClock


def entry(n: int, *, item: str = "P-1", day: int = 1) -> NewEntry:
    quantity, cost = Decimal("3"), Decimal("43.2705")
    return NewEntry(
        "mpw", "receipt", f"key-{n}", str(n), item, "Warehouse #1", quantity, cost, quantity * cost, date(2024, 3, day)
    )


def fill(store: Store, clock: FakeClock, entries: list[NewEntry]) -> None:
    with store.write() as conn:
        Books(conn, now=clock.now()).append(entries)


def test_the_last_seq_is_a_cursor_that_neither_repeats_nor_misses(
    store: Store, clock: FakeClock, tmp_path: Path
) -> None:
    fill(store, clock, [entry(1), entry(2)])
    with store.read() as conn:
        first = export_ledger(conn, tmp_path / "a.jsonl")
    fill(store, clock, [entry(3)])

    with store.read() as conn:
        second = export_ledger(conn, tmp_path / "b.jsonl", after=first.last_seq)

    assert first.entries == 2
    [line] = (tmp_path / "b.jsonl").read_text().splitlines()
    assert json.loads(line)["api_key"] == "key-3"
    assert json.loads(line)["amount"] == "129.8115"
    assert second.last_seq == first.last_seq + 1


def test_text_that_a_spreadsheet_would_run_is_disarmed_and_numbers_are_not(
    sqlite_store: Store, clock: FakeClock, tmp_path: Path
) -> None:
    fill(sqlite_store, clock, [entry(1, item='=HYPERLINK("x")')])
    with sqlite_store.read() as conn:
        export_ledger(conn, tmp_path / "a.csv")

    [row] = csv.DictReader((tmp_path / "a.csv").read_text().splitlines())
    assert row["item"] == '\'=HYPERLINK("x")'
    assert row["amount"] == "129.8115"


def test_days_bound_what_is_written(store: Store, clock: FakeClock, tmp_path: Path) -> None:
    fill(store, clock, [entry(n, day=n) for n in (1, 2, 3, 4)])

    with store.read() as conn:
        done = export_ledger(conn, tmp_path / "a.csv", first=date(2024, 3, 2), last=date(2024, 3, 3))

    assert done.entries == 2


def test_another_kind_of_file_is_refused_and_nothing_is_left_behind(sqlite_store: Store, tmp_path: Path) -> None:
    with sqlite_store.read() as conn, pytest.raises(ConfigError, match=r"a\.xlsx"):
        export_ledger(conn, tmp_path / "a.xlsx")

    assert [path for path in tmp_path.iterdir() if path.name.startswith((".a", "a."))] == []


def test_an_instant_is_utc_with_a_z_in_either_kind_of_file(store: Store, clock: FakeClock, tmp_path: Path) -> None:
    fill(store, clock, [entry(1)])
    with store.read() as conn:
        export_ledger(conn, tmp_path / "a.csv")
        export_ledger(conn, tmp_path / "a.jsonl")

    [row] = csv.DictReader((tmp_path / "a.csv").read_text().splitlines())
    assert datetime.fromisoformat(row["recorded_at"]) == clock.now()
    assert row["recorded_at"].endswith("Z")
    assert json.loads((tmp_path / "a.jsonl").read_text())["recorded_at"].endswith("Z")
