"""What the program is for: the books of both systems meet, and then nothing more is written."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from sync.ledger.books import Books
from tests.e2e.world import MAIN, World, quiet_world


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    with quiet_world(database_url) as made:
        yield made


def stocks(world: World, part: str) -> tuple[Decimal, Decimal]:
    return world.sandbox.mpw.stock(part, MAIN), world.sandbox.mpservices.stock(part)


def test_an_inbound_movement_reaches_mpw_once_and_three_more_cycles_write_nothing(world: World) -> None:
    world.sandbox.mpservices.person_moves("Inbound", "P-1", 7, "11.5")

    world.settle()
    written = world.writes()
    for _ in range(3):
        world.cycle()

    assert stocks(world, "P-1") == (107, 107)
    assert world.writes() == written
    assert world.sandbox.requests.of("mpw.post_receipt")[0].status == 200
    assert written.count("mpw.post_receipt") == 1
    [event] = world.view("v_events", kind="receipt", matched=1, mpservices_quantity=7)
    assert event["mpw_quantity"] == 7
    assert world.open_exceptions() == []


def test_an_outbound_movement_becomes_one_issuance(world: World) -> None:
    world.sandbox.mpservices.person_moves("Outbound", "P-2", 4, "10", reference="Folio-198")

    world.settle()
    world.cycle()

    assert stocks(world, "P-2") == (96, 96)
    assert world.writes().count("mpw.post_issuance") == 1
    [event] = world.view("v_events", kind="issuance", mpservices_quantity=-4)
    assert (event["mpw_quantity"], event["matched"]) == (-4, 1)


def test_what_people_do_in_mpw_reaches_mpservices_and_the_patch_s_own_movement_goes_nowhere(world: World) -> None:
    world.sandbox.mpservices.person_moves("Inbound", "P-3", 1, "10")
    world.settle()
    posted = world.writes().count("mpw.post_receipt")

    world.sandbox.mpw.person_receives("P-3", MAIN, 20, "12", world.sandbox.mpw.today())
    world.settle()
    patched = world.writes()
    for _ in range(3):
        world.cycle()

    assert stocks(world, "P-3") == (121, 121)
    assert world.writes() == patched
    assert patched.count("mpservices.patch_stock") >= 1
    assert patched.count("mpw.post_receipt") == posted
    [adjustment] = [row for row in world.view("v_events", kind="adjustment") if row["mpservices_quantity"] == 20]
    assert adjustment["mpw_quantity"] is None


def test_the_erp_s_documents_reach_mpw(world: World) -> None:
    today = world.sandbox.mpw.today().isoformat()
    world.erp_inserts(
        "receipt",
        "GR-1",
        part_number="P-1",
        warehouse_name=MAIN,
        quantity_received="2.5",
        unit_cost="9.9999",
        created_on=today,
    )
    world.erp_inserts("issuance", "GI-1", part_number="P-2", warehouse_name=MAIN, quantity=3, created_on=today)

    world.settle()

    assert world.sandbox.mpw.stock("P-1", MAIN) == Decimal("102.5")
    assert world.sandbox.mpw.stock("P-2", MAIN) == 97
    assert [row["state"] for row in world.view("v_inbox")] == ["accepted", "accepted"]
    assert {(row["api_key"], row["matched"]) for row in world.view("v_events", api_key=["GR-1", "GI-1"])} == {
        ("GR-1", 1),
        ("GI-1", 1),
    }


def test_an_issuance_of_ten_over_receipts_of_four_three_and_five_arrives_whole(world: World) -> None:
    mpw = world.sandbox.mpw
    mpw.add_part("000global", MAIN)
    for quantity in (4, 3, 5):
        mpw.person_receives("000global", MAIN, quantity, "50", mpw.today())
    world.sandbox.mpservices.add_product("000global", stock=12, cost="50")
    world.sandbox.mpservices.person_moves("Outbound", "000global", 10, "50")

    world.settle()
    world.cycle()

    assert stocks(world, "000global") == (2, 2)
    [event] = [row for row in world.view("v_events", kind="issuance") if row["item"] == "000global"]
    assert (event["mpw_quantity"], event["mpservices_quantity"], event["matched"]) == (-10, -10, 1)
    [push] = world.view("v_outbox", operation="post_issuance")
    assert push["state"] == "done"


def test_a_requisition_that_the_erp_approved_is_ordered_once(world: World) -> None:
    world.sandbox.mpw.add_order(1000, vendor_name="Bosch", warehouse_name=MAIN, lines=[("P-1", 5, "7")])
    world.erp_inserts("po_approval", "A-1", purchase_order_number="1000", approved_by="ann", expected_total="35")

    world.settle()
    world.cycle()

    assert world.sandbox.mpw.orders[1000].status.casefold() == "ordered"
    assert world.writes().count("mpw.approve") == 1
    assert world.view("v_purchase_orders")[0]["approval"] == "done"


def test_an_order_whose_total_is_not_what_was_approved_is_left_to_a_person(world: World) -> None:
    world.sandbox.mpw.add_order(1000, vendor_name="Bosch", warehouse_name=MAIN, lines=[("P-1", 5, "7")])
    world.erp_inserts("po_approval", "A-1", purchase_order_number="1000", approved_by="ann", expected_total="34")

    world.settle()

    assert world.sandbox.mpw.orders[1000].status == "requisition"
    assert world.writes() == []
    assert [kind for kind, _ in world.open_exceptions()] == ["order_changed"]


def test_a_receipt_for_a_part_that_mpw_does_not_have_creates_nothing(world: World) -> None:
    world.sandbox.mpservices.add_product("STRANGE", stock=0, cost="1")
    world.sandbox.mpservices.person_moves("Inbound", "STRANGE", 2, "1")

    world.settle()

    assert world.writes() == []
    assert "STRANGE" not in {number for _, number in world.sandbox.mpw.parts}
    assert [kind for kind, _ in world.open_exceptions()] == ["unknown_part"]


def test_with_every_route_on_hold_nothing_is_written_and_a_release_sends_it_once(world: World) -> None:
    world.routes = "hold"
    world.sandbox.mpservices.person_moves("Inbound", "P-1", 7, "11.5")
    world.sandbox.mpservices.person_moves("Outbound", "P-2", 2, "10")

    for _ in range(2):
        world.cycle()
    held = world.view("v_outbox", state="held")
    nothing_yet = world.writes()
    with world.app() as app, app.store.write() as conn:
        from sync.outbox.rows import Which, release

        released = release(Books(conn, now=app.clock.now()), Which(route="receipts"))
    world.cycle()
    world.cycle()

    assert nothing_yet == []
    assert sorted(row["operation"] for row in held) == ["post_issuance", "post_receipt"]
    assert released == 1
    assert world.writes() == ["mpw.post_receipt"]


def test_events_older_than_the_go_live_cut_are_recorded_and_never_pushed(world: World) -> None:
    from datetime import timedelta

    cut = world.clock.now() - timedelta(hours=1)
    world.sandbox.mpservices.person_moves("Inbound", "P-1", 7, "10", created_at=cut - timedelta(hours=2))
    world.sandbox.mpservices.person_moves("Inbound", "P-2", 3, "10", created_at=cut + timedelta(minutes=1))

    world.settle(SYNC_PUSH_FROM=cut.isoformat())

    assert len(world.view("v_ledger", system="mpservices", kind="receipt")) == 2
    assert world.writes().count("mpw.post_receipt") == 1
    assert [row["entity_key"] for row in world.view("v_outbox", operation="post_receipt")] == ["item:P-2"]
    assert world.sandbox.mpw.stock("P-1", MAIN) == 100
    assert world.sandbox.mpw.stock("P-2", MAIN) == 103


def test_what_a_person_deletes_in_mpw_is_not_posted_again(world: World) -> None:
    world.sandbox.mpservices.person_moves("Inbound", "P-1", 7, "10")
    world.settle()
    [push] = world.view("v_outbox", operation="post_receipt")
    world.sandbox.mpw.person_deletes_receipt(int(push["remote_id"]))

    for _ in range(4):
        world.cycle()

    assert world.sandbox.mpw.stock("P-1", MAIN) == 100
    assert world.writes().count("mpw.post_receipt") == 1
    assert "deleted_in_mpw" in [kind for kind, _ in world.open_exceptions()]
