"""Each planted bug is caught by the rule that it breaks: an oracle that catches nothing proves nothing."""

from __future__ import annotations

import pytest

from tests.simulation.mutants import MUTANTS, Mutant, catch

SAMPLE = {
    "blind_retry",
    "rescue_to_ready",
    "no_attempt_row",
    "transfer_sent_again",
    "no_echo_rule",
    "mark_left_on",
    "no_follow_up",
    "no_look_before_an_upsert",
    "void_on_one_absence",
    "cost_of_last_receipt",
    "dead_in_silence",
}
"""What is quickly caught of each kind; all of them: python -m tests.simulation.mutants, or -m "slow or not slow"."""


@pytest.mark.parametrize(
    "mutant",
    [pytest.param(one, id=one.id, marks=() if one.id in SAMPLE else pytest.mark.slow) for one in MUTANTS],
)
def test_a_planted_bug_is_caught_by_the_rule_that_it_breaks(mutant: Mutant) -> None:
    found = catch(mutant)

    assert found.seed is not None, f"{mutant.slip} Not caught within {mutant.within} seeds: {found.others}"


def test_at_least_55_bugs_are_planted_and_each_once() -> None:
    names = [mutant.id for mutant in MUTANTS]

    assert len(set(names)) == len(names) >= 55
    assert set(names) >= SAMPLE
    assert all(mutant.slip.strip() and mutant.within <= 20 for mutant in MUTANTS)


def test_without_a_bug_the_world_in_which_one_is_caught_breaks_nothing() -> None:
    mutant = next(mutant for mutant in MUTANTS if mutant.id == "blind_retry")

    assert mutant.setting.world(mutant.seed).run().commits > 0
