"""A world for tests of reconcile: a real store, the stand-in for MPW without a socket, a clock that the test moves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import insert, select, update

from sync.clients.mpservices.wire import read_movements
from sync.clients.mpw.client import MpwClient
from sync.database.engine import Store
from sync.database.exceptions import open_exceptions
from sync.database.runs import Counts
from sync.database.schema import exceptions, inbox, outbox, parked, purchase_orders
from sync.inbox.rules import ErpDocument
from sync.inbox.take_in import inbox_once
from sync.jobs.due import an_agenda
from sync.learned.rows import learn, set_learned
from sync.learned.rules import FACTS
from sync.ledger.books import Books
from sync.ledger.rules import new_entry
from sync.outbox.rows import Push, push_of
from sync.poll.feed.window import ingest_movements
from sync.reconcile.derive import reconcile_once
from sync.reconcile.item_map import ItemMapping
from sync.reconcile.item_rows import import_items
from sync.values.policy import ROUTES, Policy
from sync.work.context import Context
from tests.clocks import START, FakeClock
from tests.standin.in_process import transport_to
from tests.standin.mpw import EMAIL, PASSWORD, Mpw
from tests.standin.times import TrueTime

MAIN = "Warehouse #1"
TODAY = "2024-03-15"
LOOK = "GET inventories"
ALL_PUSH = dict.fromkeys(ROUTES, "push")

RECEIPT: dict[str, Any] = {
    "part_number": "P-1",
    "warehouse_name": MAIN,
    "quantity_received": 5,
    "unit_cost": "9.99",
    "created_on": TODAY,
}
ISSUANCE: dict[str, Any] = {"part_number": "P-1", "warehouse_name": MAIN, "quantity": 2, "created_on": TODAY}


def _priced(total: object) -> str:
    """Return an order's JSON with one line that comes to its total."""
    return json.dumps({"total_cost": str(total), "items": [{"quantity": 1, "unit_cost": str(total)}]})


