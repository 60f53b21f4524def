"""A share of the simulation that fits in a test run; long runs: python -m tests.simulation --seeds N."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.simulation.kernel import Violation
from tests.simulation.run import run_seeds
from tests.simulation.world import World

SEEDS = range(10)


def test_whatever_fails_all_books_meet_and_no_event_takes_effect_twice() -> None:
    figures = run_seeds(SEEDS)

    assert figures.failures == []
    assert figures.crashes > 0
    assert figures.hits["lost_answer"] > 0
    assert figures.hits["crash_after_commit"] > 0
    assert figures.reached["sending->unknown unknown"] > 0
    assert figures.reached["unknown->done"] > 0


def test_the_same_seed_takes_the_same_course() -> None:
    first, second = World(2, trace=True), World(2, trace=True)

    first.run()
    second.run()

    assert first.kernel.trace == second.kernel.trace


def test_an_effect_of_no_event_is_a_violation() -> None:
    world = World(2)

    with pytest.raises(Violation, match="no such event"):
        world.oracle.on_made("receipt", "nobody-s-key", Decimal(1))

    world.close()
