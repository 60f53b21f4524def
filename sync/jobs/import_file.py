"""Files in place of a door or a feed: the ERP's documents, and MPservices' movements from an export."""

from __future__ import annotations

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

from sync.clients.mpservices.wire import Movement, read_movements
from sync.database.engine import lock_appends
from sync.database.runs import Counts, end_run, start_run
from sync.errors import ConfigError, MalformedResponseError
from sync.inbox.files.columns import Columns, Kind
from sync.inbox.files.reading import Line, Told, open_file
from sync.inbox.refusal_rows import Refusals
from sync.inbox.rows import ACCEPTED, REJECTED, add_row, add_rows, rejected_before, rejected_without_key
from sync.inbox.rules import columns_of
from sync.inbox.take_in import Incoming, counted, not_pushed, take_in
from sync.ledger.books import Books
from sync.ledger.movement_rules import kind_of
from sync.poll.feed.window import as_known, ingest_movements
from sync.values.money import plain
from sync.work.context import Context

DOCUMENT_TYPES = ("receipt", "issuance", "transfer", "inventory", "po_approval", "stock_cost", "product", "void")
MOVEMENT = "movement"
TYPES = (*DOCUMENT_TYPES, MOVEMENT)
SHOWN = 10
"""Documents that a dry run shows."""

BATCH = 500
"""Lines in one transaction: an import that is killed goes on where it was, since what is there is unchanged."""

_HEAD = ("id", "type", "createdAt", "reference")
_LINE = ("item_external_id", "item_id", "quantity", "cost", "unit", "item")
_FOLDED = {name.lower(): name for name in (*_HEAD, *_LINE, "movements")}
_MOVEMENT_KINDS: Mapping[str, Kind] = {"createdAt": "date", "quantity": "number", "cost": "number"}
_MOVEMENT = Columns(
    MOVEMENT,
    {name: _MOVEMENT_KINDS.get(name, "text") for name in (*_HEAD, *_LINE)},
    ("id", "type", "createdAt", "quantity"),
)


@dataclass(slots=True)
class ImportReport:
    """What became of a file's lines: how many are new, how many were known, and the number and reason of the rest.

    `numbered`: what the numbers count. `found`: how the file is written. `unknown`: columns that nothing reads.
    `shown`: the first of what is new, as it was read. `not_pushed`: how many of what is new lie before the go-live,
    which `cut` names: they are recorded, and never pushed.
    """

    accepted: int = 0
    unchanged: int = 0
    rejected: list[tuple[int, str]] = field(default_factory=list)
    numbered: str = "line"
    found: dict[str, str] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    shown: list[dict[str, object]] = field(default_factory=list)
    not_pushed: int = 0
    cut: str = ""


def import_file(
    ctx: Context, path: Path, type: str, *, push: bool = False, told: Told | None = None, dry_run: bool = False
) -> ImportReport:
    """Take in a file line by line; the same file twice changes nothing.

    `type` is a document_type of the inbox, or `movement`; movements are recorded, and pushed only with `push`.
    `dry_run`: nothing is written, and the report says what would be. Raises ConfigError where the file cannot be read
    at all, and FileNotTakenError where it is not what it has to be or holds nothing.
    """
    if type not in TYPES:
        raise ConfigError(f"unknown document type {type}", hint=f"it is one of {', '.join(TYPES)}")
    opened = open_file(path, _MOVEMENT if type == MOVEMENT else columns_of(type), told)
    report = ImportReport(numbered=opened.numbered, found=dict(opened.found), unknown=set(opened.unknown))
    report.cut = not_pushed(ctx.policy.day(ctx.policy.push_from))
    if type == MOVEMENT:
        _import_movements(ctx, opened.lines(), report, push=push, dry_run=dry_run)
    else:
        _import_documents(ctx, opened.lines(), type, report, dry_run=dry_run)
    report.rejected.sort()
    return report


# --- documents ----------------------------------------------------------------------------


def _import_documents(ctx: Context, lines: Iterable[Line], type_: str, report: ImportReport, *, dry_run: bool) -> None:
    nameless = _Nameless(type_)
    before: dict[tuple[str, str], str] = {}
    rest = iter(lines)
    while batch := list(islice(rest, BATCH)):
        readable = [line for line in batch if line.error is None]
        report.rejected += [(line.number, line.error) for line in batch if line.error is not None]
        with ctx.leader_writes() as books, _kept_unless(books.conn, dry_run):
            _take_lines(books, readable, nameless, report, before)


@contextmanager
def _kept_unless(conn: Connection, dry_run: bool) -> Iterator[None]:
    """Take back at its end what is written meanwhile, where it is only tried."""
    point = conn.begin_nested() if dry_run else None
    yield
    if point is not None:
        point.rollback()


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


