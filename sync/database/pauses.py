"""Systems that refused our credentials: left alone until these change, or a while where no account can be locked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from sync.database.schema import pauses


def pause_system(conn: Connection, system: str, *, fingerprint: str, reason: str, now: datetime) -> None:
    """Remember that these credentials were refused; the first refusal's time stays. Safe to do twice at once."""
    known = conn.execute(select(pauses.c.fingerprint).where(pauses.c.system == system)).scalar_one_or_none()
    if known == fingerprint:
        conn.execute(update(pauses).where(pauses.c.system == system).values(reason=reason, tried_at=now))
        return
    values = {"fingerprint": fingerprint, "reason": reason, "since": now, "tried_at": now}
    upsert = sqlite.insert(pauses) if conn.dialect.name == "sqlite" else postgresql.insert(pauses)
    statement = upsert.values(system=system, **values)
    conn.execute(statement.on_conflict_do_update(index_elements=["system"], set_=values))


@dataclass(frozen=True, slots=True)
class Pause:
    """Credentials that a system refused, and when it last did."""

    fingerprint: str
    reason: str
    tried_at: datetime


_PAUSES = select(pauses.c.system, pauses.c.fingerprint, pauses.c.reason, pauses.c.since, pauses.c.tried_at)


def all_pauses(conn: Connection) -> dict[str, Pause]:
    """Return every pause, by system."""
    rows = conn.execute(_PAUSES)
    return {row.system: Pause(row.fingerprint, row.reason, row.tried_at or row.since) for row in rows}


def pause_reason(conn: Connection, system: str, *, fingerprint: str) -> str | None:
    """Return why a system is paused for these credentials, or None: it may be called."""
    pause = all_pauses(conn).get(system)
    return pause.reason if pause is not None and pause.fingerprint == fingerprint else None


def unpause_system(conn: Connection, system: str) -> int:
    """Forget a refusal; return whether there was one (1) or not (0)."""
    return conn.execute(delete(pauses).where(pauses.c.system == system)).rowcount
