"""What `import` and `items` say of a file: what was found, what was taken, and how they end."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, insert, select

from sync.__main__ import main
from sync.database import schema
from sync.database.engine import Store
from sync.ledger.books import Books
from sync.reconcile.item_map import FILE_COLUMNS, ItemMapping
from sync.reconcile.item_rows import import_items, load_map
from sync.values.cells import as_written, neutralised, number_cell

RECEIPTS = "api_key;part_number;warehouse_name;quantity_received;unit_cost;created_on;buyer\n"
NOW = datetime(2024, 3, 15, 12, tzinfo=UTC)


@pytest.fixture
def store(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Store]:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("MPW_WAREHOUSE", "WH1")
    monkeypatch.chdir(tmp_path)
    store = Store(database_url)
    yield store
    store.close()


def counted(store: Store) -> list[int]:
    tables = (schema.inbox, schema.documents, schema.ledger_entries, schema.movement_lines, schema.items, schema.runs)
    with store.read() as conn:
        return [conn.execute(select(func.count()).select_from(table)).scalar_one() for table in tables]


def test_an_import_says_how_the_file_was_read_and_which_columns_were_not(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("in.csv").write_bytes((RECEIPTS + "k-1;P-1;WH1;1.234,5;2;15.03.2024;Jürgen\n").encode("cp1252"))

    code = main(["import", "in.csv", "--type", "receipt", "--json"])

    said = capsys.readouterr()
    report = json.loads(said.out)
    assert code == 0
    assert report["accepted"] == 1
    assert report["found"] == {
        "encoding": "Windows-1252",
        "separator": "semicolon",
        "header": "line 1",
        "numbers": "comma",
        "dates": "dmy",
    }
    assert report["unknown_columns"] == ["buyer"]
    assert "no such column is known: 'buyer'" in said.err
    with store.read() as conn:
        entry = conn.execute(select(schema.ledger_entries.c.quantity, schema.ledger_entries.c.occurred_on)).one()
    assert (entry.quantity, entry.occurred_on.isoformat()) == (Decimal("1234.5"), "2024-03-15")


@pytest.mark.parametrize("arguments", [["import", "FILE", "--type", "receipt"], ["items", "import", "FILE"]])
@pytest.mark.parametrize(
    ("content", "what"),
    [(b"", "is empty"), (b"%PDF-1.7", "is a PDF"), (b"<html><table>", "is an HTML page"), (None, "is a folder")],
)
def test_something_else_ends_with_1_in_one_sentence(
    store: Store, capsys: pytest.CaptureFixture[str], arguments: list[str], content: bytes | None, what: str
) -> None:
    file = Path("file.xls")
    file.mkdir() if content is None else file.write_bytes(content)

    code = main([str(file) if one == "FILE" else one for one in arguments])

    said = capsys.readouterr()
    assert code == 1
    assert said.err.splitlines()[-1 if "hint:" not in said.err else -2].startswith(f"error: file.xls {what}")
    assert "accepted" not in said.out


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        ("receipt", RECEIPTS + "k-1;P-1;WH1;5;2;2024-03-15;\nk-1;P-1;WH1;5;2;2024-03-15;\nk-2;;WH1;5;2;2024-03-15;\n"),
        (
            "movement",
            "id,type,createdAt,quantity,cost,item_external_id\nm-1,Inbound,2024-03-15T09:00:00Z,5,2,P-1\n"
            "m-2,Sideways,2024-03-15T09:00:00Z,5,2,P-1\n",
        ),
    ],
)
def test_a_dry_run_shows_what_would_be_taken_and_writes_nothing(
    store: Store, capsys: pytest.CaptureFixture[str], type_: str, text: str
) -> None:
    Path("in.csv").write_text(text)
    before = counted(store)

    code = main(["import", "in.csv", "--type", type_, "--dry-run", "--json"])

    tried = json.loads(capsys.readouterr().out)
    assert code == 1
    assert counted(store) == before
    assert tried["documents"][0]["quantity" if type_ == "movement" else "quantity_received"] == "5"
    main(["import", "in.csv", "--type", type_, "--json"])
    done = json.loads(capsys.readouterr().out)
    for name in ("accepted", "unchanged", "rejected", "found"):
        assert tried[name] == done[name]


def test_a_dry_run_of_many_lines_counts_a_key_that_comes_again_once(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"k-{n % 600};P-1;WH1;5;2;2024-03-15;\n" for n in range(1200)]
    Path("in.csv").write_text(RECEIPTS + "".join(lines))

    assert main(["import", "in.csv", "--type", "receipt", "--dry-run", "--json"]) == 0

    tried = json.loads(capsys.readouterr().out)
    assert (tried["accepted"], tried["unchanged"]) == (600, 600)


# --- the item map -------------------------------------------------------------------------


def mapped(store: Store, *mappings: ItemMapping) -> None:
    with store.write() as conn:
        import_items(Books(conn, now=NOW), mappings)


def stored(store: Store) -> dict[str, ItemMapping]:
    with store.read() as conn:
        return load_map(conn)


def moved(store: Store, external_id: str) -> None:
    values: dict[str, Any] = {
        "movement_id": f"m-{external_id}",
        "n": 1,
        "api_key": f"mps-{external_id}-1",
        "digest": "d",
        "external_id": external_id,
        "quantity": 1,
        "unit_cost": 1,
        "created_at": NOW,
        "place": 0,
        "single": True,
        "role": "event",
    }
    with store.write() as conn:
        conn.execute(insert(schema.movement_lines).values(**values))


def in_mpw(store: Store, part: str, warehouse: str) -> None:
    values = {
        "system": "mpw",
        "type": "receipt",
        "remote_id": f"{part}{warehouse}",
        "source": "mpw.receipts",
        "raw": "",
    }
    with store.write() as conn:
        conn.execute(
            insert(schema.documents).values(
                **values, digest="d", item=part, warehouse=warehouse, first_seen_at=NOW, last_seen_at=NOW
            )
        )


def test_what_is_exported_is_read_back_unchanged_whatever_a_spreadsheet_would_run(store: Store) -> None:
    names = ["=1+1", "+A1", "-2+3", "@x", "'=x", "''-x", "-5", "51503 ", "51503\u00a0", "O'Neill", "x=1", "' a"]
    mappings = [ItemMapping(name, name, ("WH1", "=2"), Decimal("1.125")) for name in names]
    mapped(store, *mappings)
    before = stored(store)

    assert main(["items", "export", "out.csv"]) == 0
    cells = [cell for row in csv.reader(io.StringIO(Path("out.csv").read_text())) for cell in row]
    assert [cell for cell in cells if cell[:1] in ("=", "+", "-", "@")] == ["-5", "-5"]
    mapped(store, ItemMapping("other", "other", ("WH1",)))
    assert main(["items", "import", "out.csv"]) == 0

    assert stored(store) == before


@given(st.text(st.sampled_from("=+-@'\t\ra1."), max_size=6))
def test_every_text_comes_back_from_its_cell(text: str) -> None:
    cell = neutralised(text)

    assert as_written(cell) == text
    assert cell[:1] not in ("=", "+", "-", "@", "\t", "\r") or Decimal(cell) is not None


def test_a_number_is_written_so_that_it_is_told_by_itself() -> None:
    assert [number_cell(Decimal(text)) for text in ("1.125", "0.125", "12", "1.5", "-2.5", "1234.125")] == [
        "1.1250",
        "0.125",
        "12",
        "1.5",
        "-2.5",
        "1234.125",
    ]


def test_a_fresh_system_exports_the_items_that_movements_named_with_the_parts_of_their_names(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    for item in ("51503", "OIL-BOX"):
        moved(store, item)
    in_mpw(store, "51503", "WH0")
    in_mpw(store, "51503", "WH1")

    assert main(["items", "export", "out.csv"]) == 0

    rows = list(csv.reader(io.StringIO(Path("out.csv").read_text())))
    assert rows == [list(FILE_COLUMNS.kinds), ["51503", "51503", "WH1;WH0", "1", ""], ["OIL-BOX", "", "", "", ""]]
    assert "2 items that movements named are not mapped; 1 have no part number yet" in capsys.readouterr().err
    assert main(["items", "import", "out.csv"]) == 0
    assert stored(store) == {"51503": ItemMapping("51503", "51503", ("WH1", "WH0"))}
    assert "1 items have no part number yet, and are not mapped" in capsys.readouterr().err


def test_an_export_says_where_nothing_is_known_yet_and_what_the_map_lacks(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["items", "export", "out.csv"]) == 0
    assert "no movement has named an item yet" in capsys.readouterr().err

    mapped(store, ItemMapping("a", "P-1", ("WH1",)))
    moved(store, "P-1")
    in_mpw(store, "P-1", "WH1")
    assert main(["items", "export", "out.csv"]) == 0
    assert "1 items that movements named are not in the map: --unmapped adds them" in capsys.readouterr().err
    assert main(["items", "export", "out.csv", "--unmapped"]) == 0
    assert Path("out.csv").read_text().splitlines()[2] == "P-1,,,,", "the part of that name is another item's"


def test_a_map_may_be_tried(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    Path("in.csv").write_text("External ID;Part number;Factor\na;P-1;1,5\n")

    assert main(["items", "import", "in.csv", "--dry-run", "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["added"] == 1
    assert stored(store) == {}
    assert main(["items", "import", "in.csv"]) == 0
    assert stored(store) == {"a": ItemMapping("a", "P-1", ("WH1",), Decimal("1.5"))}


def test_an_item_to_be_ignored_is_imported_exported_and_counted(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("in.csv").write_text("external_id,part_number,warehouses,factor,ignore\nX,P-1,WH1,2,\nCOFFEE,,,,yes\n")

    assert main(["items", "import", "in.csv", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert main(["items", "export", "out.csv"]) == 0

    assert (report["items"], report["ignored"], report["errors"]) == (2, 1, [])
    assert sorted(Path("out.csv").read_text().splitlines()[1:]) == ["COFFEE,,,,yes", "X,P-1,WH1,2,"]
    capsys.readouterr()
    assert main(["items", "import", "out.csv", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["added"], again["changed"], again["removed"]) == (0, 0, 0)
