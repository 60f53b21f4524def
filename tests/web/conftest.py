"""A site over a real database, and a server for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from sync.app import App, open_app
from sync.clock import Clock
from sync.settings import load_settings
from tests.clocks import FakeClock
from tests.web.browser import Browser, NoBrowserError, chromium

OPENED = Callable[..., AbstractContextManager[App]]
VENDORS = {
    "MPW_EMAIL": "a@example.com",
    "MPW_PASSWORD": "secret-of-mpw",
    "MPW_BASE_URL": "http://127.0.0.1:9/api",
    "MPSERVICES_TOKEN": "secret-of-mpservices",
    "MPSERVICES_BASE_URL": "http://127.0.0.1:9",
    "MPW_TIMEZONE": "America/Chicago",
    "SYNC_START_DATE": "2023-10-10",
}


@contextmanager
def opened(url: str, clock: Clock, **settings: str) -> Iterator[App]:
    """Open the program on a database; no vendor is reachable."""
    values = VENDORS | {"DATABASE_URL": url} | settings
    with open_app(load_settings(values, None), clock=clock) as app:
        yield app


@pytest.fixture
def app(database_url: str, clock: FakeClock) -> Iterator[App]:
    """The program on each kind of database."""
    with opened(database_url, clock) as app:
        yield app


@pytest.fixture
def sqlite_app(sqlite_url: str, clock: FakeClock) -> Iterator[App]:
    """The program on SQLite."""
    with opened(sqlite_url, clock) as app:
        yield app


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium. Where there is none, its tests are skipped; with CI set they fail."""
    try:
        with chromium() as session:
            yield session
    except NoBrowserError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
