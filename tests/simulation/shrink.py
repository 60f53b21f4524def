"""Shrink a failing seed to the few decisions that it takes, and print them as one line that replays them.

    python -m tests.simulation.shrink --seed 17                      a seed that fails
    python -m tests.simulation.shrink --seed 4 --mutant no_fence     a seed that fails with a bug planted
    python -m tests.simulation.shrink --seed 17 --plan '[…]'         the line that it prints

A decision is named by what it is about (operation, key, the how-manieth time), so taking one away leaves
the others where they are. Halving takes away most of them; Hypothesis then looks among the rest for the
simplest plan that still breaks the same rule: fewer decisions, smaller numbers, no act that is not needed.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, find, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from tests.simulation.habits import add_habits, asked_for
from tests.simulation.mutants import MUTANTS, Mutant, broken
from tests.simulation.plan import Key
from tests.simulation.world import World

Plan = Mapping[Key, Any]
EXAMPLES_MAX = 40
"""How many plans Hypothesis may try before it shrinks: most of the work is done by then."""


@dataclass
class Case:
    """Something that fails: a seed, perhaps with a bug planted."""

    seed: int
    mutant: Mutant | None = None
    runs: int = 0
    habits: Collection[str] | None = None
    _known: dict[frozenset[tuple[Key, Any]], str | None] = field(default_factory=dict)

    def world(self, given: Plan | None) -> World:
        """Return its world, with decisions drawn from the seed or given."""
        if self.mutant is not None:
            return self.mutant.setting.world(self.seed, given)
        return World(self.seed, given=given, habits=self.habits)

    def planted(self) -> AbstractContextManager[Any]:
        """Open a context with its bug in the code."""
        return nullcontext() if self.mutant is None else self.mutant.plant()

    def draw(self) -> tuple[dict[Key, Any], str | None]:
        """Run the raw seed; return the decisions it took, and what it broke."""
        world = self.world(None)
        with self.planted():
            violation = broken(world)
        return dict(world.plan.taken), violation

    def breaks(self, plan: Plan) -> str | None:
        """Play a plan back; return what it breaks."""
        name = frozenset(plan.items())
        if name not in self._known:
            self.runs += 1
            with self.planted():
                self._known[name] = broken(self.world(dict(plan)))
        return self._known[name]

    @property
    def acts(self) -> list[Key]:
        """Return the decisions that leave an act of people's out."""
        world = self.world({})
        count = world.people.count
        world.close()
        return [("skip", f"act {number}#0") for number in range(count)]


@dataclass(frozen=True, slots=True)
class Shrunk:
    """A plan that still breaks what the seed broke. `before`: the seed's decisions and acts; `after`: those left."""

    plan: dict[Key, Any]
    violation: str
    before: int
    after: int
    runs: int


def rule_of(violation: str) -> str:
    """Return which promise a violation is about, without the names and numbers of the case."""
    told = re.sub(r"^outbox \d+ \S+ \S+: ", "", violation)
    return " ".join(re.sub(r"\S*\d\S*", "", told).split()[:4])


def shrink(case: Case) -> Shrunk:
    """Shrink a case; raises ValueError where the seed, or its own plan played back, breaks nothing."""
    taken, violation = case.draw()
    if violation is None:
        raise ValueError(f"seed {case.seed} breaks nothing")
    rule = rule_of(violation)

    def fails(plan: Plan) -> bool:
        found = case.breaks(plan)
        return found is not None and rule_of(found) == rule

    if not fails(taken):
        raise ValueError(f"seed {case.seed} broke {rule!r}, and its plan played back does not")
    acts = case.acts
    needed = halve([*taken, *acts], lambda kept: fails(_plan(taken, acts, kept)))
    plan = simplest(_plan(taken, acts, needed), fails)
    found = case.breaks(plan)
    assert found is not None
    left = len(_decisions(plan)) + len(acts) - sum(key[0] == "skip" for key in plan)
    return Shrunk(plan, found, len(taken) + len(acts), left, case.runs)


