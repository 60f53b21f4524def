"""How hard Hypothesis tries: the same moderate examples in every ordinary run.

SYNC_TEST_HOSTILE=nightly tries many times as many and new ones each time; a number says how many times.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

NIGHTLY_TIMES = 40
ASKED = os.environ.get("SYNC_TEST_HOSTILE", "")
TIMES = NIGHTLY_TIMES if ASKED == "nightly" else int(ASKED or 1)


def examples(number: int) -> settings:
    """Return the settings of a test that tries `number` examples in an ordinary run."""
    return settings(
        max_examples=number * TIMES,
        derandomize=not ASKED,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
