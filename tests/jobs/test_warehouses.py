"""A warehouse that MPW does not have is named, before everything that goes there is refused."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from sync.__main__ import main
from sync.database import schema
from sync.database.engine import Store
from sync.jobs.reports import warehouses_not_shown
from tests.views.story import NOON, TODAY, add


def known(store: Store) -> None:
    document = {"system": "mpw", "type": "receipt", "source": "mpw.receipts", "day": TODAY, "raw": "{}", "digest": "d"}
    seen = {"remote_id": "1", "warehouse": "Warehouse #1", "first_seen_at": NOON, "last_seen_at": NOON}
    with store.write() as conn:
        add(conn, schema.documents, {**document, **seen})


def test_a_warehouse_of_the_settings_and_one_of_the_map_are_named(store: Store) -> None:
    known(store)
    with store.write() as conn:
        for number in range(3):
            item = {"external_id": f"E-{number}", "part_number": f"P-{number}"}
            add(conn, schema.items, {**item, "factor": Decimal(1)})
            add(conn, schema.item_warehouses, {**item, "warehouse": "Yard", "position": 0})

    with store.read() as conn:
        found = warehouses_not_shown(conn, "Warehouse 1")

    assert found == [
        "MPW_WAREHOUSE names the warehouse 'Warehouse 1', which MPW has never shown: did you mean 'Warehouse #1'?",
        "the item map (E-0 and 2 more) names the warehouse 'Yard', which MPW has never shown: it has shown"
        " 'Warehouse #1'",
    ]


def test_what_mpw_has_shown_is_not_named_nor_anything_before_it_has_shown_one(store: Store) -> None:
    with store.read() as conn:
        assert warehouses_not_shown(conn, "Warehouse #1") == []
    known(store)
    with store.read() as conn:
        assert warehouses_not_shown(conn, "Warehouse #1") == []
        assert warehouses_not_shown(conn, None) == []


def test_an_import_of_the_map_names_it(
    store: Store, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known(store)
    monkeypatch.setenv("DATABASE_URL", database_url)
    file = tmp_path / "items.csv"
    file.write_text("external_id,part_number,warehouses,factor\nE-1,P-1,Warehouse 1,1\n")

    assert main(["items", "import", str(file)]) == 0

    assert "names the warehouse 'Warehouse 1', which MPW has never shown" in capsys.readouterr().err
