"""Lists too long for one statement, and inserts that update what is there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import ARRAY, ColumnElement, Connection, Table, Text, any_, bindparam, text
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


def among(conn: Connection, column: ColumnElement[str], values: Iterable[str]) -> ColumnElement[bool]:
    """Return the condition that a text column is one of these values, however many: they travel as one parameter."""
    if conn.dialect.name == "sqlite":
        return column.in_(_EACH.bindparams(bindparam("each", json.dumps(list(values)))))
    return column == any_(bindparam("each", list(values), type_=ARRAY(Text)))


_EACH = text("select value from json_each(:each)")


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
