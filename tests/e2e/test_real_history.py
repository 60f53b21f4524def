"""A real purchasing history, taken in whole: see the README's "Run on real data"."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from sync.sandbox.history import load_adventureworks
from sync.sandbox.server import Sandbox
from tests.e2e.world import World

FOLDER = Path(__file__).parents[2].parent / "shared" / "data" / "adventureworks"
FIRST, LAST = date(2011, 4, 30), date(2014, 10, 22)

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the AdventureWorks data is not beside this checkout")


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    with Sandbox(populate=False) as sandbox:
        load_adventureworks(sandbox.mpw, FOLDER)
        yield World(sandbox, database_url, extra={"SYNC_START_DATE": FIRST.isoformat(), "MPW_CONCURRENCY": "4"})


def received_lines() -> list[tuple[Decimal, Decimal]]:
    with (FOLDER / "PurchaseOrderDetail.csv").open(encoding="utf-8-sig", newline="") as file:
        lines = [(Decimal(row["StockedQty"]), Decimal(row["UnitPrice"])) for row in csv.DictReader(file)]
    return [line for line in lines if line[0] > 0]


def backfill(world: World) -> dict[str, int]:
    from sync.poll.backfill import backfill_once

    with world.app() as app:
        report = backfill_once(app.context(), FIRST, LAST, sources=["mpw.receipts", "mpw.purchase_orders"], again=True)
    assert report.failed == []
    return report.counts.as_dict()


def test_every_received_line_and_order_is_taken_in_exactly_and_a_second_backfill_adds_nothing(world: World) -> None:
    lines = received_lines()

    first = backfill(world)
    again = backfill(world)

    [ledger] = world.query("select count(*) as n, sum(amount_micros) as micros from v_ledger where kind = 'receipt'")
    assert ledger["n"] == len(lines)
    assert Decimal(int(ledger["micros"])) / 10**6 == sum(quantity * price for quantity, price in lines)
    assert world.query("select count(*) as n from v_purchase_orders") == [{"n": 4012}]
    assert first["quarantined"] == again["quarantined"] == 0
    assert (again["added"], again["changed"], again["voided"]) == (0, 0, 0)


def test_approving_the_requisitions_takes_five_calls(world: World) -> None:
    from sync.jobs.cycle import CycleReport, work_until_idle

    with world.app() as app:
        from sync.poll.backfill import backfill_once

        backfill_once(app.context(), FIRST, LAST, sources=["mpw.purchase_orders"], again=False)
    requisitions = world.view("v_purchase_orders", status="requisition")
    for order in requisitions:
        world.erp_inserts("po_approval", f"A-{order['number']}", purchase_order_number=order["number"], approved_by="x")

    with world.app() as app, app.leading() as leadership:
        work_until_idle(app.context(leadership), CycleReport())

    assert len(requisitions) == 225
    assert len(world.sandbox.requests.of("mpw.approve")) == 5
    assert not [order for order in world.sandbox.mpw.orders.values() if order.status.casefold() == "requisition"]
    assert {row["approval"] for row in world.view("v_purchase_orders") if row["approval"]} == {"done"}
    assert [row for row in world.view("v_outbox") if row["state"] != "done"] == []


def test_the_days_of_the_history_are_all_covered(world: World) -> None:
    backfill(world)

    covered = world.query("select count(*) as n from v_coverage where source = 'mpw.receipts' and complete = 1")
    assert covered == [{"n": (LAST - FIRST + timedelta(days=1)).days}]
