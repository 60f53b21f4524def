"""A power cut keeps what was synced and nothing that was not: every acknowledged commit is still there afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.durability.powercut import PowerCuts, require_a_disk, witnessed
from tests.e2e.world import MAIN, World, quiet_world

SEEDS = range(1, 1 + int(os.environ.get("SYNC_TEST_POWER_CUT_SEEDS", "1")))
"""Each draws other points at which the power goes; a night may take many."""


def a_day_of_work(world: World) -> None:
    """Push receipts, issuances, one of them in parts, patches, an approval, a transfer, a new part and a deletion."""
    mpw, mpservices = world.sandbox.mpw, world.sandbox.mpservices
    today = mpw.today().isoformat()
    mpw.add_order(1000, vendor_name="Bosch", warehouse_name=MAIN, lines=[("P-1", 5, "7")])
    mpw.add_warehouse("Annex")
    mpservices.person_moves("Inbound", "P-1", 7, "11.5")
    mpservices.person_moves("Outbound", "P-2", 4, "10")
    world.erp_inserts("po_approval", "A-1", purchase_order_number="1000", approved_by="ann")
    world.erp_inserts(
        "receipt",
        "GR-1",
        part_number="P-3",
        warehouse_name=MAIN,
        quantity_received="2",
        unit_cost="9",
        created_on=today,
    )
    world.cycle()
    mpw.person_receives("P-1", MAIN, 20, "12", mpw.today())
    world.erp_inserts(
        "transfer", "T-1", part_number="P-2", warehouse_name=MAIN, destination_warehouse_name="Annex", quantity=2
    )
    world.erp_inserts("issuance", "GI-1", part_number="P-1", warehouse_name=MAIN, quantity=110, created_on=today)
    world.cycle()
    world.erp_inserts("void", "GR-1", kind="receipt")
    world.cycle()


def cut_at_work(tmp_path: Path, url: str, *, seed: int, synchronous: str = "FULL") -> PowerCuts:
    """Do a day of work on a disk that is cut off after each commit and at random points between."""
    database = Path(url.removeprefix("sqlite:///"))
    with (
        quiet_world(url) as world,
        witnessed(database, tmp_path / "after", seed=seed, share=0.15, synchronous=synchronous) as witness,
    ):
        world.cycle()
        witness.begin()
        a_day_of_work(world)
        found = witness.end()
        assert world.writes().count("mpw.post_receipt") == 2
        return found


@pytest.fixture(autouse=True)
def _a_disk() -> None:
    require_a_disk()


@pytest.mark.parametrize("seed", SEEDS)
def test_no_acknowledged_commit_is_lost_and_no_write_leaves_without_a_durable_attempt(
    tmp_path: Path, sqlite_url: str, seed: int
) -> None:
    found = cut_at_work(tmp_path, sqlite_url, seed=seed)
    print(found)

    assert (found.lost, found.unannounced, found.torn) == ([], [], [])
    assert found.commits > 50
    assert found.cuts > 50
    assert found.vendor_writes >= 6


def test_synchronous_normal_would_lose_commits_and_let_writes_leave_unannounced(
    tmp_path: Path, sqlite_url: str
) -> None:
    found = cut_at_work(tmp_path, sqlite_url, seed=1, synchronous="NORMAL")

    assert len(found.lost) > found.commits / 2
    assert len(found.unannounced) > found.vendor_writes / 2
