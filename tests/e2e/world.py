"""A whole world for a test: both vendors on loopback, a real database, the real program."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from sync.app import App, open_app
from sync.clock import Clock, SystemClock
from sync.jobs.cycle import CycleReport, cycle_once
from sync.jobs.reports import Record, rows, view
from sync.sandbox.server import Sandbox
from sync.settings import load_settings
from sync.values.policy import ROUTES

MAIN = "Warehouse #1"
NOW_AT_ONCE = {
    "SYNC_RETRY_BASE_SECONDS": "0",
    "SYNC_LATE_ARRIVAL_SECONDS": "0",
    "SYNC_VOID_AFTER_MINUTES": "0",
    "SYNC_REQUEST_TIMEOUT_SECONDS": "2",
}


@dataclass
class World:
    """The vendors, the program's settings, and what a test does with them."""

    sandbox: Sandbox
    database_url: str
    routes: str = "push"
    clock: Clock = field(default_factory=SystemClock)
    extra: Mapping[str, str] = field(default_factory=dict)

    def environment(self, **more: str) -> dict[str, str]:
        """Return the variables that a process of mpsync would be given."""
        return (
            self.sandbox.settings()
            | {f"SYNC_ROUTE_{route.upper()}": self.routes for route in ROUTES}
            | NOW_AT_ONCE
            | {
                "DATABASE_URL": self.database_url,
                "SYNC_PUSH_FROM": (self.clock.now() - timedelta(days=3)).isoformat(),
                "SYNC_START_DATE": (self.clock.now() - timedelta(days=3)).date().isoformat(),
            }
            | dict(self.extra)
            | more
        )

    @contextmanager
    def app(self, **more: str) -> Iterator[App]:
        """Open the program as a process would."""
        with open_app(load_settings(self.environment(**more), dotenv=None), clock=self.clock) as app:
            yield app

    def cycle(self, **more: str) -> CycleReport:
        """Run one whole cycle in a program of its own."""
        with self.app(**more) as app, app.leading() as leadership:
            return cycle_once(app.context(leadership))

    def settle(self, cycles: int = 4, **more: str) -> None:
        """Run cycles until the outbox has nothing in flight, or `cycles` have been run."""
        for _ in range(cycles):
            self.cycle(**more)
            if not self.view("v_outbox", state=["ready", "sending", "unknown"]):
                return

    def view(self, name: str, **where: Any) -> list[Record]:
        """Return the rows of a public view."""
        order = {"v_events": "kind, api_key", "v_stock": "item", "v_coverage": "source, day"}.get(name, "1")
        with self.app() as app, app.store.read() as conn:
            return view(conn, name, where=where, order=order)

    def query(self, sql: str, **values: Any) -> list[Record]:
        """Run SQL as an operator would."""
        with self.app() as app, app.store.read() as conn:
            return rows(conn, sql, **values)

    def erp_inserts(self, document_type: str, api_key: str, **payload: Any) -> None:
        """Insert a document as the ERP does."""
        with self.app() as app, app.store.write() as conn:
            conn.execute(
                text("insert into inbox (document_type, api_key, payload) values (:t, :k, :p)"),
                {"t": document_type, "k": api_key, "p": json.dumps(payload)},
            )

    def writes(self) -> list[str]:
        """Return the endpoints of every write request that reached a vendor so far."""
        return [seen.endpoint for seen in self.sandbox.requests.all() if seen.is_write]

    def open_exceptions(self) -> list[tuple[str, str]]:
        """Return kind and subject of what needs a person."""
        return [(row["kind"], row["subject"]) for row in self.view("v_exceptions", resolved_at=None)]


@contextmanager
def quiet_world(database_url: str, *, clock: Clock | None = None, **extra: str) -> Iterator[World]:
    """A world with one warehouse and three parts in both systems, 100 of each at 10.0, and nothing else."""
    with Sandbox(populate=False) as sandbox:
        mpw, mpservices = sandbox.mpw, sandbox.mpservices
        mpw.add_warehouse(MAIN)
        mpw.add_vendor("Bosch")
        long_ago = mpw.today() - timedelta(days=60)
        for part in ("P-1", "P-2", "P-3"):
            mpw.add_part(part, MAIN, name=f"Part {part}")
            mpw.person_receives(part, MAIN, 100, "10", long_ago)
            mpservices.add_product(part, stock=100, cost="10")
        yield World(sandbox, database_url, clock=clock or SystemClock(), extra=extra)
