"""The house: every room is named in ARCHITECTURE.md, and SQL is written in the places that are there for it only."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SYNC = ROOT / "sync"

STATEMENTS = {"select", "insert", "update", "delete", "text", "func", "exists", "and_", "or_", "bindparam"}
"""What SQLAlchemy makes statements with."""

SPEAKS_SQL = re.compile(
    r"(database|ledger|outbox)/.*|(.*/)?([a-z]+_)?rows\.py|stock/facts\.py|jobs/(due|reports|retention)\.py"
)
BESIDES = {
    "cli/demo.py": "the demo's own picture of the database that it has just made",
    "web/figures.py": "the figures of /metrics, which no room needs",
}


def test_every_room_is_named_in_the_picture_of_the_house() -> None:
    picture = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rooms = re.search(r"^## The rooms$(.*?)^## ", picture, re.DOTALL | re.MULTILINE)
    assert rooms is not None
    first_columns = re.findall(r"^\| (`.+?) \|", rooms[1], re.MULTILINE)
    named = {name.strip("/") for column in first_columns for name in re.findall(r"`(\w+/?)`", column)}
    there = {
        path.stem
        for path in SYNC.iterdir()
        if (path.is_dir() and (path / "__init__.py").exists()) or (path.suffix == ".py" and path.stem != "__init__")
    }

    assert named == there


def test_sql_is_written_in_the_places_that_are_there_for_it() -> None:
    found = set()
    for path in sorted(SYNC.rglob("*.py")):
        name = path.relative_to(SYNC).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not SPEAKS_SQL.fullmatch(name) and _is_of_sql(node):
                found.add(name)

    assert found == set(BESIDES)


def _is_of_sql(node: ast.AST) -> bool:
    """Tell whether an import brings what statements are made of: SQLAlchemy whole, its functions, or our tables."""
    if isinstance(node, ast.Import):
        return any(one.name == "sqlalchemy" for one in node.names)
    if not isinstance(node, ast.ImportFrom) or node.module is None:
        return False
    names = {one.name for one in node.names}
    return (
        (node.module.startswith("sqlalchemy") and bool(STATEMENTS & names))
        or node.module == "sync.database.schema"
        or (node.module == "sync.database" and "schema" in names)
    )
