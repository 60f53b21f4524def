"""Which columns a file may have, and which of them a header names: near misses are told, never guessed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "number", "date"]

MISSPELT = 0.8
"""From this likeness on an unknown column is taken for a known one misspelt, and the file is refused."""

OFFERED = 0.6
"""From this likeness on a known column's name is offered."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that a type of file may have: the kind of each, and those that it must have."""

    what: str
    kinds: Mapping[str, Kind]
    required: tuple[str, ...]

    def known(self, name: str) -> str | None:
        """Return the column that a header's cell names: `Part Number` and `PART-NUMBER` are part_number."""
        return {squeezed(one): one for one in self.kinds}.get(squeezed(name))

    def known_in(self, cells: Sequence[object]) -> int:
        """Return how many different columns a row of cells names."""
        names = {squeezed(one) for one in self.kinds}
        return len({squeezed(cell) for cell in cells if isinstance(cell, str)} & names)

    def near(self, name: str, among: Sequence[str], cutoff: float = OFFERED) -> str | None:
        """Return the name among some that is most like another one, None where none is."""
        by_squeezed = {squeezed(one): one for one in among}
        own = squeezed(name)
        found = difflib.get_close_matches(own, list(by_squeezed), n=1, cutoff=cutoff)
        if not found and cutoff <= OFFERED and len(own) >= 3:  # "part" is offered part_number, "quantity" the other's
            found = [one for one in by_squeezed if len(one) >= 3 and (own in one or one in own)]
        return by_squeezed[found[0]] if found else None


@dataclass(frozen=True, slots=True)
class Header:
    """A header as it was read. `names`: by position, the known column's own name, else the cell's text."""

    names: tuple[str, ...]
    unknown: tuple[str, ...]


def squeezed(name: str) -> str:
    """Return a column's name without what people write differently: case, spaces, dashes, dots, underscores."""
    return re.sub(r"[\W_]+", "", name.casefold())


def read_header(columns: Columns, cells: Sequence[object]) -> Header:
    """Read a header; raises ValueError with everything that is wrong with it.

    Empty cells at the end are passed over, as spreadsheets leave them.
    """
    texts = ["" if cell is None else str(cell).strip() for cell in cells]
    while texts and not texts[-1]:
        texts.pop()
    names = [columns.known(text) or text for text in texts]
    unknown = [name for name in names if name and name not in columns.kinds]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    absent = [name for name in columns.kinds if name not in names]
    missing = [name for name in columns.required if name not in names]
    problems = [f"it names {', '.join(twice)} twice"] if twice else []
    for name in missing:
        near = columns.near(name, unknown)
        problems.append(f"it has no column {name}" + (f" (is {near!r} meant for it?)" if near else ""))
    for name in unknown:
        near = columns.near(name, absent, MISSPELT)
        if near is not None and near not in missing:
            problems.append(f"its column {name!r} is not known: is {near} meant?")
    if problems:
        raise ValueError("; ".join(problems))
    return Header(tuple(names), tuple(unknown))
