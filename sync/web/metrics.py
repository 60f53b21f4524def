"""/metrics: what the tables say at the moment of the scrape, and how long this process's requests took."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from sync.app import App
from sync.clients.http import RequestSeen
from sync.database.facts import heartbeat_age
from sync.jobs.reports import rows
from sync.learned.rows import reach_of
from sync.ledger.coverage import MOVEMENTS
from sync.web import figures
from sync.web.sources import systems_of

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FRESH_SECONDS = 5.0
"""How long figures are kept, so that a second scraper costs nothing."""

BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60)
"""Seconds: from a vendor's quick answer to the end of a request's time."""


class Metrics:
    """A registry of our own: nothing of the process or of other libraries is in it."""

    def __init__(self, app: App) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._seconds = Histogram(
            "mpsync_request_seconds",
            "Time of this process's requests to the vendors.",
            ["vendor", "endpoint"],
            registry=self._registry,
            buckets=BUCKETS,
        )
        self._requests = Counter(
            "mpsync_requests",
            "This process's requests to the vendors by outcome: ok, or the class of the error.",
            ["vendor", "endpoint", "outcome"],
            registry=self._registry,
        )
        self._registry.register(_Tables(app))

    def observe(self, seen: RequestSeen) -> None:
        """Count a request; never raises."""
        self._seconds.labels(seen.system, seen.endpoint).observe(seen.seconds)
        self._requests.labels(seen.system, seen.endpoint, seen.outcome).inc()

    def text(self) -> bytes:
        """Return everything in Prometheus's text format; a database that is away is a figure too."""
        return generate_latest(self._registry)


class _Tables(Collector):
    def __init__(self, app: App) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._known: list[Metric] = []
        self._until = app.clock.monotonic()

    def collect(self) -> Iterable[Metric]:
        with self._lock:
            if not self._known or self._app.clock.monotonic() >= self._until:
                self._known = self._asked()
                self._until = self._app.clock.monotonic() + FRESH_SECONDS
            return self._known

    def _asked(self) -> list[Metric]:
        always = [_info(self._app)]
        try:
            with self._app.store.read() as conn:
                found = list(_figures(conn, self._app, self._app.clock.now()))
        except SQLAlchemyError:
            return [*always, _gauge("mpsync_database_up", "1 while the database answers.", 0)]
        return [*always, _gauge("mpsync_database_up", "1 while the database answers.", 1), *found]


def _info(app: App) -> Metric:
    info = GaugeMetricFamily("mpsync_build_info", "The program's version and database.", labels=["version", "database"])
    info.add_metric([version("mpsync"), app.store.engine.dialect.name], 1)
    return info


def _figures(conn: Connection, app: App, now: datetime) -> Iterator[Metric]:
    yield from _process(conn, app, now)
    yield from _runs(conn)
    yield from _sources(conn, app, now)
    yield from _outbox(conn, now)
    yield from _people(conn, app)
    yield _gauges("mpsync_database_bytes", "Size of the database, by part.", "part", figures.sizes(conn, app.store))


def _process(conn: Connection, app: App, now: datetime) -> Iterator[Metric]:
    leads = figures.leads(conn, app.owner, now)
    yield _gauge("mpsync_leader", "1 while this process leads: polls, reconciles and verifies.", leads)
    age = heartbeat_age(conn, now)
    if age is not None:
        yield _gauge(
            "mpsync_heartbeat_age_seconds", "Since a daemon on this database last said that it works.", abs(age)
        )


def _runs(conn: Connection) -> Iterator[Metric]:
    ran, seen = figures.run_counts(conn)
    total = CounterMetricFamily(
        "mpsync_runs", "Runs of flows by outcome: ok, failed, dropped.", labels=["flow", "outcome"]
    )
    for labels, number in sorted(ran.items()):
        total.add_metric(labels, number)
    yield total
    handled = CounterMetricFamily(
        "mpsync_rows", "Rows that flows saw, by what became of them.", labels=["flow", "outcome"]
    )
    for labels, number in sorted(seen.items()):
        handled.add_metric(labels, number)
    yield handled
    good = {flow for flow, outcome in ran if outcome == "ok"}
    last = {flow: ended.timestamp() for flow, ended in sorted(figures.last_successes(conn, good).items())}
    yield _gauges("mpsync_last_success_timestamp_seconds", "When a flow last ended well, in Unix time.", "flow", last)


