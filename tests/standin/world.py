"""The real program against the stand-in: real cycles, HTTP and databases; what came of it by the public views."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from sync.app import App, open_app
from sync.jobs.cycle import CycleReport, cycle_once
from sync.jobs.prune import prune_if_due_once
from sync.jobs.reports import Record, needs_a_person, rows, view
from sync.ledger.books import Books
from sync.reconcile.item_map import ItemMapping
from sync.reconcile.item_rows import import_items
from sync.settings import load_settings
from sync.values.policy import ROUTES
from tests.standin import mpservices, mpw
from tests.standin.mpservices import Mpservices
from tests.standin.mpw import Mpw
from tests.standin.server import serving
from tests.standin.times import OurClock, TrueTime
from tests.views.pinned import pin

MAIN, OTHER, PART = "Warehouse #1", "WH2", "P-1"
WRITES_MAX = 100
ROOT = Path(__file__).parents[2]
OPEN = ["ready", "sending", "unknown"]
CYCLES_MAX = 36
"""Three hours of cycles: what has not come to rest by then never will."""


@dataclass(repr=False)
class World:
    """Both vendors, the program's settings and clock, and what a test does with them."""

    mpw: Mpw
    mps: Mpservices
    true: TrueTime
    clock: OurClock
    addresses: tuple[str, str]
    database_url: str
    monkeypatch: pytest.MonkeyPatch
    settings: dict[str, str] = field(default_factory=dict)
    _app: App | None = None

    # ------------------------------------------------------------------ the program

    def environment(self) -> dict[str, str]:
        """Return the variables that a process of the program is given."""
        return {
            "DATABASE_URL": self.database_url,
            "MPW_BASE_URL": self.addresses[0],
            "MPW_EMAIL": mpw.EMAIL,
            "MPW_PASSWORD": mpw.PASSWORD,
            "MPW_WAREHOUSE": MAIN,
            "MPW_MAX_REQUESTS_PER_SECOND": "0",
            "MPSERVICES_BASE_URL": self.addresses[1],
            "MPSERVICES_TOKEN": mpservices.TOKEN,
            "MPSERVICES_CREATE_PRODUCT_PATH": "/CreateProduct",
            "MPSERVICES_MAX_REQUESTS_PER_SECOND": "0",
            "SYNC_START_DATE": (mpw_start(self) - timedelta(days=2)).isoformat(),
            **{f"SYNC_ROUTE_{route.upper()}": "push" for route in ROUTES},
            **self.settings,
        }

    def cycle(self, times: int = 1, *, minutes: float = 5) -> CycleReport:
        """Let some minutes pass and run one cycle, as `mpsync once` does; so many times."""
        report = CycleReport()
        for _ in range(times):
            self.true.advance(timedelta(minutes=minutes))
            app = self.app()
            with app.leading() as leadership:
                context = app.context(leadership)
                report = cycle_once(context)
                prune_if_due_once(context)
        return report

    def rests(self, *, minutes: float = 5) -> int:
        """Run cycles until two in a row wrote nothing and nothing is under way; return how many that took."""
        quiet = 0
        for n in range(CYCLES_MAX):
            before = self.writes()
            self.cycle(minutes=minutes)
            assert len(self.writes()) < WRITES_MAX, "it feeds itself"
            quiet = quiet + 1 if self.writes() == before and not self.view("v_outbox", state=OPEN) else 0
            if quiet == 2:
                return n + 1
        raise AssertionError(f"{CYCLES_MAX} cycles and it still writes: {self.view('v_outbox', state=OPEN)}")

    def app(self) -> App:
        """Return the program, opened."""
        if self._app is None:
            self._entered = open_app(load_settings(self.environment(), dotenv=None), clock=self.clock)
            self._app = self._entered.__enter__()
        return self._app

    def restart(self, **settings: str) -> None:
        """Stop the program; the next cycle starts another, with settings changed."""
        self.settings |= settings
        if self._app is not None:
            self._app = None
            self._entered.__exit__(None, None, None)

    def mpsync(self, *arguments: str) -> tuple[int, str]:
        """Run a command as a person does, at the program's own time; return its exit code and what it printed."""
        self.monkeypatch.setattr("sync.app.SystemClock", lambda: self.clock)
        from sync.__main__ import main

        # A real terminal's streams: a table is written as text, --json as bytes.
        said, logged = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
        with self.monkeypatch.context() as patch, redirect_stdout(said), redirect_stderr(logged):
            for name, value in self.environment().items():
                patch.setenv(name, value)
            code = main(list(arguments))
        return code, "".join(one.buffer.getvalue().decode() for one in (said, logged))  # type: ignore[attr-defined]

    def cycle_killed(
        self, vendor: Mpw | Mpservices, name: str, *, effect: bool, then: Callable[[], object] = lambda: None
    ) -> None:
        """Run a cycle in a process that is killed (-9) when it sends such a request, before or after its effect."""
        self.restart()
        self.true.advance(timedelta(minutes=5))
        times = {"STANDIN_NOW": self.true.now().isoformat(), "STANDIN_AHEAD": str(self.clock.ahead.total_seconds())}
        environment = self.environment() | times | {"PYTHONPATH": str(ROOT)}
        started: list[subprocess.Popen[bytes]] = []

        def kill() -> None:
            started[0].send_signal(signal.SIGKILL)
            started[0].wait(10)
            then()

        fault = vendor.goes_wrong(name, effect="now" if effect else "never", answer="lost", after=kill)
        program = [sys.executable, "-m", "tests.standin.one_cycle"]
        started.append(subprocess.Popen(program, cwd=ROOT, env=os.environ | environment, stderr=subprocess.PIPE))
        _, complaint = started[0].communicate(timeout=60)
        assert started[0].returncode == -signal.SIGKILL, complaint.decode()
        assert fault.times == 0

    # ------------------------------------------------------------------ what people and the ERP tell the program

    def maps(self, *items: tuple[str, str, tuple[str, ...], int]) -> None:
        """Replace the item map: external id, part, warehouses, factor."""
        found = [ItemMapping(ext, part, warehouses, Decimal(factor)) for ext, part, warehouses, factor in items]
        with self.app().store.write() as conn:
            import_items(Books(conn, now=self.clock.now()), found)

    def erp(self, document_type: str, api_key: str, **payload: Any) -> None:
        """Insert a document as the ERP does."""
        with self.app().store.write() as conn:
            conn.execute(
                text("insert into inbox (document_type, api_key, payload) values (:t, :k, :p)"),
                {"t": document_type, "k": api_key, "p": json.dumps(payload)},
            )

    def erp_receipt(self, api_key: str, quantity: Any = 5, cost: Any = 10, **more: Any) -> None:
        """Insert a receipt of today as the ERP does."""
        fields = {"part_number": PART, "warehouse_name": MAIN, "created_on": self.mpw.today.isoformat()}
        self.erp("receipt", api_key, **fields | {"quantity_received": quantity, "unit_cost": cost} | more)

    def erp_issuance(self, api_key: str, quantity: Any = 2, **more: Any) -> None:
        """Insert an issuance of today as the ERP does."""
        fields = {"part_number": PART, "warehouse_name": MAIN, "created_on": self.mpw.today.isoformat()}
        self.erp("issuance", api_key, **fields | {"quantity": quantity} | more)

    def resolve(self, kind: str, *choice: str) -> None:
        """Resolve the only open exception of a kind by the command, `--apply` or `--keep` for instance."""
        (found,) = self.view("v_exceptions", kind=kind, resolved_at=None)
        code, said = self.mpsync("exceptions", "resolve", str(found["id"]), "--why", "a test's person", *choice)
        assert code == 0, said

    def follows(self, kind: str, command: str, **words: str) -> None:
        """Do what the hint of the only open exception of a kind says, word for word: its command that holds a text."""
        (found,) = self.view("v_exceptions", kind=kind, resolved_at=None)
        hinted = next(one for one in re.findall(r"`mpsync ([^`]+)`", found["hint"]) if command in one)
        words = {"ID": str(found["id"]), "TEXT": "looked"} | words
        code, said = self.mpsync(*(words.get(word, word) for word in hinted.split()))
        assert code == 0, said

    # ------------------------------------------------------------------ what came of it

    def view(self, name: str, **where: Any) -> list[Record]:
        """Return the rows of a public view."""
        order = {"v_events": "kind, api_key", "v_stock": "item", "v_learned": "system, fact"}.get(name, "1")
        with self.app().store.read() as conn:
            return view(conn, name, where=where, order=order)

    def query(self, sql: str, **values: Any) -> list[Record]:
        """Run SQL as a person does."""
        with self.app().store.read() as conn:
            return rows(conn, sql, **values)

    def told(self) -> list[str]:
        """Return the kinds of the open exceptions, each once."""
        return sorted({row["kind"] for row in self.view("v_exceptions", resolved_at=None)})

    def ever_told(self) -> list[str]:
        """Return the kinds of all exceptions there have been, each once."""
        return sorted({row["kind"] for row in self.view("v_exceptions")})

    def status(self, later: timedelta = timedelta()) -> list[str]:
        """Return why `mpsync status` ends with 1, or will so much later; empty: it ends with 0."""
        pin(self.app().store, self.clock.now() + later)
        with self.app().store.read() as conn:
            return needs_a_person(conn)

    def learned(self) -> dict[str, str]:
        """Return the facts that were learnt, by "system fact"."""
        return {f"{row['system']} {row['fact']}": row["value"] for row in self.view("v_learned")}

    def stocks(self, part: str = PART, external_id: str | None = None) -> tuple[Decimal, Decimal]:
        """Return MPW's stock of a part in its warehouse and MPservices' of the product, as they really are."""
        return self.mpw.stock(part, MAIN), self.mps.stock(external_id or part)

    def patches(self, external_id: str = PART) -> int:
        """Return how many patches of a product have arrived."""
        return len(self.mps.patches(external_id))

    def writes(self) -> list[str]:
        """Return the names of all writes that reached a vendor."""
        return [*self.mpw.writes(), *self.mps.writes()]

    def pushed(self) -> list[str]:
        """Return the names of the writes that reached MPW."""
        return self.mpw.writes()

    def states(self, **where: Any) -> list[str]:
        """Return the states of pushes."""
        return [row["state"] for row in self.view("v_outbox", **where)]


def mpw_start(world: World) -> Any:
    """Return the day on which the world began."""
    return world.true._started.date()


@contextmanager
def standin_world(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world with one part, 100 of it at 10 on both sides, mapped; nothing has been read yet."""
    true = TrueTime()
    vendor_w, vendor_s = Mpw(true), Mpservices(true)
    for warehouse in (MAIN, OTHER):
        vendor_w.warehouses.append(warehouse)
    vendor_w.adds(PART, MAIN, 100, 10)
    vendor_s.add(PART, 100, 10)
    with serving(vendor_w, mpw.PREFIX) as first, serving(vendor_s) as second:
        world = World(vendor_w, vendor_s, true, OurClock(true), (first, second), database_url, monkeypatch)
        try:
            world.maps((PART, PART, (MAIN,), 1))
            yield world
        finally:
            world.restart()
