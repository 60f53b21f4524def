"""Issue 12: an issuance, a movement or a transfer beyond MPW's stock is not posted, not even in part, and is told."""

from __future__ import annotations

import json
import shlex
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.standin.mpw import ISSUANCE
from tests.standin.server import Reply
from tests.standin.world import MAIN, OTHER, PART, World

KIND = "not_enough_stock"
ASKED = "GET inventories"
HOUR = 13
"""Cycles of five minutes that take more than an hour."""


def short_of(world: World) -> dict[str, Any]:
    """Return the only open exception, which is about a shortage."""
    (found,) = world.view("v_exceptions", resolved_at=None)
    assert found["kind"] == KIND
    return found


def waits(world: World) -> bool:
    """Tell whether the only push of an issuance is shown as one that waits, about which nothing is to be decided."""
    return [row["level"] for row in world.view("v_todo", kind="push_short_of_stock")] == ["waiting"]


def chosen(world: World, option: str) -> None:
    """Do what the hint says word for word: its command with that option."""
    found = short_of(world)
    commands = [part for part in found["hint"].split("`") if part.startswith("mpsync ") and option in part]
    (command,) = commands
    words = {"ID": str(found["id"]), "TEXT": "looked"}
    code, said = world.mpsync(*(words.get(word, word) for word in shlex.split(command)[1:]))
    assert code == 0, said


def both_warehouses(world: World, quantity: int = 920) -> None:
    """The item is kept in two warehouses, most of it in the second."""
    world.mpw.adds(PART, OTHER, quantity, 10)
    world.maps((PART, PART, (MAIN, OTHER), 1))


def layers(world: World, *quantities: int) -> None:
    """Add receipts, so that what there is lies in several."""
    for quantity in quantities:
        world.mpw.receives(PART, quantity, 10, MAIN)


# --- told, and nothing posted ---------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"equipment_unit_number": "EX-1"}])
def test_an_erp_issuance_beyond_the_stock_is_not_posted_and_told_at_once(world: World, more: dict[str, str]) -> None:
    layers(world, *([5] * 12))
    world.erp_issuance("big", 1000, **more)
    world.cycle()

    found = short_of(world)
    assert "1000" in found["detail"]
    assert f"160 in {MAIN}" in found["detail"]
    assert "nothing was posted" in found["detail"]
    assert world.pushed() == []
    assert world.status()
    world.cycle(6)
    assert world.pushed() == []
    assert world.mpw.stock(PART, MAIN) == 160


def test_a_movement_beyond_the_stock_is_told_after_an_hour(world: World) -> None:
    world.mps.moves(PART, -120)
    world.cycle(3)
    assert world.told() == []
    assert waits(world)
    assert world.status() == []

    world.cycle(HOUR)
    assert f"100 in {MAIN}" in short_of(world)["detail"]
    assert world.pushed() == []
    assert not waits(world)


@pytest.mark.parametrize("minutes", ["0", "20.5"])
def test_how_long_a_movement_may_wait_is_a_setting(world: World, minutes: str) -> None:
    world.restart(SYNC_TELL_SHORTAGE_MINUTES=minutes)
    world.mps.moves(PART, -120)
    world.cycle()
    assert world.told() == ([KIND] if minutes == "0" else [])

    world.cycle(5)
    assert world.told() == [KIND]


def test_a_receipt_that_is_keyed_in_within_the_hour_needs_nobody(world: World) -> None:
    world.mps.moves(PART, -120)
    world.cycle(3)
    world.mpw.receives(PART, 30, 10, MAIN)
    world.rests()

    assert world.ever_told() == []
    assert world.stocks()[0] == 10
    assert world.states(operation="post_issuance") == ["done"]


def test_it_resolves_itself_when_stock_arrives(world: World) -> None:
    world.erp_issuance("big", 130)
    world.cycle(2)
    short_of(world)
    world.mpw.receives(PART, 20, 10, MAIN)
    world.cycle(2)
    assert f"120 in {MAIN}" in short_of(world)["detail"]
    assert world.pushed() == []

    world.mpw.receives(PART, 20, 10, MAIN)
    world.rests()
    assert world.told() == []
    assert world.mpw.stock(PART, MAIN) == 10
    assert sum(row.quantity for row in world.mpw.issuances) == 130
    assert [row["mpw_quantity"] for row in world.view("v_events", api_key="big")] == [-130]


