"""One transaction, one object: writers hand on the books that they were given, and not their parts."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SYNC = Path(__file__).parents[2] / "sync"

PARTS = {"conn", "now", "policy", "run_id", "lock_date"}

READS = {
    "ledger/coverage.py caught_up",
    "poll/schedule.py due_windows",
    "poll/schedule.py _rests",
    "poll/schedule.py _feed_is_due",
    "push/operations/stock.py _judge",
    "push/operations/stock.py _being_created",
    "web/figures.py coverage_ages",
}
"""What only looks: it runs under `ctx.read()`, which yields a connection."""

BELOW = {"database/runs.py end_run"}
"""A statement of a room below `Books`."""

ONCE = {"open_exception", "resolve_exceptions", "set_fact"}
"""Statements of `database/` that are methods of `Books`, for every room above."""

BELOW_TOO = {"learned/rows.py"}
"""A room below `Books`, which opens an exception itself."""


def test_no_writer_is_given_the_parts_of_a_transaction_one_by_one() -> None:
    found = {
        f"{name} {node.name}"
        for name, tree in _modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and len(PARTS & _arguments(node)) >= 3
    }

    assert found == READS | BELOW


def test_a_function_that_is_given_books_is_given_no_part_of_them_besides() -> None:
    found = {
        f"{name} {node.name}"
        for name, tree in _modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and "books" in _arguments(node) and PARTS & _arguments(node)
    }

    assert found == set()


def test_exceptions_are_opened_and_facts_set_by_the_books() -> None:
    found = {
        name
        for name, tree in _modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and node.module in ("sync.database.exceptions", "sync.database.facts")
        and ONCE & {one.name for one in node.names}
    }

    assert found == BELOW_TOO


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SYNC.rglob("*.py")):
        name = path.relative_to(SYNC).as_posix()
        if not name.startswith("sandbox/"):
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def _arguments(node: ast.FunctionDef) -> set[str]:
    return {one.arg for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}
