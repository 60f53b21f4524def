"""Section 2: a 2xx proves nothing by itself, and what was seen is not done again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.standin.mpservices import CREATE, PATCH
from tests.standin.mpw import APPROVE, DELETE_RECEIPT, INVENTORY, ISSUANCE, RECEIPT, TRANSFER
from tests.standin.server import Reply, Request
from tests.standin.world import MAIN, OTHER, PART, World

HOLLOW: dict[str, Any] = {
    "an empty object": {},
    "success false": {"success": False},
    "a status word": {"status": "error"},
    "null data": {"data": None},
    "null": b"null",
    "an empty list": [],
    "an empty body": b"",
    "success true": {"success": True},
    "a page": b"<html>OK</html>",
    "a word": b"OK",
}
hollow = pytest.mark.parametrize("said", HOLLOW.values(), ids=HOLLOW.keys())
some_hollow = pytest.mark.parametrize(
    "said",
    [HOLLOW[name] for name in ("an empty object", "success false", "an empty body")],
    ids=["{}", "false", "empty"],
)
took_effect = pytest.mark.parametrize("effect", ["never", "now"], ids=["nothing done", "done"])


def by_key(request: Request) -> bool:
    """Tell whether a read asks for a key."""
    return "api_key" in request.query


# ---------------------------------------------------------------------- by operation


@hollow
@took_effect
def test_a_receipts_2xx_without_its_row_is_verified_and_has_one_effect(world: World, said: Any, effect: Any) -> None:
    world.mpw.goes_wrong(RECEIPT, effect=effect, answer=Reply(200, said))
    world.mps.moves(PART, 5)
    for _ in range(6):
        world.cycle()
        assert world.mps.stock(PART) == 105, "a patch erased what the person did"

    assert world.stocks() == (105, 105)
    assert world.states(operation="post_receipt") == ["done"]
    assert world.told() == []


@some_hollow
@took_effect
def test_an_issuances_2xx_without_its_row_is_verified_and_has_one_effect(world: World, said: Any, effect: Any) -> None:
    world.mpw.goes_wrong(ISSUANCE, effect=effect, answer=Reply(200, said))
    world.mps.moves(PART, -5)
    for _ in range(6):
        world.cycle()
        assert world.mps.stock(PART) == 95, "a patch erased what the person did"

    assert world.stocks() == (95, 95)
    assert world.states(operation="post_issuance") == ["done"]
    assert world.told() == []


@some_hollow
@took_effect
def test_a_parts_2xx_without_its_row_is_verified_and_makes_one_part(world: World, said: Any, effect: Any) -> None:
    world.mpw.goes_wrong(INVENTORY, effect=effect, answer=Reply(200, said))
    world.erp("inventory", "INV-1", part_number="P-9", warehouse_name=MAIN, inventory_name="A new one")
    world.cycle(6)

    assert [part.api_key for part in world.mpw.parts if part.part == "P-9"] == ["INV-1"]
    assert world.states(api_key="INV-1") == ["done"]
    assert world.told() == []


@pytest.mark.parametrize("said", [{}, {"success": False}, b"", {"api_key": "another"}], ids=str)
@took_effect
def test_a_deletes_2xx_without_our_key_is_verified(world: World, said: Any, effect: Any) -> None:
    world.erp_receipt("GR-1")
    world.rests()
    world.mpw.goes_wrong(DELETE_RECEIPT, effect=effect, answer=Reply(200, said))
    world.erp("void", "GR-1", kind="receipt")
    world.cycle(8)

    assert world.mpw.under("GR-1") == []
    assert world.stocks() == (100, 100)
    assert set(world.states(operation="delete_receipt")) == {"done"}


def test_a_404_after_our_own_lost_delete_is_done(world: World) -> None:
    world.erp_receipt("GR-1")
    world.rests()
    world.mpw.goes_wrong(DELETE_RECEIPT, answer="lost")
    world.erp("void", "GR-1", kind="receipt")
    world.cycle(8)

    assert world.mpw.under("GR-1") == []
    assert set(world.states(operation="delete_receipt")) == {"done"}
    assert world.told() == []


def test_an_answer_with_another_rows_key_is_no_evidence(world: World) -> None:
    other = world.mpw._receipt(world.mpw.receipts[0]) | {"api_key": "another"}
    world.mpw.goes_wrong(RECEIPT, effect="never", answer=Reply(201, other))
    world.mps.moves(PART, 5)
    world.cycle(6)

    assert world.stocks() == (105, 105)
    assert len(world.mpw.receipts) == 2


@pytest.mark.parametrize("field", ["quantity_received", "unit_cost", "part_number", "warehouse_name"])
def test_an_answer_under_our_key_with_other_fields_is_not_silently_done(world: World, field: str) -> None:
    made: list[Any] = []

    def garble() -> None:
        row = world.mpw.receipts[-1]
        wrong = {"quantity_received": 3, "unit_cost": 99, "part_number": "P-X", "warehouse_name": OTHER}
        fault.answer = Reply(201, world.mpw._receipt(row) | {field: wrong[field]})
        made.append(row)

    fault = world.mpw.goes_wrong(RECEIPT, after=garble)
    world.mps.moves(PART, 5)
    world.cycle(6)

    # The row itself is right: reading it is the evidence.
    assert len(world.mpw.asked(RECEIPT)) == 1
    assert world.stocks() == (105, 105)


@pytest.mark.parametrize(("quantity", "cost"), [(3, 10), (5, 11)])
def test_a_row_that_mpw_keeps_with_other_fields_is_a_persons_matter(world: World, quantity: int, cost: int) -> None:
    def differs() -> None:
        row = world.mpw.receipts[-1]
        row.received = row.remaining = world.mpw.receipts[0].cost * 0 + quantity
        row.cost = world.mpw.receipts[0].cost * 0 + cost

    def garble() -> None:
        differs()
        fault.answer = Reply(201, world.mpw._receipt(world.mpw.receipts[-1]))

    fault = world.mpw.goes_wrong(RECEIPT, after=garble)
    world.mps.moves(PART, 5)
    world.cycle(6)

    assert world.told()
    assert world.status()
    assert len(world.mpw.receipts) == 2


def test_an_approval_is_done_once_the_order_reads_as_ordered(world: World) -> None:
    world.mpw.orders_some(1000)
    world.erp("po_approval", "AP-1", purchase_order_number="1000", approved_by="Ann")
    world.cycle(3)

    assert world.mpw.orders[0]["status"] == "Ordered"
    assert world.states(operation="approve") == ["done"]
    assert len(world.mpw.asked(APPROVE)) == 1


def test_an_approval_that_did_nothing_though_it_said_so_is_not_done(world: World) -> None:
    world.mpw.orders_some(1000)
    answer = Reply(200, {"results": {"purchase_order_numbers": [1000], "errors": []}})
    world.mpw.goes_wrong(APPROVE, effect="never", answer=answer, times=100)
    world.erp("po_approval", "AP-1", purchase_order_number="1000", approved_by="Ann")
    world.cycle(8)

    assert "done" not in world.states(operation="approve")
    assert world.told() or world.status(later=timedelta(days=1))
    assert len(world.mpw.asked(APPROVE)) <= 8


@pytest.mark.parametrize("answer", ["lost", Reply(200, {}), Reply(502, b"<html>")], ids=["lost", "hollow", "502"])
def test_an_approval_whose_answer_proves_nothing_is_settled_by_reading_the_order(world: World, answer: Any) -> None:
    world.mpw.orders_some(1000)
    world.mpw.goes_wrong(APPROVE, answer=answer)
    world.erp("po_approval", "AP-1", purchase_order_number="1000", approved_by="Ann")
    world.cycle(6)

    assert world.states(operation="approve") == ["done"]
    assert len(world.mpw.asked(APPROVE)) == 1
    assert world.told() == []


def transfer(world: World) -> None:
    world.erp("transfer", "TR-1", part_number=PART, warehouse_name=MAIN, destination_warehouse_name=OTHER, quantity=10)


def test_a_transfer_is_done_by_two_rows_that_name_part_and_warehouses(world: World) -> None:
    transfer(world)
    world.rests()

    assert world.states(api_key="TR-1") == ["done"]
    assert world.stocks() == (90, 90)
    assert world.told() == []


@pytest.mark.parametrize(
    "answer", ["lost", Reply(200, {}), Reply(200, {"success": True})], ids=["lost", "{}", "success"]
)
@took_effect
def test_a_transfer_that_may_have_happened_is_never_sent_again(world: World, answer: Any, effect: Any) -> None:
    world.mpw.goes_wrong(TRANSFER, effect=effect, answer=answer)
    transfer(world)
    world.cycle(10)

    assert len(world.mpw.asked(TRANSFER)) == 1
    assert world.states(api_key="TR-1") != ["done"] or effect == "now"
    assert effect == "now" or world.told()
    for row in world.view("v_exceptions", resolved_at=None):
        assert "100" in row["detail"], "the person is shown the stocks before and after"


@pytest.mark.parametrize("said", [{}, {"success": True}, {"id": 5}], ids=str)
def test_a_product_is_created_once_whatever_the_2xx_holds(world: World, said: Any) -> None:
    world.mpw.adds("P-7", MAIN, 20, 3)
    world.mps.goes_wrong(CREATE, answer=Reply(200, said))
    world.erp("product", "PR-1", bar_code="P-7", product_name="Seven", product_unit="Pieces", external_id="P-7")
    world.cycle(6)

    assert len(world.mps.asked(CREATE)) == 1
    assert world.mps.stock("P-7") == 20
    assert world.told() == []


def test_a_product_that_was_never_made_is_not_posted_again_for_proof(world: World) -> None:
    world.mpw.adds("P-7", MAIN, 20, 3)
    world.restart(SYNC_ROUTE_PRODUCTS="push")
    world.mps.goes_wrong(CREATE, effect="never", answer=Reply(200, {"success": True}), times=100)
    world.erp("product", "PR-1", bar_code="P-7", product_name="Seven", product_unit="Pieces", external_id="P-7")
    world.cycle(10)

    assert len(world.mps.asked(CREATE)) <= 2
    assert world.told(), "the first patch of it shows that it is not there"


@some_hollow
@took_effect
def test_a_patchs_2xx_of_whatever_content_ends_with_equal_stocks(world: World, said: Any, effect: Any) -> None:
    world.mps.goes_wrong(PATCH, effect=effect, answer=Reply(200, said))
    world.mpw.receives(PART, 5, 10, MAIN)
    world.cycle(8)

    assert world.stocks() == (105, 105)
    assert world.pushed() == []
    assert world.told() == []


# ---------------------------------------------------------------------- done and never there


def vanishes(world: World) -> None:
    """Let the row that the next push makes vanish after a perfect answer."""

    def vanish(rows: list[Any]) -> None:
        row = rows[-1]
        world.mpw.deletes(row)

    world.mpw.goes_wrong(RECEIPT, after=lambda: vanish(world.mpw.receipts))
    world.mpw.goes_wrong(ISSUANCE, after=lambda: vanish(world.mpw.issuances))


@pytest.mark.parametrize("change", [5, -5])
def test_a_row_that_vanished_after_a_perfect_answer_is_told_and_its_item_left_alone(world: World, change: int) -> None:
    vanishes(world)
    before = world.patches()
    world.mps.moves(PART, change)
    for _ in range(8):
        world.cycle()
        assert world.stocks() == (100, 100 + change), "what the person did stands until this is settled"

    assert "push_not_there" in world.told()
    assert world.status()
    assert world.patches() == before
    kind = "receipt" if change > 0 else "issuance"
    theirs = [row for row in world.view("v_events", kind=kind) if row["mpservices_quantity"]]
    assert [(row["mpservices_quantity"], row["matched"]) for row in theirs] == [(change, 0)]


def test_a_part_of_which_mpw_only_says_that_it_exists_is_not_missed(world: World) -> None:
    world.mpw.habits.description_kept = False  # no row shows its key
    world.mpw.adds("P-9", MAIN, 3, 10, days_ago=2)
    world.mpw.receives("P-9", 7, 10, MAIN, days_ago=1)
    world.restart(MPW_DESCRIPTION_MARKER="false")
    world.erp_issuance("GI-7", 5, part_number="P-9")
    world.mpw.goes_wrong(ISSUANCE, effect="never", answer=Reply(422, {"message": world.mpw.habits.maximum.format(3)}))
    world.mpw.goes_wrong(ISSUANCE, after=lambda: world.mpw.issues("P-9", 3, MAIN), answer=Reply(200, {}))

    world.rests()

    assert world.states(operation="post_issuance") == ["done"]
    assert world.mpw.stock("P-9", MAIN) == 2
    assert "push_not_there" not in world.ever_told()


@pytest.mark.parametrize("change", [5, -5])
def test_a_row_that_was_seen_and_then_deleted_is_a_persons_undo(world: World, change: int) -> None:
    world.mps.moves(PART, change)
    world.rests()
    world.mpw.deletes((world.mpw.receipts if change > 0 else world.mpw.issuances)[-1])
    world.cycle(5, minutes=20)
    world.rests()

    assert world.mpw.stock(PART, MAIN) == 100
    assert len(world.pushed()) == 1
    assert "push_not_there" not in world.ever_told()
    assert "deleted_in_mpw" in world.ever_told()


# ---------------------------------------------------------------------- look before the first upsert


@pytest.mark.parametrize("missing", [200, 404])
def test_a_key_is_looked_for_before_it_is_first_sent(world: World, missing: Any) -> None:
    world.mpw.habits.missing = missing
    world.erp_receipt("GR-1")
    world.rests()

    names = [(r.name, r.query.get("api_key")) for r in world.mpw.requests]
    assert names.index(("GET receipts", "GR-1")) < names.index((RECEIPT, None))
    assert world.stocks() == (105, 105)


def confirm_an_odd_date(world: World) -> None:
    """A person says that a date before the ledger's start is right, where one is asked."""
    world.cycle()
    if "odd_date" in world.told():
        world.resolve("odd_date", "--apply")


