"""The stand-in itself, and that the program gets along with it where nothing is special."""

from __future__ import annotations

from tests.standin.world import PART, World


def test_nothing_is_written_where_both_sides_have_the_same(world: World) -> None:
    assert set(world.writes()) <= {"PATCH UpdateProductStockCost"}
    assert world.stocks() == (100, 100)
    assert world.told() == []


def test_what_people_do_on_either_side_reaches_the_other_once(world: World) -> None:
    before = world.patches()
    world.mps.moves(PART, -3)
    world.mpw.receives(PART, 10, 10, "Warehouse #1")

    world.rests()

    assert world.stocks() == (107, 107)
    assert world.pushed() == ["POST issuances"]
    assert world.patches() - before <= 2
    assert world.told() == []
