"""What a run has to reach to prove anything: faults, transitions, the verifier's answers; and what of it is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import wraps
from typing import Any, get_args

from sync.outbox import machine as outbox
from sync.push import verify
from tests.simulation.habits import must_be_met
from tests.simulation.plan import FAULTS

CRASHES = ("crash_before_commit", "crash_after_commit")
TRANSITIONS = tuple(f"{state}->{to}" for state, others in outbox.LEGAL.items() for to in sorted(others))
VERDICTS = tuple(verdict.__name__ for verdict in get_args(outbox.Verdict))
MUST_HAPPEN = (
    "freeze",
    "lease_lost",
    "rescued",
    "clock_step",
    "two daemons",
    "several warehouses",
    "same cost",
    "a hold",
    "permission lost",
    "burst",
    "pruned",
    "cost corrected",
)
"""What else a run must have met: pauses longer than a lease, leads that were lost, and so on."""

_listening: list[Counter[str]] = [Counter()]


def listen(reached: Counter[str]) -> None:
    """Have what the verifier answers from now on counted here."""
    _listening[0] = reached


def _counted(decide: Any) -> Any:
    @wraps(decide)
    def counting(row: Any, verdict: Any, **about: Any) -> Any:
        _listening[0][f"verdict {type(verdict).__name__}"] += 1
        return decide(row, verdict, **about)

    return counting


verify.after_verification = _counted(verify.after_verification)  # type: ignore[attr-defined]


def transitions(reached: Mapping[str, int]) -> Counter[str]:
    """Return how often each transition was made, whatever the call's outcome was."""
    found: Counter[str] = Counter()
    for name, number in reached.items():
        if "->" in name:
            found[name.split(" ")[0]] += number
    return found


def verdicts(reached: Mapping[str, int]) -> Counter[str]:
    """Return how often the verifier gave each answer."""
    prefix = "verdict "
    return Counter({name.removeprefix(prefix): n for name, n in reached.items() if name.startswith(prefix)})


def missing(hits: Mapping[str, int], reached: Mapping[str, int]) -> list[str]:
    """Return what was not reached of all that a long run has to."""
    made, answered = transitions(reached), verdicts(reached)
    return [
        *(f"fault {name}" for name in (*FAULTS, *CRASHES) if not hits.get(name)),
        *(f"transition {name}" for name in TRANSITIONS if not made[name]),
        *(f"verdict {name}" for name in VERDICTS if not answered[name]),
        *(name for name in (*MUST_HAPPEN, *must_be_met()) if not reached.get(name)),
    ]
