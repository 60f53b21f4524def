"""Take a real purchasing history in whole, twice, approve its requisitions, and print what the ledger says.

    .venv/bin/python -m bench.real_history FOLDER [DATABASE_URL]

FOLDER holds the AdventureWorks 2019 purchasing tables as CSV (PurchaseOrderHeader.csv,
PurchaseOrderDetail.csv, Product.csv, ProductInventory.csv, Location.csv, Vendor.csv).
"""

from __future__ import annotations

import csv
import json
import sys
import tempfile
import time
from datetime import date
from decimal import Decimal
from pathlib import Path

from sqlalchemy import text

from sync.app import App, open_app
from sync.jobs.cycle import CycleReport, work_until_idle
from sync.jobs.reports import rows
from sync.log import configure_logging
from sync.poll.backfill import backfill_once
from sync.sandbox.history import load_adventureworks
from sync.sandbox.server import Sandbox
from sync.settings import load_settings

FIRST, LAST = date(2011, 4, 30), date(2014, 10, 22)
SOURCES = ["mpw.receipts", "mpw.purchase_orders"]


def main(folder: Path, database_url: str | None) -> None:
    """Run it and print a table."""
    configure_logging("error", "console", [])
    quantity, amount = received(folder)
    with Sandbox(populate=False) as sandbox, tempfile.TemporaryDirectory() as away:
        load_adventureworks(sandbox.mpw, folder)
        settings = load_settings(
            sandbox.settings()
            | {
                "DATABASE_URL": database_url or f"sqlite:///{away}/history.db",
                "SYNC_ROUTE_APPROVALS": "push",
                "SYNC_START_DATE": FIRST.isoformat(),
            },
            dotenv=None,
        )
        with open_app(settings) as app:
            first = backfill(app)
            again = backfill(app)
            with app.store.read() as conn:
                [ledger] = rows(conn, "select count(*) as n, sum(amount_micros) as micros from v_ledger")
                [orders] = rows(conn, "select count(*) as n from v_purchase_orders")
            approve_requisitions(app)
            with app.store.read() as conn:
                [approved] = rows(conn, "select count(*) as n from v_purchase_orders where approval = 'done'")
        calls = len(sandbox.requests.of("mpw.approve"))
    say("received lines in the file", quantity)
    say("receipts in the ledger", ledger["n"])
    say("their amount in the file", amount)
    say("their amount in the ledger", Decimal(int(ledger["micros"])).scaleb(-6).quantize(Decimal("0.0001")))
    say("purchase orders", orders["n"])
    say("added by the first backfill", first)
    say("added by a second one", again)
    say("requisitions approved", approved["n"])
    say("calls that took", calls)


def received(folder: Path) -> tuple[int, Decimal]:
    """Return how many lines were stocked, and StockedQty × UnitPrice summed exactly."""
    with (folder / "PurchaseOrderDetail.csv").open(encoding="utf-8-sig", newline="") as file:
        lines = [(Decimal(row["StockedQty"]), Decimal(row["UnitPrice"])) for row in csv.DictReader(file)]
    stocked = [line for line in lines if line[0] > 0]
    return len(stocked), sum((each * price for each, price in stocked), Decimal(0)).quantize(Decimal("0.0001"))


def backfill(app: App) -> int:
    """Read all days; return how many rows were new, and say how long it took."""
    began = time.monotonic()
    done = backfill_once(app.context(), FIRST, LAST, sources=SOURCES, again=True)
    if done.failed:
        raise SystemExit(f"failed: {done.failed}")
    print(f"backfill of {(LAST - FIRST).days + 1} days: {time.monotonic() - began:.1f} s", file=sys.stderr)
    return done.counts.added


def approve_requisitions(app: App) -> None:
    """Insert an approval for each requisition, as the ERP does, and work until nothing is due."""
    with app.store.write() as conn:
        numbers = [
            row["number"] for row in rows(conn, "select number from v_purchase_orders where status='requisition'")
        ]
        conn.execute(
            text("insert into inbox (document_type, api_key, payload) values ('po_approval', :key, :payload)"),
            [
                {"key": f"ERP-PO-{n}", "payload": json.dumps({"purchase_order_number": n, "approved_by": "controller"})}
                for n in numbers
            ],
        )
    with app.leading() as leadership:
        work_until_idle(app.context(leadership), CycleReport())


def say(what: str, figure: object) -> None:
    """Print a line of the table."""
    shown = f"{figure:,}" if isinstance(figure, (int, Decimal)) else str(figure)
    print(f"{what:<30} {shown:>16}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
