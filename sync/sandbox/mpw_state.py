"""What the sandbox's MPW holds: plain records, exact Decimals."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

ZERO = Decimal(0)
ORGANIZATION_ID = 3305


@dataclass(slots=True)
class Warehouse:
    """A place with parts; `hidden` once the API's user has lost the permission to see it."""

    id: int
    name: str
    hidden: bool = False


@dataclass(slots=True)
class Vendor:
    """A supplier, found by its exact name or number."""

    name: str
    number: str | None = None


@dataclass(slots=True, eq=False)
class Receipt:
    """A layer of stock: what was received and what is left of it.

    `listed` is False for layers that GET /receipts does not show: baseline quantities, and transfers.
    """

    id: int
    part: Part
    created_on: date
    received: Decimal
    remaining: Decimal
    unit_cost: Decimal
    api_key: str | None = None
    vendor: Vendor | None = None
    invoice_number: str | None = None
    description: str | None = None
    purchase_order_number: int | None = None
    listed: bool = True

    @property
    def used(self) -> bool:
        """Whether parts of it were already taken."""
        return self.remaining != self.received


@dataclass(slots=True, eq=False)
class Part:
    """An inventory item: one part number in one warehouse, its receipts oldest first.

    `unit_cost` is the baseline that POST /inventories gave; receipts leave it alone (the document's
    transfer sample shows 0.0 beside a stock of 23).
    """

    id: int
    part_number: str
    warehouse: Warehouse
    api_key: str | None = None
    name: str | None = None
    bin: str | None = None
    category: str | None = None
    unit_type: str | None = None
    description: str | None = None
    reorder_quantity: Decimal = ZERO
    low_stock_level: Decimal = ZERO
    unit_cost: Decimal = ZERO
    tracking_enabled: bool = True
    overdrawn: Decimal = ZERO
    layers: list[Receipt] = field(default_factory=list)

    @property
    def quantity(self) -> Decimal:
        """What GET /inventories says: all that is left, less what was issued beyond it."""
        return self.available - self.overdrawn

    @property
    def available(self) -> Decimal:
        """What can still be taken from receipts."""
        return sum((layer.remaining for layer in self.layers), ZERO)

    @property
    def current(self) -> Receipt | None:
        """The current receipt: the oldest with anything left."""
        return next((layer for layer in self.layers if layer.remaining > 0), None)

    def put(self, receipt: Receipt) -> None:
        """Add a layer at its place by age."""
        insort(self.layers, receipt, key=_age)

    def take(self, receipt: Receipt) -> None:
        """Remove a layer."""
        place = bisect_left(self.layers, _age(receipt), key=_age)
        del self.layers[place]


def _age(receipt: Receipt) -> tuple[date, int]:
    return receipt.created_on, receipt.id


@dataclass(slots=True, eq=False)
class Issuance:
    """Parts that were taken from one receipt; no receipt when it was an overdraft."""

    id: int
    part: Part
    receipt: Receipt | None
    created_on: date
    quantity: Decimal
    unit_cost: Decimal
    description: str | None = None
    api_key: str | None = None
    overdraft: bool = False
    equipment: Equipment | None = None
    work_order: WorkOrder | None = None


@dataclass(slots=True)
class Equipment:
    """A machine, as parts are issued to it (unit_number) and as GPS reports it (name, provider)."""

    id: int
    unit_number: str
    type: str
    name: str
    gps_provider: str | None = None
    serial_number: str | None = None
    gps_key: int | None = None
    last_recorded_on: date | None = None
    status: str = "Active"
    category: str | None = None
    assignee_name: str | None = None
    assignee_number: str | None = None


@dataclass(slots=True)
class Task:
    """A task of a work order."""

    id: int
    name: str
    task_type: str = "Repair"


@dataclass(slots=True, eq=False)
class WorkOrder:
    """A work order; `start_at` and `completed_at` are timestamps, the others days."""

    number: int
    status: str
    tasks: list[Task]
    equipment: Equipment | None = None
    start_at: str | None = None
    scheduled_on: date | None = None
    due_on: date | None = None
    completed_at: str | None = None
    category: str | None = None
    location: str | None = None
    assignee: str | None = None
    labor_cost: Decimal = ZERO
    parts_cost: Decimal = ZERO


@dataclass(slots=True)
class OrderLine:
    """A line of a purchase order."""

    id: int
    part_number: str
    quantity: Decimal
    unit_cost: Decimal
    received: Decimal = ZERO
    name: str | None = None
    unit_type: str | None = None


@dataclass(slots=True, eq=False)
class Order:
    """A purchase order; without `subtotal` it is the sum of its lines."""

    number: int
    status: str
    created_on: date
    vendor: Vendor | None
    warehouse: Warehouse | None
    lines: list[OrderLine]
    required_on: date | None = None
    completed_on: date | None = None
    fixed_subtotal: Decimal | None = None
    tax_cost: Decimal = ZERO
    freight_cost: Decimal = ZERO
    notes: str | None = None
    buyer_name: str | None = None
    invoice_number: str | None = None

    @property
    def subtotal(self) -> Decimal:
        """The sum of the lines, or what the header said."""
        if self.fixed_subtotal is not None:
            return self.fixed_subtotal
        return sum((line.quantity * line.unit_cost for line in self.lines), ZERO)

    @property
    def total(self) -> Decimal:
        """Subtotal, tax and freight."""
        return self.subtotal + self.tax_cost + self.freight_cost
