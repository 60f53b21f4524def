"""The item map from a file: whole or not at all, each bad line named, and never emptied by mistake."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sync.database.engine import Store
from sync.reconcile.item_map import ItemMapping
from sync.reconcile.item_rows import load_map
from tests.hostile.commands import Said, mpsync, surroundings
from tests.hostile.profile import examples
from tests.hostile.trees import mangled

HEADER = "external_id,part_number,warehouses,factor\n"
GOOD = HEADER + "E-1,P-1,Warehouse #1;WH2,1\nE-2,P-2,WH2,0.5\n"
MAPPED = {
    "E-1": ItemMapping("E-1", "P-1", ("Warehouse #1", "WH2")),
    "E-2": ItemMapping("E-2", "P-2", ("WH2",)),
}


class Folder:
    """A working folder with a database in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.map = path / "items.csv"

    def put(self, content: str | bytes, *options: str) -> Said:
        """Import a map."""
        self.map.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
        return mpsync("items", "import", str(self.map), "--json", *options)

    def stored(self) -> dict[str, ItemMapping]:
        """Return the map as it is stored."""
        store = Store(f"sqlite:///{self.path}/mpsync.db")
        try:
            with store.read() as conn:
                return load_map(conn)
        finally:
            store.close()


@pytest.fixture(scope="module")
def folder(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    path = tmp_path_factory.mktemp("items")
    shutil.copyfile(sqlite_template, path / "mpsync.db")
    with surroundings(path, {"DATABASE_URL": f"sqlite:///{path}/mpsync.db"}):
        yield Folder(path)


@pytest.fixture
def mapped(folder: Folder) -> Folder:
    said = folder.put(GOOD)
    assert said.code == 0, said.err
    assert folder.stored().keys() == MAPPED.keys()
    return folder


@pytest.mark.parametrize("content", [HEADER, HEADER + "\n\n", HEADER + ",,,\n"])
def test_a_map_that_names_no_item_removes_nothing_without_being_told_to(mapped: Folder, content: str) -> None:
    said = mapped.put(content)

    assert said.code == 1
    assert "it names no item, and 2 are mapped; --remove-all says that the map is to be empty" in said.err
    assert mapped.stored().keys() == MAPPED.keys()

    assert mapped.put(content, "--remove-all").code == 0
    assert mapped.stored() == {}
    assert mapped.put(content).code == 1, "a file that names nothing is never taken without a word"
    assert mapped.put(content, "--remove-all").code == 0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (GOOD + "E-3,P-3,W,1,more\n", "line 4: 5 values under 4 columns"),
        (GOOD + "E-3,P-3,W,NaN\n", "line 4: factor: "),
        (GOOD + "E-3,P-3,W,1e400\n", "line 4: factor: "),
        (GOOD + "E-3,P-3,W,-1\n", "line 4: factor must be above 0"),
        (GOOD + "E-1,P-9,W,1\n", "line 4: external_id E-1 is in line 2 already"),
        (GOOD + "E-3,P-1,WH2,1\n", "line 4: part P-1 in WH2 belongs to line 2 already"),
        (GOOD + 'E-3,"P-3,W,1\n', "line 4: no CSV: unexpected end of data"),
        (GOOD + "E-3,P\x003,W,1\n", "line 4: part_number: it holds bytes that are no text"),
        (GOOD + "E-3,,W,1\nE-4,P-4,,1\n", "line 4: part_number is empty"),
    ],
)
def test_a_wrong_line_is_named_and_changes_nothing(mapped: Folder, content: str, reason: str) -> None:
    said = mapped.put(content)

    assert said.code == 1
    assert f"{mapped.map}, {reason}" in said.err
    assert json.loads(said.out)["errors"]
    assert mapped.stored().keys() == MAPPED.keys()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (
            b"external_id,part_number,warehouse\n",
            "line 1: the header is not right: its column 'warehouse' is not known",
        ),
        (b"external_id,part_number,external_id\n", "line 1: the header is not right: it names external_id twice"),
        (b"external_id,part\n", "it has no column part_number (is 'part' meant for it?)"),
        (b'"external_id\n', "has no header"),
        (b"external_id,part_number\nE-1,\x81\x8d\n", "is neither UTF-8 nor UTF-16 nor Windows-1252"),
    ],
)
def test_a_file_that_is_no_map_ends_with_1_and_says_what_it_is(mapped: Folder, content: bytes, reason: str) -> None:
    said = mapped.put(content)

    assert said.code == 1
    assert str(mapped.map) in said.err
    assert reason in said.err
    assert mapped.stored().keys() == MAPPED.keys()


def test_a_map_may_come_in_utf_16(mapped: Folder) -> None:
    assert mapped.put(GOOD.replace("P-1", "Ö-1").encode("utf-16")).code == 0

    assert mapped.stored()["E-1"].part_number == "Ö-1"


def warehouse_of(name: str) -> str:
    """A warehouse's name with quotes in it, but without the sign that separates warehouses."""
    return f'Warehouse "1" {name.replace(";", "")}'


def test_names_with_anything_printable_in_them_come_back_as_they_were(folder: Folder) -> None:
    odd = ["a/b", "c#d?e&f", "%00", "..", "'; DROP TABLE items; --", "👩‍🔧", "a,b", "=1+1", "Ä"]
    content = io.StringIO(HEADER)
    content.seek(0, io.SEEK_END)
    csv.writer(content).writerows([name, name, warehouse_of(name), 2] for name in odd)

    assert folder.put(content.getvalue()).code == 0

    stored = folder.stored()
    assert set(stored) == set(odd)
    assert all(stored[name] == ItemMapping(name, name, (warehouse_of(name),), Decimal(2)) for name in odd)
    exported = folder.path / "exported.csv"
    assert mpsync("items", "export", str(exported)).code == 0
    assert folder.put(exported.read_bytes()).code == 0
    assert folder.stored() == stored, "what was exported is read back as it was"


@examples(40)
@given(content=mangled(GOOD.encode()) | st.text(max_size=40).map(lambda rest: (GOOD + rest).encode("utf-8", "replace")))
@example(content=GOOD.replace("E-1", "x" * 200_000).encode())
@example(content=GOOD.replace("\n", "\r").encode())
def test_any_map_is_taken_whole_or_changes_nothing(folder: Folder, content: bytes) -> None:
    folder.put(GOOD, "--remove-all")
    before = folder.stored()

    said = folder.put(content)

    said.assert_civil()
    if said.code != 0:
        assert folder.stored() == before
        assert str(folder.map) in said.err
    else:
        assert len(folder.stored()) == json.loads(said.out)["items"]