def _plan(taken: Plan, acts: Iterable[Key], kept: Iterable[Key]) -> dict[Key, Any]:
    """Return the plan of which only these decisions and acts are kept."""
    wanted = set(kept)
    left = {key: value for key, value in taken.items() if key in wanted}
    return left | {act: True for act in acts if act not in wanted}


def _decisions(plan: Plan) -> dict[Key, Any]:
    return {key: value for key, value in plan.items() if key[0] != "skip"}


def halve(keys: list[Key], fails: Callable[[list[Key]], bool]) -> list[Key]:
    """Return the keys without those that can go, taken away in ever smaller runs."""
    step = len(keys)
    while step and keys:
        for start in range(len(keys) - 1, -1, -step):
            left = keys[: max(0, start - step + 1)] + keys[start + 1 :]
            if len(left) < len(keys) and fails(left):
                keys = left
        step //= 2
    return keys


def simplest(plan: dict[Key, Any], fails: Callable[[Plan], bool]) -> dict[Key, Any]:
    """Let Hypothesis look for the simplest plan of the same decisions; the plan itself where it finds none."""
    decisions = _decisions(plan)
    if not decisions:
        return plan
    skips = {key: value for key, value in plan.items() if key[0] == "skip"}
    candidates = st.fixed_dictionaries({}, optional={key: _values(value) for key, value in decisions.items()})
    try:
        found = find(
            candidates,
            lambda chosen: fails(skips | chosen),
            settings=settings(
                max_examples=EXAMPLES_MAX,
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate, Phase.shrink],
            ),
            random=Random(0),
        )
    except NoSuchExample:
        return plan
    return skips | found


def _values(value: Any) -> st.SearchStrategy[Any]:
    """Return what may stand in a decision's place: a smaller number, or the value itself."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 1:
        return st.integers(1, value)
    return st.just(value)


# ------------------------------------------------------------------ one line


def as_text(plan: Plan) -> str:
    """Return a plan as JSON: what, about what, and the decision."""
    return json.dumps([[*key, value] for key, value in sorted(plan.items())], separators=(",", ":"))


def from_text(text: str) -> dict[Key, Any]:
    """Return the plan that `as_text` wrote."""
    return {(what, about): value for what, about, value in json.loads(text)}


def line_of(case: Case, plan: Plan) -> str:
    """Return the one line that replays a plan."""
    bug = f" --mutant {case.mutant.id}" if case.mutant is not None else ""
    return f"python -m tests.simulation.shrink --seed {case.seed}{bug} --plan {shlex.quote(as_text(plan))}"


def main(arguments: list[str] | None = None) -> int:
    """Shrink a seed, or replay a plan with its trace; 1 when something breaks, 2 when nothing did."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.shrink")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--mutant", choices=[mutant.id for mutant in MUTANTS], help="with this bug planted")
    parser.add_argument("--plan", help="replay this plan, with its trace")
    add_habits(parser)
    asked = parser.parse_args(arguments)
    mutant = next((mutant for mutant in MUTANTS if mutant.id == asked.mutant), None)
    case = Case(asked.seed, mutant, habits=asked_for(asked.habits))
    if asked.plan is not None:
        return _replay(case, from_text(asked.plan))
    try:
        shrunk = shrink(case)
    except ValueError as error:
        print(error)
        return 2
    print(f"seed {case.seed}: {shrunk.before} decisions and acts -> {shrunk.after}, in {shrunk.runs} runs")
    print(f"    {shrunk.violation}\n    replay: {line_of(case, shrunk.plan)}")
    return 1


def _replay(case: Case, plan: Plan) -> int:
    world = case.world(plan)
    world.kernel.trace = []
    with case.planted():
        violation = broken(world)
    print("\n".join(world.kernel.trace))
    print(violation or "it breaks nothing")
    return 1 if violation else 2


if __name__ == "__main__":
    sys.exit(main())
