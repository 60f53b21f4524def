from __future__ import annotations

import contextlib
import gc
import sys
import threading
import time
from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from sync.clients.mpw.client import MpwClient
from sync.clock import Clock
from sync.database.engine import Store
from sync.database.runs import Counts
from sync.errors import ConfigError
from sync.ledger.coverage import ISSUANCES, MOVEMENTS, PURCHASE_ORDERS, RECEIPTS
from sync.poll import backfill
from sync.poll.backfill import backfill_once, planned
from sync.poll.days import day_pass
from sync.poll.days.read import DayRead
from tests.clocks import FakeClock
from tests.worlds.poll_world import TODAY, PollWorld, issuance, movement, order, poll_world, receipt

FIRST = date(2024, 1, 1)
LAST = date(2024, 2, 29)


@pytest.fixture
def world(store: Store, clock: FakeClock) -> Iterator[PollWorld]:
    with poll_world(store, clock) as made:
        yield made


def _fill(world: PollWorld, days: int = 60) -> None:
    for n in range(days):
        day = FIRST + timedelta(days=n)
        world.put("receipts", *(receipt(n * 10 + i, created_on=day.isoformat()) for i in range(3)), day=day)
        world.put("issuances", issuance(n * 10, created_on=day.isoformat()), day=day)
        world.vendors.orders.append(order(1000 + n, day, status="Received"))


def test_every_row_of_every_day_lands_once(world: PollWorld) -> None:
    _fill(world)

    done = backfill_once(world.ctx, FIRST, LAST)
    again = backfill_once(world.ctx, FIRST, LAST)

    assert done.counts.added == 60 * 3 + 60 + 60
    assert done.failed == []
    assert again.counts.seen == 0
    assert len(world.entries()) == 240


def test_complete_days_are_skipped_unless_asked_for_again(world: PollWorld) -> None:
    _fill(world)
    backfill_once(world.ctx, FIRST, LAST, sources=[RECEIPTS])
    world.vendors.requests.clear()

    skipped = backfill_once(world.ctx, FIRST, LAST, sources=[RECEIPTS])
    asked = list(world.vendors.requests)
    again = backfill_once(world.ctx, FIRST, LAST, sources=[RECEIPTS], again=True)

    assert (asked, skipped.skipped_days) == ([], 60)
    assert (again.counts.unchanged, again.counts.added) == (180, 0)
    assert len(world.vendors.asked("receipts")) == 60


def test_a_backfill_stopped_half_way_goes_on_where_it_was(world: PollWorld) -> None:
    _fill(world)
    seen: list[date] = []

    def killed(_source: str, day: date, _counts: Counts) -> None:
        seen.append(day)
        if len(seen) == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backfill_once(world.ctx, FIRST, LAST, sources=[RECEIPTS], progress=killed)
    half = len(world.entries())
    done = backfill_once(world.ctx, FIRST, LAST, sources=[RECEIPTS])

    assert 0 < half < 180
    assert half + done.counts.added == 180
    assert len({row.remote_id for row in world.entries()}) == 180


def test_a_day_that_fails_is_reported_and_the_others_go_on(world: PollWorld) -> None:
    _fill(world)
    world.vendors.answers["receipts 2024-01-15"] = (200, b"<html>")

    done = backfill_once(world.ctx, FIRST, LAST, sources=[RECEIPTS])
    del world.vendors.answers["receipts 2024-01-15"]
    rest = backfill_once(world.ctx, FIRST, LAST, sources=[RECEIPTS])

    assert [(source, day) for source, day, _ in done.failed] == [(RECEIPTS, date(2024, 1, 15))]
    assert "HTML" in done.failed[0][2]
    assert (done.counts.added, rest.counts.added, rest.skipped_days) == (177, 3, 59)


def test_a_busy_vendor_is_asked_again_after_a_while(world: PollWorld) -> None:
    _fill(world, 5)
    world.vendors.answers["receipts 2024-01-03"] = (429, b"")
    real = world.vendors.handle
    refused: list[str] = []

    def sometimes(request):  # type: ignore[no-untyped-def]
        answer = real(request)
        if answer.status_code == 429:
            refused.append(str(request.url))
            if len(refused) == 2:
                del world.vendors.answers["receipts 2024-01-03"]
        return answer

    assert world.ctx.mpw is not None
    world.ctx.mpw._http._client._transport.handler = sometimes  # type: ignore[attr-defined]

    done = backfill_once(world.ctx, FIRST, date(2024, 1, 5), sources=[RECEIPTS])

    assert done.failed == []
    assert done.counts.added == 15
    assert len(refused) == 2
    assert world.clock.slept


def test_a_vendor_that_is_down_ends_the_backfill_early(world: PollWorld) -> None:
    world.vendors.answers["receipts"] = (503, b"")

    done = backfill_once(world.ctx, FIRST, LAST, sources=[RECEIPTS])

    assert 10 <= len(done.failed) < 60
    assert len(world.vendors.asked("receipts")) < 240
    assert "stopped before the end" in done.notes[0]


def test_wrong_credentials_stop_it_after_one_login(world: PollWorld) -> None:
    world.vendors.answers["authentication"] = (401, b"")

    done = backfill_once(world.ctx, FIRST, LAST)

    assert len(world.vendors.asked("authentication")) == 1
    assert done.counts.seen == 0
    assert done.failed
    assert [row.kind for row in world.exceptions()] == ["credentials"]