def _sources(conn: Connection, app: App, now: datetime) -> Iterator[Metric]:
    known = figures.lags(conn, app, now)
    lags = {source: lag for source, (lag, _) in known.items()}
    yield _gauges("mpsync_source_lag_seconds", "Since a source was last read well.", "source", lags)
    failing = {source: float(fails) for source, (_, fails) in known.items()}
    yield _gauges("mpsync_source_failing", "1 while the last reading of a source failed.", "source", failing)
    if MOVEMENTS in known:
        window = reach_of(conn, app.policy).total_seconds()
        yield _gauge("mpsync_feed_window_seconds", "How far back MPservices' feeds reach, as set or learnt.", window)
    if app.settings.mpw_on:
        ages = figures.coverage_ages(conn, app.policy, now)
        help_ = "Since the end of the last day up to which all days since the start date are complete."
        yield _gauges("mpsync_coverage_age_seconds", help_, "source", {name: age for name, (age, _) in ages.items()})
        help_ = "Past days since the start date that were not read in full."
        counts = {name: float(days) for name, (_, days) in ages.items()}
        yield _gauges("mpsync_coverage_incomplete", help_, "source", counts)
    gaps = figures.number(conn, "select count(*) from v_gaps where closed_at is null")
    yield _gauge("mpsync_open_gaps", "Holes in MPservices' feed that nobody has closed.", gaps)


def _outbox(conn: Connection, now: datetime) -> Iterator[Metric]:
    pushes = GaugeMetricFamily(
        "mpsync_outbox_pushes", "Pushes that are not finished, by route and state.", labels=["route", "state"]
    )
    oldest = GaugeMetricFamily(
        "mpsync_outbox_oldest_age_seconds", "Since the oldest of them was made.", labels=["route", "state"]
    )
    for labels, (number, made) in sorted(figures.open_pushes(conn).items()):
        pushes.add_metric(labels, number)
        oldest.add_metric(labels, (now - made).total_seconds())
    yield pushes
    yield oldest
    finished = figures.finished_pushes(conn)
    yield _gauges("mpsync_outbox_finished", "Pushes that are finished, by state.", "state", finished)
    total = CounterMetricFamily("mpsync_attempts", "Tries to write to a vendor, by outcome.", labels=["outcome"])
    for outcome, number in sorted(figures.attempt_counts(conn).items()):
        total.add_metric([outcome], number)
    yield total


def _people(conn: Connection, app: App) -> Iterator[Metric]:
    kinds = figures.counted(
        conn, "kind", "select kind, count(*) as n from v_exceptions where resolved_at is null group by kind order by 1"
    )
    yield _gauges("mpsync_open_exceptions", "Open exceptions, by kind.", "kind", kinds)
    todo = GaugeMetricFamily(
        "mpsync_todo",
        "What needs a person, by level (person: to be decided now; waiting) and kind.",
        labels=["level", "kind"],
    )
    for row in rows(conn, "select level, kind, count(*) as n from v_todo group by level, kind order by level, kind"):
        todo.add_metric([row["level"], row["kind"]], row["n"])
    yield todo
    paused = figures.counted(conn, "system", "select system, 1 as n from pauses")
    help_ = "1 while a vendor refuses our credentials and is left alone."
    yield _gauges("mpsync_paused", help_, "system", {name: paused.get(name, 0) for name in systems_of(app)})
    for name, help_, query in (
        (
            "mpsync_stock_differences",
            "Items whose stock differs between MPW and MPservices.",
            "select count(*) from v_stock where difference <> 0",
        ),
        (
            "mpsync_inbox_waiting",
            "Documents of the ERP that are not decided yet.",
            "select count(*) from v_inbox where state = 'received'",
        ),
        (
            "mpsync_quarantined_rows",
            "Rows of vendors that could not be read.",
            "select count(*) from v_quarantine where resolved_at is null",
        ),
    ):
        yield _gauge(name, help_, figures.number(conn, query))


def _gauge(name: str, help_: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help_, value=value)


def _gauges(name: str, help_: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, help_, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
