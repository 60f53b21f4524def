"""Which days are to be read now.

Both of MPW's lists take one `date`, which people choose: they back-date, post-date, edit and delete
(edge cases M3, M4), so no day is ever final. The older a day, the more rarely it is read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sync.values.policy import Policy

DAY = timedelta(days=1)
WEEK_DAYS = 7
DEEP_DAYS = 45
YEAR_DAYS = 365
MONTHLY = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class DayState:
    """What is known of a day of a source. `unclean`: it holds rows that are missing or quarantined."""

    complete: bool
    last_read_at: datetime | None
    unclean: bool = False


def due_days(states: Mapping[date, DayState], policy: Policy, now: datetime) -> list[date]:
    """Return the days of one source that are incomplete or whose rescan is overdue, newest first.

    Days before the start date count only where a backfill has read them.
    """
    today = policy.day(now)
    wanted = set(days_between(policy.start_date, today + DAY))
    wanted.update(day for day in states if day >= today - timedelta(days=YEAR_DAYS) or states[day].unclean)
    return sorted((day for day in wanted if is_due(day, states.get(day), policy, now)), reverse=True)


def is_due(day: date, state: DayState | None, policy: Policy, now: datetime) -> bool:
    """Tell whether a day must be read: it never was, it has ended since, or its rescan is overdue."""
    return day <= policy.day(now) + DAY and is_overdue(day, state, policy, now)


def is_overdue(day: date, state: DayState | None, policy: Policy, now: datetime) -> bool:
    """Tell the same of a day that may lie ahead: its pace is that of the week."""
    today = policy.day(now)
    if state is None or state.last_read_at is None or (day < today and not state.complete):
        return True
    if state.last_read_at > now:  # a clock that was ahead has read it: nobody knows how long ago
        return True
    interval = rescan_interval(day, today, policy)
    if state.unclean:
        soon = max(policy.void_after, policy.poll_recent)
        interval = soon if interval is None else min(interval, soon)
    return interval is not None and now - state.last_read_at >= interval


def rescan_interval(day: date, today: date, policy: Policy) -> timedelta | None:
    """Return how old a reading of a day may get; None: for ever."""
    age = (today - day).days
    if age in (0, 1):
        return policy.poll_recent
    if age <= WEEK_DAYS:
        return policy.poll_week
    if age <= DEEP_DAYS:
        return policy.poll_deep
    return MONTHLY if age <= YEAR_DAYS else None


def has_ended(day: date, instant: datetime, policy: Policy) -> bool:
    """Tell whether a day was over, where the organisation is, at an instant."""
    return policy.day(instant) > day


def days_between(first: date, last: date) -> Iterator[date]:
    """Return every day from first to last, both inclusive."""
    for number in range((last - first).days + 1):
        yield first + timedelta(days=number)


def month_ranges(first: date, last: date) -> list[tuple[date, date]]:
    """Cut a span of days at the ends of its months."""
    ranges: list[tuple[date, date]] = []
    while first <= last:
        next_month = (first.replace(day=1) + timedelta(days=32)).replace(day=1)
        end = min(last, next_month - DAY)
        ranges.append((first, end))
        first = end + DAY
    return ranges


def grouped(days: Iterable[date], *, apart_max: int, length_max: int) -> list[tuple[date, date]]:
    """Join days into ranges: neighbours at most `apart_max` days apart, no range longer than `length_max` days."""
    ranges: list[tuple[date, date]] = []
    for day in sorted(set(days)):
        if ranges and (day - ranges[-1][1]).days <= apart_max and (day - ranges[-1][0]).days < length_max:
            ranges[-1] = (ranges[-1][0], day)
        else:
            ranges.append((day, day))
    return ranges
