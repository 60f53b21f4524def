"""What commands say of a database that somebody works with: figures, and what to do next."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update

from sync.__main__ import main
from sync.cli.output import Output
from sync.database import schema
from sync.database.engine import Store
from sync.database.facts import beat
from tests.cli.test_output import shown_on_terminal
from tests.views.story import entry, push

NOW = datetime.now(UTC)


@pytest.fixture
def store(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("DATABASE_URL", database_url)
    store = Store(database_url)
    yield store
    store.close()


def add(store: Store, table: Any, **values: Any) -> int:
    with store.write() as conn:
        key = conn.execute(insert(table).values(**values)).inserted_primary_key
    assert key is not None
    return key[0]  # type: ignore[no-any-return]


def feed(store: Store, source: str, **changed: Any) -> None:
    add(store, schema.feeds, **{"source": source, "last_read_at": NOW - timedelta(minutes=3), **changed})


def test_a_cycle_on_hold_says_how_what_is_held_is_let_go(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, schema.outbox, **push("K-1", state="held"))
    monkeypatch.setenv("MPSERVICES_TOKEN", "MPSER1-0123")
    monkeypatch.setenv("MPSERVICES_BASE_URL", "http://127.0.0.1:9")

    main(["once"])

    out = capsys.readouterr().out
    assert "SYNC_ROUTE_RECEIPTS=push" in out
    assert "mpsync outbox release --route receipts" in out


def test_a_cycle_that_held_nothing_says_nothing_of_it(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPSERVICES_TOKEN", "MPSER1-0123")
    monkeypatch.setenv("MPSERVICES_BASE_URL", "http://127.0.0.1:9")

    main(["once"])

    out = capsys.readouterr().out
    assert "Outbox" in out
    assert "release" not in out


@pytest.mark.parametrize("command", ["run", "once", "doctor"])
@pytest.mark.parametrize("env", [True, False])
def test_with_both_systems_off_work_is_refused_and_which_env_was_read_is_said(
    command: str,
    env: bool,
    store: Store,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    if env:
        (tmp_path / ".env").write_text("SYNC_LOG_LEVEL=info\n")

    code = main([command])

    err = capsys.readouterr().err
    assert code == 2
    assert "both" in err
    assert "off" in err
    assert (str(tmp_path / ".env") in err) is env
    assert ("there is no .env" in err) is not env


def test_a_daemon_that_died_ends_status_with_1_and_is_said(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    with store.write() as conn:
        beat(conn, "host", now=datetime.now(UTC) - timedelta(minutes=8, seconds=1))

    code = main(["status"])

    out, err = capsys.readouterr()
    assert code == 1
    assert "no daemon is at work: its last sign of life is 8 min old" in err
    assert "nothing needs a person" not in out


def test_an_unknown_stock_patch_that_just_waits_for_its_movement_is_ordinary(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    now = datetime.now(UTC)
    patch = {"operation": "patch_stock", "route": "stock_cost", "kind": None, "state": "unknown"}
    add(store, schema.outbox, **push("s-1", **patch, last_sent_at=now, first_sent_at=now))

    assert main(["status"]) == 0
    assert main(["todo"]) == 0
    with store.write() as conn:
        conn.execute(update(schema.outbox).values(last_sent_at=now - timedelta(minutes=40)))
    assert main(["status"]) == 1
    assert "may have taken effect or not" in capsys.readouterr().err
    assert main(["todo"]) == 1


def test_what_is_held_ends_status_well_and_is_counted_in_todo(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(5):
        add(store, schema.ledger_entries, **entry("erp", "receipt", f"K-{number}", "4"))
        add(store, schema.outbox, **push(f"K-{number}", state="held"))

    assert main(["status"]) == 0
    assert "nothing needs a person now; 5 wait (mpsync todo)" in capsys.readouterr().out
    assert main(["todo"]) == 0
    out = capsys.readouterr().out
    assert "5 of kind push_held, such as: Receipt K-0 of P-1 is held for review" in out
    assert "  amount      50" in out
    assert main(["todo", "--all"]) == 0
    assert capsys.readouterr().out.count("mpsync outbox release") == 5


def test_todo_fits_80_columns(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    detail = "MPW refused it: " + "the part number of this very long name is not known there " * 3
    push_id = add(store, schema.outbox, **push("K-1", state="dead", last_error=detail, finalized_at=NOW))
    told = {"detail": detail, "hint": "look at it, " * 20, "opened_at": NOW}
    add(store, schema.exceptions, kind="push_dead", subject_type="push", subject=str(push_id), **told)
    add(store, schema.exceptions, kind="unmapped_item", subject_type="item", subject="E" * 40, **told)

    def shown(_: Output) -> None:
        main(["todo"])

    lines = shown_on_terminal(monkeypatch, shown, NO_COLOR="1", COLUMNS="80").splitlines()

    assert len(lines) > 20
    assert [line for line in lines if len(line) > 80] == []


def test_a_status_without_trouble_says_so_in_its_last_line(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    feed(store, "mpservices.movements")

    code = main(["status"])

    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "nothing needs a person"


def test_a_feed_that_fails_is_counted_and_comes_with_what_to_do(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    feed(store, "mpservices.movements", error="MPservices answered HTTP 503")

    code = main(["status", "--json"])

    out, err = capsys.readouterr()
    (source,) = json.loads(out)["coverage"]
    assert code == 1
    assert (source["source"], source["failing"]) == ("mpservices.movements", 1)
    assert "HTTP 503" in err
    assert "mpsync doctor" in err
    assert "nothing needs a person" not in out


def test_a_source_that_has_no_days_is_shown_with_its_lag(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    feed(store, "mpservices.work_orders")
    add(store, schema.coverage, source="mpw.receipts", day=NOW.date(), complete=False, rows=4, last_read_at=NOW)

    main(["status", "--json"])

    listed, work_orders = sorted(json.loads(capsys.readouterr().out)["coverage"], key=lambda row: -row["days"])
    assert (listed["source"], listed["rows"], listed["failing"]) == ("mpw.receipts", 4, 0)
    assert (work_orders["source"], work_orders["days"]) == ("mpservices.work_orders", 0)
    since_import = (datetime.now(UTC) - NOW).total_seconds()
    assert 170 <= work_orders["lag_seconds"] <= 600 + since_import


@pytest.mark.parametrize("action", ["release", "retry", "discard"])
def test_what_cannot_be_done_to_a_push_is_said_and_leaves_it_alone(
    action: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    finished = {"state": "done", "evidence": "answered 200", "finalized_at": NOW, "attempts": 1, "tries": 1}
    outbox_id = add(store, schema.outbox, **push("K-1", **finished))

    code = main(["outbox", action, str(outbox_id)])

    out, err = capsys.readouterr()
    assert code == 1
    assert out.startswith("0 ")
    assert "mpsync outbox show" in err
    with store.read() as conn:
        assert conn.exec_driver_sql("select state from outbox").scalar_one() == "done"


def test_what_was_done_to_every_push_named_ends_well(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    held = [add(store, schema.outbox, **push(f"K-{n}", state="held")) for n in range(2)]

    code = main(["outbox", "release", *map(str, held)])

    out, err = capsys.readouterr()
    assert (code, out) == (0, "2 released\n")
    assert "attention" not in err


def test_every_source_stands_on_one_line_of_80_columns(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    feed(store, "mpservices.work_orders")
    for source in ("mpw.purchase_orders", "mpservices.movements"):
        add(store, schema.coverage, source=source, day=NOW.date(), complete=True, rows=9_999_999, last_read_at=NOW)

    def status(_: Output) -> None:
        main(["status"])

    shown = shown_on_terminal(monkeypatch, status)

    lines = [line for line in shown.splitlines() if line.startswith("mp")]
    assert len(lines) >= 3
    assert all(len(line) <= 80 for line in lines)
    assert {"mpservices.work_orders", "mpw.purchase_orders", "mpservices.movements"} <= {
        line.split()[0] for line in lines
    }


def test_a_source_of_a_paused_system_is_not_said_to_be_tried_again(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    feed(store, "mpw.issuances", error="MPW refused the login: HTTP 401")
    feed(store, "mpservices.movements", error="MPservices answered HTTP 503")
    add(store, schema.pauses, system="mpw", fingerprint="f", reason="MPW refused the login: HTTP 401", since=NOW)

    assert main(["status"]) == 1

    said = capsys.readouterr().err.splitlines()
    assert [line.startswith("attention: mpservices.movements") for line in said if "again by itself" in line] == [True]
    assert any("mpw is paused" in line for line in said)


# --- the outbox in 80 columns -------------------------------------------------------------


def test_the_list_of_pushes_has_one_line_each_of_80_columns(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "mps-8d88348a7eed4d14b06d3fef701966a0-"
    for number in range(12):
        long = {"item": "A-PART-NUMBER-OF-SOME-LENGTH", "reason": "it is wanted, " * 20, "entity_key": f"item:{number}"}
        add(store, schema.outbox, **push(f"{key}{number}", state="held", **long))

    lines = shown_on_terminal(monkeypatch, lambda _: main(["outbox", "list"]), NO_COLOR="1", COLUMNS="80").splitlines()

    assert len(lines) == 13
    assert [line for line in lines if len(line) > 80] == []
    assert all("-11" in line or f"-{11 - place}" in line for place, line in enumerate(lines[1:]))


def test_the_list_shows_open_pushes_and_with_all_the_rest(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    add(store, schema.outbox, **push("OPEN", state="held"))
    over = add(store, schema.outbox, **push("OVER", state="done", evidence="seen", finalized_at=NOW))

    def listed(*options: str) -> set[str]:
        assert main(["outbox", "list", "--json", *options]) == 0
        return {row["api_key"] for row in json.loads(capsys.readouterr().out)["pushes"]}

    assert listed() == {"OPEN"}
    assert listed("--all") == {"OPEN", "OVER"}
    assert listed("--state", "done") == listed("--key", "OVER") == listed(str(over)) == {"OVER"}


def test_a_route_may_be_said_again_for_another(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for route in ("receipts", "issuances", "voids"):
        add(store, schema.outbox, **push(f"K-{route}", route=route, state="held"))

    assert main(["outbox", "release", "--route", "receipts", "--route", "issuances"]) == 0

    assert capsys.readouterr().out == "2 released\n"
    with store.read() as conn:
        found = dict(conn.exec_driver_sql("select route, state from outbox").all())  # type: ignore[arg-type]
    assert found == {"receipts": "ready", "issuances": "ready", "voids": "held"}


def test_0_released_says_why(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    add(store, schema.outbox, **push("K-1"))

    main(["outbox", "release", "--route", "receipts"])
    assert capsys.readouterr().out == "0 released: of what was named 1 ready; only held ones are released\n"
    main(["outbox", "release", "--route", "voids"])
    assert "no push fits" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["show", "explain"])
def test_what_was_said_of_a_done_push_is_a_note_and_no_error(
    command: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "MPservices answered 200; its movement is looked for"
    over = {"state": "done", "evidence": "seen", "finalized_at": NOW, "last_error": said}
    outbox_id = add(store, schema.outbox, **push("K-1", **over))
    attempt = {"outbox_id": outbox_id, "n": 1, "fence": 1, "started_at": NOW, "outcome": "landed", "error": said}
    add(store, schema.attempts, **attempt)

    main(["outbox", "show", str(outbox_id)] if command == "show" else ["explain", "K-1"])

    out = capsys.readouterr().out
    assert said in out
    assert "error" not in out
    assert "note" in out


def test_a_cycle_names_a_command_for_each_route_that_has_held_pushes(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPSERVICES_TOKEN", "MPSER1-0123")
    monkeypatch.setenv("MPSERVICES_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("SYNC_ROUTE_VOIDS", "push")
    for route in ("receipts", "voids"):
        add(store, schema.outbox, **push(f"K-{route}", route=route, state="held"))

    main(["once"])

    out = capsys.readouterr().out
    assert "receipts (1): SYNC_ROUTE_RECEIPTS=push, then\n    mpsync outbox release --route receipts\n" in out
    assert "voids (1): \n    mpsync outbox release --route voids\n" in out
    assert "Route voids is set to push: new pushes go at once, and 1 that were held before stay held" in out
