"""Whole cycles against both vendors: what one system knows reaches the other once, and then all is quiet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import insert, select

from sync.clients.mpw.wire import read_inventories
from sync.database.engine import Store
from sync.database.schema import inbox, outbox
from sync.jobs.cycle import cycle_once
from sync.ledger.books import Books
from sync.outbox.rows import Which, discard
from sync.reconcile.item_map import ItemMapping
from sync.reconcile.item_rows import import_items
from sync.values.policy import ROUTES
from tests.clocks import FakeClock
from tests.worlds.outbox_world import MAIN, PART, OutboxWorld, outbox_world


@pytest.fixture
def world(store: Store, clock: FakeClock) -> Iterator[OutboxWorld]:
    with outbox_world(store, clock) as made:
        made.with_policy(
            routes=dict.fromkeys(ROUTES, "push"),
            warehouse=MAIN,
            start_date=clock.now().date(),
            push_from=datetime(2024, 3, 1, tzinfo=UTC),
        )
        yield made


def cycle(world: OutboxWorld, rounds: int = 1) -> None:
    for _ in range(rounds):
        cycle_once(world.ctx)
        world.clock.advance(minutes=6)


def erp(world: OutboxWorld, document_type: str, api_key: str, **fields: object) -> None:
    with world.store.write() as conn:
        payload = json.dumps(fields)
        conn.execute(insert(inbox).values(document_type=document_type, api_key=api_key, payload=payload))


def pushed(world: OutboxWorld) -> list[tuple[str, str, str]]:
    with world.store.read() as conn:
        rows = conn.execute(select(outbox.c.operation, outbox.c.api_key, outbox.c.state).order_by(outbox.c.id))
        return [(row.operation, row.api_key, row.state) for row in rows]


def stock(world: OutboxWorld) -> Decimal:
    assert world.ctx.mpw is not None
    (row,) = read_inventories(world.ctx.mpw.inventories(warehouse_name=MAIN, part_number=PART).body).rows
    return row.quantity


def test_a_receipt_of_the_erp_reaches_mpw_once_and_its_void_takes_it_back(world: OutboxWorld) -> None:
    fields = {"part_number": PART, "warehouse_name": MAIN, "quantity_received": 5, "unit_cost": "2.50"}
    erp(world, "receipt", "erp-1", created_on="2024-03-15", **fields)
    cycle(world, 2)
    with_it = stock(world)
    erp(world, "void", "erp-1", kind="receipt")
    cycle(world, 3)

    assert with_it == 105
    assert stock(world) == 100
    assert [row for row in pushed(world) if row[0] != "patch_stock"] == [
        ("post_receipt", "erp-1", "done"),
        ("delete_receipt", "erp-1", "done"),
    ]
    assert world.told() == []


def test_on_hold_nothing_is_written_to_anyone(world: OutboxWorld) -> None:
    world.with_policy(routes=dict.fromkeys(ROUTES, "hold"))
    world.sandbox.mpservices.add_product(PART, name="Part one", stock=100, cost=10)
    world.sandbox.mpservices.person_moves("Inbound", PART, 4, 10)
    erp(world, "issuance", "erp-1", part_number=PART, warehouse_name=MAIN, quantity=1, created_on="2024-03-15")

    cycle(world, 3)

    assert {state for _, _, state in pushed(world)} == {"held"}
    assert {seen.method for seen in world.sandbox.requests.all() if seen.endpoint != "mpw.login"} == {"GET"}


def test_a_mapped_item_that_mpservices_lacks_is_created_there_and_then_patched(world: OutboxWorld) -> None:
    part = world.sandbox.mpw.add_part("P-2", MAIN, unit_type="Each", name="Oil filter")
    assert part is not None
    world.sandbox.mpw.person_receives("P-2", MAIN, 7, "3", "2024-03-15")
    with world.store.write() as conn:
        import_items(Books(conn, now=world.clock.now()), [ItemMapping("E-2", "P-2", (MAIN,))])

    cycle(world, 4)

    operations = [(operation, state) for operation, _, state in pushed(world)]
    patches = [("patch_stock", "done")] * 2  # its stock was unknown: a follow-up proves the echo
    assert operations == [("patch_stock", "discarded"), ("create_product", "done"), *patches]
    assert world.told() == []
    payload = json.loads(payload_of(world, "create_product"))
    assert payload == {
        "bar_code": "P-2",
        "product_name": "Oil filter",
        "product_unit": "Each",
        "external_id": "E-2",
    }


def test_an_external_id_renamed_in_mpservices_makes_no_second_product_and_asks_a_person(world: OutboxWorld) -> None:
    made = world.sandbox.mpservices.add_product("E-2", name="Oil filter", stock=7, cost=3)
    world.sandbox.mpw.add_part("P-2", MAIN, unit_type="Each", name="Oil filter")
    world.sandbox.mpw.person_receives("P-2", MAIN, 7, "3", "2024-03-15")
    with world.store.write() as conn:
        import_items(Books(conn, now=world.clock.now()), [ItemMapping("E-2", "P-2", (MAIN,))])
    cycle(world, 3)

    made.external_id = "E-2-NEW"
    world.sandbox.mpw.person_receives("P-2", MAIN, 2, "3", "2024-03-15")
    cycle(world, 4)

    assert "create_product" not in [operation for operation, _, _ in pushed(world)]
    assert [kind for kind, _ in world.told()] == ["unknown_product"]

    with world.store.write() as conn:  # what the hint says where it was renamed
        import_items(Books(conn, now=world.clock.now()), [ItemMapping("E-2-NEW", "P-2", (MAIN,))])
        discard(Books(conn, now=world.clock.now()), Which(state="dead"), by="ann", why="renamed")
    cycle(world, 4)

    assert world.told() == []
    assert made.stock == 9
    assert len(world.sandbox.mpservices.products) == 1


def test_without_the_path_a_missing_product_waits_for_the_setting(world: OutboxWorld) -> None:
    world.with_policy(create_product_path="")
    world.sandbox.mpw.add_part("P-2", MAIN, unit_type="Each")
    world.sandbox.mpw.person_receives("P-2", MAIN, 7, "3", "2024-03-15")
    with world.store.write() as conn:
        import_items(Books(conn, now=world.clock.now()), [ItemMapping("E-2", "P-2", (MAIN,))])

    cycle(world, 3)

    assert ("setting_missing", "MPSERVICES_CREATE_PRODUCT_PATH") in world.told()
    assert "create_product" not in [operation for operation, _, _ in pushed(world)]


def test_a_part_without_a_unit_is_not_given_one(world: OutboxWorld) -> None:
    world.sandbox.mpw.add_part("P-2", MAIN, unit_type=None)
    world.sandbox.mpw.person_receives("P-2", MAIN, 7, "3", "2024-03-15")
    with world.store.write() as conn:
        import_items(Books(conn, now=world.clock.now()), [ItemMapping("E-2", "P-2", (MAIN,))])

    cycle(world, 3)

    assert ("product_incomplete", "E-2") in world.told()
    assert "create_product" not in [operation for operation, _, _ in pushed(world)]


def test_what_is_worked_off_stays_quiet(world: OutboxWorld) -> None:
    world.sandbox.mpservices.add_product(PART, name="Part one", stock=100, cost=10)
    world.sandbox.mpservices.person_moves("Outbound", PART, 4, 10)
    cycle(world, 2)
    before = len(world.sandbox.requests.all())

    cycle(world, 3)

    later = world.sandbox.requests.all()[before:]
    assert {seen.method for seen in later} == {"GET"}
    assert stock(world) == 96


def payload_of(world: OutboxWorld, operation: str) -> str:
    with world.store.read() as conn:
        return conn.execute(select(outbox.c.payload).where(outbox.c.operation == operation)).scalars().one()


def test_a_second_context_derives_nothing_twice(world: OutboxWorld) -> None:
    erp(world, "issuance", "erp-1", part_number=PART, warehouse_name=MAIN, quantity=1, created_on="2024-03-15")
    cycle_once(world.ctx)

    cycle_once(replace(world.ctx, owner="another"))

    assert [row for row in pushed(world) if row[0] == "post_issuance"] == [("post_issuance", "erp-1", "done")]
    assert stock(world) == 99
