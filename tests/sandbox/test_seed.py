"""The seeded data: the same for the same seed, and fit to be synchronised."""

from __future__ import annotations

import itertools
from datetime import timedelta

import httpx
import pytest

from sync.sandbox.activity import Activity
from sync.sandbox.mpservices import movement_row
from sync.sandbox.mpw_rows import issuance_row, order_row, receipt_row
from sync.sandbox.seed import MAIN, SPLIT_PART
from sync.sandbox.server import Sandbox
from tests.sandbox.conftest import StillClock


def content(sandbox: Sandbox) -> list[object]:
    mpw, mpservices = sandbox.mpw, sandbox.mpservices
    return [
        [receipt_row(row) for row in mpw.receipt_by_id.values()],
        [issuance_row(row) for row in mpw.issuance_by_id.values()],
        [order_row(row) for row in mpw.orders.values()],
        [movement_row(row) for row in mpservices.all_movements],
        [(item.external_id, item.stock) for item in mpservices.products],
    ]


def test_the_same_seed_gives_the_same_data_and_another_seed_other_data(clock: StillClock) -> None:
    assert content(Sandbox(seed=1, clock=clock)) == content(Sandbox(seed=1, clock=clock))
    assert content(Sandbox(seed=1, clock=clock)) != content(Sandbox(seed=2, clock=clock))


@pytest.mark.parametrize(("seed", "days"), [*itertools.product((1, 2, 3), (30,)), (1, 1), (1, 3)])
def test_every_seeded_movement_can_be_posted_to_mpw(clock: StillClock, seed: int, days: int) -> None:
    sandbox = Sandbox(seed=seed, days=days, clock=clock)
    mpw = sandbox.mpw

    for movement in sorted(sandbox.mpservices.all_movements, key=lambda item: item.created_at):
        for line in movement.lines:
            part = mpw.part(line.product.external_id or "", MAIN)
            assert part is not None
            if movement.type == "Outbound":
                mpw.person_issues(part.part_number, MAIN, line.quantity)


def test_one_outbound_exceeds_the_current_receipt_and_not_the_stock(clock: StillClock) -> None:
    sandbox = Sandbox(clock=clock)
    part = sandbox.mpw.parts[(MAIN, SPLIT_PART)]
    taken = [
        line.quantity
        for movement in sandbox.mpservices.all_movements
        for line in movement.lines
        if line.product.external_id == SPLIT_PART
    ]

    assert [layer.remaining for layer in part.layers] == [4, 3, 5]
    assert taken == [10]


def test_it_has_what_a_first_look_needs(clock: StillClock) -> None:
    sandbox = Sandbox(clock=clock)
    mpw, mpservices, today = sandbox.mpw, sandbox.mpservices, clock.now().date()
    orders = list(mpw.orders.values())

    assert set(mpw.warehouses) == {"Warehouse #1", "WH2"}
    assert 10 <= len(mpw.parts) <= 14
    assert len(mpw.receipts_by_day[today]) >= 1
    assert min(mpw.receipts_by_day) == today - timedelta(days=29)
    assert {receipt.api_key for receipt in mpw.receipt_by_id.values()} == {None}
    assert len(orders) == 10
    assert sum(order.status == "requisition" and order.vendor is not None for order in orders) >= 3
    assert all(order.lines for order in orders)
    assert {movement.type for movement in mpservices.all_movements} == {"Inbound", "Outbound"}
    assert sorted(len(movement.lines) for movement in mpservices.all_movements)[-2:] == [1, 2]
    assert "Folio-198" in {movement.reference for movement in mpservices.all_movements}
    assert len(mpservices.movements()[1]) == len(mpservices.all_movements)
    assert len(mpservices.work_orders()[1]) == 4


def test_the_stocks_meet_once_both_sides_know_everything(clock: StillClock) -> None:
    """A product's stock differs from MPW's by its own movements and by what MPW's people did today, by nothing else."""
    sandbox = Sandbox(clock=clock)
    mpw, mpservices, today = sandbox.mpw, sandbox.mpservices, clock.now().date()

    for product in mpservices.products:
        number = product.external_id or ""
        moved = sum(
            (line.quantity if movement.type == "Inbound" else -line.quantity)
            for movement in mpservices.all_movements
            for line in movement.lines
            if line.product is product
        )
        part = mpw.parts[(MAIN, number)]
        received = sum(row.received for row in mpw.receipts_by_day[today].values() if row.part is part)
        issued = sum(row.quantity for row in mpw.issuances_by_day.get(today, {}).values() if row.part is part)
        assert product.stock - moved == part.quantity - received + issued


def test_people_at_work_change_both_systems_and_never_take_more_than_there_is(clock: StillClock) -> None:
    sandbox = Sandbox(clock=clock)
    before = content(sandbox)
    activity = Activity(sandbox.mpw, sandbox.mpservices, seed=5)

    said = [activity.step() for _ in range(500)]

    after = content(sandbox)
    assert [old != new for old, new in zip(before, after, strict=True)] == [True] * 5
    assert any(text.startswith("MPW") for text in said)
    assert any(text.startswith("MPservices") for text in said)
    assert all(part.quantity >= 0 for part in sandbox.mpw.parts.values())
    assert all(product.stock >= 0 for product in sandbox.mpservices.products)


def test_a_running_sandbox_has_people_at_work() -> None:
    with Sandbox(activity_per_minute=60_000) as running:
        count = len(running.mpw.receipt_by_id) + len(running.mpservices.all_movements)
        for _ in range(200):
            httpx.get(running.mpservices_url)
            if len(running.mpw.receipt_by_id) + len(running.mpservices.all_movements) > count:
                break

    assert len(running.mpw.receipt_by_id) + len(running.mpservices.all_movements) > count
