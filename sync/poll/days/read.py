"""Reading days of MPW's receipts and issuances, and taking them in: all of a day, or nothing of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy.engine import Row

from sync.clients.mpw.client import MpwClient
from sync.clients.mpw.day_rows import DayRow
from sync.clients.rows import BadRow, Parsed
from sync.clock import Clock
from sync.database.engine import lock_appends
from sync.database.runs import Counts, newest_run
from sync.errors import AuthError, RemoteError
from sync.ledger.books import Books
from sync.ledger.coverage import covered_days, is_outdated, record_day_error, save_days
from sync.ledger.quarantine import quarantine_rows, raw_digest, release_day
from sync.poll.days.filing import Arrival, file_rows
from sync.poll.days.new_days import Ready, ready
from sync.poll.days.sources import DAY_SOURCES
from sync.values.dates import has_ended
from sync.values.policy import Policy

DATE_RESOLUTION = timedelta(seconds=1)
"""A Date header names the second that the answer was made in (RFC 9110, 6.6.1)."""

PARSER = 1
"""Version of the reading: days that an older one read are read in full again. Raise it when a field counts anew."""


@dataclass(slots=True)
class DayRead:
    """A day as MPW answered it. `parsed` is None while an equal body makes parsing needless; `error` excludes it.

    `answered_at` is MPW's own clock, from its Date header.
    """

    source: str
    day: date
    began_at: datetime
    read_at: datetime
    body: bytes = b""
    body_digest: str = ""
    parsed: Parsed[DayRow] | None = None
    ready: Ready | None = None
    error: RemoteError | None = None
    answered_at: datetime | None = None


@dataclass(slots=True)
class Taken:
    """What taking in days did. `due` are the documents that two readings, far enough apart, have lacked."""

    counts: Counts = field(default_factory=Counts)
    by_day: dict[tuple[str, date], Counts] = field(default_factory=dict)
    due: dict[str, list[int]] = field(default_factory=dict)


def read_day(client: MpwClient, source: str, day: date, *, clock: Clock, known: Row[Any] | None = None) -> DayRead:
    """Fetch a day and parse it, unless its body equals the `known` one's; only AuthError is raised, not kept."""
    read = fetch_day(client, source, day, clock=clock)
    if read.error is None and not is_unchanged(read, known):
        parse(read)
    return read


def fetch_day(client: MpwClient, source: str, day: date, *, clock: Clock) -> DayRead:
    """Fetch a day and leave its rows unread; only AuthError is raised, not kept."""
    began_at = clock.now()
    try:
        answer = DAY_SOURCES[source].fetch(client, day)
    except AuthError:
        raise
    except RemoteError as error:
        return DayRead(source, day, began_at, clock.now(), error=error)
    digest = hashlib.sha256(answer.body).hexdigest()[:32]
    return DayRead(source, day, began_at, clock.now(), answer.body, digest, answered_at=answer.answered_at)


def parse(read: DayRead) -> None:
    """Read the rows of a body; one that is not whole becomes the day's error."""
    try:
        read.parsed = DAY_SOURCES[read.source].read(read.body)
        read.body = b""  # its rows hold their own text: days wait for the writer, and memory is to stay bounded
    except RemoteError as error:
        read.error = error


def make_ready(read: DayRead, *, lock_date: date | None, sqlite: bool) -> None:
    """Work out what the writer will store if every row of a parsed day is new."""
    if read.parsed is not None:
        source = DAY_SOURCES[read.source]
        read.ready = ready(source, read.day, read.parsed.rows, lock_date=lock_date, sqlite=sqlite)


def is_unchanged(read: DayRead, known: Row[Any] | None) -> bool:
    """Tell whether a body needs no parsing: it equals the stored one, read by this parser, with nothing open in it."""
    return known is not None and known.digest == read.body_digest and known.parser == PARSER and not known.unclean


