"""Small truths that outlive a run, by name."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, insert, select
from sqlalchemy.exc import IntegrityError

from sync.database.schema import facts

FIRST_RUN_AT = "first_run_at"
HEARTBEAT_AT = "heartbeat_at"
STOPPED_AT = "daemon_stopped_at"
RECONCILED_SEQ = "reconciled_seq"
RULES_FINGERPRINT = "rules_fingerprint"


_VALUE = select(facts.c.value).where(facts.c.name == bindparam("name"))


def fact(conn: Connection, name: str) -> str | None:
    """Return a fact's value, or None where it was never set."""
    return conn.execute(_VALUE, {"name": name}).scalar_one_or_none()


def set_fact(conn: Connection, name: str, value: str, *, now: datetime) -> None:
    """Set a fact, whatever it was. Of two processes that set it first at the same time, none fails."""
    values = {"value": value, "updated_at": now}
    if conn.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as upsert
    else:  # loaded only where it is needed: it takes as long as a status on SQLite's side
        from sqlalchemy.dialects.postgresql import insert as upsert  # type: ignore[assignment]
    wanted = upsert(facts).values(name=name, **values)
    conn.execute(wanted.on_conflict_do_update(index_elements=["name"], set_=values))


def set_fact_once(conn: Connection, name: str, value: str, *, now: datetime) -> str:
    """Set a fact unless it has a value; return the value it has."""
    known = fact(conn, name)
    if known is not None:
        return known
    try:
        with conn.begin_nested():
            conn.execute(insert(facts).values(name=name, value=value, updated_at=now))
    except IntegrityError:  # another process was first
        return fact(conn, name) or value
    return value


def forget_fact(conn: Connection, name: str) -> None:
    """Remove a fact."""
    conn.execute(delete(facts).where(facts.c.name == name))


def beat(conn: Connection, host: str, *, now: datetime) -> None:
    """Say that the daemon on a host works: for all who ask of the database, and for those who ask of that host."""
    for name in (HEARTBEAT_AT, _of_host(host)):
        set_fact(conn, name, now.isoformat(), now=now)


def note_stop(conn: Connection, *, now: datetime) -> None:
    """Say that the daemon was told to stop: its silence from now on is nobody's fault, but a silence it is."""
    set_fact(conn, STOPPED_AT, now.isoformat(), now=now)


def expect_no_daemon(conn: Connection) -> None:
    """Expect no daemon any more, where the last one was told to stop: whoever works now does it cycle by cycle."""
    stopped, beat_ = fact(conn, STOPPED_AT), fact(conn, HEARTBEAT_AT)
    if stopped is not None and beat_ is not None and datetime.fromisoformat(stopped) >= datetime.fromisoformat(beat_):
        conn.execute(delete(facts).where(facts.c.name.in_((STOPPED_AT, HEARTBEAT_AT))))


def heartbeat_age(conn: Connection, now: datetime, *, host: str | None = None) -> float | None:
    """Return how many seconds ago a daemon on this database last said that it works; None: never.

    Negative: it lies in the future, and was written by a clock that was ahead. With `host`, that host's daemon is
    meant, so that of two replicas none answers for the other; any daemon's where
    the host never had one.
    """
    known = fact(conn, _of_host(host)) if host is not None else None
    known = known or fact(conn, HEARTBEAT_AT)
    return None if known is None else (now - datetime.fromisoformat(known)).total_seconds()


def forget_heartbeats(conn: Connection, before: datetime) -> None:
    """Forget hosts whose daemon has not worked since: containers have a new name at every start."""
    conn.execute(delete(facts).where(facts.c.name.like(_of_host("%")), facts.c.updated_at < before))


def _of_host(host: str) -> str:
    return f"{HEARTBEAT_AT}:{host}"
