"""Leaving a vendor alone for as long as it asked to be: Retry-After, whatever call it was the answer to."""

from __future__ import annotations

import threading
from datetime import timedelta

from sync.clock import Clock
from sync.errors import RetryableError


class RetryAfter:
    """When one vendor may be called again; safe to use from several threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._until = clock.monotonic()

    def ask(self, wait: timedelta) -> None:
        """Take note that the vendor asked to wait; an earlier word that asks for longer stands."""
        with self._lock:
            self._until = max(self._until, self._clock.monotonic() + wait.total_seconds())

    def check(self, system: str) -> None:
        """Raise RetryableError, with what is left of the wait, where it is not over: nothing is sent then."""
        with self._lock:
            left = self._until - self._clock.monotonic()
        if left > 0:
            message = f"{system} asked to be left alone for another {left:.0f} s"
            raise RetryableError(message, status=429, retry_after=timedelta(seconds=left))
