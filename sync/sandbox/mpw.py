"""MPW's API as a model without HTTP: each endpoint takes what was sent and returns (status, body).

GETs take the query as a mapping of strings, POSTs the object inside the envelope with exact numbers
(int or Decimal). Every rule is a sentence of the document or, where it is silent, named in docs/sandbox.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, Decimal
from math import ceil
from typing import TypeVar

from sync.clock import Clock
from sync.sandbox.answers import Answer, Refusal, answered, locked
from sync.sandbox.fields import Fields, counted, parse_day
from sync.sandbox.mpw_people import MpwPeople
from sync.sandbox.mpw_rows import (
    Row,
    equipment_row,
    inventory_answer,
    inventory_row,
    issuance_answer,
    issuance_row,
    order_row,
    receipt_answer,
    receipt_row,
    work_order_row,
)
from sync.sandbox.mpw_state import Equipment, Order, Part, Receipt, Vendor, Warehouse, WorkOrder
from sync.sandbox.numbers import decimal_number, exact
from sync.sandbox.tokens import Tokens

PAGE_SIZE = 100
APPROVE_LIMIT = 50
RECEIPT_IN_USE = (
    "Receipt found but cannot be updated. Check to ensure that parts have not already been allocated from this "
    "Receipt, and that your user account has the necessary permissions to update Receipts."
)
Query = Mapping[str, str]
T = TypeVar("T")


@dataclass(slots=True)
class MpwOptions:
    """Where the document is silent or contradicts itself, both readings can be had.

    `page_parameter`: honour `page=n`, else ignore it (no such parameter is documented, the answers are paged).
    `allow_fractions`: take fractional issuances and transfers ("Integer", says the table; the samples send 1.00).
    `transfers_listed`: show a transfer's new layer in GET /receipts and what left in GET /issuances.
    `unknown_inventory_is_404`: answer GET /inventories of an unknown part with 404, else with an empty array.
    `page_size`: rows of a page. `description_max`: how many characters of an issuance's description are kept.
    `whole_issuances`: an issuance of a fraction is made the next whole number.
    """

    page_parameter: bool = True
    allow_fractions: bool = False
    transfers_listed: bool = False
    unknown_inventory_is_404: bool = False
    page_size: int = PAGE_SIZE
    description_max: int | None = None
    whole_issuances: bool = False


class MpwModel(MpwPeople):
    """MPW: its endpoints here, people's acts and the stock in the base classes."""

    def __init__(
        self,
        clock: Clock,
        *,
        email: str = "sandbox@example.com",
        password: str = "",
        token_hours: float = 24,
        options: MpwOptions | None = None,
    ) -> None:
        super().__init__(clock)
        self.email = email
        self.password = password
        self.options = options or MpwOptions()
        self._tokens = Tokens(clock, token_hours)

    # ------------------------------------------------------------------ authentication

    @answered
    def login(self, form: Mapping[str, str]) -> object:
        """POST /authentication, "passing your user email address and password as parameters"."""
        if not self.password or (form.get("email"), form.get("password")) != (self.email, self.password):
            raise Refusal(401, "Unauthorized")
        return {"access_token": self._tokens.issue(self.email)}

    @locked
    def allows(self, authorization: str | None) -> bool:
        """Return whether the Authorization header lets a request in."""
        return self._tokens.allows(authorization)

    @locked
    def expire_tokens(self) -> None:
        """Let every token given so far end now."""
        self._tokens.expire()

    # ------------------------------------------------------------------ issuances

    @answered
    def issuances(self, query: Query) -> object:
        """GET /issuances of one day."""
        if not query.get("date"):
            raise Refusal(422, "date is required")
        rows = self.issuances_by_day.get(parse_day(query["date"], "date"), {}).values()
        wanted = query.get("warehouse_name")
        return [
            issuance_row(row)
            for row in rows
            if not row.part.warehouse.hidden and wanted in (None, row.part.warehouse.name)
        ]

    @answered
    def post_issuance(self, values: Mapping[str, object]) -> object:
        """POST /issuances: an object, or an array when an equipment or a work order is named."""
        fields = Fields(values)
        part = self._stocked_part(fields)
        quantity = fields.quantity("quantity", fractions=self.options.allow_fractions)
        created_on, api_key = fields.day("created_on"), fields.text("api_key")
        description = fields.optional_text("description")
        if description is not None and self.options.description_max is not None:
            description = description[: self.options.description_max] or None
        if self.options.whole_issuances:
            quantity = quantity.to_integral_value(ROUND_CEILING)
        equipment, work_order = self._issued_to(fields)
        if api_key in self.issuances_by_key:
            raise Refusal(422, f"An Issuance with api_key {api_key} already exists.")
        splits = equipment is not None or work_order is not None
        _refuse_beyond(quantity, _takeable(part, all_layers=splits), "Issuance")
        made = self.issue(
            part,
            created_on,
            quantity,
            api_key=api_key,
            description=description,
            equipment=equipment,
            work_order=work_order,
        )
        return [issuance_answer(issuance) for issuance in made] if splits else issuance_answer(made[0])

    def _issued_to(self, fields: Fields) -> tuple[Equipment | None, WorkOrder | None]:
        """Return the equipment, else the work order: "the issuance to the equipment_unit_number takes precedence"."""
        unit = fields.optional_text("equipment_unit_number")
        if unit is not None:
            found = next((item for item in self.equipments if item.unit_number == unit), None)
            if found is None:
                raise Refusal(422, "Equipment not found")
            return found, None
        if not fields.has("work_order_sequential_id") and not fields.has("task_name"):
            return None, None
        number, task = fields.number("work_order_sequential_id"), fields.text("task_name")
        order = self.work_order_list.get(int(number))
        if order is None or number != int(number) or all(item.name != task for item in order.tasks):
            raise Refusal(422, "Work Order and Task not found")
        return None, order

    @answered
    def delete_issuance(self, api_key: str) -> object:
        """DELETE /issuance/api_key: all issuances of the key, their parts back to the receipts."""
        rows = [row for row in self.issuances_by_key.get(api_key, []) if not row.part.warehouse.hidden]
        if not rows:
            raise Refusal(404, "Issuance not found")
        for row in rows:
            self.drop_issuance(row)
        return {"api_key": api_key}

    # ------------------------------------------------------------------ receipts

    @answered
    def receipts(self, query: Query) -> object:
        """GET /receipts of one day, or of one api_key."""
        return [receipt_row(row) for row in self._receipts_asked(query) if _wanted(row, query)]

    def _receipts_asked(self, query: Query) -> Iterable[Receipt]:
        if query.get("api_key"):
            found = self.receipt_by_key.get(query["api_key"])
            return [found] if found else []
        if not query.get("date"):
            raise Refusal(422, "date or api_key is required")
        return self.receipts_by_day.get(parse_day(query["date"], "date"), {}).values()

    @answered
    def post_receipt(self, values: Mapping[str, object]) -> object:
        """POST /receipts: creates, or updates what has the same api_key and is unused."""
        fields = Fields(values)
        part_number, warehouse = fields.text("part_number"), self._visible_warehouse(fields, "warehouse_name")
        quantity = fields.quantity("quantity_received", fractions=True)
        unit_cost, created_on = fields.number("unit_cost"), fields.day("created_on")
        api_key, vendor = fields.text("api_key"), self._vendor_of(fields)
        invoice_number, inventory_key = (
            fields.optional_text("invoice_number"),
            fields.optional_text("inventory_api_key"),
        )
        for name in ("tax_rate_one", "tax_rate_two"):
            fields.optional_number(name)
        if unit_cost < 0:
            raise Refusal(422, "unit_cost must not be negative")
        existing = self.receipt_by_key.get(api_key)
        if existing is not None and (existing.used or existing.part.warehouse.hidden):
            raise Refusal(422, RECEIPT_IN_USE)
        part = self.part(part_number, warehouse.name) or self._created_part(part_number, warehouse, inventory_key)
        if existing is None:
            return receipt_answer(
                self.new_receipt(
                    part,
                    created_on,
                    quantity,
                    unit_cost,
                    api_key=api_key,
                    vendor=vendor,
                    invoice_number=invoice_number,
                )
            )
        self.move_receipt(existing, part, created_on)
        existing.received = existing.remaining = quantity
        existing.unit_cost, existing.vendor, existing.invoice_number = unit_cost, vendor, invoice_number
        return receipt_answer(existing)

    def _created_part(self, part_number: str, warehouse: Warehouse, api_key: str | None) -> Part:
        if api_key in self.parts_by_key:
            raise Refusal(422, f"An Inventory with api_key {api_key} already exists.")
        return self.new_part(part_number, warehouse, api_key)

    @answered
    def delete_receipt(self, api_key: str) -> object:
        """DELETE /receipt/api_key: refused once parts of it are used."""
        receipt = self.receipt_by_key.get(api_key)
        if receipt is None or receipt.part.warehouse.hidden:
            raise Refusal(404, "Receipt not found")
        if receipt.used:
            raise Refusal(422, "Receipt cannot be deleted: parts have already been allocated from this Receipt.")
        self.drop_receipt(receipt)
        return {"api_key": api_key}

    # ------------------------------------------------------------------ inventory

    @answered
    def inventories(self, query: Query) -> object:
        """GET /inventories by warehouse and part, or by api_key."""
        if query.get("api_key"):
            part = self.parts_by_key.get(query["api_key"])
        elif query.get("warehouse_name") and query.get("part_number"):
            part = self.part(query["part_number"], query["warehouse_name"])
        else:
            raise Refusal(422, "warehouse_name and part_number are required unless api_key is provided")
        if part is None or part.warehouse.hidden:
            if self.options.unknown_inventory_is_404:
                raise Refusal(404, "Inventory not found")
            return []
        return [inventory_row(part)]

    @answered
    def post_inventory(self, values: Mapping[str, object]) -> object:
        """POST /inventories: creates, or updates what has the same api_key (never its quantity or unit cost)."""
        fields = Fields(values)
        part_number, warehouse = fields.text("part_number"), self._visible_warehouse(fields, "warehouse_name")
        api_key = fields.text("api_key")
        numbers = {name: fields.optional_number(name) for name in ("reorder_quantity", "low_stock_level")}
        quantity, unit_cost = fields.optional_number("quantity"), fields.optional_number("unit_cost")
        texts = {name: fields.optional_text(name) for name in ("bin", "category", "unit_type", "description")}
        name = fields.optional_text("inventory_name")
        part = self.parts_by_key.get(api_key)
        if part is None:
            if (warehouse.name, part_number) in self.parts:
                raise Refusal(422, "Part number has already been taken in this Warehouse.")
            part = self.new_part(part_number, warehouse, api_key)
            part.unit_cost, part.tracking_enabled = unit_cost or Decimal(0), False
            if quantity is not None and quantity > 0:
                self.new_receipt(part, date.min, quantity, part.unit_cost, listed=False)
        part.name = name if name is not None else part.name
        for field_name, value in {**numbers, **texts}.items():
            if value is not None:
                setattr(part, field_name, value)
        if fields.has("tracking_enabled"):
            part.tracking_enabled = str(fields.raw("tracking_enabled")).strip() == "true"
        return inventory_answer(part)

    @answered
    def transfer(self, values: Mapping[str, object]) -> object:
        """POST /inventory_transfers: from the current receipt only; the destination's part is made if needed."""
        fields = Fields(values)
        part = self._stocked_part(fields)
        destination = self._visible_warehouse(fields, "destination_warehouse_name")
        quantity = counted(_maybe_quoted(fields, "quantity"), "quantity", fractions=self.options.allow_fractions)
        if destination is part.warehouse:
            raise Refusal(422, "The destination Warehouse must be another one.")
        _refuse_beyond(quantity, _takeable(part, all_layers=False), "Transfer")
        target = self.part(part.part_number, destination.name) or self._copied_part(part, destination)
        listed = self.options.transfers_listed
        taken_from = _current(part)
        if listed:
            self.issue(part, self.today(), quantity)
        else:
            taken_from.remaining -= quantity
        self.new_receipt(target, self.today(), quantity, taken_from.unit_cost, listed=listed)
        return [inventory_answer(part), inventory_answer(target)]

    def _copied_part(self, part: Part, destination: Warehouse) -> Part:
        copy = self.new_part(part.part_number, destination)
        copy.name, copy.unit_type, copy.category = part.name, part.unit_type, part.category
        return copy

    # ------------------------------------------------------------------ equipment, work orders, purchase orders

    @answered
    def equipment(self, query: Query) -> object:
        """GET /gps_meter_updates of one GPS provider, its exact name."""
        if not query.get("gps_provider"):
            raise Refusal(422, "gps_provider is required")
        asked = {name: query[name] for name in ("gps_provider", "name", "serial_number", "gps_key") if name in query}
        return [
            equipment_row(item)
            for item in self.equipments
            if all(str(getattr(item, name)) == value for name, value in asked.items())
        ]

    @answered
    def work_orders(self, query: Query) -> object:
        """GET /work_orders by one or more of four ranges, paged."""
        ranges = _ranges(query, ("start_on", "scheduled_on", "due_on", "completed_on"))
        found = [order for order in self.work_order_list.values() if _matches(order, query, ranges, _work_order_day)]
        return self._paged("work_orders", found, query, work_order_row)

    @answered
    def purchase_orders(self, query: Query) -> object:
        """GET /purchase_orders by one or more of three ranges, paged."""
        ranges = _ranges(query, ("created_on", "required_on", "completed_on"))
        found = [
            order
            for order in self.orders.values()
            if _matches(order, query, ranges, _order_day) and not (order.warehouse and order.warehouse.hidden)
        ]
        return self._paged("purchase_orders", found, query, order_row)

    def _paged(self, name: str, found: list[T], query: Query, row: Callable[[T], Row]) -> object:
        text = query.get("page", "1") if self.options.page_parameter else "1"
        page, size = max(1, int(text)) if text.isdecimal() else 1, self.options.page_size
        shown = found[(page - 1) * size : page * size]
        return {
            name: [row(item) for item in shown],
            "pagination": {
                "page": page,
                "pageSize": size,
                "pageCount": max(1, ceil(len(found) / size)),
                "count": len(found),
            },
        }

    @answered
    def approve(self, values: Mapping[str, object]) -> object:
        """POST /purchase_orders/approve: up to 50 numbers "separated by a comma", an error for each that cannot be."""
        asked = values.get("purchase_order_numbers")
        if isinstance(asked, bool) or not isinstance(asked, (str, int)):
            raise Refusal(422, "purchase_order_numbers is required, numbers separated by a comma")
        numbers = [text.strip() for text in str(asked).split(",") if text.strip()]
        if not 1 <= len(numbers) <= APPROVE_LIMIT:
            raise Refusal(422, f"Between 1 and {APPROVE_LIMIT} purchase order numbers may be sent.")
        approved: list[int] = []
        errors: list[str] = []
        for text in numbers:
            problem = self._approve_one(text)
            if problem is None:
                approved.append(int(text))
            else:
                errors.append(problem)
        return {"results": {"purchase_order_numbers": approved, "errors": errors}}

    def _approve_one(self, text: str) -> str | None:
        order = self.orders.get(int(text)) if text.isdecimal() else None
        if order is None or (order.warehouse is not None and order.warehouse.hidden):
            return f"Purchase Order {text} not found"
        if order.status.casefold() != "requisition":
            return f"Purchase Order {text} is not a requisition"
        order.status = "Ordered"
        return None

    # ------------------------------------------------------------------ shared

    def _visible_warehouse(self, fields: Fields, name: str) -> Warehouse:
        warehouse = self.warehouse(fields.text(name))
        if warehouse is None:
            raise Refusal(422, f"{name} must be an exact match of the name of an existing Warehouse")
        return warehouse

    def _stocked_part(self, fields: Fields) -> Part:
        """Return the part that must exist: "must refer to a Warehouse that contains the specified Inventory"."""
        part = self.part(fields.text("part_number"), self._visible_warehouse(fields, "warehouse_name").name)
        if part is None:
            raise Refusal(422, "The Warehouse does not contain the specified Inventory")
        return part

    def _vendor_of(self, fields: Fields) -> Vendor | None:
        """Return the vendor: "Either vendor_name or vendor_number may be used to identify a Vendor"."""
        name, number = fields.optional_text("vendor_name"), fields.optional_text("vendor_number")
        if name is None and number is None:
            return None
        for vendor in self.vendors:
            if (name is None or vendor.name == name) and (number is None or vendor.number == number):
                return vendor
        raise Refusal(422, "Vendor not found")


