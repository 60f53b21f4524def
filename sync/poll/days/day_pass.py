"""One pass over days of MPW: several whole days a transaction, deletes judged at the end over all that was read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from datetime import date

import structlog

from sync.clients.mpw.client import MpwClient
from sync.database.runs import Counts
from sync.errors import AuthError, RetryableError
from sync.ledger.coverage import covered_days
from sync.poll.days.read import DayRead, read_day, take_days
from sync.poll.days.voids import void_gone
from sync.work.context import Context
from sync.work.observed import Outcome

BATCH_DAYS = 20
BATCH_ROWS = 4500
"""One transaction takes in this much: enough to spread the cost of a commit, little enough not to keep writers out."""

BATCH_ROWS_POSTGRESQL = 7000
"""The same where every transaction asks its questions over a connection; measured."""

WORTH_ROWS = 2000
"""So many rows are worth a transaction of their own when the next day is not there yet."""

FAILURES_MAX = 3
"""So many days in a row that cannot be fetched: the vendor is down, and more requests would not help."""

SUSPICIOUS_SIZES = frozenset({100, 250, 500, 1000, 2000, 5000})
"""Days of exactly so many rows may have been cut: neither list documents pages or a limit (edge case M39)."""

log = structlog.get_logger("mpsync.poll")
Progress = Callable[[str, date, Counts], None]


class DayPass:
    """Takes in days as they are read. Call `finish` once all are added: it judges what disappeared.

    `quiet`, a lock, is held while a transaction asks its short questions, after each of which a thread that computes
    would have to be waited for.
    """

    def __init__(
        self,
        ctx: Context,
        run_id: int,
        *,
        batch_days: int = BATCH_DAYS,
        progress: Progress | None = None,
        quiet: AbstractContextManager[object] | None = None,
    ) -> None:
        self._ctx = ctx
        self._run_id = run_id
        self._batch_days = batch_days
        self._batch_rows = BATCH_ROWS if ctx.store.is_sqlite else BATCH_ROWS_POSTGRESQL
        self._progress = progress
        self._quiet = quiet or nullcontext()
        self._batch: list[DayRead] = []
        self._rows = 0
        self._due: dict[str, list[int]] = {}
        self._days: dict[str, list[date]] = {}
        self.counts = Counts()
        self.failed: list[tuple[str, date, str]] = []

    def add(self, read: DayRead) -> None:
        """Add a read day; a full batch is written."""
        self._batch.append(read)
        if read.parsed is not None and len(read.parsed.rows) + len(read.parsed.bad) in SUSPICIOUS_SIZES:
            rows = len(read.parsed.rows) + len(read.parsed.bad)
            log.warning("day.suspicious_size", source=read.source, day=read.day.isoformat(), rows=rows)
        self._rows += len(read.parsed.rows) if read.parsed is not None else 0
        if len(self._batch) >= self._batch_days or self._rows >= self._batch_rows:
            self.flush()

    def pause(self) -> None:
        """Write what there is if it is worth it: the next day is still to come."""
        if self._rows >= WORTH_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write the days that were added."""
        if not self._batch:
            return
        batch, self._batch, self._rows = self._batch, [], 0
        timely = self._ctx.is_timely()
        with ExitStack() as asking:
            asking.enter_context(self._quiet)
            with self._ctx.leader_writes(run_id=self._run_id) as books:
                taken = take_days(books, batch, asked=asking.close, timely=timely)
        self.counts.add(taken.counts)
        for source, ids in taken.due.items():
            self._due.setdefault(source, []).extend(ids)
        for read in batch:
            if read.error is not None:
                self.failed.append((read.source, read.day, read.error.message))
            else:
                self._days.setdefault(read.source, []).append(read.day)
            if self._progress is not None:
                self._progress(read.source, read.day, taken.by_day.get((read.source, read.day), Counts()))

    def finish(self) -> Outcome:
        """Write what is left and void what is gone, if our clock is right; return the counts and the first error."""
        self.flush()
        for source, days in self._days.items() if self._ctx.is_timely() else ():
            with self._ctx.leader_writes(run_id=self._run_id) as books:
                self.counts.voided += void_gone(books, source, self._due.get(source, []), days)
        return Outcome(self.counts, error_text(self.failed))


def read_days(ctx: Context, client: MpwClient, source: str, days: Iterable[date], run_id: int) -> Outcome:
    """Read days one after the other and take them in; stops early when MPW cannot be reached."""
    days = list(days)
    with ctx.read() as conn:
        known = covered_days(conn, source, days)
    reading = DayPass(ctx, run_id)
    failures = 0
    for day in days:
        if ctx.stopping() or failures >= FAILURES_MAX:
            break
        try:
            read = read_day(client, source, day, clock=ctx.clock, known=known.get(day))
        except AuthError:
            reading.finish()
            raise
        failures = failures + 1 if isinstance(read.error, RetryableError) else 0
        reading.add(read)
    return reading.finish()


def error_text(failed: list[tuple[str, date, str]]) -> str | None:
    """Return the first failure, and how many more there were; None for none."""
    if not failed:
        return None
    source, day, error = failed[0]
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    return f"{source} {day}: {error}{more}"
