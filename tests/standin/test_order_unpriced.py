"""Issue 12: SYNC_APPROVE_UP_TO approves no order whose prices do not say what it costs: a person is asked."""

from __future__ import annotations

import json
import shlex
from decimal import Decimal
from typing import Any

import pytest

from tests.standin.mpw import APPROVE
from tests.standin.world import World

KIND = "order_unpriced"
CHANGED = {"SYNC_APPROVE_UP_TO": "500", "SYNC_APPROVE_AFTER_MINUTES": "0"}


def line(quantity: Any, unit_cost: Any, **more: Any) -> dict[str, Any]:
    cost = None if unit_cost is None else Decimal(str(unit_cost))
    return {"id": 1, "quantity": Decimal(str(quantity)), "unit_cost": cost, "part_number": "P-1"} | more


@pytest.fixture
def world(world: World) -> World:
    world.restart(**CHANGED)
    return world


def asked(world: World) -> dict[str, Any]:
    (found,) = world.view("v_exceptions", resolved_at=None)
    assert found["kind"] == KIND
    return found


def chosen(world: World, option: str) -> None:
    """Do what the hint says word for word."""
    found = asked(world)
    (command,) = [part for part in found["hint"].split("`") if part.startswith("mpsync ") and option in part]
    words = {"ID": str(found["id"]), "TEXT": "looked"}
    code, said = world.mpsync(*(words.get(word, word) for word in shlex.split(command)[1:]))
    assert code == 0, said


ODD = {
    "total 0": {"total_cost": 0, "items": [line(5, 10)]},
    "total 0, lines 0": {"total_cost": 0, "items": [line(5, 0)]},
    "a line without price": {"total_cost": 50, "items": [line(5, 10), line(3, 0)]},
    "a line with no price at all": {"total_cost": 50, "items": [line(5, 10), line(3, None)]},
    "total below 0": {"total_cost": -20, "items": [line(5, 10)]},
    "a line below 0": {"total_cost": 40, "items": [line(5, 10), line(1, -10)]},
    "total unlike its lines": {"total_cost": 45, "items": [line(5, 100)]},
    "total unlike its lines and its subtotal": {
        "total_cost": 45,
        "subtotal": 500,
        "tax_cost": 0,
        "freight_cost": 0,
        "items": [line(5, 100)],
    },
    "an amount unlike its price": {"total_cost": 50, "items": [line(5, 10, extended_cost=500)]},
    "tax that does not explain it": {"total_cost": 70, "tax_cost": 5, "freight_cost": 5, "items": [line(5, 10)]},
}


@pytest.mark.parametrize("fields", ODD.values(), ids=ODD)
def test_an_order_whose_prices_do_not_say_what_it_costs_is_asked_about(world: World, fields: dict[str, Any]) -> None:
    world.mpw.orders_some(7, **fields)
    world.cycle(3)

    assert "order 7" in asked(world)["detail"]
    assert APPROVE not in world.pushed()
    assert world.mpw.orders[0]["status"] == "requisition"
    (todo,) = world.view("v_todo", kind=KIND)
    assert todo["level"] == "person"
    assert {"--apply", "--keep"} <= {word for one in json.loads(todo["choices"]) for word in one["command"].split()}


PRICED = {
    "total and lines": {"total_cost": 50, "items": [line(5, 10)]},
    "tax and freight": {"total_cost": 60, "subtotal": 50, "tax_cost": 4, "freight_cost": 6, "items": [line(5, 10)]},
    "two taxes": {"total_cost": 60, "tax_one_cost": 4, "tax_two_cost": 6, "items": [line(5, 10)]},
    "two taxes and their sum": {
        "total_cost": 60,
        "tax_one_cost": 4,
        "tax_two_cost": 6,
        "tax_cost": 10,
        "items": [line(5, 10)],
    },
    "a subtotal, and no tax shown": {"total_cost": 54, "subtotal": 50, "items": [line(5, 10)]},
    "cents": {"total_cost": "33.33", "items": [line(3, "11.1111", extended_cost="33.33")]},
    "text": {"total_cost": "50.0", "items": [line(5, 10) | {"unit_cost": "10.0", "extended_cost": "50.0"}]},
}


