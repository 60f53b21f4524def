"""Which days of which source we have, how each feed does, and where it has holes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.engine import Row

from sync.database.chunks import chunks, upsert
from sync.database.schema import coverage, documents, feeds, gaps
from sync.learned.rows import reach_of
from sync.ledger.books import Books
from sync.values.dates import days_between
from sync.values.policy import Policy

ISSUANCES = "mpw.issuances"
RECEIPTS = "mpw.receipts"
PURCHASE_ORDERS = "mpw.purchase_orders"
WORK_ORDERS = "mpw.work_orders"
EQUIPMENT = "mpw.equipment"
MOVEMENTS = "mpservices.movements"
MPSERVICES_WORK_ORDERS = "mpservices.work_orders"
DAY_SOURCES = (ISSUANCES, RECEIPTS)
"""The sources that are read one calendar day at a time, and that the ledger rests on."""

AHEAD_MAX = timedelta(minutes=2)
"""How far in the future a time in our tables may lie, as two machines' clocks differ."""


def covered_days(conn: Connection, source: str, days: Iterable[date]) -> dict[date, Row[Any]]:
    """Return the coverage rows of these days."""
    found: dict[date, Row[Any]] = {}
    for chunk in chunks(days):
        for row in conn.execute(select(coverage).where(coverage.c.source == source, coverage.c.day.in_(chunk))):
            found[row.day] = row
    return found


def coverage_since(conn: Connection, source: str, first: date) -> dict[date, Row[Any]]:
    """Return the coverage rows from a day on, and those of earlier days that are unclean."""
    query = select(coverage).where(coverage.c.source == source, (coverage.c.day >= first) | coverage.c.unclean)
    return {row.day: row for row in conn.execute(query)}


def complete_days(conn: Connection, source: str, first: date, last: date) -> set[date]:
    """Return the complete days of a span."""
    query = select(coverage.c.day).where(
        coverage.c.source == source, coverage.c.day.between(first, last), coverage.c.complete
    )
    return set(conn.execute(query).scalars())


def lacks_none(conn: Connection, source: str, first: date, last: date) -> bool:
    """Tell whether every day of a span, both inclusive, is complete; without reading them one by one."""
    query = select(func.count()).where(
        coverage.c.source == source, coverage.c.day.between(first, last), coverage.c.complete
    )
    return int(conn.execute(query).scalar_one()) > (last - first).days


def days_not_read_since(conn: Connection, source: str, first: date, last: date, instant: datetime) -> list[date]:
    """Return the days of a span, both inclusive, whose last reading began before an instant; newest first."""
    query = select(coverage.c.day).where(
        coverage.c.source == source,
        coverage.c.day.between(first, last),
        coverage.c.fetch_began_at >= instant,
    )
    read = set(conn.execute(query).scalars())
    return [day for day in days_between(first, last) if day not in read][::-1]


def days_read_since(conn: Connection, source: str, instant: datetime, *, now: datetime) -> list[date]:
    """Return the days whose last reading began at or after an instant; one that claims to begin after `now` did not."""
    query = select(coverage.c.day).where(
        coverage.c.source == source, coverage.c.fetch_began_at >= instant, coverage.c.fetch_began_at <= now
    )
    return list(conn.execute(query).scalars())


def is_outdated(row: Row[Any] | None, run_id: int, began_at: datetime) -> bool:
    """Tell whether the stored read of a day is newer than this run's answer, which is then dropped.

    A run draws its number before it asks. An answer that another run gave, and that was taken in since, may be the
    newer one; only where it was taken in before the number was drawn is it certainly the older one. So a newer answer
    may be dropped (the day is read again soon), and an older one never replaces a newer one. Within a run, which is one
    process, `began_at` tells.
    """
    if row is None or row.read_no is None:
        return False
    if row.began_no == run_id:
        return bool(row.fetch_began_at is not None and row.fetch_began_at > began_at)
    return bool(row.read_no >= run_id)


def is_feed_outdated(known: Row[Any] | None, run_id: int) -> bool:
    """Tell the same of a feed that is read as a whole."""
    return known is not None and known.read_no is not None and known.read_no >= run_id


def days_by_last_read(conn: Connection, source: str, days: Iterable[date]) -> list[date]:
    """Return days in the order in which they were last read, the longest unread first."""
    days = list(days)
    read = {day: row.last_read_at for day, row in covered_days(conn, source, days).items() if row.last_read_at}
    never = [day for day in days if day not in read]
    return sorted(never) + sorted(read, key=lambda day: (read[day], day))


