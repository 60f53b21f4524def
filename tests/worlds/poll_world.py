"""A world for tests of polling: vendors that answer exactly what the test put there, a real store, a clock by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
from sqlalchemy import Row, insert, select, text

from sync.clients.mpservices.client import MpservicesClient
from sync.clients.mpw.client import MpwClient
from sync.database.engine import Store
from sync.database.exceptions import open_exceptions
from sync.database.schema import documents, ledger_entries, outbox
from sync.jobs.due import an_agenda
from sync.values.policy import Policy
from sync.work.context import Context
from tests.clocks import FakeClock

MAIN = "Warehouse #1"
TODAY = date(2024, 3, 15)
NOON = datetime(2024, 3, 15, 12, tzinfo=UTC)


def issuance(id: int = 43381, **fields: Any) -> dict[str, Any]:
    """A row of GET /issuances as the document prints it."""
    row = {
        "id": id,
        "part_number": "091843",
        "inventory_name": "part name",
        "created_on": TODAY.isoformat(),
        "quantity": 1.0,
        "unit_cost": 9.99,
        "overdraft": False,
        "description": "issuance description field content",
        "warehouse_name": MAIN,
    }
    return row | fields


def receipt(id: int = 236252, **fields: Any) -> dict[str, Any]:
    """A row of GET /receipts as the document prints it."""
    row = {
        "id": id,
        "part_number": "51503",
        "inventory_name": "part name",
        "created_on": TODAY.isoformat(),
        "invoice_number": None,
        "quantity_received": 1.0,
        "quantity_remaining": 1.0,
        "unit_cost": 11.3,
        "description": None,
        "vendor_name": None,
        "vendor_number": None,
        "api_key": None,
        "purchase_order_number": 1000,
        "warehouse_name": MAIN,
    }
    return row | fields


def line(external_id: str | None = "1231232", quantity: Any = 2, cost: Any = "25", **fields: Any) -> dict[str, Any]:
    """A line of a movement as the document prints it."""
    row = {
        "cost": cost,
        "quantity": quantity,
        "item": "Item name",
        "unit": "Pieces",
        "item_id": "0000000000002",
        "item_external_id": external_id,
    }
    return row | fields


def movement(
    id: str = "612f8bdb-b42e-42ea-be45-5a7156dacdf5",
    *lines: dict[str, Any],
    type: str = "Outbound",
    created_at: datetime = NOON - timedelta(hours=1),
) -> dict[str, Any]:
    """A movement as the document prints it."""
    return {
        "id": id,
        "reference": "Folio-198",
        "type": type,
        "createdAt": created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
        "movements": list(lines) or [line()],
    }


def order(number: int, created_on: date = TODAY, **fields: Any) -> dict[str, Any]:
    """A purchase order in short."""
    row = {
        "sequential_id": number,
        "status": "requisition",
        "created_on": created_on.isoformat(),
        "total_cost": 35.0,
        "vendor_name": "Bosch",
        "warehouse_name": MAIN,
        "items": [{"id": number * 10, "quantity": 5.0, "unit_cost": 7.0, "part_number": "000000"}],
    }
    return row | fields


@dataclass
class Vendors:
    """What both vendors say. `answers` overrides a path (with its query) by a status and a body."""

    days: dict[tuple[str, str], list[Any]] = field(default_factory=dict)
    feed: list[Any] = field(default_factory=list)
    orders: list[dict[str, Any]] = field(default_factory=list)
    work_orders: list[dict[str, Any]] = field(default_factory=list)
    equipment: list[Any] = field(default_factory=list)
    page_size: int = 100
    page_parameter: bool = True
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def handle(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        path, params = request.url.path.rsplit("/", 1)[1], dict(request.url.params)
        self.requests.append(f"{path}?{request.url.query.decode()}" if params else path)
        for key in (path, f"{path} {params.get('date')}"):
            if key in self.answers:
                status, body = self.answers[key]
                return httpx.Response(status, content=body)
        if path == "authentication":
            return httpx.Response(200, json={"access_token": "a.b.c"})
        if path in ("issuances", "receipts"):
            return _json(self.days.get((path, params["date"]), []))
        if path == "FetchTenantsInventoryMovements":
            return _json(self.feed)
        if path == "gps_meter_updates":
            return _json(self.equipment)
        if path == "purchase_orders" and "created_on_from" not in params:  # it wants these, whatever else is asked for
            return httpx.Response(422, json={"error": "created_on_from is required"})
        if path == "purchase_orders":
            return _json(self._page(path, self.orders, "created_on", params))
        if path == "work_orders":
            by = next(key.removesuffix("_from") for key in params if key.endswith("_from"))
            return _json(self._page(path, self.work_orders, by, params))
        return httpx.Response(404, json={"message": "not found"})

    def _page(self, name: str, rows: list[dict[str, Any]], by: str, params: dict[str, str]) -> dict[str, Any]:
        first, last = params[f"{by}_from"], params[f"{by}_to"]
        found = [row for row in rows if row.get(by) and first <= row[by] <= last]
        page = int(params.get("page", "1")) if self.page_parameter else 1
        part = found[(page - 1) * self.page_size : page * self.page_size]
        count = -(-len(found) // self.page_size)
        pages = {"page": page, "pageSize": self.page_size, "pageCount": max(1, count), "count": len(found)}
        return {name: part, "pagination": pages}

    def asked(self, path: str) -> list[str]:
        """Return the requests for a path."""
        return [request for request in self.requests if request.split("?")[0] == path]


def _json(value: object) -> httpx.Response:
    return httpx.Response(200, content=json.dumps(value).encode(), headers={"content-type": "application/json"})


@dataclass
class PollWorld:
    """What a test does with all that."""

    vendors: Vendors
    store: Store
    clock: FakeClock
    ctx: Context

    def put(self, source: str, *rows: Any, day: date = TODAY) -> None:
        """Let MPW answer these rows for a day of `issuances` or `receipts`."""
        self.vendors.days[source, day.isoformat()] = list(rows)

    def set_policy(self, **changes: Any) -> None:
        """Change settings."""
        self.ctx.policy = replace(self.ctx.policy, **changes)

    def entries(self) -> list[Row[Any]]:
        """Return the ledger, in commit order."""
        with self.store.read() as conn:
            return list(conn.execute(select(ledger_entries).order_by(ledger_entries.c.id)))

    def brief(self) -> list[tuple[str, str, str]]:
        """Return the ledger as (entry type, api_key, quantity)."""
        return [(row.entry_type, row.api_key, f"{row.quantity.normalize():f}") for row in self.entries()]

    def document(self, remote_id: str) -> Row[Any]:
        """Return a document."""
        with self.store.read() as conn:
            return conn.execute(select(documents).where(documents.c.remote_id == remote_id)).one()

    def exceptions(self, kind: str | None = None) -> list[Row[Any]]:
        """Return the open exceptions."""
        with self.store.read() as conn:
            return open_exceptions(conn, kind=kind)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return what a query finds."""
        with self.store.read() as conn:
            return [tuple(row) for row in conn.execute(text(query))]

    def count_writes(self) -> list[str]:
        """Return a list that every INSERT, UPDATE or DELETE from now on is added to."""
        from sqlalchemy import event

        seen: list[str] = []

        @event.listens_for(self.store.engine, "before_cursor_execute")
        def note(_c: Any, _cur: Any, statement: str, *_rest: Any) -> None:
            if statement.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE")):
                seen.append(statement)

        return seen

    def add_push(self, operation: str, api_key: str, *, state: str = "done", **values: Any) -> int:
        """Put a push that we made into the outbox."""
        now = self.clock.now()
        row = {
            "route": "receipts" if operation == "post_receipt" else "issuances",
            "operation": operation,
            "kind": operation.removeprefix("post_").removeprefix("delete_"),
            "api_key": api_key,
            "entity_key": f"item:{api_key}",
            "state": state,
            "tries": 1,
            "due_at": now,
            "payload": "{}",
            "evidence": "the answer" if state == "done" else None,
            "created_at": now,
            "finalized_at": now if state in ("done", "dead", "superseded", "discarded") else None,
        }
        with self.store.write() as conn:
            made = conn.execute(insert(outbox).values(**row | values)).inserted_primary_key
        assert made is not None
        return int(made[0])


@contextmanager
def poll_world(store: Store, clock: FakeClock) -> Iterator[PollWorld]:
    """Yield a world on a store; today is 2024-03-15, noon, in UTC."""
    vendors = Vendors()
    transport = httpx.MockTransport(vendors.handle)
    limits: dict[str, Any] = {"clock": clock, "max_requests_per_second": 0, "transport": transport}
    mpw = MpwClient("https://mpw.example/api", "user@example.com", "welcome", **limits)
    mpservices = MpservicesClient("https://mps.example", "T0KEN", work_orders_path="/work", **limits)
    policy = Policy(warehouse=MAIN, start_date=TODAY - timedelta(days=3), gps_providers=("Geotab",))
    try:
        yield PollWorld(
            vendors,
            store,
            clock,
            Context(
                store,
                clock,
                policy,
                mpw=mpw,
                mpservices=mpservices,
                agenda=an_agenda(),
            ),
        )
    finally:
        mpw.close()
        mpservices.close()
