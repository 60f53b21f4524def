"""Lists too long for one statement, and inserts that update what is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Table
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

CHUNK = 900
"""Values in one IN list: below SQLite's oldest limit of 999 variables."""

T = TypeVar("T")


def chunks(values: Iterable[T], size: int = CHUNK) -> Iterator[list[T]]:
    """Cut values into lists of at most `size`."""
    chunk: list[T] = []
    for value in values:
        chunk.append(value)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def upsert(
    conn: Connection, table: Table, rows: Sequence[dict[str, Any]], *, key: Sequence[str], update: Sequence[str]
) -> None:
    """Insert rows; where `key` exists, set the columns in `update` instead (none: leave the row alone)."""
    if not rows:
        return
    made = sqlite_insert(table) if conn.dialect.name == "sqlite" else postgresql_insert(table)
    index = [table.c[name] for name in key]
    if update:
        statement = made.on_conflict_do_update(
            index_elements=index, set_={name: made.excluded[name] for name in update}
        )
    else:
        statement = made.on_conflict_do_nothing(index_elements=index)
    conn.execute(statement, list(rows))
