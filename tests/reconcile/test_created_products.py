"""A product that the ERP had created in MPservices gets MPW's stock, where MPW knows the part and says otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert, select

from sync.database.engine import Store
from sync.database.schema import inbox, item_states, movement_lines, outbox
from sync.jobs.cycle import cycle_once
from sync.values.marks import without_mark
from sync.values.policy import ROUTES
from tests.clocks import FakeClock
from tests.push.test_receipt import FAULTS
from tests.worlds.outbox_world import MAIN, OutboxWorld, outbox_world


@pytest.fixture
def world(store: Store, clock: FakeClock) -> Iterator[OutboxWorld]:
    with outbox_world(store, clock) as made:
        made.with_policy(
            routes=dict.fromkeys(ROUTES, "push"), warehouse=MAIN, start_date=clock.now().date(), push_from=clock.now()
        )
        yield made


def product(world: OutboxWorld, **fields: Any) -> None:
    values = {"bar_code": "1", "product_name": "Pump", "product_unit": "Pieces", "external_id": "P-2"} | fields
    with world.store.write() as conn:
        row = {"document_type": "product", "api_key": "erp-p-1", "payload": json.dumps(values)}
        conn.execute(insert(inbox).values(row))


def part(world: OutboxWorld, quantity: int = 0, **fields: Any) -> None:
    world.sandbox.mpw.add_part("P-2", MAIN, **fields)
    if quantity:
        world.sandbox.mpw.person_receives("P-2", MAIN, quantity, "3", world.sandbox.mpw.today())


def cycle(world: OutboxWorld, rounds: int = 4) -> None:
    for _ in range(rounds):
        cycle_once(world.ctx)
        world.clock.advance(minutes=6)


def pushed(world: OutboxWorld) -> list[tuple[str, str]]:
    with world.store.read() as conn:
        rows = conn.execute(select(outbox.c.operation, outbox.c.state).order_by(outbox.c.id))
        return [(row.operation, row.state) for row in rows]


def in_mpservices(world: OutboxWorld) -> tuple[Any, Any]:
    (made,) = world.sandbox.mpservices.products
    return made.stock, without_mark(made.cost)


@pytest.mark.parametrize("given", [{}, {"product_stock": "5", "weighted_average": "3"}])
def test_it_gets_mpws_stock_before_anyone_moves_it(world: OutboxWorld, given: dict[str, str]) -> None:
    part(world, 7)
    product(world, **given)

    cycle(world)

    patch = ("patch_stock", "done")  # without a stock in the document none was believed: a follow-up proves the echo
    assert pushed(world) == [("create_product", "done"), patch, *([] if given else [patch])]
    assert in_mpservices(world) == (7, 3)
    assert world.sandbox.mpw.stock("P-2", MAIN) == 7
    with world.store.read() as conn:
        assert [line.role for line in conn.execute(select(movement_lines))] == ["echo"]
    assert world.told() == []


def test_the_erps_stock_and_cost_stand_where_mpw_has_the_same(world: OutboxWorld) -> None:
    part(world, 7)
    product(world, product_stock="7", weighted_average="3")

    cycle(world)

    assert pushed(world) == [("create_product", "done")]
    assert in_mpservices(world) == (7, 3)


@pytest.mark.parametrize("given", [{}, {"product_stock": "5", "weighted_average": "3"}])
def test_the_erps_stock_stands_where_mpw_does_not_know_the_part_and_nobody_is_asked(
    world: OutboxWorld, given: dict[str, str]
) -> None:
    product(world, **given)

    cycle(world)

    assert pushed(world) == [("create_product", "done")]
    assert in_mpservices(world) == (Decimal(given.get("product_stock", 0)), Decimal(given.get("weighted_average", 0)))
    assert world.told() == []


def test_a_new_part_without_stock_and_cost_asks_nobody_and_is_patched_with_its_first_receipt(
    world: OutboxWorld,
) -> None:
    part(world, unit_cost=0)
    product(world)
    cycle(world)
    before, told = pushed(world), world.told()

    world.sandbox.mpw.person_receives("P-2", MAIN, 4, "6", world.sandbox.mpw.today())
    cycle(world)

    assert (before, told) == ([("create_product", "done")], [])
    assert in_mpservices(world) == (4, 6)
    assert world.told() == []


def test_a_part_that_turns_up_in_mpw_later_is_patched_then(world: OutboxWorld) -> None:
    product(world)
    cycle(world)

    part(world, 7)
    cycle(world)

    assert in_mpservices(world) == (7, 3)


def test_what_an_existing_product_has_is_not_taken_from_the_document(world: OutboxWorld) -> None:
    world.sandbox.mpservices.add_product("P-2", stock=90, cost="1")
    part(world, 7)
    product(world, product_stock="7", weighted_average="3")

    cycle(world)

    assert in_mpservices(world) == (7, 3)


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "unauthorized"])
def test_whatever_goes_wrong_a_product_is_made_once(world: OutboxWorld, fault: str) -> None:
    part(world, 7)
    product(world)
    world.sandbox.faults.add("mpservices.create_product", fault, 1, retry_after=1)

    cycle(world, 12)

    assert pushed(world)[0] == ("create_product", "done")
    assert in_mpservices(world) == (7, 3)
    assert world.told() == []
    has_effect = fault in ("lost_answer", "error_after", "cut_body", "html_after")
    assert world.requests("mpservices.create_product") == (1 if has_effect else 2)


def test_on_hold_the_first_patch_is_held(world: OutboxWorld) -> None:
    routes = dict(world.ctx.policy.routes)
    world.ctx.policy = replace(world.ctx.policy, routes=routes | {"stock_cost": "hold"})
    part(world, 7)
    product(world)

    cycle(world)

    assert pushed(world) == [("create_product", "done"), ("patch_stock", "held")]
    with world.store.read() as conn:
        assert conn.execute(select(item_states)).one().managed
