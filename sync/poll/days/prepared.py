"""Rows that were never seen, worked out to the last value before a transaction begins.

A document and its ledger entry are most of what a backfill writes. All of a row that does not depend on the
database is made into what the database takes (values for SQLite, rows of COPY for PostgreSQL) by the thread
that parsed it; the one that writes adds the ids and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import chain
from typing import Any, TypeVar

from sqlalchemy import Connection

from sync.database.binary_copy import copy_rows, fields, numbers, rows_of, texts
from sync.database.types import instant_text
from sync.errors import InvariantError
from sync.ledger.books import Books
from sync.ledger.entries import ORIGINAL, last_seq, next_ids
from sync.ledger.rules import posted_on

ROWS_A_STATEMENT = 1500
"""On SQLite; less than 14,000 variables of the 32,766 that it takes (since 3.32). More make it no faster."""

A = TypeVar("A")

_ENTRY_COLUMNS = (
    "api_key",
    "remote_id",
    "item",
    "warehouse",
    "quantity",
    "unit_cost",
    "amount",
    "occurred_on",
    "posted_on",
)
_FIELDS: dict[str, Callable[[Sequence[Any]], list[bytes]]] = {
    "api_key": texts,
    "remote_id": texts,
    "raw": texts,
    "digest": texts,
    "unit_cost": numbers,
    "amount": numbers,
}
"""The columns whose values mostly differ."""

_DOCUMENT_COLUMNS = ("remote_id", "day", "raw", "digest", "api_key", "item", "warehouse", "remaining")


@dataclass(frozen=True, slots=True)
class NewRows:
    """Rows of one system and kind, column by column; numbers in millionths, `quantities` signed: + in, - out."""

    api_keys: Sequence[str]
    remote_ids: Sequence[str]
    items: Sequence[str]
    warehouses: Sequence[str]
    quantities: Sequence[int]
    unit_costs: Sequence[int]
    amounts: Sequence[int]
    occurred_on: Sequence[date]
    days: Sequence[date]
    raws: Sequence[str]
    digests: Sequence[str]
    remaining: Sequence[int | None]


@dataclass(frozen=True, slots=True)
class Pack:
    """Rows as one kind of database takes them: SQLite value after value, PostgreSQL row by row."""

    remote_ids: Sequence[str]
    entries: list[Any]
    documents: list[Any]


def pack(rows: NewRows, *, lock_date: date | None, sqlite: bool) -> Pack:
    """Work rows out for SQLite, or else for PostgreSQL."""
    values: dict[str, Sequence[Any]] = {
        "api_key": rows.api_keys,
        "remote_id": rows.remote_ids,
        "item": rows.items,
        "warehouse": rows.warehouses,
        "quantity": rows.quantities,
        "unit_cost": rows.unit_costs,
        "amount": rows.amounts,
        "occurred_on": rows.occurred_on,
        "posted_on": _each(rows.occurred_on, lambda day: posted_on(day, lock_date)),
        "day": rows.days,
        "raw": rows.raws,
        "digest": rows.digests,
        "remaining": rows.remaining,
    }
    if sqlite:
        values |= {name: _each(values[name], date.isoformat) for name in ("occurred_on", "posted_on", "day")}
        return Pack(
            rows.remote_ids,
            _flat([values[name] for name in _ENTRY_COLUMNS]),
            _flat([values[name] for name in _DOCUMENT_COLUMNS]),
        )
    made = {name: _FIELDS.get(name, fields)(column) for name, column in values.items()}
    return Pack(
        rows.remote_ids,
        rows_of(made[name] for name in _ENTRY_COLUMNS),
        rows_of(made[name] for name in _DOCUMENT_COLUMNS),
    )


def append_packs(books: Books, system: str, kind: str, source: str, packs: Sequence[Pack]) -> None:
    """Append the originals of rows that were never seen, and insert their documents; under `lock_appends`."""
    count = sum(len(one.remote_ids) for one in packs)
    if not count:
        return
    ids = next_ids(books.conn, count)
    sqlite = books.conn.dialect.name == "sqlite"
    at = instant_text(books.now) if sqlite else books.now
    entry = {"system": system, "kind": kind, "entry_type": ORIGINAL, "recorded_at": at, "run_id": books.run_id}
    document = {"system": system, "type": kind, "source": source, "first_seen_at": at, "last_seen_at": at}
    if sqlite:
        _insert(books.conn, "ledger_entries", entry, _ENTRY_COLUMNS, [one.entries for one in packs])
        if last_seq(books.conn) != ids[-1]:
            raise InvariantError(f"the ledger's last entry is not {ids[-1]}, which its document names")
        values = [one.documents for one in packs]
        _insert(books.conn, "documents", document, _DOCUMENT_COLUMNS, values, numbered="entry_id", first=ids[0])
    else:
        copy_rows(books.conn, "ledger_entries", _ENTRY_COLUMNS, entry, "id", ids, _joined(one.entries for one in packs))
        documents = _joined(one.documents for one in packs)
        copy_rows(books.conn, "documents", _DOCUMENT_COLUMNS, document, "entry_id", ids, documents)


def _each(days: Sequence[date], make: Callable[[date], A]) -> list[A]:
    """Return what is made of each date; there are few different ones."""
    made = {day: make(day) for day in set(days)}
    return [made[day] for day in days]


def _joined(parts: Iterable[list[Any]]) -> list[Any]:
    return list(chain.from_iterable(parts))


def _flat(columns: Sequence[Sequence[Any]]) -> list[Any]:
    """Return the values row after row."""
    width = len(columns)
    values: list[Any] = [None] * (width * len(columns[0]))
    for n, column in enumerate(columns):
        values[n::width] = column
    return values


def _insert(
    conn: Connection,
    table: str,
    same: dict[str, Any],
    columns: Sequence[str],
    packs: Iterable[list[Any]],
    *,
    numbered: str | None = None,
    first: int = 0,
) -> None:
    """Insert on SQLite, many rows a statement; `same` for all of them, the column `numbered` counting from `first`.

    The driver lets other threads run while SQLite works, once a statement. Row by row that handing over
    and back costs twenty times what the insert does, as soon as a thread is busy parsing.
    """
    names = (*same, numbered, *columns) if numbered else (*same, *columns)
    for values in _parts(packs, len(columns)):
        rows = len(values) // len(columns)
        given = (*same.values(), first, *values) if numbered else (*same.values(), *values)
        conn.exec_driver_sql(_many(table, names, len(same), numbered is not None, rows), given)
        first += rows


def _parts(packs: Iterable[list[Any]], width: int) -> Iterator[list[Any]]:
    """Yield the values of a statement each: as many rows as one takes, at the end fewer, each time a power of two."""
    most, rest = ROWS_A_STATEMENT * width, list[Any]()
    for values in packs:
        rest += values
        while len(rest) >= most:
            yield rest[:most]
            rest = rest[most:]
    while rest:
        size = width << ((len(rest) // width).bit_length() - 1)
        yield rest[:size]
        rest = rest[size:]


@lru_cache(maxsize=64)
def _many(table: str, names: tuple[str, ...], same: int, numbered: bool, rows: int) -> str:
    """Return the text that inserts so many rows; few different sizes are asked for, so that each is prepared once."""
    shared = [f"?{n + 1}" for n in range(same)]
    given = ["?"] * (len(names) - same - numbered)
    values = ", ".join(
        f"({', '.join([*shared, *([f'?{same + 1} + {n}'] if numbered else ()), *given])})" for n in range(rows)
    )
    return f"insert into {table} ({', '.join(names)}) values {values}"  # noqa: S608 (names of our own tables)
