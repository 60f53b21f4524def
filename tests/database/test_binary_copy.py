"""PostgreSQL reads back what we wrote in the binary format of its COPY."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import make_url, text

from sync.database.binary_copy import ROWS_A_PIECE, copy_rows, field, fields, numbers, rows_of, texts
from sync.database.engine import Store
from tests.databases import url_text

TEXTS = ["", "plain", "tab\tline\nback\\slash \\N", "ä 漢 🔧", "x" * 70_000]
NUMBERS = [0, 1, -1, 2**63 - 1, -(2**63)]
DATES = [date(2000, 1, 1), date(1999, 12, 31), date(1, 1, 1), date(9999, 12, 31), date(2024, 2, 29)]
INSTANTS = [
    datetime(2000, 1, 1, tzinfo=UTC),
    datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2024, 3, 31, 2, 30, 0, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
]
TABLE = (
    "create temp table copied (id bigint, kind text, seen timestamptz, note text, n bigint, day date, at timestamptz)"
)


@pytest.fixture
def opened(postgres_url: str) -> Any:
    store = Store(postgres_url)
    yield store
    store.close()


def test_every_kind_of_value_comes_back_and_what_is_missing_is_null(opened: Store) -> None:
    columns = [fields([*TEXTS, None]), fields([*NUMBERS, None]), fields([*DATES, None]), fields([*INSTANTS, None])]
    same = {"kind": "receipt", "seen": INSTANTS[2]}

    with opened.write() as conn:
        conn.execute(text(TABLE))
        copy_rows(conn, "copied", ("note", "n", "day", "at"), same, "id", range(7, 13), rows_of(columns))
        found = [tuple(row) for row in conn.execute(text("select * from copied order by id"))]

    assert [row[0] for row in found] == [7, 8, 9, 10, 11, 12]
    assert {row[1:3] for row in found} == {("receipt", INSTANTS[2])}
    assert [row[3:] for row in found] == [
        *zip(TEXTS, NUMBERS, DATES, INSTANTS, strict=True),
        (None, None, None, None),
    ]


def test_texts_arrive_as_they_are_whatever_encoding_the_address_or_the_environment_asks_for(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    for url in (postgres_url, url_text(make_url(postgres_url).update_query_dict({"client_encoding": "latin1"}))):
        store = Store(url)
        try:
            with store.write() as conn:
                conn.execute(text(TABLE))
                copy_rows(conn, "copied", ("note",), {"kind": "x"}, "id", [1], rows_of([texts(["Ölfilter 漢"])]))
                assert conn.execute(text("select note from copied")).scalar_one() == "Ölfilter 漢"
        finally:
            store.close()


@pytest.mark.parametrize("count", [0, 1, ROWS_A_PIECE, ROWS_A_PIECE * 2 + 1])
def test_any_number_of_rows_arrives_in_order(opened: Store, count: int) -> None:
    rows = rows_of([texts([f"note {n}" for n in range(count)]), numbers(list(range(count)))])

    with opened.write() as conn:
        conn.execute(text(TABLE))
        copy_rows(conn, "copied", ("note", "n"), {"kind": "x"}, "id", range(count), rows)
        found = [tuple(row) for row in conn.execute(text("select id, note, n from copied order by id"))]

    assert found == [(n, f"note {n}", n) for n in range(count)]


def test_the_short_ways_give_what_the_long_one_does() -> None:
    assert texts(TEXTS) == fields(TEXTS) == [field(value) for value in TEXTS]
    assert numbers(NUMBERS) == fields(NUMBERS) == [field(value) for value in NUMBERS]


def test_a_naive_instant_is_refused() -> None:
    with pytest.raises(TypeError):
        field(datetime(2024, 3, 15, 12))
