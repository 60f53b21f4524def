"""The queue of what needs a person. One open row per kind and subject."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Row

from sync.store.schema import exceptions


def open_exception(
    conn: Connection,
    kind: str,
    subject: str,
    *,
    detail: str,
    hint: str,
    now: datetime,
    facts: Mapping[str, Any] | None = None,
) -> bool:
    """Open an exception, or refresh the open one of the same kind and subject; True when it is new.

    `hint` says what a person should do. `facts` is what the program needs to act on the resolution.
    """
    values = {"detail": detail, "hint": hint, "facts": json.dumps(facts or {}, sort_keys=True)}
    same = (exceptions.c.kind == kind, exceptions.c.subject == subject, exceptions.c.resolved_at.is_(None))
    known = conn.execute(select(exceptions.c.id, exceptions.c.detail, exceptions.c.facts).where(*same)).first()
    if known is None:
        return _inserted(conn, kind=kind, subject=subject, opened_at=now, **values)
    if (known.detail, known.facts) != (values["detail"], values["facts"]):
        conn.execute(update(exceptions).where(exceptions.c.id == known.id).values(**values))
    return False


def _inserted(conn: Connection, **values: Any) -> bool:
    """Insert unless another process opens the same one at the same time; then its word stands, and nothing fails."""
    insert = sqlite.insert(exceptions) if conn.dialect.name == "sqlite" else postgresql.insert(exceptions)
    statement = insert.values(**values).on_conflict_do_nothing(
        index_elements=["kind", "subject"], index_where=exceptions.c.resolved_at.is_(None)
    )
    return conn.execute(statement.returning(exceptions.c.id)).first() is not None


def resolve_exceptions(
    conn: Connection, kind: str, subject: str, *, resolution: str, now: datetime, by: str = "mpsync"
) -> int:
    """Resolve the open exception of a kind and subject, if there is one; return how many were."""
    done = conn.execute(
        update(exceptions)
        .where(exceptions.c.kind == kind, exceptions.c.subject == subject, exceptions.c.resolved_at.is_(None))
        .values(resolved_at=now, resolved_by=by, resolution=resolution)
    )
    return done.rowcount


def open_exceptions(conn: Connection, *, kind: str | None = None) -> list[Row[Any]]:
    """Return the open exceptions, oldest first."""
    query = select(exceptions).where(exceptions.c.resolved_at.is_(None)).order_by(exceptions.c.id)
    return list(conn.execute(query if kind is None else query.where(exceptions.c.kind == kind)))
