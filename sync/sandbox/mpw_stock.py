"""MPW's stock: receipts as layers, issuances that take from them oldest first, indexed by day and by key."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from itertools import count
from threading import RLock

from sync.clock import Clock
from sync.sandbox.mpw_state import (
    ZERO,
    Equipment,
    Issuance,
    Order,
    Part,
    Receipt,
    Vendor,
    Warehouse,
    WorkOrder,
)


class MpwStock:
    """The state and the few ways to change it; callers hold `lock`.

    "Today" is the clock's day in UTC, the sandbox's only time zone.
    """

    def __init__(self, clock: Clock) -> None:
        self.lock = RLock()
        self.clock = clock
        self.warehouses: dict[str, Warehouse] = {}
        self.parts: dict[tuple[str, str], Part] = {}
        self.parts_by_key: dict[str, Part] = {}
        self.vendors: list[Vendor] = []
        self.equipments: list[Equipment] = []
        self.work_order_list: dict[int, WorkOrder] = {}
        self.orders: dict[int, Order] = {}
        self.receipt_by_id: dict[int, Receipt] = {}
        self.receipt_by_key: dict[str, Receipt] = {}
        self.receipts_by_day: dict[date, dict[int, Receipt]] = {}
        self.issuance_by_id: dict[int, Issuance] = {}
        self.issuances_by_key: dict[str, list[Issuance]] = {}
        self.issuances_by_day: dict[date, dict[int, Issuance]] = {}
        self._ids = {
            "part": count(279_367),
            "receipt": count(236_252),
            "issuance": count(43_381),
            "place": count(6_614),
        }

    def today(self) -> date:
        """Return the current day."""
        return self.clock.now().date()

    def part(self, part_number: str, warehouse_name: str) -> Part | None:
        """Return a part that the API's user may see, by both exact names."""
        found = self.parts.get((warehouse_name, part_number))
        return found if found is not None and not found.warehouse.hidden else None

    def warehouse(self, name: str) -> Warehouse | None:
        """Return a warehouse that the API's user may see."""
        found = self.warehouses.get(name)
        return found if found is not None and not found.hidden else None

    def new_warehouse(self, name: str) -> Warehouse:
        """Return the warehouse of that name, made if there is none."""
        if name not in self.warehouses:
            self.warehouses[name] = Warehouse(next(self._ids["place"]), name)
        return self.warehouses[name]

    def new_part(self, part_number: str, warehouse: Warehouse, api_key: str | None = None) -> Part:
        """Add an empty part."""
        part = Part(next(self._ids["part"]), part_number, warehouse, api_key)
        self.parts[(warehouse.name, part_number)] = part
        if api_key is not None:
            self.parts_by_key[api_key] = part
        return part

    def new_receipt(
        self,
        part: Part,
        created_on: date,
        quantity: Decimal,
        unit_cost: Decimal,
        *,
        api_key: str | None = None,
        vendor: Vendor | None = None,
        invoice_number: str | None = None,
        description: str | None = None,
        purchase_order_number: int | None = None,
        listed: bool = True,
    ) -> Receipt:
        """Add a layer of stock."""
        receipt = Receipt(
            next(self._ids["receipt"]),
            part,
            created_on,
            quantity,
            quantity,
            unit_cost,
            api_key,
            vendor,
            invoice_number,
            description,
            purchase_order_number,
            listed,
        )
        self.receipt_by_id[receipt.id] = receipt
        if api_key is not None:
            self.receipt_by_key[api_key] = receipt
        self._shelve(receipt)
        return receipt

    def _shelve(self, receipt: Receipt) -> None:
        receipt.part.put(receipt)
        if receipt.listed:
            self.receipts_by_day.setdefault(receipt.created_on, {})[receipt.id] = receipt

    def _unshelve(self, receipt: Receipt) -> None:
        receipt.part.take(receipt)
        if receipt.listed:
            self.receipts_by_day[receipt.created_on].pop(receipt.id)

    def move_receipt(self, receipt: Receipt, part: Part, created_on: date) -> None:
        """Give a receipt another part or day; its age among the layers follows."""
        self._unshelve(receipt)
        receipt.part, receipt.created_on = part, created_on
        self._shelve(receipt)

    def drop_receipt(self, receipt: Receipt) -> None:
        """Remove a receipt without a trace."""
        self._unshelve(receipt)
        del self.receipt_by_id[receipt.id]
        if receipt.api_key is not None:
            del self.receipt_by_key[receipt.api_key]

    def issue(
        self,
        part: Part,
        created_on: date,
        quantity: Decimal,
        *,
        api_key: str | None = None,
        description: str | None = None,
        equipment: Equipment | None = None,
        work_order: WorkOrder | None = None,
    ) -> list[Issuance]:
        """Take a quantity from the oldest receipts, one issuance for each; what exceeds them all is an overdraft."""
        made: list[Issuance] = []
        for receipt, taken in _layers_for(part, quantity):
            if receipt is None:
                part.overdrawn += taken
            else:
                receipt.remaining -= taken
            cost = receipt.unit_cost if receipt else part.layers[-1].unit_cost if part.layers else part.unit_cost
            issuance = Issuance(
                next(self._ids["issuance"]),
                part,
                receipt,
                created_on,
                taken,
                cost,
                description,
                api_key,
                receipt is None,
                equipment,
                work_order,
            )
            if work_order is not None:
                work_order.parts_cost += taken * cost
            made.append(issuance)
        for issuance in made:
            self._file(issuance)
        return made

    def _file(self, issuance: Issuance) -> None:
        self.issuance_by_id[issuance.id] = issuance
        self.issuances_by_day.setdefault(issuance.created_on, {})[issuance.id] = issuance
        if issuance.api_key is not None:
            self.issuances_by_key.setdefault(issuance.api_key, []).append(issuance)

    def move_issuance(self, issuance: Issuance, created_on: date) -> None:
        """Give an issuance another day."""
        self.issuances_by_day[issuance.created_on].pop(issuance.id)
        issuance.created_on = created_on
        self.issuances_by_day.setdefault(created_on, {})[issuance.id] = issuance

    def drop_issuance(self, issuance: Issuance) -> None:
        """Remove an issuance without a trace and give its quantity back to where it came from."""
        if issuance.receipt is None:
            issuance.part.overdrawn -= issuance.quantity
        else:
            issuance.receipt.remaining += issuance.quantity
        if issuance.work_order is not None:
            issuance.work_order.parts_cost -= issuance.quantity * issuance.unit_cost
        del self.issuance_by_id[issuance.id]
        self.issuances_by_day[issuance.created_on].pop(issuance.id)
        if issuance.api_key is not None:
            rest = [other for other in self.issuances_by_key[issuance.api_key] if other is not issuance]
            if rest:
                self.issuances_by_key[issuance.api_key] = rest
            else:
                del self.issuances_by_key[issuance.api_key]


def _layers_for(part: Part, quantity: Decimal) -> list[tuple[Receipt | None, Decimal]]:
    """Return which receipts give how much, oldest first; None stands for what none of them has."""
    taken: list[tuple[Receipt | None, Decimal]] = []
    wanted = quantity
    for layer in part.layers:
        if wanted <= 0:
            break
        if layer.remaining > 0:
            share = min(layer.remaining, wanted)
            taken.append((layer, share))
            wanted -= share
    if wanted > ZERO:
        taken.append((None, wanted))
    return taken
