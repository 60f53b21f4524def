"""MPservices' two-day window: the one place where data can be lost for good."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import Row

from sync.clients.mpservices.client import MpservicesClient
from sync.clients.mpservices.wire import Movement, read_movements
from sync.clients.rows import BadRow
from sync.domain.policy import Policy
from sync.domain.subjects import Subject
from sync.domain.windows import days_between, has_ended
from sync.flows.context import MPSERVICES, Context
from sync.flows.movement_lines import Ingested, ingest_movements
from sync.flows.observed import Outcome, observe
from sync.store.coverage import MOVEMENTS, feed, note_feed_read, open_gap, rows_by_day, save_days
from sync.store.engine import lock_appends
from sync.store.exceptions import open_exception
from sync.store.movements import young_movements
from sync.store.quarantine import quarantine_rows, release_remote_ids
from sync.store.runs import Counts

__all__ = ["Ingested", "ingest_movements", "poll_movements_once", "take_movements"]

SKEW = timedelta(minutes=5)
"""How far the vendor's clock and ours may differ before we say that its feed reaches less far than set."""


def poll_movements_once(ctx: Context) -> Counts:
    """Read the feed once ("drain") and take in what is new; nothing where MPservices is off or paused."""
    return drain_movements(ctx).counts


def drain_movements(ctx: Context) -> Outcome:
    """Read the feed once; the outcome's error tells that it could not be read."""
    client = ctx.mpservices_client()
    if client is None:
        return Outcome(error="MPservices is off or paused")
    return observe(
        ctx,
        "poll.mpservices.movements",
        source=MOVEMENTS,
        system=MPSERVICES,
        work=lambda run_id: _drain(ctx, client, run_id),
    )


def _drain(ctx: Context, client: MpservicesClient, run_id: int) -> Outcome:
    began_at = ctx.clock.now()
    answer = client.movements()
    ahead = answer.answered_at - ctx.clock.now() if answer.answered_at is not None else None
    parsed = read_movements(answer.body)
    with ctx.write() as conn:
        counts = take_movements(
            conn,
            parsed.rows,
            parsed.bad,
            began_at=began_at,
            policy=ctx.policy,
            now=ctx.clock.now(),
            run_id=run_id,
        )
    return Outcome(counts, ahead=ahead)


def take_movements(
    conn: Connection,
    movements: Sequence[Movement],
    bad: Sequence[BadRow],
    *,
    began_at: datetime,
    policy: Policy,
    now: datetime,
    run_id: int,
) -> Counts:
    """Take in one whole answer: lines, gap, short window, coverage. An answer older than the stored one is dropped."""
    lock_appends(conn)
    known = feed(conn, MOVEMENTS)
    if known is not None and known.last_read_at is not None and known.last_read_at > began_at:
        return Counts()
    covered_from = _covered_from(conn, known, began_at, policy, now)
    done = ingest_movements(conn, movements, source="feed", push=True, policy=policy, now=now, run_id=run_id)
    unreadable = [*bad, *done.bad]
    done.counts.seen += len(bad)
    done.counts.quarantined = quarantine_rows(conn, MOVEMENTS, None, unreadable, now=now)
    release_remote_ids(conn, MOVEMENTS, done.readable, bad=unreadable, now=now)
    _check_reach(conn, movements, unreadable, began_at=began_at, policy=policy, now=now)
    note_feed_read(conn, MOVEMENTS, began_at=began_at, covered_from=covered_from)
    _cover(conn, covered_from, began_at, policy, now)
    return done.counts


def _covered_from(
    conn: Connection, known: Row[Any] | None, began_at: datetime, policy: Policy, now: datetime
) -> datetime:
    """Return where the unbroken stretch that this reading ends begins; a hole before it is recorded."""
    reaches = began_at - policy.window
    if known is None or known.last_read_at is None or known.covered_from is None:
        return reaches
    if known.last_read_at >= reaches:
        return known.covered_from  # type: ignore[no-any-return]
    gap_id = open_gap(conn, MOVEMENTS, known.last_read_at, reaches, now=now)
    bounds = f"{_text(known.last_read_at)} to {_text(reaches)}"
    open_exception(
        conn,
        "gap",
        Subject.source(MOVEMENTS, _text(known.last_read_at)),
        detail=f"movements created from {bounds} were never read: the feed shows the last "
        f"{policy.window / timedelta(hours=1):g} hours only",
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
    began_at: datetime,
    policy: Policy,
    now: datetime,
) -> None:
    """Report stored movements younger than the window that the answer lacks (edge case S2)."""
    shown = {movement.id for movement in movements} | {row.remote_id for row in unreadable}
    lacking = sorted(young_movements(conn, MOVEMENTS, began_at - policy.window + SKEW) - shown)
    if not lacking:
        return
    open_exception(
        conn,
        "short_window",
        Subject.source(MOVEMENTS),
        detail=f"the feed no longer shows {len(lacking)} movements that are younger than "
        f"{policy.window / timedelta(hours=1):g} hours, {lacking[0]} among them: it reaches less far than is set",
        hint="set MPSERVICES_WINDOW_HOURS to what the feed really shows: a shorter outage than that may lose movements",
        now=now,
        facts={"movement_ids": lacking[:100]},
    )


def _cover(conn: Connection, covered_from: datetime, began_at: datetime, policy: Policy, now: datetime) -> None:
    """Note the days of the last window that lie wholly in the unbroken stretch, and today."""
    today = policy.day(began_at)
    first = policy.day(max(covered_from, began_at - policy.window - timedelta(days=1)))
    days = [day for day in days_between(first, today) if _starts_at(day, policy) >= covered_from]
    counts = rows_by_day(conn, MOVEMENTS, days)
    save_days(
        conn,
        [
            {
                "source": MOVEMENTS,
                "day": day,
                "complete": has_ended(day, began_at, policy),
                "rows": counts.get(day, 0),
                "last_read_at": now,
                "fetch_began_at": began_at,
            }
            for day in days
        ],
    )


def _starts_at(day: date, policy: Policy) -> datetime:
    return datetime.combine(day, time(), tzinfo=policy.timezone).astimezone(UTC)


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
