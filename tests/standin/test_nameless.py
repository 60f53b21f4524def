"""A line without an external id whose part MPW does not know: one exception, and each way out that its hint says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.standin.world import MAIN, PART, World

OWN, OWN_OF_OTHER = "0000000000001", "0000000000002"


@pytest.fixture
def waiting(world: World) -> World:
    """A person has moved the mapped product, and the line shows MPservices' own id only."""
    world.moved = world.mps.moves(PART, 5, external=False)  # type: ignore[attr-defined]
    world.cycle(3)
    assert world.told() == ["unknown_part"]
    return world


def test_the_product_is_given_an_external_id(waiting: World) -> None:
    movement = waiting.mps._movement(waiting.moved)  # type: ignore[attr-defined]
    movement.lines = tuple(replace(line, external_id=PART) for line in movement.lines)
    waiting.rests()

    assert waiting.stocks() == (105, 105)
    assert waiting.told() == []


def test_the_part_is_created_in_mpw(waiting: World) -> None:
    waiting.mpw.adds(OWN, MAIN, 1, 10)
    waiting.rests()

    assert waiting.mpw.stock(OWN, MAIN) == 6
    assert waiting.told() == ["stock_blocked"]  # MPservices cannot be told of it
    waiting.follows("stock_blocked", "exceptions resolve")
    waiting.rests()
    assert waiting.told() == []


def test_it_is_keyed_in_by_hand_and_left(waiting: World) -> None:
    waiting.mpw.receives(PART, 5, 10, MAIN)
    waiting.follows("unknown_part", "--keep")
    waiting.rests()

    assert waiting.stocks() == (105, 105)
    assert waiting.pushed() == []
    assert "unknown_part" not in waiting.told()
    assert "stock_blocked" not in waiting.told()


def test_what_is_left_stays_left_when_its_movement_vanishes_from_the_feed_and_returns(waiting: World) -> None:
    waiting.mpw.receives(PART, 5, 10, MAIN)
    waiting.follows("unknown_part", "--keep")
    waiting.rests()
    movement = waiting.mps._movement(waiting.moved)  # type: ignore[attr-defined]
    at = waiting.mps.movements.index(movement)
    waiting.mps.movements.remove(movement)
    waiting.cycle(3)
    assert {"movement_deleted", "short_window"} & set(waiting.told())

    waiting.mps.movements.insert(at, movement)
    waiting.mpw.adds(OWN, MAIN)  # else nothing could be posted for it
    waiting.rests()
    assert waiting.pushed() == []
    assert waiting.stocks() == (105, 105)


def test_its_own_id_is_mapped_to_its_part(world: World, tmp_path: Path) -> None:
    world.mps.add("P-3", 5, 10)
    world.mps.moves("P-3", 5, external=False)
    world.cycle(3)
    told = world.told()
    world.mpw.adds("P-3", MAIN, 7, 10)
    file = tmp_path / "items.csv"
    rows = [f"{PART},{PART},{MAIN},1", f"{OWN_OF_OTHER},P-3,{MAIN},1"]
    file.write_text("\n".join(["external_id,part_number,warehouses,factor", *rows]))
    world.follows("unknown_part", "items import", FILE=str(file))
    world.rests()

    assert told == ["unknown_part"]
    assert world.mpw.stock("P-3", MAIN) == 12
    assert world.told() == ["stock_blocked"]
    world.follows("stock_blocked", "exceptions resolve")
    world.rests()
    assert world.told() == []


def test_a_resolution_without_a_choice_looks_again_at_once(waiting: World) -> None:
    waiting.resolve("unknown_part")
    waiting.cycle()

    assert waiting.told() == ["unknown_part"]
