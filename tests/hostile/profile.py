"""How hard Hypothesis tries: the same moderate examples every time, or with SYNC_TEST_HOSTILE=nightly many new ones."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

NIGHTLY = os.environ.get("SYNC_TEST_HOSTILE") == "nightly"
NIGHTLY_TIMES = 40


def examples(number: int) -> settings:
    """Return the settings of a test that tries `number` examples in an ordinary run."""
    return settings(
        max_examples=number * NIGHTLY_TIMES if NIGHTLY else number,
        derandomize=not NIGHTLY,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
