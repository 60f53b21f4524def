"""The small changes: a comparison, a sign, an `and`, a `not`, a loop, as cosmic-ray makes them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice, permutations
from pathlib import Path
from random import Random

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

ROOT = Path(__file__).parents[2]
RULES = ("sync/**/rules.py", "sync/**/*_rules.py", "sync/outbox/machine.py", "sync/values/*.py")
"""What is pure: values and a `now` in, a decision out."""

COMPARED = ("Eq", "NotEq", "Lt", "LtE", "Gt", "GtE")
OPERATORS = (
    *(f"ReplaceComparisonOperator_{one}_{other}" for one, other in permutations(COMPARED, 2)),
    *("ReplaceComparisonOperator_Is_IsNot", "ReplaceComparisonOperator_IsNot_Is"),
    *("ReplaceBinaryOperator_Add_Sub", "ReplaceBinaryOperator_Sub_Add"),
    *("ReplaceBinaryOperator_Mul_Div", "ReplaceBinaryOperator_Div_Mul"),
    *("ReplaceUnaryOperator_Delete_USub", "ReplaceUnaryOperator_Delete_Not"),
    *("ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "AddNot", "ZeroIterationForLoop"),
)
"""Of cosmic-ray's. Left out: numbers (a day more of patience is a choice), decorators, exceptions, `|` of types."""

NO_RULE = re.compile(r" - (@|def |\*,)")
"""A line that is a decorator, or says how a function is called: `*,` becomes `/,`."""


@dataclass(frozen=True, slots=True)
class Change:
    """One occurrence of an operator in a file."""

    path: str
    operator: str
    occurrence: int

    def source(self) -> str:
        """Return the file's text with the change made."""
        return str(mutate_code((ROOT / self.path).read_text(), _operator(self.operator), self.occurrence))

    def __str__(self) -> str:
        """Return file, the line as it is, and as it becomes: what a person reads, and what `HARMLESS` names."""
        before, after = (ROOT / self.path).read_text().splitlines(), self.source().splitlines()
        made = [
            line for line in difflib.unified_diff(before, after, n=0, lineterm="") if line[:3] not in ("---", "+++")
        ]
        lines = [line[0] + " " + line[1:].strip() for line in made if line[0] in "+-"]
        return f"{self.path} {' '.join(lines)}"


@cache
def _operator(name: str) -> object:
    return get_operator(f"core/{name}")()


def all_changes() -> list[Change]:
    """Return every change there is, always in the same order."""
    return [
        change for path in sorted({path for pattern in RULES for path in ROOT.glob(pattern)}) for change in _of(path)
    ]


def _of(path: Path) -> Iterator[Change]:
    nodes = list(ast_nodes(get_ast(path.read_text())))
    for name in OPERATORS:
        operator = _operator(name)
        places = sum(1 for node in nodes for _ in operator.mutation_positions(node))  # type: ignore[attr-defined]
        for occurrence in range(places):
            yield Change(str(path.relative_to(ROOT)), name, occurrence)


def drawn(count: int, seed: int) -> list[Change]:
    """Draw so many of them; a longer draw of the same seed begins with the shorter one."""
    changes = all_changes()
    Random(seed).shuffle(changes)
    return list(islice((change for change in changes if not NO_RULE.search(str(change))), count))
