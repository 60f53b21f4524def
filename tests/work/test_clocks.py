"""Clocks that are ahead, behind or set anew: nothing is lost, reading goes on, and people are told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, update

from sync.clients.mpservices.client import MpservicesClient
from sync.clients.mpw.client import MpwClient
from sync.database.engine import Store
from sync.database.facts import FIRST_RUN_AT, beat, fact, heartbeat_age
from sync.database.schema import outbox, parked
from sync.jobs.cycle import CycleReport, work_once
from sync.jobs.due import an_agenda
from sync.jobs.prune import prune_if_due_once
from sync.learned.rows import learned, set_learned
from sync.learned.rules import FACTS
from sync.ledger.books import Books
from sync.ledger.coverage import ISSUANCES, MOVEMENTS, RECEIPTS, caught_up, covered_days, feed
from sync.poll.feed.window import poll_movements_once
from sync.poll.schedule import poll_days_once, poll_due_once
from sync.push.round import push_once
from sync.values.policy import ROUTES, cut_of_first_run
from sync.work.clocks import CLOCK_WRONG, note_clocks
from sync.work.context import Context
from sync.work.lead import LASTS, Leadership
from tests.clocks import FakeClock
from tests.worlds.poll_world import TODAY, PollWorld, issuance, movement, poll_world, receipt

AHEAD = [timedelta(hours=2), timedelta(days=1), timedelta(days=10)]
YESTERDAY = TODAY - timedelta(days=1)
by_how_much = pytest.mark.parametrize("ahead", AHEAD, ids=["2 h", "1 day", "10 days"])
both_ways = pytest.mark.parametrize("sign", [1, -1], ids=["ahead", "behind"])


class Dated:
    """A world whose vendors tell the time in their answers: the true one, and what is added to it."""

    def __init__(self, world: PollWorld) -> None:
        self.world, self.true = world, FakeClock(world.clock.now())
        self.offsets: dict[str, timedelta | None] = {"mpw": timedelta(0), "mpservices": timedelta(0)}
        self.ctx = self.started(world.ctx)

    def started(self, ctx: Context) -> Context:
        """Return what a newly started program works with."""
        limits: dict[str, Any] = {"clock": self.world.clock, "max_requests_per_second": 0}
        self.ctx = Context(
            ctx.store,
            self.world.clock,
            ctx.policy,
            mpw=MpwClient("https://mpw.example/api", "u@example.com", "welcome", transport=self._to("mpw"), **limits),
            mpservices=MpservicesClient("https://mps.example", "T0KEN", transport=self._to("mpservices"), **limits),
            agenda=an_agenda(),
        )
        return self.ctx

    def first_run(self) -> datetime:
        """Start for the first time, by our clock as it is; return when that was."""
        started = self.world.clock.now()
        with self.world.store.write() as conn:
            Books(conn, now=started).note_fact(FIRST_RUN_AT, started.isoformat())
        self.world.set_policy(push_from=started)
        self.started(self.world.ctx)
        return started

    def _to(self, system: str) -> httpx.MockTransport:
        def handle(request: httpx.Request) -> httpx.Response:
            answer = self.world.vendors.handle(request)
            offset = self.offsets[system]
            if offset is not None:
                answer.headers["Date"] = format_datetime(self.true.now() + offset, usegmt=True)
            return answer

        return httpx.MockTransport(handle)

    def passes(self, **units: float) -> None:
        """Let time pass, here and there."""
        self.true.advance(**units)
        self.world.clock.advance(**units)

    def set_clock(self, off: timedelta) -> None:
        """Set our clock so far ahead of the true time."""
        self.world.clock.current = self.true.now() + off

    def told(self) -> list[str]:
        """Return the kinds of the open exceptions."""
        return [row.kind for row in self.world.exceptions()]


@pytest.fixture
def world(store: Store, clock: FakeClock) -> Iterator[PollWorld]:
    with poll_world(store, clock) as made:
        made.set_policy(routes=dict.fromkeys(ROUTES, "push"))
        yield made


@pytest.fixture
def dated(world: PollWorld) -> Dated:
    return Dated(world)


def quantities(world: PollWorld) -> list[str]:
    return sorted(row.api_key for row in world.entries())


# reading goes on


@by_how_much
def test_a_cycle_with_a_clock_that_is_ahead_stops_no_reading(world: PollWorld, ahead: timedelta) -> None:
    """No vendor tells the time here: the order of the reads alone has to do."""
    world.vendors.feed = [movement("m-1")]
    world.put("receipts", receipt(1))
    true = world.clock.now()
    world.clock.current = true + ahead
    poll_due_once(world.ctx)

    world.clock.current = true + timedelta(minutes=5)
    world.vendors.feed = [movement("m-2", created_at=world.clock.now()), movement("m-1")]
    world.put("receipts", receipt(1), receipt(2))
    poll_due_once(world.ctx)

    assert quantities(world) == ["mps-m1-1", "mps-m2-1", "mpw-r-1", "mpw-r-2"]
    with world.store.read() as conn:
        known = feed(conn, MOVEMENTS)
        assert known is not None
        assert known.last_read_at == world.clock.now()
        assert caught_up(conn, world.ctx.policy, world.clock.now())


@by_how_much
def test_what_was_read_in_the_future_is_due_on_its_own(world: PollWorld, ahead: timedelta) -> None:
    true = world.clock.now()
    world.clock.current = true + ahead
    poll_due_once(world.ctx)
    world.clock.current = true + timedelta(seconds=30)
    world.vendors.requests.clear()

    poll_due_once(world.ctx, recent=False)

    assert {"receipts?date=2024-03-15", "issuances?date=2024-03-15"} <= set(world.vendors.requests)
    assert len(world.vendors.asked("FetchTenantsInventoryMovements")) == 1
    assert world.vendors.asked("purchase_orders")


def test_a_feed_that_was_read_in_the_future_does_not_count_as_caught_up(world: PollWorld) -> None:
    true = world.clock.now()
    world.clock.current = true + timedelta(days=10)
    poll_due_once(world.ctx)

    with world.store.read() as conn:
        assert not caught_up(conn, world.ctx.policy, true)


@pytest.mark.parametrize("step", [timedelta(hours=-2), timedelta(days=-10), timedelta(days=10)])
def test_a_clock_that_is_set_in_mid_cycle_lets_every_day_land(world: PollWorld, step: timedelta) -> None:
    days = [TODAY - timedelta(days=n) for n in range(3)]
    for n, day in enumerate(days):
        world.put("issuances", issuance(n + 1, created_on=day.isoformat()), day=day)
    seen: list[str] = []
    handle = world.vendors.handle

    def stepping(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("issuances"):
            seen.append(str(request.url))
            if len(seen) == 2:
                world.clock.current += step
        return handle(request)

    mpw = MpwClient(
        "https://mpw.example/api",
        "user@example.com",
        "welcome",
        clock=world.clock,
        max_requests_per_second=0,
        transport=httpx.MockTransport(stepping),
    )
    world.ctx.mpw = mpw

    poll_days_once(world.ctx, ISSUANCES, days)
    poll_days_once(world.ctx, ISSUANCES, days)

    assert quantities(world) == ["mpw-i-1", "mpw-i-2", "mpw-i-3"]
    mpw.close()


# two readers


def test_an_answer_that_was_asked_for_before_another_was_taken_in_never_replaces_it(world: PollWorld) -> None:
    """A larger number does not help: it was drawn before the stored answer was taken in, and may be the older one."""
    world.vendors.feed = [movement("m-1")]
    inner: list[int] = []
    handle = world.vendors.handle

    def overtaken(request: httpx.Request) -> httpx.Response:
        answer = handle(request)
        if request.url.path.endswith("FetchTenantsInventoryMovements") and not inner:
            inner.append(1)
            world.vendors.feed = [movement("m-2"), movement("m-1")]
            poll_movements_once(world.ctx)
        return answer

    slow = MpservicesClient("https://mps.example", "T0KEN", clock=world.clock, transport=httpx.MockTransport(overtaken))
    poll_movements_once(Context(world.store, world.clock, world.ctx.policy, mpservices=slow, agenda=an_agenda()))

    outcomes = [row[0] for row in world.rows("select outcome from runs order by id")]
    assert outcomes == ["dropped", "ok", "ok"]
    assert quantities(world) == ["mps-m1-1", "mps-m2-1"]
    assert [row.kind for row in world.exceptions()] == []
    slow.close()


# whose clock


@both_ways
@by_how_much
def test_while_our_clock_is_far_off_it_is_told_read_goes_on_and_nothing_is_concluded(
    dated: Dated, ahead: timedelta, sign: int
) -> None:
    world = dated.world
    poll_due_once(dated.ctx)
    push = world.add_push("post_receipt", "GR-1", state="ready", tries=0, evidence=None)
    dated.set_clock(ahead * sign)
    world.put("issuances", issuance(7))
    world.vendors.feed = [movement("m-1")]
    dated.started(dated.ctx)

    poll_due_once(dated.ctx)
    sent = push_once(dated.ctx)

    assert "mps-m1-1" in quantities(world)
    assert dated.told() == [CLOCK_WRONG]
    assert sent.sent == 0
    assert world.rows(f"select state, tries from outbox where id = {push}") == [("ready", 0)]
    assert world.rows("select count(*) from gaps") == [(0,)]
    assert world.rows(
        "select count(*) from coverage where complete and source <> 'mpw.equipment' and day >= '2024-03-15'"
    ) == [(0,)]
    assert prune_if_due_once(dated.ctx) is None

    dated.set_clock(timedelta(0))
    dated.started(dated.ctx)
    dated.passes(minutes=5)
    poll_due_once(dated.ctx)
    assert dated.told() == []
    assert world.rows("select count(*) from gaps") == [(0,)]
    assert dated.ctx.is_timely()
    assert quantities(world) == ["mps-m1-1", "mpw-i-7"]


def test_a_clock_that_is_set_while_the_program_runs_is_noticed_before_anybody_is_asked(dated: Dated) -> None:
    poll_due_once(dated.ctx)
    assert dated.ctx.is_timely()

    dated.set_clock(timedelta(hours=2))

    assert not dated.ctx.is_timely()
    note_clocks(dated.ctx)
    assert dated.told() == [CLOCK_WRONG]
    dated.set_clock(timedelta(0))
    note_clocks(dated.ctx)
    assert dated.told() == []


def test_a_few_minutes_are_told_and_stop_nothing(dated: Dated) -> None:
    dated.set_clock(timedelta(minutes=4))
    poll_due_once(dated.ctx)

    assert dated.told() == [CLOCK_WRONG]
    assert dated.ctx.is_timely()


@pytest.mark.parametrize("which", ["mpw", "mpservices"])
@both_ways
def test_one_vendor_alone_that_differs_by_half_an_hour_has_a_skew(dated: Dated, which: str, sign: int) -> None:
    dated.offsets[which] = timedelta(minutes=30) * sign
    for _ in range(3):
        poll_due_once(dated.ctx)
        dated.passes(minutes=5)

    assert dated.told() == []
    assert dated.ctx.is_timely()
    with dated.world.store.read() as conn:
        known = learned(conn, which, "clock_skew_seconds")
    assert known is not None
    assert abs(float(known) - 1800 * sign) <= 2
    assert dated.world.rows("select count(*) from learned") == [(1,)]


def test_a_skew_is_not_written_with_every_reading(dated: Dated) -> None:
    dated.offsets["mpw"] = timedelta(minutes=30)
    poll_due_once(dated.ctx)
    writes = dated.world.count_writes()

    for _ in range(3):
        dated.passes(minutes=5)
        poll_due_once(dated.ctx)

    assert [one for one in writes if "learned" in one or "exceptions" in one] == []


def test_with_one_vendor_and_no_server_the_difference_is_the_vendor_s_and_a_day_ends_by_both_clocks(
    dated: Dated, sqlite_store: Store
) -> None:
    dated.ctx.mpservices = None
    dated.set_clock(timedelta(days=10))
    poll_days_once(dated.ctx, RECEIPTS, [TODAY])

    assert dated.told() == []
    with dated.world.store.read() as conn:
        assert not covered_days(conn, RECEIPTS, [TODAY])[TODAY].complete


def test_the_cut_allows_for_a_feed_whose_clock_is_behind(dated: Dated) -> None:
    dated.offsets["mpservices"] = timedelta(minutes=-30)
    poll_due_once(dated.ctx)

    assert abs(dated.ctx.policy.push_from_there - dated.ctx.policy.push_from + timedelta(minutes=30)) < timedelta(
        seconds=2
    )


@pytest.mark.parametrize("off", [timedelta(hours=2), timedelta(days=-10)], ids=["ahead", "behind"])
def test_the_first_run_of_a_wrong_clock_is_set_right_once_and_the_cut_with_it(dated: Dated, off: timedelta) -> None:
    dated.set_clock(off)
    started = dated.first_run()

    poll_due_once(dated.ctx)
    dated.passes(minutes=3)
    poll_due_once(dated.ctx)

    with dated.world.store.read() as conn:
        first = datetime.fromisoformat(fact(conn, FIRST_RUN_AT) or "")
    assert abs(first - (started - off)) < timedelta(seconds=2)
    assert dated.ctx.policy.push_from == cut_of_first_run(first)


@pytest.mark.parametrize("off", [timedelta(minutes=-20), timedelta(minutes=20)], ids=["behind", "ahead"])
def test_the_first_run_of_a_right_clock_stands_whatever_the_clock_shows_soon_after(
    dated: Dated, off: timedelta
) -> None:
    started = dated.first_run()
    poll_due_once(dated.ctx)
    dated.passes(minutes=30)

    dated.set_clock(off)
    dated.started(dated.world.ctx)
    poll_due_once(dated.ctx)
    dated.passes(minutes=3)
    poll_due_once(dated.ctx)

    assert dated.told()  # the clock is told about
    with dated.world.store.read() as conn:
        assert datetime.fromisoformat(fact(conn, FIRST_RUN_AT) or "") == started
    assert dated.ctx.policy.push_from == started


# voids


def test_rows_that_a_clock_that_is_ahead_misses_are_not_voided_before_their_time(dated: Dated) -> None:
    world = dated.world
    world.put("receipts", receipt(1), receipt(2))
    poll_due_once(dated.ctx)
    world.put("receipts", receipt(2))
    dated.passes(minutes=5)
    poll_due_once(dated.ctx)
    dated.set_clock(timedelta(hours=2))
    poll_due_once(dated.ctx)
    dated.set_clock(timedelta(0))

    assert world.rows("select count(*) from documents where voided_at is not null") == [(0,)]
    dated.passes(minutes=60)
    poll_due_once(dated.ctx)
    assert world.rows("select count(*) from documents where voided_at is not null") == [(1,)]


def test_a_row_that_is_missing_since_the_future_is_missing_since_now(world: PollWorld) -> None:
    world.put("receipts", receipt(1), receipt(2))
    poll_days_once(world.ctx, RECEIPTS, [TODAY])
    world.put("receipts", receipt(2))
    true = world.clock.now()
    world.clock.current = true + timedelta(days=10)
    poll_days_once(world.ctx, RECEIPTS, [TODAY])
    world.clock.current = true + timedelta(minutes=5)
    poll_days_once(world.ctx, RECEIPTS, [TODAY])

    assert world.document("1").missing_since == world.clock.now()
    assert world.document("1").voided_at is None
    world.clock.advance(hours=2)
    poll_days_once(world.ctx, RECEIPTS, [TODAY])
    assert world.document("1").voided_at is not None


# what waits


def test_what_was_put_off_by_a_clock_that_was_ahead_is_due_when_it_is_right(dated: Dated) -> None:
    poll_due_once(dated.ctx)
    dated.set_clock(timedelta(days=10))
    note_clocks(dated.ctx)
    later = dated.world.clock.now() + timedelta(hours=1)
    push = dated.world.add_push("post_receipt", "GR-1", state="ready", evidence=None)
    with dated.world.store.write() as conn:
        conn.execute(update(outbox).values(due_at=later))
        conn.execute(insert(parked).values(kind="receipt", api_key="GR-2", reason="x", due_at=later))
    dated.set_clock(timedelta(0))

    note_clocks(dated.ctx)

    now = dated.world.clock.now()
    with dated.world.store.read() as conn:
        assert conn.execute(outbox.select().where(outbox.c.id == push)).one().due_at == now
        assert conn.execute(parked.select()).one().due_at == now


def test_a_halt_is_told_while_one_vendor_has_never_answered_and_ends_once_it_has(
    dated: Dated, sqlite_store: Store
) -> None:
    dated.offsets["mpw"] = timedelta(hours=2)
    poll_days_once(dated.ctx, RECEIPTS, [TODAY])

    assert not dated.ctx.is_timely()
    assert dated.told() == [CLOCK_WRONG]
    (said,) = dated.world.exceptions()
    assert "mpservices has not told its time yet" in said.detail
    assert "mpservices answers" in said.hint

    poll_movements_once(dated.ctx)

    assert dated.ctx.is_timely()
    assert dated.told() == []


def test_a_vendor_whose_clock_flaps_brings_nothing_forward(dated: Dated) -> None:
    poll_due_once(dated.ctx)
    push = dated.world.add_push("post_receipt", "GR-1", state="ready", evidence=None)
    later = dated.world.clock.now() + timedelta(days=1)
    with dated.world.store.write() as conn:
        conn.execute(update(outbox).values(due_at=later))

    for offset in (30, 0, 30, 0):
        dated.offsets["mpw"] = timedelta(minutes=offset)
        dated.passes(minutes=5)
        poll_due_once(dated.ctx)

    with dated.world.store.read() as conn:
        assert conn.execute(outbox.select().where(outbox.c.id == push)).one().due_at == later


# PostgreSQL: the server's clock


def at_the_server(url: str, off: timedelta) -> tuple[Store, FakeClock, FakeClock]:
    server = FakeClock()
    return Store(url), server, FakeClock(server.now() + off, server=server)


@pytest.mark.parametrize("off", [timedelta(hours=1), timedelta(hours=-1)], ids=["ahead", "behind"])
def test_a_dead_leader_whose_clock_was_off_keeps_the_lead_no_longer_than_any_other(
    postgres_url: str, off: timedelta
) -> None:
    store, server, wrong = at_the_server(postgres_url, off)
    right = FakeClock(server.now(), server=server)
    dead, successor = Leadership(store, wrong, "dead"), Leadership(store, right, "next")
    assert dead.take()
    assert not successor.take()

    for clock in (server, wrong, right):
        clock.advance(LASTS.total_seconds() + 1)

    assert successor.take()
    store.close()


def test_the_lease_of_a_leader_is_written_by_the_real_server_s_clock(postgres_url: str) -> None:
    from sync.clock import SystemClock

    class Ahead(SystemClock):
        def now(self) -> datetime:
            return super().now() + timedelta(hours=1)

    store = Store(postgres_url)
    leadership = Leadership(store, Ahead(), "a")
    assert leadership.take()

    left = leadership.current().expires_at - datetime.now(UTC)
    assert timedelta(seconds=10) < left <= LASTS + timedelta(seconds=1)
    store.close()


def test_a_leader_whose_clock_is_set_keeps_its_trust_for_its_seconds(store: Store, clock: FakeClock) -> None:
    leader = Leadership(store, clock, "a")
    assert leader.take()

    clock.current += timedelta(days=10)
    assert leader.held
    clock.current -= timedelta(days=20)
    assert leader.held
    clock.advance(15)
    assert not leader.held
    leader.release()


def test_the_server_s_clock_tells_that_ours_is_wrong_and_heartbeats_go_by_it(postgres_url: str) -> None:
    store, server, wrong = at_the_server(postgres_url, timedelta(hours=1))
    with poll_world(store, wrong) as world:
        note_clocks(world.ctx)

        assert [row.kind for row in world.exceptions()] == [CLOCK_WRONG]
        assert not world.ctx.is_timely()
        assert world.ctx.clock.now() == server.now()
        with store.write() as conn:
            beat(conn, "here", now=world.ctx.clock.now())
        with store.read() as conn:
            assert heartbeat_age(conn, server.now()) == 0
    store.close()


@pytest.mark.parametrize("off", [timedelta(hours=2), timedelta(seconds=150)], ids=["both alike", "learnt of ours"])
def test_a_person_who_looked_at_a_watch_ends_it_by_the_hint(dated: Dated, off: timedelta) -> None:
    """Both vendors' clocks are wrong: nothing shows it, least of all where ours once agreed with one of them."""
    dated.offsets = {"mpw": timedelta(hours=2), "mpservices": off}
    dated.set_clock(timedelta(hours=2))
    poll_due_once(dated.ctx)
    dated.passes(hours=1)
    dated.set_clock(timedelta(0))
    poll_due_once(dated.ctx)
    assert dated.told() == [CLOCK_WRONG]
    assert not dated.ctx.is_timely()

    (said,) = dated.world.exceptions()
    commands = re.findall(r"`mpsync learned set (\S+) (\S+) --system (\S+) --why TEXT`", said.hint)
    assert len(commands) == 2
    with dated.world.store.write() as conn:
        for name, value, system in commands:
            set_learned(conn, FACTS[system, name], value, why="a watch", by="ann", now=dated.world.clock.now())
    work_once(dated.ctx, CycleReport())
    work_once(dated.ctx, CycleReport())

    assert dated.told() == []
    assert dated.ctx.is_timely()
    dated.set_clock(timedelta(hours=3))
    poll_due_once(dated.ctx)
    assert dated.told() == [CLOCK_WRONG]
