"""Ledger entries before they are written: what an entry says, and on which day it is posted."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from sync.values.money import times

RECEIPT = "receipt"
ISSUANCE = "issuance"
TRANSFER = "transfer"
ADJUSTMENT = "adjustment"


class NewEntry(NamedTuple):
    """An original that is to be appended. `quantity` and `amount` are signed: + in, - out."""

    system: str
    kind: str
    api_key: str
    remote_id: str
    item: str
    warehouse: str | None
    quantity: Decimal
    unit_cost: Decimal
    amount: Decimal
    occurred_on: date
    occurred_at: datetime | None = None


def new_entry(
    system: str,
    kind: str,
    api_key: str,
    remote_id: str,
    *,
    item: str,
    warehouse: str | None,
    quantity: Decimal,
    unit_cost: Decimal,
    occurred_on: date,
    occurred_at: datetime | None = None,
) -> NewEntry:
    """Return an entry whose amount is quantity × unit cost, rounded half-even to six decimals.

    Raises ValueError where the amount is larger than the ledger can hold.
    """
    amount = times(quantity, unit_cost)
    return NewEntry(
        system, kind, api_key, remote_id, item, warehouse, quantity, unit_cost, amount, occurred_on, occurred_at
    )


def posted_on(occurred_on: date, lock_date: date | None) -> date:
    """Return the accounting date: the day it occurred, or the first open day when that period is closed."""
    if lock_date is None or occurred_on > lock_date:
        return occurred_on
    return lock_date + timedelta(days=1)
