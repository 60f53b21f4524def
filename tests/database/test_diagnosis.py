"""What the database's refusals mean, for whoever runs the program."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from sync.database.diagnosis import trouble_of
from sync.database.engine import Store


def refused(url: str, sql: str = "select 1") -> SQLAlchemyError:
    store = Store(url, busy_timeout_seconds=0.05)
    try:
        with store.write() as conn, pytest.raises(SQLAlchemyError) as caught:
            conn.execute(text(sql))
        return caught.value
    except SQLAlchemyError as error:
        return error
    finally:
        store.close()


def test_a_lock_that_does_not_end_is_told_with_what_to_look_for(sqlite_url: str, sqlite_store: Store) -> None:
    with sqlite_store.write():
        trouble = trouble_of(refused(sqlite_url))

    assert trouble.what == "another program keeps the database locked (database is locked)"
    assert trouble.hint is not None
    assert "fuser" in trouble.hint
    assert "nothing is lost" in trouble.line


def test_a_file_that_is_no_database_is_not_taken_for_a_network_trouble(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_text("shopping: bolts\n" * 100)

    trouble = trouble_of(refused(f"sqlite:///{path}"))

    assert trouble.what.startswith("the file of DATABASE_URL is not a database")
    assert path.read_text().startswith("shopping")


def test_a_server_that_is_not_there_is_told_as_such(tmp_path: Path) -> None:
    trouble = trouble_of(refused(f"postgresql+psycopg://sync@/books?host={tmp_path}"))

    assert trouble.what.startswith("the database's server cannot be reached")
    assert trouble.hint is not None


def test_a_lock_on_postgresql_is_told_as_one_on_sqlite(postgres_url: str) -> None:
    holder = Store(postgres_url)
    with holder.write() as conn:
        conn.execute(text("lock table facts in exclusive mode"))
        trouble = trouble_of(refused(postgres_url, "update facts set value = 'x'"))
    holder.close()

    assert trouble.what.startswith("another program keeps the database locked")


def test_the_statement_and_its_values_are_not_told(sqlite_url: str) -> None:
    trouble = trouble_of(refused(sqlite_url, "select 'hunter2' from nowhere"))

    assert trouble.what == "no such table: nowhere"
    assert trouble.hint is None
    assert "hunter2" not in trouble.line


def test_an_error_without_a_code_keeps_its_own_words() -> None:
    assert trouble_of(OperationalError("select 1", {}, Exception("gone"))).line == "gone"


def test_a_plain_error_of_sqlite_is_understood_too() -> None:
    with pytest.raises(sqlite3.Error) as caught:
        sqlite3.connect("/nowhere/at/all.db")

    assert trouble_of(caught.value).what.startswith("the database's file cannot be opened")
