"""Rows as the vendors' documents print them: what is mutated."""

from __future__ import annotations

import json
from typing import Any

from tests.clients.vendor import as_meant
from tests.hostile.trees import Tree, tree_of


def printed(name: str) -> Any:
    """Return a printed answer as a value."""
    return json.loads(as_meant(name))


def rows_of(name: str, within: str | None = None, *, id_name: str = "id", count: int = 3) -> list[Tree]:
    """Return the first row of a printed answer `count` times, each with an id of its own."""
    answer = printed(name)
    rows = answer[within] if within else answer
    row = rows[0] if isinstance(rows, list) else rows
    return [tree_of(row | {id_name: _numbered(row[id_name], number)}) for number in range(count)]


def _numbered(identifier: object, number: int) -> object:
    return identifier + number if isinstance(identifier, int) else f"{identifier}-{number}"
