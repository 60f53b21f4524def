"""/metrics tells what the tables hold, and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import date, timedelta
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert

from sync.app import App
from sync.clients.http import RequestSeen
from sync.database import schema
from sync.database.facts import HEARTBEAT_AT
from sync.database.pauses import pause_system
from sync.jobs.prune import prune_once
from sync.ledger.books import Books
from sync.ledger.coverage import DAY_SOURCES
from sync.web.metrics import FRESH_SECONDS, Metrics
from sync.work.lead import Leadership
from tests.clocks import FakeClock
from tests.views.story import NOON, done, push, tell
from tests.web.conftest import opened

Figures = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scraped(metrics: Metrics) -> Figures:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def figure(figures: Figures, name: str, **labels: str) -> float | None:
    return figures.get((f"mpsync_{name}", tuple(sorted(labels.items()))))


def add(app: App, table: Any, *rows: dict[str, Any]) -> None:
    with app.store.write() as conn:
        for row in rows:
            conn.execute(insert(table).values(**row))


def test_runs_and_rows_are_counted_by_outcome_and_what_still_runs_is_none(app: App) -> None:
    at = {"started_at": NOON, "ended_at": NOON}
    add(
        app,
        schema.runs,
        {"flow": "poll", "outcome": "ok", "seen": 5, "added": 2, "unchanged": 3, **at},
        {"flow": "poll", "outcome": "failed", **at},
        {"flow": "poll", "started_at": NOON},
    )

    figures = scraped(Metrics(app))

    assert figure(figures, "runs_total", flow="poll", outcome="ok") == 1
    assert figure(figures, "runs_total", flow="poll", outcome="failed") == 1
    assert sum(value for (name, _), value in figures.items() if name == "mpsync_runs_total") == 2
    assert figure(figures, "rows_total", flow="poll", outcome="added") == 2
    assert figure(figures, "rows_total", flow="poll", outcome="unchanged") == 3
    assert figure(figures, "last_success_timestamp_seconds", flow="poll") == NOON.timestamp()


def test_counters_do_not_fall_when_old_rows_are_pruned(app: App, clock: FakeClock) -> None:
    runs = [{"flow": "poll", "outcome": "ok", "seen": 5, "added": 2, "started_at": NOON, "ended_at": NOON}] * 4
    add(app, schema.runs, *runs)
    add(app, schema.outbox, done("k-1"))
    add(app, schema.attempts, {"outbox_id": 1, "n": 1, "fence": 1, "started_at": NOON, "outcome": "done"})
    metrics = Metrics(app)
    before = {key: value for key, value in scraped(metrics).items() if key[0].endswith("_total")}

    clock.advance(days=1000)
    counts = prune_once(app.context())

    assert (counts.runs, counts.pushes) == (3, 1)
    after = {key: value for key, value in scraped(metrics).items() if key[0].endswith("_total")}
    assert before == after
    assert figure(after, "attempts_total", outcome="done") == 1


def test_lag_is_the_time_since_a_source_was_read_well_and_since_the_first_run_where_it_never_was(
    app: App, clock: FakeClock
) -> None:
    hours = timedelta(hours=7)
    add(app, schema.facts, {"name": "first_run_at", "value": NOON.isoformat(), "updated_at": NOON})
    failing = {"error": "down", "failing_since": NOON}
    add(app, schema.feeds, {"source": "mpservices.movements", "last_read_at": NOON - hours, **failing})
    clock.advance(minutes=10)

    figures = scraped(Metrics(app))

    assert figure(figures, "source_lag_seconds", source="mpservices.movements") == 7 * 3600 + 600
    assert figure(figures, "source_failing", source="mpservices.movements") == 1
    assert figure(figures, "source_lag_seconds", source="mpw.receipts") == 600
    assert figure(figures, "source_failing", source="mpw.receipts") == 0
    assert figure(figures, "feed_window_seconds") == 48 * 3600


def test_a_source_that_is_off_is_neither_late_nor_failing(sqlite_url: str, clock: FakeClock) -> None:
    with opened(sqlite_url, clock, MPSERVICES_TOKEN="") as app:
        figures = scraped(Metrics(app))

    sources = {dict(labels)["source"] for name, labels in figures if name == "mpsync_source_lag_seconds"}
    assert sources == {"mpw.issuances", "mpw.receipts", "mpw.purchase_orders", "mpw.work_orders"}
    assert figure(figures, "feed_window_seconds") is None
    assert figure(figures, "paused", system="mpservices") is None


def test_coverage_age_counts_from_the_first_day_that_is_not_complete(sqlite_url: str, clock: FakeClock) -> None:
    with opened(sqlite_url, clock, SYNC_START_DATE="2024-03-05", MPW_TIMEZONE="UTC") as app:
        days = [{"day": date(2024, 3, 5) + timedelta(days=n), "rows": 1, "complete": True} for n in range(10)]
        add(app, schema.coverage, *({"source": DAY_SOURCES[0], **day} for day in days))
        add(app, schema.coverage, *({"source": DAY_SOURCES[1], **day} for day in days if day["day"].day != 8))
        figures = scraped(Metrics(app))

    assert figure(figures, "coverage_age_seconds", source=DAY_SOURCES[0]) == 12 * 3600
    assert figure(figures, "coverage_incomplete", source=DAY_SOURCES[0]) == 0
    assert figure(figures, "coverage_age_seconds", source=DAY_SOURCES[1]) == 7.5 * 86400
    assert figure(figures, "coverage_incomplete", source=DAY_SOURCES[1]) == 1


def test_the_outbox_is_told_by_route_and_state_with_the_age_of_its_oldest(app: App, clock: FakeClock) -> None:
    add(
        app,
        schema.outbox,
        push("a", state="unknown", ambiguous=True, created_at=NOON - timedelta(hours=2)),
        push("b", state="unknown", ambiguous=True, entity_key="other"),
        push("c", state="dead", finalized_at=NOON),
        done("d"),
    )

    figures = scraped(Metrics(app))

    assert figure(figures, "outbox_pushes", route="receipts", state="unknown") == 2
    assert figure(figures, "outbox_oldest_age_seconds", route="receipts", state="unknown") == 7200
    assert figure(figures, "outbox_pushes", route="receipts", state="dead") == 1
    assert figure(figures, "outbox_pushes", route="receipts", state="done") is None
    assert figure(figures, "outbox_finished", state="done") == 1
    assert figure(figures, "outbox_finished", state="discarded") == 0


def test_what_needs_a_person_is_told(app: App) -> None:
    with app.store.write() as conn:
        tell(conn)
        pause_system(conn, "mpw", fingerprint="f", reason="Unauthorized", now=NOON)

    figures = scraped(Metrics(app))

    assert figure(figures, "open_exceptions", kind="unmapped_item") == 1
    assert figure(figures, "open_gaps") == 1
    assert figure(figures, "quarantined_rows") == 1
    assert figure(figures, "stock_differences") == 1
    assert figure(figures, "inbox_waiting") == 0
    assert figure(figures, "paused", system="mpw") == 1
    assert figure(figures, "paused", system="mpservices") == 0


def test_leader_and_heartbeat_are_told(sqlite_app: App, clock: FakeClock) -> None:
    metrics = Metrics(sqlite_app)
    assert figure(scraped(metrics), "leader") == 0
    assert figure(scraped(metrics), "heartbeat_age_seconds") is None

    leadership = Leadership(sqlite_app.store, clock, sqlite_app.owner)
    leadership.take_or_refuse()
    with sqlite_app.store.write() as conn:
        Books(conn, now=NOON).note_fact(HEARTBEAT_AT, NOON.isoformat())
    clock.advance(FRESH_SECONDS)

    assert figure(scraped(metrics), "leader") == 1
    assert figure(scraped(metrics), "heartbeat_age_seconds") == FRESH_SECONDS
    leadership.release()
    clock.advance(FRESH_SECONDS)
    assert figure(scraped(metrics), "leader") == 0


def test_requests_are_timed_by_vendor_and_endpoint(sqlite_app: App) -> None:
    metrics = Metrics(sqlite_app)
    for outcome, seconds in (("ok", 0.2), ("RetryableError", 30.0)):
        metrics.observe(RequestSeen("mpw", "GET", "receipts", False, None, outcome, seconds, 0))

    figures = scraped(metrics)

    about = {"vendor": "mpw", "endpoint": "receipts"}
    assert figure(figures, "request_seconds_count", **about) == 2
    assert figure(figures, "request_seconds_sum", **about) == pytest.approx(30.2)
    assert figure(figures, "request_seconds_bucket", **about, le="0.25") == 1
    assert figure(figures, "requests_total", **about, outcome="RetryableError") == 1


def test_a_database_that_is_away_is_a_figure_and_requests_are_told_all_the_same(
    sqlite_app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.exc import OperationalError

    def away() -> Any:
        raise OperationalError("select 1", {}, Exception("gone"))

    metrics = Metrics(sqlite_app)
    metrics.observe(RequestSeen("mpw", "GET", "receipts", False, 200, "ok", 0.2, 0))
    monkeypatch.setattr(sqlite_app.store, "read", away)

    figures = scraped(metrics)

    assert figure(figures, "database_up") == 0
    assert figure(figures, "requests_total", vendor="mpw", endpoint="receipts", outcome="ok") == 1
    assert figure(figures, "open_gaps") is None


def test_two_scrapers_at_once_ask_the_tables_once(sqlite_app: App, clock: FakeClock) -> None:
    metrics = Metrics(sqlite_app)
    assert figure(scraped(metrics), "outbox_finished", state="done") == 0
    add(sqlite_app, schema.outbox, done("d"))

    assert figure(scraped(metrics), "outbox_finished", state="done") == 0
    clock.advance(FRESH_SECONDS)
    assert figure(scraped(metrics), "outbox_finished", state="done") == 1


def test_no_secret_and_nothing_of_the_process_is_told(app: App) -> None:
    told = Metrics(app).text().decode()

    assert "secret-of" not in told
    assert "python_" not in told
    assert "process_" not in told
    assert all(line.startswith(("# ", "mpsync_")) for line in told.splitlines())


def test_promtool_finds_nothing_to_complain_of(app: App) -> None:
    with app.store.write() as conn:
        tell(conn)
    promtool = shutil.which("promtool")
    if promtool is None:
        if os.environ.get("CI"):
            pytest.fail("no promtool here: .ci/browser_setup installs it")
        pytest.skip("no promtool here: .ci/browser_setup installs it")

    done_ = subprocess.run([promtool, "check", "metrics"], input=Metrics(app).text(), capture_output=True, timeout=60)

    assert (done_.returncode, done_.stdout + done_.stderr) == (0, b"")
