"""A world for tests of stock and cost: the sandbox over HTTP, a real store, a clock that the test moves.

What people do in MPservices is forwarded by the simplest of reconcilers, so that these tests stand on the
stock rules alone.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from sqlalchemy import delete, select, text

from sync.clients.mpservices.client import MpservicesClient
from sync.clients.mpw.client import MpwClient
from sync.database.engine import Store
from sync.database.exceptions import open_exceptions
from sync.database.facts import RECONCILED_SEQ, fact
from sync.database.schema import echoes, item_states, ledger_entries, movement_lines, outbox, parked
from sync.jobs.compare_stock import stock_once
from sync.jobs.due import an_agenda
from sync.ledger.books import Books
from sync.ledger.entries import entries_after
from sync.outbox.machine import PATCH_STOCK, POST_ISSUANCE, POST_RECEIPT, NewPush, rank_of
from sync.outbox.rows import Push, add_push, push_exists, push_of
from sync.poll.schedule import poll_due_once
from sync.push.round import push_once
from sync.push.verify import verify_once
from sync.sandbox.server import Sandbox
from sync.values.marks import without_mark
from sync.values.money import plain
from sync.values.policy import ROUTES, Policy
from sync.work.context import Context
from tests.clocks import FakeClock

MAIN = "Warehouse #1"
PART = "P-1"
PATCHES = "mpservices.patch_stock"


@dataclass
class StockWorld:
    """The vendors and what a test does with them."""

    sandbox: Sandbox
    store: Store
    clock: FakeClock
    ctx: Context
    reconciles: bool = True
    seen: list[str] = field(default_factory=list)

    def policy(self, **changes: Any) -> None:
        """Go on under other rules."""
        self.ctx.policy = replace(self.ctx.policy, **changes)

    def poll(self) -> None:
        """Read both vendors, a second later."""
        self.clock.advance(1)
        poll_due_once(self.ctx)

    def reconcile(self) -> None:
        """Derive receipts and issuances from people's movements, as the real one does where nothing is special."""
        if not self.reconciles:
            return
        with self.store.write() as conn:
            now, seq = self.clock.now(), int(fact(conn, RECONCILED_SEQ) or 0)
            due = [(row.kind, row.api_key) for row in conn.execute(select(parked))]
            entries = entries_after(conn, seq, 1000)
            due += [(entry.kind, entry.api_key) for entry in entries if entry.system == "mpservices"]
            for kind, api_key in dict.fromkeys(due):
                self._forward(conn, kind, api_key)
            conn.execute(delete(parked))
            if entries:
                Books(conn, now=now).note_fact(RECONCILED_SEQ, str(entries[-1].id))

    def _forward(self, conn: Any, kind: str, api_key: str) -> None:
        line = conn.execute(select(movement_lines).where(movement_lines.c.api_key == api_key)).one()
        if line.role != "event" or line.entry_id is None or kind == "adjustment" or push_exists(conn, kind, api_key):
            return
        operation = POST_RECEIPT if kind == "receipt" else POST_ISSUANCE
        quantity = "quantity_received" if kind == "receipt" else "quantity"
        payload = (
            f'{{"part_number": "{line.external_id}", "warehouse_name": "{MAIN}", '
            f'"{quantity}": {plain(abs(line.quantity))}, "created_on": "{line.created_at:%Y-%m-%d}", '
            f'"api_key": "{api_key}", '
            + (f'"unit_cost": {plain(line.unit_cost)}}}' if kind == "receipt" else f'"description": "[{api_key}]"}}')
        )
        state = "ready" if self.ctx.policy.route(f"{kind}s") == "push" else "held"
        push = NewPush(
            route=f"{kind}s",
            operation=operation,
            kind=kind,
            api_key=api_key,
            entity_key=f"item:{line.external_id}",
            item=line.external_id,
            payload=payload,
            reason="a movement",
            state=state,
            rank=rank_of(operation),
        )
        add_push(Books(conn, now=self.clock.now()), push)

    def work(self) -> None:
        """Derive, push and verify until nothing is due."""
        for _ in range(20):
            self.reconcile()
            derived = stock_once(self.ctx).added
            sent = push_once(self.ctx).moved
            settled = verify_once(self.ctx).settled
            if not derived and not sent and not settled:
                return
        raise AssertionError("this never ends")

    def work_but_patch(self) -> None:
        """Forward what people did, read it back, and derive the patch that follows from it."""
        self.reconcile()
        push_once(self.ctx)
        self.poll()
        self.reconcile()
        assert stock_once(self.ctx).added == 1

    def cycle(self) -> None:
        """Poll, work, read back, as `mpsync once` does."""
        for _ in range(3):
            self.poll()
            self.work()

    def settle(self, *, minutes: int = 20) -> None:
        """Cycle, wait for what may arrive late, and cycle again."""
        self.cycle()
        self.clock.advance(minutes=minutes)
        self.cycle()
        self.cycle()

    # ------------------------------------------------------------------ people

    def moves(self, quantity: int | str, cost: int | str = 10, part: str = PART) -> str:
        """Let a person move stock in MPservices; negative is Outbound. Returns the movement's id."""
        amount = Decimal(quantity)
        kind = "Inbound" if amount > 0 else "Outbound"
        return self.sandbox.mpservices.person_moves(kind, part, str(abs(amount)), str(cost))

    def receives(self, quantity: int | str, cost: int | str = 10, part: str = PART) -> int:
        """Let a person key a receipt into MPW."""
        return self.sandbox.mpw.person_receives(part, MAIN, str(quantity), str(cost), self.sandbox.mpw.today())

    def before_patch(self, act: Any) -> None:
        """Do something when the next patch reaches MPservices, before it takes effect."""
        self.sandbox.faults.add(PATCHES, "slow", seconds=0, match=lambda _: bool(act()) or True)

    # ------------------------------------------------------------------ what came of it

    def stocks(self, part: str = PART) -> tuple[Any, Any]:
        """Return (MPW's, MPservices') stock as it really is."""
        return self.sandbox.mpw.stock(part, MAIN), self.sandbox.mpservices.stock(part)

    def patches(self) -> list[dict[str, str]]:
        """Return the bodies of the patches that reached MPservices, their costs without the mark."""
        bodies = [dict(parse_qsl(seen.body)) for seen in self.sandbox.requests.of(PATCHES)]
        return [body | {"new_cost": plain(without_mark(Decimal(body["new_cost"])))} for body in bodies]

    def cost(self, part: str = PART) -> Decimal:
        """Return what a product costs in MPservices, without the mark."""
        return without_mark(self.sandbox.mpservices.product(part).cost)

    def writes(self) -> list[str]:
        """Return the endpoints of all writes so far."""
        return [seen.endpoint for seen in self.sandbox.requests.writes() if seen.endpoint != "mpw.login"]

    def rows(self, operation: str = PATCH_STOCK) -> list[Push]:
        """Return the outbox's rows of an operation."""
        with self.store.read() as conn:
            query = select(outbox).where(outbox.c.operation == operation).order_by(outbox.c.id)
            return [push_of(row) for row in conn.execute(query)]

    def state(self, part: str = PART) -> Any:
        """Return an item's state."""
        with self.store.read() as conn:
            return conn.execute(select(item_states).where(item_states.c.external_id == part)).one()

    def echoes(self) -> list[Any]:
        """Return the expectations."""
        with self.store.read() as conn:
            return list(conn.execute(select(echoes).order_by(echoes.c.id)))

    def lines(self, part: str = PART) -> list[Any]:
        """Return an item's lines in the feed's order."""
        query = select(movement_lines).where(movement_lines.c.external_id == part)
        with self.store.read() as conn:
            return list(conn.execute(query.order_by(movement_lines.c.created_at, movement_lines.c.place)))

    def net(self, kind: str, system: str = "mpservices") -> Decimal:
        """Return what the ledger says of a kind of event, in one system."""
        with self.store.read() as conn:
            rows = conn.execute(
                select(ledger_entries.c.quantity).where(
                    ledger_entries.c.kind == kind, ledger_entries.c.system == system
                )
            )
            return sum((row.quantity for row in rows), start=Decimal(0))

    def exceptions(self) -> list[tuple[str, str]]:
        """Return kind and subject of what needs a person."""
        with self.store.read() as conn:
            return [(row.kind, row.subject) for row in open_exceptions(conn)]

    def execute(self, sql: str, **values: Any) -> None:
        """Change the database as an operator's command would."""
        with self.store.write() as conn:
            conn.execute(text(sql), values)

    def erp_pushes(self, operation: str, kind: str, key: str, fields: dict[str, Any], part: str = PART) -> None:
        """Let a push of the ERP's be derived."""
        push = NewPush(
            route="receipts",
            operation=operation,
            kind=kind,
            api_key=key,
            entity_key=f"item:{part}",
            item=part,
            payload=json.dumps(fields),
            reason="the ERP says so",
            state="ready",
            rank=rank_of(operation),
        )
        with self.store.write() as conn:
            assert add_push(Books(conn, now=self.clock.now()), push) is not None

    def erp_sets(self, stock: str, cost: str, key: str = "SC-1", part: str = PART) -> None:
        """Let the ERP set a product's stock and cost."""
        fields = {"external_id": part, "new_stock": stock, "new_cost": cost}
        push = NewPush(
            route="stock_cost",
            operation=PATCH_STOCK,
            kind=None,
            api_key=key,
            entity_key=f"mps:{part}",
            item=part,
            payload=json.dumps(fields),
            reason="the ERP says so",
            state="ready",
            facts={"erp": True},
        )
        with self.store.write() as conn:
            assert add_push(Books(conn, now=self.clock.now()), push) is not None


