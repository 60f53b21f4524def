"""What the settings make of the program."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from sync.app import open_app
from sync.settings import load_settings
from sync.work.lead import Leadership
from tests.clocks import FakeClock

NOW = datetime(2024, 3, 15, 12, tzinfo=UTC)


def opened(path: Path, clock: FakeClock, *, leads: bool = False, **more: str) -> tuple[datetime, date, timedelta]:
    settings = load_settings({"DATABASE_URL": f"sqlite:///{path / 'a.db'}"} | more, dotenv=None)
    with open_app(settings, clock=clock) as app:
        if leads:
            app.context(Leadership(app.store, app.clock, app.owner))
        return app.policy.push_from, app.policy.start_date, app.policy.request_timeout


def test_the_first_run_fixes_the_go_live_cut_and_the_ledger_s_first_day_for_good(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    first = opened(tmp_path, clock, leads=True)
    clock.advance(86400 * 10)

    again = opened(tmp_path, clock, leads=True)

    assert first[:2] == again[:2]
    assert first[:2] == (NOW, date(2024, 2, 14))


def test_what_prepares_the_first_run_is_none(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    opened(tmp_path, clock)  # an item map is imported, say
    clock.advance(86400 * 10)

    assert opened(tmp_path, clock, leads=True)[:2] == (NOW + timedelta(days=10), date(2024, 2, 24))


def test_a_setting_goes_before_the_first_run(tmp_path: Path) -> None:
    cut, start, _ = opened(
        tmp_path, FakeClock(NOW), SYNC_PUSH_FROM="2024-03-01T00:00:00Z", SYNC_START_DATE="2023-12-31"
    )

    assert (cut, start) == (datetime(2024, 3, 1, tzinfo=UTC), date(2023, 12, 31))


def test_no_time_for_a_request_means_an_hour_not_none(tmp_path: Path) -> None:
    assert opened(tmp_path, FakeClock(NOW), SYNC_REQUEST_TIMEOUT_SECONDS="0")[2] == timedelta(hours=1)
