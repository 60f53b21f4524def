"""Dates of the ERP's documents that are a slip, or before the go-live: nothing is posted, or swallowed, unseen."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from sync.__main__ import main
from sync.database.engine import Store
from sync.database.exceptions import open_exceptions
from sync.errors import ConfigError
from sync.jobs.import_file import import_file
from sync.jobs.resolve import Choice, resolve_by_person
from sync.values.exception_kinds import APPLY, KEEP
from tests.clocks import FakeClock
from tests.worlds.reconcile_world import ISSUANCE, RECEIPT, World, make_world

TODAY = date(2024, 3, 15)


@pytest.fixture
def world(store: Store, clock: FakeClock) -> World:
    made = make_world(store, clock)
    made.rules(start_date=date(2024, 2, 14), push_from=datetime(2024, 3, 1, tzinfo=UTC))
    return made


def resolved(world: World, option: str | None) -> int:
    choice = Choice(option) if option else None
    return resolve_by_person(world.ctx, kind="odd_date", why="it is so", by="ann", choice=choice)


@pytest.mark.parametrize("day", ["2062-03-15", "0026-03-15", "2024-04-15", "2024-03-17", "2024-02-13"])
@pytest.mark.parametrize("type_", ["receipt", "issuance"])
def test_created_on_2062_or_0026_or_next_month_is_not_posted_and_asked_about(
    world: World, type_: str, day: str
) -> None:
    world.erp(type_, "erp-1", (RECEIPT if type_ == "receipt" else ISSUANCE) | {"created_on": day})

    world.reconcile()
    world.reconcile()

    assert world.pushes() == []
    assert world.told() == [("odd_date", f"{type_} erp-1")]
    with world.store.read() as conn:
        (row,) = open_exceptions(conn, kind="odd_date")
    assert day in row.detail
    assert "--apply" in row.hint


@pytest.mark.parametrize("day", [TODAY + timedelta(days=1), date(2024, 3, 1)])
def test_tomorrow_and_the_day_of_the_go_live_are_dates_as_any_other(world: World, day: date) -> None:
    world.erp("receipt", "erp-1", RECEIPT | {"created_on": day.isoformat()})

    world.reconcile()

    assert world.told() == []
    assert f'"created_on":"{day}"' in world.push().payload


def test_a_person_confirms_an_odd_date_and_it_goes_on_as_dated(world: World) -> None:
    world.erp("receipt", "erp-1", RECEIPT | {"created_on": "2062-03-15"})
    world.reconcile()

    assert resolved(world, APPLY) == 1
    world.reconcile()
    world.reconcile()

    assert world.told() == []
    assert '"created_on":"2062-03-15"' in world.push().payload


def test_a_confirmed_date_before_the_ledgers_start_is_recorded_only(world: World) -> None:
    world.erp("receipt", "erp-1", RECEIPT | {"created_on": "0026-03-15"})
    world.reconcile()

    resolved(world, APPLY)
    world.reconcile()

    assert (world.told(), world.pushes()) == ([], [])


def test_a_wrong_date_is_voided_and_sent_again_as_the_hint_says(world: World) -> None:
    world.erp("receipt", "erp-1", RECEIPT | {"created_on": "2062-03-15"})
    world.reconcile()

    world.erp("void", "erp-1", {"kind": "receipt"})
    world.erp("receipt", "erp-2", RECEIPT)
    world.reconcile()

    assert world.told() == []
    assert [row.api_key for row in world.pushes()] == ["erp-2"]


def test_a_person_must_choose_and_may_leave_it_unsent(world: World) -> None:
    world.erp("receipt", "erp-1", RECEIPT | {"created_on": "2062-03-15"})
    world.reconcile()

    with pytest.raises(ConfigError, match="has to be told what to do"):
        resolved(world, None)
    assert resolved(world, KEEP) == 1
    world.reconcile()

    assert (world.told(), world.pushes()) == ([], [])


def test_a_date_ahead_is_fine_on_the_day_before_it(world: World, clock: FakeClock) -> None:
    world.erp("receipt", "erp-1", RECEIPT | {"created_on": "2024-03-20"})
    world.reconcile()
    clock.advance(days=3)
    world.reconcile()
    assert world.pushes() == []

    clock.advance(days=1)
    world.reconcile()

    assert world.told() == []
    assert world.push().api_key == "erp-1"


# --- before the go-live -------------------------------------------------------------------


def test_what_is_dated_before_the_go_live_says_so_in_its_row(world: World) -> None:
    world.erp("receipt", "erp-1", RECEIPT | {"created_on": "2024-02-20"})

    world.reconcile()

    assert world.rows() == [("accepted", "recorded, not pushed: before 2024-03-01 (SYNC_PUSH_FROM)")]
    assert (world.told(), world.pushes()) == ([], [])


def test_an_import_counts_what_is_dated_before_the_go_live(world: World, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    days = ["2024-02-20", "2024-02-21", "2024-03-15"]
    path.write_text(
        "\n".join(json.dumps(RECEIPT | {"api_key": f"k{n}", "created_on": day}) for n, day in enumerate(days))
    )

    report = import_file(world.ctx, path, "receipt")

    assert (report.accepted, report.not_pushed) == (3, 2)
    assert report.cut == "recorded, not pushed: before 2024-03-01 (SYNC_PUSH_FROM)"
    assert import_file(world.ctx, path, "receipt").not_pushed == 0


def test_movements_that_are_to_be_pushed_and_lie_before_the_go_live_are_counted(world: World, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    lines = [f"m-{n},Inbound,2024-02-{20 + n}T09:00:00Z,P-1,1,1" for n in range(2)]
    path.write_text("id,type,createdAt,item_external_id,quantity,cost\n" + "\n".join(lines))

    assert import_file(world.ctx, path, "movement", push=True, dry_run=True).not_pushed == 2


def test_the_command_says_it(
    database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("SYNC_PUSH_FROM", "2024-04-01T00:00:00Z")
    monkeypatch.setenv("SYNC_START_DATE", "2024-01-01")
    Path("in.json").write_text(json.dumps([RECEIPT | {"api_key": "k1"}]))

    assert main(["import", "in.json", "--type", "receipt"]) == 0

    assert "1 recorded, not pushed: before 2024-04-01 (SYNC_PUSH_FROM)" in capsys.readouterr().out
