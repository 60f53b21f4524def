"""Names of parts are compared to the letter; what cannot be seen in one is shown, and the near one is offered."""

from __future__ import annotations

import unicodedata

import pytest

from sync.database.engine import Store
from sync.database.exceptions import open_exceptions
from sync.reconcile.item_map import ItemMapping
from sync.values.names import nearest, shown
from tests.clocks import FakeClock
from tests.worlds.reconcile_world import MAIN, RECEIPT, World, fields, make_world

COMPOSED, DECOMPOSED = "\u00c4-1", unicodedata.normalize("NFD", "\u00c4-1")


@pytest.fixture
def world(store: Store, clock: FakeClock) -> World:
    return make_world(store, clock)


@pytest.mark.parametrize("name", ["51503 ", "51503\u00a0", " 51503", COMPOSED, DECOMPOSED])
def test_a_part_of_such_a_name_can_be_named_by_the_erp_and_by_the_map(world: World, name: str) -> None:
    world.mpw.adds(name, MAIN)
    world.map(ItemMapping("E-1", name, (MAIN,)))
    world.erp("receipt", "erp-1", RECEIPT | {"part_number": name})
    world.move("Inbound", ("E-1", "1", "1"))

    world.reconcile()

    assert [fields(push)["part_number"] for push in world.pushes()] == [name, name]
    assert world.told() == []


@pytest.mark.parametrize(
    ("known", "named", "says"),
    [
        ("51503", "51503 ", "part '51503 ' in warehouse Warehouse #1; it has 51503"),
        ("51503", "51503\u00a0", "part '51503\\u00a0' in warehouse Warehouse #1; it has 51503"),
        ("51503 ", "51503", "part 51503 in warehouse Warehouse #1; it has '51503 '"),
        (COMPOSED, DECOMPOSED, "part 'A\\u0308-1' in warehouse Warehouse #1; it has \u00c4-1"),
        (DECOMPOSED, COMPOSED, "part \u00c4-1 in warehouse Warehouse #1; it has 'A\\u0308-1'"),
        ("PUMP-100", "PUMP-10O", "part PUMP-10O in warehouse Warehouse #1; it has PUMP-100"),
    ],
)
@pytest.mark.parametrize("by", ["erp", "map"])
def test_the_message_shows_the_difference_and_offers_the_near_part(
    world: World, by: str, known: str, named: str, says: str
) -> None:
    world.mpw.adds(known, MAIN)
    world.mpw_entry("receipt", "mpw-r-1", item=known)
    if by == "erp":
        world.erp("receipt", "erp-1", RECEIPT | {"part_number": named})
    else:
        world.map(ItemMapping("E-1", named, (MAIN,)))
        world.move("Inbound", ("E-1", "1", "1"))

    world.reconcile()

    with world.store.read() as conn:
        (row,) = open_exceptions(conn, kind="unknown_part")
    assert says in row.detail


def test_a_name_is_never_near_itself_and_a_far_one_is_not_offered() -> None:
    assert nearest("P-1", ["P-1"]) is None
    assert nearest("P-1", ["OIL-BOX"]) is None
    assert shown("Oil box 5l") == "Oil box 5l"


@pytest.mark.parametrize("default", [MAIN, None])
@pytest.mark.parametrize("shows", [" SKU-1 ", "SKU-1\u00a0", "sku-1"])
def test_an_item_that_is_nearly_one_of_the_map_is_offered_it_and_its_hint_ends_it(
    world: World, shows: str, default: str | None
) -> None:
    world.rules(warehouse=default)
    world.map(ItemMapping("SKU-1", "51503", (MAIN,)))
    world.mpw.adds("51503", MAIN)
    world.move("Inbound", (shows, "1", "1"))

    world.reconcile()

    with world.store.read() as conn:
        (row,) = open_exceptions(conn)
    assert row.kind == ("unknown_part" if default else "unmapped_item")
    assert "; the item map has SKU-1" in row.detail
    assert shown(shows) in row.detail
    assert f"if SKU-1 is meant, write {shown(shows)} in its place" in row.hint
    world.map(ItemMapping(shows, "51503", (MAIN,)))
    world.reconcile()
    assert (world.told(), [fields(push)["part_number"] for push in world.pushes()]) == ([], ["51503"])