def test_stock_that_no_list_shows_is_noticed_too(world: World) -> None:
    """A transfer may leave no row: the stock is looked at again, though not every minute."""
    world.erp_issuance("big", 130)
    world.cycle(2)
    world.mpw.adds(PART, OTHER, 50, 10)
    world.mpw.habits.transfers_leave = "nothing"
    world.mpw.transfers(PART, 50, OTHER, MAIN)
    before = len(world.mpw.asked(ASKED))
    world.cycle(HOUR)

    assert len(world.mpw.asked(ASKED)) - before < HOUR
    assert world.told() == []
    assert world.mpw.stock(PART, MAIN) == 20


def test_of_two_issuances_that_together_exceed_the_stock_the_first_goes_and_the_second_is_told(world: World) -> None:
    world.erp_issuance("one", 60)
    world.erp_issuance("two", 60)
    world.cycle(3)

    assert [row.api_key for row in world.mpw.issuances] == ["one"]
    assert "two" in short_of(world)["detail"]
    assert f"40 in {MAIN}" in short_of(world)["detail"]


def test_what_is_short_holds_up_nothing_else_of_its_part(world: World) -> None:
    world.erp_issuance("big", 1000)
    world.cycle()
    world.erp_issuance("small", 5)
    world.erp_receipt("more", 7)
    world.cycle(4)

    assert world.mpw.stock(PART, MAIN) == 102
    assert world.told() == [KIND]
    assert world.mps.stock(PART) == 102


def test_while_mpw_cannot_be_read_nothing_is_posted(world: World) -> None:
    world.erp_issuance("fits", 5)
    world.true.advance(timedelta(minutes=2))
    fault = world.mpw.goes_wrong(ASKED, effect="never", answer=Reply(503), times=200)
    world.cycle(3)
    assert world.pushed() == []
    assert world.told() == []

    fault.times = 0
    world.cycle(4)
    assert world.pushed() == [ISSUANCE]


def test_a_stock_that_shrinks_between_read_and_post_leaves_no_part(world: World) -> None:
    world.mpw.goes_wrong(ISSUANCE, before=lambda: world.mpw.issues(PART, 70, MAIN))
    world.erp_issuance("late", 60)
    world.cycle(3)

    assert [row.api_key for row in world.mpw.issuances if row.api_key] == []
    assert f"30 in {MAIN}" in short_of(world)["detail"]


def test_what_was_begun_in_parts_stops_where_the_stock_shrinks(world: World) -> None:
    layers(world, 40)
    world.mpw.goes_wrong(ISSUANCE)  # refused: the first receipt holds 100
    world.mpw.goes_wrong(ISSUANCE, after=lambda: world.mpw.issues(PART, 30, MAIN))
    world.erp_issuance("late", 130)
    world.cycle(3)

    assert [row.quantity for row in world.mpw.issuances if row.api_key] == [100]
    assert "100 of it is posted already" in short_of(world)["detail"]
    chosen(world, "--available")
    world.rests()
    assert [row.quantity for row in world.mpw.issuances if row.api_key] == [100, 10]
    assert world.told() == []


@pytest.mark.parametrize("stock", ["2.5", "0.5"])
def test_a_fraction_is_compared_exactly(world: World, stock: str) -> None:
    world.mpw.habits.fractions = True
    world.restart(MPW_FRACTIONAL_ISSUANCES="true")
    world.mpw.issues(PART, 100, MAIN)
    world.mpw.receives(PART, Decimal(stock), 10, MAIN)
    world.erp_issuance("part", "2.4")
    world.cycle(3)

    assert len([row for row in world.mpw.issuances if row.api_key]) == (1 if stock == "2.5" else 0)
    assert world.told() == ([] if stock == "2.5" else [KIND])