def _current(part: Part) -> Receipt:
    """Return the current receipt of a part that was found to have one."""
    if part.current is None:
        raise Refusal(422, "There is no current Receipt.")
    return part.current


def _takeable(part: Part, *, all_layers: bool) -> Decimal:
    if all_layers:
        return part.available
    return part.current.remaining if part.current else Decimal(0)


def _refuse_beyond(quantity: Decimal, maximum: Decimal, what: str) -> None:
    """Refuse more than there is, with the maximum in the message."""
    if quantity > maximum:
        raise Refusal(422, f"The maximum quantity available for this {what} is {decimal_number(maximum):f}.")


def _maybe_quoted(fields: Fields, name: str) -> Decimal:
    """Return a number; MPW's own transfer sample quotes it: `"quantity":"2.0"`."""
    value = fields.raw(name)
    if isinstance(value, str):
        try:
            return exact(value)
        except ValueError:
            raise Refusal(422, f"{name} must be a number") from None
    return fields.number(name)


def _wanted(row: Receipt, query: Query) -> bool:
    part, vendor = row.part, row.vendor
    shown = {
        "part_number": part.part_number,
        "vendor_name": vendor.name if vendor else None,
        "vendor_number": vendor.number if vendor else None,
        "date": row.created_on.isoformat(),
    }
    return not part.warehouse.hidden and all(query[name] == value for name, value in shown.items() if query.get(name))


