"""What a block of a test asks the database, and what the answer costs it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from sync.database.engine import Store


@contextmanager
def counted(store: Store) -> Iterator[list[str]]:
    """Give the statements that the block sends."""
    sent: list[str] = []

    def note(conn: Any, cursor: Any, statement: str, *rest: Any) -> None:
        sent.append(statement)

    event.listen(store.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(store.engine, "before_cursor_execute", note)


@contextmanager
def asked(store: Store) -> Iterator[list[tuple[str, Any]]]:
    """Give the statements that the block sends, with their values."""
    sent: list[tuple[str, Any]] = []

    def note(conn: Any, cursor: Any, statement: str, values: Any, *rest: Any) -> None:
        sent.append((statement, values))

    event.listen(store.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(store.engine, "before_cursor_execute", note)


def steps(store: Store, work: Callable[[], object]) -> int:
    """Return how many steps SQLite's machine makes in a piece of work: the same on any computer."""
    made = 0

    def step() -> int:
        nonlocal made
        made += 1
        return 0

    def begin(dbapi: Any, *rest: Any) -> None:
        dbapi.set_progress_handler(step, 1)

    event.listen(store.engine, "checkout", begin)
    try:
        work()
    finally:
        event.remove(store.engine, "checkout", begin)
    return made


def plans(store: Store, statement: str, values: Any) -> list[str]:
    """Return the lines of a statement's plan, which on PostgreSQL is not kept from using an index by small tables."""
    with store.read() as conn:
        if store.is_sqlite:
            return [row[3] for row in conn.exec_driver_sql(f"explain query plan {statement}", values)]
        conn.exec_driver_sql("set local enable_seqscan = off")
        return [row[0] for row in conn.exec_driver_sql(f"explain {statement}", values)]


LEADS = (
    "select c.relname, a.attname from pg_index i join pg_class c on c.oid = i.indexrelid"
    " join pg_attribute a on a.attrelid = c.oid and a.attnum = 1"
)
INDEX_SCAN = re.compile(r"Index (?:Only )?Scan (?:Backward )?using (\w+)|Bitmap Index Scan on (\w+)")
NODE = re.compile(r"\(cost=|^ *(SubPlan|InitPlan|CTE)\b")


def scans(store: Store, lines: list[str]) -> list[str]:
    """Return what a plan reads from end to end: tables, and indexes that nothing is looked up in.

    SQLite says so. On PostgreSQL an index is read whole where its scan has no condition on the index's first column,
    unless one row is taken from its end.
    """
    if store.is_sqlite:
        return [line for line in lines if "SCAN " in line]
    with store.read() as conn:
        first = {name: column for name, column in conn.exec_driver_sql(LEADS)}  # noqa: C416 - as in jobs/due.py
    found = []
    for n, line in enumerate(lines):
        index = INDEX_SCAN.search(line)
        if index is None:
            found += [line] if "Seq Scan on" in line else []
            continue
        column = re.compile(rf"\b{first[index[1] or index[2]]}\b")
        below = list(itertools.takewhile(lambda other: not NODE.search(other), lines[n + 1 :]))
        one_row = n > 0 and "Limit" in lines[n - 1] and not any("Filter:" in other for other in below)
        if not one_row and not any("Index Cond:" in other and column.search(other) for other in below):
            found.append(line)
    return found
