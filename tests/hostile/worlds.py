"""A world per example: Hypothesis runs a test many times, and each time begins with an empty database."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from sync.database.engine import Store
from tests.clocks import START, FakeClock
from tests.databases import PostgresDatabases
from tests.worlds.poll_world import PollWorld, poll_world

Fresh = Callable[[], AbstractContextManager[PollWorld]]


def fresh_sqlite(template: Path) -> Fresh:
    """Return what opens a world on a SQLite file of its own."""

    @contextmanager
    def fresh() -> Iterator[PollWorld]:
        with tempfile.TemporaryDirectory(prefix="mpsync-hostile-") as folder:
            path = Path(folder) / "mpsync.db"
            shutil.copyfile(template, path)
            with opened(f"sqlite:///{path}") as world:
                yield world

    return fresh


def fresh_postgres(postgres: PostgresDatabases) -> Fresh:
    """Return what opens a world on a PostgreSQL database of its own."""

    @contextmanager
    def fresh() -> Iterator[PollWorld]:
        with postgres.migrated() as url, opened(url) as world:
            yield world

    return fresh


@contextmanager
def opened(url: str, now: datetime = START) -> Iterator[PollWorld]:
    """Yield a world on a migrated database."""
    store = Store(url)
    try:
        with poll_world(store, FakeClock(now)) as world:
            yield world
    finally:
        store.close()


def nets(world: PollWorld) -> dict[str, Decimal]:
    """Return what the ledger says of each remote row: reversals taken off, rows that come to nothing left out."""
    found: dict[str, Decimal] = {}
    for entry in world.entries():
        found[entry.remote_id] = found.get(entry.remote_id, Decimal(0)) + entry.quantity
    return {remote_id: quantity for remote_id, quantity in found.items() if quantity}


def quarantined(world: PollWorld) -> list[tuple[str, str]]:
    """Return what is kept of rows that could not be read: text and reason."""
    return [
        (raw, reason) for raw, reason in world.rows("select raw, reason from v_quarantine where resolved_at is null")
    ]
