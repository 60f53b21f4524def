"""Yesterday's database is put back, by the procedure of docs/upgrade.md: nothing is doubled, and people are obeyed."""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from sync.ledger.books import Books
from sync.outbox.rows import Which, discard, release
from tests.databases import url_text
from tests.e2e.world import MAIN, World, quiet_world

ANNEX = "Annex"
PARTS = ("P-1", "P-2", "P-3", "SPLIT")
OF_MPW = ("receipts", "issuances", "stock", "orders")
LOOKED_UP = {
    Which(state="held", route="transfers"): "MPW has them",
    Which(state="held", api_key="GR-2"): "it was sent, and a person deleted it in MPW",
}
"""What step 5 of the procedure has a person find out."""


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    with quiet_world(database_url, MPSERVICES_CREATE_PRODUCT_PATH="/CreateProduct") as made:
        made.sandbox.mpw.add_warehouse(ANNEX)
        yield made


@contextmanager
def backup_of(url: str, folder: Path) -> Iterator[str]:
    """Make a copy as docs/upgrade.md says, or on PostgreSQL its equal; yield the URL to work on after the restore."""
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        copy = folder / "yesterday.db"
        with closing(sqlite3.connect(path)) as conn:
            conn.execute("vacuum into ?", [str(copy)])
        yield url
        return
    name = make_url(url).database
    server = url_text(make_url(url).set(drivername="postgresql", database="postgres"))
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute(f"create database {name}_yesterday template {name}")
        try:
            yield url_text(make_url(url).set(database=f"{name}_yesterday"))
        finally:
            conn.execute(f"drop database {name}_yesterday with (force)")


def put_back(url: str, folder: Path) -> None:
    """Step 2 of the procedure on SQLite; on PostgreSQL the other database is used."""
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        shutil.copyfile(folder / "yesterday.db", path)
        for left in ("-wal", "-shm"):
            path.with_name(path.name + left).unlink(missing_ok=True)


def effects(world: World) -> dict[str, Any]:
    """Return what both vendors hold."""
    mpw, mpservices = world.sandbox.mpw, world.sandbox.mpservices
    receipts = [row for row in mpw.receipt_by_id.values() if row.listed]
    return {
        "receipts": Counter((row.api_key, row.part.part_number, row.received) for row in receipts),
        "issuances": Counter((row.api_key, row.part.part_number, row.quantity) for row in mpw.issuance_by_id.values()),
        "stock": {place: part.quantity for place, part in mpw.parts.items()},
        "orders": {number: order.status.casefold() for number, order in mpw.orders.items()},
        "mpservices": {part: mpservices.stock(part) for part in PARTS},
    }


Document = tuple[str, str, dict[str, Any]]


def issuance(key: str, part: str, quantity: int, today: str) -> Document:
    fields = {"part_number": part, "warehouse_name": MAIN, "quantity": quantity, "created_on": today}
    return "issuance", key, fields


def receipt(key: str, part: str, quantity: int, today: str) -> Document:
    fields = {"part_number": part, "warehouse_name": MAIN, "quantity_received": quantity, "unit_cost": "9"}
    return "receipt", key, fields | {"created_on": today}


def transfer(key: str, part: str, quantity: int) -> Document:
    return (
        "transfer",
        key,
        {
            "part_number": part,
            "warehouse_name": MAIN,
            "destination_warehouse_name": ANNEX,
            "quantity": quantity,
        },
    )


def approval(key: str, number: int) -> Document:
    return "po_approval", key, {"purchase_order_number": str(number), "approved_by": "ann"}


def insert(world: World, documents: list[Document]) -> None:
    for document_type, key, payload in documents:
        world.erp_inserts(document_type, key, **payload)


