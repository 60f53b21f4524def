"""The ERP's INSERT: three columns are enough, and nothing makes it fail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select

from sync.database.engine import Store
from sync.database.schema import inbox


def test_three_columns_are_enough(store: Store) -> None:
    with store.write() as conn:
        conn.exec_driver_sql("insert into inbox (document_type, api_key, payload) values ('receipt', 'erp-1', '{}')")

    with store.read() as conn:
        row = conn.execute(select(inbox)).one()
    assert (row.document_type, row.api_key, row.state, row.decided_at) == ("receipt", "erp-1", "received", None)
    assert row.received_at.tzinfo is not None
    assert abs(datetime.now(UTC) - row.received_at) < timedelta(minutes=1)


def test_the_databases_own_time_sorts_with_ours(store: Store) -> None:
    with store.write() as conn:
        conn.exec_driver_sql("insert into inbox (document_type, api_key, payload) values ('void', 'k', '{}')")

    now = datetime.now(UTC)
    with store.read() as conn:
        between = inbox.c.received_at.between(now - timedelta(minutes=1), now + timedelta(seconds=1))
        assert len(conn.execute(select(inbox.c.id).where(between)).all()) == 1
        assert conn.execute(select(inbox.c.id).where(inbox.c.received_at < now - timedelta(minutes=1))).all() == []


@pytest.mark.parametrize(
    "values",
    [
        {"document_type": "receipt", "api_key": "twice", "payload": "{}"},
        {"document_type": "no such type", "api_key": "", "payload": "not JSON"},
        {"document_type": None, "api_key": None, "payload": None},
    ],
)
def test_neither_duplicates_nor_nonsense_make_the_insert_fail(store: Store, values: dict[str, str | None]) -> None:
    with store.write() as conn:
        conn.execute(insert(inbox).values(**values))
        conn.execute(insert(inbox).values(**values))

    with store.read() as conn:
        assert len(set(conn.execute(select(inbox.c.id)).scalars())) == 2
