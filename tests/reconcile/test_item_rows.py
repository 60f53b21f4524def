"""The item map: whole or not at all, and what it changes is compared again."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import select

from sync.database.engine import Store
from sync.database.exceptions import open_exceptions
from sync.database.facts import fact
from sync.database.schema import item_states
from sync.ledger.books import Books
from sync.reconcile.item_map import ItemMapping, read_map
from sync.reconcile.item_rows import ITEMS_VERSION, external_id_for, import_items, load_map, resolve
from sync.values.subjects import Subject
from tests.clocks import FakeClock

A = ItemMapping("a", "P-1", ("W1", "W2"), Decimal(12))
B = ItemMapping("b", "P-1", ("W3",))


def replace_map(store: Store, clock: FakeClock, *mappings: ItemMapping) -> None:
    with store.write() as conn:
        import_items(Books(conn, now=clock.now()), mappings)


def test_a_map_comes_back_as_it_went_in(store: Store, clock: FakeClock) -> None:
    replace_map(store, clock, B, A)

    with store.read() as conn:
        assert list(load_map(conn).values()) == [A, B]
        assert load_map(conn, ["b", "x"]) == {"b": B}


def test_an_import_replaces_the_map_even_where_items_swap_their_parts(store: Store, clock: FakeClock) -> None:
    replace_map(store, clock, A, B)
    swapped = (ItemMapping("a", "P-1", ("W3",)), ItemMapping("b", "P-1", ("W2", "W1")))

    replace_map(store, clock, *swapped)

    with store.read() as conn:
        assert list(load_map(conn).values()) == list(swapped)


def test_what_changes_is_managed_and_dirty_and_what_does_not_is_left(store: Store, clock: FakeClock) -> None:
    replace_map(store, clock, A, B)
    with store.write() as conn:
        conn.execute(item_states.update().values(dirty_at=None))
        version = fact(conn, ITEMS_VERSION)

    replace_map(store, clock, A, ItemMapping("c", "P-2", ("W1",)))

    with store.read() as conn:
        states = {row.external_id: (row.managed, row.dirty_at is not None) for row in conn.execute(select(item_states))}
        assert states == {"a": (True, False), "b": (False, False), "c": (True, True)}
        assert fact(conn, ITEMS_VERSION) != version


def test_an_equal_map_changes_nothing(store: Store, clock: FakeClock) -> None:
    replace_map(store, clock, A)
    with store.write() as conn:
        conn.execute(item_states.update().values(dirty_at=None))
        before = fact(conn, ITEMS_VERSION)

        change = import_items(Books(conn, now=clock.now()), [A])

        assert (change.unchanged, change.added, change.changed, change.removed) == (1, set(), set(), set())
        assert fact(conn, ITEMS_VERSION) == before
        assert conn.execute(select(item_states.c.dirty_at)).scalar_one() is None


def test_an_item_is_resolved_by_the_map_else_by_its_own_name(store: Store, clock: FakeClock) -> None:
    replace_map(store, clock, A)

    with store.read() as conn:
        assert resolve(conn, "a", default_warehouse="W1") == A
        assert resolve(conn, "P-9", default_warehouse="W1") == ItemMapping("P-9", "P-9", ("W1",))
        assert resolve(conn, "P-9", default_warehouse=None) is None
        assert resolve(conn, "P-1", default_warehouse="W1") is None  # that part is item a's
        assert resolve(conn, "P-1", default_warehouse="W9") == ItemMapping("P-1", "P-1", ("W9",))


def test_a_part_in_a_warehouse_is_resolved_back_to_one_item(store: Store, clock: FakeClock) -> None:
    replace_map(store, clock, A)

    with store.read() as conn:
        assert external_id_for(conn, "P-1", "W2", default_warehouse="W1") == "a"
        assert external_id_for(conn, "P-9", "W1", default_warehouse="W1") == "P-9"
        assert external_id_for(conn, "P-9", "W2", default_warehouse="W1") is None
        assert external_id_for(conn, "a", "W1", default_warehouse="W1") is None  # item a is part P-1


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"external_id": " ", "part_number": "P"}, "external_id is empty"),
        ({"external_id": "x", "part_number": None, "warehouses": "A"}, "part_number is empty"),
        ({"external_id": "x", "part_number": "P", "warehouses": ";"}, "MPW_WAREHOUSE is not set"),
        ({"external_id": "x", "part_number": "P", "warehouses": "A;A"}, "twice"),
        ({"external_id": "x", "part_number": "P", "warehouses": "A", "factor": "0"}, "above 0"),
        ({"external_id": "x", "part_number": "P", "warehouses": "A", "factor": "1,5"}, "factor"),
        ({"external_id": "good", "part_number": "Q", "warehouses": "A"}, "line 2 already"),
        ({"external_id": "x", "part_number": "G", "warehouses": "Z;A"}, "belongs to line 2"),
        ({"external_id": "x\ny", "part_number": "P", "warehouses": "A"}, "control characters"),
    ],
)
def test_a_wrong_line_is_named_with_its_number(row: dict[str, str | None], why: str) -> None:
    good: dict[str, str | None] = {"external_id": "good", "part_number": "G", "warehouses": "A;B", "factor": "1.5"}

    read = read_map([(2, good), (3, row)], default_warehouse=None)

    ((line, reason),) = read.errors
    assert (line, why in reason) == (3, True), reason
    assert read.mappings == [ItemMapping("good", "G", ("A", "B"), Decimal("1.5"))]


def test_no_warehouse_and_no_factor_mean_the_default_one_and_1() -> None:
    read = read_map([(2, {"external_id": "x", "part_number": "P"})], default_warehouse="Main")

    assert read.mappings == [ItemMapping("x", "P", ("Main",), Decimal(1))]
    assert read.mappings[0].as_row() == {
        "external_id": "x",
        "part_number": "P",
        "warehouses": "Main",
        "factor": "1",
        "ignore": "",
    }


def test_an_item_that_only_the_map_named_is_left_alone_when_the_map_drops_it(store: Store, clock: FakeClock) -> None:
    replace_map(store, clock, A, B)
    with store.write() as conn:
        Books(conn, now=clock.now()).open_exception("unknown_part", about=Subject.stock_of("a"), detail="d", hint="h")

    replace_map(store, clock, B)

    with store.read() as conn:
        states = {row.external_id: row for row in conn.execute(select(item_states))}
        assert (states["a"].managed, states["a"].dirty_at) == (False, None)
        assert states["b"].managed
        assert open_exceptions(conn) == []
