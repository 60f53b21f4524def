"""The ERP's commands, and the approvals that the policy makes by itself."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import update

from sync.database.engine import Store
from sync.database.exceptions import open_exceptions, subject_of
from sync.database.schema import exceptions, outbox
from sync.ledger.books import Books
from sync.outbox.rows import Which, close_exceptions, discard, resolve, retry
from sync.push.operator import discard_pushes
from sync.reconcile.item_map import ItemMapping
from sync.values.subjects import Subject
from tests.clocks import START, FakeClock
from tests.standin.server import Reply
from tests.worlds.reconcile_world import LOOK, MAIN, RECEIPT, World, fields, keys, make_world

APPROVAL = {"purchase_order_number": "1000", "approved_by": "ann", "expected_total": 585}
PRODUCT = {"bar_code": "0001", "product_name": "Bolt", "product_unit": "Pieces", "external_id": "E-1"}


@pytest.fixture
def world(store: Store, clock: FakeClock) -> World:
    return make_world(store, clock)


def test_an_approval_of_the_erp_is_derived_with_what_was_approved(world: World) -> None:
    world.order()
    world.erp("po_approval", "erp-1", APPROVAL)

    world.reconcile()
    world.reconcile()

    push = world.push()
    assert (push.route, push.operation, push.entity_key, push.state) == ("approvals", "approve", "po:1000", "ready")
    assert push.facts == {
        "approved_by": "ann",
        "created_on": "2024-03-15",
        "expected_total": "585",
        "terms_digest": "terms-1",
        "total": "585",
    }
    assert world.approval() == "wanted"


def test_an_order_that_is_not_known_yet_is_left_to_the_approval_to_find(world: World) -> None:
    world.erp("po_approval", "erp-1", APPROVAL)

    world.reconcile()

    assert "created_on" not in world.push().facts


def test_an_approval_is_no_older_than_the_cut_whatever_its_order_is(world: World) -> None:
    world.rules(push_from=START + timedelta(days=1))
    world.order(created_on=date(2020, 1, 1))
    world.erp("po_approval", "erp-1", APPROVAL)

    world.reconcile()

    assert keys(world.pushes()) == [("approve", "erp-1", "ready")]


def test_an_order_that_is_ordered_already_needs_nothing(world: World) -> None:
    world.order(status="Ordered")
    world.erp("po_approval", "erp-1", APPROVAL)

    world.reconcile()

    assert (world.pushes(), world.approval(), world.told()) == ([], "done", [])


@pytest.mark.parametrize("status", ["Received", "Ordered"])
def test_an_approval_of_an_order_already_received_is_explained(world: World, status: str) -> None:
    world.order(status=status)
    world.erp("po_approval", "erp-1", APPROVAL)

    world.reconcile()

    assert (world.pushes(), world.told()) == ([], [])
    assert world.rows() == [("accepted", f"no approval was sent: order 1000 is {status} in MPW already")]


@pytest.mark.parametrize(
    ("expected", "approved"),
    [
        ("33.33", True),
        ("33.3333", True),
        ("33.333", True),
        (33.33, True),
        ("33.34", False),
        ("33.3330", False),
        (33, False),
    ],
)
def test_expected_total_33_33_is_compared_with_33_3333_at_the_decimals_given(
    world: World, expected: object, approved: bool
) -> None:
    world.order(total_cost=Decimal("33.3333"))
    world.erp("po_approval", "erp-1", APPROVAL | {"expected_total": expected})

    world.reconcile()

    assert [row.operation for row in world.pushes()] == (["approve"] if approved else [])
    assert world.told() == ([] if approved else [("order_changed", "1000")])


def test_another_total_than_the_approved_one_is_told_and_not_approved(world: World) -> None:
    world.order(total_cost=Decimal(600))
    world.erp("po_approval", "erp-1", APPROVAL)

    world.reconcile()

    assert (world.pushes(), world.approval()) == ([], "exception")
    assert world.told() == [("order_changed", "1000")]


def test_a_total_that_becomes_right_settles_it(world: World) -> None:
    world.order(total_cost=Decimal(600))
    world.erp("po_approval", "erp-1", APPROVAL)
    world.reconcile()
    world.change_order(total_cost=Decimal(585))
    world.clock.advance(minutes=16)

    world.reconcile()

    assert (keys(world.pushes()), world.told()) == ([("approve", "erp-1", "ready")], [])


def test_a_person_who_settles_a_changed_order_has_the_last_word(world: World) -> None:
    world.order(total_cost=Decimal(600))
    world.erp("po_approval", "erp-1", APPROVAL)
    world.reconcile()
    with world.store.write() as conn:
        Books(conn, now=world.clock.now()).resolve_exceptions(
            "order_changed", about=Subject.order("1000"), resolution="never mind", by="ann"
        )
    world.clock.advance(minutes=16)

    world.reconcile()

    assert (world.pushes(), world.told(), world.waiting()) == ([], [], [])


def _numbered_alike(world: World) -> int:
    """Have a push in the outbox, and a changed order whose number is the push's id; return that."""
    world.erp("receipt", "erp-r-1", RECEIPT)
    world.reconcile()
    push = world.push().id
    world.order(str(push), total_cost=Decimal(600))
    world.erp("po_approval", "erp-1", APPROVAL | {"purchase_order_number": str(push)})
    world.reconcile()
    return push


