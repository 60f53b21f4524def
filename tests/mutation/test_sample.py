"""A sample of the changes; all: `python -m tests.mutation`."""

from __future__ import annotations

import os

import pytest

SEED, SAMPLE = 1, 20


@pytest.mark.slow
def test_of_twenty_small_changes_of_the_rules_the_quick_loop_notices_each_that_changes_anything() -> None:
    if not os.environ.get("CI"):
        pytest.importorskip("cosmic_ray")
    from tests.mutation.__main__ import survivors
    from tests.mutation.changes import drawn

    left, _ = survivors(drawn(SAMPLE, SEED))

    assert [str(change) for change in left] == []
