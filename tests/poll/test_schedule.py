from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import pairwise

import pytest
from sqlalchemy import update

from sync.database.engine import Store
from sync.database.leases import Lease, take_lease
from sync.database.schema import coverage
from sync.errors import LeaseLostError
from sync.ledger.coverage import RECEIPTS, caught_up
from sync.poll.schedule import due_windows, poll_days_once, poll_due_once, poll_recent_once
from tests.clocks import FakeClock
from tests.worlds.poll_world import TODAY, PollWorld, issuance, movement, order, poll_world, receipt


@pytest.fixture
def world(store: Store, clock: FakeClock) -> Iterator[PollWorld]:
    with poll_world(store, clock) as made:
        yield made


def test_a_first_cycle_reads_every_source_and_every_day_since_the_start(world: PollWorld) -> None:
    world.put("receipts", receipt())
    world.put("issuances", issuance())
    world.vendors.feed = [movement()]
    world.vendors.orders = [order(1000)]

    counts = poll_due_once(world.ctx)

    assert counts.added == 4
    assert len(world.vendors.asked("receipts")) == 5  # three days, today, tomorrow
    with world.store.read() as conn:
        assert caught_up(conn, world.ctx.policy, world.clock.now())


def test_a_second_cycle_reads_what_changes_often_and_writes_nothing_new(world: PollWorld) -> None:
    world.put("receipts", receipt())
    world.vendors.feed = [movement()]
    poll_due_once(world.ctx)
    world.vendors.requests.clear()
    entries = world.entries()

    counts = poll_due_once(world.ctx)

    assert (counts.added, counts.changed, counts.voided) == (0, 0, 0)
    assert world.entries() == entries
    assert world.vendors.asked("receipts") == ["receipts?date=2024-03-15", "receipts?date=2024-03-14"]


def test_the_days_before_the_last_year_are_looked_at_again_only_where_one_is_missing_or_unclean(
    world: PollWorld,
) -> None:
    start = TODAY - timedelta(days=800)
    world.set_policy(start_date=start)
    poll_days_once(world.ctx, RECEIPTS, [start + timedelta(days=n) for n in range(802)])
    unclean, hole = start + timedelta(days=10), start + timedelta(days=20)
    with world.store.write() as conn:
        conn.execute(update(coverage).where(coverage.c.day == unclean).values(unclean=True))
    world.clock.advance(minutes=61)

    def old() -> list[date]:
        with world.store.read() as conn:
            due = due_windows(conn, world.ctx.policy, world.clock.now(), sources=[RECEIPTS])
        return [day for day in due[RECEIPTS] if day < TODAY - timedelta(days=365)]

    whole = old()
    with world.store.write() as conn:
        conn.execute(update(coverage).where(coverage.c.day == hole).values(complete=False))

    assert whole == [unclean]
    assert old() == [hole, unclean]


def test_without_recent_only_what_is_incomplete_or_overdue_is_read(world: PollWorld) -> None:
    poll_due_once(world.ctx)
    world.vendors.requests.clear()

    poll_due_once(world.ctx, recent=False)

    assert world.vendors.requests == []


def test_a_pause_of_a_week_leaves_no_hole(world: PollWorld) -> None:
    poll_due_once(world.ctx)
    world.clock.advance(days=7)
    day = TODAY + timedelta(days=3)
    world.put("receipts", receipt(created_on=day.isoformat()), day=day)

    poll_due_once(world.ctx)

    assert len(world.entries()) == 1
    with world.store.read() as conn:
        assert caught_up(conn, world.ctx.policy, world.clock.now())


def test_stock_patches_wait_while_a_past_day_is_incomplete(world: PollWorld) -> None:
    world.vendors.answers["receipts 2024-03-13"] = (200, b"<html>")

    poll_due_once(world.ctx)

    with world.store.read() as conn:
        assert not caught_up(conn, world.ctx.policy, world.clock.now())


def test_one_failing_source_does_not_stop_the_others(world: PollWorld) -> None:
    world.vendors.answers["issuances"] = (200, b"<html>log in</html>")
    world.vendors.answers["FetchTenantsInventoryMovements"] = (500, b"")
    world.put("receipts", receipt())
    world.vendors.orders = [order(1000)]

    counts = poll_due_once(world.ctx)

    assert counts.added == 2
    failed = world.rows("select distinct flow from runs where outcome = 'failed' order by flow")
    assert failed == [("poll.mpservices.movements",), ("poll.mpw.issuances",)]


def test_a_vendor_that_is_down_is_not_asked_for_every_day(world: PollWorld) -> None:
    world.set_policy(start_date=TODAY - timedelta(days=100))
    world.vendors.answers["receipts"] = (503, b"")

    poll_recent_once(world.ctx, RECEIPTS)

    assert len(world.vendors.asked("receipts")) == 3


