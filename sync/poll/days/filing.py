"""Filing the rows of whole days: what is new, what changed, what moved, what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import Row

from sync.clients.mpw.day_rows import DayRow
from sync.clients.rows import BadRow
from sync.database.engine import lock_appends
from sync.database.runs import Counts
from sync.ledger.books import Books
from sync.ledger.coverage import covered_days, is_outdated
from sync.ledger.documents import documents_by_remote_id, update_documents
from sync.ledger.entries import entries_by_id
from sync.ledger.rules import NewEntry, new_entry
from sync.outbox.evidence import same_key
from sync.outbox.pushed import events_of_keys, keys_of_pushed_rows
from sync.poll.days.marker_seen import learn_markers
from sync.poll.days.new_days import Ready, file_ready, look
from sync.poll.days.prepared import NewRows, append_packs, pack
from sync.poll.days.sources import DaySource
from sync.values.keys import is_key, markers
from sync.values.money import from_micros, times_micros, to_micros
from sync.values.policy import Policy
from sync.values.systems import MPW


@dataclass(slots=True)
class Arrival:
    """The rows of one day's answer. Rows that turn out not to fit the ledger move to `bad`."""

    day: date
    began_at: datetime
    rows: list[DayRow]
    bad: list[BadRow]
    ready: Ready | None = None
    timely: bool = True  # our clock was right: what is lacking may be called missing


@dataclass(slots=True)
class Filing:
    """What filing did. `unclean` days must be read in full again; `due` are documents gone for long enough."""

    counts: dict[date, Counts] = field(default_factory=dict)
    unclean: set[date] = field(default_factory=set)
    due: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Change:
    """A row that differs from its document: `entry` is the original to append, `reverses` the one it replaces."""

    row: DayRow
    day: date
    document: Row[Any]
    api_key: str
    entry: NewEntry | None = None
    reverses: int | None = None


_Fresh = tuple[DayRow, date, str, int]
"""A row that was never seen, the day it was asked for, its event's key and its amount in millionths.

Most rows are; so they are kept light.
"""


def file_rows(
    books: Books, source: DaySource, arrivals: Sequence[Arrival], *, asked: Callable[[], object] | None = None
) -> Filing:
    """File the rows of whole days (the older reading first) and mark what they lack.

    A row belongs to the day that was asked for, its entry to its created_on. One that is known under
    another day has moved: it is not a delete there. `asked` is called once it is known which days are all new,
    before their rows are written.
    """
    filing = Filing(counts={arrival.day: Counts(seen=len(arrival.rows) + len(arrival.bad)) for arrival in arrivals})
    made = [arrival.ready for arrival in arrivals if arrival.ready is not None]
    if made and _share_rows(arrivals):
        made = []
    of_days, unseen = look(books.conn, source, [arrival.day for arrival in arrivals], made)
    if asked is not None:
        asked()
    file_ready(books, source, unseen)
    arrivals = _others(arrivals, unseen, filing)
    if not arrivals:
        return filing
    seen = _latest(arrivals)
    known = {row.remote_id: row for row in of_days}
    known.update(
        documents_by_remote_id(
            books.conn, MPW, source.kind, (remote_id for remote_id in seen if remote_id not in known)
        )
    )
    _drop_outdated(books.conn, source, seen, known, filing, books.run)
    new = [(row, arrival.day, None) for row, arrival in seen.values() if row.remote_id not in known]
    differing = [
        (row, arrival.day, known[row.remote_id])
        for row, arrival in (seen.values() if known else ())
        if row.remote_id in known and _differs(row, arrival.day, known[row.remote_id])
    ]
    changes = _changes(books.conn, source, differing, seen)
    fresh = _fresh(books.conn, source, new, seen)
    learn_markers(books, source.kind, [row for row, _, _ in (*new, *differing)])
    _count(filing, seen, changes, fresh)
    _write(books, source, changes)
    _write_fresh(books, source, fresh)
    _mark_missing(books.conn, arrivals, of_days, seen, filing, books.policy)
    return filing


