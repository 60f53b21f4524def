"""Files in place of a door or a feed: the ERP's documents, and MPservices' movements from an export."""

from __future__ import annotations

import csv
import hashlib
import json
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from sync.clients.jsontext import decode
from sync.clients.mpservices.wire import Movement, read_movements
from sync.database.engine import lock_appends
from sync.database.runs import Counts, end_run, start_run
from sync.errors import ConfigError, MalformedResponseError
from sync.inbox.rows import ACCEPTED, REJECTED, add_rows, rejected_before, rejected_without_key
from sync.inbox.take_in import Incoming, counted, take_in
from sync.ledger.books import Books
from sync.ledger.movement_rules import kind_of
from sync.poll.feed.window import as_known, ingest_movements
from sync.work.context import Context

DOCUMENT_TYPES = ("receipt", "issuance", "transfer", "inventory", "po_approval", "stock_cost", "product", "void")
MOVEMENT = "movement"
TYPES = (*DOCUMENT_TYPES, MOVEMENT)
BATCH = 500
"""Lines in one transaction: an import that is killed goes on where it was, since what is there is unchanged."""

MOVEMENT_COLUMNS = (
    "id",
    "type",
    "createdAt",
    "reference",
    "item_external_id",
    "item_id",
    "quantity",
    "cost",
    "unit",
    "item",
)
_HEAD = ("id", "type", "createdAt", "reference")
_LINE = ("item_external_id", "item_id", "quantity", "cost", "unit", "item")
_FOLDED = {name.lower(): name for name in (*MOVEMENT_COLUMNS, "movements")}
_NUL_OR_SURROGATE = ("\x00", *map(chr, range(0xDC80, 0xDD00)))


@dataclass(slots=True)
class ImportReport:
    """What became of a file's lines: how many are new, how many were known, and the number and reason of the rest."""

    accepted: int = 0
    unchanged: int = 0
    rejected: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the file: its fields, or why it has none."""

    number: int
    fields: Mapping[str, object]
    error: str | None = None


def import_file(ctx: Context, path: Path, type: str, *, push: bool = False) -> ImportReport:
    """Take in a CSV (with header) or JSONL file, line by line; the same file twice changes nothing.

    `type` is a document_type of the inbox, or `movement`; movements are recorded, and pushed only with
    `push`. Raises ConfigError where the file cannot be read at all.
    """
    if type not in TYPES:
        raise ConfigError(f"unknown document type {type}", hint=f"it is one of {', '.join(TYPES)}")
    lines = read_lines(path)
    if type == MOVEMENT:
        return _import_movements(ctx, lines, push=push)
    return _import_documents(ctx, lines, type)


# --- reading ------------------------------------------------------------------------------


def read_lines(path: Path) -> Iterator[Line]:
    """Yield a file's lines in their order, numbered as an editor does; empty ones are passed over."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as source:
            yield from _json_lines(source) if _is_json(path) else _csv_lines(source, path)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None


def _is_json(path: Path) -> bool:
    """Tell JSONL from CSV by the name, else by the first character."""
    if path.suffix.lower() in (".jsonl", ".ndjson", ".json"):
        return True
    if path.suffix.lower() == ".csv":
        return False
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as source:
        return source.read(4096).lstrip().startswith("{")


def _json_lines(source: Iterable[str]) -> Iterator[Line]:
    for number, text in enumerate(source, start=1):
        if not text.strip():
            continue
        try:
            value = decode(text.encode("utf-8", "surrogateescape"))
        except ValueError as error:
            yield Line(number, {}, f"no JSON: {error}")
            continue
        yield Line(number, value) if isinstance(value, dict) else Line(number, {}, "no JSON object")


def _csv_lines(source: Iterable[str], path: Path) -> Iterator[Line]:
    """Read CSV to the letter: a quote that is never closed would else swallow the documents behind it."""
    reader = csv.reader(source, strict=True)
    header = _header(reader, path)
    end = reader.line_num
    while True:
        number = end + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            end = reader.line_num
            rest = f"; nothing up to line {end} was read" if end > number else ""
            yield Line(number, {}, f"no CSV: {error}{rest}")
            continue
        end = reader.line_num
        if not any(cell.strip() for cell in row):
            continue
        yield _csv_line(number, header, row)


