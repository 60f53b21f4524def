"""Small truths that outlive a run."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select

from sync.database.engine import Store
from sync.database.facts import FIRST_RUN_AT, fact, forget_fact, set_fact_once
from sync.database.schema import facts
from sync.ledger.books import Books
from tests.clocks import START


def test_a_fact_that_was_never_set_is_none(store: Store) -> None:
    with store.read() as conn:
        assert fact(conn, "unheard of") is None


def test_a_fact_takes_its_latest_value_and_time(store: Store) -> None:
    with store.write() as conn:
        Books(conn, now=START).note_fact("f", "one")
        Books(conn, now=START).note_fact("g", "other")
    with store.write() as conn:
        Books(conn, now=START + timedelta(hours=1)).note_fact("f", "two")

    with store.read() as conn:
        rows = conn.execute(select(facts.c.name, facts.c.value, facts.c.updated_at).order_by(facts.c.name)).all()
    assert [tuple(row) for row in rows] == [("f", "two", START + timedelta(hours=1)), ("g", "other", START)]


def test_the_first_run_stays_the_first(store: Store) -> None:
    with store.write() as conn:
        first = set_fact_once(conn, FIRST_RUN_AT, "2024-03-15", now=START)
    with store.write() as conn:
        second = set_fact_once(conn, FIRST_RUN_AT, "2025-01-01", now=START)

    assert (first, second) == ("2024-03-15", "2024-03-15")


def test_a_forgotten_fact_is_gone_and_may_be_set_again(store: Store) -> None:
    with store.write() as conn:
        Books(conn, now=START).note_fact("f", "one")
        forget_fact(conn, "f")
        forget_fact(conn, "never set")

        assert fact(conn, "f") is None
        assert set_fact_once(conn, "f", "two", now=START) == "two"