@pytest.mark.parametrize("end", ["done", "discarded", "retried", "resolved"])
def test_whatever_becomes_of_a_push_the_exception_of_the_order_of_its_number_stays(world: World, end: str) -> None:
    push = _numbered_alike(world)
    now = world.clock.now()

    with world.store.write() as conn:
        if end == "discarded":
            assert discard(Books(conn, now=now), Which(ids=[push]), by="ann") == 1
        else:
            conn.execute(
                update(outbox).where(outbox.c.id == push).values(state="dead", tries=1, attempts=1, finalized_at=now)
            )
            if end == "retried":
                assert retry(Books(conn, now=now), Which(ids=[push]), by="ann") == 1
            elif end == "resolved":
                assert resolve(Books(conn, now=now), push, done=True, why="it is there", by="ann")
            else:
                close_exceptions(Books(conn, now=now), push, resolution="answered 201")
    world.clock.advance(minutes=16)
    world.reconcile()

    assert world.told() == [("order_changed", str(push))]
    assert world.approval(str(push)) == "exception"
    assert [row.operation for row in world.pushes()] == ["post_receipt"]


def test_an_exception_of_a_push_does_not_keep_the_order_of_its_number_from_being_settled(world: World) -> None:
    push = _numbered_alike(world)
    with world.store.write() as conn:
        now = world.clock.now()
        Books(conn, now=now).open_exception("order_changed", about=Subject.push(push), detail="d", hint="h")
        Books(conn, now=now).resolve_exceptions(
            "order_changed", about=Subject.order(str(push)), resolution="r", by="ann"
        )
    world.clock.advance(minutes=16)

    world.reconcile()

    with world.store.read() as conn:
        assert [subject_of(row) for row in open_exceptions(conn)] == [Subject.push(push)]
    assert (world.approval(str(push)), world.waiting()) == (None, [])


def test_an_item_that_is_called_like_a_stock_of_mpservices_is_settled_as_any_other(world: World) -> None:
    world.rules(warehouse=None)
    world.move("Inbound", ("mps:x", "5", "1"))
    world.reconcile()
    before = world.told()
    world.map(ItemMapping("mps:x", "P-1", (MAIN,), Decimal(1)))

    world.reconcile()

    assert (before, world.told()) == ([("unmapped_item", "mps:x")], [])


def test_an_order_that_mpw_rejected_is_told(world: World) -> None:
    world.order(status="Rejected")
    world.erp("po_approval", "erp-1", APPROVAL)

    world.reconcile()

    assert (world.pushes(), world.told()) == ([], [("order_changed", "1000")])


def test_with_its_route_off_a_command_waits_and_goes_when_it_is_on(world: World) -> None:
    world.routes(approvals="off")
    world.order()
    world.erp("po_approval", "erp-1", APPROVAL)
    world.reconcile()
    before = (world.pushes(), world.waiting())
    world.routes(approvals="hold")

    world.reconcile()

    assert before == ([], [("po_approval", "erp-1")])
    assert keys(world.pushes()) == [("approve", "erp-1", "held")]