def _csv_line(number: int, header: list[str], row: list[str]) -> Line:
    if len(row) > len(header):
        return Line(number, {}, f"{len(row)} values under {len(header)} columns")
    if any(mark in cell for cell in row for mark in _NUL_OR_SURROGATE):
        return Line(number, {}, "it is not UTF-8 text")
    return Line(number, {name: cell for name, cell in zip(header, row, strict=False) if cell.strip()})


def _header(reader: Iterator[list[str]], path: Path) -> list[str]:
    try:
        header = [name.strip() for name in next(reader)]
    except StopIteration:
        return []
    except csv.Error as error:
        raise ConfigError(f"{path}: the header is no CSV: {error}") from None
    if not all(header) or len({name.lower() for name in header}) < len(header):
        raise ConfigError(f"{path}: the first line must name each column once", hint="CSV needs a header")
    return header


# --- documents ----------------------------------------------------------------------------


def _import_documents(ctx: Context, lines: Iterable[Line], type_: str) -> ImportReport:
    report = ImportReport()
    nameless = _Nameless(type_)
    rest = iter(lines)
    while batch := list(islice(rest, BATCH)):
        readable = [line for line in batch if line.error is None]
        report.rejected += [(line.number, line.error) for line in batch if line.error is not None]
        with ctx.leader_writes() as books:
            _take_lines(books, readable, nameless, report)
    report.rejected.sort()
    return report


@dataclass(slots=True)
class _Nameless:
    """The documents without a key that were refused before: looked up once, since no index tells them apart."""

    type: str
    digests: set[bytes] | None = None

    def add(self, conn: Connection, payload: str) -> bool:
        """Note a refused document; tell whether it is a new one."""
        if self.digests is None:
            self.digests = {_digest(known) for known in rejected_without_key(conn, self.type)}
        before = len(self.digests)
        self.digests.add(_digest(payload))
        return len(self.digests) > before


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).digest()[:16]


def _is_new_refusal(conn: Connection, one: Incoming, nameless: _Nameless) -> bool:
    payload = one.payload or ""
    if one.api_key is None:
        return nameless.add(conn, payload)
    return not rejected_before(conn, nameless.type, one.api_key, payload)


def _take_lines(books: Books, lines: list[Line], nameless: _Nameless, report: ImportReport) -> None:
    type_ = nameless.type
    incoming = [_incoming(line, type_) for line in lines]
    run_id = start_run(books.conn, "import", now=books.now)
    verdicts = take_in(books.of_run(run_id), incoming)
    rows = []
    for line, one, verdict in zip(lines, incoming, verdicts, strict=True):
        if verdict.accepted and not verdict.new:
            report.unchanged += 1
            continue
        if verdict.new:
            report.accepted += 1
        else:
            report.rejected.append((line.number, verdict.error or "rejected"))
            if not _is_new_refusal(books.conn, one, nameless):
                continue
        rows.append(
            {
                "document_type": type_,
                "api_key": one.api_key,
                "payload": one.payload,
                "state": ACCEPTED if verdict.accepted else REJECTED,
                "error": verdict.error,
                "received_at": books.now,
                "decided_at": books.now,
                "digest": verdict.document.digest if verdict.document is not None else None,
            }
        )
    add_rows(books.conn, rows)
    end_run(books.conn, run_id, now=books.now, counts=counted(verdicts))


def _incoming(line: Line, type_: str) -> Incoming:
    """Return a line as a row of the inbox: `api_key` beside the payload's fields, flat."""
    fields = {str(name).strip().lower(): value for name, value in line.fields.items()}
    key = fields.pop("api_key", None)
    api_key = None if key is None else str(key).strip().replace("\x00", "")
    payload = json.dumps(fields, default=_exact, ensure_ascii=True)
    return Incoming(type_, api_key, payload)


def _exact(value: object) -> str:
    """Return a number as a text: the inbox reads both, and json would write a Decimal as neither."""
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"not from a file: {value!r}")


# --- movements ----------------------------------------------------------------------------


def _import_movements(ctx: Context, lines: Iterable[Line], *, push: bool) -> ImportReport:
    """Take in an export: lines of one id are one movement, even when they stand apart."""
    report = ImportReport()
    with _scratch() as scratch:
        _spill(scratch, lines, report)
        groups = _groups(scratch)
        while batch := list(islice(groups, BATCH)):
            _take_movements(ctx, batch, report, push=push)
    report.rejected.sort()
    return report


