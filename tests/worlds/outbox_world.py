"""A world for tests of the outbox: MPW and MPservices in the sandbox, a real store, a clock that the test moves."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from sync.clients.mpservices.client import MpservicesClient
from sync.clients.mpw.client import MpwClient
from sync.database.engine import Store
from sync.database.exceptions import open_exceptions
from sync.database.schema import exceptions, outbox
from sync.jobs.due import an_agenda
from sync.ledger.books import Books
from sync.outbox.machine import NewPush, rank_of
from sync.outbox.rows import Push, add_push, attempts_of, push_by_id
from sync.push.round import PushCounts, push_once
from sync.push.verify import VerifyCounts, verify_once
from sync.sandbox.server import Sandbox
from sync.values.policy import Policy
from sync.work.context import Context
from tests.clocks import FakeClock

MAIN = "Warehouse #1"
PART = "P-1"
TODAY = "2024-03-15"

RECEIPT_FIELDS: dict[str, Any] = {
    "part_number": PART,
    "warehouse_name": MAIN,
    "quantity_received": 5,
    "unit_cost": 9.99,
    "created_on": TODAY,
}


@dataclass
class OutboxWorld:
    """What a test does with them."""

    sandbox: Sandbox
    store: Store
    clock: FakeClock
    ctx: Context

    def add(
        self,
        operation: str,
        api_key: str,
        payload: Mapping[str, Any],
        *,
        entity_key: str | None = None,
        facts: Mapping[str, Any] | None = None,
        state: str = "ready",
    ) -> int:
        """Put a push into the outbox; return its id."""
        push = NewPush(
            route="test",
            operation=operation,
            kind={"post_receipt": "receipt", "post_issuance": "issuance"}.get(operation),
            api_key=api_key,
            entity_key=entity_key or f"item:{payload.get('part_number', PART)}",
            item=str(payload.get("part_number", PART)),
            payload=json.dumps(dict(payload)),
            reason="a test wants it",
            state=state,
            rank=rank_of(operation),
            facts=facts or {},
        )
        with self.store.write() as conn:
            outbox_id = add_push(Books(conn, now=self.clock.now()), push)
        assert outbox_id is not None
        return outbox_id

    def receipt(self, api_key: str = "erp-r-1", **fields: Any) -> int:
        """Add a receipt of 5 at 9.99."""
        return self.add("post_receipt", api_key, RECEIPT_FIELDS | {"api_key": api_key} | fields)

    def issuance(self, api_key: str = "erp-i-1", *, marker: bool = True, **fields: Any) -> int:
        """Add an issuance of 2, its key in the description."""
        values = {"part_number": PART, "warehouse_name": MAIN, "quantity": 2, "created_on": TODAY, "api_key": api_key}
        values["description"] = f"Folio-198 [{api_key}]" if marker else "Folio-198"
        return self.add("post_issuance", api_key, values | fields)

    def approval(self, number: int, **facts: Any) -> int:
        """Add an approval of an order."""
        payload = {"purchase_order_number": str(number)}
        entity = f"po:{number}"
        return self.add("approve", f"po-{number}", payload, entity_key=entity, facts={"created_on": TODAY} | facts)

    def push(self, **options: Any) -> PushCounts:
        """Run one round."""
        return push_once(self.ctx, **options)

    def verify(self) -> VerifyCounts:
        """Run one round of verification."""
        return verify_once(self.ctx)

    def settle(self, rounds: int = 60) -> None:
        """Push and verify, time passing, until nothing is ready, sending or unknown."""
        for _ in range(rounds):
            self.push()
            self.verify()
            if not self.unsettled():
                return
            self.clock.advance(minutes=10)

    def unsettled(self) -> list[str]:
        """Return the states of rows that are not final."""
        with self.store.read() as conn:
            states = conn.execute(select(outbox.c.state)).scalars()
            return [state for state in states if state in ("held", "ready", "sending", "unknown")]

    def row(self, outbox_id: int) -> Push:
        """Return a row as it is now."""
        with self.store.read() as conn:
            found = push_by_id(conn, outbox_id)
        assert found is not None
        return found

    def state(self, outbox_id: int) -> str:
        """Return a row's state."""
        return self.row(outbox_id).state

    def outcomes(self, outbox_id: int) -> list[str | None]:
        """Return how its tries ended."""
        with self.store.read() as conn:
            return [attempt.outcome for attempt in attempts_of(conn, outbox_id)]

    def told(self) -> list[tuple[str, str]]:
        """Return kind and subject of the open exceptions."""
        with self.store.read() as conn:
            return [(row.kind, row.subject) for row in open_exceptions(conn)]

    def detail(self, kind: str) -> str:
        """Return what the exception of a kind says."""
        with self.store.read() as conn:
            return str(conn.execute(select(exceptions.c.detail).where(exceptions.c.kind == kind)).scalars().one())

    def requests(self, endpoint: str) -> int:
        """Return how many requests an endpoint has seen."""
        return sum(seen.endpoint == endpoint for seen in self.sandbox.requests.all())

    def with_policy(self, **changes: Any) -> None:
        """Change rules from here on."""
        self.ctx.policy = replace(self.ctx.policy, **changes)

    def another(self, owner: str) -> Context:
        """Return another process's context on the same database."""
        return replace(self.ctx, owner=owner)


@contextmanager
def outbox_world(store: Store, clock: FakeClock) -> Iterator[OutboxWorld]:
    """Yield a world with one part, of which 100 were received at 10.0."""
    with Sandbox(populate=False, clock=clock) as sandbox:
        sandbox.mpw.add_warehouse(MAIN)
        sandbox.mpw.add_part(PART, MAIN)
        sandbox.mpw.person_receives(PART, MAIN, 100, "10", "2024-01-02")
        mpw = MpwClient(
            sandbox.mpw_url, sandbox.email, sandbox.password, clock=clock, max_requests_per_second=0, timeout_seconds=5
        )
        mpservices = MpservicesClient(
            sandbox.mpservices_url,
            sandbox.token,
            clock=clock,
            max_requests_per_second=0,
            timeout_seconds=5,
            create_product_path=sandbox.create_product_path,
        )
        policy = Policy(
            request_timeout=timedelta(seconds=5),
            retry_base=timedelta(seconds=15),
            late_arrival=timedelta(minutes=15),
            create_product_path=sandbox.create_product_path,
        )
        ctx = Context(
            store=store,
            clock=clock,
            policy=policy,
            mpw=mpw,
            mpservices=mpservices,
            random=random.Random(7),
            agenda=an_agenda(),
        )
        try:
            yield OutboxWorld(sandbox, store, clock, ctx)
        finally:
            mpw.close()
            mpservices.close()
            if ctx.mpw is not None and ctx.mpw is not mpw:  # a test has put its own in between
                ctx.mpw.close()
