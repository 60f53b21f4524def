"""A failing seed comes down to the few decisions that it takes, and to one line that replays them."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.shrink import Case, from_text, line_of, rule_of, shrink
from tests.simulation.world import World

BLIND_RETRY = next(mutant for mutant in MUTANTS if mutant.id == "blind_retry")


def test_a_failing_seed_shrinks_to_a_plan_that_still_fails_and_is_smaller() -> None:
    small = replace(BLIND_RETRY, setting=replace(BLIND_RETRY.setting, count=5))
    seed, (taken, violation) = next(
        (seed, drawn) for seed in range(20) if (drawn := Case(seed, small).draw())[1] is not None
    )

    shrunk = shrink(Case(seed, small))

    again = Case(seed, small).breaks(shrunk.plan)
    assert violation is not None
    assert again is not None
    assert rule_of(again) == rule_of(violation) == "rule an unclear call"
    assert shrunk.after < shrunk.before
    decisions = {key: value for key, value in shrunk.plan.items() if key[0] != "skip"}
    assert len(decisions) == 1 <= len(taken)
    assert next(iter(decisions))[0] == "fault"


def test_the_printed_line_holds_the_whole_plan() -> None:
    plan = {("fault", "mpw.post_receipt:it's|before#0"): "late", ("late", "mpw.post_receipt:x#0"): 3}

    words = shlex.split(line_of(Case(4, BLIND_RETRY), plan))

    assert words[2:7] == ["tests.simulation.shrink", "--seed", "4", "--mutant", "blind_retry"]
    assert from_text(words[-1]) == plan


def test_a_seed_s_decisions_played_back_take_the_same_course_as_the_seed() -> None:
    drawn = World(2, trace=True)
    drawn.run()

    played = World(2, given=dict(drawn.plan.taken), trace=True)
    played.run()

    assert drawn.plan.taken
    assert played.kernel.trace == drawn.kernel.trace


def test_a_seed_that_breaks_nothing_cannot_be_shrunk() -> None:
    sound = replace(BLIND_RETRY, setting=replace(BLIND_RETRY.setting, rates={}, count=2, hours=0.2))

    with pytest.raises(ValueError, match="breaks nothing"):
        shrink(Case(0, sound))