def file_found(books: Books, source: DaySource, rows: Sequence[DayRow]) -> int:
    """File rows that something else than a poll of their day has read; return how many were not known.

    Each is filed under the day it is dated to, and what is known of it already stays: its day's reading tells more.
    """
    if not rows:
        return 0
    lock_appends(books.conn)
    known = documents_by_remote_id(books.conn, MPW, source.kind, [row.remote_id for row in rows])
    new = [(row, row.created_on, None) for row in rows if row.remote_id not in known]
    keys = _keys(books.conn, source, new)
    fresh = []
    for row, day, _ in new:
        try:
            fresh.append((row, day, keys[row.remote_id], times_micros(row.quantity, row.unit_cost)))
        except ValueError:
            continue  # too large for the ledger: its day's reading puts it into quarantine
    _write_fresh(books, source, fresh)
    return len(fresh)


def _others(arrivals: Sequence[Arrival], filed: Sequence[Ready], filing: Filing) -> list[Arrival]:
    """Count the rows of the days that were filed whole; return the other days."""
    whole = {id(one) for one in filed}
    for arrival in arrivals:
        if id(arrival.ready) in whole:
            filing.counts[arrival.day].added += len(arrival.rows)
    return [arrival for arrival in arrivals if id(arrival.ready) not in whole]


def _share_rows(arrivals: Sequence[Arrival]) -> bool:
    """Tell whether a row stands in two of these answers: it moved from one day to another in between."""
    days = [
        [row.remote_id for row in arrival.rows] if arrival.ready is None else arrival.ready.pack.remote_ids
        for arrival in arrivals
    ]
    return len(set().union(*days)) < sum(map(len, days))


_Seen = dict[str, tuple[DayRow, Arrival]]


def _latest(arrivals: Sequence[Arrival]) -> _Seen:
    """Return each row as the last of these readings shows it."""
    return {row.remote_id: (row, arrival) for arrival in arrivals for row in arrival.rows}


def _drop_outdated(
    conn: Connection, source: DaySource, seen: _Seen, known: Mapping[str, Row[Any]], filing: Filing, run_id: int
) -> None:
    """Leave out rows that a reading of another day has shown there, and that may be newer than this answer."""
    moved = {
        remote_id: known[remote_id].day
        for remote_id, (_, arrival) in seen.items()
        if remote_id in known and known[remote_id].day != arrival.day
    }
    if not moved:
        return
    elsewhere = covered_days(conn, source.name, {day for day in moved.values() if day is not None})
    for remote_id, day in moved.items():
        arrival = seen[remote_id][1]
        newer = is_outdated(elsewhere.get(day), run_id, arrival.began_at)
        if newer and known[remote_id].missing_since is None and known[remote_id].voided_at is None:
            del seen[remote_id]
            filing.unclean.add(arrival.day)


def _differs(row: DayRow, day: date, document: Row[Any]) -> bool:
    return (
        document.digest != row.digest
        or (None if document.remaining is None else to_micros(document.remaining)) != row.remaining
        or document.day != day
        or document.missing_since is not None
        or document.voided_at is not None
    )


def _changes(
    conn: Connection,
    source: DaySource,
    differing: Sequence[tuple[DayRow, date, Row[Any]]],
    seen: _Seen,
) -> list[_Change]:
    """Work out keys and entries; a row whose amount does not fit the ledger becomes a bad row."""
    if not differing:
        return []
    filed = [item for item in differing if _needs_key(*item)]
    keys = _keys(conn, source, filed)
    live = entries_by_id(conn, (doc.entry_id for _, _, doc in filed if doc.entry_id is not None))
    changes: list[_Change] = []
    for row, day, document in differing:
        if not _needs_key(row, day, document):
            changes.append(_Change(row, day, document, document.api_key))
            continue
        key = keys[row.remote_id]
        try:
            entry = _entry(source, row, key)
        except ValueError as error:
            _set_aside(row, error, seen)
            continue
        old = live.get(document.entry_id) if document.entry_id is not None else None
        if old is not None and _says_the_same(old, entry):
            changes.append(_Change(row, day, document, key))
        else:
            changes.append(_Change(row, day, document, key, entry, None if old is None else old.id))
    return changes


