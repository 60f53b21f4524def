"""What the daemon keeps an eye on beside its flows: whether they hang, and who leads."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import sync.daemon
from sync.app import App, open_app, policy_of
from sync.daemon import HUNG_SECONDS, Daemon, hung_after
from sync.database import schema
from sync.database.engine import Store
from sync.database.facts import HEARTBEAT_AT, STOPPED_AT, fact
from sync.errors import AuthError, LeaseHeldError
from sync.jobs.cycle import CycleReport
from sync.outbox.claims import call_time_max
from sync.settings import load_settings
from sync.work.context import Context
from tests.clocks import FakeClock
from tests.views.story import add, push


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


def test_a_refused_second_daemon_lifts_no_pause_of_the_first(
    sqlite_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    settings = {"DATABASE_URL": sqlite_url, "MPW_EMAIL": "u@example.com", "MPW_PASSWORD": "old"}
    with (
        open_app(load_settings(settings, None), clock=clock) as first,
        open_app(load_settings(settings | {"MPW_PASSWORD": "new"}, None), clock=clock) as second,
    ):
        leader = Daemon(first)
        assert leader._leadership.take()
        leader._context.pause("mpw", AuthError("Unauthorized"))

        with pytest.raises(LeaseHeldError):
            Daemon(second).run()

        assert leader._context.paused("mpw") == "Unauthorized"
        leader._leadership.release()
        successor = Daemon(second)
        successor._lead()
        assert leader._context.paused("mpw") is None
        successor._leadership.release()


@pytest.mark.parametrize(("timeout", "seconds"), [(30, 300), (60, 300), (75, 360), (0, 4 * 3600 + 60)])
def test_what_counts_as_hung_is_longer_than_the_longest_call(timeout: int, seconds: float) -> None:
    settings = load_settings({"SYNC_REQUEST_TIMEOUT_SECONDS": str(timeout)}, None)
    policy = policy_of(settings, first_run_at=datetime(2024, 3, 1, tzinfo=UTC))

    assert hung_after(policy.request_timeout) == seconds
    assert hung_after(policy.request_timeout) > call_time_max(policy.request_timeout).total_seconds()


def test_jobs_that_a_clock_that_was_ahead_planned_run_when_it_is_set_back(app: App) -> None:
    daemon = Daemon(app)
    scheduler = daemon._scheduler = daemon._made_scheduler()
    scheduler.start(paused=True)
    try:
        soon = {job.id: job.next_run_time for job in scheduler.get_jobs()}
        scheduler.modify_job("lead", next_run_time=datetime.now(UTC) + timedelta(days=10))

        daemon._bring_jobs_forward()

        now = datetime.now(UTC)
        assert scheduler.get_job("lead").next_run_time <= now
        others = {job.id: job.next_run_time for job in scheduler.get_jobs() if job.id != "lead"}
        assert others == {name: at for name, at in soon.items() if name != "lead"}
    finally:
        scheduler.shutdown(wait=False)


STOPPED_IN_ITS_WAIT = """
import os, signal, sys, threading, time
from sync.app import open_app
from sync.clock import SystemClock
from sync.daemon import Daemon
from sync.settings import load_settings

class InTheWait(SystemClock):
    def sleep(self, seconds, wake=None):
        if wake is None or seconds < 1:
            return super().sleep(seconds, wake)
        with wake._cond:  # as in Event.wait, for the moments before and after it sleeps
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)
        return super().sleep(seconds, wake)

with open_app(load_settings({"DATABASE_URL": sys.argv[1]}, None), clock=InTheWait()) as app:
    sys.exit(Daemon(app).run())
"""


def test_a_signal_in_the_moment_in_which_the_wait_for_it_holds_its_lock_ends_the_daemon(sqlite_url: str) -> None:
    command = [sys.executable, "-c", STOPPED_IN_ITS_WAIT, sqlite_url]

    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0


STOPPED_AS_IT_TAKES_THE_LEAD = """
import sys, time
from apscheduler.schedulers.base import STATE_STOPPED
from sync.app import open_app
from sync.daemon import Daemon
from sync.settings import load_settings

class Late(Daemon):
    def _work(self):
        self.stop()
        while self._scheduler.state != STATE_STOPPED:
            time.sleep(0.01)
        time.sleep(0.2)  # the scheduler ends its threads now
        self._poll_now()
        print("polled")

with open_app(load_settings({"DATABASE_URL": sys.argv[1]}, None)) as app:
    sys.exit(Late(app).run())
"""


def test_a_daemon_that_takes_the_lead_while_it_is_stopped_ends(sqlite_url: str) -> None:
    command = [sys.executable, "-c", STOPPED_AS_IT_TAKES_THE_LEAD, sqlite_url]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)

    assert "polled" in ended.stdout
    assert ended.stdout.index("polled") < ended.stdout.index("daemon.stopped")
    assert "job.failed" not in ended.stdout


RUNS = """
import os, signal, sys, threading, time
from sync.__main__ import main
threading.Timer(float(sys.argv[1]), lambda: os.kill(os.getpid(), signal.SIGINT)).start()
if len(sys.argv) > 2:
    import sync.daemon
    sync.daemon.Daemon._work = lambda self: time.sleep(60)  # a call that does not come back
    threading.Timer(float(sys.argv[1]) + 1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
sys.exit(main(["run"]))
"""


def _run(url: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    settings = {
        "DATABASE_URL": url,
        "MPSERVICES_TOKEN": "MPSER1-0123",
        "MPSERVICES_BASE_URL": "http://127.0.0.1:9",
        "SYNC_LOG_FORMAT": "json",
        "PYTHONPATH": str(Path(sync.daemon.__file__).parents[1]),
    }
    command = [sys.executable, "-c", RUNS, *arguments]
    return subprocess.run(command, env=os.environ | settings, cwd=folder, capture_output=True, text=True, timeout=60)


def test_a_daemon_that_is_asked_to_stop_twice_logs_that_it_ends_at_once(sqlite_url: str, tmp_path: Path) -> None:
    ended = _run(sqlite_url, tmp_path, "4", "twice")

    assert ended.returncode == 130, ended.stderr
    assert "daemon.ended_at_once" in ended.stderr.splitlines()[-1]
    assert "daemon.stopped" not in ended.stderr


def test_a_daemon_that_was_stopped_says_so_and_the_held_pushes_of_a_route_that_pushes(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(sqlite_url)
    with store.write() as conn:
        add(conn, schema.outbox, push("K-1", state="held"))
    monkeypatch.setenv("SYNC_ROUTE_RECEIPTS", "push")

    ended = _run(sqlite_url, tmp_path, "6")

    assert ended.returncode == 0, ended.stderr
    assert "route.pushes_past_held_ones" in ended.stderr
    with store.read() as conn:
        stopped, beat = fact(conn, STOPPED_AT), fact(conn, HEARTBEAT_AT)
    store.close()
    assert stopped is not None
    assert beat is None or stopped >= beat
