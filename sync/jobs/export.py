"""Writes the ledger to a file for the ERP or a spreadsheet."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection

from sync.errors import ConfigError
from sync.jobs.reports import Record, rows
from sync.values.cells import neutralised
from sync.values.money import from_micros, plain

COLUMNS = (
    "seq",
    "system",
    "kind",
    "api_key",
    "remote_id",
    "entry_type",
    "reverses_id",
    "item",
    "warehouse",
    "quantity",
    "unit_cost",
    "amount",
    "occurred_on",
    "posted_on",
    "recorded_at",
    "run_id",
)

_PAGE = 5_000


@dataclass(frozen=True, slots=True)
class Exported:
    """What went into the file; `last_seq` is the cursor for the next `--after`."""

    entries: int
    last_seq: int


def export_ledger(
    conn: Connection, path: Path, *, first: date | None = None, last: date | None = None, after: int = 0
) -> Exported:
    """Write the entries of occurred_on `first` to `last` with seq > `after` to a .csv or .jsonl file.

    The file appears whole or not at all. In CSV, text that a spreadsheet would run as a formula
    gets an apostrophe in front (edge case M51); numbers never do. Raises ConfigError for another
    file name, or a folder that cannot be written.
    """
    if path.suffix not in (".csv", ".jsonl"):
        raise ConfigError(f"{path}: do not know this kind of file", hint="name it .csv or .jsonl")
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise ConfigError(f"{path}: cannot write there: {error.strerror}") from None
    entries, last_seq = 0, after
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            write = csv.writer(file) if path.suffix == ".csv" else None
            if write is not None:
                write.writerow(COLUMNS)
            for entry in _entries(conn, first=first, last=last, after=after):
                if write is not None:
                    write.writerow([_cell(entry[name]) for name in COLUMNS])
                else:
                    file.write(msgspec.json.encode(entry, enc_hook=str).decode() + "\n")
                entries, last_seq = entries + 1, entry["seq"]
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return Exported(entries, last_seq)


def _entries(conn: Connection, *, first: date | None, last: date | None, after: int) -> Iterator[Record]:
    conditions = "seq > :after"
    values: dict[str, Any] = {}
    if first is not None:
        conditions += " and occurred_on >= :first"
        values["first"] = first if conn.dialect.name == "postgresql" else first.isoformat()
    if last is not None:
        conditions += " and occurred_on <= :last"
        values["last"] = last if conn.dialect.name == "postgresql" else last.isoformat()
    sql = f"select * from v_ledger where {conditions} order by seq limit {_PAGE}"  # noqa: S608 - our own text
    while True:
        page = rows(conn, sql, after=after, **values)
        for row in page:
            exact = {name: plain(from_micros(row[f"{name}_micros"])) for name in ("quantity", "unit_cost", "amount")}
            yield {name: row[name] for name in COLUMNS} | exact
        if len(page) < _PAGE:
            return
        after = page[-1]["seq"]


def _cell(value: Any) -> Any:
    """Return a value as CSV has it: an instant as in JSONL, whatever zone the database's session is in."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return neutralised(value) if isinstance(value, str) else value
