"""A share of the simulation that fits in a test run; long runs: python -m tests.simulation --seeds N."""

from __future__ import annotations

import shlex
from decimal import Decimal

import pytest

from tests.simulation import run
from tests.simulation.counters import CRASHES, transitions, verdicts
from tests.simulation.kernel import Violation
from tests.simulation.plan import FAULTS
from tests.simulation.run import main, run_seeds
from tests.simulation.shrink import from_text
from tests.simulation.world import Result, World

SEEDS = range(500, 520)
FEW = range(500, 510)
"""A seed takes half a second to one; these are in the README's line."""

COMMON = (
    "held->ready",
    "ready->sending",
    "sending->dead",
    "sending->done",
    "sending->ready",
    "sending->unknown",
    "unknown->done",
    "unknown->ready",
    "unknown->unknown",
    "dead->ready",
)
"""What so few seeds reach; all transitions and all answers of the verifier are demanded of a run of 2,000."""


def test_in_a_few_worlds_all_books_meet_and_no_event_takes_effect_twice() -> None:
    figures = run_seeds(FEW)

    assert figures.failures == []
    assert figures.pushes > 0
    assert figures.crashes > 0


@pytest.mark.slow
def test_whatever_fails_all_books_meet_and_no_event_takes_effect_twice() -> None:
    figures = run_seeds(SEEDS)

    assert figures.failures == []
    assert [name for name in (*FAULTS, *CRASHES) if not figures.hits[name]] == []
    made, answered = transitions(figures.reached), verdicts(figures.reached)
    assert [name for name in COMMON if not made[name]] == []
    assert [name for name in ("Delivered", "Absent", "Later") if not answered[name]] == []
    met = ("freeze", "lease_lost", "rescued", "clock_step", "two daemons", "same cost", "permission lost", "burst")
    assert [name for name in met if not figures.reached[name]] == []


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


def test_a_row_that_vanishes_from_the_outbox_is_a_violation() -> None:
    world = World(2)
    world.oracle._rows[7] = world.raw.execute("select 7 as id").fetchone()

    with pytest.raises(Violation, match="rule 10"):
        world.oracle.after_commit(None)

    world.close()


def test_a_failing_seed_prints_one_line_that_replays_it_and_a_plan_of_what_it_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(world: World) -> None:
        world.plan.pick("weather", "here", lambda _: "rain", "sun")
        wet = world.plan.pick("umbrella", "mine", lambda _: "forgotten", "") == "forgotten"
        world.close()
        if wet:
            raise Violation("it rained")

    monkeypatch.setattr(World, "run", broken)

    assert main(["--seeds", "1", "--start", "41", "--workers", "1"]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "python -m tests.simulation --seed 41  # it rained"
    assert printed[1] == "python -m tests.simulation.shrink --seed 41  # what of it is needed"
    assert shlex.split(printed[3])[2:5] == ["tests.simulation.shrink", "--seed", "41"]
    plan = from_text(shlex.split(printed[3])[-1])
    assert {key: value for key, value in plan.items() if key[0] != "skip"} == {("umbrella", "mine#0"): "forgotten"}
    assert printed[-1] == "violations 1: seeds 41"


def test_a_seed_that_fails_of_something_else_is_said_not_to_be_shrunk(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(world: World) -> None:
        world.close()
        raise KeyError("new_stock")

    monkeypatch.setattr(World, "run", broken)

    assert main(["--seeds", "1", "--start", "41", "--workers", "1"]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "python -m tests.simulation --seed 41  # KeyError: 'new_stock'"
    assert printed[2] == "seed 41 is not shrunk: 'new_stock'"


def test_a_long_run_says_on_stderr_how_far_it_is_and_a_short_one_says_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet = Result(0, 0.0, 0, 0, {}, {}, {}, 0, 0, 0)
    monkeypatch.setattr(run, "run_seed", lambda seed: "it rained" if seed == 141 else quiet)

    run_seeds(range(100))
    assert capsys.readouterr().err == ""

    run_seeds(range(100, 301))
    told = capsys.readouterr()
    assert [line.partition(" in ")[0] for line in told.err.splitlines()] == ["100 of 201 seeds", "200 of 201 seeds"]
    assert all(line.endswith("violations 1") for line in told.err.splitlines())
    assert "of 201" not in told.out
