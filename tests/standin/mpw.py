"""Maintenance Pro Web from its document, with a switch for what the document leaves open. Oldest receipts go first."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from tests.standin.server import RefusalError, Reply, Request, Vendor

EMAIL, PASSWORD, PREFIX = "user@example.com", "welcome", "/api/v1/mpw"
RECEIPT, ISSUANCE, INVENTORY = "POST receipts", "POST issuances", "POST inventories"
TRANSFER, APPROVE = "POST inventory_transfers", "POST purchase_orders"
DELETE_RECEIPT, DELETE_ISSUANCE = "DELETE receipt", "DELETE issuance"
UNTOUCHABLE = (
    "Receipt found but cannot be updated. Check to ensure that parts have not already been allocated from this "
    "Receipt, and that your user account has the necessary permissions to update Receipts."
)
LASTS = timedelta(hours=24)


@dataclass
class Habits:
    """What the document does not say of MPW."""

    cost_decimals: int = 6  # of the average that GET /inventories shows
    description_max: int | None = None
    description_kept: bool = True
    keys_ignore_case: bool = False
    page_honoured: bool = True
    page_size: int = 100
    transfers_leave: Literal["both", "destination", "nothing"] = "both"  # rows in the lists of receipts and issuances
    exists: str = "An issuance with this api_key already exists."
    maximum: str = "Quantity exceeds the current Receipt. The maximum quantity available is {}."
    fractions: bool = True  # POST /issuances takes them
    missing: Literal[200, 404] = 200  # a key or part that is not there


@dataclass
class Part:
    """A part in a warehouse."""

    id: int
    part: str
    warehouse: str
    cost: Decimal = Decimal(0)
    name: str | None = None
    unit: str | None = "Each"
    api_key: str | None = None
    tracking: bool = True
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass
class Receipt:
    """A receipt, and what is left of it. `hidden`: the list does not show it (the far end of a transfer)."""

    id: int
    part: str
    warehouse: str
    on: str
    received: Decimal
    remaining: Decimal
    cost: Decimal
    api_key: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    hidden: bool = False


@dataclass
class Issuance:
    """An issuance from one receipt."""

    id: int
    part: str
    warehouse: str
    on: str
    quantity: Decimal
    cost: Decimal
    receipt: Receipt | None
    description: str | None = None
    api_key: str | None = None
    equipment: str | None = None
    hidden: bool = False


class Mpw(Vendor):
    """One organisation: warehouses, parts, receipts, issuances, orders, people."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.habits = Habits()
        self.warehouses: list[str] = []
        self.parts: list[Part] = []
        self.receipts: list[Receipt] = []
        self.issuances: list[Issuance] = []
        self.orders: list[dict[str, Any]] = []
        self.work_orders: list[dict[str, Any]] = []
        self._tokens: dict[str, datetime] = {}
        self._ids = itertools.count(43381)

    @property
    def today(self) -> date:
        """The organisation's date, in UTC."""
        return self.clock.now().date()

    # ------------------------------------------------------------------ requests

    def handle(self, request: Request) -> Reply:
        """Answer a request."""
        if request.name == "POST authentication":
            return self._log_in(request)
        since = self._tokens.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        if since is None or self.clock.now() - since > LASTS:
            raise RefusalError(401, "Unauthorized")
        calls: dict[str, Callable[[Request], Any]] = {
            "GET issuances": self._list_issuances,
            RECEIPT: self._post_receipt,
            ISSUANCE: self._post_issuance,
            INVENTORY: self._post_inventory,
            TRANSFER: self._post_transfer,
            "GET receipts": self._list_receipts,
            "GET inventories": self._list_inventories,
            "GET gps_meter_updates": lambda _: [],
            "GET work_orders": lambda r: self._page(r, "work_orders", self.work_orders),
            "GET purchase_orders": lambda r: self._page(r, "purchase_orders", self.orders),
            "POST purchase_orders": self._approve,
            "DELETE receipt": self._delete_receipt,
            "DELETE issuance": self._delete_issuances,
        }
        if request.name not in calls:
            raise RefusalError(404, "Not found")
        value = calls[request.name](request)
        return value if isinstance(value, Reply) else Reply(200, value)

    def _log_in(self, request: Request) -> Reply:
        text = request.body.decode()
        form = request.form
        if not (form.get("email") == EMAIL and form.get("password") == PASSWORD) and not (
            f"\r\n\r\n{EMAIL}\r\n" in text and f"\r\n\r\n{PASSWORD}\r\n" in text  # multipart, as curl -F sends it
        ):
            raise RefusalError(401, "Unauthorized")
        token = f"token.{len(self._tokens)}.x"
        self._tokens[token] = self.clock.now()
        return Reply(200, {"access_token": token})

    def _list_receipts(self, request: Request) -> Any:
        query = request.query
        found = [r for r in self.receipts if not r.hidden]
        if "api_key" in query:
            found = [r for r in found if self._same_key(r.api_key, query["api_key"])]
            if not found and self.habits.missing == 404:
                raise RefusalError(404, "Receipt not found")
        else:
            found = [r for r in found if r.on == query["date"]]
        if "part_number" in query:
            found = [r for r in found if r.part == query["part_number"]]
        return [self._receipt(r) for r in found]

    def _list_issuances(self, request: Request) -> Any:
        query = request.query
        return [
            {k: v for k, v in self._issuance(i).items() if k in _LISTED}
            for i in self.issuances
            if not i.hidden and i.on == query["date"] and query.get("warehouse_name", i.warehouse) == i.warehouse
        ]

    def _list_inventories(self, request: Request) -> Any:
        query = request.query
        if "api_key" in query:
            found = [p for p in self.parts if self._same_key(p.api_key, query["api_key"])]
        else:
            found = [p for p in self.parts if (p.part, p.warehouse) == (query["part_number"], query["warehouse_name"])]
        if not found and self.habits.missing == 404:
            raise RefusalError(404, "Inventory not found")
        return [self._inventory(p) for p in found]

    def _page(self, request: Request, name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
        query = request.query
        by = next(key.removesuffix("_from") for key in query if key.endswith("_from"))
        stamp = {"start_on": "start_at", "completed_on": "completed_at"}.get(by, by) if name == "work_orders" else by
        first, last, status = query[f"{by}_from"], query[f"{by}_to"], query.get("status")
        found = [row for row in rows if row.get(stamp) and first <= str(row[stamp])[:10] <= last]
        found = [row for row in found if status is None or row["status"] == status]
        size = self.habits.page_size
        page = int(query.get("page", "1")) if self.habits.page_honoured else 1
        count = max(1, -(-len(found) // size))
        pages = {"page": page, "pageSize": size, "pageCount": count, "count": len(found)}
        return {name: found[(page - 1) * size : page * size], "pagination": pages}

    def _post_receipt(self, request: Request) -> Any:
        sent = _inner(request, "receipt", "part_number quantity_received unit_cost created_on api_key warehouse_name")
        self._warehouse(sent["warehouse_name"])
        quantity, cost = Decimal(sent["quantity_received"]), Decimal(sent["unit_cost"])
        more = {name: sent.get(name) for name in ("vendor_name", "vendor_number", "invoice_number")}
        found = next((r for r in self.receipts if self._same_key(r.api_key, sent["api_key"])), None)
        if found is not None:
            if found.remaining != found.received:
                raise RefusalError(422, UNTOUCHABLE)
            found.part, found.warehouse, found.on = sent["part_number"], sent["warehouse_name"], sent["created_on"]
            found.received = found.remaining = quantity
            found.cost, found.fields = cost, more
            return self._receipt(found)
        self._part(sent["part_number"], sent["warehouse_name"], create=True, api_key=sent.get("inventory_api_key"))
        made = self._receive(sent["part_number"], sent["warehouse_name"], sent["created_on"], quantity, cost)
        made.api_key, made.fields = sent["api_key"], more
        return self._receipt(made)

    def _post_issuance(self, request: Request) -> Any:
        sent = _inner(request, "issuance", "part_number warehouse_name quantity created_on api_key")
        self._part(sent["part_number"], sent["warehouse_name"])
        if any(self._same_key(i.api_key, sent["api_key"]) for i in self.issuances):
            raise RefusalError(422, self.habits.exists)
        quantity = Decimal(sent["quantity"])
        if quantity <= 0 or (quantity % 1 and not self.habits.fractions):
            raise RefusalError(422, "quantity must be an integer")
        several = bool(sent.get("equipment_unit_number") or sent.get("work_order_sequential_id"))
        rows = self._issue(sent["part_number"], sent["warehouse_name"], sent["created_on"], quantity, several=several)
        for row in rows:
            row.api_key, row.equipment = sent["api_key"], sent.get("equipment_unit_number")
            if self.habits.description_kept and sent.get("description") is not None:
                row.description = str(sent["description"])[: self.habits.description_max]
        shown = [self._issuance(row) for row in rows]
        return shown if several else shown[0]

    def _post_inventory(self, request: Request) -> Any:
        sent = _inner(request, "inventory", "part_number warehouse_name api_key")
        self._warehouse(sent["warehouse_name"])
        found = next((p for p in self.parts if self._same_key(p.api_key, sent["api_key"])), None)
        if found is None:
            found = self._part(sent["part_number"], sent["warehouse_name"], create=True, api_key=sent["api_key"])
            quantity, cost = Decimal(sent.get("quantity") or 0), Decimal(sent.get("unit_cost") or 0)
            found.cost = cost
            if quantity:
                self._receive(found.part, found.warehouse, self.today.isoformat(), quantity, cost)
        found.part, found.warehouse = sent["part_number"], sent["warehouse_name"]
        found.name, found.unit = sent.get("inventory_name", found.name), sent.get("unit_type", found.unit)
        found.tracking = sent.get("tracking_enabled") == "true"
        found.fields |= {name: sent[name] for name in _INVENTORY_FIELDS if name in sent}
        return self._inventory(found)

    def _post_transfer(self, request: Request) -> Any:
        sent = _inner(request, "inventory_transfer", "part_number warehouse_name destination_warehouse_name quantity")
        source, destination = sent["warehouse_name"], sent["destination_warehouse_name"]
        self._part(sent["part_number"], source)
        self._warehouse(destination)
        self._transfer(sent["part_number"], source, destination, Decimal(sent["quantity"]))
        return [self._inventory(self._part(sent["part_number"], name)) for name in (source, destination)]

    def _approve(self, request: Request) -> Any:
        if request.path[1:] != ("approve",):
            raise RefusalError(404, "Not found")
        numbers = [int(text) for text in str(request.json["purchase_order_numbers"]).split(",")]
        done, errors = [], []
        for number in numbers:
            order = next((o for o in self.orders if o["sequential_id"] == number), None)
            if order is None or order["status"].lower() != "requisition":
                errors.append(f"Purchase order {number} cannot be approved")
            else:
                order["status"] = "Ordered"
                done.append(number)
        return {"results": {"purchase_order_numbers": done, "errors": errors}}

    def _delete_receipt(self, request: Request) -> Any:
        found = [r for r in self.receipts if self._same_key(r.api_key, request.path[1])]
        if not found:
            raise RefusalError(404, "Receipt not found")
        if any(r.remaining != r.received for r in found):
            raise RefusalError(422, "Receipt cannot be deleted: parts have been allocated from it.")
        self.receipts = [r for r in self.receipts if r not in found]
        return {"api_key": request.path[1]}

    def _delete_issuances(self, request: Request) -> Any:
        found = [i for i in self.issuances if self._same_key(i.api_key, request.path[1])]
        if not found:
            raise RefusalError(404, "Issuance not found")
        for row in found:
            self.deletes(row)
        return {"api_key": request.path[1]}

    # ------------------------------------------------------------------ stock

    def _layers(self, part: str, warehouse: str) -> list[Receipt]:
        found = [r for r in self.receipts if (r.part, r.warehouse) == (part, warehouse) and r.remaining > 0]
        return sorted(found, key=lambda r: (r.on, r.id))

    def _receive(self, part: str, warehouse: str, on: str, quantity: Decimal, cost: Decimal) -> Receipt:
        receipt = Receipt(next(self._ids), part, warehouse, on, quantity, quantity, cost)
        self.receipts.append(receipt)
        return receipt

    def _issue(self, part: str, warehouse: str, on: str, quantity: Decimal, *, several: bool) -> list[Issuance]:
        layers = self._layers(part, warehouse)
        if not several:
            most = layers[0].remaining if layers else Decimal(0)
            if quantity > most:
                raise RefusalError(422, self.habits.maximum.format(f"{most.normalize():f}"))
        elif quantity > sum(layer.remaining for layer in layers):
            raise RefusalError(422, "There is not enough stock of this part.")
        rows: list[Issuance] = []
        for layer in layers:
            taken = min(quantity, layer.remaining)
            if taken > 0:
                layer.remaining -= taken
                quantity -= taken
                rows.append(Issuance(next(self._ids), part, warehouse, on, taken, layer.cost, layer))
        self.issuances += rows
        return rows

    def _transfer(self, part: str, source: str, destination: str, quantity: Decimal) -> None:
        on, leave = self.today.isoformat(), self.habits.transfers_leave
        (out,) = self._issue(part, source, on, quantity, several=False)
        self._part(part, destination, create=True)
        into = self._receive(part, destination, on, quantity, out.cost)
        out.hidden, into.hidden = leave != "both", leave == "nothing"

    def _warehouse(self, name: str) -> None:
        if name not in self.warehouses:
            raise RefusalError(422, f"Warehouse {name} not found")

    def _part(self, part: str, warehouse: str, *, create: bool = False, api_key: str | None = None) -> Part:
        self._warehouse(warehouse)
        for known in self.parts:
            if (known.part, known.warehouse) == (part, warehouse):
                return known
        if not create:
            raise RefusalError(422, f"Part {part} not found in {warehouse}")
        made = Part(next(self._ids), part, warehouse, api_key=api_key)
        self.parts.append(made)
        return made

    def _same_key(self, one: str | None, other: str) -> bool:
        if one is None or not self.habits.keys_ignore_case:
            return one == other
        return one.lower() == other.lower()

    # ------------------------------------------------------------------ rows as they are shown

    def _receipt(self, r: Receipt) -> dict[str, Any]:
        return {
            "id": r.id,
            "part_number": r.part,
            "inventory_name": None,
            "created_on": r.on,
            "invoice_number": r.fields.get("invoice_number"),
            "quantity_received": r.received,
            "quantity_remaining": r.remaining,
            "unit_cost": r.cost,
            "description": None,
            "vendor_name": r.fields.get("vendor_name"),
            "vendor_number": r.fields.get("vendor_number"),
            "api_key": r.api_key,
            "purchase_order_number": None,
            "purchase_order_prefix_number": "",
            "warehouse_name": r.warehouse,
        }

    def _issuance(self, i: Issuance) -> dict[str, Any]:
        return {
            "id": i.id,
            "part_number": i.part,
            "inventory_name": None,
            "created_on": i.on,
            "quantity": i.quantity,
            "unit_cost": i.cost,
            "overdraft": False,
            "description": i.description,
            "api_key": i.api_key,
            "warehouse_name": i.warehouse,
            "equipment_unit_number": i.equipment,
            "custom_fields": {},
        }

    def _inventory(self, p: Part) -> dict[str, Any]:
        layers = self._layers(p.part, p.warehouse)
        quantity = sum((layer.remaining for layer in layers), Decimal(0))
        value = sum((layer.remaining * layer.cost for layer in layers), Decimal(0))
        cost = round(value / quantity, self.habits.cost_decimals) if quantity else p.cost
        return {
            "id": p.id,
            "part_number": p.part,
            "api_key": p.api_key,
            "inventory_name": p.name,
            "warehouse_name": p.warehouse,
            **{name: p.fields.get(name) for name in _INVENTORY_FIELDS},
            "unit_type": p.unit,
            "quantity": quantity,
            "unit_cost": cost,
            "tracking_enabled": p.tracking,
        }

    # ------------------------------------------------------------------ what people do

    def adds(self, part: str, warehouse: str, quantity: Any = 0, cost: Any = 0, *, days_ago: int = 1) -> Part:
        """Know a part, with one receipt of it."""
        if warehouse not in self.warehouses:
            self.warehouses.append(warehouse)
        made = self._part(part, warehouse, create=True)
        made.cost = Decimal(str(cost))
        if quantity:
            self.receives(part, quantity, cost, warehouse, days_ago=days_ago)
        return made

    def receives(self, part: str, quantity: Any, cost: Any, warehouse: str, *, days_ago: int = 0) -> Receipt:
        """Let a person key in a receipt."""
        with self.lock:
            on = (self.today - timedelta(days=days_ago)).isoformat()
            return self._receive(part, warehouse, on, Decimal(str(quantity)), Decimal(str(cost)))

    def issues(self, part: str, quantity: Any, warehouse: str) -> list[Issuance]:
        """Let a person issue stock."""
        with self.lock:
            return self._issue(part, warehouse, self.today.isoformat(), Decimal(str(quantity)), several=True)

    def transfers(self, part: str, quantity: Any, source: str, destination: str) -> None:
        """Let a person move stock to another warehouse."""
        with self.lock:
            self._transfer(part, source, destination, Decimal(str(quantity)))

    def deletes(self, row: Receipt | Issuance) -> None:
        """Let a person delete a row."""
        with self.lock:
            if isinstance(row, Issuance):
                self.issuances.remove(row)
                if row.receipt is not None:
                    row.receipt.remaining += row.quantity
            else:
                self.receipts.remove(row)

    def orders_some(self, number: int, total: Any = 585, **fields: Any) -> dict[str, Any]:
        """Let a person write a requisition."""
        row = {
            "sequential_id": number,
            "prefix_title": str(number),
            "status": "requisition",
            "created_on": self.today.isoformat(),
            "required_on": self.today.isoformat(),
            "completed_on": None,
            "total_cost": Decimal(str(total)),
            "vendor_name": "Bosch",
            "warehouse_name": self.warehouses[0],
            "items": [{"id": number * 10, "quantity": 5, "unit_cost": Decimal(str(total)) / 5, "part_number": "P-1"}],
        } | fields
        self.orders.append(row)
        return row

    def stock(self, part: str, warehouse: str) -> Decimal:
        """Return what there really is."""
        with self.lock:
            return sum((layer.remaining for layer in self._layers(part, warehouse)), Decimal(0))

    def under(self, api_key: str) -> list[Receipt | Issuance]:
        """Return the rows that carry a key."""
        return [row for row in (*self.receipts, *self.issuances) if row.api_key == api_key]


def _inner(request: Request, envelope: str, required: str) -> dict[str, Any]:
    try:
        sent = request.json[envelope]
    except (ValueError, KeyError, TypeError):
        raise RefusalError(400, f"{envelope} is missing") from None
    for name in required.split():
        if sent.get(name) in (None, ""):
            raise RefusalError(422, f"{name} is required")
    return dict(sent)


_LISTED = ("id", "part_number", "inventory_name", "created_on", "quantity", "unit_cost", "overdraft", "description")
_LISTED = (*_LISTED, "warehouse_name")
_INVENTORY_FIELDS = ("bin", "category", "description", "reorder_quantity", "low_stock_level")
