"""A clock that tests move by hand."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

START = datetime(2024, 3, 15, 12, 0, tzinfo=UTC)
"""A Friday noon, far from a month's end and from any change of daylight saving."""


class FakeClock:
    """Time that stands still until `advance`, `sleep` or a new `current` moves it. Safe to share between threads.

    With a `tick` (seconds) every look at it moves it, as work takes time. With PostgreSQL, leases and due times go by
    the clock that is given as the `server`'s, which moves on its own; None: they go by this one.
    """

    def __init__(self, now: datetime = START, *, tick: float = 0.0, server: FakeClock | None = None) -> None:
        self.server = server or self
        self._lock = threading.Lock()
        self._now = _aware(now)
        self._tick = tick
        self._monotonic = 1000.0
        self.slept: list[float] = []

    @property
    def current(self) -> datetime:
        """The instant it shows; set it to jump, also backwards, as a machine's clock may."""
        return self.now()

    @current.setter
    def current(self, instant: datetime) -> None:
        with self._lock:
            self._now = _aware(instant)

    def now(self) -> datetime:
        """Return the instant it shows, aware, in UTC."""
        if self._tick:
            return self.advance(self._tick)
        with self._lock:
            return self._now

    def monotonic(self) -> float:
        """Return seconds that only `advance` and `sleep` move."""
        with self._lock:
            return self._monotonic

    def advance(self, seconds: float = 0.0, **units: float) -> datetime:
        """Move on by seconds, or by timedelta's other units (`minutes=5`, `days=1`); return the new instant."""
        step = timedelta(seconds=seconds, **units)
        with self._lock:
            self._now += step
            self._monotonic += step.total_seconds()
            return self._now

    def sleep(self, seconds: float, wake: threading.Event | None = None) -> bool:
        """Move on at once instead of waiting, and note it in `slept`; a `wake` that is set cuts it to nothing."""
        if wake is not None and wake.is_set():
            return True
        self.slept.append(seconds)
        self.advance(max(0.0, seconds))
        return False


def _aware(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError(f"a clock shows aware instants, not {instant!r}")
    return instant.astimezone(UTC)