@pytest.mark.parametrize("fields", PRICED.values(), ids=PRICED)
def test_an_order_that_says_what_it_costs_is_approved(world: World, fields: dict[str, Any]) -> None:
    world.mpw.orders_some(7, **fields)
    world.cycle(3)

    assert world.ever_told() == []
    assert world.mpw.orders[0]["status"] == "Ordered"


def test_the_document_s_own_sample_asks(world: World) -> None:
    world.restart(SYNC_APPROVE_UP_TO="1000")
    items = [line(5, 7, extended_cost=35), line(50, 10, extended_cost=500)]
    zeros = dict.fromkeys(("tax_one_cost", "tax_two_cost", "freight_cost", "tax_cost"), 0)
    world.mpw.orders_some(1000, 585, subtotal=585, items=items, **zeros)
    world.cycle(2)

    assert "585" in asked(world)["detail"]
    assert "535" in asked(world)["detail"]


def test_approved_all_the_same_it_goes(world: World) -> None:
    world.mpw.orders_some(7, 0)
    world.cycle(2)
    chosen(world, "--apply")
    world.rests()

    assert world.mpw.orders[0]["status"] == "Ordered"
    assert world.told() == []


def test_left_it_is_not_asked_about_again_until_it_changes(world: World) -> None:
    order = world.mpw.orders_some(7, 0)
    world.cycle(2)
    chosen(world, "--keep")
    world.cycle(6)
    assert world.told() == []
    assert APPROVE not in world.pushed()

    order["total_cost"] = Decimal(-1)
    world.cycle(6)
    assert "-1" in asked(world)["detail"]

    order["total_cost"] = Decimal(50)
    order["items"] = [line(5, 10)]
    world.cycle(6)
    assert world.told() == []
    assert order["status"] == "Ordered"


def test_a_word_is_about_the_order_as_it_was(world: World) -> None:
    order = world.mpw.orders_some(7, 0)
    world.cycle(2)
    chosen(world, "--apply")
    order["items"] = [line(500, 0)]
    world.cycle(8)

    assert order["status"] == "requisition"
    assert world.told()


def test_it_resolves_itself_when_the_prices_are_put_right(world: World) -> None:
    order = world.mpw.orders_some(7, 0)
    world.cycle(2)
    asked(world)
    order["total_cost"], order["items"] = Decimal(50), [line(5, 10)]
    world.cycle(6)

    assert world.told() == []
    assert order["status"] == "Ordered"


ENDS = ["a person approves it", "it is rejected", "the erp approves it", "no policy", "dearer"]


@pytest.mark.parametrize("end", ENDS)
def test_it_ends_with_what_it_is_about(world: World, end: str) -> None:
    order = world.mpw.orders_some(7, 0)
    world.cycle(2)
    asked(world)
    if end == "a person approves it":
        order["status"] = "Ordered"
    elif end == "it is rejected":
        order["status"] = "Rejected"
    elif end == "the erp approves it":
        world.erp("po_approval", "ok-7", purchase_order_number="7", approved_by="ann")
    elif end == "no policy":
        world.restart(SYNC_APPROVE_UP_TO="")
    else:
        order["total_cost"] = Decimal(5000)
    world.cycle(6)

    assert world.told() == []


def test_an_approval_that_an_older_version_derived_is_taken_back(world: World) -> None:
    world.restart(SYNC_ROUTE_APPROVALS="hold")
    order = world.mpw.orders_some(7, 50, items=[line(5, 10)])
    world.cycle(2)
    assert world.states(operation="approve") == ["held"]
    order["total_cost"] = Decimal(0)
    world.cycle(6)

    assert world.states(operation="approve") == ["superseded"]
    asked(world)


def test_plan_says_it(world: World) -> None:
    world.mpw.orders_some(7, 0)
    world.cycle()
    _, said = world.mpsync("plan", "--json")
    (row,) = [one for one in json.loads(said)["planned"] if "order 7" in one["why"]]

    assert row["state"] == "waiting"
