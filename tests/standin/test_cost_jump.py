"""Issue 12: while ledger and stock disagree the last known cost stands, and a cost that jumps is asked about once."""

from __future__ import annotations

import json
import shlex
from decimal import Decimal
from typing import Any

import pytest

from sync.values.money import plain
from tests.standin.mpw import Mpw
from tests.standin.world import MAIN, PART, World

KIND = "cost_jump"


@pytest.fixture
def world(world: World) -> World:
    """Return a world in which an item is looked at often, whether anything of it is new or not."""
    world.restart(SYNC_AUDIT_SECONDS="60")
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


def baseline(world: World, cost: str = "2.00") -> None:
    """MPW shows as unit cost what it was told long ago (Inventory - POST), not what its receipts cost."""
    real = Mpw._inventory

    def shown(self: Mpw, part: Any) -> dict[str, Any]:
        return {**real(self, part), "unit_cost": Decimal(cost)}

    world.monkeypatch.setattr(Mpw, "_inventory", shown)


def costs(world: World) -> list[Decimal]:
    """Return the costs that MPservices was sent, without their marks."""
    return [round(cost, 2) for _, cost in world.mps.patches(PART)]


def cost_now(world: World) -> Decimal:
    (row,) = world.view("v_stock", external_id=PART)
    return round(Decimal(row["mpservices_unit_cost"]), 2)


def test_a_receipt_that_is_keyed_in_with_an_earlier_date_leaves_the_cost(world: World) -> None:
    baseline(world)
    world.mpw.receives(PART, 98, "8.98", MAIN, days_ago=2)
    world.rests()

    assert world.mps.stock(PART) == 198
    assert cost_now(world) == Decimal("9.50")
    assert Decimal("2.00") not in costs(world)
    assert world.told() == []


def test_the_days_are_read_again_though_no_rescan_is_due(world: World) -> None:
    world.restart(SYNC_POLL_WEEK_SECONDS="864000", SYNC_POLL_DEEP_SECONDS="8640000")
    baseline(world)
    world.mpw.receives(PART, 98, "8.98", MAIN, days_ago=2)
    world.cycle()
    assert world.mps.stock(PART) == 198
    world.cycle(4)

    assert cost_now(world) == Decimal("9.50")
    assert len(world.view("v_receipts")) == 2
    assert world.told() == []


def test_what_no_list_shows_is_taken_as_it_is_once_its_days_were_read(world: World) -> None:
    world.mpw.adds(PART, "WH2", 50, 12)
    world.mpw.habits.transfers_leave = "nothing"
    world.mpw.transfers(PART, 50, "WH2", MAIN)
    world.cycle(6)

    assert world.mps.stock(PART) == 150
    assert cost_now(world) == Decimal("10.67")
    before = len(world.mpw.asked("GET receipts"))
    world.cycle(3)
    assert len(world.mpw.asked("GET receipts")) - before < 12


@pytest.mark.parametrize(("quantity", "cost"), [(900, 100), (900, "0.5")])
@pytest.mark.parametrize("choice", ["--apply", "--keep"])
def test_a_cost_that_jumps_is_asked_about_and_the_stock_goes(
    world: World, quantity: int, cost: Any, choice: str
) -> None:
    world.mpw.receives(PART, quantity, cost, MAIN)
    world.rests()
    new = round((Decimal(1000) + quantity * Decimal(str(cost))) / 1000, 2)

    assert f"{plain(new)} by MPW" in asked(world)["detail"]
    assert world.mps.stock(PART) == 1000
    assert cost_now(world) == 10
    (todo,) = world.view("v_todo", kind=KIND)
    assert {"--apply", "--keep"} <= {word for one in json.loads(todo["choices"]) for word in one["command"].split()}
    before = len(costs(world))
    world.cycle(3)
    assert len(costs(world)) == before

    chosen(world, choice)
    world.rests()
    assert world.told() == []
    assert cost_now(world) == (new if choice == "--apply" else 10)
    if choice == "--apply":
        world.mps.moves(PART, -1)
    world.rests()
    assert world.told() == []
    assert world.stocks()[0] == world.stocks()[1]


def test_each_cost_is_asked_about_anew(world: World) -> None:
    world.mpw.receives(PART, 900, 100, MAIN)
    world.rests()
    chosen(world, "--keep")
    world.rests()
    world.mpw.receives(PART, 1000, 500, MAIN)
    world.rests()

    assert "295.5" in asked(world)["detail"]


def test_it_resolves_itself_when_the_cost_is_put_right(world: World) -> None:
    receipt = world.mpw.receives(PART, 900, 100, MAIN)
    world.rests()
    asked(world)
    receipt.cost = Decimal(10)
    world.rests()

    assert world.told() == []
    assert cost_now(world) == 10


@pytest.mark.parametrize(("ratio", "asks"), [("3", True), ("10", False)])
def test_how_far_a_cost_may_go_is_a_setting(world: World, ratio: str, asks: bool) -> None:
    world.restart(SYNC_COST_JUMP_RATIO=ratio)
    world.mpw.receives(PART, 900, 60, MAIN)
    world.rests()

    assert (world.told() == [KIND]) is asks


def test_a_small_change_asks_nobody(world: World) -> None:
    world.mpw.receives(PART, 100, 40, MAIN)
    world.rests()

    assert world.told() == []
    assert cost_now(world) == 25


def test_plan_and_the_push_say_that_the_old_cost_is_kept(world: World) -> None:
    world.restart(SYNC_ROUTE_STOCK_COST="hold")
    world.mpw.receives(PART, 900, 100, MAIN)
    world.cycle(2)
    _, said = world.mpsync("plan", "--json")

    assert any(KIND in row["why"] for row in json.loads(said)["planned"])
    assert any(KIND in row["reason"] for row in world.view("v_outbox", state="held"))
