"""Random movements through the ledger's own door: receipts, issues at what they cost, edits, voids, other keys."""

from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sync.database.engine import Store
from sync.ledger.books import Books
from sync.ledger.rules import NewEntry, new_entry
from sync.values.money import fixed
from sync.values.policy import Policy
from tests.clocks import FakeClock

FIRST = date(2024, 1, 1)
PARTS = [f"{'BRG' if n % 7 == 0 else 'P'}-{n:03}" for n in range(60)]
WAREHOUSES = ["Main", "WH2", None]
BATCH = 500


def fill(store: Store, clock: FakeClock, events: int, seed: int, lock: date | None = date(2024, 1, 31)) -> None:
    """Append so many events; the same seed gives the same ledger."""
    chance = random.Random(seed)
    live: list[tuple[int, NewEntry]] = []
    costs: dict[str, Decimal] = {}
    done = 0
    while done < events:
        new: list[NewEntry] = []
        taken: list[tuple[int, NewEntry]] = []
        for _ in range(min(BATCH, events - done)):
            done += 1
            roll = chance.random()
            if roll < 0.08 and live:
                taken.append(live.pop(chance.randrange(len(live))))
                if roll < 0.05:
                    new.append(_edited(chance, taken[-1][1], done))
            else:
                new.append(_event(chance, done, costs))
                if roll > 0.97:
                    new.append(new[-1]._replace(system="erp", unit_cost=Decimal(0), amount=Decimal(0)))
        with store.write() as conn:
            books = Books(conn, now=clock.now(), policy=Policy(lock_date=lock))
            books.reverse([id_ for id_, _ in taken])
            ids = books.append(new)
        live += [(id_, one) for id_, one in zip(ids, new, strict=True) if one.system == "mpw"]


def _event(chance: random.Random, n: int, costs: dict[str, Decimal]) -> NewEntry:
    part, receives = chance.choice(PARTS), chance.random() < 0.4
    cost = fixed(str(chance.choice([chance.randrange(1, 99_999) / 100, chance.randrange(1, 9_999_999) / 10_000])))
    if receives:
        costs[part] = cost
    quantity = Decimal(chance.randrange(1, 60)) if chance.random() < 0.9 else fixed(f"{chance.random() * 9 + 0.1:.6f}")
    kind = "receipt" if receives else "issuance"
    key = f"K-{n}" if chance.random() < 0.2 else f"mpw-{kind[0]}-{n}"
    return new_entry(
        "mpw",
        kind,
        key,
        str(n),
        item=part,
        warehouse=chance.choice(WAREHOUSES),
        quantity=quantity if receives else -quantity,
        unit_cost=costs.get(part, cost),
        occurred_on=FIRST + timedelta(days=chance.randrange(90)),
    )


def _edited(chance: random.Random, one: NewEntry, n: int) -> NewEntry:
    changed: dict[str, Any] = {"api_key": f"X-{n}"} if chance.random() < 0.3 else {}
    quantity = one.quantity * chance.randrange(1, 4)
    values = one._asdict() | {"quantity": quantity} | changed
    values.pop("amount"), values.pop("occurred_at")
    head = [values.pop(name) for name in ("system", "kind", "api_key", "remote_id")]
    return new_entry(*head, **values)
