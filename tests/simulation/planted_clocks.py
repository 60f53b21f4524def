"""Bugs to plant (see `planted`) in what is believed of clocks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from sync.clock import Clock
from sync.database.engine import Store
from sync.poll.days import filing as day_filing
from sync.poll.days import read as days
from sync.poll.spans import ranges
from sync.work import context
from sync.work.clock_rules import Verdict
from sync.work.context import Context
from tests.simulation.planted import swapped


def reads_ordered_by_clock() -> Any:
    """Of two readings the one that began later is the newer one."""

    def outdated(row: Any, run_id: int, began_at: datetime) -> bool:
        stored = row.last_read_at if row is not None else None
        return stored is not None and stored > began_at

    return swapped(*((owner, "is_outdated", outdated) for owner in (days, day_filing, ranges)))


def lease_by_local_clock() -> Any:
    """A lease runs out when the clock says so."""

    def time(self: Store, conn: Connection, clock: Clock) -> datetime:
        return getattr(clock, "machine", clock).now()

    return swapped((Store, "time", time))


def wrong_clock_still_pushes() -> Any:
    """Time is what the clock shows."""
    return swapped((Context, "is_timely", lambda self: True))


def any_skew_is_ours() -> Any:
    """A vendor whose clock shows another time tells us that ours is wrong."""

    def judge(ahead: Mapping[str, timedelta], *args: Any, **kwargs: Any) -> Verdict:
        return Verdict(behind=max(ahead.values(), key=abs, default=timedelta()), by=tuple(ahead))

    return swapped((context, "judge", judge))
