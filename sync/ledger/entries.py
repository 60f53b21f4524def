"""The ledger: append-only entries whose ids follow commit order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, func, select, text
from sqlalchemy.engine import Row

from sync.database.chunks import chunks
from sync.database.schema import ledger_entries

ORIGINAL = "original"
REVERSAL = "reversal"
COLUMNS = (
    "id",
    "system",
    "kind",
    "api_key",
    "remote_id",
    "entry_type",
    "item",
    "warehouse",
    "quantity",
    "unit_cost",
    "amount",
    "occurred_on",
    "occurred_at",
    "posted_on",
    "recorded_at",
    "run_id",
)


def entries_by_id(conn: Connection, entry_ids: Iterable[int]) -> dict[int, Row[Any]]:
    """Return entries by their id."""
    found: dict[int, Row[Any]] = {}
    for chunk in chunks(entry_ids):
        for row in conn.execute(select(ledger_entries).where(ledger_entries.c.id.in_(chunk))):
            found[row.id] = row
    return found


def entries_after(conn: Connection, seq: int, limit: int) -> list[Row[Any]]:
    """Return up to `limit` entries that were committed after `seq`, in that order."""
    query = select(ledger_entries).where(ledger_entries.c.id > seq).order_by(ledger_entries.c.id).limit(limit)
    return list(conn.execute(query))


def event_entries(conn: Connection, kind: str, api_key: str) -> list[Row[Any]]:
    """Return an event's entries of every system, in commit order."""
    query = select(ledger_entries).where(ledger_entries.c.kind == kind, ledger_entries.c.api_key == api_key)
    return list(conn.execute(query.order_by(ledger_entries.c.id)))


def last_seq(conn: Connection) -> int:
    """Return the seq of the newest entry, 0 where there is none."""
    return int(conn.execute(select(func.coalesce(func.max(ledger_entries.c.id), 0))).scalar_one())


def next_ids(conn: Connection, count: int) -> range:
    """Take the next ids, rising by one; the caller is the only one who appends (`lock_appends`).

    Should somebody draw from PostgreSQL's sequence without that lock meanwhile, others are taken.
    """
    if conn.dialect.name != "postgresql":
        first = last_seq(conn) + 1
        return range(first, first + count)
    query = text(
        "select min(id), max(id) from (select nextval(named.sequence) as id from generate_series(1, :count),"
        " (select pg_get_serial_sequence('ledger_entries', 'id')::regclass as sequence offset 0) as named) as drawn"
    )
    while True:
        first, last = conn.execute(query, {"count": count}).one()
        if last - first + 1 == count:
            return range(first, last + 1)
