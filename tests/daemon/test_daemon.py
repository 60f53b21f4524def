"""What the daemon keeps an eye on beside its flows: whether they hang, and who leads."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

import sync.daemon
from sync.app import App, open_app
from sync.daemon import HUNG_SECONDS, Daemon
from sync.flows.context import Context
from sync.flows.cycle import CycleReport
from sync.settings import load_settings
from tests.clocks import FakeClock


@pytest.fixture
def app(sqlite_url: str, clock: FakeClock) -> Iterator[App]:
    with open_app(load_settings({"DATABASE_URL": sqlite_url}, None), clock=clock) as made:
        yield made


def test_a_long_round_that_goes_from_call_to_call_does_not_hang(
    app: App, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = Daemon(app)
    alive = []

    def many_slow_calls(ctx: Context, _report: CycleReport) -> bool:
        for _ in range(20):
            assert not ctx.stopping()
            clock.advance(HUNG_SECONDS / 10)
            alive.append(daemon._is_alive())
        return False

    monkeypatch.setattr(sync.daemon, "work_once", many_slow_calls)
    assert daemon._leadership.take()
    daemon._work()

    assert alive == [True] * 20
    clock.advance(HUNG_SECONDS + 1)
    assert not daemon._is_alive()


def test_polling_elsewhere_does_not_hide_that_the_work_hangs(app: App, clock: FakeClock) -> None:
    daemon = Daemon(app)
    clock.advance(HUNG_SECONDS + 1)

    assert not daemon._context.stopping()
    assert not daemon._is_alive()


def test_who_takes_over_polls_at_once_and_not_only_after_the_interval(app: App) -> None:
    daemon = Daemon(app)
    scheduler = daemon._scheduler = daemon._made_scheduler()
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    scheduler.start(paused=True)
    try:
        for job in scheduler.get_jobs():
            scheduler.modify_job(job.id, next_run_time=tomorrow)

        daemon._lead()

        due = {job.id for job in scheduler.get_jobs() if job.next_run_time < tomorrow}
        assert due == {name for name, _, _ in daemon._polls()}
        for job in scheduler.get_jobs():
            scheduler.modify_job(job.id, next_run_time=tomorrow)
        daemon._lead()
        assert [job.id for job in scheduler.get_jobs() if job.next_run_time < tomorrow] == []
    finally:
        scheduler.shutdown(wait=False)
        daemon._leadership.release()