def save_days(conn: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Record good readings of days, which clears their errors; every row names the same columns."""
    if rows:
        values = [{**row, "error": None, "error_at": None} for row in rows]
        columns = [name for name in values[0] if name not in ("source", "day")]
        upsert(conn, coverage, values, key=("source", "day"), update=columns)


def record_day_error(books: Books, source: str, days: Iterable[date], error: str) -> None:
    """Record that days could not be read; what is known of them stays as it is."""
    rows = [{"source": source, "day": day, "error": error[:2000], "error_at": books.now} for day in days]
    upsert(books.conn, coverage, rows, key=("source", "day"), update=("error", "error_at"))


def last_error_at(conn: Connection, source: str) -> datetime | None:
    """Return when a day of a source last could not be read, None where all could."""
    failed_at: datetime | None = conn.execute(
        select(func.max(coverage.c.error_at)).where(coverage.c.source == source)
    ).scalar_one()
    return failed_at


def caught_up(conn: Connection, policy: Policy, now: datetime) -> bool:
    """Tell whether nothing is missing: no incomplete past day since the start date, and movements read in time."""
    yesterday = policy.day(now) - timedelta(days=1)
    if not all(lacks_none(conn, source, policy.start_date, yesterday) for source in DAY_SOURCES):
        return False
    movements = feed(conn, MOVEMENTS)
    if movements is None or movements.last_read_at is None:
        return False
    # A reading of tomorrow was made by a clock that was ahead: when it really was, nobody knows.
    return bool(-AHEAD_MAX <= now - movements.last_read_at < reach_of(conn, policy))


def feed(conn: Connection, source: str) -> Row[Any] | None:
    """Return how a source does, or None where it was never read."""
    return conn.execute(select(feeds).where(feeds.c.source == source)).first()


def note_feed_read(
    conn: Connection,
    source: str,
    *,
    run_id: int,
    began_at: datetime,
    covered_from: datetime | None = None,
    vendor_read_at: datetime | None = None,
    read_no: int | None = None,
) -> bool:
    """Record a run's good reading that began at an instant; True when the source was failing until now.

    Of two that overlap, the later taken in (`read_no`, else the larger number) says when the source was last read: no
    clock does, so that a reading of one that was ahead does not outlive the next.
    """
    known = feed(conn, source)
    values: dict[str, Any] = {"first_read_at": began_at, "last_read_at": began_at, "read_no": read_no or run_id}
    values |= {"covered_from": covered_from, "vendor_read_at": vendor_read_at}
    if known is None:
        conn.execute(insert(feeds).values(source=source, **values))
        return False
    values["first_read_at"] = min(known.first_read_at or began_at, began_at)
    values["covered_from"] = covered_from or known.covered_from
    values["vendor_read_at"] = vendor_read_at or known.vendor_read_at
    if read_no is None and known.read_no is not None and known.read_no >= run_id:
        values = {}
    conn.execute(update(feeds).where(feeds.c.source == source).values(error=None, failing_since=None, **values))
    return known.error is not None


def note_feed_error(books: Books, source: str, error: str) -> bool:
    """Record that a source cannot be read; True when it could until now."""
    known = feed(books.conn, source)
    if known is None:
        books.conn.execute(insert(feeds).values(source=source, error=error[:2000], failing_since=books.now))
        return True
    since = known.failing_since or books.now
    books.conn.execute(update(feeds).where(feeds.c.source == source).values(error=error[:2000], failing_since=since))
    return known.error is None


def open_gap(books: Books, source: str, gap_from: datetime, gap_to: datetime) -> int:
    """Record a hole in a feed; return its id."""
    made = books.conn.execute(insert(gaps).values(source=source, gap_from=gap_from, gap_to=gap_to, opened_at=books.now))
    assert made.inserted_primary_key is not None
    return int(made.inserted_primary_key[0])


def open_gaps(conn: Connection, source: str | None = None) -> list[Row[Any]]:
    """Return the holes that nobody has closed, oldest first."""
    query = select(gaps).where(gaps.c.closed_at.is_(None)).order_by(gaps.c.id)
    return list(conn.execute(query if source is None else query.where(gaps.c.source == source)))


def close_gap(books: Books, gap_id: int, *, note: str) -> int:
    """Close a hole with an operator's word (an import, a count); return how many were open."""
    closing = update(gaps).where(gaps.c.id == gap_id, gaps.c.closed_at.is_(None))
    return books.conn.execute(closing.values(closed_at=books.now, note=note)).rowcount


def rows_by_day(conn: Connection, source: str, days: Iterable[date]) -> dict[date, int]:
    """Return how many documents each of these days of a source holds."""
    query = select(documents.c.day, func.count()).where(documents.c.source == source, documents.c.day.in_(list(days)))
    return dict(conn.execute(query.group_by(documents.c.day)).all())