def _fresh(conn: Connection, source: DaySource, new: Sequence[tuple[DayRow, date, None]], seen: _Seen) -> list[_Fresh]:
    """Work out keys and entries of rows that were never seen, as `_changes` does."""
    keys = _keys(conn, source, new)
    fresh: list[_Fresh] = []
    for row, day, _ in new:
        try:
            fresh.append((row, day, keys[row.remote_id], times_micros(row.quantity, row.unit_cost)))
        except ValueError as error:
            _set_aside(row, error, seen)
    return fresh


def _set_aside(row: DayRow, error: ValueError, seen: _Seen) -> None:
    arrival = seen.pop(row.remote_id)[1]
    arrival.rows = [kept for kept in arrival.rows if kept.remote_id != row.remote_id]
    arrival.bad.append(BadRow(row.raw, str(error), row.remote_id))


def _needs_key(row: DayRow, day: date, document: Row[Any]) -> bool:
    return document.voided_at is not None or document.digest != row.digest


def _keys(conn: Connection, source: DaySource, rows: Sequence[tuple[DayRow, date, Row[Any] | None]]) -> dict[str, str]:
    """Give each row its event's key.

    The api_key that MPW shows; else what our own answers told; else the marker of a push of ours in
    its description (GET /issuances shows no api_key); else the key it was filed under; else its id.
    """
    pushed = keys_of_pushed_rows(conn, source.kind, (row.remote_id for row, _, _ in rows))
    marked = {row.remote_id: found for row, _, _ in rows if (found := markers(row.description))}
    asked = {key for found in marked.values() for key in found}
    asked.update(row.own_key for row, _, _ in rows if row.own_key is not None and is_key(row.own_key))
    events = events_of_keys(conn, source.post, asked) if asked else {}
    keys: dict[str, str] = {}
    for row, _, document in rows:
        if row.remote_id in pushed and same_key(pushed[row.remote_id], row.own_key):
            keys[row.remote_id] = pushed[row.remote_id]  # MPW may show a key as somebody once spelt it
        elif row.own_key is not None and is_key(row.own_key):
            keys[row.remote_id] = events.get(row.own_key, row.own_key)
        elif row.remote_id in pushed:
            keys[row.remote_id] = pushed[row.remote_id]
        elif row.remote_id in marked and (ours := _event_marked(marked[row.remote_id], events)) is not None:
            keys[row.remote_id] = ours
        elif source.sticky and document is not None:
            keys[row.remote_id] = document.api_key
        else:
            keys[row.remote_id] = source.derived_key(row.remote_id)
    return keys


def _event_marked(found: Sequence[str], events: Mapping[str, str]) -> str | None:
    """Return the event of the last marker in a description that is ours."""
    return next((events[key] for key in reversed(found) if key in events), None)


def _entry(source: DaySource, row: DayRow, api_key: str) -> NewEntry:
    return new_entry(
        MPW,
        source.kind,
        api_key,
        row.remote_id,
        item=row.item,
        warehouse=row.warehouse,
        quantity=from_micros(row.quantity),
        unit_cost=from_micros(row.unit_cost),
        occurred_on=row.created_on,
    )


def _says_the_same(old: Row[Any], entry: NewEntry) -> bool:
    """Tell whether an edit leaves the ledger alone: an invoice number filled in later does (edge case M29)."""
    return (old.item, old.warehouse, old.quantity, old.unit_cost, old.occurred_on, old.api_key) == (
        entry.item,
        entry.warehouse,
        entry.quantity,
        entry.unit_cost,
        entry.occurred_on,
        entry.api_key,
    )


