"""Files that people and other programs hand in: every line is accepted or rejected by number, none is swallowed."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.errors import ConfigError, FileNotTakenError
from sync.jobs.import_file import MOVEMENT, TYPES, ImportReport, import_file
from tests.hostile.profile import examples
from tests.hostile.test_inbox_rows import DOCUMENTS
from tests.hostile.test_reading_rows import storable
from tests.hostile.trees import ODD_TEXTS, dump, mangled, spoiled, tree_of
from tests.hostile.worlds import Fresh
from tests.worlds.poll_world import PollWorld, line, movement

SAMPLES: dict[str, dict[str, Any]] = DOCUMENTS | {MOVEMENT: movement("m-1", line("A"), line("B"))}
CSV_MOVEMENT = {
    "id": "m-1",
    "type": "Outbound",
    "createdAt": "2024-03-15T11:00:00Z",
    "reference": "Folio-198",
    "item_external_id": "A",
    "quantity": "2",
    "cost": "25",
}


def named(type_: str, document: dict[str, Any], key: str) -> dict[str, Any]:
    return document | ({"id": key} if type_ == MOVEMENT else {"api_key": key})


def take_in(world: PollWorld, name: str, content: bytes, type_: str) -> ImportReport | ConfigError | FileNotTakenError:
    """Import a file; an error is what the command line says in one sentence, with exit code 2 or 1."""
    with tempfile.TemporaryDirectory(prefix="mpsync-hostile-") as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            return import_file(world.ctx, path, type_)
        except (ConfigError, FileNotTakenError) as error:
            return error


def keys(world: PollWorld) -> set[str]:
    return {
        *(key for (key,) in world.rows("select api_key from v_inbox where state = 'accepted'")),
        *(key for (key,) in world.rows("select remote_id from documents where system = 'mpservices'")),
    }


def assert_all_told(report: ImportReport, lines: int) -> None:
    for number, reason in report.rejected:
        assert 1 <= number <= lines
        assert reason
        assert storable(reason)


@st.composite
def jsonl(draw: st.DrawFn, type_: str) -> list[bytes]:
    tree = tree_of(named(type_, SAMPLES[type_], "bad-1"))
    line_ = spoiled([tree]).map(dump) | mangled(dump(tree)) | st.binary(max_size=20)
    return draw(st.lists(line_, min_size=1, max_size=4))


@pytest.mark.parametrize("type_", TYPES)
@examples(5)
@given(data=st.data())
def test_a_good_line_of_jsonl_lands_whatever_stands_around_it(fresh: Fresh, type_: str, data: st.DataObject) -> None:
    good = [dump(tree_of(named(type_, SAMPLES[type_], f"good-{n}"))) for n in (1, 2)]
    lines = [good[0], *data.draw(jsonl(type_)), good[1]]
    content = b"\n".join(lines)
    with fresh() as world:
        report = take_in(world, "in.jsonl", content, type_)

        assert isinstance(report, ImportReport)
        assert {"good-1", "good-2"} <= keys(world)
        physical = content.count(b"\n") + content.count(b"\r") + 1
        assert_all_told(report, physical)
        assert len({number for number, _ in report.rejected}) <= len(lines) + content.count(b"\r")

        known = world.rows("select count(*) from v_inbox"), len(world.entries()), len(report.rejected)
        again = take_in(world, "in.jsonl", content, type_)

        assert isinstance(again, ImportReport)
        assert again.accepted == 0, "the same file twice changes nothing"
        assert again.rejected == report.rejected
        assert (world.rows("select count(*) from v_inbox"), len(world.entries()), len(again.rejected)) == known


CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["", " ", "1", "-1", "1e400", "NaN", "2024-02-30", "=1+1", "a;b", "\x00", "a\nb", "x" * 200_000, '"', "'", ","]
)


@pytest.mark.parametrize("type_", TYPES)
@examples(5)
@given(data=st.data())
def test_a_good_line_of_csv_lands_whatever_its_neighbours_hold(fresh: Fresh, type_: str, data: st.DataObject) -> None:
    sample = CSV_MOVEMENT if type_ == MOVEMENT else SAMPLES[type_]
    columns = list(named(type_, sample, ""))
    bad = data.draw(st.lists(st.lists(CELLS, max_size=len(columns) + 1), max_size=3))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerow(named(type_, sample, "good-1").values())
    writer.writerows(bad)
    writer.writerow(named(type_, sample, "good-2").values())
    with fresh() as world:
        report = take_in(world, "in.csv", text.getvalue().encode(), type_)

        assert isinstance(report, ImportReport)
        assert {"good-1", "good-2"} <= keys(world)
        assert_all_told(report, text.getvalue().count("\n") + text.getvalue().count("\r") + 1)


@examples(25)
@given(data=st.data())
def test_any_bytes_at_all_are_told_by_line_or_refused_as_a_file(fresh: Fresh, data: st.DataObject) -> None:
    sample = b"api_key,part_number,warehouse_name,quantity,created_on\nk-1,P-1,W,1,2024-03-15\n"
    content = data.draw(st.binary(max_size=60) | mangled(sample))
    name = data.draw(st.sampled_from(["in.csv", "in.jsonl", "in.txt", "in"]))
    with fresh() as world:
        report = take_in(world, name, content, data.draw(st.sampled_from(TYPES)))

        if isinstance(report, ImportReport):
            assert_all_told(report, content.count(b"\n") + content.count(b"\r") + 1)
        else:
            assert name in report.message, "the file is named"


def test_a_quote_that_is_never_closed_swallows_no_document(fresh: Fresh) -> None:
    content = (
        "api_key,part_number,warehouse_name,quantity,created_on,description\n"
        'k-1,P-1,W,1,2024-03-15,"for pump 7\n'
        "k-2,P-1,W,1,2024-03-15,\n"
        "k-3,P-1,W,1,2024-03-15,\n"
    )
    with fresh() as world:
        report = take_in(world, "in.csv", content.encode(), "issuance")

        assert isinstance(report, ImportReport)
        assert report.accepted == 0
        assert report.rejected == [(2, "no CSV: unexpected end of data; nothing up to line 4 was read")]
        assert world.entries() == []


@pytest.mark.parametrize("odd", ODD_TEXTS[:8])
def test_a_line_that_holds_no_text_is_named_and_its_neighbours_land(fresh: Fresh, odd: bytes) -> None:
    good = dump(tree_of(named("receipt", DOCUMENTS["receipt"], "good-1")))
    with fresh() as world:
        report = take_in(world, "in.jsonl", b'{"api_key":"k","part_number":' + odd + b"}\n" + good, "receipt")

        assert isinstance(report, ImportReport)
        assert [number for number, _ in report.rejected] == [1]
        assert keys(world) == {"good-1"}


def test_many_lines_without_a_key_are_written_down_once_each(fresh: Fresh) -> None:
    count = 1500
    content = "\n".join(json.dumps(DOCUMENTS["receipt"] | {"part_number": f"P-{n}"}) for n in range(count)).encode()
    with fresh() as world:
        for _ in range(2):
            report = take_in(world, "in.jsonl", content, "receipt")

            assert isinstance(report, ImportReport)
            assert len(report.rejected) == count
            assert world.rows("select count(*) from v_inbox where state = 'rejected'") == [(count,)]


def test_refusals_without_a_key_are_looked_up_once_for_a_file(fresh: Fresh) -> None:
    content = "\n".join(json.dumps({"part_number": f"P-{n}"}) for n in range(50)).encode()
    with fresh() as world:
        seen = count_lookups(world)

        take_in(world, "in.jsonl", content, "receipt")

        assert len(seen) == 1


def count_lookups(world: PollWorld) -> list[str]:
    """Return a list that every search for a refusal from now on is added to."""
    from sqlalchemy import event

    seen: list[str] = []

    @event.listens_for(world.store.engine, "before_cursor_execute")
    def note(_c: Any, _cur: Any, statement: str, *_rest: Any) -> None:
        if "FROM inbox" in statement and "api_key" in statement and statement.startswith("SELECT"):
            seen.append(statement)

    return seen