@pytest.mark.parametrize("known", [False, True], ids=["of two months ago", "of yesterday"])
@pytest.mark.parametrize(
    "differs", [{"quantity": 4}, {"cost": 11}, {"part_number": "P-2"}, {"created_on": "2024-03-01"}], ids=str
)
def test_a_taken_key_is_never_overwritten(world: World, known: bool, differs: dict[str, Any]) -> None:
    world.mpw.adds("P-2", MAIN, 10, 10)
    theirs = world.mpw.receives(PART, 10, 10, MAIN, days_ago=1 if known else 60)
    theirs.api_key = "GR-4711"
    world.rests()
    fields = {"quantity": 10, "cost": 10, "created_on": theirs.on} | differs
    world.restart(SYNC_PUSH_FROM="2024-01-01")
    world.erp_receipt("GR-4711", **fields)
    confirm_an_odd_date(world)
    world.cycle(6)

    assert world.mpw.asked(RECEIPT) == []
    assert (theirs.received, theirs.cost, theirs.part) == (10, 10, PART)
    assert "key_taken" in world.told()
    assert world.status()


@pytest.mark.parametrize("known", [False, True], ids=["of two months ago", "of yesterday"])
def test_an_equal_row_under_the_key_is_the_push_done(world: World, known: bool) -> None:
    theirs = world.mpw.receives(PART, 10, 10, MAIN, days_ago=1 if known else 60)
    theirs.api_key = "GR-4711"
    world.rests()
    world.restart(SYNC_PUSH_FROM="2024-01-01")
    world.erp_receipt("GR-4711", 10, 10, created_on=theirs.on)
    confirm_an_odd_date(world)
    world.cycle(4)

    assert world.mpw.asked(RECEIPT) == []
    (event,) = world.view("v_events", api_key="GR-4711")
    assert event["matched"]
    assert event["mpw_quantity"] == 10
    assert world.told() == []