def test_malformed_days_do_not_keep_the_older_ones_from_being_read(world: PollWorld) -> None:
    world.set_policy(start_date=TODAY - timedelta(days=10))
    world.vendors.answers["receipts"] = (200, b"<html>")

    poll_recent_once(world.ctx, RECEIPTS)

    assert len(world.vendors.asked("receipts")) == 12


def test_a_list_that_fails_is_asked_for_less_and_less_often_and_at_once_when_it_is_back(world: PollWorld) -> None:
    world.set_policy(start_date=TODAY - timedelta(days=10), poll_recent=timedelta(minutes=5))
    world.vendors.answers["receipts"] = (200, b"<html>")

    asked = []
    for _ in range(720):  # an hour of the daemon's ticks
        before = len(world.vendors.asked("receipts"))
        poll_recent_once(world.ctx, RECEIPTS)
        asked.append(len(world.vendors.asked("receipts")) - before)
        world.clock.advance(seconds=5)
    passes = [tick for tick, number in enumerate(asked) if number]
    world.vendors.answers.clear()
    world.clock.advance(minutes=5)
    poll_recent_once(world.ctx, RECEIPTS)

    assert set(asked) == {0, 12}
    assert len(passes) < 25
    assert passes[:3] == [0, 1, 2]
    assert max(later - earlier for earlier, later in pairwise(passes)) == 60
    assert len(world.rows("select day from coverage where source = 'mpw.receipts' and error is null")) == 12


def test_the_day_that_a_push_is_dated_to_is_read_back_out_of_turn(world: PollWorld) -> None:
    poll_due_once(world.ctx)
    day = TODAY - timedelta(days=3)
    world.clock.advance(minutes=1)
    now = world.clock.now()
    world.add_push("post_receipt", "mps-1-1", payload=f'{{"created_on":"{day}"}}', last_sent_at=now)

    with world.store.read() as conn:
        due = due_windows(conn, world.ctx.policy, now)
    world.clock.advance(seconds=1)
    poll_days_once(world.ctx, RECEIPTS, due[RECEIPTS])
    with world.store.read() as conn:
        after = due_windows(conn, world.ctx.policy, world.clock.now())

    assert due[RECEIPTS] == [day]
    assert after[RECEIPTS] == []


def due_receipts(world: PollWorld) -> list[date]:
    with world.store.read() as conn:
        return due_windows(conn, world.ctx.policy, world.clock.now())[RECEIPTS]


@pytest.mark.parametrize("unseen", [True, False])
def test_the_day_ahead_that_a_push_is_dated_to_is_read_only_while_the_push_is_unseen(
    world: PollWorld, unseen: bool
) -> None:
    poll_due_once(world.ctx)
    day = TODAY + timedelta(days=7)
    world.clock.advance(minutes=1)
    now = world.clock.now()
    payload = f'{{"created_on":"{day}"}}'
    world.add_push("post_receipt", "r-1", payload=payload, last_sent_at=now, unseen_since=now if unseen else None)

    assert due_receipts(world) == ([day] if unseen else [])
    world.clock.advance(seconds=1)
    poll_days_once(world.ctx, RECEIPTS, [day])

    assert due_receipts(world) == [], "it was read since"


@pytest.mark.parametrize("ago", [timedelta(days=3), timedelta(days=2000)], ids=["3 days", "before the first day"])
def test_a_push_that_waited_for_days_before_it_was_sent_is_read_back_once(world: PollWorld, ago: timedelta) -> None:
    poll_due_once(world.ctx)
    day = TODAY - ago
    world.clock.advance(minutes=1)
    now = world.clock.now()
    world.add_push(
        "post_receipt",
        "r-1",
        payload=f'{{"created_on":"{day}"}}',
        last_sent_at=now,
        unseen_since=now,
        due_at=now - timedelta(days=3),
    )

    assert due_receipts(world) == [day]
    world.clock.advance(seconds=1)
    poll_days_once(world.ctx, RECEIPTS, [day])

    assert due_receipts(world) == []


def test_nothing_is_written_by_one_who_no_longer_leads(world: PollWorld) -> None:
    world.put("receipts", receipt())
    with world.store.write() as conn:
        mine = take_lease(conn, "leader", "me", now=world.clock.now(), lasts=timedelta(minutes=1))
    assert mine is not None
    world.ctx.lease = lambda: Lease("leader", "me", mine.token, world.clock.now() + timedelta(minutes=5))
    with world.store.write() as conn:
        later = world.clock.now() + timedelta(minutes=2)
        assert take_lease(conn, "leader", "you", now=later, lasts=timedelta(minutes=1)) is not None

    with pytest.raises(LeaseLostError):
        poll_days_once(world.ctx, RECEIPTS, [TODAY])

    assert world.entries() == []
    assert world.rows("select count(*) from coverage") == [(0,)]
