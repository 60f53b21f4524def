"""MPservices' two-day window: the one place where data can be lost for good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import Row

from sync.clients.mpservices.client import MpservicesClient
from sync.clients.mpservices.wire import Movement, read_movements
from sync.clients.rows import BadRow
from sync.domain.policy import Policy
from sync.domain.reach import gap_after
from sync.domain.subjects import Subject
from sync.domain.windows import days_between, has_ended
from sync.flows.context import MPSERVICES, Context
from sync.flows.movement_lines import Ingested, ingest_movements
from sync.flows.observed import Outcome, observe
from sync.flows.reach import LOOK_BACK, learn_reach
from sync.store.coverage import (
    MOVEMENTS,
    feed,
    is_feed_outdated,
    note_feed_read,
    open_gap,
    rows_by_day,
    save_days,
)
from sync.store.engine import lock_appends
from sync.store.exceptions import open_exception
from sync.store.learned import reach_of
from sync.store.movements import recent_movements, young_movements
from sync.store.quarantine import quarantine_rows, release_remote_ids
from sync.store.runs import Counts, newest_run

__all__ = ["FeedRead", "Ingested", "ingest_movements", "poll_movements_once", "take_movements"]

SKEW = timedelta(minutes=5)
"""By how much the feed's end may lie off its setting before we say that it reaches less far."""

TRIES = 3
"""How often the feed is read again at once where another reading was taken in meanwhile, that may be newer or older."""


@dataclass(frozen=True, slots=True)
class FeedRead:
    """When the feed was read: by our clock (`began_at`), and by the vendor's (`there`), which its createdAt is of.

    `timely` False: our clock is wrong. `run_id` was drawn before it was asked for.
    """

    run_id: int
    began_at: datetime
    there: datetime
    timely: bool = True


def poll_movements_once(ctx: Context) -> Counts:
    """Read the feed once ("drain") and take in what is new; nothing where MPservices is off or paused."""
    return drain_movements(ctx).counts


def drain_movements(ctx: Context) -> Outcome:
    """Read the feed once; the outcome's error tells that it could not be read."""
    client = ctx.mpservices_client()
    if client is None:
        return Outcome(error="MPservices is off or paused")
    for _ in range(TRIES):
        outcome = observe(
            ctx,
            "poll.mpservices.movements",
            source=MOVEMENTS,
            system=MPSERVICES,
            work=lambda run_id: _drain(ctx, client, run_id),
        )
        if not outcome.dropped:
            return outcome
    outcome.error = "other readings of the feed were taken in meanwhile: it is read again soon"
    return outcome


def _drain(ctx: Context, client: MpservicesClient, run_id: int) -> Outcome:
    began_at = ctx.clock.now()
    answer = client.movements()
    ahead = answer.answered_at - ctx.clock.now() if answer.answered_at is not None else None
    parsed = read_movements(answer.body)
    there = began_at + ctx.vendor_ahead(MPSERVICES) if answer.answered_at is None else answer.answered_at
    read = FeedRead(run_id, began_at, there, ctx.is_timely())
    with ctx.write() as conn:
        now = ctx.clock.now()
        counts = take_movements(conn, parsed.rows, parsed.bad, read=read, policy=ctx.policy, now=now)
    return Outcome(counts or Counts(), ahead=ahead, dropped=counts is None)


def take_movements(
    conn: Connection,
    movements: Sequence[Movement],
    bad: Sequence[BadRow],
    *,
    read: FeedRead,
    policy: Policy,
    now: datetime,
) -> Counts | None:
    """Take in one whole answer: lines, gap, short window, coverage.

    None where it is dropped: another one, which may be newer, was taken in since this one's run began. Where our
    clock is wrong the lines are taken in, and nothing that rests on time is concluded.
    """
    lock_appends(conn)
    known = feed(conn, MOVEMENTS)
    if is_feed_outdated(known, read.run_id):
        return None
    read_no = max(read.run_id, newest_run(conn))
    reach = reach_of(conn, policy)
    before = recent_movements(conn, MOVEMENTS, read.there - LOOK_BACK)
    shown = {movement.id: movement.created_at for movement in movements}
    done = ingest_movements(conn, movements, source="feed", push=True, policy=policy, now=now, run_id=read.run_id)
    unreadable = [*bad, *done.bad]
    done.counts.seen += len(bad)
    done.counts.quarantined = quarantine_rows(conn, MOVEMENTS, None, unreadable, now=now)
    release_remote_ids(conn, MOVEMENTS, done.readable, bad=unreadable, now=now)
    last = _last_read_there(known) if known is not None else None
    if not read.timely:
        unbroken = last is not None and last >= read.there - reach
        note_feed_read(
            conn,
            MOVEMENTS,
            run_id=read.run_id,
            began_at=read.began_at,
            vendor_read_at=read.there if unbroken else None,  # else the hole begins where it began
            read_no=read_no,
        )
        return done.counts
    covered_from = _covered_from(conn, known, read, shown, before, reach, now)
    _check_reach(conn, movements, unreadable, read=read, reach=reach, now=now)
    if not unreadable:  # a row that cannot be read is there, and may be the oldest
        learn_reach(conn, shown, before, at=read.there, policy=policy, now=now)
    note_feed_read(
        conn,
        MOVEMENTS,
        run_id=read.run_id,
        began_at=read.began_at,
        covered_from=covered_from,
        vendor_read_at=read.there,
        read_no=read_no,
    )
    _cover(conn, covered_from, read, read_no, policy, now)
    return done.counts


