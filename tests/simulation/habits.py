"""Habits of vendors, clocks and people that no document excludes: which of them a seed's world has.

Each is drawn with its own probability and by its own random numbers: a habit more, or one taken out of a plan, leaves
the rest of a seed as it was.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from random import Random

from tests.simulation.plan import Plan


@dataclass(frozen=True, slots=True)
class Habit:
    """What it is about, how many seeds have it, the section of the issue with its rule, and what a run must meet."""

    about: str
    rate: float
    section: str
    met: tuple[str, ...]


HABITS: Mapping[str, Habit] = {
    # MPservices
    "zero_echo": Habit("a patch that leaves the stock makes a movement of 0", 0.5, "1", ("echo of zero",)),
    "rounds_cost": Habit("it keeps 2, 1 or 0 decimals of a cost", 0.12, "1", ("cost rounded", "cost cut")),
    "rounds_stock": Habit("it keeps 2, 1 or 0 decimals of a stock", 0.1, "1", ("stock rounded", "stock cut")),
    "old_cost": Habit("a patch's movement shows the cost before it", 0.08, "1", ("echo at the old cost",)),
    "odd_echo": Habit(
        "a patch's movement is of a type that we do not know, or has a reference",
        0.12,
        "1",
        ("echo of an unknown type", "echo with a reference"),
    ),
    "cost_is_total": Habit("a movement's cost is its total, and the setting says so", 0.1, "1", ("a total",)),
    "cost_is_wrong": Habit(
        "a movement's cost is its total, and the setting says that it is not", 0.04, "1", ("a total",)
    ),
    "no_op": Habit("a patch is answered with 2xx and does nothing", 0.12, "1", ("no-op patch",)),
    # MPservices' people
    "drift": Habit("stock is edited without a movement", 0.15, "1", ("drift",)),
    "unknown_type": Habit("a movement is of a type that we do not know", 0.1, "3", ("movement of unknown type",)),
    "late": Habit(
        "a movement shows up late, with an earlier createdAt",
        0.12,
        "1",
        ("movement stamped earlier", "movement shown late"),
    ),
    "nameless": Habit("a movement names no external id", 0.08, "1", ("movement without external id",)),
    "corrects": Habit("a movement is corrected", 0.12, "3", ("movement corrected",)),
    "withdraws": Habit("a movement is deleted", 0.1, "3", ("movement deleted",)),
    # MPW
    "hollow": Habit("a 2xx proves nothing", 0.25, "2", ("hollow", "hollow after the effect")),
    "vanish": Habit("a row is gone after a perfect answer", 0.08, "2", ("row vanished",)),
    # MPW's people, and other programs
    "taken": Habit(
        "a key of the ERP's is taken",
        0.12,
        "2",
        ("receipt's key taken", "inventory's key taken", "receipt's key taken by its equal"),
    ),
    "undo": Habit(
        "what we posted is undone before we know that it is there", 0.2, "2", ("row undone", "approval undone")
    ),
    "transfers": Habit("people transfer parts, and no row shows it", 0.15, "1", ("transfer by people",)),
    "dozens": Habit("an item is counted in dozens at MPservices", 0.1, "1", ("factor of 12",)),
    # clocks
    "ahead": Habit(
        "a daemon's clock is ahead for a while",
        0.12,
        "4",
        ("clock ahead by 2 h", "clock ahead by a day", "clock ahead by ten days"),
    ),
    "off": Habit("a daemon's clock is off all the time", 0.08, "4", ("clock off",)),
    "skewed": Habit("one vendor's clock is off by far", 0.1, "4", ("MPservices' clock off", "MPW's clock off")),
}


class Habits:
    """The habits of one world."""

    def __init__(self, seed: int, plan: Plan, wanted: Collection[str] | None) -> None:
        """Draw them. `wanted`: None, as chance has it; else the names of those to have for certain."""
        self.seed = seed
        self.names = {
            name
            for name, habit in HABITS.items()
            if plan.pick("habit", name, lambda _, n=name, h=habit: self._is_drawn(n, h, wanted), False)  # type: ignore[misc]
        }

    def _is_drawn(self, name: str, habit: Habit, wanted: Collection[str] | None) -> bool:
        if wanted is not None:
            return name in wanted
        return Random(f"habit {name} {self.seed}").random() < habit.rate

    def __contains__(self, name: object) -> bool:
        """Tell whether the world has a habit."""
        return name in self.names

    def random(self, name: str) -> Random:
        """Return the numbers that a habit's particulars are drawn from."""
        return Random(f"particulars of {name} {self.seed}")


def add_habits(parser: ArgumentParser) -> None:
    """Let a command line ask for habits."""
    told = "names with commas between, of those to have for certain; none of the others is drawn"
    parser.add_argument("--habits", help=told)


def asked_for(text: str | None) -> tuple[str, ...] | None:
    """Return the habits that a command line asks for; None, as the seeds draw them. ValueError for an unknown name."""
    names = None if text is None else tuple(filter(None, text.split(",")))
    if unknown := set(names or ()) - HABITS.keys():
        raise ValueError(f"no such habit: {', '.join(sorted(unknown))}; there are {', '.join(HABITS)}")
    return names


def must_be_met() -> tuple[str, ...]:
    """Return what a long run has to meet of the habits."""
    return tuple(met for habit in HABITS.values() for met in habit.met)
