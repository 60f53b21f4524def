"""What is recorded and not pushed: an import's doing ends by itself, a person's word stands."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import select

from sync.database.engine import Store
from sync.database.schema import parked, unpushed
from sync.ledger.books import Books
from sync.ledger.movement_lines import KEPT_BY, EventKey, hold_from_push, let_push

NOW = datetime(2024, 3, 15, 12, tzinfo=UTC)


def test_what_a_person_wants_left_is_not_let_go_by_a_later_import(store: Store) -> None:
    imported, left = EventKey("receipt", "mps-1-1"), EventKey("receipt", "mps-2-1")
    with store.write() as conn:
        hold_from_push(conn, [imported], why="imported without --push")
        hold_from_push(conn, [left], why=f"{KEPT_BY}ann: keyed in by hand")

        assert let_push(Books(conn, now=NOW), [imported, left], reason="imported with --push") == 1

    with store.read() as conn:
        assert list(conn.execute(select(unpushed.c.api_key)).scalars()) == [left.api_key]
        assert list(conn.execute(select(parked.c.api_key)).scalars()) == [imported.api_key]