@contextmanager
def stock_world(store: Store, *, tick: float = 0.0, **rules: Any) -> Iterator[StockWorld]:
    """A world with one part, 100 of it at 10 on both sides, received long ago; every route pushes."""
    clock = FakeClock(tick=tick)
    with Sandbox(populate=False, clock=clock) as sandbox:
        sandbox.mpw.add_warehouse(MAIN)
        sandbox.mpw.add_part(PART, MAIN, quantity=0, unit_cost=0)
        sandbox.mpw.person_receives(PART, MAIN, 100, "10", sandbox.mpw.today() - timedelta(days=1))
        sandbox.mpservices.add_product(PART, stock=100, cost="10")
        policy = replace(
            Policy(
                warehouse=MAIN,
                start_date=sandbox.mpw.today() - timedelta(days=2),
                routes=dict.fromkeys(ROUTES, "push"),
                retry_base=timedelta(seconds=1),
                request_timeout=timedelta(seconds=5),
            ),
            **rules,
        )
        ctx = Context(
            store=store,
            clock=clock,
            policy=policy,
            mpw=MpwClient(
                sandbox.mpw_url,
                sandbox.email,
                sandbox.password,
                clock=clock,
                timeout_seconds=5,
                max_requests_per_second=0,
            ),
            mpservices=MpservicesClient(
                sandbox.mpservices_url, sandbox.token, clock=clock, timeout_seconds=5, max_requests_per_second=0
            ),
            random=random.Random(7),
            agenda=an_agenda(),
        )
        try:
            yield StockWorld(sandbox, store, clock, ctx)
        finally:
            assert ctx.mpw is not None
            assert ctx.mpservices is not None
            ctx.mpw.close()
            ctx.mpservices.close()