def _count(filing: Filing, seen: _Seen, changes: Sequence[_Change], fresh: Sequence[_Fresh]) -> None:
    for day, rows in Counter(arrival.day for _, arrival in seen.values()).items():
        filing.counts[day].unchanged += rows
    for day, rows in Counter(day for _, day, _, _ in fresh).items():
        filing.counts[day].added += rows
        filing.counts[day].unchanged -= rows
    for change in changes:
        counts = filing.counts[change.day]
        document = change.document
        if document.voided_at is not None:
            counts.added += 1
        elif document.digest != change.row.digest or document.day != change.day:
            counts.changed += 1
        else:
            continue
        counts.unchanged -= 1


def _write(books: Books, source: DaySource, changes: Sequence[_Change]) -> None:
    if not changes:
        return
    reversed_ids = [change.reverses for change in changes if change.reverses is not None]
    books.reverse(reversed_ids)
    originals = [change.entry for change in changes if change.entry is not None]
    ids = iter(books.append(originals))
    updated: list[dict[str, Any]] = []
    for change in changes:
        entry_id = next(ids) if change.entry is not None else change.document.entry_id
        updated.append({"id": change.document.id, **_document_values(change, entry_id, books.now)})
    update_documents(books.conn, updated)


def _write_fresh(books: Books, source: DaySource, fresh: Sequence[_Fresh]) -> None:
    if not fresh:
        return
    rows = [row for row, _, _, _ in fresh]
    columns = NewRows(
        [key for _, _, key, _ in fresh],
        [row.remote_id for row in rows],
        [row.item for row in rows],
        [row.warehouse for row in rows],
        [row.quantity for row in rows],
        [row.unit_cost for row in rows],
        [amount for _, _, _, amount in fresh],
        [row.created_on for row in rows],
        [day for _, day, _, _ in fresh],
        [row.raw for row in rows],
        [row.digest for row in rows],
        [row.remaining for row in rows],
    )
    made = pack(columns, lock_date=books.lock_date, sqlite=books.conn.dialect.name == "sqlite")
    append_packs(books, MPW, source.kind, source.name, [made])


def _document_values(change: _Change, entry_id: int | None, now: datetime) -> dict[str, Any]:
    row = change.row
    return {
        "day": change.day,
        "raw": row.raw,
        "digest": row.digest,
        "api_key": change.api_key,
        "item": row.item,
        "warehouse": row.warehouse,
        "remaining": None if row.remaining is None else from_micros(row.remaining),
        "entry_id": entry_id,
        "last_seen_at": now,
        "missing_since": None,
        "voided_at": None,
    }


def _mark_missing(
    conn: Connection,
    arrivals: Sequence[Arrival],
    of_days: Sequence[Row[Any]],
    seen: _Seen,
    filing: Filing,
    policy: Policy,
) -> None:
    """Note which documents of these days the answers lack, and which have been lacking long enough.

    A row that could not be read is there; where even its id could not be read, nothing of the day counts
    as missing. What is missing since tomorrow was noted by a clock that was ahead, and is missing since now.
    """
    by_day = {arrival.day: arrival for arrival in arrivals}
    unreadable = {row.remote_id for arrival in arrivals for row in arrival.bad}
    marks: list[dict[str, Any]] = []
    for document in of_days:
        arrival = by_day[document.day]
        if document.voided_at is not None or document.remote_id in seen or document.remote_id in unreadable:
            continue
        filing.unclean.add(arrival.day)
        if not arrival.timely or any(row.remote_id is None for row in arrival.bad):
            continue
        if document.missing_since is None or document.missing_since > arrival.began_at:
            marks.append({"id": document.id, "missing_since": arrival.began_at})
        elif arrival.began_at - document.missing_since >= policy.void_after:
            filing.due.append(document.id)
    update_documents(conn, marks)
