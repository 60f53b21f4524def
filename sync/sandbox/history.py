"""Load AdventureWorks' purchasing data as an MPW organisation's history."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

from sync.sandbox.mpw import MpwModel
from sync.sandbox.mpw_state import Order, OrderLine, Part, Vendor, Warehouse

STATUS = {"1": "requisition", "2": "Ordered", "3": "Rejected", "4": "Received"}
Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class HistoryCounts:
    """What was loaded; `amount` is the exact sum of quantity × unit cost over the receipts."""

    receipts: int
    orders: int
    requisitions: int
    amount: Decimal


def load_adventureworks(mpw: MpwModel, folder: Path) -> HistoryCounts:
    """Load receipts, purchase orders and opening stock from the CSV files of a folder.

    A PurchaseOrderDetail row with StockedQty > 0 is a receipt of its DueDate in one location of the part;
    a part without a location lies in the first one. Opening stock (ProductInventory) is baseline: it is
    in GET /inventories and in no receipt. OSError for a missing file.
    """
    with mpw.lock:
        return _Loader(mpw, folder).load()


class _Loader:
    def __init__(self, mpw: MpwModel, folder: Path) -> None:
        self._mpw = mpw
        self._folder = folder
        self._products = {row["ProductID"]: row for row in self._rows("Product")}
        self._locations = {row["LocationID"]: mpw.new_warehouse(row["Name"]) for row in self._rows("Location")}
        self._vendors = {
            row["BusinessEntityID"]: mpw.add_vendor(row["Name"], row["AccountNumber"]) for row in self._rows("Vendor")
        }
        self._home: dict[str, Warehouse] = {}

    def load(self) -> HistoryCounts:
        """Load everything; the caller holds the model's lock."""
        self._opening_stock()
        headers = {row["PurchaseOrderID"]: row for row in self._rows("PurchaseOrderHeader")}
        details = sorted(self._rows("PurchaseOrderDetail"), key=lambda row: int(row["PurchaseOrderDetailID"]))
        for header in headers.values():
            self._order(header)
        receipts, amount = 0, Decimal(0)
        for detail in details:
            self._line(detail)
            quantity, cost = Decimal(detail["StockedQty"]), Decimal(detail["UnitPrice"])
            if quantity > 0:
                self._receipt(detail, self._vendors[headers[detail["PurchaseOrderID"]]["VendorID"]])
                receipts, amount = receipts + 1, amount + quantity * cost
        statuses = [header["Status"] for header in headers.values()]
        return HistoryCounts(receipts, len(headers), statuses.count("1"), amount)

    def _rows(self, name: str) -> Iterator[Row]:
        with (self._folder / f"{name}.csv").open(encoding="utf-8-sig", newline="") as file:
            yield from csv.DictReader(file)

    def _opening_stock(self) -> None:
        for row in self._rows("ProductInventory"):
            warehouse = self._locations[row["LocationID"]]
            self._home.setdefault(row["ProductID"], warehouse)
            part = self._part(row["ProductID"], warehouse)
            if Decimal(row["Quantity"]) > 0:
                cost = Decimal(self._products[row["ProductID"]]["StandardCost"])
                self._mpw.new_receipt(part, date.min, Decimal(row["Quantity"]), cost, listed=False)

    def _part(self, product_id: str, warehouse: Warehouse) -> Part:
        product = self._products[product_id]
        found = self._mpw.parts.get((warehouse.name, product["ProductNumber"]))
        if found is not None:
            return found
        part = self._mpw.new_part(product["ProductNumber"], warehouse)
        part.name, part.unit_type = product["Name"], product["SizeUnitMeasureCode"] or "Each"
        return part

    def _order(self, row: Row) -> None:
        created = date.fromisoformat(row["OrderDate"][:10])
        order = Order(
            int(row["PurchaseOrderID"]),
            STATUS[row["Status"]],
            created,
            self._vendors[row["VendorID"]],
            None,
            [],
            required_on=created,
            completed_on=date.fromisoformat(row["ShipDate"][:10]) if row["Status"] == "4" and row["ShipDate"] else None,
            fixed_subtotal=Decimal(row["SubTotal"]),
            tax_cost=Decimal(row["TaxAmt"]),
            freight_cost=Decimal(row["Freight"]),
        )
        self._mpw.orders[order.number] = order

    def _line(self, row: Row) -> None:
        product = self._products[row["ProductID"]]
        order = self._mpw.orders[int(row["PurchaseOrderID"])]
        order.required_on = date.fromisoformat(row["DueDate"][:10])
        order.warehouse = order.warehouse or self._warehouse(row["ProductID"])
        order.lines.append(
            OrderLine(
                int(row["PurchaseOrderDetailID"]),
                product["ProductNumber"],
                Decimal(row["OrderQty"]),
                Decimal(row["UnitPrice"]),
                Decimal(row["ReceivedQty"]),
                product["Name"],
                "Each",
            )
        )

    def _receipt(self, row: Row, vendor: Vendor) -> None:
        self._mpw.new_receipt(
            self._part(row["ProductID"], self._warehouse(row["ProductID"])),
            date.fromisoformat(row["DueDate"][:10]),
            Decimal(row["StockedQty"]),
            Decimal(row["UnitPrice"]),
            vendor=vendor,
            purchase_order_number=int(row["PurchaseOrderID"]),
        )

    def _warehouse(self, product_id: str) -> Warehouse:
        return self._home.get(product_id) or next(iter(self._locations.values()))
