"""What the ledger says that a part costs, where nothing else does."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from sync.database.engine import Store
from sync.ledger.books import Books
from sync.ledger.rules import new_entry
from sync.stock.facts import ledger_of
from sync.stock.rules import Target

NOW = datetime(2024, 3, 15, 12, 0, 0, tzinfo=UTC)
TARGET = Target("P-3", ("Main",), Decimal(1))


def filed(store: Store, kind: str, cost: str, day: int) -> int:
    quantity = Decimal(-3) if kind == "issuance" else Decimal(3)
    entry = new_entry(
        "mpw",
        kind,
        f"{kind}-{day}",
        str(day),
        item="P-3",
        warehouse="Main",
        quantity=quantity,
        unit_cost=Decimal(cost),
        occurred_on=date(2024, 3, day),
    )
    with store.write() as conn:
        (number,) = Books(conn, now=NOW).append([entry])
    return number


def last_cost(store: Store) -> Decimal | None:
    with store.read() as conn:
        return ledger_of(conn, TARGET, since=NOW, gone_after=timedelta(days=1)).last_cost


@pytest.mark.parametrize(
    ("rows", "cost"),
    [
        ([], None),
        ([("receipt", "0", 4)], None),
        ([("issuance", "10", 4)], Decimal(10)),
        ([("issuance", "10", 4), ("issuance", "11", 5)], Decimal(11)),
        ([("receipt", "9", 3), ("issuance", "10", 4)], Decimal(9)),
        ([("receipt", "0", 5), ("issuance", "10", 4)], Decimal(10)),
    ],
    ids=["nothing", "a receipt at 0", "an issuance", "the newest issuance", "a receipt before an issuance", "at 0 too"],
)
def test_what_a_part_costs_the_newest_receipt_says_else_the_newest_issuance(
    store: Store, rows: list[tuple[str, str, int]], cost: Decimal | None
) -> None:
    for kind, unit_cost, day in rows:
        filed(store, kind, unit_cost, day)
    assert last_cost(store) == cost


def test_what_was_taken_back_says_no_cost(store: Store) -> None:
    number = filed(store, "issuance", "10", 4)
    with store.write() as conn:
        Books(conn, now=NOW).reverse([number])
    assert last_cost(store) is None
