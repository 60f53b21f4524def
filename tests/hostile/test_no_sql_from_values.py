"""SQL is text of ours: no value from outside is ever a part of it."""

from __future__ import annotations

import ast
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from sync.database.engine import Store
from tests.hostile.commands import mpsync, surroundings

ROOT = Path(__file__).parents[2] / "sync"
STATEMENT = re.compile(
    r"""[\s(]*(select\b.*\bfrom\b|insert\s+into\b|update\s.*\bset\b|delete\s+from\b|pragma\b|vacuum\b|truncate\b
    |attach\b|copy\s.*\b(from|to)\b|(create|drop|alter)\s+(table|view|index|trigger|database)\b|set\s+(local\s+)?\w+\s*=)""",
    re.I | re.S | re.X,
)
OURS = {
    "jobs/export.py _entries": "conditions are constants, the page size is a number of ours",
    "jobs/reports.py view": "views, columns and orders are named by the program; values are bound",
    "database/binary_copy.py copy_rows": "a table of our schema and its columns; values are data of COPY",
    "database/bulk.py _copy": "a table of our schema and its columns; values are data of COPY",
    "database/engine.py configure": "pragmas are constants",
    "journal/batch_rows.py cut": "parts are constants of the module; values are bound",
    "journal/batch_rows.py _accounts_of": "parts are constants of the module; values are bound",
    "journal/batch_rows.py _detail_page": "parts are constants of the module; values are bound",
    "journal/batch_rows.py _sum_up": "parts are constants of the module; values are bound",
    "journal/batch_rows.py _summary": "parts are constants of the module; values are bound",
    "journal/batch_rows.py _summary_page": "parts are constants of the module; values are bound",
    "outbox/queue.py _heads_in_turn": "the name of an index of ours",
    "poll/days/prepared.py _many": "a table of our schema and its columns; values are bound",
    "jobs/retention.py tidy": "the tables of our schema",
    "database/shape.py _answers": "the name of a view that the migrations make",
    "database/shape.py _statements_on_postgresql": "the name of a schema of ours",
}
EVIL = "'; DROP TABLE inbox; --"


def built_statements() -> dict[str, str]:
    """Return each place in the program where a text that looks like SQL is put together, with that text."""
    found: dict[str, str] = {}
    for path in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in ast.walk(tree):
            if not isinstance(function, (ast.FunctionDef, ast.Module)):
                continue
            for node in _own_nodes(function):
                start = _built(node)
                if start is not None and STATEMENT.match(start):
                    name = function.name if isinstance(function, ast.FunctionDef) else "module"
                    found[f"{path.relative_to(ROOT).as_posix()} {name}"] = start
    return found


def _own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(function):
        yield child
        if not isinstance(child, (ast.FunctionDef, ast.ClassDef)):
            yield from _own_nodes(child)
        elif isinstance(child, ast.ClassDef):
            yield from (node for node in _own_nodes(child) if not isinstance(node, ast.FunctionDef))


def _built(node: ast.AST) -> str | None:
    """Return a text that is put together, with an x for each part that is not constant; None for anything else."""
    if isinstance(node, ast.JoinedStr) and any(isinstance(part, ast.FormattedValue) for part in node.values):
        return "".join(map(_words, node.values))
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mod)):
        return _words(node.left) + _words(node.right)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("format", "join"):
        return _words(node.func.value)
    return None


def _words(node: ast.AST) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    return _built(node) or " x "


def test_no_statement_is_put_together_but_where_it_is_known_to_be_of_our_own_words() -> None:
    assert set(built_statements()) == set(OURS)


def test_what_looks_for_built_statements_finds_them() -> None:
    for source in (
        'f"select * from t where a = {x}"',
        'f"(select a from {x})"',
        'f"copy {x} (a) from stdin"',
        '"delete from t where a = " + x',
        '"drop table %s" % x',
    ):
        node = ast.parse(source, mode="eval").body
        start = _built(node)
        assert start is not None
        assert STATEMENT.match(start)


@pytest.fixture(scope="module")
def folder(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("doors")
    shutil.copyfile(sqlite_template, path / "mpsync.db")
    with surroundings(path, {"DATABASE_URL": f"sqlite:///{path}/mpsync.db", "MPW_WAREHOUSE": EVIL}):
        yield path


DOORS = [
    ["outbox", "list", "--key", EVIL],
    ["outbox", "list", "--item", EVIL],
    ["outbox", "list", "--operation", EVIL],
    ["outbox", "release", "--item", EVIL],
    ["outbox", "retry", "--key", EVIL],
    ["outbox", "discard", "--operation", EVIL, "--why", EVIL],
    ["exceptions", "list", "--kind", EVIL],
    ["exceptions", "resolve", "--subject", EVIL, "--why", EVIL],
    ["inbox", "list", "--type", EVIL],
    ["explain", EVIL],
    ["import", EVIL, "--type", "receipt"],
    ["import", "evil.jsonl", "--type", "receipt"],
    ["import", "evil.csv", "--type", "movement"],
    ["items", "import", "evil-items.csv"],
    ["items", "export", f"{EVIL.replace('/', '')}.csv"],
    ["export", "ledger", f"{EVIL}.csv"],
    ["export", "ledger", "x.csv", "--after", EVIL],
    ["backfill", "--from", EVIL, "--to", EVIL],
    ["backfill", "--from", "2024-01-01", "--to", "2024-01-01", "--source", EVIL],
    ["status"],
    ["plan"],
]


@pytest.mark.parametrize("arguments", DOORS, ids=lambda arguments: " ".join(arguments[:3]))
@pytest.mark.parametrize("as_json", [False, True])
def test_a_statement_in_the_place_of_a_name_is_a_name(folder: Path, arguments: list[str], as_json: bool) -> None:
    receipt = {"api_key": EVIL, "part_number": EVIL, "warehouse_name": EVIL, "quantity_received": EVIL}
    (folder / "evil.jsonl").write_text(json.dumps(receipt) + "\n" + json.dumps({EVIL: EVIL}), encoding="utf-8")
    (folder / "evil.csv").write_text(
        f"id,type,createdAt,quantity,cost,item_id\n{EVIL},Inbound,2024-03-15T00:00:00Z,1,1,{EVIL}\n"
    )
    (folder / "evil-items.csv").write_text(f"external_id,part_number,warehouses\n{EVIL},{EVIL},W\n", encoding="utf-8")

    said = mpsync(*arguments, *(["--json"] if as_json and arguments[0] != "export" else []))

    said.assert_civil()
    store = Store(f"sqlite:///{folder}/mpsync.db")
    try:
        with store.read() as conn:
            conn.execute(text("select count(*) from inbox")).scalar_one()
    finally:
        store.close()
