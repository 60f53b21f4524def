"""Events that wait, and what for."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, select

from sync.database.chunks import upsert
from sync.database.schema import parked

Key = tuple[str, str]
"""(kind, api_key) of an event."""


def due_parked(conn: Connection, *, now: datetime, limit: int) -> list[Key]:
    """Return what waits and is to be looked at now, the longest due first."""
    query = select(parked.c.kind, parked.c.api_key).where(parked.c.due_at <= now).order_by(parked.c.due_at).limit(limit)
    return [(row.kind, row.api_key) for row in conn.execute(query)]


def park(conn: Connection, key: Key, *, reason: str, due_at: datetime | None) -> None:
    """Let an event wait."""
    row = {"kind": key[0], "api_key": key[1], "reason": reason, "due_at": due_at}
    upsert(conn, parked, [row], key=("kind", "api_key"), update=("reason", "due_at"))


def unpark(conn: Connection, key: Key) -> None:
    """Let an event wait no longer."""
    conn.execute(delete(parked).where(parked.c.kind == key[0], parked.c.api_key == key[1]))


def parked_reason(conn: Connection, key: Key) -> str | None:
    """Return what an event waits for, None where it does not."""
    query = select(parked.c.reason).where(parked.c.kind == key[0], parked.c.api_key == key[1])
    return conn.execute(query).scalar_one_or_none()


def parked_keys(conn: Connection) -> list[Key]:
    """Return all that waits, due or not."""
    query = select(parked.c.kind, parked.c.api_key).order_by(parked.c.kind, parked.c.api_key)
    return [(row.kind, row.api_key) for row in conn.execute(query)]


def parked_reasons(conn: Connection) -> set[str]:
    """Return everything that anything waits for."""
    return set(conn.execute(select(parked.c.reason).distinct()).scalars())
