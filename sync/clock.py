"""The one place that reads time. Everything else is handed a `Clock`."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Time as the program sees it; simulations and tests bring their own."""

    def now(self) -> datetime:
        """Return the current instant, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back; only differences mean anything."""
        ...

    def sleep(self, seconds: float, wake: threading.Event | None = None) -> bool:
        """Wait; return True when `wake` was set before the time was up."""
        ...


_MONOTONIC: int | None = getattr(time, "CLOCK_BOOTTIME", None)
"""time.monotonic() stands still while a machine is suspended: a lease, a token and a vendor's rest run on meanwhile."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the current instant, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the machine's monotonic seconds, the time that it slept included where the system tells (Linux)."""
        return time.clock_gettime(_MONOTONIC) if _MONOTONIC is not None else time.monotonic()

    def sleep(self, seconds: float, wake: threading.Event | None = None) -> bool:
        """Wait; return True when `wake` was set before the time was up."""
        if wake is not None:
            return wake.wait(max(0.0, seconds))
        time.sleep(max(0.0, seconds))
        return False


class SharedClock:
    """The database server's clock, as far as it is known: what several machines compare is of one clock.

    `set` tells it the server's time; in between, the machine's monotonic seconds carry it on, so that a machine
    whose clock is wrong, or is set while the program runs, changes nothing. Before the first `set` it shows the
    machine's own time. Safe to share between threads.
    """

    def __init__(self, machine: Clock) -> None:
        self.machine = machine
        self.server: Clock | None = getattr(machine, "server", None)  # of a test's world; None: the database is asked
        self._known: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        """Return the current instant, aware, in UTC."""
        known = self._known
        if known is None:
            return self.machine.now()
        return known[0] + timedelta(seconds=self.machine.monotonic() - known[1])

    def monotonic(self) -> float:
        """Return the machine's monotonic seconds."""
        return self.machine.monotonic()

    def sleep(self, seconds: float, wake: threading.Event | None = None) -> bool:
        """Wait; return True when `wake` was set before the time was up."""
        return self.machine.sleep(seconds, wake)

    def set(self, server: datetime, *, asked: float, answered: float) -> None:
        """Take over the server's time, told between two monotonic seconds of ours."""
        self._known = (server, (asked + answered) / 2)

    def ahead(self) -> timedelta | None:
        """Return how far the server's clock is ahead of this machine's; None where it was never told."""
        return None if self._known is None else self.now() - self.machine.now()


OF_THIS_WORLD = timedelta(days=60)


def stands_for_itself(clock: Clock) -> bool:
    """Tell whether a clock shows the time of a test's own world, in which the database server's clock has no say.

    It then is not the machine's, is far from it, and names no `server`, the clock that is the server's in that world.
    """
    if isinstance(clock, SystemClock) or getattr(clock, "server", None) is not None:
        return getattr(clock, "server", None) is clock
    return abs(clock.now() - SystemClock().now()) > OF_THIS_WORLD
