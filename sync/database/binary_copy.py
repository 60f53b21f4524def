"""Rows as PostgreSQL's COPY takes them in its binary format, which costs the server less than its text.

Source: PostgreSQL's manual, COPY, "Binary Format"; a bigint, a date (days) and a timestamptz (microseconds, both
since 2000-01-01) are sent as their `_send` functions write them. Everything is big-endian; lengths are in bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import repeat
from struct import Struct
from typing import Any

from sqlalchemy import Connection

ROWS_A_PIECE = 500
"""The server works on one while the next is put together."""

_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # signature, flags, no header extension
_END = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
_BIGINT = b"\0\0\0\x08"
_bigint = Struct(">iq").pack  # its length, and itself
_DATE = b"\0\0\0\x04"
_DAY_ZERO = date(2000, 1, 1).toordinal()
_TIME_ZERO = datetime(2000, 1, 1, tzinfo=UTC)


def field(value: str | int | date | datetime | None) -> bytes:
    """Return one value with its length in front: text, bigint, date, or timestamptz for an aware datetime.

    Raises struct.error for an integer beyond 64 bits or another type, TypeError for a naive datetime.
    """
    if isinstance(value, str):
        text = value.encode()
        return len(text).to_bytes(4, "big") + text
    if value is None:
        return _NULL
    if isinstance(value, datetime):
        return _bigint(8, (value - _TIME_ZERO) // timedelta(microseconds=1))
    if isinstance(value, date):
        return _DATE + (value.toordinal() - _DAY_ZERO).to_bytes(4, "big", signed=True)
    return _bigint(8, value)


def fields(column: Sequence[Any]) -> list[bytes]:
    """Return the fields of values most of which are equal to another one, as parts and dates are."""
    known = {value: field(value) for value in set(column)}
    return list(map(known.__getitem__, column))


def texts(column: Sequence[str]) -> list[bytes]:
    """Return the fields of texts most of which differ."""
    return [len(text).to_bytes(4, "big") + text for text in map(str.encode, column)]


def numbers(column: Sequence[int]) -> list[bytes]:
    """Return the fields of integers most of which differ."""
    return list(map(_bigint, repeat(8), column))


def rows_of(columns: Iterable[Sequence[bytes]]) -> list[bytes]:
    """Return rows, each the fields of its columns one after the other."""
    return list(map(b"".join, zip(*columns, strict=True)))


def copy_rows(
    conn: Connection,
    table: str,
    columns: Sequence[str],
    same: dict[str, Any],
    numbered: str,
    ids: Sequence[int],
    rows: Sequence[bytes],
) -> None:
    """Send rows, made by `rows_of` in the order of `columns`, in this transaction.

    The values of `same` stand in every row, and in the column `numbered` its id of `ids`.
    """
    count = len(columns) + len(same) + 1
    front = count.to_bytes(2, "big") + b"".join(map(field, same.values())) + _BIGINT
    names = ", ".join((*same, numbered, *columns))
    driver: Any = conn.connection
    with driver.cursor() as cursor, cursor.copy(f"copy {table} ({names}) from stdin (format binary)") as copy:
        copy.write(_HEAD)
        for start in range(0, len(rows), ROWS_A_PIECE):
            part = zip(ids[start : start + ROWS_A_PIECE], rows[start : start + ROWS_A_PIECE], strict=True)
            copy.write(b"".join([front + id_.to_bytes(8, "big") + row for id_, row in part]))
        copy.write(_END)
