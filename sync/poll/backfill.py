"""Backfill by date range: a plan over coverage rows, fetched in parallel, written by one."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from threading import Lock

from sqlalchemy.engine import Row

from sync.clients.mpw.client import MpwClient
from sync.database.runs import Counts
from sync.errors import ConfigError, RetryableError
from sync.learned.rows import reach_of
from sync.ledger.coverage import DAY_SOURCES, MOVEMENTS, PURCHASE_ORDERS, WORK_ORDERS, complete_days, covered_days
from sync.poll.days.day_pass import BATCH_DAYS, DayPass, error_text
from sync.poll.days.read import DayRead, fetch_day, is_unchanged, make_ready, parse
from sync.poll.feed.window import drain_movements
from sync.poll.spans.orders import order_source
from sync.poll.spans.ranges import Span, read_ranges
from sync.poll.spans.work_orders import work_order_source
from sync.values.dates import DAY, days_between, month_ranges
from sync.values.systems import MPW
from sync.work.context import Context
from sync.work.observed import Outcome, observe

SOURCES = (*DAY_SOURCES, PURCHASE_ORDERS, WORK_ORDERS, MOVEMENTS)
"""What `--source` takes."""

TRIES = 4
"""How often a day is asked for that cannot be fetched now (429, 5xx, a reset) before it counts as failed."""

WAIT_SECONDS_MAX = 60.0
"""Longest wait between two tries of a day, whatever Retry-After says: the next backfill takes it up."""

FAILED_DAYS_MAX = 10
"""So many days in a row that failed all their tries: the vendor is down, the rest is left for the next backfill."""

COLLECT_AFTER_OBJECTS = 20_000
"""Python's own is 700; every request leaves some fifty that only this search finds."""

SWITCH_SECONDS = 0.0002
"""How long a thread computes before it lets another one; Python's own is 5 ms."""

_M_ARENA_MAX = -8
"""Of mallopt(3)."""

PLAN_DAYS = 500
"""Days whose coverage is loaded at once: memory does not grow with the range."""

Progress = Callable[[str, date, Counts], None]
_Ahead = Future[Future[DayRead]]
"""A day on its way: once fetched it is one that is parsed, or will be."""


