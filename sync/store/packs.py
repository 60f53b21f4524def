"""Rows that were never seen, worked out to the last value before a transaction begins.

A document and its ledger entry are most of what a backfill writes. All of a row that does not depend on the
database is made into what the database takes (values for SQLite, lines of COPY for PostgreSQL) by the thread
that read it; the one that writes adds the ids and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from itertools import chain
from typing import Any

from sqlalchemy import Connection

from sync.domain.ledger import posted_on
from sync.errors import InvariantError
from sync.store.engine import lock_appends
from sync.store.ledger import ORIGINAL, last_seq, next_ids
from sync.store.types import instant_text

ROWS_A_STATEMENT = 1500
"""On SQLite; less than 14,000 variables of the 32,766 that it takes (since 3.32). More make it no faster."""

ROWS_A_PIECE = 500
"""Of COPY's lines, on PostgreSQL: the server works on one while the next is put together."""

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
    """Rows as one kind of database takes them: SQLite value after value, PostgreSQL line by line."""

    remote_ids: Sequence[str]
    entries: list[Any]
    documents: list[Any]


def pack(rows: NewRows, *, lock_date: date | None, sqlite: bool) -> Pack:
    """Work rows out for SQLite, or else for PostgreSQL."""
    occurred = _each(rows.occurred_on, date.isoformat)
    posted = _each(rows.occurred_on, lambda day: posted_on(day, lock_date).isoformat())
    entries = (
        rows.api_keys,
        rows.remote_ids,
        rows.items,
        rows.warehouses,
        rows.quantities,
        rows.unit_costs,
        rows.amounts,
        occurred,
        posted,
    )
    documents = (
        rows.remote_ids,
        _each(rows.days, date.isoformat),
        rows.raws,
        rows.digests,
        rows.api_keys,
        rows.items,
        rows.warehouses,
        rows.remaining,
    )
    made = _flat if sqlite else _lines
    return Pack(rows.remote_ids, made(entries), made(documents))


def append_packs(
    conn: Connection, system: str, kind: str, source: str, packs: Sequence[Pack], *, now: datetime, run_id: int | None
) -> None:
    """Append the originals of rows that were never seen, and insert their documents."""
    count = sum(len(one.remote_ids) for one in packs)
    if not count:
        return
    lock_appends(conn)
    ids = next_ids(conn, count)
    at = instant_text(now)
    entry = {"system": system, "kind": kind, "entry_type": ORIGINAL, "recorded_at": at, "run_id": run_id}
    document = {"system": system, "type": kind, "source": source, "first_seen_at": at, "last_seen_at": at}
    if conn.dialect.name == "sqlite":
        _insert(conn, "ledger_entries", entry, _ENTRY_COLUMNS, [one.entries for one in packs])
        if last_seq(conn) != ids[-1]:
            raise InvariantError(f"the ledger's last entry is not {ids[-1]}, which its document names")
        values = [one.documents for one in packs]
        _insert(conn, "documents", document, _DOCUMENT_COLUMNS, values, numbered="entry_id", first=ids[0])
    else:
        _copy(conn, "ledger_entries", "id", _ENTRY_COLUMNS, entry, ids, _joined(one.entries for one in packs))
        _copy(conn, "documents", "entry_id", _DOCUMENT_COLUMNS, document, ids, _joined(one.documents for one in packs))


def _each(days: Sequence[date], text: Callable[[date], str]) -> list[str]:
    """Return a text for each date; there are few different ones."""
    texts = {day: text(day) for day in set(days)}
    return [texts[day] for day in days]


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


def _lines(columns: Sequence[Sequence[Any]]) -> list[str]:
    """Return rows as lines of COPY's text format, without the columns that are the writer's (PostgreSQL, COPY)."""
    texts = [_texts(column) for column in columns]
    lines = list(map("\t".join, zip(*texts, strict=True)))
    whole = "\n".join(lines)
    nulls = sum(text is _NULL for column in texts for text in column)
    plain = (len(columns) - 1) * len(lines), len(lines) - 1, nulls, 0
    if (whole.count("\t"), whole.count("\n"), whole.count("\\"), whole.count("\r")) == plain:
        return lines
    return [
        "\t".join(text if text is _NULL else text.translate(_ESCAPES) for text in row)
        for row in zip(*texts, strict=True)
    ]


def _texts(column: Sequence[Any]) -> list[str]:
    return [value if type(value) is str else _NULL if value is None else str(value) for value in column]


_NULL = "\\N"
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _copy(
    conn: Connection,
    table: str,
    numbered: str,
    columns: Sequence[str],
    same: dict[str, Any],
    ids: Sequence[int],
    lines: list[str],
) -> None:
    """Send lines by PostgreSQL's COPY, in this transaction, each with its id in front and what all share behind."""
    driver: Any = conn.connection
    behind = "\t" + "\t".join(_texts(list(same.values()))) + "\n"
    names = ", ".join((numbered, *columns, *same))
    with driver.cursor() as cursor, cursor.copy(f"copy {table} ({names}) from stdin") as copy:
        for start in range(0, len(lines), ROWS_A_PIECE):
            part = zip(ids[start : start + ROWS_A_PIECE], lines[start : start + ROWS_A_PIECE], strict=True)
            copy.write("".join([f"{id_}\t{line}{behind}" for id_, line in part]))
