"""The database itself refuses to change what the books were told."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from sync.database.engine import Store

COLUMNS = "id, system, kind, api_key, remote_id, entry_type, reverses_id, item, quantity, unit_cost, amount"
ENTRY = f"into ledger_entries ({COLUMNS}, occurred_on, posted_on, recorded_at)"
DATES = "'2024-03-14', '2024-03-14', '2024-03-14T08:00:00.000000Z'"
ORIGINAL = f"{ENTRY} values (1, 'mpw', 'receipt', 'k', '7', 'original', null, 'P', 2000000, 5, 10, {DATES})"
REVERSAL = f"{ENTRY} values (2, 'mpw', 'receipt', 'k', '7', 'reversal', 1, 'P', -2000000, 5, -10, {DATES})"


@pytest.fixture
def ledger(store: Store) -> Store:
    with store.write() as conn:
        conn.exec_driver_sql(f"insert {ORIGINAL}")
        conn.exec_driver_sql(f"insert {REVERSAL}")
    return store


def _refused(ledger: Store, statement: str) -> str:
    with pytest.raises(IntegrityError) as raised, ledger.write() as conn:
        conn.exec_driver_sql(statement)
    return str(raised.value.orig)


def _entries(ledger: Store) -> list[tuple[object, ...]]:
    with ledger.read() as conn:
        return [tuple(row) for row in conn.execute(text("select id, item, quantity from ledger_entries order by id"))]


@pytest.mark.parametrize(
    "statement",
    [
        "update ledger_entries set quantity = 0",
        "update ledger_entries set item = 'Q' where id = 1",
        "delete from ledger_entries",
        "delete from ledger_entries where id = 2",
    ],
)
def test_an_entry_can_be_neither_changed_nor_removed(ledger: Store, statement: str) -> None:
    message = _refused(ledger, statement)

    assert "append-only" in message
    assert "reversed by a new one" in message
    assert _entries(ledger) == [(1, "P", 2000000), (2, "P", -2000000)]


def test_the_ledger_cannot_be_truncated(ledger: Store) -> None:
    if ledger.is_sqlite:
        pytest.skip("SQLite has no TRUNCATE")

    assert "append-only" in _refused(ledger, "truncate ledger_entries cascade")
    assert len(_entries(ledger)) == 2


@pytest.mark.parametrize("entry", [ORIGINAL, REVERSAL, REVERSAL.replace("(2,", "(3,")])
def test_replacing_is_no_way_around_it(ledger: Store, entry: str) -> None:
    if not ledger.is_sqlite:
        pytest.skip("PostgreSQL has no INSERT OR REPLACE")

    assert "append-only" in _refused(ledger, f"insert or replace {entry.replace('P', 'Q')}")
    assert _entries(ledger) == [(1, "P", 2000000), (2, "P", -2000000)]


def test_an_upsert_does_not_overwrite_an_entry(ledger: Store) -> None:
    _refused(ledger, f"insert {ORIGINAL} on conflict (id) do update set item = 'Q'")

    assert _entries(ledger) == [(1, "P", 2000000), (2, "P", -2000000)]


def test_an_entry_is_reversed_once_at_most(ledger: Store) -> None:
    _refused(ledger, f"insert {REVERSAL.replace('(2,', '(3,')}")

    assert len(_entries(ledger)) == 2
