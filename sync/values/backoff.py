"""How long to wait after a try that came to nothing."""

from __future__ import annotations

from datetime import timedelta

BACKOFF_MAX = timedelta(hours=1)
"""An hour is long enough to be no burden and short enough that a recovered vendor is noticed the same shift."""

_DOUBLINGS_MAX = 30  # 2³⁰ steps of any base are past the cap


def backoff(failures: int, *, base: timedelta, random: float, retry_after: timedelta | None = None) -> timedelta:
    """Return a wait in [0, base · 2ⁿ⁻¹), at most an hour, but never less than the vendor asked for.

    Full jitter (`random` in [0, 1)): rows that failed together do not come back together.
    """
    span = min(base * 2 ** min(max(failures - 1, 0), _DOUBLINGS_MAX), BACKOFF_MAX) if base else timedelta()
    return max(span * random, retry_after or timedelta())
