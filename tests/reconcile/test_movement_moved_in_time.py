"""A movement whose createdAt alone changed: no stock is in doubt, and only another day is another date in MPW."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text

from sync.database.engine import Store
from sync.ledger.item_states import beliefs, save_item_state
from sync.values.exception_kinds import APPLY, KEEP
from tests.clocks import FakeClock
from tests.reconcile.test_corrections import KEY, blocked, decide, finish
from tests.worlds.reconcile_world import World, fields, keys, make_world

LINE = ("P-1", "5", "2")


@pytest.fixture
def world(store: Store, clock: FakeClock) -> World:
    return make_world(store, clock)


def noon(world: World) -> datetime:
    return world.clock.now().astimezone(UTC).replace(hour=12, minute=0, second=0, microsecond=0)


def based(world: World, at: datetime) -> None:
    """MPservices' stock of the item is known as of an instant."""
    with world.store.write() as conn:
        base = {"base_quantity": Decimal(100), "base_at": at, "base_place": 0, "base_verified": True}
        save_item_state(conn, "P-1", {"managed": True, **base})


def believed(world: World) -> Decimal | None:
    with world.store.read() as conn:
        return beliefs(conn, ["P-1"])["P-1"].quantity


@pytest.mark.parametrize("minutes", [30, -30, 330])
@pytest.mark.parametrize("posted", [True, False])
def test_within_its_day_nothing_is_asked_and_nothing_is_sent(world: World, minutes: int, posted: bool) -> None:
    at = noon(world)
    world.move("Inbound", LINE, at=at)
    world.reconcile()
    if posted:
        world.done(world.pushes()[0].id)
    before = keys(world.pushes())
    based(world, at - timedelta(hours=8))

    for moved in (minutes, 0, minutes):
        world.move("Inbound", LINE, at=at + timedelta(minutes=moved))
        world.reconcile()

    assert (world.told(), keys(world.pushes()), blocked(world.store, "P-1")) == ([], before, {})
    assert believed(world) == 105
    with world.store.read() as conn:
        assert conn.execute(text("select count(*) from ledger_entries where system = 'mpservices'")).scalar_one() == 1


@pytest.mark.parametrize("base", [10, 0, 30])
def test_moved_over_the_base_its_stock_is_not_believed(world: World, base: int) -> None:
    at = noon(world)
    world.move("Inbound", LINE, at=at)
    world.reconcile()
    based(world, at + timedelta(minutes=base))

    world.move("Inbound", LINE, at=at + timedelta(minutes=30))

    assert believed(world) is None
    assert (world.told(), blocked(world.store, "P-1")) == ([], {})


def test_moved_to_another_day_before_it_was_sent_it_is_posted_with_that_date(world: World) -> None:
    at = noon(world)
    world.move("Inbound", LINE, at=at)
    world.reconcile()

    world.move("Inbound", LINE, at=at - timedelta(days=1))
    world.reconcile()

    assert [push.state for push in world.pushes()] == ["superseded", "ready"]
    assert fields(world.pushes()[1])["created_on"] == f"{at - timedelta(days=1):%Y-%m-%d}"
    assert world.told() == []


@pytest.mark.parametrize("option", [APPLY, KEEP])
def test_moved_to_another_day_after_it_was_posted_a_person_is_asked_and_the_item_is_not_stopped(
    world: World, option: str
) -> None:
    at = noon(world)
    world.move("Inbound", LINE, at=at)
    world.reconcile()
    world.done(world.pushes()[0].id)
    based(world, at - timedelta(days=3))

    world.move("Inbound", LINE, at=at - timedelta(days=1))
    world.reconcile()

    assert (world.told(), blocked(world.store, "P-1")) == ([("movement_changed", "m-1")], {})
    assert believed(world) == 105
    decide(world, option)
    world.reconcile()
    assert world.told() == []
    if option == KEEP:
        assert keys(world.pushes()) == [("post_receipt", KEY, "done")]
        return
    finish(world, "delete_receipt", KEY)
    world.reconcile()
    assert fields(world.pushes()[2])["created_on"] == f"{at - timedelta(days=1):%Y-%m-%d}"