def _take_lines(
    books: Books,
    lines: list[Line],
    nameless: _Nameless,
    report: ImportReport,
    before: dict[tuple[str, str], str],
) -> None:
    """Take in a batch; `before`: what the batches before it held, which a dry run has not kept."""
    type_ = nameless.type
    incoming = [_incoming(line, type_) for line in lines]
    run_id = start_run(books.conn, "import", now=books.now)
    verdicts = take_in(books.of_run(run_id), incoming, before=before)
    rows = []
    refusals = Refusals()
    for line, one, verdict in zip(lines, incoming, verdicts, strict=True):
        if verdict.document is not None:
            report.unknown |= set(verdict.document.ignored)
        if verdict.accepted and not verdict.new:
            report.unchanged += 1
            continue
        if verdict.new and verdict.document is not None:
            report.accepted += 1
            report.not_pushed += verdict.before_cut
            before[verdict.document.type, verdict.document.remote_id] = verdict.document.digest
            _show(report, line.number, {"api_key": verdict.document.api_key, **verdict.document.fields})
        else:
            report.rejected.append((line.number, verdict.error or "rejected"))
            if not _is_new_refusal(books.conn, one, nameless):
                continue
        row = {
            "document_type": type_,
            "api_key": one.api_key,
            "payload": one.payload,
            "state": ACCEPTED if verdict.accepted else REJECTED,
            "error": verdict.error,
            "received_at": books.now,
            "decided_at": books.now,
            "digest": verdict.document.digest if verdict.document is not None else None,
        }
        if verdict.accepted and verdict.document is not None:
            refusals.forget(verdict.document)
            rows.append(row)
        else:
            row_id = add_row(books.conn, row)
            if not verdict.conflict:
                refusals.add(row_id, type_, one.api_key, one.payload, verdict.error or "rejected")
    add_rows(books.conn, rows)
    refusals.tell(books)
    end_run(books.conn, run_id, now=books.now, counts=counted(verdicts))


def _show(report: ImportReport, number: int, fields: Mapping[str, object]) -> None:
    if len(report.shown) < SHOWN:
        read = {name: plain(value) if isinstance(value, Decimal) else str(value) for name, value in fields.items()}
        report.shown.append({report.numbered: number, **read})


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


def _import_movements(ctx: Context, lines: Iterable[Line], report: ImportReport, *, push: bool, dry_run: bool) -> None:
    """Take in an export: lines of one id are one movement, even when they stand apart."""
    with _scratch() as scratch:
        _spill(scratch, lines, report)
        groups = _groups(scratch)
        while batch := list(islice(groups, BATCH)):
            _take_movements(ctx, batch, report, push=push, dry_run=dry_run)


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
            "create table spelt (folded text, created text, id text not null, number integer not null, "
            "primary key (folded, created)) without rowid;"
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
        error = _spelt_otherwise(scratch, name, str(fields.get("createdAt")), line.number)
        if error is not None:
            report.rejected.append((line.number, error))
            continue
        fields["id"] = name
        text = json.dumps(fields, default=_exact)
        scratch.execute("insert into lines values (?, ?, ?)", (line.number, name, text))
        scratch.execute("insert or ignore into firsts values (?, ?)", (name, line.number))


def _spelt_otherwise(scratch: sqlite3.Connection, name: str, created: str, number: int) -> str | None:
    """Refuse an id that stands before in other letters, with the same createdAt: it is one movement, not two.

    A line more of it, or the same line once more, is not told by the file: taken as it stands it would count twice.
    Fractions of a second are left aside.
    """
    created = created.strip()[:19]
    scratch.execute("insert or ignore into spelt values (?, ?, ?, ?)", (name.lower(), created, name, number))
    query = "select id, number from spelt where folded = ? and created = ?"
    first, at = scratch.execute(query, (name.lower(), created)).fetchone()
    if first == name:
        return None
    return (
        f"id {name} is line {at}'s id {first} in other letters, of the same createdAt: one movement. Where this line "
        f"is a further one of it, write its id as {first}; else leave it out"
    )


def _groups(scratch: sqlite3.Connection) -> Iterator[tuple[str, list[tuple[int, dict[str, Any]]]]]:
    """Yield each id with its lines, in the order in which the ids first appear."""
    for (movement_id,) in scratch.execute("select id from firsts order by number"):
        rows = scratch.execute("select number, fields from lines where id = ? order by number", (movement_id,))
        yield movement_id, [(number, json.loads(fields)) for number, fields in rows]


def _take_movements(
    ctx: Context,
    groups: list[tuple[str, list[tuple[int, dict[str, Any]]]]],
    report: ImportReport,
    *,
    push: bool,
    dry_run: bool,
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
        for line in movement.lines:
            head = {"id": movement.id, "type": movement.type, "createdAt": movement.created_at.isoformat()}
            item = line.item_external_id or line.item_id
            _show(report, at[0], head | {"item": item, "quantity": line.quantity, "cost": line.cost})
    if not movements:
        return
    with ctx.leader_writes() as books, _kept_unless(books.conn, dry_run):
        run_id = start_run(books.conn, "import", now=books.now)
        lock_appends(books.conn)
        movements = as_known(books.conn, movements, known=())
        numbers = dict(zip((one.id for one in movements), numbers.values(), strict=True))
        done = ingest_movements(books.of_run(run_id), movements, source="import", push=push)
        end_run(books.conn, run_id, now=books.now, counts=_plain(done.counts, len(done.bad)))
    if push:
        early = [one for one in movements if one.created_at < ctx.policy.push_from_there]
        report.not_pushed += sum(len(one.lines) for one in early if one.id in done.readable)
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
    below = next((line for line in movement.lines if line.quantity < 0), None)
    if below is not None:  # an export that signs its quantities: taken so, it would be the opposite of what it says
        raise ValueError(
            f"its quantity {plain(below.quantity)} contradicts its type {movement.type}: write the quantity without a "
            "sign, or, where it went the other way, the other type"
        )
    return movement
