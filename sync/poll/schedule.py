"""What is to be read now, and reading it: the incomplete, the overdue, and what is read often."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from sqlalchemy import Connection

from sync.database.runs import Counts
from sync.ledger.coverage import (
    DAY_SOURCES,
    EQUIPMENT,
    MOVEMENTS,
    PURCHASE_ORDERS,
    WORK_ORDERS,
    coverage_since,
    feed,
    lacks_none,
    last_error_at,
)
from sync.outbox.pushed import PushedDay, pushed_days
from sync.poll.days.day_pass import read_days
from sync.poll.feed.window import poll_movements_once
from sync.poll.spans.equipment import DAILY, poll_equipment_once
from sync.poll.spans.orders import poll_orders_once
from sync.poll.spans.work_orders import poll_work_orders_once
from sync.values.dates import YEAR_DAYS, DayState, due_days, is_overdue
from sync.values.policy import Policy
from sync.values.systems import MPW
from sync.work.context import Context
from sync.work.observed import observe

__all__ = [
    "due_windows",
    "poll_days_once",
    "poll_due_once",
    "poll_equipment_once",
    "poll_movements_once",
    "poll_orders_once",
    "poll_recent_once",
    "poll_work_orders_once",
]


def poll_due_once(ctx: Context, *, recent: bool = True) -> Counts:
    """Read what is incomplete or overdue; with `recent` also, due or not, what `run` reads often.

    A source that fails is recorded and stops no other. Nothing is read of a system that is off or paused.
    """
    counts = Counts()
    now = ctx.clock.now()
    with ctx.read() as conn:
        windows = due_windows(conn, ctx.policy, now)
        due = {source: _feed_is_due(conn, source, ctx.policy, now) for source in _INTERVALS}
    for source in DAY_SOURCES:
        days = windows[source]
        if recent:
            days = [*_recent_days(ctx), *(day for day in days if day not in _recent_days(ctx))]
        counts.add(poll_days_once(ctx, source, days))
    for source, poll in _FEEDS:
        if ctx.stopping():
            break
        if due[source] or (recent and source in _OFTEN):
            counts.add(poll(ctx))
    return counts


def poll_recent_once(ctx: Context, source: str) -> Counts:
    """Read what is due now of one of the daily lists, today and yesterday at their own pace: the daemon's tick.

    A list that fails is left alone for as long as it had been failing, up to the pace of today's reading:
    what could not be read stays due, and every tick would ask for all of it again.
    """
    now = ctx.clock.now()
    with ctx.read() as conn:
        if _rests(conn, source, ctx.policy, now):
            return Counts()
        days = due_windows(conn, ctx.policy, now, sources=[source])[source]
    return poll_days_once(ctx, source, days)


def poll_days_once(ctx: Context, source: str, days: Sequence[date]) -> Counts:
    """Read these days of `mpw.issuances` or `mpw.receipts`, in that order."""
    client = ctx.mpw_client()
    if client is None or not days:
        return Counts()
    return observe(
        ctx,
        f"poll.{source}",
        source=source,
        system=MPW,
        work=lambda run_id: read_days(ctx, client, source, days, run_id),
    ).counts


def due_windows(
    conn: Connection, policy: Policy, now: datetime, *, sources: Sequence[str] = DAY_SOURCES
) -> dict[str, list[date]]:
    """Return the days of each daily list that are to be read now, newest first.

    Where nothing is missing before the last year, its days are not looked at one by one: a tick costs
    the same in the tenth year as in the first.

    Beside the schedule: days that a push of ours was dated to and that were not read since, so that an
    event's two sides meet soon. One that lies ahead is read too, while a push that is dated to it waits to be seen.
    """
    windows: dict[str, list[date]] = {}
    for source in sources:
        year = policy.day(now) - timedelta(days=YEAR_DAYS)
        rules = policy
        if policy.start_date < year and lacks_none(conn, source, policy.start_date, year - timedelta(days=1)):
            rules = replace(policy, start_date=year)
        first = min(rules.start_date, year)
        rows = coverage_since(conn, source, first)
        states = {day: DayState(row.complete, row.last_read_at, row.unclean) for day, row in rows.items()}
        pushed = pushed_days(conn, source, now=now).items()
        days = {*due_days(states, rules, now), *(day for day, one in pushed if _is_awaited(day, one, policy, now))}
        windows[source] = sorted(days, reverse=True)
    return windows


def _is_awaited(day: date, pushed: PushedDay, policy: Policy, now: datetime) -> bool:
    """Tell whether a day is read out of turn; one that lies ahead has no turn, and is read while a push is unseen."""
    if day <= policy.day(now) + timedelta(days=1):
        return pushed.awaited
    return pushed.unseen and (pushed.awaited or is_overdue(day, pushed.state, policy, now))


def _rests(conn: Connection, source: str, policy: Policy, now: datetime) -> bool:
    known, failed_at = feed(conn, source), last_error_at(conn, source)
    if known is None or known.failing_since is None or failed_at is None:
        return False
    return bool(timedelta(0) <= now - failed_at < min(policy.poll_recent, failed_at - known.failing_since))


def _recent_days(ctx: Context) -> list[date]:
    today = ctx.policy.day(ctx.clock.now())
    return [today, today - timedelta(days=1)]


_FEEDS: tuple[tuple[str, Callable[[Context], Counts]], ...] = (
    (MOVEMENTS, poll_movements_once),
    (PURCHASE_ORDERS, poll_orders_once),
    (WORK_ORDERS, poll_work_orders_once),
    (EQUIPMENT, poll_equipment_once),
)
_OFTEN = (MOVEMENTS, PURCHASE_ORDERS)
_INTERVALS: dict[str, Callable[[Policy], timedelta]] = {
    MOVEMENTS: lambda policy: policy.poll_movements,
    PURCHASE_ORDERS: lambda policy: policy.poll_orders,
    WORK_ORDERS: lambda policy: policy.poll_orders,
    EQUIPMENT: lambda policy: DAILY,
}


def _feed_is_due(conn: Connection, source: str, policy: Policy, now: datetime) -> bool:
    known = feed(conn, source)
    if known is None or known.last_read_at is None:
        return True
    # One that lies in the future was written by a clock that was ahead: it says nothing, and the feed is due.
    return bool(known.last_read_at > now or now - known.last_read_at >= _INTERVALS[source](policy))
