"""What people do in MPW's screens while the API is used: tests, the seed and the activity generator act here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from sync.sandbox.answers import locked
from sync.sandbox.mpw_state import Equipment, Order, OrderLine, Part, Receipt, Task, Vendor, WorkOrder
from sync.sandbox.mpw_stock import MpwStock
from sync.sandbox.numbers import Number, exact

Day = date | str
KEEP = "\0keep"
"""Leave this text field as it is (None would clear it)."""


class MpwPeople(MpwStock):
    """People's acts. Nothing of theirs has an api_key; ValueError for what the screens would not allow."""

    def day(self, value: Day | None) -> date:
        """Return a date from a date, ISO text, or None for today."""
        if value is None:
            return self.today()
        return date.fromisoformat(value) if isinstance(value, str) else value

    @locked
    def add_warehouse(self, name: str) -> None:
        """Make a warehouse."""
        self.new_warehouse(name)

    @locked
    def hide_warehouse(self, name: str) -> None:
        """Take the API user's permission for a warehouse: its rows vanish from every answer."""
        self.warehouses[name].hidden = True

    @locked
    def show_warehouse(self, name: str) -> None:
        """Give the permission back."""
        self.warehouses[name].hidden = False

    @locked
    def rename_warehouse(self, name: str, new_name: str) -> None:
        """Rename a warehouse: every row of it shows the new name."""
        warehouse = self.warehouses.pop(name)
        warehouse.name = new_name
        self.warehouses[new_name] = warehouse
        for place, number in [key for key in self.parts if key[0] == name]:
            self.parts[(new_name, number)] = self.parts.pop((place, number))

    @locked
    def add_vendor(self, name: str, number: str | None = None) -> Vendor:
        """Make a vendor."""
        vendor = Vendor(name, number)
        self.vendors.append(vendor)
        return vendor

    @locked
    def add_part(
        self,
        part_number: str,
        warehouse_name: str,
        *,
        name: str | None = None,
        unit_type: str | None = "Each",
        quantity: Number = 0,
        unit_cost: Number = 0,
        api_key: str | None = None,
    ) -> Part:
        """Make a part; `quantity` and `unit_cost` are its baseline, which no receipt shows."""
        if (warehouse_name, part_number) in self.parts:
            raise ValueError(f"{part_number} is already in {warehouse_name}")
        part = self.new_part(part_number, self.new_warehouse(warehouse_name), api_key)
        part.name, part.unit_type, part.unit_cost = name, unit_type, exact(unit_cost)
        if exact(quantity) > 0:
            self.new_receipt(part, date.min, exact(quantity), part.unit_cost, listed=False)
        return part

    def _known_part(self, part_number: str, warehouse_name: str) -> Part:
        part = self.parts.get((warehouse_name, part_number))
        if part is None:
            raise ValueError(f"there is no part {part_number} in {warehouse_name}")
        return part

    def _vendor_named(self, name: str | None) -> Vendor | None:
        if name is None:
            return None
        found = next((vendor for vendor in self.vendors if vendor.name == name), None)
        return found or self.add_vendor(name)

    @locked
    def stock(self, part_number: str, warehouse_name: str) -> Decimal:
        """Return what MPW has of a part; zero for a part it does not know."""
        part = self.parts.get((warehouse_name, part_number))
        return part.quantity if part else Decimal(0)

    @locked
    def person_receives(
        self,
        part_number: str,
        warehouse_name: str,
        quantity: Number,
        unit_cost: Number,
        created_on: Day | None = None,
        *,
        description: str | None = None,
        vendor_name: str | None = None,
        invoice_number: str | None = None,
        purchase_order_number: int | None = None,
    ) -> int:
        """Key in a receipt; return its id."""
        return self.new_receipt(
            self._known_part(part_number, warehouse_name),
            self.day(created_on),
            exact(quantity),
            exact(unit_cost),
            vendor=self._vendor_named(vendor_name),
            invoice_number=invoice_number,
            description=description,
            purchase_order_number=purchase_order_number,
        ).id

    @locked
    def person_issues(
        self,
        part_number: str,
        warehouse_name: str,
        quantity: Number,
        created_on: Day | None = None,
        *,
        description: str | None = None,
        overdraft: bool = False,
    ) -> list[int]:
        """Take parts, over several receipts if need be; return the ids. More than there is needs `overdraft`."""
        part, wanted = self._known_part(part_number, warehouse_name), exact(quantity)
        if wanted > part.available and not overdraft:
            raise ValueError(f"only {part.available} of {part_number} in {warehouse_name}")
        return [issuance.id for issuance in self.issue(part, self.day(created_on), wanted, description=description)]

    @locked
    def person_edits_receipt(
        self,
        receipt_id: int,
        *,
        quantity: Number | None = None,
        unit_cost: Number | None = None,
        created_on: Day | None = None,
        description: str | None = KEEP,
        invoice_number: str | None = KEEP,
    ) -> None:
        """Change a receipt; what was already taken of it stays taken, and issuances follow a new unit cost."""
        receipt = self._receipt(receipt_id)
        if quantity is not None:
            used = receipt.received - receipt.remaining
            if exact(quantity) < used:
                raise ValueError(f"{used} of receipt {receipt_id} are already used")
            receipt.received, receipt.remaining = exact(quantity), exact(quantity) - used
        if unit_cost is not None:
            receipt.unit_cost = exact(unit_cost)
            for issuance in self.issuance_by_id.values():
                if issuance.receipt is receipt:
                    issuance.unit_cost = receipt.unit_cost
        if created_on is not None:
            self.move_receipt(receipt, receipt.part, self.day(created_on))
        if description != KEEP:
            receipt.description = description
        if invoice_number != KEEP:
            receipt.invoice_number = invoice_number

    def _receipt(self, receipt_id: int) -> Receipt:
        if receipt_id not in self.receipt_by_id:
            raise ValueError(f"there is no receipt {receipt_id}")
        return self.receipt_by_id[receipt_id]

    @locked
    def person_deletes_receipt(self, receipt_id: int) -> None:
        """Delete an unused receipt; no trace remains."""
        receipt = self._receipt(receipt_id)
        if receipt.used:
            raise ValueError(f"parts of receipt {receipt_id} are already used")
        self.drop_receipt(receipt)

    @locked
    def person_edits_issuance(
        self, issuance_id: int, *, created_on: Day | None = None, description: str | None = KEEP
    ) -> None:
        """Change an issuance's day or text."""
        issuance = self.issuance_by_id[issuance_id]
        if created_on is not None:
            self.move_issuance(issuance, self.day(created_on))
        if description != KEEP:
            issuance.description = description

    @locked
    def person_deletes_issuance(self, issuance_id: int) -> None:
        """Delete one issuance; its receipt gets the parts back, no trace remains."""
        if issuance_id not in self.issuance_by_id:
            raise ValueError(f"there is no issuance {issuance_id}")
        self.drop_issuance(self.issuance_by_id[issuance_id])

    @locked
    def add_order(
        self,
        number: int | None = None,
        *,
        status: str = "requisition",
        created_on: Day | None = None,
        vendor_name: str | None = None,
        warehouse_name: str | None = None,
        lines: Sequence[tuple[str, Number, Number]] = (),
        required_on: Day | None = None,
        completed_on: Day | None = None,
        freight_cost: Number = 0,
    ) -> Order:
        """Write a purchase order; a line is (part number, quantity, unit cost). Without a number it gets the next."""
        number = number if number is not None else max(self.orders, default=999) + 1
        if number in self.orders:
            raise ValueError(f"there is already an order {number}")
        order = Order(
            number,
            status,
            self.day(created_on),
            self._vendor_named(vendor_name),
            self.new_warehouse(warehouse_name) if warehouse_name else None,
            [
                OrderLine(number * 100 + place, part, exact(quantity), exact(cost), unit_type="Each")
                for place, (part, quantity, cost) in enumerate(lines)
            ],
            required_on=self.day(required_on) if required_on else None,
            completed_on=self.day(completed_on) if completed_on else None,
            freight_cost=exact(freight_cost),
        )
        self.orders[number] = order
        return order

    @locked
    def person_edits_order(
        self,
        number: int,
        *,
        line: int = 0,
        quantity: Number | None = None,
        unit_cost: Number | None = None,
        status: str | None = None,
        completed_on: Day | None = None,
    ) -> None:
        """Change an order's status or one of its lines; the total follows."""
        order = self.orders[number]
        if quantity is not None:
            order.lines[line].quantity = exact(quantity)
        if unit_cost is not None:
            order.lines[line].unit_cost = exact(unit_cost)
        order.status = status if status is not None else order.status
        order.completed_on = self.day(completed_on) if completed_on else order.completed_on

    @locked
    def person_deletes_order(self, number: int) -> None:
        """Delete an order."""
        del self.orders[number]

    @locked
    def add_equipment(
        self,
        unit_number: str,
        type: str = "General",
        *,
        name: str | None = None,
        gps_provider: str | None = None,
        serial_number: str | None = None,
        gps_key: int | None = None,
        last_recorded_on: Day | None = None,
    ) -> Equipment:
        """Make an equipment; GET /gps_meter_updates shows it if it has a GPS provider."""
        equipment = Equipment(
            282_774 + len(self.equipments),
            unit_number,
            type,
            name or unit_number,
            gps_provider,
            serial_number,
            gps_key,
            self.day(last_recorded_on) if last_recorded_on else None,
        )
        self.equipments.append(equipment)
        return equipment

    @locked
    def add_work_order(
        self,
        number: int,
        *,
        status: str = "Open",
        tasks: Sequence[str] = (),
        equipment: Equipment | None = None,
        scheduled_on: Day | None = None,
        due_on: Day | None = None,
        start_at: str | None = None,
        completed_at: str | None = None,
        labor_cost: Number = 0,
    ) -> WorkOrder:
        """Write a work order with tasks of the given names."""
        order = WorkOrder(
            number,
            status,
            [Task(number * 10 + place, name) for place, name in enumerate(tasks)],
            equipment,
            start_at,
            self.day(scheduled_on) if scheduled_on else None,
            self.day(due_on) if due_on else None,
            completed_at,
            labor_cost=exact(labor_cost),
        )
        self.work_order_list[number] = order
        return order

    @locked
    def person_edits_work_order(
        self, number: int, *, status: str | None = None, completed_at: str | None = None
    ) -> None:
        """Change a work order's status, or complete it."""
        order = self.work_order_list[number]
        order.status = status if status is not None else order.status
        order.completed_at = completed_at if completed_at is not None else order.completed_at