@dataclass(slots=True)
class Backfilled:
    """What a backfill did. `failed` are (source, first day, error); `notes` what was left out, and why."""

    counts: Counts = field(default_factory=Counts)
    failed: list[tuple[str, date, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    skipped_days: int = 0


def backfill_once(
    ctx: Context,
    first: date,
    last: date,
    *,
    sources: Sequence[str] | None = None,
    again: bool = False,
    progress: Progress | None = None,
    batch_days: int = BATCH_DAYS,
) -> Backfilled:
    """Read every day from first to last, both inclusive, that is not complete; with `again` all of them.

    Safe to stop at any point and to repeat: days are taken in whole or not at all. Errors of a day are
    recorded and the others go on; wrong credentials stop that system. ConfigError for a source that
    does not exist or is off, and for movements of MPservices beyond its window.
    """
    done = Backfilled()
    wanted = _checked(ctx, first, last, sources, done)
    day_sources = [source for source in DAY_SOURCES if source in wanted]
    if day_sources:
        _backfill_days(ctx, day_sources, first, last, again, progress, batch_days, done)
    for source in (PURCHASE_ORDERS, WORK_ORDERS):
        if source in wanted:
            _backfill_ranges(ctx, source, first, last, again, progress, done)
    if MOVEMENTS in wanted:
        outcome = drain_movements(ctx)
        done.counts.add(outcome.counts)
        if outcome.error is not None:
            done.failed.append((MOVEMENTS, first, outcome.error))
        elif progress is not None:
            progress(MOVEMENTS, last, outcome.counts)
    return done


def planned(ctx: Context, first: date, last: date, *, sources: Sequence[str] | None = None, again: bool = False) -> int:
    """Return how many days (of MPW's lists; months of orders) a backfill would read: the length of its progress bar."""
    wanted = _checked(ctx, first, last, sources, Backfilled())
    total = 0
    for source in wanted:
        if source in DAY_SOURCES:
            total += sum(1 for _ in _plan_days(ctx, [source], first, last, again, Backfilled()))
        elif source == MOVEMENTS:
            total += 1
        else:
            total += len(_plan_ranges(ctx, source, first, last, again))
    return total


def _checked(ctx: Context, first: date, last: date, sources: Sequence[str] | None, done: Backfilled) -> tuple[str, ...]:
    if last < first:
        raise ConfigError(f"the range ends before it begins: {first} to {last}", hint="give --from the earlier day")
    unknown = sorted(set(sources or ()) - set(SOURCES))
    if unknown:
        raise ConfigError(f"no such source: {', '.join(unknown)}", hint=f"there are {', '.join(SOURCES)}")
    wanted = tuple(source for source in SOURCES if sources is None or source in sources)
    too_early = _movements_refusal(ctx, first)
    if MOVEMENTS in wanted and (too_early is not None or ctx.mpservices is None):
        if sources is not None:
            raise ConfigError(
                too_early or "MPservices is off: MPSERVICES_TOKEN is not set",
                hint="export the movements from MPservices' screens and `mpsync import FILE --type movement`",
            )
        if ctx.mpservices is not None and too_early is not None:
            done.notes.append(f"{too_early}; import an export instead: mpsync import FILE --type movement")
        wanted = tuple(source for source in wanted if source != MOVEMENTS)
    if ctx.mpw is None and any(source != MOVEMENTS for source in wanted):
        if sources is not None or not wanted:
            raise ConfigError("MPW is off: MPW_EMAIL and MPW_PASSWORD are not set", hint="set both")
        wanted = tuple(source for source in wanted if source == MOVEMENTS)
    return wanted


def _movements_refusal(ctx: Context, first: date) -> str | None:
    """Say why a range cannot be read from MPservices, or None: it begins inside the feed's window."""
    with ctx.read() as conn:
        reach = reach_of(conn, ctx.policy)
    reaches = ctx.policy.day(ctx.clock.now() - reach)
    if first >= reaches:
        return None
    hours = reach / timedelta(hours=1)
    return f"MPservices shows the movements of the last {hours:g} hours only, from {reaches} on, and {first} is earlier"


def _backfill_days(
    ctx: Context,
    sources: Sequence[str],
    first: date,
    last: date,
    again: bool,
    progress: Progress | None,
    batch_days: int,
    done: Backfilled,
) -> None:
    client = ctx.mpw_client()
    if client is None:
        done.failed.extend((source, first, _paused(ctx)) for source in sources)
        return

    for source in sources:

        def work(run_id: int, source: str = source) -> Outcome:
            turn = Lock()
            quiet = None if ctx.store.is_sqlite else turn  # SQLite's questions are over before they could wait
            reading = DayPass(ctx, run_id, batch_days=batch_days, progress=progress, quiet=quiet)
            try:
                if not _fetch_all(ctx, client, _plan_days(ctx, [source], first, last, again, done), reading, turn):
                    done.notes.append(f"{source}: stopped before the end; run the same backfill again to go on")
            finally:
                done.failed.extend(reading.failed)
            return Outcome(reading.counts, error_text(reading.failed))

        outcome = observe(ctx, f"backfill.{source}", source=source, system=MPW, work=work)
        done.counts.add(outcome.counts)
        if ctx.paused(MPW) is not None:
            done.failed.append((source, first, outcome.error or _paused(ctx)))
            return


def _paused(ctx: Context) -> str:
    return ctx.paused(MPW) or "MPW is paused"


def _plan_days(
    ctx: Context, sources: Sequence[str], first: date, last: date, again: bool, done: Backfilled
) -> Iterator[tuple[str, date, Row[object] | None]]:
    """Yield the days to read, each with what is known of it, loading coverage piece by piece."""
    latest = min(last, ctx.policy.day(ctx.clock.now()) + DAY)
    for source in sources:
        start = first
        while start <= latest:
            end = min(latest, start + timedelta(days=PLAN_DAYS - 1))
            days = list(days_between(start, end))
            with ctx.read() as conn:
                known = covered_days(conn, source, days)
            for day in days:
                if not again and day in known and known[day].complete:
                    done.skipped_days += 1
                else:
                    yield source, day, known.get(day)
            start = end + DAY


def _fetch_all(
    ctx: Context, client: MpwClient, plan: Iterator[tuple[str, date, Row[object] | None]], reading: DayPass, turn: Lock
) -> bool:
    """Fetch in threads, a few days ahead of the one writer; take the days in as they were planned.

    One more thread parses, and has `turn` while it does: a second one would only keep the interpreter from the
    writer, and a thread that fetches is to ask for its next day at once. False where it stopped early: the vendor
    is down, or the program is to end.
    """
    threads = max(1, ctx.policy.concurrency)
    ahead: deque[_Ahead] = deque()
    failures = 0
    with (
        _tuned(),
        ThreadPoolExecutor(1, thread_name_prefix="mpsync-parse") as parser,
        ThreadPoolExecutor(threads, thread_name_prefix="mpsync-backfill") as pool,
    ):
        try:
            for source, day, known in plan:
                ahead.append(pool.submit(_read_patiently, ctx, client, source, day, known, parser, turn))
                while len(ahead) >= threads * 2 and not ctx.stopping():
                    failures = _take_next(ahead, reading, failures)
                if failures >= FAILED_DAYS_MAX or ctx.stopping():
                    break
            while ahead and failures < FAILED_DAYS_MAX and not ctx.stopping():
                failures = _take_next(ahead, reading, failures)
            return failures < FAILED_DAYS_MAX and not ctx.stopping()
        finally:
            for future in ahead:
                future.cancel()
            reading.finish()


def _share_arenas() -> None:
    """Let all threads allocate from three of glibc's arenas; with another C library there is nothing to do.

    Each thread would have its own, and keep in it what the bodies of its days left: some 6 MB more after ten years.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError, MemoryError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 3)


@contextlib.contextmanager
def _tuned() -> Iterator[None]:
    """Look for cyclic garbage less often, and let the writer have its turn sooner.

    Rows make no such garbage, and looking for it took a fifth of the time; it is not never looked for, since what
    a request leaves behind is found in no other way. After each statement the writer waits for the thread
    that parses, by default up to 5 ms for a statement of as much.
    """
    _share_arenas()
    collect, switch = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(COLLECT_AFTER_OBJECTS, *collect[1:])
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield
    finally:
        gc.set_threshold(*collect)
        sys.setswitchinterval(switch)


def _take_next(ahead: deque[_Ahead], reading: DayPass, failures: int) -> int:
    if not (ahead[0].done() and ahead[0].result().done()):
        reading.pause()
    read = ahead.popleft().result().result()
    reading.add(read)
    return failures + 1 if isinstance(read.error, RetryableError) else 0


def _read_patiently(
    ctx: Context,
    client: MpwClient,
    source: str,
    day: date,
    known: Row[object] | None,
    parser: ThreadPoolExecutor,
    turn: Lock,
) -> Future[DayRead]:
    """Fetch a day, again after a pause where that may help, and hand it on to be parsed where that is needed."""
    read = fetch_day(client, source, day, clock=ctx.clock)
    for attempt in range(1, TRIES):
        error = read.error
        if not isinstance(error, RetryableError) or ctx.stopping():
            break
        backoff = ctx.policy.retry_base.total_seconds() * 2 ** (attempt - 1) / 10
        asked = error.retry_after.total_seconds() if error.retry_after is not None else 0.0
        ctx.clock.sleep(min(max(backoff, asked), WAIT_SECONDS_MAX))
        read = fetch_day(client, source, day, clock=ctx.clock)
    if read.error is None and not is_unchanged(read, known) and not ctx.stopping():
        return parser.submit(_parsed, ctx, read, known, turn)
    there: Future[DayRead] = Future()
    there.set_result(read)
    return there


def _parsed(ctx: Context, read: DayRead, known: Row[object] | None, turn: Lock) -> DayRead:
    """Parse a day, and make its rows ready for the writer where none of them can be known."""
    with turn:
        if ctx.stopping():  # nobody takes it any more
            return read
        parse(read)
        if known is None:
            make_ready(read, lock_date=ctx.policy.lock_date, sqlite=ctx.store.is_sqlite)
    return read


def _backfill_ranges(
    ctx: Context,
    source: str,
    first: date,
    last: date,
    again: bool,
    progress: Progress | None,
    done: Backfilled,
) -> None:
    client = ctx.mpw_client()
    if client is None:
        done.failed.append((source, first, _paused(ctx)))
        return
    spans = _plan_ranges(ctx, source, first, last, again)
    done.skipped_days += max(0, (last - first).days + 1 - sum((end - start).days + 1 for start, end in spans))

    def work(run_id: int) -> Outcome:
        finished = (
            read_ranges(ctx, order_source(client, ctx), spans, run_id, progress=progress)
            if source == PURCHASE_ORDERS
            else read_ranges(ctx, work_order_source(client, ctx), spans, run_id, progress=progress)
        )
        done.failed.extend(finished.failed)
        return finished.outcome()

    outcome = observe(ctx, f"backfill.{source}", source=source, system=MPW, work=work)
    done.counts.add(outcome.counts)
    if ctx.paused(MPW) is not None:
        done.failed.append((source, first, outcome.error or _paused(ctx)))


def _plan_ranges(ctx: Context, source: str, first: date, last: date, again: bool) -> list[Span]:
    """Return the months to read: those with a day that is not complete.

    Orders are read from the beginning of the first month: an order is written before its parts are
    received, and a ledger that begins in mid-month should know the orders of its first receipts.
    """
    if source == PURCHASE_ORDERS:
        first = first.replace(day=1)
    with ctx.read() as conn:
        complete = set() if again else complete_days(conn, source, first, last)
    return [
        (start, end)
        for start, end in month_ranges(first, last)
        if any(day not in complete for day in days_between(start, end))
    ]
