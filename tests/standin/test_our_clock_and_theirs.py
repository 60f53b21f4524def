"""Section 4: clocks that are ahead, behind, or of another opinion."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.standin.mpservices import PATCH
from tests.standin.mpw import ISSUANCE
from tests.standin.world import MAIN, PART, World

WRONG = [timedelta(hours=2), timedelta(days=1), timedelta(days=10)]
by_how_much = pytest.mark.parametrize("ahead", WRONG, ids=["2 h", "1 day", "10 days"])


def about_clocks(world: World) -> list[str]:
    """Return the open exceptions that speak of a clock."""
    found = world.view("v_exceptions", resolved_at=None)
    return [row["kind"] for row in found if "clock" in f"{row['kind']} {row['detail']}".lower()]


def set_clock(world: World, ahead: timedelta) -> None:
    """Give the machine another clock; a program that is started anew, as a resumed machine's cron job is."""
    world.restart()
    world.clock.ahead = ahead


@by_how_much
def test_one_cycle_with_a_clock_that_is_ahead_stops_no_reading_and_loses_nothing(
    world: World, ahead: timedelta
) -> None:
    set_clock(world, ahead)
    world.cycle()
    set_clock(world, timedelta())
    world.mps.moves(PART, -3)
    world.mpw.receives(PART, 5, 10, MAIN)
    world.cycle(4)

    assert world.stocks() == (102, 102)
    assert world.pushed() == [ISSUANCE]
    assert world.view("v_gaps", closed_at=None) == []
    assert world.told() == []


@by_how_much
@pytest.mark.parametrize("sign", [1, -1], ids=["ahead", "behind"])
def test_while_our_clock_is_far_wrong_nothing_is_pushed_and_a_person_is_told(
    world: World, ahead: timedelta, sign: int
) -> None:
    set_clock(world, ahead * sign)
    world.mps.moves(PART, -3)
    world.mpw.receives(PART, 5, 10, MAIN)
    before = world.writes()
    world.cycle(3)

    assert world.writes() == before
    assert about_clocks(world)
    assert world.status()
    assert world.view("v_gaps") == []

    set_clock(world, timedelta())
    world.cycle(4)
    assert world.stocks() == (102, 102)
    assert world.pushed() == [ISSUANCE]
    assert world.told() == []


def test_a_clock_that_is_far_ahead_completes_no_day_that_has_not_ended(world: World) -> None:
    set_clock(world, timedelta(days=1))
    world.cycle(2)

    today = world.mpw.today.isoformat()
    late = world.query("select day from v_coverage where complete = 1 and day >= :today", today=today)
    assert late == []


def test_a_clock_that_is_ahead_voids_nothing(world: World) -> None:
    world.erp_receipt("GR-1")
    world.rests()
    row = world.mpw.receipts[-1]
    world.mpw.receipts.remove(row)
    world.cycle()
    set_clock(world, timedelta(hours=2))
    world.cycle()
    set_clock(world, timedelta())
    world.mpw.receipts.append(row)
    world.cycle(2)

    assert world.view("v_ledger", entry_type="reversal", api_key="GR-1") == []
    assert world.stocks() == (105, 105)


def test_a_few_minutes_are_told_and_stop_nothing(world: World) -> None:
    set_clock(world, timedelta(minutes=4))
    world.mps.moves(PART, -3)
    world.cycle(4)

    assert world.stocks() == (97, 97)
    assert about_clocks(world)
    set_clock(world, timedelta())
    world.cycle(2)
    assert world.told() == []


@by_how_much
def test_where_no_vendor_sends_a_date_a_clock_that_was_ahead_stops_no_reading_either(
    world: World, ahead: timedelta
) -> None:
    world.mps.clock.date_ahead = world.mpw.clock.date_ahead = None
    set_clock(world, ahead)
    world.cycle()
    set_clock(world, timedelta())
    world.mps.moves(PART, -3)
    world.cycle(6)

    assert world.stocks() == (97, 97)
    assert world.pushed() == [ISSUANCE]


@pytest.mark.parametrize("hours", [3, -3], ids=["ahead", "behind"])
@pytest.mark.parametrize("which", ["mps", "mpw"])
def test_one_vendor_alone_that_differs_has_a_skew_of_its_own(fresh: World, which: str, hours: int) -> None:
    (fresh.mps if which == "mps" else fresh.mpw).clock.ahead = timedelta(hours=hours)
    fresh.rests()
    fresh.mps.moves(PART, -3)
    fresh.rests()
    fresh.mpw.receives(PART, 5, 10, MAIN)
    fresh.rests()

    assert fresh.stocks() == (102, 102)
    assert fresh.pushed() == [ISSUANCE]
    assert fresh.told() == []
    system = "mpservices" if which == "mps" else "mpw"
    assert any((row["system"], row["fact"]) == (system, "clock_skew_seconds") for row in fresh.view("v_learned"))


def test_the_go_live_cut_allows_for_a_vendor_that_is_behind(fresh: World) -> None:
    fresh.mps.clock.ahead = timedelta(hours=-3)
    fresh.cycle(2)
    fresh.mps.moves(PART, -3)
    fresh.rests()

    assert fresh.pushed() == [ISSUANCE], "it was made after the first run, whatever its stamp says"


def test_the_go_live_cut_allows_for_a_vendor_that_is_ahead(fresh: World) -> None:
    fresh.mps.clock.ahead = timedelta(hours=3)
    fresh.mps.moves(PART, -3)
    fresh.true.advance(timedelta(minutes=30))
    fresh.rests()

    assert fresh.pushed() == [], "people keyed it in by hand before the first run"


@pytest.mark.parametrize("hours", [3, -3], ids=["ahead", "behind"])
def test_a_vendors_skew_makes_no_gap_and_no_short_window(fresh: World, hours: int) -> None:
    fresh.mps.clock.ahead = timedelta(hours=hours)
    fresh.rests()
    for _ in range(9):
        fresh.mps.moves(PART, -1)
        fresh.cycle(minutes=8 * 60)
    fresh.rests()

    assert fresh.stocks() == (91, 91)
    assert fresh.ever_told() == []


def test_stamps_and_date_header_of_two_clocks_are_no_reason_to_miss_an_echo(world: World) -> None:
    world.mps.clock.date_ahead = timedelta(minutes=7)
    world.mpw.receives(PART, 5, 10, MAIN)
    world.mps.goes_wrong(PATCH, answer="lost")
    world.rests()

    assert world.stocks() == (105, 105)
    assert world.pushed() == []
    assert world.told() == []


def test_a_killed_leader_whose_clock_was_an_hour_ahead_keeps_no_lease_for_that_hour(world: World) -> None:
    world.mpw.receives(PART, 5, 10, MAIN)
    world.clock.ahead = timedelta(hours=1)
    world.cycle_killed(world.mpw, "GET receipts", effect=False)
    world.clock.ahead = timedelta()

    assert lease_lasts(world) <= 20.5
    world.cycle(4)
    assert world.stocks() == (105, 105)


def lease_lasts(world: World) -> float:
    """Return for how many seconds a dead leader keeps others out; on SQLite its file lock ends with it."""
    if world.database_url.startswith("sqlite"):
        return 0
    (row,) = world.query("select max(expires_at) as expires_at from leases")
    return float((row["expires_at"] - world.true.now()).total_seconds())
