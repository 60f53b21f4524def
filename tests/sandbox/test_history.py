"""AdventureWorks as an MPW organisation's history; skipped where the data is absent."""

from __future__ import annotations

import csv
import time
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from sync.sandbox.history import load_adventureworks
from sync.sandbox.mpw import MpwModel
from sync.sandbox.server import Sandbox
from tests.sandbox.conftest import StillClock

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "adventureworks"
needs_data = pytest.mark.skipif(not FOLDER.is_dir(), reason="the AdventureWorks files are not here")


@pytest.fixture(scope="module")
def loaded() -> MpwModel:
    model = MpwModel(StillClock())
    load_adventureworks(model, FOLDER)
    return model


@needs_data
def test_counts_and_amount_equal_the_files_exactly_and_loading_takes_seconds() -> None:
    with (FOLDER / "PurchaseOrderDetail.csv").open(newline="") as file:
        stocked = [row for row in csv.DictReader(file) if Decimal(row["StockedQty"]) > 0]
    amount = sum((Decimal(row["StockedQty"]) * Decimal(row["UnitPrice"]) for row in stocked), Decimal(0))
    begun = time.monotonic()

    counts = load_adventureworks(MpwModel(StillClock()), FOLDER)

    assert time.monotonic() - begun < 3
    assert (counts.receipts, counts.amount) == (len(stocked), amount)
    assert (counts.orders, counts.requisitions) == (4012, 225)


@needs_data
def test_every_received_line_is_read_back_day_by_day_with_its_exact_amount(loaded: MpwModel) -> None:
    rows = [row for day in loaded.receipts_by_day for row in loaded.receipts({"date": day.isoformat()})[1]]

    assert len(rows) == 8704
    assert sum(row["quantity_received"] * row["unit_cost"] for row in rows) == Decimal("61211692.7310")
    assert all(row["vendor_name"] and row["purchase_order_number"] and row["warehouse_name"] for row in rows)
    assert min(loaded.receipts_by_day).isoformat() >= "2011-04-30"
    assert max(loaded.receipts_by_day).isoformat() <= "2014-10-22"


@needs_data
def test_all_orders_are_read_in_pages_with_their_lines(loaded: MpwModel) -> None:
    query = {"created_on_from": "2011-01-01", "created_on_to": "2014-12-31"}
    pages = [loaded.purchase_orders(query | {"page": str(page)})[1] for page in range(1, 42)]
    orders = [order for page in pages for order in page["purchase_orders"]]

    assert pages[0]["pagination"] == {"page": 1, "pageSize": 100, "pageCount": 41, "count": 4012}
    assert len({order["sequential_id"] for order in orders}) == 4012
    assert sum(len(order["items"]) for order in orders) == 8845
    assert {order["status"] for order in orders} == {"requisition", "Ordered", "Rejected", "Received"}


@needs_data
def test_opening_stock_is_in_the_inventory_and_in_no_receipt(loaded: MpwModel) -> None:
    [row] = loaded.inventories({"warehouse_name": "Tool Crib", "part_number": "AR-5381"})[1]

    assert row["quantity"] >= 408
    assert not any(receipt.created_on.year < 2011 for receipt in loaded.receipt_by_id.values() if receipt.listed)


@needs_data
def test_a_day_of_history_is_served_over_http(clock: StillClock) -> None:
    with Sandbox(populate=False, clock=clock) as sandbox, httpx.Client(base_url=sandbox.mpw_url) as http:
        load_adventureworks(sandbox.mpw, FOLDER)
        token = http.post("/authentication", data={"email": sandbox.email, "password": sandbox.password}).json()
        day = max(sandbox.mpw.receipts_by_day, key=lambda item: len(sandbox.mpw.receipts_by_day[item]))
        headers = {"Authorization": f"Bearer {token['access_token']}"}

        answer = http.get("/receipts", params={"date": day.isoformat()}, headers=headers)

    assert len(answer.json()) == len(sandbox.mpw.receipts_by_day[day]) > 50