def test_a_key_that_mpw_takes_for_the_same_in_other_letters_is_not_overwritten(world: World) -> None:
    world.mpw.habits.keys_ignore_case = True
    theirs = world.mpw.receives(PART, 10, 10, MAIN, days_ago=60)
    theirs.api_key = "gr-4711"
    world.erp_receipt("GR-4711", 4)
    world.cycle(4)

    assert world.mpw.asked(RECEIPT) == []
    assert theirs.received == 10
    assert world.told()


def test_while_the_look_fails_nothing_is_sent(world: World) -> None:
    world.mpw.goes_wrong("GET receipts", effect="never", answer=Reply(503, b"<html>"), where=by_key, times=2)
    world.erp_receipt("GR-1")
    world.cycle()
    assert world.mpw.asked(RECEIPT) == []
    world.cycle(6)

    assert len(world.mpw.asked(RECEIPT)) == 1
    assert world.stocks() == (105, 105)


def test_a_parts_taken_key_is_never_overwritten(world: World) -> None:
    world.mpw.parts[0].api_key = "INV-1"
    world.erp("inventory", "INV-1", part_number="P-9", warehouse_name=MAIN, inventory_name="A new one")
    world.cycle(6)

    assert world.mpw.asked(INVENTORY) == []
    assert world.mpw.parts[0].part == PART
    assert "key_taken" in world.told()


