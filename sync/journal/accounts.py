"""The rules of accounts: where a use's lines go. Read from CSV whole or not at all.

The leftmost filled column wins. In it an exact text comes before a beginning (`BRG-*`), and the longer beginning first.
Of rules with the same cells the one that began last, by posting date, counts.
"""

from __future__ import annotations

import csv
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib import resources
from typing import NamedTuple

from sync.journal.rules import Account, Day, Facts

COLUMNS = (
    "use",
    "work_order",
    "equipment",
    "part",
    "vendor",
    "category",
    "warehouse",
    "account",
    "cost_center",
    "from",
    "name",
)
CELLS = COLUMNS[1:7]
"""What a rule chooses by, the strongest first."""

REQUIRED = ("inventory", "grni", "expense", "rounding")
"""Uses that need a rule without any cell filled: else an entry could find no account."""

_STOCK = frozenset({"part", "warehouse"})
ALLOWED: Mapping[str, frozenset[str]] = {
    "inventory": _STOCK,
    "grni": _STOCK | {"vendor"},
    "found": _STOCK,
    "expense": _STOCK | {"work_order", "equipment"},
    "rounding": frozenset(),
    "transfer": _STOCK,
    "opening": _STOCK,
    "variance": _STOCK,
}
"""The cells that each use may fill: what an entry of it can know."""

WAITS = "?"
"""An account that holds the entry until a person says which it is."""

ACCOUNT_CHARACTERS_MAX = 100
_ALWAYS = "0001-01-01"


class Rule(NamedTuple):
    """A line of the file. `cells` follow CELLS, empty: any. `begins` is a posting date."""

    use: str
    cells: tuple[str, ...]
    account: str
    cost_center: str
    begins: Day
    name: str


@dataclass(frozen=True, slots=True)
class Read:
    """What a file says: its rules, or what is wrong with it, line by line."""

    rules: tuple[Rule, ...]
    errors: tuple[tuple[int, str], ...]


class Accounts:
    """The rules in force, made ready for asking often."""

    def __init__(self, rules: Iterable[Rule], version: int) -> None:
        self.version = version
        by_use: dict[str, list[Rule]] = {}
        for rule in rules:
            by_use.setdefault(rule.use, []).append(rule)
        self._uses = {use: _Use(those) for use, those in by_use.items()}
        self._found: dict[tuple[str, int, tuple[str | None, ...]], Rule | None] = {}

    def has(self, use: str) -> bool:
        """Tell whether a use has any rule."""
        return use in self._uses

    def rule(self, use: str, facts: Facts, day: Day) -> Rule | None:
        """Return the rule that wins, None where none fits."""
        of_use = self._uses.get(use)
        if of_use is None:
            return None
        period = bisect_right(of_use.begins, day) if of_use.begins else 0
        key = (use, period, tuple([facts[place] for place in of_use.asked]))
        try:
            return self._found[key]
        except KeyError:
            found = self._found[key] = of_use.choose(facts, day)
            return found

    def find(self, use: str, facts: Facts, day: Day) -> Account | None:
        """Return where a use goes; None: no rule says, or one says that it is to wait."""
        rule = self.rule(use, facts, day)
        if rule is None or rule.account == WAITS:
            return None
        return Account(rule.account, rule.cost_center or None)


class _Use:
    """One use's rules, the strongest first. `asked` are the places of cells that any of them fills."""

    def __init__(self, rules: list[Rule]) -> None:
        self.rules = sorted(rules, key=_strength, reverse=True)
        self.asked = tuple(place for place in range(len(CELLS)) if any(rule.cells[place] for rule in rules))
        self.begins = sorted({rule.begins for rule in rules if rule.begins != _ALWAYS})

    def choose(self, facts: Facts, day: Day) -> Rule | None:
        return next((rule for rule in self.rules if rule.begins <= day and _fits(rule, facts)), None)


def _strength(rule: Rule) -> tuple[tuple[tuple[int, int], ...], Day]:
    """Sort by the cells from the left: exact, then beginnings by their length, then empty; then by when it began."""
    cells = tuple((0, 0) if not cell else (1, len(cell)) if cell.endswith("*") else (2, 0) for cell in rule.cells)
    return cells, rule.begins


