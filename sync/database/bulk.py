"""Inserting tens of thousands of rows: the statement compiled once, values converted column by column.

SQLAlchemy's own executemany spends more time on naming each row's parameters than the database on storing them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Date, Dialect, Table, insert
from sqlalchemy.types import TypeEngine

from sync.database.types import Fixed, Instant, instant_text
from sync.values.money import SCALE, to_micros

_ONE = 10**SCALE

VARIABLES_MAX = 8_000
"""In one statement of SQLite, which takes 32,766 (since 3.32): more than this makes none faster."""

COPY_ROWS_MIN = 200
"""From so many rows on COPY is worth its round trips."""


def insert_rows(conn: Connection, table: Table, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows given as sequences in the order of `columns`, with the types that the table declares."""
    if not rows:
        return
    names = [column.name for column in table.c if column.name in columns]
    given = dict(zip(columns, zip(*rows, strict=True), strict=True))
    values = [_converted(given[name], table.c[name].type, conn.dialect) for name in names]
    insert_stored(conn, table, names, list(zip(*values, strict=True)))


def insert_stored(conn: Connection, table: Table, names: Sequence[str], records: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows whose values are already what the database stores; `names` follow the table's own order."""
    if not records:
        return
    if conn.dialect.positional:
        _insert_together(conn, table, tuple(names), records)
    elif len(records) >= COPY_ROWS_MIN:
        _copy(conn, table, names, records)
    else:
        named = [dict(zip(names, record, strict=True)) for record in records]
        conn.exec_driver_sql(_statement(table, tuple(names), conn.dialect), named)


def _insert_together(
    conn: Connection, table: Table, names: tuple[str, ...], records: Sequence[tuple[Any, ...]]
) -> None:
    """Insert on SQLite, many rows a statement.

    The driver lets other threads run while SQLite works, once a statement. Row by row that handing over
    and back costs twenty times what the insert does, as soon as a thread is busy parsing.
    """
    size = VARIABLES_MAX // len(names)
    whole = len(records) - len(records) % size
    for start in range(0, whole, size):
        together = tuple(chain.from_iterable(records[start : start + size]))
        conn.exec_driver_sql(_many(table, names, size, conn.dialect), together)
    rest = records[whole:]
    while rest:
        size = 1 << (len(rest).bit_length() - 1)
        conn.exec_driver_sql(_many(table, names, size, conn.dialect), tuple(chain.from_iterable(rest[:size])))
        rest = rest[size:]


@lru_cache(maxsize=128)
def _many(table: Table, names: tuple[str, ...], rows: int, dialect: Dialect) -> str:
    """Return the text that inserts so many rows; few different sizes are asked for, so that each is prepared once."""
    head, values = _statement(table, names, dialect).split(" VALUES ")
    return f"{head} VALUES {', '.join([values] * rows)}"


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
        return _scaled(values)
    if isinstance(type_, Instant):
        return _each(values, instant_text if dialect.name == "sqlite" else _aware)
    if dialect.name != "sqlite":
        return values
    return _each(values, date.isoformat) if isinstance(type_, Date) else values


def _scaled(values: Sequence[Any]) -> Sequence[int | None]:
    """Return scaled integers; the reader gives the same object for the same digits, which is scaled once."""
    known = {id(value): value for value in values}
    scaled = {id_: None if value is None else _micros(value) for id_, value in known.items()}
    return [scaled[id(value)] for value in values]


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
