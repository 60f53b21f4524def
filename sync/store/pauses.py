"""Systems whose credentials were refused: left alone until the credentials change."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from sync.store.schema import pauses


def pause_system(conn: Connection, system: str, *, fingerprint: str, reason: str, now: datetime) -> None:
    """Remember that these credentials were refused; the first refusal's time stays."""
    known = conn.execute(select(pauses.c.fingerprint).where(pauses.c.system == system)).scalar_one_or_none()
    if known == fingerprint:
        return
    conn.execute(delete(pauses).where(pauses.c.system == system))
    conn.execute(insert(pauses).values(system=system, fingerprint=fingerprint, reason=reason, since=now))


def pause_reason(conn: Connection, system: str, *, fingerprint: str) -> str | None:
    """Return why a system is paused for these credentials, or None: it may be called."""
    row = conn.execute(select(pauses).where(pauses.c.system == system)).first()
    return row.reason if row is not None and row.fingerprint == fingerprint else None


def unpause_system(conn: Connection, system: str) -> int:
    """Forget a refusal; return whether there was one (1) or not (0)."""
    return conn.execute(delete(pauses).where(pauses.c.system == system)).rowcount