# --- by policy ----------------------------------------------------------------------------


def test_a_small_order_is_approved_once_it_was_unchanged_for_long_enough(world: World) -> None:
    world.rules(approve_up_to=Decimal(585))
    world.order()

    world.reconcile()
    too_early = world.pushes()
    world.clock.advance(minutes=30)
    world.reconcile()
    world.reconcile()

    assert too_early == []
    assert keys(world.pushes()) == [("approve", "mpsync-po-1000", "ready")]
    assert world.push().facts["terms_digest"] == "terms-1"
    assert world.approval() == "wanted"


@pytest.mark.parametrize(
    "change",
    [
        {"total_cost": Decimal("585.01")},
        {"total_cost": None},
        {"vendor_name": None},
        {"lines": 0},
        {"status": "Ordered"},
        {"status": "draft"},
        {"final": True},
        {"created_on": date(2024, 2, 29)},
        {"approval": "exception"},
    ],
)
def test_the_policy_leaves_all_other_orders_alone(world: World, change: dict[str, object]) -> None:
    world.rules(approve_up_to=Decimal(585))
    world.order(**change)
    world.clock.advance(hours=1)

    world.reconcile()

    assert world.pushes() == []


@pytest.mark.parametrize("by", ["the ERP", "the policy"])
def test_the_policy_does_not_approve_what_a_person_has_discarded_an_approval_of(world: World, by: str) -> None:
    world.rules(approve_up_to=Decimal(585))
    world.order()
    if by == "the ERP":
        world.erp("po_approval", "erp-1", APPROVAL)
    else:
        world.clock.advance(hours=1)
    world.reconcile()
    assert discard_pushes(world.ctx, Which(), by="ann") == 1
    world.clock.advance(hours=1)

    world.reconcile()

    assert [state for _, _, state in keys(world.pushes())] == ["discarded"]
    assert world.approval() is None


def test_without_a_limit_nothing_is_approved_by_itself(world: World) -> None:
    world.order()
    world.clock.advance(hours=1)

    world.reconcile()

    assert world.pushes() == []


def test_an_order_that_changes_before_it_is_sent_is_approved_anew_under_a_new_key(world: World) -> None:
    world.rules(approve_up_to=Decimal(1000))
    world.order()
    world.clock.advance(hours=1)
    world.reconcile()
    world.change_order(terms_digest="terms-2", total_cost=Decimal(600), changed_at=world.clock.now())

    world.reconcile()
    changed = (keys(world.pushes()), world.approval())
    world.clock.advance(minutes=31)
    world.reconcile()

    assert changed == ([("approve", "mpsync-po-1000", "superseded")], None)
    assert keys(world.pushes())[1] == ("approve", "mpsync-po-1000-2", "ready")
    assert world.pushes()[1].facts["terms_digest"] == "terms-2"


def test_an_approval_that_was_sent_is_not_taken_back(world: World) -> None:
    world.rules(approve_up_to=Decimal(1000))
    world.order()
    world.clock.advance(hours=1)
    world.reconcile()
    world.set_push(world.push().id, tries=1, fence=1)
    world.change_order(terms_digest="terms-2", changed_at=world.clock.now())

    world.reconcile()

    assert keys(world.pushes()) == [("approve", "mpsync-po-1000", "ready")]


# --- products, stock, inventories ---------------------------------------------------------


def test_a_product_waits_for_the_path_that_no_document_names(world: World) -> None:
    world.erp("product", "erp-1", PRODUCT)
    world.reconcile()
    before = (world.pushes(), world.told())

    world.rules(create_product_path="/CreateProduct")
    world.reconcile()

    assert before == ([], [("setting_missing", "MPSERVICES_CREATE_PRODUCT_PATH")])
    assert world.told() == []
    assert (world.push().operation, world.push().entity_key) == ("create_product", "product:E-1")


