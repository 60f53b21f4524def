"""Rows that were worked out ahead of their transaction are stored as they were given."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from psycopg.errors import UniqueViolation
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from sync.database.engine import Store
from sync.database.schema import documents, ledger_entries
from sync.ledger import documents as documents_store
from sync.ledger.books import Books
from sync.ledger.documents import documents_by_remote_id
from sync.ledger.entries import next_ids
from sync.poll.days.prepared import ROWS_A_STATEMENT, NewRows, Pack, append_packs, pack

NOW = datetime(2024, 3, 15, 12, 0, 0, 5, tzinfo=UTC)
DAY = date(2024, 3, 15)
ODD = ("plain", "a\tb", "c\nd", "e\rf", "\\", "\\N", "\\.", "' \" % %s {x} ?1 ä 漢 🔧", "", "\t", "NULL")


def rows(count: int, *, start: int = 0, raw: str = "{}") -> NewRows:
    numbers = range(start, start + count)
    return NewRows(
        api_keys=[f"mpw-r-{n}" for n in numbers],
        remote_ids=[str(n) for n in numbers],
        items=[f"item {n % 3}" for n in numbers],
        warehouses=["Warehouse #1"] * count,
        quantities=[-n for n in numbers],
        unit_costs=[2**62 - n for n in numbers],
        amounts=[n * 7 for n in numbers],
        occurred_on=[date(2024, 3, 1 + n % 20) for n in numbers],
        days=[DAY] * count,
        raws=[raw] * count,
        digests=[f"d{n}" for n in numbers],
        remaining=[None if n % 2 else n for n in numbers],
    )


def packed(store: Store, given: NewRows, lock_date: date | None = None) -> Pack:
    return pack(given, lock_date=lock_date, sqlite=store.is_sqlite)


def append(store: Store, *packs: Pack) -> None:
    with store.write() as conn:
        append_packs(Books(conn, now=NOW, run_id=7), "mpw", "receipt", "mpw.receipts", packs)


def stored(store: Store) -> list[tuple[Any, Any]]:
    """Return entries with their documents, in commit order."""
    with store.read() as conn:
        entries = list(conn.execute(select(ledger_entries).order_by(ledger_entries.c.id)))
        of_entry = {row.entry_id: row for row in conn.execute(select(documents))}
    assert set(of_entry) == {entry.id for entry in entries}
    return [(entry, of_entry[entry.id]) for entry in entries]


@pytest.mark.parametrize("counts", [(1,), (3, 0, 2), (ROWS_A_STATEMENT * 2 + 203, 7)])
def test_every_value_comes_back_beside_the_document_of_its_own_row(store: Store, counts: tuple[int, ...]) -> None:
    given = [rows(count, start=10_000 * n) for n, count in enumerate(counts)]

    append(store, *(packed(store, one) for one in given))

    found = stored(store)
    expected = [
        (key, id_, item, warehouse, quantity, cost, amount, occurred, day, raw, digest, left)
        for one in given
        for key, id_, item, warehouse, quantity, cost, amount, occurred, day, raw, digest, left in zip(
            one.api_keys, one.remote_ids, one.items, one.warehouses, one.quantities, one.unit_costs, one.amounts,
            one.occurred_on, one.days, one.raws, one.digests, one.remaining, strict=True,
        )
    ]  # fmt: skip
    assert [
        (
            entry.api_key, entry.remote_id, entry.item, entry.warehouse, int(entry.quantity.scaleb(6)),
            int(entry.unit_cost.scaleb(6)), int(entry.amount.scaleb(6)), entry.occurred_on, document.day, document.raw,
            document.digest, None if document.remaining is None else int(document.remaining.scaleb(6)),
        )
        for entry, document in found
    ] == expected  # fmt: skip
    for entry, document in found:
        assert (entry.system, entry.kind, entry.entry_type, entry.reverses_id) == ("mpw", "receipt", "original", None)
        assert (entry.occurred_at, entry.posted_on, entry.recorded_at, entry.run_id) == (
            None,
            entry.occurred_on,
            NOW,
            7,
        )
        assert (document.system, document.type, document.source) == ("mpw", "receipt", "mpw.receipts")
        assert (document.api_key, document.item, document.remote_id) == (entry.api_key, entry.item, entry.remote_id)
        assert (document.first_seen_at, document.last_seen_at) == (NOW, NOW)
        assert (document.missing_since, document.voided_at) == (None, None)


@pytest.mark.parametrize("odd", ODD)
def test_a_text_comes_back_to_the_letter_whatever_is_in_it(store: Store, odd: str) -> None:
    append(store, packed(store, rows(2, raw=odd)))

    assert [document.raw for _, document in stored(store)] == [odd, odd]


def test_ids_go_on_from_what_the_ledger_has(store: Store) -> None:
    append(store, packed(store, rows(3)))
    append(store, packed(store, rows(ROWS_A_STATEMENT + 1, start=100)))

    found = stored(store)
    assert [entry.remote_id for entry, _ in found][:5] == ["0", "1", "2", "100", "101"]
    assert [entry.id for entry, _ in found] == sorted({entry.id for entry, _ in found})


def test_what_occurred_in_a_closed_period_is_posted_in_the_open_one(store: Store) -> None:
    append(store, packed(store, rows(20), lock_date=date(2024, 3, 10)))

    posted = {entry.occurred_on: entry.posted_on for entry, _ in stored(store)}
    assert posted[date(2024, 3, 10)] == date(2024, 3, 11)
    assert posted[date(2024, 3, 2)] == date(2024, 3, 11)
    assert posted[date(2024, 3, 11)] == date(2024, 3, 11)
    assert posted[date(2024, 3, 15)] == date(2024, 3, 15)


@pytest.mark.parametrize("count", [2, ROWS_A_STATEMENT + 9])
def test_a_row_that_is_known_already_takes_the_others_back_with_it(store: Store, count: int) -> None:
    append(store, packed(store, rows(1, start=count)))

    with pytest.raises((IntegrityError, UniqueViolation)):
        append(store, packed(store, rows(count, start=1)))

    assert [entry.remote_id for entry, _ in stored(store)] == [str(count)]


def test_no_rows_are_no_statement(store: Store) -> None:
    append(store)

    assert stored(store) == []


def test_ids_rise_and_none_is_given_twice(store: Store) -> None:
    with store.write() as conn:
        first = next_ids(conn, 3)
    append(store, packed(store, rows(5)))
    with store.write() as conn:
        after = next_ids(conn, 2)

    assert list(first) == sorted(set(first))
    assert list(after) == sorted(set(after))
    assert after[0] > max(entry.id for entry, _ in stored(store))


@pytest.mark.parametrize("asked", [["7"], ["7", "12345"], ["-7"], ["x7"], ["7", "x7", "12345", "-7", "99"], ["٧", "7"]])
@pytest.mark.parametrize("many", [1, documents_store.MANY])
def test_a_known_row_is_found_among_ids_of_every_kind_and_length(
    store: Store, asked: list[str], many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents_store, "MANY", many)
    known = ["7", "12345", "-7", "x7"]
    given = rows(len(known))
    append(store, packed(store, replace(given, remote_ids=known)))

    with store.read() as conn:
        found = documents_by_remote_id(conn, "mpw", "receipt", asked)
        other = documents_by_remote_id(conn, "mpw", "issuance", asked)
        none = documents_by_remote_id(conn, "mpw", "receipt", ["1", "8", "99999"])

    assert set(found) == set(asked) & set(known)
    assert (other, none) == ({}, {})
