"""Books on each kind of database."""

from __future__ import annotations

import pytest

from sync.database.engine import Store
from tests.clocks import FakeClock
from tests.journal.books import Books


@pytest.fixture
def books(store: Store, clock: FakeClock) -> Books:
    """A journal with the sample's accounts, on each kind of database."""
    made = Books(store, clock)
    made.accounts()
    return made


@pytest.fixture
def sqlite_books(sqlite_store: Store, clock: FakeClock) -> Books:
    """The same on SQLite only."""
    made = Books(sqlite_store, clock)
    made.accounts()
    return made