def test_a_products_fields_are_texts_in_the_documents_order(world: World) -> None:
    world.rules(create_product_path="/CreateProduct")
    more = {"weighted_average": "2.50", "max_stock": 9, "min_stock": 1, "product_stock": 3, "category": "bolts"}
    world.erp("product", "erp-1", more | PRODUCT)

    world.reconcile()

    assert world.push().payload == (
        '{"bar_code":"0001","product_name":"Bolt","product_unit":"Pieces","external_id":"E-1","product_stock":"3",'
        '"weighted_average":"2.5","category":"bolts","min_stock":"1","max_stock":"9"}'
    )


def test_stock_and_cost_of_the_erp_are_a_command_in_plain_texts(world: World) -> None:
    world.erp("stock_cost", "erp-1", {"external_id": "E-1", "new_stock": 10.50, "new_cost": "1000"})

    world.reconcile()

    push = world.push()
    assert push.payload == '{"external_id":"E-1","new_stock":"10.5","new_cost":"1000"}'
    assert (push.operation, push.entity_key, push.facts) == ("patch_stock", "mps:E-1", {"erp": True})


def test_a_part_of_the_erp_has_tracking_switched_on_by_a_text(world: World) -> None:
    world.erp(
        "inventory",
        "erp-1",
        {"part_number": 1112, "warehouse_name": MAIN, "tracking_enabled": True, "unit_cost": 1.99, "bin": "A1"},
    )

    world.reconcile()

    push = world.push()
    assert fields(push)["tracking_enabled"] == "true"
    assert push.payload.startswith('{"part_number":"1112","warehouse_name":"Warehouse #1","api_key":"erp-1"')
    assert (push.route, push.operation, push.entity_key) == ("inventories", "post_inventory", "item:1112")
    assert world.mpw.asked(LOOK) == []


def test_an_exception_that_was_opened_by_another_flow_is_not_ours_to_settle(world: World) -> None:
    world.mpw.parts.clear()
    world.move("Inbound", ("P-1", "1", "1"))
    world.reconcile()
    with world.store.write() as conn:
        conn.execute(update(exceptions).values(subject="mps:P-1", facts='{"external_id": "P-1"}'))
    world.mpw.adds("P-1", MAIN)
    world.clock.advance(hours=1)

    world.reconcile()

    assert world.told() == [("unknown_part", "mps:P-1")]


STOCK = {"external_id": "P-1", "new_stock": 10, "new_cost": 2}


@pytest.mark.parametrize("mapped", [False, True])
def test_an_erp_stock_cost_for_a_part_that_mpw_has_is_refused(world: World, mapped: bool) -> None:
    if mapped:
        world.map(ItemMapping("E-1", "P-1", (MAIN,)))
    world.erp("stock_cost", "erp-1", STOCK | ({"external_id": "E-1"} if mapped else {}))

    world.reconcile()

    assert world.rows() == [("rejected", "MPW has this part: its stock follows MPW")]
    assert world.pushes() == []
    assert world.told() == [("inbox_rejected", "stock_cost erp-1")]


def test_the_refused_stock_cost_sent_again_is_refused_at_the_door(world: World) -> None:
    world.erp("stock_cost", "erp-1", STOCK)
    world.reconcile()
    world.erp("stock_cost", "erp-1", STOCK)
    world.erp("stock_cost", "erp-2", STOCK | {"external_id": "P-9"})

    world.reconcile()

    assert [state for state, _ in world.rows()] == ["rejected", "rejected", "accepted"]
    assert world.told() == [("inbox_rejected", "stock_cost erp-1")]
    assert [row.item for row in world.pushes()] == ["P-9"], "MPW has no part of that name"


def test_a_stock_cost_waits_while_mpw_cannot_be_asked(world: World) -> None:
    world.mpw.goes_wrong(LOOK, effect="never", answer=Reply(503, b""), times=99)
    world.erp("stock_cost", "erp-1", STOCK)

    world.reconcile()

    assert world.rows() == [("accepted", None)]
    assert world.pushes() == []

    world.mpw.faults.clear()
    world.clock.advance(minutes=6)
    world.reconcile()

    assert world.rows()[0][0] == "rejected"