def _ranges(query: Query, names: Iterable[str]) -> dict[str, tuple[date, date]]:
    """Return the asked ranges: "The _from and _to for a parameter type … are both required"."""
    ranges: dict[str, tuple[date, date]] = {}
    for name in names:
        first, last = query.get(f"{name}_from"), query.get(f"{name}_to")
        if first and last:
            ranges[name] = parse_day(first, f"{name}_from"), parse_day(last, f"{name}_to")
        elif first or last:
            raise Refusal(422, f"{name}_from and {name}_to are both required")
    if not ranges:
        raise Refusal(422, "a _from and a _to date are required")
    return ranges


def _matches(
    order: T, query: Query, ranges: Mapping[str, tuple[date, date]], day_of: Callable[[T, str], date | None]
) -> bool:
    status = query.get("status")
    if status and getattr(order, "status", None) != status:
        return False
    for name, (first, last) in ranges.items():
        day = day_of(order, name)
        if day is None or not first <= day <= last:
            return False
    return True


def _order_day(order: Order, name: str) -> date | None:
    return {"created_on": order.created_on, "required_on": order.required_on, "completed_on": order.completed_on}[name]


def _work_order_day(order: WorkOrder, name: str) -> date | None:
    if name == "scheduled_on":
        return order.scheduled_on
    if name == "due_on":
        return order.due_on
    stamp = order.start_at if name == "start_on" else order.completed_at
    return date.fromisoformat(stamp[:10]) if stamp else None


__all__ = ["APPROVE_LIMIT", "PAGE_SIZE", "RECEIPT_IN_USE", "Answer", "MpwModel", "MpwOptions"]
