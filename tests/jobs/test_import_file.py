"""Importing files: every line accepted or rejected with its number, and the same file twice changes nothing."""

from __future__ import annotations

import json
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select

from sync.database.engine import Store
from sync.database.schema import documents, inbox, ledger_entries, movement_lines
from sync.errors import ConfigError, FileNotTakenError
from sync.inbox.files.reading import open_file
from sync.inbox.rules import columns_of
from sync.jobs.import_file import ImportReport, import_file
from tests.clocks import FakeClock
from tests.worlds.reconcile_world import MAIN, RECEIPT, World, keys, make_world

RECEIPTS = f"""api_key,part_number,warehouse_name,quantity_received,unit_cost,created_on,vendor_name
erp-1,P-1,{MAIN},5,9.99,2024-03-15,Bosch
erp-2,P-1,{MAIN},0.5,1,2024-03-15,
"""
MOVEMENTS = """id,type,createdAt,reference,item_external_id,item_id,quantity,cost,unit,item
m-1,Inbound,2024-03-15T09:00:00.000Z,Folio-1,P-1,001,2,25,Pieces,Bolt
m-2,Outbound,2024-03-15T10:00:00.000Z,,,P-1,1,25,Pieces,Bolt
m-1,Inbound,2024-03-15T09:00:00.000Z,Folio-1,P-2,002,3,1,Pieces,Nut
"""


@pytest.fixture
def world(store: Store, clock: FakeClock) -> World:
    made = make_world(store, clock)
    made.mpw.adds("P-2", MAIN)
    return made


