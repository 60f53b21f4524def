"""docs/sql.md is true: every query runs on both databases and finds what it is about; every column is explained."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from sync.database.engine import Store
from sync.database.types import instant_text
from tests.views.story import tell
from tests.views.test_columns import PROMISED, columns

DOC = (Path(__file__).parents[2] / "docs" / "sql.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sql\n(.*?)```", DOC, flags=re.DOTALL)
QUERIES = [block for block in BLOCKS if block.startswith("select")]


@pytest.fixture
def told(store: Store) -> Store:
    with store.write() as conn:
        tell(conn)
    return store


def _plain(value: Any) -> Any:
    """Return a value as it would be on SQLite."""
    if isinstance(value, datetime):
        return instant_text(value)
    if isinstance(value, date):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value


def _answers(store: Store) -> list[list[tuple[Any, ...]]]:
    with store.read() as conn:
        return [[tuple(map(_plain, row)) for row in conn.exec_driver_sql(query)] for query in QUERIES]


def test_every_question_has_an_answer(told: Store) -> None:
    for query, rows in zip(QUERIES, _answers(told), strict=True):
        assert rows, query


def test_both_databases_answer_alike(sqlite_url: str, postgres_url: str) -> None:
    answers = []
    for url in (sqlite_url, postgres_url):
        store = Store(url)
        with store.write() as conn:
            tell(conn)
        answers.append(_answers(store))
        store.close()

    assert answers[0] == answers[1]
    assert len(answers[0]) >= 15


def test_every_block_is_a_query_or_the_erps_insert() -> None:
    assert [block.split("(")[0] for block in BLOCKS if block not in QUERIES] == ["insert into inbox "]


def test_the_erps_insert_lands_as_received(told: Store) -> None:
    (statement,) = [block for block in BLOCKS if block not in QUERIES]

    with told.write() as conn:
        conn.exec_driver_sql(statement)

    with told.read() as conn:
        row = conn.execute(text("select state, error, received_at from v_inbox where api_key = 'erp-4714'")).one()
    assert (row.state, row.error) == ("received", None)
    assert row.received_at is not None


def test_the_erps_role_may_insert_and_read_the_answer_and_nothing_else(postgres_url: str) -> None:
    (grants,) = re.findall(r"```postgresql\n(.*?)```", DOC, flags=re.DOTALL)
    (statement,) = [block for block in BLOCKS if block not in QUERIES]
    store = Store(postgres_url)

    with store.engine.connect() as conn:  # never committed: roles belong to the whole server
        conn.exec_driver_sql(grants)
        conn.exec_driver_sql("set local role erp")
        conn.exec_driver_sql(statement)
        answer = conn.exec_driver_sql("select api_key, state from v_inbox").all()
        for forbidden in ("delete from inbox", "update inbox set state = 'accepted'", "select * from outbox"):
            with pytest.raises(ProgrammingError, match="permission denied"), conn.begin_nested():
                conn.exec_driver_sql(forbidden)
        conn.rollback()
    store.close()

    assert [tuple(row) for row in answer] == [("erp-4714", "received")]


def test_what_is_unmatched_leaves_out_what_mpw_has(told: Store) -> None:
    (query,) = [query for query in QUERIES if "matched = 0" in query]

    with told.read() as conn:
        found = {(row.api_key, row.push) for row in conn.exec_driver_sql(query)}

    assert found == {("mps-def-1", "held"), ("erp-4711", "unknown")}


@pytest.mark.parametrize("view", PROMISED)
def test_every_column_of_a_view_is_explained_and_no_other(sqlite_store: Store, view: str) -> None:
    section = DOC.split(f"### {view}\n")[1].split("\n### ")[0]
    first_cells = re.findall(r"^\| (`.*?) \|", section, flags=re.MULTILINE)

    explained = [name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)]

    assert sorted(explained) == sorted(columns(sqlite_store, view))
