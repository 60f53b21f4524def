"""Reading what MPW has of a part: one GET /inventories per warehouse (Inventory - GET)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sync.clients.mpw.client import MpwClient
from sync.clients.mpw.wire import Inventory, read_inventories
from sync.errors import MalformedResponseError
from sync.ledger.books import Books
from sync.stock.rows import save_inventories
from sync.stock.rules import MpwStock, Target, over
from sync.values.money import times


@dataclass(frozen=True, slots=True)
class StockRead:
    """What MPW said of a part in one warehouse; `found` False: it does not know it there."""

    warehouse: str
    part_number: str
    found: bool
    quantity: Decimal
    unit_cost: Decimal | None
    read_at: datetime


def read_stock(client: MpwClient, target: Target, *, now: datetime) -> list[StockRead]:
    """Read a part in each of its warehouses.

    Raises what the client raises, and MalformedResponseError where the row that was asked for cannot be read.
    """
    return [_read_one(client, warehouse, target.part_number, now=now) for warehouse in target.warehouses]


def summed(reads: Sequence[StockRead]) -> MpwStock:
    """Return a part's stock over its warehouses, and its unit cost weighed by what each of them has."""
    known = [read for read in reads if read.found]
    priced = [(read.quantity, read.unit_cost) for read in known if read.unit_cost is not None and read.unit_cost > 0]
    cost = priced[0][1] if priced else None
    stocked = [(quantity, unit_cost) for quantity, unit_cost in priced if quantity > 0]
    if len(stocked) > 1:
        value = sum((times(quantity, unit_cost) for quantity, unit_cost in stocked), start=Decimal(0))
        cost = over(value, sum((quantity for quantity, _ in stocked), start=Decimal(0)))
    elif stocked:
        cost = stocked[0][1]
    return MpwStock(
        quantity=sum((read.quantity for read in known), start=Decimal(0)),
        unit_cost=cost,
        missing=tuple(read.warehouse for read in reads if not read.found),
    )


def _read_one(client: MpwClient, warehouse: str, part_number: str, *, now: datetime) -> StockRead:
    answer = client.inventories(warehouse_name=warehouse, part_number=part_number)
    parsed = read_inventories(answer.body)
    rows = [row for row in parsed.rows if _is_it(row, warehouse, part_number)]
    if not rows and parsed.bad:
        raise MalformedResponseError(f"the inventory of {part_number} cannot be read: {parsed.bad[0].reason}")
    if len({(row.quantity, row.unit_cost) for row in rows}) > 1:
        raise MalformedResponseError(f"MPW lists {part_number} in {warehouse} {len(rows)} times, with different stocks")
    if not rows:
        return StockRead(warehouse, part_number, False, Decimal(0), None, now)
    return StockRead(warehouse, part_number, True, rows[0].quantity, rows[0].unit_cost, now)


def _is_it(row: Inventory, warehouse: str, part_number: str) -> bool:
    """Tell whether a row is the one asked for, should the answer hold others too."""
    return row.part_number == part_number and row.warehouse_name == warehouse


def save_stock_reads(books: Books, reads: Iterable[StockRead]) -> None:
    """Remember what MPW said, for those who only need to know whether it knows a part."""
    rows = [
        {
            "warehouse": read.warehouse,
            "part_number": read.part_number,
            "found": read.found,
            "quantity": read.quantity if read.found else None,
            "unit_cost": read.unit_cost,
            "read_at": read.read_at,
        }
        for read in reads
    ]
    save_inventories(books.conn, rows)
