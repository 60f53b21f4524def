"""The plan: what a cycle would push, and nothing written."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import func, select

from sync.database.engine import Store
from sync.database.schema import metadata
from sync.jobs.plan import Planned, plan_once
from sync.reconcile.item_map import ItemMapping
from tests.clocks import FakeClock
from tests.worlds.reconcile_world import ISSUANCE, MAIN, RECEIPT, World, make_world


@pytest.fixture
def world(store: Store, clock: FakeClock) -> World:
    return make_world(store, clock)


def shown(planned: list[Planned]) -> list[tuple[str, bool, str | None, str]]:
    return [(one.state, one.new, one.operation, one.api_key) for one in planned]


def contents(world: World) -> dict[str, list[tuple[object, ...]]]:
    with world.store.read() as conn:
        return {
            table.name: [tuple(row) for row in conn.execute(select(table).order_by(*table.primary_key.columns))]
            for table in metadata.sorted_tables
        }


def test_a_plan_names_each_push_with_its_event_and_writes_nothing(world: World) -> None:
    world.routes(issuances="hold")
    world.move("Inbound", ("P-1", "2", "25"), id_="in")
    world.move("Outbound", ("P-1", "1", "25"), id_="out")
    world.erp("receipt", "erp-1", RECEIPT)
    world.order()
    world.erp("po_approval", "erp-2", {"purchase_order_number": 1000, "approved_by": "ann"})
    before = contents(world)

    planned = plan_once(world.ctx)

    assert shown(planned) == [
        ("ready", True, "post_receipt", "mps-in-1"),
        ("held", True, "post_issuance", "mps-out-1"),
        ("ready", True, "post_receipt", "erp-1"),
        ("ready", True, "approve", "erp-2"),
    ]
    assert all(one.why for one in planned)
    assert contents(world) == before
    assert world.mpw.writes() == []


def test_what_a_plan_shows_is_what_a_pass_derives(world: World) -> None:
    world.rules(approve_up_to=Decimal(1000))
    world.move("Inbound", ("P-1", "2", "25"))
    world.erp("issuance", "erp-1", ISSUANCE)
    world.order()
    world.clock.advance(hours=1)

    planned = {(one.operation, one.api_key, one.payload) for one in plan_once(world.ctx)}
    world.reconcile()

    assert planned == {(row.operation, row.api_key, row.payload) for row in world.pushes()}


def test_what_is_in_the_outbox_is_shown_once(world: World) -> None:
    world.routes(receipts="hold")
    world.move("Inbound", ("P-1", "2", "25"))
    world.reconcile()

    assert shown(plan_once(world.ctx)) == [("held", False, "post_receipt", "mps-m1-1")]


def test_what_waits_says_for_what(world: World) -> None:
    world.rules(warehouse=None)
    world.move("Inbound", ("X", "2", "25"))
    world.erp("product", "erp-1", {"bar_code": "1", "product_name": "n", "product_unit": "u", "external_id": "E"})

    planned = plan_once(world.ctx)

    assert shown(planned) == [("waiting", True, None, "mps-m1-1"), ("waiting", True, None, "erp-1")]
    assert "item map" in planned[0].why
    assert "path" in planned[1].why


def test_a_changed_setting_is_planned_before_it_is_acted_on(world: World) -> None:
    world.routes(receipts="off")
    world.move("Inbound", ("P-1", "2", "25"))
    world.reconcile()
    before = plan_once(world.ctx)
    world.routes(receipts="hold")

    assert before == []
    assert shown(plan_once(world.ctx)) == [("held", True, "post_receipt", "mps-m1-1")]


def test_a_changed_map_is_planned_before_it_is_acted_on(world: World) -> None:
    world.rules(warehouse=None)
    world.move("Inbound", ("X", "2", "25"))
    world.reconcile()
    world.map(ItemMapping("X", "P-1", (MAIN,)))

    assert shown(plan_once(world.ctx)) == [("ready", True, "post_receipt", "mps-m1-1")]


def test_a_document_that_would_be_refused_or_is_known_is_not_planned(world: World) -> None:
    world.erp("receipt", "erp-1", RECEIPT)
    world.reconcile()
    world.done(world.push().id)
    world.erp("receipt", "erp-1", RECEIPT)
    world.erp("receipt", "erp-1", RECEIPT | {"quantity_received": 7})
    world.erp("receipt", "erp-2", {})

    assert plan_once(world.ctx) == []


def test_a_void_in_the_inbox_is_planned_as_a_delete(world: World) -> None:
    world.erp("receipt", "erp-1", RECEIPT)
    world.reconcile()
    world.done(world.push().id)
    world.erp("void", "erp-1", {"kind": "receipt"})

    assert shown(plan_once(world.ctx)) == [("ready", True, "delete_receipt", "erp-1")]
    with world.store.read() as conn:
        assert conn.execute(select(func.count()).select_from(metadata.tables["outbox"])).scalar_one() == 1


def test_a_stock_of_the_erp_s_for_a_part_that_mpw_has_will_be_refused(world: World) -> None:
    world.erp("stock_cost", "SC-1", {"external_id": "P-1", "new_stock": 4, "new_cost": 1})
    world.erp("stock_cost", "SC-2", {"external_id": "P-9", "new_stock": 4, "new_cost": 1})

    planned = [(one.api_key, one.state, one.why) for one in plan_once(world.ctx)]

    assert planned[0] == ("SC-1", "refused", "MPW has this part: its stock follows MPW")
    assert [one[:2] for one in planned[1:]] == [("SC-2", "ready")]
    assert world.rows() == [("received", None), ("received", None)]
