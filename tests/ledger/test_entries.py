from __future__ import annotations

import threading
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from sqlalchemy.exc import DBAPIError

from sync.database.engine import Store
from sync.ledger.books import Books
from sync.ledger.entries import entries_after, event_entries, last_seq
from sync.ledger.rules import NewEntry, new_entry
from sync.values.policy import Policy

NOW = datetime(2024, 3, 15, 12, 0, 0, 123456, tzinfo=UTC)


def _entry(key: str, quantity: str = "2.5", **fields: object) -> NewEntry:
    values = {
        "item": "51503",
        "warehouse": "Warehouse #1",
        "quantity": Decimal(quantity),
        "unit_cost": Decimal("11.3"),
        "occurred_on": date(2024, 3, 15),
    }
    return new_entry("mpw", "receipt", key, key, **values | fields)  # type: ignore[arg-type]


def _append(store: Store, *entries: NewEntry, lock_date: date | None = None) -> list[int]:
    with store.write() as conn:
        return Books(conn, now=NOW, policy=Policy(lock_date=lock_date)).append(entries)


def test_entries_come_back_exactly_as_they_were_appended(store: Store) -> None:
    ids = _append(
        store,
        _entry("a", "0.000001", unit_cost=Decimal("9223372036854.775807"), occurred_at=NOW),
        _entry("b", "-3", warehouse=None),
    )

    with store.read() as conn:
        first, second = entries_after(conn, 0, 10)
    assert ids == [first.id, second.id]
    assert (first.quantity, first.unit_cost) == (Decimal("0.000001"), Decimal("9223372036854.775807"))
    assert first.amount == Decimal("9223372.036855")
    assert (first.occurred_at, first.recorded_at) == (NOW, NOW)
    assert (first.occurred_on, first.posted_on, first.entry_type) == (date(2024, 3, 15), date(2024, 3, 15), "original")
    assert (second.quantity, second.warehouse, second.occurred_at) == (-3, None, None)


def test_a_reversal_negates_its_original_and_belongs_to_the_same_event(store: Store) -> None:
    (original,) = _append(store, _entry("a"))

    with store.write() as conn:
        (reversal,) = Books(conn, now=NOW, policy=Policy(lock_date=date(2024, 3, 31))).reverse([original])
        first, second = event_entries(conn, "receipt", "a")

    assert (second.id, second.reverses_id, second.entry_type) == (reversal, original, "reversal")
    assert (first.quantity + second.quantity, first.amount + second.amount) == (0, 0)
    assert (second.occurred_on, second.posted_on) == (date(2024, 3, 15), date(2024, 4, 1))


def test_an_entry_is_reversed_once(store: Store) -> None:
    (original,) = _append(store, _entry("a"))
    with store.write() as conn:
        Books(conn, now=NOW).reverse([original])

    with pytest.raises(DBAPIError), store.write() as conn:
        Books(conn, now=NOW).reverse([original])

    with store.read() as conn:
        assert last_seq(conn) == original + 1 or len(entries_after(conn, 0, 10)) == 2


def test_entries_are_never_changed_or_deleted(store: Store) -> None:
    _append(store, _entry("a"))

    for statement in ("update ledger_entries set quantity = 1", "delete from ledger_entries"):
        with pytest.raises(DBAPIError), store.write() as conn:
            conn.exec_driver_sql(statement)


def test_a_float_is_refused_before_it_reaches_the_ledger(store: Store) -> None:
    entry = NewEntry("mpw", "receipt", "a", "1", "i", None, 1.5, Decimal(1), Decimal(1), date(2024, 3, 15))  # type: ignore[arg-type]

    with pytest.raises(ValueError, match="not a number"):
        _append(store, entry)


def test_ids_follow_commit_order_however_many_append_at_once(store: Store) -> None:
    def work(number: int) -> None:
        for n in range(10):
            _append(store, *(_entry(f"{number}-{n}-{i}") for i in range(3)))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with store.read() as conn:
        rows = entries_after(conn, 0, 1000)
    assert len(rows) == 120
    by_batch = [row.api_key.rsplit("-", 1)[0] for row in rows]
    assert all(len(set(by_batch[n : n + 3])) == 1 for n in range(0, 120, 3))


def test_a_cursor_reads_on_from_where_it_was(store: Store) -> None:
    ids = _append(store, *(_entry(str(n)) for n in range(5)))

    with store.read() as conn:
        assert [row.id for row in entries_after(conn, ids[1], 2)] == ids[2:4]
        assert last_seq(conn) == ids[-1]


def test_nothing_appended_is_nothing_written(store: Store) -> None:
    assert _append(store) == []
    with store.write() as conn:
        assert Books(conn, now=NOW).reverse([]) == []
        assert last_seq(conn) == 0
