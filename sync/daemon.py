"""`mpsync run`: the clock that starts flows, the leadership that allows them, and an orderly end."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

import structlog
from apscheduler.executors.pool import BasePoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy.exc import SQLAlchemyError

from sync.app import App
from sync.database import engine
from sync.database.diagnosis import trouble_of
from sync.database.facts import beat, note_stop
from sync.database.frozen_sessions import end_stuck_sessions
from sync.errors import InvariantError, LeaseHeldError, LeaseLostError, SyncError
from sync.jobs.cycle import CycleReport, work_once
from sync.jobs.prune import prune_if_due_once
from sync.jobs.reports import overtaken
from sync.ledger.coverage import ISSUANCES, RECEIPTS
from sync.notify import Notifier
from sync.outbox.claims import call_time_max
from sync.poll.schedule import (
    poll_equipment_once,
    poll_movements_once,
    poll_orders_once,
    poll_recent_once,
    poll_work_orders_once,
)
from sync.poll.spans.equipment import DAILY
from sync.push.round import push_once
from sync.web.server import served
from sync.work.context import Context
from sync.work.lead import RENEW_SECONDS, Leadership

log = structlog.get_logger()

TICK_SECONDS = 1.0
"""How often the work loop looks for something due: the delay that the inbox and a push may see."""

HEARTBEAT_SECONDS = 5.0
"""How often the heartbeat is written; `healthcheck` allows many of these to be missed."""

HUNG_SECONDS = 300.0
"""Work that takes longer from one call to the next is taken for hung: far more than a call and a transaction take."""


def hung_after(request_timeout: timedelta) -> float:
    """Return how many seconds work may take from one call to the next before it is taken for hung.

    A call may be a write and three reads that explain its answer, each as long as SYNC_REQUEST_TIMEOUT_SECONDS, and
    waits for the database on top.
    """
    return max(HUNG_SECONDS, call_time_max(request_timeout).total_seconds() + 2 * engine.BUSY_TIMEOUT_SECONDS)


LATE = timedelta(seconds=60)
"""A job planned so much later than its interval was planned by a clock that has been set back since."""

PRUNE_TICK_SECONDS = 3600.0
"""How often it is asked whether a day has passed since old rows were forgotten."""

DAYS_TICK_SECONDS = 5.0
"""How often it is asked which days are due: those read often, the overdue, and those that a push was dated to."""


class Threads(BasePoolExecutor):  # type: ignore[misc]  # apscheduler has no types
    """The threads that the jobs run in.

    The scheduler ends its executors while it holds its locks. A job under way may want one of them, as the one does
    that has the polls run at once. So these threads are not waited for there. Whoever ends the daemon waits for
    them afterwards.
    """

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(12, thread_name_prefix="job")
        super().__init__(self.pool)

    def shutdown(self, wait: bool = True) -> None:
        """Start no more jobs."""
        self.pool.shutdown(wait=False)


class Daemon:
    """Runs flows until it is told to stop."""

    def __init__(self, app: App, *, notifier: Notifier | None = None) -> None:
        self._app = app
        self._clock = app.clock
        self._notifier = notifier or Notifier()
        self._stop = threading.Event()
        self._failed: BaseException | None = None
        self._leadership = Leadership(app.store, app.clock, app.owner)
        self._led = False
        self._context = app.context(self._leadership)
        self._context.stopping = self._stop.is_set
        self._context.leads = lambda: self._leadership.held
        self._worked_at = app.clock.monotonic()
        self._working = replace(self._context, stopping=self._asked_to_stop)
        self._threads = Threads()
        self._scheduler: BackgroundScheduler | None = None

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; return the exit code.

        On SQLite a second daemon is refused (LeaseHeldError); on PostgreSQL it stands by: it
        pushes, and leads when the leader is gone.
        """
        self._lead()
        if not self._led and self._app.store.is_sqlite:
            raise LeaseHeldError(
                "another mpsync works on this database",
                hint="one daemon per SQLite file: stop the other one first, or move to PostgreSQL for several",
            )
        self._scheduler = scheduler = self._made_scheduler()
        with self._signals(), served(self._app, alive=self._is_alive):
            scheduler.start()
            self._notifier.say("READY=1", f"MAINPID={os.getpid()}", "STATUS=running")
            log.info("daemon.started", owner=self._app.owner, leads=self._leadership.held)
            self._say_what_is_overtaken()
            try:
                with ThreadPoolExecutor(1, thread_name_prefix="supervisor") as beside:  # not here: see _signals
                    beside.submit(self._supervise).result()
            finally:
                self._notifier.say("STOPPING=1", "STATUS=finishing the calls under way")
                scheduler.shutdown()
                self._threads.pool.shutdown(wait=True)
                self._leadership.release()
                self._say_stopped()
                log.info("daemon.stopped")
        if self._failed is not None:
            raise self._failed
        return 0

    def _say_what_is_overtaken(self) -> None:
        """Log the held pushes of routes that push: new ones go before them, and who set the route may not know."""
        with suppress(SQLAlchemyError), self._app.store.read() as conn:
            for row in overtaken(conn, self._app.policy):
                do = f"mpsync outbox release --route {row['route']}"
                log.warning("route.pushes_past_held_ones", route=row["route"], held=row["n"], do=do)

    def _say_that_it_ends_at_once(self) -> None:
        """Log it from a thread: the main one, which was interrupted, may hold the log's lock; then nothing is said."""
        told = "what is under way is verified at the next start"
        thread = threading.Thread(
            target=lambda: log.warning("daemon.ended_at_once", why="asked to stop twice", means=told), daemon=True
        )
        thread.start()
        thread.join(1.0)

    def _say_stopped(self) -> None:
        """Write down that this was an orderly end, unless the work failed."""
        if self._failed is not None:
            return
        with suppress(SQLAlchemyError), self._app.store.write() as conn:
            note_stop(conn, now=self._clock.now())

    def stop(self) -> None:
        """Ask for an orderly end: no new calls, those under way get their whole time."""
        self._stop.set()

    def _supervise(self) -> None:
        every = min(HEARTBEAT_SECONDS, self._notifier.watchdog_seconds or HEARTBEAT_SECONDS)
        while not self._clock.sleep(every, self._stop):
            self._bring_jobs_forward()
            if not self._is_alive():
                continue  # no heartbeat and no watchdog: whoever waits for them restarts us
            self._notifier.say("WATCHDOG=1", f"STATUS={'leading' if self._leadership.held else 'standing by'}")
            try:
                with self._app.store.write() as conn:
                    beat(conn, socket.gethostname(), now=self._clock.now())
            except SQLAlchemyError as error:
                log.warning("heartbeat.failed", error=trouble_of(error).line)

    def _is_alive(self) -> bool:
        return self._clock.monotonic() - self._worked_at <= hung_after(self._app.policy.request_timeout)

    def _made_scheduler(self) -> BackgroundScheduler:
        """Return the in-memory clock. What is overdue at start runs at once; nothing is skipped for being late."""
        scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": self._threads},
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        self._every(scheduler, "lead", RENEW_SECONDS, self._lead, first_in=RENEW_SECONDS)
        if not self._app.store.is_sqlite:
            self._every(scheduler, "sessions", RENEW_SECONDS, self._end_stuck_sessions)
        self._every(scheduler, "work", TICK_SECONDS, self._work)
        self._every(scheduler, "prune", PRUNE_TICK_SECONDS, self._leading(prune_if_due_once), first_in=60.0)
        for name, interval, poll in self._polls():
            self._every(scheduler, name, max(interval.total_seconds(), TICK_SECONDS), self._leading(poll))
        return scheduler

    def _polls(self) -> list[tuple[str, timedelta, Callable[[Context], object]]]:
        policy = self._app.policy
        days = min(policy.poll_recent, timedelta(seconds=DAYS_TICK_SECONDS))
        return [
            ("poll.mpw.issuances", days, lambda context: poll_recent_once(context, ISSUANCES)),
            ("poll.mpw.receipts", days, lambda context: poll_recent_once(context, RECEIPTS)),
            ("poll.mpservices.movements", policy.poll_movements, poll_movements_once),
            ("poll.mpw.purchase_orders", policy.poll_orders, poll_orders_once),
            ("poll.work_orders", policy.poll_orders, poll_work_orders_once),
            ("poll.mpw.equipment", DAILY, poll_equipment_once),
        ]

    def _every(
        self,
        scheduler: BackgroundScheduler,
        name: str,
        seconds: float,
        job: Callable[[], object],
        *,
        first_in: float = 0.0,
    ) -> None:
        first = datetime.now(UTC) + timedelta(seconds=first_in)  # noqa: TID251 - the scheduler's own clock
        scheduler.add_job(self._guarded(name, job), "interval", seconds=seconds, id=name, next_run_time=first)

    def _leading(self, poll: Callable[[Context], object]) -> Callable[[], object]:
        return lambda: poll(self._context) if self._leadership.held else None

    def _lead(self) -> None:
        """Take or renew the lead; say where that changed, also of a lead that went while this process stood still."""
        trusted, led = self._leadership.held, self._led
        self._led = leads = self._leadership.take()
        if leads != led:
            log.info("leadership.taken" if leads else "leadership.lost", owner=self._app.owner)
        if leads and not trusted:
            self._context.forget_old_pauses()  # not before: one that is refused here says nothing about another's
            self._poll_now()

    def _end_stuck_sessions(self) -> None:
        """Free the locks of an instance that froze in mid-transaction: else nobody can lead, or settle its calls."""
        for session in end_stuck_sessions(self._app.store, seconds=engine.IDLE_IN_TRANSACTION_SECONDS):
            log.warning("database.session_ended", server_pid=session.pid, idle_seconds=round(session.seconds, 1))

    def _poll_now(self) -> None:
        """Have every poll run at once: whoever led before may have left them undone for as long as their interval."""
        if self._scheduler is None:
            return
        with suppress(JobLookupError):  # it has been shut down, and knows no jobs any more
            for name, _, _ in self._polls():
                self._scheduler.modify_job(name, next_run_time=datetime.now(UTC))  # noqa: TID251 - the scheduler's own

    def _bring_jobs_forward(self) -> None:
        """Have a job run now that is planned later than its interval: this machine's clock was set back.

        The scheduler goes by it, and would else wait until it shows the time again that it had shown before.
        """
        now = datetime.now(UTC)  # noqa: TID251 - the scheduler's own clock
        for job in self._scheduler.get_jobs() if self._scheduler is not None else ():
            if job.next_run_time is not None and job.next_run_time - now > job.trigger.interval + LATE:
                log.warning("clock.set_back", job=job.id, planned=job.next_run_time.isoformat())
                job.modify(next_run_time=now)

    def _asked_to_stop(self) -> bool:
        """Tell the work whether to stop. It asks between any two calls, which shows that it does not hang."""
        self._worked_at = self._clock.monotonic()
        return self._stop.is_set()

    def _work(self) -> None:
        self._worked_at = self._clock.monotonic()
        if not self._leadership.held:
            with self._working.agenda.round():
                push_once(self._working)
            return
        report = CycleReport()
        while work_once(self._working, report) and not self._asked_to_stop():
            pass
        if report.settled or report.derived:
            log.info("work.done", derived=report.derived, pushed=report.pushed, verified=report.verified)

    def _guarded(self, name: str, job: Callable[[], object]) -> Callable[[], None]:
        """Wrap a job: the top of its run, where whatever went wrong is said and the next run tries again."""
        failing = threading.Event()

        def run() -> None:
            if self._stop.is_set():
                return
            try:
                job()
            except LeaseLostError as error:
                log.warning("leadership.lost", job=name, error=error.message)
            except InvariantError as error:
                self._failed = error
                self._stop.set()
            except Exception as error:
                of_database = isinstance(error, SQLAlchemyError)
                if not failing.is_set():
                    told = trouble_of(error).line if of_database else str(error)
                    log.error(
                        "job.failed", job=name, error=told, exc_info=not (of_database or isinstance(error, SyncError))
                    )
                failing.set()
            else:
                if failing.is_set():
                    failing.clear()
                    log.info("job.recovered", job=name)

        return run

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Let SIGTERM and SIGINT ask for an orderly end, and the second of them for one at once.

        A handler runs in the main thread, between any two of its steps. So the main thread never waits for `_stop`:
        in the moment in which it held that event's lock, a handler that sets it would wait for ever.
        """
        asked: list[int] = []

        def handle(number: int, _frame: FrameType | None) -> None:
            asked.append(number)
            if len(asked) > 1 or self._stop.is_set():
                self._say_that_it_ends_at_once()
                os._exit(128 + number)
            self._stop.set()

        before: dict[int, Any] = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
