"""docs/documents.md names each type of document with exactly the fields that the program reads."""

from __future__ import annotations

import re
from pathlib import Path

from sync.inbox.rules import _SHAPES
from sync.reconcile.commands import COMMAND_ROUTES
from sync.values.policy import ROUTES

TEXT = (Path(__file__).parents[2] / "docs" / "documents.md").read_text(encoding="utf-8")
ANSWERS = {
    row[0]: tuple(set(filter(None, cell.split(", "))) for cell in row[1:])
    for row in re.findall(r"^\| `(\w+)` \| [^`|]+ \| ([^|]*?) ?\| ([^|]*?) ?\|$", TEXT, flags=re.MULTILINE)
}
TABLE = {
    row[0]: (row[1], *(set(filter(None, cell.split(", "))) for cell in row[2:]))
    for row in re.findall(r"^\| `(\w+)` \| `(\w+)` \| ([^|]*?) ?\| ([^|]*?) ?\|$", TEXT, flags=re.MULTILINE)
}


def test_each_type_is_there_with_its_required_and_optional_fields() -> None:
    read = {
        type_: (
            {name for name, (required, _) in shape.items() if required},
            {name for name, (required, _) in shape.items() if not required},
        )
        for type_, shape in _SHAPES.items()
    }
    assert {type_: row[1:] for type_, row in TABLE.items()} | ANSWERS == read


def test_each_type_names_the_route_that_takes_it() -> None:
    routes = {type_: str(row[0]) for type_, row in TABLE.items()}
    assert set(routes.values()) == set(ROUTES)
    assert {type_: routes[type_] for type_ in COMMAND_ROUTES} == dict(COMMAND_ROUTES)