def take_days(
    books: Books, reads: Sequence[DayRead], *, asked: Callable[[], object] | None = None, timely: bool = True
) -> Taken:
    """Take in whole days of one or both sources: entries, documents and coverage, in this transaction.

    The books are of the run that read them, whose number was drawn before it asked. A read is dropped where the
    stored one may be newer (`is_outdated`). `asked` is called when the short questions are over and rows are to be
    written. Where our clock is wrong (not `timely`), rows are taken in, and no day is called complete, no row missing.
    """
    lock_appends(books.conn)  # two readers of one day, a backfill beside the daemon, take it in one after the other
    taken = Taken()
    work = _Taking(books, max(books.run, newest_run(books.conn)), timely)
    for source in DAY_SOURCES:
        mine = sorted((read for read in reads if read.source == source), key=lambda read: read.began_at)
        if mine:
            _take_source(source, mine, taken, work, asked=asked)
    for counts in taken.by_day.values():
        taken.counts.add(counts)
    return taken


@dataclass(frozen=True, slots=True)
class _Taking:
    """What holds for all days of one transaction; `read_no`: the newest run, now that their answers are here."""

    books: Books
    read_no: int
    timely: bool


def _take_source(
    source: str, reads: list[DayRead], taken: Taken, work: _Taking, *, asked: Callable[[], object] | None
) -> None:
    known = covered_days(work.books.conn, source, {read.day for read in reads})
    fresh: list[DayRead] = []
    same: list[DayRead] = []
    for read in reads:
        before = known.get(read.day)
        if read.error is None and is_outdated(before, work.books.run, read.began_at):
            continue
        if read.error is None and read.parsed is None and not is_unchanged(read, before):
            parse(read)
        if read.error is not None:
            record_day_error(work.books, source, [read.day], read.error.message)
        elif read.parsed is None or is_unchanged(read, before):
            same.append(read)
        else:
            fresh.append(read)
    save_days(work.books.conn, [_coverage_row(read, known, work, known[read.day].rows) for read in same])
    for read in same:
        rows = known[read.day].rows
        taken.by_day[source, read.day] = Counts(seen=rows, unchanged=rows)
    _take_fresh(source, fresh, known, taken, work, asked=asked)


def _take_fresh(
    source: str,
    fresh: list[DayRead],
    known: Mapping[date, Row[Any]],
    taken: Taken,
    work: _Taking,
    *,
    asked: Callable[[], object] | None,
) -> None:
    if not fresh:
        return
    arrivals = [_arrival(read, work) for read in fresh]
    filing = file_rows(work.books, DAY_SOURCES[source], arrivals, asked=asked)
    rows = []
    for read, arrival in zip(fresh, arrivals, strict=True):
        counts = filing.counts[read.day]
        counts.quarantined = _quarantine(work.books, source, read.day, arrival.bad, known.get(read.day))
        taken.by_day[source, read.day] = counts
        unclean = read.day in filing.unclean or bool(arrival.bad)
        rows.append(_coverage_row(read, known, work, len(arrival.rows), unclean=unclean))
    save_days(work.books.conn, rows)
    taken.due.setdefault(source, []).extend(filing.due)


def _arrival(read: DayRead, work: _Taking) -> Arrival:
    assert read.parsed is not None
    return Arrival(read.day, read.began_at, read.parsed.rows, list(read.parsed.bad), read.ready, work.timely)


def _quarantine(books: Books, source: str, day: date, bad: list[BadRow], before: Row[Any] | None) -> int:
    if before is not None and before.unclean:
        release_day(books, source, day, still={raw_digest(row.raw) for row in bad})
    return quarantine_rows(books, source, day, bad)


def _coverage_row(
    read: DayRead, known: Mapping[date, Row[Any]], work: _Taking, rows: int, *, unclean: bool = False
) -> dict[str, Any]:
    before = known.get(read.day)
    return {
        "source": read.source,
        "day": read.day,
        "complete": (work.timely and _has_ended(read, work.books.policy)) or (before is not None and before.complete),
        "rows": rows,
        "last_read_at": read.read_at,
        "fetch_began_at": read.began_at if work.timely else None,
        "began_no": work.books.run,
        "read_no": work.read_no,
        "digest": read.body_digest,
        "parser": PARSER,
        "unclean": unclean,
    }


def _has_ended(read: DayRead, policy: Policy) -> bool:
    """Tell whether a day was over when it was read, by our clock and by the one of whoever answered."""
    at = read.began_at if read.answered_at is None else min(read.began_at, read.answered_at + DATE_RESOLUTION)
    return has_ended(read.day, at, policy)
