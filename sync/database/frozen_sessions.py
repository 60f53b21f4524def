"""Sessions of ours on PostgreSQL whose process froze in mid-transaction, and whose locks nobody can get past."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from sync.database.engine import APPLICATION_NAME, Store


@dataclass(frozen=True, slots=True)
class StuckSession:
    """A session that was ended: the server's process id, and for how many seconds it had waited for its client."""

    pid: int
    seconds: float


_END = text(
    "select pid, extract(epoch from clock_timestamp() - state_change) as seconds, pg_terminate_backend(pid) as ended"
    " from pg_stat_activity"
    " where datname = current_database() and usename = current_user and application_name = :application"
    " and pid <> pg_backend_pid() and xact_start is not null and wait_event = 'ClientRead'"
    " and state_change < clock_timestamp() - make_interval(secs => :seconds)"
)


def end_stuck_sessions(store: Store, *, seconds: float) -> list[StuckSession]:
    """End our user's mpsync sessions that have waited in a transaction for their client that long; nothing on SQLite.

    The server's own idle_in_transaction_session_timeout does it only where it waits for a whole new exchange. A client
    that froze after a part of one (a statement half sent, or psycopg's pipeline, whose Flush after a Sync disarms the
    timer) keeps its locks for as long as it is frozen, whatever the timeouts say: seen on PostgreSQL 16; 17 has
    transaction_timeout. Its transaction is rolled back, and its process, once awake, finds its connection gone.
    A COPY that is under way looks the same: ours send some thousand rows, far from `seconds`.
    """
    if store.is_sqlite:
        return []
    with store.read() as conn:
        rows = conn.execute(_END, {"application": APPLICATION_NAME, "seconds": seconds}).all()
    return [StuckSession(row.pid, float(row.seconds)) for row in rows if row.ended]
