"""What was put in from outside is shown as text: on the pages, in the figures, in files for a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection, text

from sync.app import App
from sync.jobs.export import export_ledger
from sync.poll.schedule import poll_days_once, poll_movements_once
from sync.web.site import Site
from tests.clocks import FakeClock
from tests.hostile.commands import mpsync, surroundings
from tests.hostile.profile import examples
from tests.hostile.test_names_in_addresses import ODD
from tests.hostile.worlds import Fresh
from tests.web.conftest import opened
from tests.worlds.poll_world import TODAY, issuance, line, movement, receipt

HOST = "127.0.0.1:9090"
FORMULAS = [
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "=cmd|'/C calc'!A0",
    "\t=1",
    "\r=1",
    '=HYPERLINK("http://x")',
    "-1",
    "+1",
]
NAMES = [name for name in (*ODD, *FORMULAS) if name.strip() and "\x00" not in name]


class Tags(HTMLParser):
    """Collects the tags of a page, and the attributes that could run or load something."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.targets: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag and what it points to."""
        self.tags.add(tag)
        for name, value in attrs:
            assert not name.startswith("on"), f"{tag} {name}"
            if name in ("href", "src", "action"):
                self.targets.add(value or "")


def assert_harmless(page: bytes) -> None:
    """A page holds no markup but ours, and points to nowhere else."""
    seen = Tags(page.decode())
    assert not seen.tags & {"script", "iframe", "object", "embed", "img", "base", "svg:script"}
    assert all(
        target.startswith(("/", "#", "data:,", "data:image/", "?")) or target == "" for target in seen.targets
    ), seen.targets


@pytest.fixture
def nasty(sqlite_url: str, clock: FakeClock) -> Iterator[App]:
    """A database in which every text that comes from outside is an odd one."""
    with opened(sqlite_url, clock) as app:
        with app.store.write() as conn:
            for number, name in enumerate(NAMES):
                payload = json.dumps({"part_number": name, "warehouse_name": name})
                row = {"document_type": name, "api_key": name, "payload": payload, "state": "rejected", "error": name}
                _insert(conn, "inbox", row)
                opened_at = "2024-03-15T12:00:00.000000Z"
                row = {"kind": name, "subject": name, "detail": name, "hint": name, "opened_at": opened_at}
                _insert(conn, "exceptions", row | {"subject_type": "event"})
                row = {"source": name, "digest": str(number), "reason": name, "raw": name}
                _insert(conn, "quarantine", row | {"seen_at": opened_at})
        yield app


def _insert(conn: Connection, table: str, row: Mapping[str, object]) -> None:
    conn.execute(text(f"insert into {table} ({', '.join(row)}) values ({', '.join(':' + name for name in row)})"), row)


def test_no_page_runs_what_a_vendor_or_an_erp_put_in(nasty: App) -> None:
    site = Site(nasty, alive=lambda: True, loopback=True)

    for target in ("/", *(f"/event?key={quote(name, safe='')}" for name in NAMES)):
        answer = site.answer("GET", target, HOST)

        assert answer.status in (200, 400, 404)
        assert_harmless(answer.body)


def test_the_figures_stay_readable_whatever_the_names_are(nasty: App) -> None:
    answer = Site(nasty, alive=lambda: True, loopback=True).answer("GET", "/metrics", HOST)

    families = list(text_string_to_metric_families(answer.body.decode()))
    assert len(families) > 10
    kinds = {
        label for family in families for sample in family.samples for label in sample.labels.values() if label in NAMES
    }
    assert "a/b" in kinds, "a label is the name as it is"


TARGETS = st.text(max_size=40) | st.sampled_from(
    [
        "/event?key=" + "&key=" * 30,
        "/event?key=%ff%fe",
        "/event?key=%00",
        "/event?key=%ED%A0%80",
        "/event?key=" + "a" * 100_000,
        "/event?" + "a=b&" * 5000,
        "/event?key=<script>alert(1)</script>",
        "/event;key=a",
        "//event",
        "/../etc/passwd",
        "/%2e%2e/",
        "http://evil.example/",
        "*",
        "",
        "/?\ud800",
    ]
)


