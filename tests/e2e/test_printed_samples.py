"""The samples that the vendors' documents print land in the ledger as the documents mean them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from sync.app import open_app
from sync.jobs.reports import Record, view
from sync.poll.backfill import backfill_once
from sync.poll.feed.window import poll_movements_once
from sync.settings import load_settings
from tests.clocks import FakeClock

SAMPLES = Path(__file__).parents[1] / "clients" / "samples"


def printed(name: str) -> str:
    """Return a sample as printed, with what makes it no JSON mended: typographic quotes, odd blanks, a prompt's `%`."""
    text = (SAMPLES / name).read_text(encoding="utf-8")
    for printed_sign, meant in (("“", '"'), ("”", '"'), ("\u00a0", " ")):
        text = text.replace(printed_sign, meant)
    return text.rstrip().rstrip("%")


def mpw(request: httpx.Request) -> httpx.Response:
    query = request.url.params
    if request.url.path.endswith("/authentication"):
        return httpx.Response(200, json={"access_token": "t"})
    samples = {
        "/issuances": ("mpw_issuances_get.json", query.get("date") == "2020-09-28"),
        "/receipts": ("mpw_receipts_get.json", query.get("date") == "2020-09-28"),
        "/purchase_orders": ("mpw_purchase_orders_get.json", _holds(query, "created_on", "2024-09-17")),
        "/work_orders": ("mpw_work_orders_get.json", _holds(query, "scheduled_on", "2023-07-25")),
    }
    for path, (name, asked) in samples.items():
        if request.url.path.endswith(path):
            nothing = {"purchase_orders": [], "work_orders": []} if "orders" in path else []
            return httpx.Response(200, text=printed(name)) if asked else httpx.Response(200, json=nothing)
    return httpx.Response(404, json={"message": "no such path"})


def _holds(query: httpx.QueryParams, pair: str, day: str) -> bool:
    return query.get(f"{pair}_from", "9") <= day <= query.get(f"{pair}_to", "0")


@pytest.fixture
def seen(database_url: str) -> dict[str, list[Record]]:
    """What the views show after a backfill of the samples' days and a reading of the feed."""
    settings = load_settings(
        {
            "DATABASE_URL": database_url,
            "MPW_EMAIL": "user@example.com",
            "MPW_PASSWORD": "welcome",
            "MPSERVICES_TOKEN": "of-the-test",
            "SYNC_START_DATE": "2020-09-28",
        },
        dotenv=None,
    )
    feed = httpx.MockTransport(lambda _request: httpx.Response(200, text=printed("mpservices_movement.json")))
    clock = FakeClock(datetime(2024, 9, 18, 12, tzinfo=UTC))
    with open_app(settings, clock=clock, mpw_transport=httpx.MockTransport(mpw), mpservices_transport=feed) as app:
        days = {"2020-09-28": ["mpw.issuances", "mpw.receipts"], "2024-09-17": ["mpw.purchase_orders"]}
        days["2023-07-25"] = ["mpw.work_orders"]
        for day, sources in days.items():
            one = date.fromisoformat(day)
            assert backfill_once(app.context(), one, one, sources=sources).failed == []
        clock.current = datetime(2023, 9, 20, tzinfo=UTC)
        poll_movements_once(app.context())
        with app.store.read() as conn:
            names = ("v_ledger", "v_purchase_orders", "v_work_orders", "v_quarantine")
            return {name: view(conn, name, order="1") for name in names}


def test_the_issuance_and_the_receipt_of_2020_are_one_entry_each(seen: dict[str, list[Record]]) -> None:
    entries = {row["api_key"]: row for row in seen["v_ledger"]}

    issuance, receipt = entries["mpw-i-43381"], entries["mpw-r-236252"]
    assert (issuance["item"], issuance["quantity"], issuance["unit_cost"]) == ("091843", -1, Decimal("9.99"))
    assert (receipt["item"], receipt["quantity"], receipt["unit_cost"]) == ("51503", 1, Decimal("11.3"))
    assert {row["occurred_on"] for row in (issuance, receipt)} == {date(2020, 9, 28)}
    assert {row["warehouse"] for row in (issuance, receipt)} == {"Warehouse #1"}


def test_the_movement_is_an_issuance_of_two_at_twenty_five(seen: dict[str, list[Record]]) -> None:
    [line] = [row for row in seen["v_ledger"] if row["system"] == "mpservices"]

    assert line["api_key"] == "mps-612f8bdbb42e42eabe455a7156dacdf5-1"
    assert (line["kind"], line["item"], line["quantity"], line["unit_cost"]) == ("issuance", "1231232", -2, 25)
    assert line["occurred_on"] == date(2023, 9, 19)


def test_the_order_and_the_work_order_are_there(seen: dict[str, list[Record]]) -> None:
    [order], [work] = seen["v_purchase_orders"], seen["v_work_orders"]

    assert (order["number"], order["status"], order["vendor_name"]) == ("1000", "requisition", "Bosch")
    assert (order["total_cost"], order["lines"]) == (585, 2)
    assert (work["system"], work["number"], work["status"]) == ("mpw", "1234567996", "Open")
    assert work["scheduled_on"] == date(2023, 7, 25)


def test_nothing_of_the_samples_is_quarantined(seen: dict[str, list[Record]]) -> None:
    assert seen["v_quarantine"] == []
