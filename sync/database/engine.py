"""The connection to the database: one way to read, one way to write, on SQLite and PostgreSQL."""

from __future__ import annotations

import itertools
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import URL

from sync.clock import Clock, SharedClock, SystemClock, stands_for_itself

BUSY_TIMEOUT_SECONDS = 30
"""How long a writer waits for another before it gives up: longer than our longest transaction."""

IDLE_IN_TRANSACTION_SECONDS = 15
"""How long PostgreSQL waits for the next statement of a transaction: less than a leader's lease lasts (20 s), since a
leader that froze in mid-transaction keeps the lease row locked until then, and nobody can follow it. Where the server's
own timer does not run, another instance ends the session (database/frozen_sessions.py)."""

APPLICATION_NAME = "mpsync"
"""What our sessions are called in pg_stat_activity."""

CONNECT_TIMEOUT_SECONDS = 10
"""How long one attempt to connect may take, to each address of the host: two fit into a leader's lease."""

SILENT_LINK = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 20_000,
}
"""When a link to PostgreSQL that has gone silent is given up (libpq, Parameter Key Words; seconds, the last one ms).

A partition, or a firewall that forgot the connection, sends no reset: whoever waits for an answer would wait as long
as the system's own keepalive does, two hours. Now it is 20 s, as long as a leader's lease, after which another may lead
anyway: 10 s of silence and two probes, or 20 s in which nothing that was sent is acknowledged. A statement that merely
takes long is not cut off: the other side's kernel answers the probes.
"""

_APPEND_LOCK = 0x6D7073796E63  # "mpsync": serialises ledger appends on PostgreSQL


class Store:
    """A database and the rules for talking to it.

    `write()` is one transaction that no other writer can interleave with on SQLite
    (BEGIN IMMEDIATE) and READ COMMITTED on PostgreSQL, where read-modify-writes must be
    compare-and-set. `read()` sees one snapshot on SQLite and never blocks a writer.
    Neither may stay open across a network call.
    """

    def __init__(
        self,
        database_url: str,
        *,
        busy_timeout_seconds: float = BUSY_TIMEOUT_SECONDS,
        pragmas: Mapping[str, str] | None = None,
    ) -> None:
        """Open a database; `pragmas` are SQLite's, and replace ours of the same name."""
        self.url: URL = make_url(database_url)
        self._numbers = itertools.count(1)
        self.writes = 0
        """Another number after every transaction that wrote, or may have written, through this object."""
        self.engine: Engine = _engine(self.url, busy_timeout_seconds, {**_PRAGMAS, **(pragmas or {})})

    @property
    def is_sqlite(self) -> bool:
        """Whether this is SQLite: one file, one writer, one daemon."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read-only look at the database."""
        with self.engine.connect() as conn:
            yield conn
            conn.rollback()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that commits on leaving the block and rolls back on an exception."""
        try:
            with self.engine.connect().execution_options(mpsync_write=True) as conn, conn.begin():
                yield conn
        finally:
            self.writes = next(self._numbers)

    def clock_for(self, machine: Clock) -> Clock:
        """Return the clock that leases, due times and heartbeats go by: on PostgreSQL the server's.

        On SQLite all who share the file share the machine, and its clock. A clock of a world of its own (tests, the
        simulation) is returned as it is; one that names a `server` there is set by that.
        """
        if self.is_sqlite or isinstance(machine, SharedClock) or stands_for_itself(machine):
            return machine
        shared = SharedClock(machine)
        with self.read() as conn:
            self.time(conn, shared)
        return shared

    def time(self, conn: Connection, clock: Clock) -> datetime:
        """Return the time that leases go by: the server's where the clock is its, which is then set by it."""
        if not isinstance(clock, SharedClock):
            return clock.now()
        asked = clock.monotonic()
        if clock.server is not None:
            server = clock.server.now()
        else:
            server = conn.execute(text("select clock_timestamp()")).scalar_one().astimezone(UTC)
        clock.set(server, asked=asked, answered=clock.monotonic())
        return server

    def close(self) -> None:
        """Give every connection back to the database."""
        self.engine.dispose()