def test_an_issuances_taken_key_is_told_and_counts_for_nothing(world: World) -> None:
    world.mpw.issues(PART, 1, MAIN)[0].api_key = "IS-1"
    world.rests()
    world.erp_issuance("IS-1", 7)
    world.cycle(8)

    assert world.mpw.stock(PART, MAIN) == 99
    assert world.states(api_key="IS-1") != ["done"]
    assert world.told()


# ---------------------------------------------------------------------- what our own poll saw


def test_a_receipt_that_a_poll_saw_under_our_key_is_not_posted_again_after_an_undo(world: World) -> None:
    world.mpw.goes_wrong(RECEIPT, answer="lost")
    # The look before it passes; all looks after it fail, until the poll has seen the row.
    world.mpw.goes_wrong("GET receipts", effect="never", answer=Reply(503, b""), where=sent(world, RECEIPT), times=30)
    world.mps.moves(PART, 5)
    world.cycle()
    assert len(world.mpw.receipts) == 2
    world.mpw.faults.clear()
    row = world.mpw.receipts[-1]
    world.mpw.goes_wrong(
        "GET receipts", after=lambda: world.mpw.deletes(row), where=lambda r: r.query.get("date") == row.on
    )
    world.cycle(8, minutes=15)

    assert len(world.mpw.asked(RECEIPT)) == 1
    assert world.mpw.stock(PART, MAIN) == 100
    assert world.states(operation="post_receipt") == ["done"]


