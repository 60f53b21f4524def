"""What the vendors do that their documents do not say, learnt from ordinary work or set by a person."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select, update

from sync.store.chunks import upsert
from sync.store.schema import learned as facts_


def learned(conn: Connection, system: str, fact: str) -> str | None:
    """Return what is known of a fact of a system ('mpw', 'mpservices'), or None."""
    query = select(facts_.c.value).where(facts_.c.system == system, facts_.c.fact == fact)
    return conn.execute(query).scalar_one_or_none()


def learn(conn: Connection, system: str, fact: str, value: str, *, evidence: str, now: datetime) -> bool:
    """Write down what ordinary work has shown; True where that is new or other than what was known.

    `evidence` names the row or the answer that shows it. What a person set stands.
    """
    query = select(facts_.c.value, facts_.c.set_by).where(facts_.c.system == system, facts_.c.fact == fact)
    known = conn.execute(query).first()
    if known is not None and (known.set_by is not None or known.value == value):
        return False
    row = {"system": system, "fact": fact, "value": value, "evidence": evidence, "seen_at": now, "set_by": None}
    if known is None:
        upsert(conn, facts_, [row], key=["system", "fact"], update=["value", "evidence", "seen_at"])
    else:
        same = (facts_.c.system == system, facts_.c.fact == fact, facts_.c.set_by.is_(None))
        conn.execute(update(facts_).where(*same).values(value=value, evidence=evidence, seen_at=now))
    return True
