"""`mpsync doctor`: it finds what is wrong, says what to do about each thing, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sync.__main__ import main
from sync.cli import examination
from sync.cli.examination import of_vendors
from sync.database.engine import Store
from sync.database.facts import HEARTBEAT_AT
from sync.database.migrate import upgrade
from sync.database.pauses import pause_system
from sync.learned.rows import learn
from sync.ledger.books import Books
from sync.sandbox.server import Sandbox
from sync.settings import load_settings
from tests.clocks import FakeClock


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(populate=False) as running:
        running.mpw.add_warehouse("Warehouse #1")
        yield running


@pytest.fixture
def environment(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """Settings under which nothing is wrong, and the folder of a database that is ready."""
    monkeypatch.chdir(tmp_path)
    values = sandbox.settings() | {"DATABASE_URL": f"sqlite:///{tmp_path}/mpsync.db", "MPW_TIMEZONE": "America/Chicago"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    upgrade(values["DATABASE_URL"])
    return values


def examined(capsys: pytest.CaptureFixture[str]) -> tuple[int, list[dict[str, Any]]]:
    capsys.readouterr()
    code = main(["doctor", "--json"])
    data = json.loads(capsys.readouterr().out)
    assert data["wrong"] == len([one for one in data["findings"] if one["level"] == "wrong"])
    assert (code == 1) == bool(data["wrong"])
    return code, data["findings"]


def wrong(findings: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(one["check"], one["what"]) for one in findings if one["level"] == "wrong"]


def test_with_all_in_order_it_finds_both_logins_and_clocks_good_and_exits_with_0(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, findings = examined(capsys)

    assert code == 0
    good = {one["check"] for one in findings if one["level"] == "ok"}
    assert good >= {"settings", "database", "MPW", "MPservices", "clock", "time zone", "undocumented"}


def test_every_finding_ends_with_what_to_do(environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    _, findings = examined(capsys)

    assert all(one["do"] for one in findings)
    assert all(one["do"] != "nothing" for one in findings if one["level"] != "ok")


def test_it_only_reads(
    environment: dict[str, str], sandbox: Sandbox, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "mpsync.db").unlink()
    sandbox.requests.clear()

    _, findings = examined(capsys)

    assert not (tmp_path / "mpsync.db").exists()
    assert [seen.endpoint for seen in sandbox.requests.all() if seen.is_write] == []
    assert next(one["what"] for one in findings if one["check"] == "database").endswith("holds nothing yet")


def test_a_misspelt_variable_is_wrong_and_the_right_one_is_named(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SYNC_ROUTE_RECIEPTS", "push")

    code, findings = examined(capsys)

    assert code == 1
    (found,) = [one for one in findings if one["level"] == "wrong"]
    assert "SYNC_ROUTE_RECIEPTS" in found["what"]
    assert found["do"] == "rename it to SYNC_ROUTE_RECEIPTS"


def test_a_wrong_setting_stops_it_with_exit_2_before_any_request(
    environment: dict[str, str],
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MPW_TIMEZONE", "Mars/Olympus")
    sandbox.requests.clear()

    assert main(["doctor"]) == 2

    assert "MPW_TIMEZONE" in capsys.readouterr().err
    assert sandbox.requests.all() == []


@pytest.mark.parametrize(
    ("variable", "check", "do"),
    [
        ("MPW_PASSWORD", "MPW", "correct MPW_EMAIL and MPW_PASSWORD"),
        ("MPSERVICES_TOKEN", "MPservices", "correct MPSERVICES_TOKEN"),
    ],
)
def test_refused_credentials_are_wrong_and_are_not_shown(
    environment: dict[str, str],
    variable: str,
    check: str,
    do: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, "no-such-secret")

    assert main(["doctor"]) == 1

    out, err = capsys.readouterr()
    assert f"WRONG  {check}: " in out
    assert do in " ".join(out.split())
    assert "no-such-secret" not in out + err


def test_credentials_that_were_refused_before_are_not_tried_again(
    environment: dict[str, str],
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    clock: FakeClock,
) -> None:
    from sync.app import mpw_of

    client = mpw_of(load_settings(environment, None), clock)
    assert client is not None
    store = Store(environment["DATABASE_URL"])
    with store.write() as conn:
        pause_system(conn, "mpw", fingerprint=client.fingerprint, reason="Unauthorized", now=clock.now())
    store.close()
    client.close()
    sandbox.requests.clear()

    code, findings = examined(capsys)

    assert code == 1
    assert [check for check, _ in wrong(findings)] == ["MPW"]
    assert sandbox.requests.of("mpw.login") == []


def test_a_vendor_that_is_down_is_wrong_and_the_rest_is_still_looked_at(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MPW_BASE_URL", "http://127.0.0.1:9/api")

    code, findings = examined(capsys)

    assert code == 1
    assert [check for check, _ in wrong(findings)] == ["MPW"]
    assert "MPservices" in {one["check"] for one in findings if one["level"] == "ok"}


def test_a_database_that_cannot_be_reached_is_wrong_without_its_password(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://u:top-secret@127.0.0.1:9/x")

    assert main(["doctor"]) == 1

    out, err = capsys.readouterr()
    assert "WRONG  database: " in out
    assert "top-secret" not in out + err


def test_a_clock_that_is_ten_minutes_off_is_wrong_in_either_direction(environment: dict[str, str]) -> None:
    settings = load_settings(environment, None)
    from datetime import UTC, datetime

    for minutes, direction in ((10, "ahead of"), (-10, "behind")):
        clock = FakeClock(datetime.now(UTC) + timedelta(minutes=minutes))
        found = [one for one in of_vendors(settings, clock) if one.check == "clock"]

        assert [one.level for one in found] == ["wrong", "wrong"]
        assert all(direction in one.what and "NTP" in one.do for one in found)


def test_what_the_documents_leave_open_is_named_with_its_setting(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MPSERVICES_WORK_ORDERS_PATH", "")
    monkeypatch.setenv("MPSERVICES_CREATE_PRODUCT_PATH", "")
    monkeypatch.setenv("MPW_TIMEZONE", "UTC")

    code, findings = examined(capsys)

    assert code == 0
    notes = " ".join(one["do"] for one in findings if one["level"] == "note")
    for name in ("MPSERVICES_WORK_ORDERS_PATH", "MPSERVICES_CREATE_PRODUCT_PATH", "MPSERVICES_COST_IS", "MPW_TIMEZONE"):
        assert name in notes


def test_pushing_products_without_their_path_is_wrong(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MPSERVICES_CREATE_PRODUCT_PATH", "")
    monkeypatch.setenv("SYNC_ROUTE_PRODUCTS", "push")

    _, findings = examined(capsys)

    assert [check for check, _ in wrong(findings)] == ["routes"]


def test_a_schedule_that_may_lose_movements_is_wrong(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SYNC_POLL_MOVEMENTS_SECONDS", str(24 * 3600))

    _, findings = examined(capsys)

    assert [check for check, _ in wrong(findings)] == ["schedule"]


def test_a_status_page_that_others_can_reach_is_pointed_out(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for address, notes in (("127.0.0.1:9090", 0), ("0.0.0.0:9090", 1)):
        monkeypatch.setenv("SYNC_HTTP_ADDRESS", address)

        _, findings = examined(capsys)

        assert len([one for one in findings if one["check"] == "status page"]) == notes


def test_a_full_disk_is_wrong(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(examination, "FREE_BYTES_MIN", 1 << 60)

    _, findings = examined(capsys)

    assert [check for check, _ in wrong(findings)] == ["database"]


def test_a_fresh_heartbeat_is_good_and_an_old_one_is_pointed_out(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    from datetime import UTC, datetime

    for age, level in ((0, "ok"), (3600, "note")):
        store = Store(environment["DATABASE_URL"])
        at = datetime.now(UTC) - timedelta(seconds=age)
        with store.write() as conn:
            Books(conn, now=at).note_fact(HEARTBEAT_AT, at.isoformat())
        store.close()

        _, findings = examined(capsys)

        assert [one["level"] for one in findings if one["check"] == "daemon"] == [level]


def test_a_person_reads_it_in_80_columns(environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor"])

    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "nothing is wrong"
    assert all(len(line) < 80 for line in lines if "sqlite:" not in line)


def test_a_vendor_whose_page_is_no_api_is_wrong(
    environment: dict[str, str], sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.faults.add("mpservices.movements", "html")
    try:
        _, findings = examined(capsys)
    finally:
        sandbox.faults.clear()

    assert [check for check, _ in wrong(findings)] == ["MPservices"]


def learnt(findings: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {" ".join(one["what"].split()[:2]).rstrip(":"): one for one in findings if one["check"] == "learnt"}


def test_what_was_learnt_stands_beside_what_is_assumed_and_is_marked_where_it_differs(
    environment: dict[str, str], clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(environment["DATABASE_URL"])
    with store.write() as conn:
        for system, fact, value in (
            ("mpw", "page_honoured", "no"),
            ("mpw", "marker_survives", "yes"),
            ("mpw", "description_max", "255"),
            ("mpw", "exists_words", "is taken"),
            ("mpw", "clock_skew_seconds", "30"),
            ("mpservices", "clock_skew_seconds", "-3600"),
            ("mpservices", "window_hours", "24"),
        ):
            learn(conn, system, fact, value, evidence="a certain row", now=clock.now())
    store.close()

    code, findings = examined(capsys)

    found = learnt(findings)
    assert code == 0
    assert {name for name, one in found.items() if one["level"] == "note"} == {
        "mpw page_honoured",
        "mpw description_max",
        "mpservices clock_skew_seconds",
        "mpservices window_hours",
    }
    assert all("a certain row" in one["what"] for name, one in found.items() if name != "not known")
    assert "differs from what is assumed: what MPSERVICES_WINDOW_HOURS says" in found["mpservices window_hours"]["what"]
    assert "--system mpservices" in found["mpservices clock_skew_seconds"]["do"]
    assert "cost_decimals" in found["not known"]["what"]
    assert "page_honoured" not in found["not known"]["what"]
