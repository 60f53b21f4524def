"""A sample of the changes; all: `python -m tests.mutation`."""

from __future__ import annotations

import os

import pytest

from tests.mutation.harmless import HARMLESS

SEED, SAMPLE = 1, 20

pytestmark = pytest.mark.slow


def test_of_twenty_small_changes_of_the_rules_the_quick_loop_notices_each_that_changes_anything() -> None:
    _needs_cosmic_ray()
    from tests.mutation.__main__ import survivors
    from tests.mutation.changes import drawn

    left, _ = survivors(drawn(SAMPLE, SEED))

    assert [str(change) for change in left] == []


def test_what_is_said_to_be_harmless_is_a_change_of_today_s_rules() -> None:
    _needs_cosmic_ray()
    from tests.mutation.changes import all_changes

    paths = {said.partition(" ")[0] for said in HARMLESS}
    changes = {str(change) for change in all_changes() if change.path in paths}

    assert sorted(HARMLESS.keys() - changes) == []


def _needs_cosmic_ray() -> None:
    if not os.environ.get("CI"):
        pytest.importorskip("cosmic_ray")
