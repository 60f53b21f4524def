"""The fixtures themselves: what other tests take for granted."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine, inspect, text

from tests.clocks import START, FakeClock


@pytest.mark.parametrize("round_", [1, 2])
def test_what_one_test_writes_no_other_test_sees(empty_database_url: str, round_: int) -> None:
    engine = create_engine(empty_database_url)

    with engine.begin() as connection:
        before = inspect(connection).get_table_names()
        connection.execute(text("create table left_over (id integer primary key)"))
    engine.dispose()

    assert before == []


def test_a_migrated_database_has_tables_and_no_event(database_url: str) -> None:
    engine = create_engine(database_url)

    with engine.connect() as connection:
        tables = inspect(connection).get_table_names()
        entries = connection.execute(text("select count(*) from ledger_entries")).scalar_one()
    engine.dispose()

    assert {"documents", "ledger_entries", "inbox"} <= set(tables)
    assert entries == 0


def test_two_connections_to_postgresql_see_each_others_advisory_locks(empty_postgres_url: str) -> None:
    engine = create_engine(empty_postgres_url)

    with engine.connect() as first, engine.connect() as second:
        taken = first.execute(text("select pg_try_advisory_lock(1)")).scalar_one()
        refused = second.execute(text("select pg_try_advisory_lock(1)")).scalar_one()
    engine.dispose()

    assert (taken, refused) == (True, False)


def test_the_fake_clock_stands_still_until_it_is_moved() -> None:
    clock = FakeClock()

    still = (clock.now(), clock.now())
    moved = clock.advance(minutes=5)

    assert still == (START, START)
    assert moved == clock.now() == START + timedelta(minutes=5)


def test_sleeping_moves_the_fake_clock_and_never_waits() -> None:
    clock = FakeClock()
    before = clock.monotonic()

    woken = clock.sleep(3600)

    assert not woken
    assert clock.monotonic() - before == 3600
    assert clock.slept == [3600]


def test_a_set_event_ends_a_sleep_before_it_begins() -> None:
    clock, wake = FakeClock(), threading.Event()
    wake.set()

    assert clock.sleep(3600, wake)
    assert clock.now() == START


def test_the_fake_clock_refuses_a_naive_instant() -> None:
    with pytest.raises(ValueError, match="aware"):
        FakeClock(datetime(2024, 1, 1))

    assert FakeClock(datetime(2024, 1, 1, tzinfo=UTC)).now().tzinfo is UTC