def test_a_factor_counts_in_mpw_s_unit(world: World) -> None:
    world.maps((PART, PART, (MAIN,), 12))
    world.rests()
    world.resolve("cost_jump", "--apply")  # a dozen costs twelve times as much
    world.rests()
    world.mps.moves(PART, -9)
    world.cycle(HOUR + 2)

    assert "108" in short_of(world)["detail"]
    assert world.pushed() == []


# --- who has it, and what a person chooses ----------------------------------------------------


def test_it_says_which_other_warehouse_of_the_item_has_it(world: World) -> None:
    both_warehouses(world)
    world.mps.moves(PART, -500)
    world.cycle(HOUR + 2)

    assert f"{OTHER} has 920" in short_of(world)["detail"]


def test_a_warehouse_that_cannot_be_read_is_said_so(world: World) -> None:
    both_warehouses(world)
    world.erp_issuance("big", 500)
    at_other: dict[str, Any] = {"where": lambda request: OTHER in str(request.query), "times": 50}
    world.mpw.goes_wrong(ASKED, effect="never", answer=Reply(503), **at_other)
    world.cycle(2)

    assert f"{OTHER} could not be read" in short_of(world)["detail"]


@pytest.mark.parametrize("by", ["erp", "movement"])
def test_what_is_missing_is_taken_from_the_other_warehouse(world: World, by: str) -> None:
    both_warehouses(world)
    layers(world, 5)
    if by == "erp":
        world.erp_issuance("big", 1000)
    else:
        world.restart(SYNC_TELL_SHORTAGE_MINUTES="0")
        world.mps.moves(PART, -1000)
    world.cycle(2)
    chosen(world, f"--from {OTHER}")
    world.rests()

    assert (world.mpw.stock(PART, MAIN), world.mpw.stock(PART, OTHER)) == (0, 25)
    assert world.told() == []
    assert world.states(operation="post_issuance") == ["done"]
    taken = [(row.warehouse, row.quantity) for row in world.mpw.issuances]
    assert taken == [(MAIN, 100), (MAIN, 5), (OTHER, 895)]


def test_all_of_it_may_be_in_the_second_warehouse(world: World) -> None:
    both_warehouses(world)
    world.mpw.issues(PART, 100, MAIN)
    world.rests()
    world.erp_issuance("there", 7)
    world.cycle()
    chosen(world, f"--from {OTHER}")
    world.rests()

    assert world.mpw.stock(PART, OTHER) == 913
    assert world.told() == []


def test_what_is_there_is_posted_and_the_rest_dropped(world: World) -> None:
    layers(world, 5)
    world.erp_issuance("big", 1000)
    world.cycle()
    chosen(world, "--available")
    world.rests()

    assert world.mpw.stock(PART, MAIN) == 0
    assert [row.quantity for row in world.mpw.issuances] == [100, 5]
    assert world.states(operation="post_issuance") == ["done"]
    assert world.told() == []
    assert world.stocks() == (0, 0)


def test_dropped_nothing_of_it_is_posted(world: World) -> None:
    world.restart(SYNC_TELL_SHORTAGE_MINUTES="0")
    world.mps.moves(PART, -120)
    world.cycle(2)
    chosen(world, "--keep")
    world.rests()

    assert world.pushed() == []
    assert world.states(operation="post_issuance") == ["discarded"]
    assert world.told() == []
    assert world.stocks() == (100, 100)


def test_told_to_wait_it_is_asked_about_no_more_and_goes_when_there_is_enough(world: World) -> None:
    world.erp_issuance("big", 130)
    world.cycle()
    chosen(world, "--wait")
    world.cycle(HOUR)
    assert world.told() == []
    assert world.pushed() == []
    assert world.status() == []
    assert waits(world)

    world.mpw.receives(PART, 30, 10, MAIN)
    world.rests()
    assert world.mpw.stock(PART, MAIN) == 0


def test_a_choice_whose_stock_is_gone_is_asked_again(world: World) -> None:
    both_warehouses(world)
    world.erp_issuance("big", 500)
    world.cycle()
    world.mpw.issues(PART, 900, OTHER)
    chosen(world, f"--from {OTHER}")
    world.cycle(2)

    assert world.pushed() == []
    assert f"20 in {OTHER}" in short_of(world)["detail"]