def before_the_backup(world: World) -> None:
    """Some pushes are done, and some of each kind are derived and held: the backup has not sent them yet."""
    mpw, mpservices, today = world.sandbox.mpw, world.sandbox.mpservices, world.sandbox.mpw.today().isoformat()
    for number in (1000, 1001):
        mpw.add_order(number, vendor_name="Bosch", warehouse_name=MAIN, lines=[("P-1", 5, "7")])
    mpw.add_part("SPLIT", MAIN)
    mpservices.add_product("SPLIT", stock=12, cost="50")
    for quantity in (4, 3, 5):
        mpw.person_receives("SPLIT", MAIN, quantity, "50", mpw.today())
    mpservices.person_moves("Inbound", "P-1", 7, "11.5")
    mpservices.person_moves("Outbound", "P-2", 4, "10")
    insert(world, [receipt("GR-0", "P-3", 2, today), receipt("GR-void", "P-2", 6, today)])
    world.settle()

    world.routes = "hold"
    mpservices.person_moves("Inbound", "P-3", 2, "10")
    mpservices.person_moves("Outbound", "P-3", 1, "10")
    mpservices.person_moves("Outbound", "SPLIT", 10, "50")
    insert(world, [transfer("T-0", "P-2", 3), approval("A-0", 1000), ("void", "GR-void", {"kind": "receipt"})])
    mpw.person_receives("P-1", MAIN, 20, "12", mpw.today())
    world.cycle()
    assert len(world.view("v_outbox", state="held")) >= 6


def after_the_backup(world: World) -> list[Document]:
    """What was held is sent, much more happens, and people act; return what the ERP inserted meanwhile."""
    mpw, mpservices, today = world.sandbox.mpw, world.sandbox.mpservices, world.sandbox.mpw.today().isoformat()
    world.routes = "push"
    with world.app() as app, app.store.write() as conn:
        release(Books(conn, now=app.clock.now()), Which(state="held"))
    world.settle()
    documents = [
        receipt("GR-1", "P-1", 5, today),
        receipt("GR-2", "P-2", 8, today),
        issuance("GI-1", "P-2", 2, today),
        issuance("GI-split", "P-1", 115, today),
        transfer("T-1", "P-3", 4),
        approval("A-1", 1001),
        ("void", "GR-0", {"kind": "receipt"}),
    ]
    mpservices.person_moves("Inbound", "P-2", 9, "10")
    mpservices.person_moves("Outbound", "P-3", 2, "10")
    mpw.person_receives("P-2", MAIN, 11, "12", mpw.today())
    insert(world, documents)
    world.settle()
    world.settle()
    assert not world.view("v_outbox", state=["held", "ready", "sending", "unknown"])
    by_key = {row.api_key: row for row in mpw.receipt_by_id.values()}
    mpw.person_deletes_receipt(by_key["GR-2"].id)
    # Room for each split issuance whole in the current receipt: a post of the parent's key would now be accepted.
    mpw.person_receives("SPLIT", MAIN, 500, "50", mpw.today() - timedelta(days=70))
    mpw.person_receives("P-1", MAIN, 500, "12", mpw.today() - timedelta(days=70))
    return documents


def test_nothing_is_doubled_after_yesterdays_database_was_put_back(world: World, tmp_path: Path) -> None:
    before_the_backup(world)
    with backup_of(world.database_url, tmp_path) as restored_url:
        documents = after_the_backup(world)
        there = effects(world)
        put_back(world.database_url, tmp_path)
        restored = replace(world, database_url=restored_url, routes="hold")
        restored.extra = dict(world.extra) | {"SYNC_PUSH_FROM": world.clock.now().isoformat()}
        written = restored.writes()

        for _ in range(3):
            restored.cycle()
        insert(restored, documents)
        for _ in range(2):
            restored.cycle()
        assert restored.writes() == written
        assert effects(restored) == there

        with restored.app() as app, app.store.write() as conn:
            now = app.clock.now()
            for which, why in LOOKED_UP.items():
                assert discard(Books(conn, now=now), which, by="ann", why=why) > 0
            release(Books(conn, now=now), Which(state="held"))
        restored.routes = "push"
        for _ in range(4):
            restored.cycle()

        now_there = effects(restored)
        assert {name: now_there[name] for name in OF_MPW} == {name: there[name] for name in OF_MPW}
        assert now_there["mpservices"] == {part: now_there["stock"][(MAIN, part)] for part in PARTS}
        assert not restored.view("v_outbox", state=["held", "ready", "sending", "unknown", "dead"])
        assert {kind for kind, _ in restored.open_exceptions()} == {"deleted_in_mpw"}
        [split] = restored.view("v_outbox", api_key="GI-split")
        assert (split["state"], split["attempts"]) == ("done", 0)
        assert [row["matched"] for row in restored.view("v_events", api_key=["GI-1", "GI-split", "GR-1"])] == [1, 1, 1]

        restored.sandbox.mpservices.person_moves("Inbound", "P-1", 3, "10")
        restored.settle()
        assert restored.sandbox.mpw.stock("P-1", MAIN) == there["stock"][(MAIN, "P-1")] + 3
