"""Section 5: what the vendors do and do not say is learnt from ordinary work, shown, used, and doubted."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from tests.standin.mpw import ISSUANCE
from tests.standin.world import MAIN, PART, World


def value(world: World, system: str, fact: str) -> str:
    """Return what was learnt of a fact, which the row that shows it stands beside."""
    rows = world.view("v_learned", system=system)
    found = [row for row in rows if row["fact"] == fact]
    assert len(found) == 1, f"{fact} among {[row['fact'] for row in rows]}"
    assert found[0]["evidence"]
    assert found[0]["seen_at"]
    return str(found[0]["value"])


@pytest.mark.parametrize("decimals", [2, 0])
@pytest.mark.parametrize("cuts", [False, True], ids=["rounds", "cuts"])
def test_the_decimals_that_mpservices_keeps_of_a_cost_are_learnt(fresh: World, decimals: int, cuts: bool) -> None:
    fresh.mps.habits.cost_decimals, fresh.mps.habits.cuts = decimals, cuts
    # The averages are 27.518514, 47.636359 and 74.748787: cut is not rounded, with 2 decimals as with none.
    for cost in ("377.8888", "470.1111", "671.2222"):
        fresh.mpw.receives(PART, 5, cost, MAIN)
        fresh.rests()

    assert value(fresh, "mpservices", "cost_decimals") == str(decimals)
    assert value(fresh, "mpservices", "cost_cut") == ("cut" if cuts else "rounded")


def test_a_total_of_nothing_teaches_no_decimals(fresh: World) -> None:
    fresh.mps.habits.cost_shown, fresh.mps.habits.echo_of_nothing = "total", True
    fresh.restart(MPSERVICES_COST_IS="total")
    for cost in ("377.7777", "466.6666", "588.8888"):
        fresh.mpw.receives(PART, 5, cost, MAIN)
        fresh.rests()
        fresh.cycle(minutes=70)  # its audit patches nothing, or the cost alone

    assert "cost_decimals" not in [row["fact"] for row in fresh.view("v_learned", system="mpservices")]


def test_the_decimals_that_mpservices_keeps_of_a_stock_are_learnt(fresh: World) -> None:
    fresh.mps.habits.stock_decimals = 1
    for quantity in ("5.6789", "1.2345", "0.5151"):
        fresh.mpw.receives(PART, quantity, 10, MAIN)
        fresh.rests()

    assert value(fresh, "mpservices", "stock_decimals") == "1"


@pytest.mark.parametrize("survives", [True, False])
def test_whether_the_mark_survives_is_learnt(fresh: World, survives: bool) -> None:
    fresh.mps.habits.cost_decimals = None if survives else 2
    for _ in range(3):
        fresh.mpw.receives(PART, 5, 10, MAIN)
        fresh.rests()

    assert value(fresh, "mpservices", "mark_survives") == ("yes" if survives else "no")


def test_a_vendor_that_shows_the_old_cost_does_not_teach_that_the_mark_survives(fresh: World) -> None:
    fresh.mps.habits.echo_cost = "old"
    for _ in range(4):
        fresh.mpw.receives(PART, 5, 10, MAIN)
        fresh.rests()

    assert fresh.view("v_learned", fact="mark_survives", value="yes") == []


@pytest.mark.parametrize("echoes", [True, False])
def test_whether_a_patch_of_nothing_makes_a_movement_is_learnt(fresh: World, echoes: bool) -> None:
    fresh.mps.habits.echo_of_nothing = echoes
    fresh.rests()
    for cost in (11, 12, 13):
        fresh.mpw.receipts[0].cost = fresh.mpw.receipts[0].cost * 0 + cost
        fresh.rests()

    assert value(fresh, "mpservices", "zero_echo") == ("yes" if echoes else "no")


@pytest.mark.parametrize("by_calendar", [False, True], ids=["rolling", "by calendar"])
def test_the_reach_of_the_window_and_its_kind_are_learnt(fresh: World, by_calendar: bool) -> None:
    fresh.mps.habits.by_calendar = by_calendar
    fresh.mps.habits.reach = timedelta(hours=24 if by_calendar else 48)
    for n in range(24 * 6):
        fresh.mps.moves(PART, 1 if n % 2 else -1, back=timedelta(minutes=20 * n))
    for _ in range(8):
        fresh.cycle(minutes=20)
    fresh.true.advance(timedelta(hours=9))
    for _ in range(9):
        fresh.mps.moves(PART, -1)
        fresh.mps.moves(PART, 1)
        fresh.cycle(minutes=20)
    fresh.true.advance(timedelta(hours=21))
    for _ in range(9):
        fresh.cycle(minutes=20)

    assert ("calendar" in value(fresh, "mpservices", "window_is")) is by_calendar
    assert by_calendar or 46 <= float(value(fresh, "mpservices", "window_hours")) <= 48


@pytest.mark.parametrize("honoured", [True, False])
def test_whether_page_is_honoured_is_learnt(world: World, honoured: bool) -> None:
    world.mpw.habits.page_honoured, world.mpw.habits.page_size = honoured, 3
    for n in range(5):
        day = (world.mpw.today - timedelta(days=n % 2)).isoformat()
        world.mpw.orders_some(1000 + n, created_on=day)
    world.cycle(2)

    assert len(world.view("v_purchase_orders")) == 5
    assert value(world, "mpw", "page_honoured") == ("yes" if honoured else "no")


@pytest.mark.parametrize("kept", [True, False])
def test_whether_the_descriptions_marker_survives_is_learnt(world: World, kept: bool) -> None:
    world.mpw.habits.description_kept = kept
    for _ in range(3):
        world.mps.moves(PART, -1)
        world.rests()

    assert world.stocks() == (97, 97)
    assert value(world, "mpw", "marker_survives") == ("yes" if kept else "no")


def test_how_long_a_description_may_be_is_learnt_and_the_marker_still_counts(world: World) -> None:
    world.mpw.habits.description_max = 30
    for n in range(3):
        world.erp_issuance(f"IS-{n}", 1, description="x" * 60)
        world.rests()

    assert world.mpw.stock(PART, MAIN) == 97
    assert world.pushed() == [ISSUANCE] * 3
    assert value(world, "mpw", "description_max") == "30"


def test_the_wording_of_exists_is_learnt(world: World) -> None:
    def hide(hidden: bool) -> None:
        world.mpw.issuances[-1].hidden = hidden

    world.mpw.habits.exists = "This api_key exists already"
    world.mpw.goes_wrong(ISSUANCE, answer="lost", after=lambda: hide(True))
    world.mps.moves(PART, -2)
    world.cycle(6)
    assert len(world.mpw.asked(ISSUANCE)) == 2, "it was not to be seen, and was sent once more under its key"
    hide(False)
    world.cycle(4)

    assert world.stocks() == (98, 98)
    assert "exists already" in value(world, "mpw", "exists_words")


def test_the_wording_of_maximum_is_learnt_from_a_split(world: World) -> None:
    world.mpw.receives(PART, 5, 10, MAIN)
    world.rests()
    world.mps.moves(PART, -103)
    world.cycle(6)

    assert world.stocks() == (2, 2)
    assert "maximum" in value(world, "mpw", "maximum_words").lower()


def test_a_refusal_in_words_that_nobody_knows_is_split_by_what_is_left_or_told(world: World) -> None:
    world.mpw.receives(PART, 5, 10, MAIN)
    world.mpw.habits.maximum = "Solo quedan {} en este recibo"
    world.rests()
    world.mps.moves(PART, -103)
    world.cycle(6)

    assert world.stocks() == (2, 2) or (world.mps.stock(PART) == 2 and world.told())


@pytest.mark.parametrize("taken", [True, False])
def test_whether_fractions_are_taken_is_learnt(world: World, taken: bool) -> None:
    world.restart(MPW_FRACTIONAL_ISSUANCES="true")
    world.mpw.habits.fractions = taken
    world.mps.moves(PART, "-1.5")
    world.cycle(4)

    assert value(world, "mpw", "fractions_taken") == ("yes" if taken else "no")


def test_what_contradicts_a_learnt_fact_is_told(world: World) -> None:
    world.mpw.receives(PART, 5, 10, MAIN)
    world.rests()
    world.mpw.receives(PART, 5, 10, MAIN)
    world.rests()
    before = world.told()
    world.mps.habits.cost_decimals = 1
    for cost in ("3.777777", "4.666666", "5.888888"):
        world.mpw.receives(PART, 5, cost, MAIN)
        world.rests()

    assert before == []
    assert world.ever_told(), "the mark no longer survives, and a cost is kept with other decimals"
    assert world.stocks()[0] == world.stocks()[1]


@pytest.mark.parametrize("first", [2, 1])
def test_fewer_decimals_of_a_cost_than_were_learnt_are_told(fresh: World, first: int) -> None:
    costs = ("377.8888", "470.1111", "671.2222", "398.1234")
    fresh.mps.habits.cost_decimals = first
    for cost in costs[:2]:
        fresh.mpw.receives(PART, 5, cost, MAIN)
        fresh.rests()
    before = value(fresh, "mpservices", "cost_decimals")
    fresh.mps.habits.cost_decimals = 0
    for cost in costs[2:]:
        fresh.mpw.receives(PART, 5, cost, MAIN)
        fresh.rests()

    assert before == str(first)
    assert "learned_contradicted" in fresh.ever_told()
    assert value(fresh, "mpservices", "cost_decimals") == "0"
    assert fresh.told() == []  # two such rows in a row settle it


@pytest.mark.parametrize("then", [2, None])
def test_more_decimals_of_a_cost_than_were_learnt_are_believed(fresh: World, then: int | None) -> None:
    costs = ("377.8888", "470.1111", "671.2222", "398.1234")
    fresh.mps.habits.cost_decimals = 0
    for cost in costs[:2]:
        fresh.mpw.receives(PART, 5, cost, MAIN)
        fresh.rests()
    before = value(fresh, "mpservices", "cost_decimals")
    fresh.mps.habits.cost_decimals = then
    for cost in costs[2:]:
        fresh.mpw.receives(PART, 5, cost, MAIN)
        fresh.rests()

    assert before == "0"
    assert value(fresh, "mpservices", "cost_decimals") == str(then or 6)


def test_what_a_person_sets_stands(world: World) -> None:
    world.mpw.habits.page_honoured, world.mpw.habits.page_size = False, 3
    code, said = world.mpsync("learned", "set", "page_honoured", "yes", "--why", "we asked them")
    code = code or 0
    for n in range(5):
        world.mpw.orders_some(1000 + n, created_on=(world.mpw.today - timedelta(days=n % 2)).isoformat())
    world.cycle(2)

    listed = json.JSONDecoder().raw_decode(world.mpsync("learned", "list", "--json")[1])[0]
    assert code == 0, said
    assert "we asked them" in json.dumps(listed)


def test_doctor_shows_what_was_learnt(world: World) -> None:
    world.mpw.receives(PART, 5, 10, MAIN)
    world.rests()
    names = [row["fact"] for row in world.view("v_learned")]

    _, said = world.mpsync("doctor")

    assert names
    assert any(name in said or name.replace("_", " ") in said for name in names)
