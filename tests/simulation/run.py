"""Seeds in a row, on all cores: one line for each that fails, with how to replay it, and closing figures."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial

from tests.simulation.counters import TRANSITIONS, VERDICTS, missing, transitions, verdicts
from tests.simulation.habits import add_habits, asked_for
from tests.simulation.kernel import Violation
from tests.simulation.shrink import Case, line_of, shrink
from tests.simulation.world import Result, World

REACHES_ALL = 2000
"""A run of so many seeds has failed, too, if it did not reach every fault, transition and verifier answer."""


SAY_SEEDS, SAY_SECONDS = 100, 60.0
"""How often a run says how far it is: after so many seeds, or so long after it last did."""


@dataclass
class Figures:
    """Sums over seeds."""

    seeds: int = 0
    minutes: float = 0.0
    commits: int = 0
    crashes: int = 0
    hits: Counter[str] = field(default_factory=Counter)
    reached: Counter[str] = field(default_factory=Counter)
    acts: Counter[str] = field(default_factory=Counter)
    quiet_cycles: int = 0
    pushes: int = 0
    events: int = 0
    failures: list[tuple[int, str]] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """Add one seed."""
        self.seeds += 1
        self.minutes += result.minutes
        self.commits += result.commits
        self.crashes += result.crashes
        self.hits.update(result.hits)
        self.reached.update(result.reached)
        self.acts.update(result.acts)
        self.pushes += result.pushes
        self.events += result.events
        self.quiet_cycles = max(self.quiet_cycles, result.quiet_cycles)


def run_seed(seed: int, habits: Collection[str] | None = None) -> Result | str:
    """Run one seed; a string says what it broke."""
    try:
        return World(seed, habits=habits).run()
    except Violation as broken:
        return str(broken)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def run_seeds(seeds: range, *, workers: int = 1, habits: Collection[str] | None = None) -> Figures:
    """Run seeds and sum up."""
    figures, progress = Figures(), Progress(len(seeds))
    with ProcessPoolExecutor(workers) if workers > 1 else nullcontext() as pool:
        one = run_seed if habits is None else partial(run_seed, habits=habits)
        outcomes = map(one, seeds) if pool is None else pool.map(one, seeds, chunksize=4)
        for seed, outcome in zip(seeds, outcomes, strict=True):
            _take(figures, seed, outcome, habits)
            progress.say(figures)
    return figures


@dataclass
class Progress:
    """Says on stderr, now and then, how far a run is: its closing lines may be an hour away."""

    of: int
    began: float = field(default_factory=time.monotonic)
    said: float = field(default_factory=time.monotonic)

    def say(self, figures: Figures) -> None:
        """Say it if it is time to."""
        now, seeds = time.monotonic(), figures.seeds
        if seeds < self.of and (seeds % SAY_SEEDS == 0 or now - self.said >= SAY_SECONDS):
            self.said = now
            done = f"{seeds} of {self.of} seeds in {now - self.began:.0f} s, violations {len(figures.failures)}"
            print(done, file=sys.stderr, flush=True)


def _take(figures: Figures, seed: int, outcome: Result | str, habits: Collection[str] | None) -> None:
    if isinstance(outcome, Result):
        figures.add(outcome)
    else:
        figures.seeds += 1
        figures.failures.append((seed, outcome))
        asked = "" if habits is None else f" --habits '{','.join(habits)}'"
        print(f"python -m tests.simulation --seed {seed}{asked}  # {outcome}", flush=True)
        print(f"python -m tests.simulation.shrink --seed {seed}{asked}  # what of it is needed", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; 1 when a seed failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds")
    parser.add_argument("--start", type=int, default=0, help="the first")
    parser.add_argument("--seed", type=int, help="replay this one, with its trace")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--no-shrink", action="store_true", help="do not look for what the first failing seed needs")
    add_habits(parser)
    given = parser.parse_args(arguments)
    habits = asked_for(given.habits)
    if given.seed is not None:
        return _replay(given.seed, habits)
    began = _cpu_seconds()
    figures = run_seeds(range(given.start, given.start + given.seeds), workers=given.workers, habits=habits)
    if figures.failures and not given.no_shrink:
        _shrink(figures.failures[0][0], habits)
    print_figures(figures, _cpu_seconds() - began)
    enough = figures.seeds >= REACHES_ALL and missing(figures.hits, figures.reached)
    return 1 if figures.failures or enough else 0


def _shrink(seed: int, habits: Collection[str] | None) -> None:
    """Print the plan of a failing seed with what it does not take left out: a line that replays it."""
    case = Case(seed, habits=habits)
    try:
        found = shrink(case)
    except Exception as error:  # what the program raised itself is no violation, and is not looked for
        print(f"seed {seed} is not shrunk: {error}", flush=True)
        return
    print(f"seed {seed}: {found.before} decisions and acts -> {found.after}: {found.violation}")
    print(line_of(case, found.plan), flush=True)


def _cpu_seconds() -> float:
    """Return what this process and its ended workers have used."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def print_figures(figures: Figures, seconds: float) -> None:
    """Print the closing lines."""
    print(
        f"{figures.seeds} seeds, {figures.minutes / 1440:.0f} simulated days, {figures.commits} commits checked, "
        f"{figures.crashes} crashes, {figures.events} events, {figures.pushes} pushes, "
        f"at most {figures.quiet_cycles} cycles to converge, {seconds:.0f} s of CPU time "
        f"({figures.seeds / max(seconds, 0.001):.1f} seeds/s)"
    )
    made, answered = transitions(figures.reached), verdicts(figures.reached)
    others = {name: n for name, n in figures.reached.items() if "->" not in name and not name.startswith("verdict ")}
    print(f"faults ({sum(figures.hits.values())}): {_listed(figures.hits)}")
    print(f"people ({sum(figures.acts.values())}): {_listed(figures.acts)}")
    print(f"reached: {_listed(others)}")
    print(f"transitions {_share(made, TRANSITIONS)}: {_listed(made)}")
    print(f"verifier answers {_share(answered, VERDICTS)}: {_listed(answered)}")
    print(f"not reached: {', '.join(missing(figures.hits, figures.reached)) or 'nothing'}")
    print(f"violations {len(figures.failures)}{_seeds(figures.failures)}")


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _seeds(failures: Sequence[tuple[int, str]]) -> str:
    return f": seeds {', '.join(str(seed) for seed, _ in failures)}" if failures else ""


def _share(reached: Mapping[str, int], wanted: Sequence[str]) -> str:
    return f"{sum(1 for name in wanted if reached.get(name))}/{len(wanted)}"


def _replay(seed: int, habits: Collection[str] | None) -> int:
    world = World(seed, trace=True, habits=habits)
    print(f"habits: {', '.join(sorted(world.habits.names)) or 'none'}")
    try:
        result = world.run()
    except Violation as broken:
        print("\n".join(world.kernel.trace or []))
        print(f"seed {seed}: {broken}")
        return 1
    print("\n".join(world.kernel.trace or []))
    print(result)
    return 0