def test_progress_names_every_day(world: PollWorld) -> None:
    _fill(world, 10)
    steps: list[tuple[str, date]] = []
    last = FIRST + timedelta(days=9)

    total = planned(world.ctx, FIRST, last, sources=[RECEIPTS, ISSUANCES])
    backfill_once(
        world.ctx,
        FIRST,
        last,
        sources=[RECEIPTS, ISSUANCES],
        progress=lambda source, day, _counts: steps.append((source, day)),
    )

    assert total == len(steps) == 20
    assert len(set(steps)) == 20


def test_today_stays_incomplete_and_is_read_again(world: PollWorld) -> None:
    backfill_once(world.ctx, TODAY, TODAY, sources=[RECEIPTS])
    world.vendors.requests.clear()

    backfill_once(world.ctx, TODAY, TODAY, sources=[RECEIPTS])

    assert len(world.vendors.asked("receipts")) == 1


def test_a_row_deleted_meanwhile_is_voided_by_two_repeats(world: PollWorld) -> None:
    _fill(world, 5)
    backfill_once(world.ctx, FIRST, LAST, sources=[RECEIPTS])
    world.put("receipts", receipt(0), receipt(1), day=FIRST)

    first = backfill_once(world.ctx, FIRST, LAST, sources=[RECEIPTS], again=True)
    world.clock.advance(hours=2)
    second = backfill_once(world.ctx, FIRST, LAST, sources=[RECEIPTS], again=True)

    assert (first.counts.voided, second.counts.voided) == (0, 1)


# MPservices


def test_movements_beyond_the_window_are_refused_with_what_to_do_instead(world: PollWorld) -> None:
    with pytest.raises(ConfigError) as caught:
        backfill_once(world.ctx, FIRST, TODAY, sources=[MOVEMENTS])

    assert "last 48 hours" in caught.value.message
    assert "mpsync import" in str(caught.value.hint)
    assert "--type movement" in str(caught.value.hint)
    assert world.vendors.requests == []


def test_without_a_source_the_rest_is_read_and_the_refusal_noted(world: PollWorld) -> None:
    done = backfill_once(world.ctx, FIRST, TODAY)

    assert "mpsync import" in done.notes[0]
    assert world.vendors.asked("FetchTenantsInventoryMovements") == []
    assert done.failed == []


def test_movements_inside_the_window_are_one_reading(world: PollWorld) -> None:
    world.vendors.feed = [movement()]

    done = backfill_once(world.ctx, TODAY - timedelta(days=1), TODAY, sources=[MOVEMENTS])

    assert done.counts.added == 1
    assert len(world.vendors.asked("FetchTenantsInventoryMovements")) == 1


@pytest.mark.parametrize(
    ("first", "last", "sources"),
    [(LAST, FIRST, None), (FIRST, LAST, ["mpw.everything"])],
)
def test_a_range_or_source_that_makes_no_sense_is_refused(
    world: PollWorld, first: date, last: date, sources: list[str] | None
) -> None:
    with pytest.raises(ConfigError):
        backfill_once(world.ctx, first, last, sources=sources)


def test_orders_are_read_by_months(world: PollWorld) -> None:
    _fill(world)

    done = backfill_once(world.ctx, FIRST, LAST, sources=[PURCHASE_ORDERS])

    assert done.counts.added == 60
    assert len(world.vendors.asked("purchase_orders")) == 2


def test_a_fault_in_reading_a_day_ends_the_backfill_and_keeps_the_days_before(
    world: PollWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(world)
    parse = backfill.parse

    def faulty(read: DayRead) -> None:
        if read.day == FIRST + timedelta(days=40):
            raise RuntimeError("a fault of ours")
        parse(read)

    with monkeypatch.context() as patched:
        patched.setattr(backfill, "parse", faulty)
        with pytest.raises(RuntimeError, match="a fault of ours"):
            backfill_once(world.ctx, FIRST, LAST, sources=[RECEIPTS])
    before = len(world.entries())
    again = backfill_once(world.ctx, FIRST, LAST, sources=[RECEIPTS])

    assert before == 40 * 3
    assert again.counts.added == 20 * 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mpsync-")]


def test_what_a_slow_vendor_has_answered_is_there_before_the_next_answer(
    world: PollWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(day_pass, "WORTH_ROWS", 3)
    _fill(world)
    seen: list[int] = []
    fetch = backfill.fetch_day

    def slow(client: MpwClient, source: str, day: date, *, clock: Clock) -> DayRead:
        if day == FIRST + timedelta(days=2):
            give_up_at = time.monotonic() + 20
            while not world.entries() and time.monotonic() < give_up_at:
                time.sleep(0.01)
            seen.append(len(world.entries()))
        return fetch(client, source, day, clock=clock)

    monkeypatch.setattr(backfill, "fetch_day", slow)
    backfill_once(world.ctx, FIRST, FIRST + timedelta(days=2), sources=[RECEIPTS])

    assert seen[0] in (3, 6)
    assert len(world.entries()) == 9


@pytest.mark.parametrize("killed", [False, True])
def test_a_backfill_leaves_the_interpreter_as_it_found_it(world: PollWorld, killed: bool) -> None:
    _fill(world)
    before = gc.get_threshold(), sys.getswitchinterval()
    during: list[tuple[tuple[int, int, int], float]] = []

    def watch(_source: str, _day: date, _counts: Counts) -> None:
        during.append((gc.get_threshold(), sys.getswitchinterval()))
        if killed:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        backfill_once(world.ctx, FIRST, LAST, sources=[RECEIPTS], progress=watch)

    assert during[0] != before
    assert (gc.get_threshold(), sys.getswitchinterval()) == before