def write(folder: Path, text: str | bytes, name: str = "file.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def counted(world: World) -> dict[str, int]:
    """Return how many rows the tables have that an import writes."""
    tables = (inbox, documents, ledger_entries, movement_lines)
    with world.store.read() as conn:
        return {table.name: conn.execute(select(func.count()).select_from(table)).scalar_one() for table in tables}


def outcome(report: ImportReport) -> tuple[int, int, list[int]]:
    return report.accepted, report.unchanged, [line for line, _ in report.rejected]


def test_each_line_of_a_csv_file_is_a_document(world: World, tmp_path: Path) -> None:
    report = import_file(world.ctx, write(tmp_path, "\ufeff" + RECEIPTS), "receipt")
    world.reconcile()

    assert outcome(report) == (2, 0, [])
    assert world.rows() == [("accepted", None)] * 2
    assert keys(world.pushes()) == [("post_receipt", f"erp-{n}", "ready") for n in (1, 2)]
    assert '"vendor_name":"Bosch"' in world.pushes()[0].payload
    assert "vendor_name" not in world.pushes()[1].payload


def test_the_same_file_twice_changes_nothing(world: World, tmp_path: Path) -> None:
    path = write(tmp_path, RECEIPTS + "erp-3,,,,,,\n")
    import_file(world.ctx, path, "receipt")
    before = counted(world)

    report = import_file(world.ctx, path, "receipt")

    assert outcome(report) == (0, 2, [4])
    assert counted(world) == before


def test_wrong_lines_are_named_and_the_others_land(world: World, tmp_path: Path) -> None:
    lines = [
        json.dumps(RECEIPT | {"api_key": "erp-1", "unit_cost": 9.99}),
        "",
        "{not json",
        "[1]",
        json.dumps(RECEIPT),
        json.dumps(RECEIPT | {"api_key": "erp-1", "quantity_received": 6}),
        json.dumps(RECEIPT | {"api_key": "erp-2"}),
    ]

    report = import_file(world.ctx, write(tmp_path, "\n".join(lines), "file.jsonl"), "receipt")

    assert outcome(report) == (2, 0, [3, 4, 5, 6])
    reasons = dict(report.rejected)
    assert "no JSON" in reasons[3]
    assert "api_key" in reasons[5]
    assert "other content" in reasons[6]
    assert counted(world)["documents"] == 2


def test_jsonl_is_known_by_its_first_character_where_the_name_says_nothing(world: World, tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps(RECEIPT | {"api_key": "erp-1"}), "export")

    assert outcome(import_file(world.ctx, path, "receipt")) == (1, 0, [])


def test_numbers_in_jsonl_keep_every_digit(world: World, tmp_path: Path) -> None:
    text = json.dumps(RECEIPT | {"api_key": "erp-1"}).replace('"9.99"', "0.100001")
    import_file(world.ctx, write(tmp_path, text, "file.jsonl"), "receipt")

    world.reconcile()

    assert '"unit_cost":0.100001' in world.push().payload


def test_bytes_that_are_no_text_spoil_their_line_only(world: World, tmp_path: Path) -> None:
    text = RECEIPTS.replace("Bosch", "Müller").encode()
    path = write(tmp_path, text + b"erp-3,P-\xff,W,1,1,2024-03-15,\n" + b"erp-4,P-1,W,1,1,2024-03-15,\n")

    assert outcome(import_file(world.ctx, path, "receipt")) == (3, 0, [4])


def test_a_line_with_too_many_values_and_a_quoted_line_break_keep_the_count(world: World, tmp_path: Path) -> None:
    text = "api_key,part_number,warehouse_name,quantity,created_on,description\n"
    text += 'k1,P-1,W,1,2024-03-15,"two\nlines"\n'
    text += "k2,P-1,W,1,2024-03-15,one,more\n\n"
    text += "k3,P-1,W,1,2024-03-15\n"

    report = import_file(world.ctx, write(tmp_path, text), "issuance")

    assert outcome(report) == (2, 0, [4])


def test_a_file_that_is_not_there_or_has_no_type_says_so(world: World, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        import_file(world.ctx, tmp_path / "none.csv", "receipt")
    with pytest.raises(ConfigError, match="unknown document type receipts"):
        import_file(world.ctx, write(tmp_path, RECEIPTS), "receipts")
    with pytest.raises(FileNotTakenError, match="has no header"):
        import_file(world.ctx, write(tmp_path, "a,a\n1,2\n"), "receipt")


# --- movements ----------------------------------------------------------------------------


def test_lines_of_one_id_are_one_movement_even_apart(world: World, tmp_path: Path) -> None:
    report = import_file(world.ctx, write(tmp_path, MOVEMENTS), "movement")

    assert outcome(report) == (3, 0, [])
    with world.store.read() as conn:
        rows = conn.execute(select(movement_lines).order_by(movement_lines.c.movement_id, movement_lines.c.n))
        found = [(row.movement_id, row.n, row.external_id, row.single) for row in rows]
    assert found == [("m-1", 1, "P-1", False), ("m-1", 2, "P-2", False), ("m-2", 1, "P-1", True)]


def test_imported_movements_are_recorded_and_not_pushed(world: World, tmp_path: Path) -> None:
    import_file(world.ctx, write(tmp_path, MOVEMENTS), "movement")

    world.reconcile()

    assert world.pushes() == []
    assert counted(world)["ledger_entries"] == 3


def test_imported_movements_are_pushed_where_that_is_asked_for_even_later(world: World, tmp_path: Path) -> None:
    path = write(tmp_path, MOVEMENTS)
    import_file(world.ctx, path, "movement")
    world.reconcile()

    again = import_file(world.ctx, path, "movement", push=True)
    world.reconcile()

    assert outcome(again) == (0, 3, [])
    assert sorted(row.api_key for row in world.pushes()) == ["mps-m1-1", "mps-m1-2", "mps-m2-1"]


def test_the_cut_holds_for_imported_movements_too(world: World, tmp_path: Path) -> None:
    world.rules(push_from=datetime(2024, 3, 15, 9, 30, tzinfo=UTC))
    import_file(world.ctx, write(tmp_path, MOVEMENTS), "movement", push=True)

    world.reconcile()

    assert [row.api_key for row in world.pushes()] == ["mps-m2-1"]


def test_a_movement_file_twice_changes_nothing(world: World, tmp_path: Path) -> None:
    path = write(tmp_path, MOVEMENTS)
    import_file(world.ctx, path, "movement")
    before = counted(world)

    report = import_file(world.ctx, path, "movement")

    assert outcome(report) == (0, 3, [])
    assert counted(world) == before


def test_an_export_that_writes_ids_in_other_letters_posts_nothing_again(world: World, tmp_path: Path) -> None:
    import_file(world.ctx, write(tmp_path, MOVEMENTS), "movement", push=True)
    before = counted(world)

    report = import_file(world.ctx, write(tmp_path, MOVEMENTS.replace("m-", "M-")), "movement", push=True)

    assert outcome(report) == (0, 3, [])
    assert counted(world) == before


def test_a_movement_that_the_feed_has_shown_is_left_alone(world: World, tmp_path: Path) -> None:
    at = datetime(2024, 3, 15, 9, tzinfo=UTC)
    world.move("Inbound", ("P-1", "2", "25"), ("P-2", "3", "1"), at=at, reference="Folio-1")
    before = counted(world)
    text = "".join(line for line in MOVEMENTS.splitlines(keepends=True) if not line.startswith("m-2"))

    import_file(world.ctx, write(tmp_path, text), "movement")

    assert counted(world) == before
    assert world.told() == []


def test_movements_that_cannot_be_read_are_named_by_all_their_lines(world: World, tmp_path: Path) -> None:
    text = MOVEMENTS + "m-3,Sideways,2024-03-15T09:00:00Z,,P-1,,1,1,,\n"
    text += "m-4,Inbound,yesterday,,P-1,,1,1,,\n,Inbound,2024-03-15T09:00:00Z,,P-1,,1,1,,\n"
    text += "m-5,Inbound,2024-03-15T09:00:00Z,,P-1,,1,1,,\nm-5,Outbound,2024-03-15T09:00:00Z,,P-1,,1,1,,\n"
    text += "m-6,Inbound,2024-03-15T09:00:00Z,,,,1,1,,\n"

    report = import_file(world.ctx, write(tmp_path, text), "movement")

    assert outcome(report) == (3, 0, [5, 6, 7, 8, 9, 10])
    assert "Sideways" in report.rejected[0][1]
    assert "differ in type" in report.rejected[3][1]
    assert world.told() == []


def test_jsonl_may_hold_movements_as_the_feed_shows_them(world: World, tmp_path: Path) -> None:
    movement = {
        "id": "m-1",
        "reference": "Folio-198",
        "type": "Outbound",
        "createdAt": "2024-03-15T09:00:00.187Z",
        "movements": [{"cost": "25", "quantity": 2.5, "item": "i", "unit": "Liters", "item_external_id": "P-1"}],
    }

    report = import_file(world.ctx, write(tmp_path, json.dumps(movement), "m.jsonl"), "movement")

    assert outcome(report) == (1, 0, [])


def test_a_large_file_is_read_line_by_line(tmp_path: Path) -> None:
    path = write(tmp_path, RECEIPTS + f"k,P-1,{MAIN},1,1,2024-03-15,{'x' * 500}\n" * 20_000)
    tracemalloc.start()

    count = sum(1 for _ in open_file(path, columns_of("receipt")).lines())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert count == 20_002
    assert peak < 1_000_000


UUID = "35bf992d-c9e9-4616-a12e-7696a6cecc1b"


def exported(movement_id: str, type_: str = "Outbound", quantity: str = "2") -> str:
    header = "id,type,createdAt,item_external_id,quantity,cost\n"
    return f"{header}{movement_id},{type_},2024-03-15T09:00:00Z,P-1,{quantity},1\n"


def test_a_movements_uuid_imported_again_in_capitals_is_the_same_movement(world: World, tmp_path: Path) -> None:
    at = datetime(2024, 3, 15, 9, tzinfo=UTC)
    world.move("Outbound", ("P-1", "2", "1"), id_=UUID, at=at)
    world.reconcile()
    before = counted(world)

    report = import_file(world.ctx, write(tmp_path, exported(UUID.upper())), "movement", push=True)
    world.reconcile()

    assert outcome(report) == (0, 1, [])
    assert counted(world) == before


def test_a_movements_uuid_in_capitals_alone_changes_nothing(world: World, tmp_path: Path) -> None:
    import_file(world.ctx, write(tmp_path, exported(UUID)), "movement", push=True)
    world.reconcile()
    before = counted(world)

    report = import_file(world.ctx, write(tmp_path, exported(UUID.upper())), "movement", push=True)
    world.reconcile()

    assert outcome(report) == (0, 1, [])
    assert counted(world) == before
    assert len(world.pushes()) == 1


@pytest.mark.parametrize("type_", ["Outbound", "Inbound"])
def test_outbound_minus_2_in_an_export_contradicts_its_type(world: World, tmp_path: Path, type_: str) -> None:
    report = import_file(world.ctx, write(tmp_path, exported(UUID, type_, "-2")), "movement", push=True)

    ((line, reason),) = report.rejected
    assert line == 2
    assert f"its quantity -2 contradicts its type {type_}" in reason
    assert counted(world)["ledger_entries"] == 0
    corrected = import_file(world.ctx, write(tmp_path, exported(UUID, type_, "2")), "movement", push=True)
    assert outcome(corrected) == (1, 0, []), "what the message says to do is taken"


def test_an_id_in_two_spellings_in_one_file_is_one_movement_and_the_second_row_says_so(
    world: World, tmp_path: Path
) -> None:
    once = exported(UUID)
    header, row = once.splitlines()
    again = row.replace(UUID, UUID.upper()).replace("09:00:00Z", "09:00:00.000Z")
    other = row.replace(UUID, UUID.upper()).replace("09:00:00Z", "10:00:00Z")  # no other movement has this createdAt

    report = import_file(world.ctx, write(tmp_path, "\n".join((header, row, again, other, ""))), "movement", push=True)

    assert report.accepted == 2
    [(number, why)] = report.rejected
    assert number == 3
    assert f"id {UUID.upper()} is line 2's id {UUID} in other letters" in why
    following = "\n".join((header, row, again.replace(UUID.upper(), UUID).replace(".000Z", "Z"), ""))
    report = import_file(world.ctx, write(tmp_path, following), "movement", push=True)
    assert (report.accepted, report.rejected) == (1, [])  # as the word says: it is a further line of it