@dataclass
class World:
    """What a test does with them."""

    store: Store
    clock: FakeClock
    ctx: Context
    mpw: Mpw

    def rules(self, **changes: Any) -> None:
        """Change settings from here on."""
        self.ctx.policy = replace(self.ctx.policy, **changes)

    def routes(self, **modes: str) -> None:
        """Change routes from here on."""
        self.rules(routes={**self.ctx.policy.routes, **modes})

    def map(self, *mappings: ItemMapping) -> None:
        """Replace the item map."""
        with self.store.write() as conn:
            import_items(Books(conn, now=self.clock.now()), mappings)

    def move(
        self,
        type_: str,
        *lines: tuple[str, str, str],
        id_: str = "m-1",
        at: datetime | None = None,
        reference: str | None = "Folio-198",
        source: str = "feed",
        push: bool = True,
    ) -> None:
        """People move (item, quantity, cost)s in MPservices, and we have read it."""
        created = (at or self.clock.now()).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        value = {
            "id": id_,
            "reference": reference,
            "type": type_,
            "createdAt": created,
            "movements": [
                {"item_external_id": item, "quantity": Decimal(quantity), "cost": cost}
                for item, quantity, cost in lines
            ],
        }
        movements = read_movements(json.dumps([value], default=str).encode()).rows
        with self.store.write() as conn:
            books = Books(conn, now=self.clock.now(), policy=self.ctx.policy)
            ingest_movements(books, movements, source=source, push=push)

    def mpw_entry(
        self, kind: str, api_key: str, *, item: str = "P-1", quantity: str = "5", unit_cost: str = "9.99"
    ) -> int:
        """A row stands in MPW under a key, and we have read it."""
        entry = new_entry(
            "mpw",
            kind,
            api_key,
            f"r-{api_key}",
            item=item,
            warehouse=MAIN,
            quantity=Decimal(quantity),
            unit_cost=Decimal(unit_cost),
            occurred_on=date(2024, 3, 15),
        )
        with self.store.write() as conn:
            return Books(conn, now=self.clock.now()).append([entry])[0]

    def erp(self, document_type: str, api_key: str | None, payload: object) -> int:
        """The ERP inserts a document, as it does: three columns."""
        text = payload if isinstance(payload, str) or payload is None else json.dumps(payload)
        with self.store.write() as conn:
            statement = insert(inbox).values(document_type=document_type, api_key=api_key, payload=text)
            key = conn.execute(statement).inserted_primary_key
        assert key is not None
        return int(key[0])

    def order(self, number: str = "1000", **changes: Any) -> None:
        """An order stands in MPW, and we have read it."""
        values: dict[str, Any] = {
            "number": number,
            "status": "requisition",
            "created_on": date(2024, 3, 15),
            "vendor_name": "Bosch",
            "warehouse_name": MAIN,
            "total_cost": Decimal(585),
            "lines": 2,
            "terms_digest": "terms-1",
            "digest": "d",
            "raw": _priced(changes.get("total_cost", 585)),
            "final": False,
            "first_read_at": START,
            "last_read_at": START,
            "changed_at": START,
        }
        with self.store.write() as conn:
            conn.execute(insert(purchase_orders).values(values | changes))

    def change_order(self, number: str = "1000", **values: Any) -> None:
        """An order is no longer what it was."""
        if "total_cost" in values:
            values = {"raw": _priced(values["total_cost"])} | values
        with self.store.write() as conn:
            conn.execute(update(purchase_orders).where(purchase_orders.c.number == number).values(**values))

    def approval(self, number: str = "1000") -> str | None:
        """Return what the order says of its approval."""
        with self.store.read() as conn:
            query = select(purchase_orders.c.approval).where(purchase_orders.c.number == number)
            return conn.execute(query).scalar_one()

    def reconcile(self) -> Counts:
        """Take in the inbox, then derive."""
        inbox_once(self.ctx)
        return reconcile_once(self.ctx)

    def learn(self, fact: str, value: str) -> None:
        """Ordinary work has shown what MPW does."""
        with self.store.write() as conn:
            learn(conn, "mpw", fact, value, evidence="a row", now=self.clock.now())

    def set_learned(self, fact: str, value: str) -> None:
        """A person says what MPW does."""
        with self.store.write() as conn:
            set_learned(conn, FACTS["mpw", fact], value, why="seen", by="ann", now=self.clock.now())

    def pushes(self) -> list[Push]:
        """Return the outbox."""
        with self.store.read() as conn:
            return [push_of(row) for row in conn.execute(select(outbox).order_by(outbox.c.id))]

    def push(self) -> Push:
        """Return the only row of the outbox."""
        (row,) = self.pushes()
        return row

    def set_push(self, outbox_id: int, **values: Any) -> None:
        """A pusher or an operator has moved a row."""
        with self.store.write() as conn:
            conn.execute(update(outbox).where(outbox.c.id == outbox_id).values(**values))

    def done(self, outbox_id: int) -> None:
        """A pusher has sent a row."""
        now = self.clock.now()
        self.set_push(
            outbox_id,
            state="done",
            tries=1,
            attempts=1,
            fence=1,
            evidence="answered 201",
            finalized_at=now,
            last_sent_at=now,
        )

    def told(self) -> list[tuple[str, str]]:
        """Return kind and subject of the open exceptions."""
        with self.store.read() as conn:
            return [(row.kind, row.subject) for row in open_exceptions(conn)]

    def resolutions(self) -> list[tuple[str, str | None]]:
        """Return kind and resolution of all exceptions."""
        with self.store.read() as conn:
            return [(row.kind, row.resolution) for row in conn.execute(select(exceptions).order_by(exceptions.c.id))]

    def waiting(self) -> list[tuple[str, str]]:
        """Return (kind, api_key) of what waits."""
        with self.store.read() as conn:
            rows = conn.execute(select(parked).order_by(parked.c.kind, parked.c.api_key))
            return [(row.kind, row.api_key) for row in rows]

    def rows(self) -> list[tuple[str, str | None]]:
        """Return state and error of the inbox's rows."""
        with self.store.read() as conn:
            return [(row.state, row.error) for row in conn.execute(select(inbox).order_by(inbox.c.id))]


def make_world(store: Store, clock: FakeClock, **rules: Any) -> World:
    """Return a world whose routes all push, and whose MPW knows part P-1 in its warehouse."""
    mpw = Mpw(TrueTime())
    mpw.adds("P-1", MAIN, 3, 1)
    client = MpwClient(
        "https://mpw.invalid/api",
        EMAIL,
        PASSWORD,
        clock=clock,
        max_requests_per_second=0,
        transport=transport_to(mpw, "/api"),
    )
    values: dict[str, Any] = {"warehouse": MAIN, "routes": ALL_PUSH, "push_from": datetime(2024, 3, 1, tzinfo=UTC)}
    ctx = Context(store=store, clock=clock, policy=Policy(**(values | rules)), mpw=client, agenda=an_agenda())
    return World(store, clock, ctx, mpw)


def keys(pushes: Sequence[Push]) -> list[tuple[str, str, str]]:
    """Return what a test compares of rows."""
    return [(row.operation, row.api_key, row.state) for row in pushes]


def fields(push: Push) -> dict[str, Any]:
    """Return a payload's fields, numbers exact."""
    value: dict[str, Any] = json.loads(push.payload, parse_float=Decimal)
    return value


def documents(found: Iterable[object]) -> list[ErpDocument]:
    """Return those that could be read."""
    return [one for one in found if isinstance(one, ErpDocument)]
