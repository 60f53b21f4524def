from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from psycopg.errors import UniqueViolation
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from sync.database.bulk import COPY_ROWS_MIN, insert_rows
from sync.database.engine import Store
from sync.database.schema import documents
from sync.ledger.documents import document, insert_documents

NOW = datetime(2024, 3, 15, 12, 0, 0, 5, tzinfo=UTC)
ODD = "a\tb\nc\\d\\N \\. ' \" % %s {x} ä 漢 🔧"


def _row(n: int) -> dict[str, object]:
    return {
        "system": "mpw",
        "type": "receipt",
        "remote_id": str(n),
        "source": "mpw.receipts",
        "first_seen_at": NOW,
        "day": date(2024, 3, 15) if n % 2 else None,
        "raw": ODD,
        "digest": "",
        "remaining": Decimal("0.25") if n % 3 else None,
        "last_seen_at": NOW,
    }


@pytest.mark.parametrize("count", [1, COPY_ROWS_MIN + 1])
def test_rows_come_back_as_they_went_in_whatever_their_number(store: Store, count: int) -> None:
    with store.write() as conn:
        insert_documents(conn, [_row(n) for n in range(count)])

    with store.read() as conn:
        rows = list(conn.execute(select(documents).order_by(documents.c.id)))
    assert len(rows) == count
    for n, row in enumerate(rows):
        assert {name: row._mapping[name] for name in _row(n)} == _row(n)
        assert (row.api_key, row.entry_id, row.voided_at) == (None, None, None)


@pytest.mark.parametrize("count", [2, COPY_ROWS_MIN + 1])
def test_one_row_that_breaks_a_rule_takes_the_others_back_with_it(store: Store, count: int) -> None:
    rows = [*(_row(n) for n in range(count - 1)), _row(0)]

    with pytest.raises((IntegrityError, UniqueViolation)), store.write() as conn:
        insert_documents(conn, rows)

    with store.read() as conn:
        assert document(conn, "mpw", "receipt", "0") is None


def test_a_number_with_more_digits_than_the_column_is_rounded_and_a_float_refused(store: Store) -> None:
    columns = list(_row(0))
    with store.write() as conn:
        insert_rows(conn, documents, columns, [list((_row(1) | {"remaining": Decimal("0.1234567")}).values())])
    with pytest.raises(ValueError, match="not a number"), store.write() as conn:
        insert_rows(conn, documents, columns, [list((_row(2) | {"remaining": 0.5}).values())])

    with store.read() as conn:
        assert conn.execute(select(documents.c.remaining)).scalars().all() == [Decimal("0.123457")]


def test_a_naive_instant_is_refused(store: Store) -> None:
    naive = NOW.replace(tzinfo=None)

    with pytest.raises(ValueError, match="naive"), store.write() as conn:
        insert_documents(conn, [_row(1) | {"first_seen_at": naive}])