@contextmanager
def _scratch() -> Iterator[sqlite3.Connection]:
    """Yield a database of our own on disk: an export may be larger than memory."""
    with (
        tempfile.TemporaryDirectory(prefix="mpsync-import-") as folder,
        closing(sqlite3.connect(Path(folder) / "lines.db")) as scratch,
    ):
        scratch.executescript(
            "pragma journal_mode=off; pragma synchronous=off;"
            "create table lines (number integer primary key, id text not null, fields text not null);"
            "create index ix on lines (id, number);"
            "create table firsts (id text primary key, number integer not null) without rowid;"
        )
        yield scratch


def _spill(scratch: sqlite3.Connection, lines: Iterable[Line], report: ImportReport) -> None:
    for line in lines:
        fields = {_FOLDED.get(name.strip().lower(), name): value for name, value in line.fields.items()}
        movement_id = fields.get("id")
        error = line.error
        if error is None and (isinstance(movement_id, (dict, list, bool)) or not str(movement_id or "").strip()):
            error = "id is missing"
        if error is not None:
            report.rejected.append((line.number, error))
            continue
        name = str(movement_id).strip()
        text = json.dumps(fields, default=_exact)
        scratch.execute("insert into lines values (?, ?, ?)", (line.number, name, text))
        scratch.execute("insert or ignore into firsts values (?, ?)", (name, line.number))


def _groups(scratch: sqlite3.Connection) -> Iterator[tuple[str, list[tuple[int, dict[str, Any]]]]]:
    """Yield each id with its lines, in the order in which the ids first appear."""
    for (movement_id,) in scratch.execute("select id from firsts order by number"):
        rows = scratch.execute("select number, fields from lines where id = ? order by number", (movement_id,))
        yield movement_id, [(number, json.loads(fields)) for number, fields in rows]


def _take_movements(
    ctx: Context, groups: list[tuple[str, list[tuple[int, dict[str, Any]]]]], report: ImportReport, *, push: bool
) -> None:
    movements: list[Movement] = []
    numbers: dict[str, list[int]] = {}
    for movement_id, rows in groups:
        at = [number for number, _ in rows]
        try:
            movement = _movement([fields for _, fields in rows])
        except ValueError as error:
            report.rejected += [(number, str(error)) for number in at]
            continue
        numbers[movement_id] = at
        movements.append(movement)
    if not movements:
        return
    with ctx.leader_writes() as books:
        run_id = start_run(books.conn, "import", now=books.now)
        lock_appends(books.conn)
        movements = as_known(books.conn, movements, known=())
        numbers = dict(zip((one.id for one in movements), numbers.values(), strict=True))
        done = ingest_movements(books.of_run(run_id), movements, source="import", push=push)
        end_run(books.conn, run_id, now=books.now, counts=_plain(done.counts, len(done.bad)))
    report.unchanged += done.counts.unchanged
    report.accepted += done.counts.added + done.counts.changed
    for bad in done.bad:
        report.rejected += [(number, bad.reason) for number in numbers.get(bad.remote_id or "", [])]


def _plain(counts: Counts, rejected: int) -> Counts:
    return Counts(counts.seen, counts.added, counts.changed, counts.voided, counts.unchanged, rejected)


def _movement(rows: list[dict[str, Any]]) -> Movement:
    """Return the movement that its lines describe, read as the feed's own would be; raises ValueError."""
    if len(rows) == 1 and "movements" in rows[0]:
        value: dict[str, Any] = rows[0]
    else:
        head = {name: rows[0].get(name) for name in _HEAD}
        for row in rows[1:]:
            differing = [name for name in _HEAD if row.get(name) != head[name]]
            if differing:
                raise ValueError(f"lines of movement {head['id']} differ in {', '.join(differing)}")
        value = {**head, "movements": [{name: row.get(name) for name in _LINE} for row in rows]}
    try:
        parsed = read_movements(json.dumps([value]).encode())
    except MalformedResponseError as error:
        raise ValueError(error.message) from None
    if parsed.bad:
        raise ValueError(parsed.bad[0].reason)
    movement = parsed.rows[0]
    if kind_of(movement.type) is None:
        raise ValueError(f"type {movement.type!r} is neither Inbound nor Outbound")
    return movement