def _last_read_there(known: Row[Any]) -> datetime | None:
    """Return when the feed was last read whole, by the vendor's clock; by ours where that was before it was noted."""
    return known.vendor_read_at or known.last_read_at  # type: ignore[no-any-return]


def _covered_from(
    conn: Connection,
    known: Row[Any] | None,
    read: FeedRead,
    shown: Mapping[str, datetime],
    before: Mapping[str, datetime],
    reach: timedelta,
    now: datetime,
) -> datetime:
    """Return where the unbroken stretch that this reading ends begins; a hole before it is recorded."""
    last = _last_read_there(known) if known is not None else None
    if known is None or last is None or known.covered_from is None:
        return read.there - reach
    reaches = gap_after(last, read.there, reach=reach, shown=shown, known=before)
    if reaches is None:
        return min(known.covered_from, read.there)  # type: ignore[no-any-return]
    gap_id = open_gap(conn, MOVEMENTS, last, reaches, now=now)
    bounds = f"{_text(last)} to {_text(reaches)}"
    open_exception(
        conn,
        "gap",
        Subject.source(MOVEMENTS, _text(last)),
        detail=f"movements created from {bounds} were never read: the feed shows the last "
        f"{(read.there - reaches) / timedelta(hours=1):g} hours only",
        hint="export them from MPservices' screens, `mpsync import FILE --type movement`, "
        "then resolve this exception, saying what you did",
        now=now,
        facts={"gap_id": gap_id, "source": MOVEMENTS},
    )
    return reaches


def _check_reach(
    conn: Connection,
    movements: Sequence[Movement],
    unreadable: Sequence[BadRow],
    *,
    read: FeedRead,
    reach: timedelta,
    now: datetime,
) -> None:
    """Report stored movements younger than the window that the answer lacks (edge case S2)."""
    shown = {movement.id for movement in movements} | {row.remote_id for row in unreadable}
    lacking = sorted(young_movements(conn, MOVEMENTS, read.there - reach + SKEW) - shown)
    if not lacking:
        return
    open_exception(
        conn,
        "short_window",
        Subject.source(MOVEMENTS),
        detail=f"the feed no longer shows {len(lacking)} movements that are younger than "
        f"{reach / timedelta(hours=1):g} hours, {lacking[0]} among them: it reaches less far than is believed",
        hint="say how far it really reaches: `mpsync learned set window_hours HOURS --why TEXT`, or set "
        "MPSERVICES_WINDOW_HOURS; a shorter outage than is believed may lose movements",
        now=now,
        facts={"movement_ids": lacking[:100]},
    )


def _cover(
    conn: Connection, covered_from: datetime, read: FeedRead, read_no: int, policy: Policy, now: datetime
) -> None:
    """Note the days of the last window that lie wholly in the unbroken stretch, and today."""
    ended_by = min(read.began_at, read.there)
    today = policy.day(ended_by)
    first = policy.day(max(covered_from, read.there - policy.window - timedelta(days=1)))
    days = [day for day in days_between(first, today) if _starts_at(day, policy) >= covered_from]
    counts = rows_by_day(conn, MOVEMENTS, days)
    save_days(
        conn,
        [
            {
                "source": MOVEMENTS,
                "day": day,
                "complete": has_ended(day, ended_by, policy),
                "rows": counts.get(day, 0),
                "last_read_at": now,
                "fetch_began_at": read.began_at,
                "began_no": read.run_id,
                "read_no": read_no,
            }
            for day in days
        ],
    )


def _starts_at(day: date, policy: Policy) -> datetime:
    return datetime.combine(day, time(), tzinfo=policy.timezone).astimezone(UTC)


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
