"""What goes wrong, and when: drawn from a seed, or played back from a plan.

A decision is named by what it is about (the operation, its key, the how-manieth time), never by a global
counter: taking one out of a plan leaves the others where they are, and that is what makes plans shrink.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

FAULTS = (
    "refused",
    "lost_request",
    "lost_answer",
    "reset_after",
    "late",
    "error_before",
    "error_after",
    "too_many",
    "unauthorized",
    "cut_body",
    "html",
    "html_after",
    "dies_before",
    "dies_after",
    "freezes_before",
    "freezes_after",
)
RATES = {
    "refused": 0.15,
    "lost_request": 0.12,
    "lost_answer": 0.2,
    "reset_after": 0.15,
    "late": 0.15,
    "error_before": 0.1,
    "error_after": 0.12,
    "too_many": 0.08,
    "unauthorized": 0.04,
    "cut_body": 0.08,
    "html": 0.05,
    "html_after": 0.05,
    "dies_before": 0.04,
    "dies_after": 0.08,
    "freezes_before": 0.04,
    "freezes_after": 0.08,
}
READS_SUFFER = 0.3
"""Reads are many and harmless: they are struck this much as often as writes."""

Key = tuple[str, str]


class Plan:
    """The decisions of one run. `given` plays a plan back; else they are drawn, and `taken` is the plan."""

    def __init__(self, seed: int, given: Mapping[Key, Any] | None = None) -> None:
        self.seed = seed
        self.given = given
        self.taken: dict[Key, Any] = {}
        self.hits: Counter[str] = Counter()
        self.active = True
        self.random = Random(f"plan {seed}")
        self._seen: Counter[Key] = Counter()
        shape = Random(f"shape {seed}")
        self.rates = {name: shape.random() * top if shape.random() < 0.6 else 0.0 for name, top in RATES.items()}
        self.crash = shape.random() * 0.03 if shape.random() < 0.6 else 0.0
        self.stall = shape.random() * 0.03 if shape.random() < 0.5 else 0.0

    def calm(self, share: float) -> None:
        """Let fewer faults happen."""
        self.rates = {name: rate * share for name, rate in self.rates.items()}
        self.crash, self.stall = self.crash * share, self.stall * share

    def pick(self, what: str, about: str, draw: Callable[[Random], Any], default: Any) -> Any:
        """Decide something; off the plan, or once faults are over, it is the default."""
        if not self.active:
            return default
        name = (what, about)
        nth = self._seen[name]
        self._seen[name] += 1
        key = (what, f"{about}#{nth}")
        if self.given is not None:
            return self.given.get(key, default)
        value = draw(self.random)
        if value != default:
            self.taken[key] = value
        return value

    def fault(self, about: str, *, write: bool) -> str:
        """Decide what happens to a request: one of `FAULTS`, or ''."""
        scale = 1.0 if write else READS_SUFFER

        def draw(random: Random) -> str:
            x = random.random()
            for name, rate in self.rates.items():
                x -= rate * scale
                if x < 0:
                    return name
            return ""

        name: str = self.pick("fault", about, draw, "")
        if name:
            self.hits[name] += 1
        return name

    def number(self, what: str, about: str, low: int, high: int) -> int:
        """Draw a whole number; the default is the lowest."""
        return int(self.pick(what, about, lambda random: random.randint(low, high), low))

    def chance(self, what: str, about: str, rate: float) -> bool:
        """Draw a yes or no."""
        return (
            bool(self.pick(what, about, lambda random: random.random() < rate, False))
            if rate
            else (bool(self.given and self.pick(what, about, lambda _: False, False)))
        )
