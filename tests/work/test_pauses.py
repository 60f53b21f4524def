"""Refused credentials: MPW is left alone until they change, MPservices for a quarter of an hour."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from sync.database.engine import Store
from sync.poll.feed.window import poll_movements_once
from sync.poll.schedule import poll_due_once
from sync.values.systems import MPSERVICES, MPW
from tests.clocks import FakeClock
from tests.worlds.poll_world import PollWorld, movement, poll_world

FEED = "FetchTenantsInventoryMovements"


@pytest.fixture
def world(store: Store, clock: FakeClock) -> Iterator[PollWorld]:
    with poll_world(store, clock) as made:
        yield made


def test_one_401_of_mpservices_is_told_and_ends_by_itself(world: PollWorld) -> None:
    world.vendors.answers[FEED] = (401, b"{}")
    poll_movements_once(world.ctx)
    assert [(row.kind, row.subject) for row in world.exceptions()] == [("credentials", MPSERVICES)]
    del world.vendors.answers[FEED]
    world.vendors.feed = [movement("m-1")]
    world.clock.advance(minutes=14)
    poll_movements_once(world.ctx)
    assert len(world.vendors.asked(FEED)) == 1

    world.clock.advance(minutes=1)
    poll_movements_once(world.ctx)

    assert world.exceptions() == []
    assert world.ctx.paused(MPSERVICES) is None
    assert len(world.entries()) == 1
    assert world.rows("select count(*) from pauses") == [(0,)]


def test_a_token_that_stays_wrong_is_tried_four_times_an_hour_and_stays_told(world: PollWorld) -> None:
    world.vendors.answers[FEED] = (401, b"{}")

    for _ in range(61):
        poll_movements_once(world.ctx)
        world.clock.advance(minutes=1)

    assert len(world.vendors.asked(FEED)) == 5
    assert [row.kind for row in world.exceptions()] == ["credentials"]
    assert "15 minutes" in world.exceptions()[0].hint


def test_a_pause_that_a_clock_that_was_ahead_has_written_does_not_last(world: PollWorld) -> None:
    world.vendors.answers[FEED] = (401, b"{}")
    true = world.clock.now()
    world.clock.current = true + timedelta(days=10)
    poll_movements_once(world.ctx)
    del world.vendors.answers[FEED]
    world.clock.current = true

    poll_movements_once(world.ctx)

    assert world.exceptions() == []


def test_mpw_s_login_is_not_tried_again_by_itself(world: PollWorld) -> None:
    world.vendors.answers["authentication"] = (401, b'{"message":"Unauthorized"}')
    for _ in range(3):
        poll_due_once(world.ctx)
        world.clock.advance(hours=1)

    assert len(world.vendors.asked("authentication")) == 1
    assert world.ctx.paused(MPW) is not None
