"""Seeds in a row, on all cores: one line for each that fails, with how to replay it, and closing figures."""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from tests.simulation.kernel import Violation
from tests.simulation.world import Result, World


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
        self.quiet_cycles = max(self.quiet_cycles, result.quiet_cycles)


def run_seed(seed: int) -> Result | str:
    """Run one seed; a string says what it broke."""
    try:
        return World(seed).run()
    except Violation as broken:
        return str(broken)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def run_seeds(seeds: range, *, workers: int = 1) -> Figures:
    """Run seeds and sum up."""
    figures = Figures()
    if workers == 1:
        outcomes = map(run_seed, seeds)
        for seed, outcome in zip(seeds, outcomes, strict=True):
            _take(figures, seed, outcome)
        return figures
    with ProcessPoolExecutor(workers) as pool:
        for seed, outcome in zip(seeds, pool.map(run_seed, seeds, chunksize=4), strict=True):
            _take(figures, seed, outcome)
    return figures


def _take(figures: Figures, seed: int, outcome: Result | str) -> None:
    if isinstance(outcome, Result):
        figures.add(outcome)
    else:
        figures.seeds += 1
        figures.failures.append((seed, outcome))
        print(f"seed {seed}: {outcome}\n    replay: python -m tests.simulation --seed {seed}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; 1 when a seed failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds")
    parser.add_argument("--start", type=int, default=0, help="the first")
    parser.add_argument("--seed", type=int, help="replay this one, with its trace")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args(arguments)
    if given.seed is not None:
        return _replay(given.seed)
    began = time.monotonic()
    figures = run_seeds(range(given.start, given.start + given.seeds), workers=given.workers)
    print_figures(figures, time.monotonic() - began)
    return 1 if figures.failures else 0


def print_figures(figures: Figures, seconds: float) -> None:
    """Print the closing lines."""
    print(
        f"{figures.seeds} seeds, {len(figures.failures)} violations, {figures.minutes / 1440:.0f} simulated days, "
        f"{figures.commits} commits, {figures.crashes} crashes, at most {figures.quiet_cycles} cycles to converge, "
        f"{seconds:.0f} s ({figures.seeds / max(seconds, 0.001):.1f} seeds/s)"
    )
    print("faults:", ", ".join(f"{name} {count}" for name, count in sorted(figures.hits.items())))
    print("people:", ", ".join(f"{name} {count}" for name, count in sorted(figures.acts.items())))
    print("reached:", ", ".join(f"{name} {count}" for name, count in sorted(figures.reached.items())))


def _replay(seed: int) -> int:
    world = World(seed, trace=True)
    try:
        result = world.run()
    except Violation as broken:
        print("\n".join(world.kernel.trace or []))
        print(f"seed {seed}: {broken}")
        return 1
    print("\n".join(world.kernel.trace or []))
    print(result)
    return 0
