"""People at random, faults at random: the numbers meet, each movement reaches MPW once, and no echo does."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from sync.store.engine import Store
from tests.flows.stock_world import PATCHES, StockWorld, stock_world

SEEDS = range(12)
FAULTS = ("lost_request", "lost_answer", "error_before", "error_after", "cut_body", "too_many", "html_after")


def a_day(world: StockWorld, dice: random.Random) -> None:
    """Let people move stock on both sides, let patches fail, and let the program work in between."""
    moves = (lambda: moved(world, dice), lambda: received(world, dice), lambda: None)
    for _ in range(dice.randint(4, 9)):
        for _ in range(dice.randint(0, 2)):
            dice.choice(moves)()
        if dice.random() < 0.4:
            world.sandbox.faults.add(PATCHES, dice.choice(FAULTS), after=dice.randint(0, 1))
        elif dice.random() < 0.4:
            act: Callable[[], None] = dice.choice(moves)
            world.before_patch(act)
        if dice.random() < 0.2:
            world.sandbox.faults.add("mpservices.movements", "error_before", after=dice.randint(0, 3))
        world.cycle()
        world.clock.advance(dice.choice((0, 1, 30, 300, 1200)))


def moved(world: StockWorld, dice: random.Random) -> None:
    world.moves(dice.choice((-5, -2, -1, 1, 2, 5)), dice.choice((10, 10, 12)))


def received(world: StockWorld, dice: random.Random) -> None:
    world.receives(dice.choice((1, 2, 5)), dice.choice((10, 12)))


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_people_and_the_network_do_the_numbers_meet(sqlite_store: Store, seed: int) -> None:
    dice = random.Random(seed)
    with stock_world(sqlite_store) as world:
        world.moves(1)
        world.cycle()
        world.clock.advance(minutes=10)
        world.receives(1)
        world.cycle()
        assert world.state().base_verified

        a_day(world, dice)
        world.sandbox.faults.clear()
        world.settle()
        world.settle()

        people = [movement for movement in world.sandbox.mpservices.all_movements if not movement.by_patch]
        ours = {movement.id for movement in world.sandbox.mpservices.all_movements if movement.by_patch}
        forwarded = [row.api_key for row in world.rows("post_receipt") + world.rows("post_issuance")]
        roles = {line.movement_id: line.role for line in world.lines()}
        assert not [line for line in world.lines() if line.movement_id in ours and line.api_key in forwarded]
        assert {kind for kind, _ in world.exceptions()} <= {"echo_undecided"}
        if not world.exceptions():
            assert world.stocks()[0] == world.stocks()[1]
            assert world.state().mps_quantity == world.stocks()[1]
            assert len(forwarded) == len(people)
            assert {roles[movement.id] for movement in people} == {"event"}
            assert {roles[movement] for movement in ours} <= {"echo"}
            written = world.writes()
            world.cycle()
            assert world.writes() == written
