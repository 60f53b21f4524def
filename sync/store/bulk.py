"""Inserting tens of thousands of rows: the statement compiled once, values converted column by column.

SQLAlchemy's own executemany spends more time on naming each row's parameters than the database on storing them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Date, Dialect, Table, insert
from sqlalchemy.types import TypeEngine

from sync.domain.money import SCALE
from sync.store.types import Fixed, Instant, instant_text, to_micros

_ONE = 10**SCALE

COPY_ROWS_MIN = 200
"""From so many rows on COPY is worth its round trips."""


def insert_rows(conn: Connection, table: Table, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows given as sequences in the order of `columns`, with the types that the table declares."""
    if not rows:
        return
    names = [column.name for column in table.c if column.name in columns]
    given = dict(zip(columns, zip(*rows, strict=True), strict=True))
    values = [_converted(given[name], table.c[name].type, conn.dialect) for name in names]
    records = list(zip(*values, strict=True))
    if conn.dialect.positional:
        conn.exec_driver_sql(_statement(table, tuple(names), conn.dialect), records)
    elif len(records) >= COPY_ROWS_MIN:
        _copy(conn, table, names, records)
    else:
        named = [dict(zip(names, record, strict=True)) for record in records]
        conn.exec_driver_sql(_statement(table, tuple(names), conn.dialect), named)


def _copy(conn: Connection, table: Table, names: Sequence[str], records: Iterable[Sequence[Any]]) -> None:
    """Send rows by PostgreSQL's COPY, in this transaction: several times as fast as INSERTs one by one."""
    columns = ", ".join(f'"{name}"' for name in names)
    driver: Any = conn.connection
    with driver.cursor() as cursor, cursor.copy(f'copy "{table.name}" ({columns}) from stdin') as copy:
        for record in records:
            copy.write_row(record)


@lru_cache(maxsize=32)
def _statement(table: Table, names: tuple[str, ...], dialect: Dialect) -> str:
    """Return the driver's text; positional parameters follow the order of the table's columns."""
    return str(insert(table).compile(dialect=dialect, column_keys=list(names)))


def _converted(values: Sequence[Any], type_: TypeEngine[Any], dialect: Dialect) -> Sequence[Any]:
    if isinstance(type_, Fixed):
        return [None if value is None else _micros(value) for value in values]
    if isinstance(type_, Instant):
        return _each(values, instant_text if dialect.name == "sqlite" else _aware)
    if dialect.name != "sqlite":
        return values
    return _each(values, date.isoformat) if isinstance(type_, Date) else values


def _each(values: Sequence[Any], convert: Callable[[Any], Any]) -> Sequence[Any]:
    """Convert each distinct value once: a batch has few days and one `now`."""
    converted: dict[date | datetime | None, Any] = {None: None}
    for value in set(values):
        if value is not None:
            converted[value] = convert(value)
    return [converted[value] for value in values]


def _aware(value: datetime) -> datetime:
    instant_text(value)  # raises for a naive one
    return value


def _micros(value: Any) -> int:
    """Return the scaled integer, by the short way for what `fixed` has made."""
    if type(value) is Decimal and value.same_quantum(_QUANTUM):
        return int(value * _ONE)
    return to_micros(value)


_QUANTUM = Decimal(1).scaleb(-SCALE)