@pytest.mark.parametrize("choice", [(), ("--available",), ("--from", "WH9"), ("--from", MAIN), ("--apply",)])
def test_a_choice_that_cannot_be_is_refused(world: World, choice: tuple[str, ...]) -> None:
    world.mpw.issues(PART, 100, MAIN)
    world.erp_issuance("big", 500)
    world.cycle(2)
    found = short_of(world)
    code, said = world.mpsync("exceptions", "resolve", str(found["id"]), "--why", "tried", *choice)

    assert code == 2
    assert "--wait" in said or "--apply" in said
    assert world.told() == [KIND]


def test_todo_offers_the_choices(world: World) -> None:
    both_warehouses(world)
    world.erp_issuance("big", 500)
    world.cycle()

    (todo,) = world.view("v_todo", kind=KIND)
    commands = [choice["command"] for choice in json.loads(todo["choices"])]
    for option in ("--available", "--from WAREHOUSE", "--keep", "--wait"):
        assert any(option in command for command in commands), option


def test_a_document_that_the_erp_takes_back_ends_it(world: World) -> None:
    world.erp_issuance("big", 500)
    world.cycle()
    short_of(world)
    world.erp("void", "big", kind="issuance")
    world.cycle(2)

    assert world.told() == []
    assert world.pushed() == []


# --- transfers, and routes that hold -----------------------------------------------------------


def test_a_transfer_beyond_the_stock_is_not_sent(world: World) -> None:
    fields = {"part_number": PART, "warehouse_name": MAIN, "destination_warehouse_name": OTHER}
    world.erp("transfer", "t-1", **fields, quantity=500)
    world.cycle()
    assert f"100 in {MAIN}" in short_of(world)["detail"]
    assert world.pushed() == []

    chosen(world, "--keep")
    world.rests()
    assert (world.mpw.stock(PART, MAIN), world.mpw.stock(PART, OTHER)) == (100, 0)
    assert world.pushed() == []
    assert world.told() == []


def test_a_transfer_goes_when_the_stock_is_there(world: World) -> None:
    fields = {"part_number": PART, "warehouse_name": MAIN, "destination_warehouse_name": OTHER}
    world.mpw.issues(PART, 100, MAIN)
    world.erp("transfer", "t-1", **fields, quantity=50)
    world.cycle(2)
    short_of(world)
    world.mpw.receives(PART, 60, 10, MAIN)
    world.rests()

    assert world.mpw.stock(PART, OTHER) == 50
    assert world.told() == []


@pytest.mark.parametrize("choice", [("--from", OTHER), ("--available",)])
def test_another_quantity_or_warehouse_is_another_transfer(world: World, choice: tuple[str, ...]) -> None:
    both_warehouses(world)
    fields = {"part_number": PART, "warehouse_name": MAIN, "destination_warehouse_name": OTHER}
    world.erp("transfer", "t-1", **fields, quantity=500)
    world.cycle(2)
    found = short_of(world)
    code, said = world.mpsync("exceptions", "resolve", str(found["id"]), "--why", "x", *choice)

    assert code == 2
    assert "transfer" in said
    assert choice[0] not in found["hint"]


def test_held_it_is_told_by_plan_and_once_released(world: World) -> None:
    world.restart(SYNC_ROUTE_ISSUANCES="hold")
    world.erp_issuance("big", 500)
    world.cycle()
    assert world.told() == []
    code, said = world.mpsync("plan", "--json")
    assert code in (0, 1)
    (planned,) = [row for row in json.loads(said)["planned"] if row["api_key"] == "big"]
    assert f"MPW has 100 in {MAIN}" in planned["why"]

    world.mpsync("outbox", "release", "--key", "big")
    world.cycle()
    short_of(world)
    _, told = world.mpsync("explain", "big")
    assert KIND in told


def test_a_stock_that_was_just_read_is_not_read_again(world: World) -> None:
    world.mpw.adds("Q-1", MAIN, 50, 10)
    world.erp_issuance("first", 5, part_number="Q-1")
    world.rests()

    assert world.pushed() == [ISSUANCE]
    asked = [request for request in world.mpw.asked(ASKED) if request.query["part_number"] == "Q-1"]
    assert len(asked) == 1