def shown(url: URL) -> str:
    """Return a database's address for people's eyes: without any password, wherever it stands."""
    secret = [name for name in url.query if "password" in name.lower()]
    return url.difference_update_query(secret).render_as_string(hide_password=True)


def lock_appends(conn: Connection) -> None:
    """Make this transaction the only one that appends to the ledger until it ends.

    SQLite's writer lock does it already; PostgreSQL needs it, or id order would not be commit order.
    """
    if conn.dialect.name == "postgresql":
        conn.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _APPEND_LOCK})


_PRAGMAS = {
    "synchronous": "FULL",  # NORMAL loses acknowledged commits on a power cut
    "foreign_keys": "ON",
    "temp_store": "MEMORY",
    "cache_size": "-8000",  # KiB: a batch of a backfill touches every page of the index by item
    "wal_autocheckpoint": "4000",  # pages (16 MB): such a page is copied home once in several commits
}


def _engine(url: URL, busy_timeout_seconds: float, pragmas: Mapping[str, str]) -> Engine:
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url, busy_timeout_seconds, pragmas)
    return create_engine(
        url,
        pool_size=10,
        max_overflow=10,
        pool_pre_ping=True,
        connect_args=_postgresql_arguments(url, busy_timeout_seconds),
    )


def _postgresql_arguments(url: URL, busy_timeout_seconds: float) -> dict[str, Any]:
    """Return libpq's connection parameters; of those that are about the link, what DATABASE_URL says itself holds."""
    link = {"connect_timeout": CONNECT_TIMEOUT_SECONDS, **SILENT_LINK}
    return {name: value for name, value in link.items() if name not in url.query} | {
        "application_name": APPLICATION_NAME,
        "client_encoding": "UTF8",  # whatever the database's or PGCLIENTENCODING: rows of COPY are written in it
        "options": (
            f"-c lock_timeout={int(busy_timeout_seconds * 1000)} -c statement_timeout=120000"
            f" -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_SECONDS * 1000} -c timezone=UTC"
        ),
    }


def _sqlite_engine(url: URL, busy_timeout_seconds: float, pragmas: Mapping[str, str]) -> Engine:
    if url.database and url.database != ":memory:":
        _create_private(Path(url.database))
    engine = create_engine(url, connect_args={"timeout": busy_timeout_seconds, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def configure(dbapi_connection: Any, _record: Any) -> None:
        dbapi_connection.isolation_level = None  # we say BEGIN ourselves: the driver's own timing loses updates
        cursor = dbapi_connection.cursor()
        _enter_wal(cursor, busy_timeout_seconds)
        for name, value in pragmas.items():
            cursor.execute(f"PRAGMA {name}={value}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(conn: Connection) -> None:
        write = conn.get_execution_options().get("mpsync_write", False)
        conn.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _enter_wal(cursor: sqlite3.Cursor, busy_timeout_seconds: float) -> None:
    """Switch a new file to WAL; the mode stays with the file.

    Waits for other processes by itself: of several that open a new file at once, SQLite tells all but one
    "database is locked" without the busy timeout that it grants everywhere else.
    """
    clock = SystemClock()
    give_up_at = clock.monotonic() + busy_timeout_seconds
    while True:
        try:
            if cursor.execute("PRAGMA page_count").fetchone()[0] == 0:
                cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")  # settled at birth: what is pruned can be given back
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            no_room = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
            if no_room or clock.monotonic() > give_up_at:  # room is made by a person, who must be told at once
                raise
            clock.sleep(0.02)


def _create_private(path: Path) -> None:
    """Create the file readable by its owner only; SQLite gives its WAL the same mode."""
    if not path.exists() and path.parent.is_dir():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