def test_an_issuance_that_a_poll_saw_under_our_key_is_not_posted_again_after_an_undo(world: World) -> None:
    world.mpw.goes_wrong(ISSUANCE, answer="lost")
    world.mpw.goes_wrong("GET issuances", effect="never", answer=Reply(503, b""), where=sent(world, ISSUANCE), times=30)
    world.mps.moves(PART, -5)
    world.cycle()
    assert len(world.mpw.issuances) == 1
    world.mpw.faults.clear()
    row = world.mpw.issuances[-1]
    world.mpw.goes_wrong(
        "GET issuances", after=lambda: world.mpw.deletes(row), where=lambda r: r.query["date"] == row.on
    )
    world.cycle(8, minutes=15)

    assert len(world.mpw.asked(ISSUANCE)) == 1
    assert world.mpw.stock(PART, MAIN) == 100
    assert world.states(operation="post_issuance") == ["done"]


def test_an_approval_that_a_poll_saw_is_not_repeated_after_a_person_withdrew_it(world: World) -> None:
    order = world.mpw.orders_some(1000)
    world.mpw.goes_wrong(APPROVE, answer="lost")
    looks = "GET purchase_orders"
    world.mpw.goes_wrong(looks, effect="never", answer=Reply(503, b""), where=sent(world, APPROVE), times=30)
    world.erp("po_approval", "AP-1", purchase_order_number="1000", approved_by="Ann")
    world.cycle(2)
    assert order["status"] == "Ordered"
    world.mpw.faults.clear()
    world.mpw.goes_wrong(
        looks, after=lambda: order.update(status="requisition"), where=lambda r: "created_on_from" in r.query
    )
    world.cycle(12)

    assert len(world.mpw.asked(APPROVE)) == 1
    assert order["status"] == "requisition"


def sent(world: World, name: str) -> Any:
    """Return what tells whether such a write has reached MPW."""
    return lambda _: bool(world.mpw.asked(name))


def of_day(day: str) -> Any:
    """Return what tells whether a read is of a day."""
    return lambda request: request.query.get("date") == day


def shows(order: dict[str, Any]) -> Any:
    """Return what tells whether a read's range holds an order."""
    day = order["created_on"]
    return lambda r: r.query.get("created_on_from", "9") <= day <= r.query.get("created_on_to", "0")
