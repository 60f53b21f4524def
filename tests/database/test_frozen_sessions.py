"""A session whose client froze in mid-transaction keeps its locks from nobody for long."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import make_url

from sync.database.engine import Store
from sync.database.frozen_sessions import end_stuck_sessions

IDLE_SECONDS = 0.3
"""What the server itself is told to wait for such a client at most."""


@contextmanager
def session(postgres_url: str, application_name: str = "mpsync") -> Iterator[psycopg.Connection]:
    conn = psycopg.connect(
        make_url(postgres_url).set(drivername="postgresql").render_as_string(hide_password=False),
        application_name=application_name,
        options=f"-c idle_in_transaction_session_timeout={int(IDLE_SECONDS * 1000)}",
        autocommit=True,
    )
    try:
        yield conn
    finally:
        conn.close()


def freeze_in_a_pipeline(conn: psycopg.Connection) -> None:
    """Leave the server as psycopg's executemany does for a moment: a Flush after the Sync, and then nothing more."""
    conn.pgconn.enter_pipeline_mode()
    conn.pgconn.send_query_params(b"begin", None)
    conn.pgconn.pipeline_sync()
    conn.pgconn.send_flush_request()
    conn.pgconn.flush()


def sessions(store: Store) -> set[int]:
    with store.read() as conn:
        rows = conn.exec_driver_sql(
            "select pid from pg_stat_activity where datname = current_database() and xact_start is not null"
            " and pid <> pg_backend_pid()"
        )
        return set(rows.scalars())


@pytest.fixture
def store(postgres_url: str) -> Iterator[Store]:
    opened = Store(postgres_url)
    yield opened
    opened.close()


def test_a_client_that_froze_in_a_pipeline_is_parted_from_its_transaction(store: Store, postgres_url: str) -> None:
    with session(postgres_url) as frozen:
        freeze_in_a_pipeline(frozen)
        time.sleep(IDLE_SECONDS * 3)
        before = sessions(store)

        ended = end_stuck_sessions(store, seconds=IDLE_SECONDS)

        assert before == {frozen.info.backend_pid}  # else the server's own timer is enough, and this is not needed
        assert [one.pid for one in ended] == [frozen.info.backend_pid]
        assert ended[0].seconds >= IDLE_SECONDS
        for _ in range(100):
            if not sessions(store):
                break
            time.sleep(0.05)
        assert sessions(store) == set()
        assert end_stuck_sessions(store, seconds=IDLE_SECONDS) == []


def test_nobody_elses_session_is_ended_and_none_that_is_at_work_or_has_only_just_begun_to_wait(
    store: Store, postgres_url: str
) -> None:
    with session(postgres_url, "somebody") as other, session(postgres_url) as idle, session(postgres_url) as working:
        freeze_in_a_pipeline(other)
        idle.execute("select 1")
        working.pgconn.send_query(b"begin; select pg_sleep(1.5)")
        time.sleep(IDLE_SECONDS * 2)
        with session(postgres_url) as young:
            freeze_in_a_pipeline(young)

            assert end_stuck_sessions(store, seconds=IDLE_SECONDS) == []
            assert idle.execute("select 2").fetchone() == (2,)
            assert sessions(store) == {one.info.backend_pid for one in (other, working, young)}


def test_on_sqlite_there_is_nothing_to_end(sqlite_store: Store) -> None:
    assert end_stuck_sessions(sqlite_store, seconds=0) == []