def _fits(rule: Rule, facts: Facts) -> bool:
    return all(
        not cell or (fact is not None and (fact.startswith(cell[:-1]) if cell.endswith("*") else fact == cell))
        for cell, fact in zip(rule.cells, facts, strict=False)
    )


# --- reading ------------------------------------------------------------------------------


def read_rules(rows: Sequence[tuple[int, Mapping[str, str | None]]]) -> Read:
    """Read lines given by their number; every one that is wrong is named with its reason."""
    rules: list[Rule] = []
    errors: list[tuple[int, str]] = []
    lines: dict[tuple[str, tuple[str, ...], Day], int] = {}
    for number, row in rows:
        read = {name: (row.get(name) or "").strip() for name in COLUMNS}
        rule = Rule(
            read["use"].lower(),
            tuple(read[name] for name in CELLS),
            read["account"],
            read["cost_center"],
            read["from"] or _ALWAYS,
            read["name"],
        )
        wrong = _wrong(rule)
        same = lines.get((rule.use, rule.cells, rule.begins))
        if same is not None:
            wrong.append(f"the same as line {same}: two rules with equal cells and nothing to choose by")
        lines.setdefault((rule.use, rule.cells, rule.begins), number)
        errors += [(number, why) for why in wrong]
        rules.append(rule)
    based = {rule.use for rule in rules if not any(rule.cells) and rule.begins == _ALWAYS}
    errors += [
        (1, f"{use} has no base rule: a line with {use}, an account, and nothing else filled")
        for use in REQUIRED
        if use not in based
    ]
    return Read(tuple(rules), tuple(errors))


def _wrong(rule: Rule) -> list[str]:
    wrong = []
    allowed = ALLOWED.get(rule.use)
    if allowed is None:
        return [f"no use is called {rule.use!r}; there are {', '.join(ALLOWED)}"]
    filled = [name for name, cell in zip(CELLS, rule.cells, strict=True) if cell]
    wrong += [f"{rule.use} never knows a {name}: leave that cell empty" for name in filled if name not in allowed]
    wrong += [
        f"{cell!r}: a star is only understood at the end, after at least one letter"
        for cell in rule.cells
        if "*" in cell[:-1] or cell == "*"
    ]
    if not rule.account:
        wrong.append(f"no account; write {WAITS} to let its entries wait")
    if rule.account == WAITS and rule.use == "rounding":
        wrong.append("rounding cannot wait: it is part of other entries")
    for name, text in (("account", rule.account), ("cost_center", rule.cost_center)):
        if len(text) > ACCOUNT_CHARACTERS_MAX:
            wrong.append(f"{name} has {len(text)} characters; at most {ACCOUNT_CHARACTERS_MAX}")
        if any(not sign.isprintable() for sign in text):
            wrong.append(f"{name} holds a sign that cannot be printed")
    if not _is_day(rule.begins):
        wrong.append(f"from is {rule.begins!r}; write a day as YYYY-MM-DD")
    return wrong


def _is_day(text: str) -> bool:
    try:
        return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", text)) and bool(date.fromisoformat(text))
    except ValueError:
        return False


def as_row(rule: Rule) -> tuple[str, ...]:
    """Return a rule as a line of the file has it."""
    begins = "" if rule.begins == _ALWAYS else rule.begins
    return (rule.use, *rule.cells, rule.account, rule.cost_center, begins, rule.name)


def is_always(begins: Day) -> bool:
    """Tell whether a rule holds from the beginning."""
    return begins == _ALWAYS


def begins_of(day: Day | None) -> Day:
    """Return when a rule begins, None: it always held."""
    return day or _ALWAYS


def sample() -> str:
    """Return the file that comes with the program: a small chart to begin from."""
    return resources.files("sync.journal").joinpath("sample.csv").read_text(encoding="utf-8")


def numbered(text: str) -> list[tuple[int, dict[str, str | None]]]:
    """Return the lines of a CSV text below its header, by their number."""
    reader = csv.DictReader(text.splitlines())
    return [(reader.line_num, dict(row)) for row in reader]
