"""Time: one true time, and clocks that differ from it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

START = datetime(2024, 3, 15, 12, 0, tzinfo=UTC)


class TrueTime:
    """What time it really is. It moves by hand, and a little with every look and every request."""

    LOOK = timedelta(milliseconds=1)

    def __init__(self, now: datetime = START) -> None:
        self._lock = threading.Lock()
        self._now = now
        self._started = now

    def now(self) -> datetime:
        """Return the true time, a moment later than at the last look."""
        return self.advance(self.LOOK)

    def elapsed(self) -> float:
        """Return seconds since the start: what no clock that is set anew can change."""
        return (self.now() - self._started).total_seconds()

    def advance(self, step: timedelta) -> datetime:
        """Let time pass."""
        with self._lock:
            self._now += max(step, timedelta())
            return self._now


class OurClock:
    """The clock of the machine that the program runs on; `ahead` of the true time, or behind where below zero.

    `server`: the clock of the machine that a PostgreSQL database runs on, which is always right.
    """

    def __init__(self, true: TrueTime, ahead: timedelta = timedelta(), *, server: bool = False) -> None:
        self.true = true
        self.ahead = ahead
        self.server: OurClock = self if server else OurClock(true, server=True)

    def now(self) -> datetime:
        """Return the instant it shows."""
        return self.true.now() + self.ahead

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self.true.elapsed()

    def sleep(self, seconds: float, wake: threading.Event | None = None) -> bool:
        """Let time pass at once; a thread beside the work, which waits to be woken, really waits."""
        if wake is not None and threading.current_thread() is not threading.main_thread():
            return wake.wait(max(0.0, seconds))
        if wake is not None and wake.is_set():
            return True
        self.true.advance(timedelta(seconds=seconds))
        return False


class VendorClock:
    """A vendor's clock. `date_ahead`: its Date header where that machine's clock differs; None: it sends none."""

    def __init__(self, true: TrueTime) -> None:
        self._true = true
        self.ahead = timedelta()
        self.date_ahead: timedelta | None = timedelta()
        self._landing: datetime | None = None

    def now(self) -> datetime:
        """Return the instant that it stamps on what happens now."""
        return self._landing or self._true.now() + self.ahead

    def date(self) -> datetime | None:
        """Return what the Date header shows, to the second."""
        if self.date_ahead is None:
            return None
        return (self._true.now() + self.ahead + self.date_ahead).replace(microsecond=0)

    def landing(self, instant: datetime | None) -> None:
        """Stand still at an instant (None: go on): what was held up happens then."""
        self._landing = instant
