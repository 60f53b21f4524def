"""Our own reading, as production runs it: settings, store, clients and flows built by `open_app`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from bench.vendor import FIRST, Vendor
from sync.app import App, open_app
from sync.database.runs import Counts
from sync.log import configure_logging
from sync.poll.backfill import backfill_once
from sync.settings import load_settings

RECEIPTS = "mpw.receipts"
ROWS = 500
"""Receipts a day, in all that is read here."""


@contextmanager
def app_of(vendor: Vendor, database_url: str, **settings: str) -> Iterator[App]:
    """Open the program on a new database."""
    configure_logging("error", "console", [])
    with open_app(load_settings(vendor.settings(database_url, **settings), dotenv=None)) as app:
        yield app


def backfill(app: App, days: int, *, again: bool = False) -> Counts:
    """Read the first days that the vendor has, all of them anew with `again`; fail where one fails."""
    last = FIRST + timedelta(days=days - 1)
    done = backfill_once(app.context(), FIRST, last, sources=[RECEIPTS], again=again)
    assert not done.failed, done.failed[:3]
    return done.counts
