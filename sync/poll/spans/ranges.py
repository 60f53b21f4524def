"""Spans of days: each is read whole, or its days keep an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Generic, TypeVar

from sync.database.engine import lock_appends
from sync.database.exceptions import is_settled_so, open_exceptions, subject_of
from sync.database.runs import Counts, newest_run
from sync.errors import AuthError, RemoteError, RetryableError
from sync.ledger.books import Books
from sync.ledger.coverage import covered_days, is_outdated, record_day_error, save_days
from sync.ledger.quarantine import quarantine_rows, release_remote_ids
from sync.poll.days.day_pass import FAILURES_MAX, error_text
from sync.poll.spans.pages import Left, Read
from sync.values.dates import days_between, has_ended
from sync.values.subjects import Subject
from sync.values.systems import MPW
from sync.work.context import Context
from sync.work.observed import Outcome

ROWS_NOT_SHOWN = "rows_not_shown"

T = TypeVar("T")
Span = tuple[date, date]
Progress = Callable[[str, date, Counts], None]


@dataclass(frozen=True, slots=True)
class RangeSource(Generic[T]):
    """A list that is read by spans of days: how to read one whole, and how to store its rows.

    `save` is told when the rows are stored and when their reading began, and returns how many are new and how many
    changed; `day_of` says on which day a row counts
    (None: rows have no day of their own, and a day counts what its span held).
    """

    name: str
    read: Callable[[date, date], Read[T]]
    save: Callable[[Books, Sequence[T], datetime], tuple[int, int]]
    identity: Callable[[T], str]
    day_of: Callable[[T], date | None]


@dataclass(slots=True)
class RangePass:
    """What a pass over spans did."""

    counts: Counts = field(default_factory=Counts)
    failed: list[tuple[str, date, str]] = field(default_factory=list)

    def outcome(self) -> Outcome:
        """Return the counts and the first error."""
        return Outcome(self.counts, error_text(self.failed))


def read_ranges(
    ctx: Context, source: RangeSource[T], spans: Sequence[Span], run_id: int, *, progress: Progress | None = None
) -> RangePass:
    """Read spans one after the other and take each in; stops early when the vendor cannot be reached.

    `run_id` is the run that reads them, whose number was drawn before.
    """
    done = RangePass()
    failures = 0
    for first, last in spans:
        if ctx.stopping() or failures >= FAILURES_MAX:
            break
        began_at = ctx.clock.now()
        try:
            parsed = source.read(first, last)
        except AuthError:
            raise
        except RemoteError as error:
            failures = failures + 1 if isinstance(error, RetryableError) else 0
            done.failed.append((source.name, first, error.message))
            with ctx.leader_writes() as books:
                days = _noted_days(ctx, (first, last))
                record_day_error(books, source.name, days, error.message)
            continue
        failures = 0
        counts = _take(ctx, source, (first, last), parsed, began_at, run_id)
        done.counts.add(counts)
        done.failed.extend((source.name, one.day, str(one)) for one in parsed.left)
        if progress is not None:
            progress(source.name, first, counts)
    return done


def _take(ctx: Context, source: RangeSource[T], span: Span, parsed: Read[T], began_at: datetime, run_id: int) -> Counts:
    counts = Counts(seen=len(parsed.rows) + len(parsed.bad))
    with ctx.leader_writes() as books:
        lock_appends(books.conn)
        days = _noted_days(ctx, span)
        known = covered_days(books.conn, source.name, days)
        timely = ctx.is_timely()
        if any(is_outdated(row, run_id, began_at) for row in known.values()):
            return Counts()
        read_no = max(run_id, newest_run(books.conn))
        counts.added, counts.changed = source.save(books, parsed.rows, began_at)
        counts.unchanged = len(parsed.rows) - counts.added - counts.changed
        counts.quarantined = quarantine_rows(books, source.name, None, parsed.bad)
        read_well = [source.identity(row) for row in parsed.rows]
        release_remote_ids(books, source.name, read_well, bad=parsed.bad)
        per_day = _per_day(source, parsed.rows)
        ended_by = min(began_at, began_at + ctx.vendor_ahead(MPW))  # a day is over when it is, by either clock
        left = {one.day: one for one in parsed.left}
        save_days(
            books.conn,
            [
                {
                    "source": source.name,
                    "day": day,
                    "complete": day not in left
                    and ((timely and has_ended(day, ended_by, books.policy)) or (day in known and known[day].complete)),
                    "rows": per_day.get(day, 0),
                    "last_read_at": books.now,
                    "fetch_began_at": began_at if timely else None,
                    "began_no": run_id,
                    "read_no": read_no,
                }
                for day in days
            ],
        )
        _tell_of_left(books, source.name, days, left)
    return counts


def _tell_of_left(books: Books, source: str, days: Sequence[date], left: Mapping[date, Left]) -> None:
    """Open an exception for each day that the vendor does not show whole; resolve those of days that it does."""
    for day, one in left.items():
        record_day_error(books, source, [day], str(one))
        facts = {"read": one.read, "count": one.count}
        if is_settled_so(books.conn, ROWS_NOT_SHOWN, Subject.day(source, day), facts):
            continue  # a person knows of these rows
        books.open_exception(
            ROWS_NOT_SHOWN,
            about=Subject.day(source, day),
            detail=f"{source} {one}, not by status and not by its other dates either; what was read is stored, the "
            "rest is unknown to the program: it is neither approved nor shown",
            hint="ask MPW's support how to read further pages; until then look at the orders of that day in MPW, and "
            "then `mpsync exceptions resolve ID --why TEXT`: it is reported again if the numbers change",
            facts=facts,
        )
    open_ones = {subject_of(row) for row in open_exceptions(books.conn, kind=ROWS_NOT_SHOWN)}
    for day in days:
        if day not in left and (subject := Subject.day(source, day)) in open_ones:
            books.resolve_exceptions(ROWS_NOT_SHOWN, about=subject, resolution="all its rows could be read")


def _noted_days(ctx: Context, span: Span) -> list[date]:
    """Return the days of a span that coverage speaks of: the future, beyond tomorrow, is nobody's gap."""
    last = min(span[1], ctx.policy.day(ctx.clock.now()) + timedelta(days=1))
    return list(days_between(span[0], last))


def _per_day(source: RangeSource[T], rows: Sequence[T]) -> dict[date, int]:
    found: dict[date, int] = {}
    for row in rows:
        day = source.day_of(row)
        if day is not None:
            found[day] = found.get(day, 0) + 1
    return found