@pytest.fixture(scope="module")
def site(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    path = tmp_path_factory.mktemp("site") / "mpsync.db"
    shutil.copyfile(sqlite_template, path)
    with opened(f"sqlite:///{path}", FakeClock()) as app:
        yield Site(app, alive=lambda: True, loopback=True)


@examples(120)
@given(
    target=TARGETS, method=st.sampled_from(["GET", "HEAD", "POST", "", "GET "]), host=st.none() | st.text(max_size=10)
)
@example(target="/event?" + "a=b&" * 30, method="GET", host=HOST)
@example(target="/event?key=\ud800", method="GET", host=HOST)
def test_no_address_makes_a_page_fail(site: Site, target: str, method: str, host: str | None) -> None:
    answer = site.answer(method, target, host)

    assert answer.status in (200, 400, 404, 405, 421)
    if answer.content_type.startswith("text/html"):
        assert_harmless(answer.body)


@examples(25)
@given(item=st.sampled_from(NAMES) | st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12))
def test_a_spreadsheet_runs_nothing_of_an_export(fresh: Fresh, tmp_path: Path, item: str) -> None:
    with fresh() as world:
        world.put("receipts", receipt(part_number=item, warehouse_name=item, api_key=item))
        world.put("issuances", issuance(part_number=item, warehouse_name=item))
        world.vendors.feed = [movement("m-1", line(item))]
        poll_days_once(world.ctx, "mpw.receipts", [TODAY])
        poll_days_once(world.ctx, "mpw.issuances", [TODAY])
        poll_movements_once(world.ctx)
        with world.store.read() as conn:
            export_ledger(conn, tmp_path / "x.csv")
            export_ledger(conn, tmp_path / "x.jsonl")

    rows = list(csv.DictReader(io.StringIO((tmp_path / "x.csv").read_bytes().decode(), newline="")))
    lines = (tmp_path / "x.jsonl").read_bytes().split(b"\n")[:-1]
    exact = [json.loads(one) for one in lines]
    assert len(rows) == len(exact) > 0
    for row, entry in zip(rows, exact, strict=True):
        assert row["item"].removeprefix("'") == entry["item"].removeprefix("'")
        for cell in row.values():
            assert not re.match(r"[=+\-@\t\r]", cell) or re.fullmatch(r"-?\d+(\.\d+)?", cell), cell


@pytest.fixture
def odd_inbox(sqlite_template: Path, tmp_path: Path) -> Iterator[Path]:
    """A database whose inbox holds rows that no cycle has looked at yet, of types that no column has."""
    path = tmp_path / "mpsync.db"
    shutil.copyfile(sqlite_template, path)
    insert = "insert into inbox (document_type, api_key, payload, state, received_at) values (?, ?, ?, ?, ?)"
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute(insert, ("receipt", "k-1", b"\xff\x00", b"new", "yesterday"))
        conn.execute(insert, (7, 1.5, None, None, 12))
        conn.execute(insert, ("receipt", "a\x00b\x1b[31m", "\x07", "received", b"\xff"))
        conn.execute(
            "insert into inbox (document_type, api_key, payload) values ('receipt', cast(x'ff6b' as text), '{}')"
        )
    with surroundings(tmp_path, {"DATABASE_URL": f"sqlite:///{path}"}):
        yield path


@pytest.mark.parametrize(
    "arguments", [["inbox", "list"], ["status"], ["explain", "k-1"], ["plan"], ["exceptions", "list"]]
)
@pytest.mark.parametrize("as_json", [False, True])
def test_rows_of_odd_types_are_shown_before_they_are_answered(
    odd_inbox: Path, arguments: list[str], as_json: bool
) -> None:
    said = mpsync(*arguments, *(["--json"] if as_json else []))

    said.assert_civil()
    assert "\x1b" not in said.out
    assert "\x00" not in said.out
    if as_json and said.out:
        json.loads(said.out)
    if arguments[0] == "inbox":
        assert said.code == 0
        assert "yesterday" in said.out
