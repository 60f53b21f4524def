"""Section 1: whatever MPservices' stock really is, and however its movements look, nothing feeds itself."""

from __future__ import annotations

from datetime import timedelta
from decimal import ROUND_DOWN, Decimal
from itertools import pairwise
from typing import Any

import pytest

from sync.jobs.reports import Record
from sync.stock.echo import tell as echoes
from sync.stock.rules import FOLLOW_UPS_MAX
from tests.standin.mpservices import PATCH, Line
from tests.standin.mpw import ISSUANCE, RECEIPT
from tests.standin.server import Reply
from tests.standin.world import MAIN, OTHER, PART, World

CYCLES = 6
LONG = 12
"""MPW went from 94 pieces to 28 in eight cycles."""


def recosts(world: World, cost: Any) -> None:
    """Let a person in MPW correct what its receipt cost: the stock is the same."""
    world.mpw.receipts[0].cost = Decimal(str(cost))


def stays(world: World, stock: Any, cycles: int = CYCLES) -> None:
    """Run cycles in which nobody does anything; MPW's stock never moves."""
    for n in range(cycles):
        world.cycle()
        assert world.mpw.stock(PART, MAIN) == Decimal(str(stock)), f"in cycle {n + 1}"


def digit(cost: Decimal) -> int:
    """Return a cost's sixth decimal."""
    return int(cost.scaleb(6)) % 10


# ---------------------------------------------------------------------- drift


@pytest.mark.parametrize("drift", [-2, 2, -30])
def test_stock_edited_without_a_movement_and_then_a_new_cost_leave_mpws_stock_alone(world: World, drift: int) -> None:
    world.mps.edits_stock(PART, drift)
    before = world.patches()
    recosts(world, 12)

    stays(world, 100, LONG)

    assert world.stocks() == (100, 100)
    assert world.pushed() == []
    assert 1 <= world.patches() - before <= 2
    assert world.told(), "the drift is an exception: neither rounding nor a late movement explains it"


@pytest.mark.parametrize("drift", [-2, 2])
def test_stock_edited_without_a_movement_and_then_a_receipt_in_mpw_leave_no_phantom(world: World, drift: int) -> None:
    world.mps.edits_stock(PART, drift)
    before = world.patches()
    world.mpw.receives(PART, 5, 10, MAIN)

    stays(world, 105)

    assert world.stocks() == (105, 105)
    assert world.pushed() == []
    assert world.patches() - before <= 2
    assert world.told()


@pytest.mark.parametrize("change", [-2, 2])
def test_a_persons_movement_of_an_unknown_type_is_neither_erased_nor_answered(world: World, change: int) -> None:
    before = world.patches()
    world.mps.moves(PART, change, type="Merma")
    recosts(world, 12)

    stays(world, 100)

    assert world.stocks() == (100, 100 + change)
    assert world.patches() == before, "its stock is not known: a patch would erase what the person did"
    assert "unknown_value" in world.told()


@pytest.mark.parametrize("change", [-2, 2])
def test_a_movement_that_shows_up_late_with_an_earlier_stamp_has_its_one_effect(world: World, change: int) -> None:
    world.cycle(minutes=60)  # else its stamp lies before the first run
    world.mps.moves(PART, change, back=timedelta(minutes=20), shown_after=timedelta(minutes=22))
    recosts(world, 12)

    world.cycle(LONG)
    world.rests()

    assert world.stocks() == (100 + change, 100 + change)
    assert len(world.pushed()) == 1
    assert world.told() == [], "the late movement explains the drift"


@pytest.mark.parametrize("change", [-2, 2])
def test_a_movement_without_external_id_makes_no_phantom(world: World, change: int) -> None:
    before = world.patches()
    world.mps.moves(PART, change, external=False)
    recosts(world, 12)

    stays(world, 100)

    assert world.pushed() == []
    assert world.patches() - before <= 2
    assert world.told()


def test_a_drift_and_a_cost_that_keeps_changing_blow_the_fuse(world: World) -> None:
    before = world.patches()
    world.mps.goes_wrong(PATCH, before=lambda: world.mps.edits_stock(PART, -2), times=100)

    for n in range(LONG):
        recosts(world, 11 + n % 2)
        world.cycle()
        assert world.mpw.stock(PART, MAIN) == 100

    assert world.pushed() == []
    assert world.patches() - before <= 4
    assert world.view("v_stock", external_id=PART)[0]["blocked_reason"]
    assert world.status()


def test_patches_whose_movement_fits_reset_the_fuse(world: World) -> None:
    for n in range(3):
        world.mps.edits_stock(PART, -1)
        world.mpw.receives(PART, 5, 10, MAIN)
        world.rests()
        world.mpw.receives(PART, 5, 10, MAIN)
        world.rests()
        assert world.stocks() == (110 + 10 * n, 110 + 10 * n)

    assert world.pushed() == []


# ---------------------------------------------------------------------- the mark


def test_each_patch_carries_a_digit_that_no_movement_shows(world: World) -> None:
    world.mpw.receives(PART, 50, "3.3333377", MAIN)
    world.rests()
    world.mps.moves(PART, -1)
    world.rests()

    patches = world.mps.patches(PART)
    digits = [digit(cost) for _, cost in patches]
    assert len(patches) >= 3
    assert all(1 <= one <= 9 for one in digits)
    assert all(one != other for one, other in pairwise(digits))


def test_a_marked_cost_is_cut_to_five_decimals_and_never_rounded_up(world: World) -> None:
    world.mpw.receives(PART, 200, "3.33335", MAIN)
    average = world.mpw._inventory(world.mpw.parts[0])["unit_cost"]
    world.rests()

    _, cost = world.mps.patches(PART)[-1]
    assert cost.quantize(Decimal("0.00001"), ROUND_DOWN) == average.quantize(Decimal("0.00001"), ROUND_DOWN)
    assert cost - average < Decimal("0.00001")


def test_a_cost_below_a_cent_carries_no_mark(fresh: World) -> None:
    fresh.mpw.receipts[0].cost = Decimal("0.005")
    fresh.rests()

    assert {cost for _, cost in fresh.mps.patches(PART)} == {Decimal("0.005")}


def test_without_the_setting_no_patch_is_marked(fresh: World) -> None:
    fresh.restart(MPSERVICES_COST_MARK="false")
    fresh.rests()
    fresh.mpw.receives(PART, 5, 10, MAIN)
    fresh.rests()

    assert {cost for _, cost in fresh.mps.patches(PART)} == {Decimal(10)}
    assert fresh.stocks() == (105, 105)


def test_the_mark_never_reaches_mpw_by_what_people_move_at_it(world: World) -> None:
    assert digit(world.mps.products[PART].cost)
    for change in (5, -3, 4):
        world.mps.moves(PART, change)
        world.rests()

    assert world.stocks() == (106, 106)
    assert {receipt.cost for receipt in world.mpw.receipts} == {Decimal(10)}
    assert {entry["unit_cost"] for entry in world.view("v_ledger", system="mpservices")} == {Decimal(10)}
    assert world.told() == []


def test_people_who_move_at_the_marked_cost_make_no_patch_of_their_own(world: World) -> None:
    before = world.patches()
    for _ in range(5):
        world.mps.moves(PART, -1)
        world.cycle()
    world.rests()

    assert world.stocks() == (95, 95)
    assert world.patches() - before <= 5


# ---------------------------------------------------------------------- people round a patch


def interleaved(world: World, *, drift: int, silent: bool, call: str, stock: bool) -> None:
    """A patch goes out while people move at its cost before, just after, and later."""
    world.mps.habits.echo_of_nothing = not silent
    world.mps.edits_stock(PART, drift)
    if stock:
        world.mpw.receives(PART, 5, 10, MAIN)
    else:
        recosts(world, 12)
    how: dict[str, Any] = {
        "answered": {},
        "answer lost": {"answer": "lost"},
        "request lost": {"effect": "never", "answer": "lost"},
        "held up": {"effect": 1500.0, "answer": "lost"},
        "failed": {"answer": Reply(502, b"<html>")},
    }[call]
    world.mps.goes_wrong(PATCH, before=lambda: world.mps.moves(PART, 3), after=lambda: world.mps.moves(PART, -4), **how)
    world.cycle()
    world.mps.moves(PART, -1)
    world.cycle(LONG)
    world.rests()


@pytest.mark.parametrize("stock", [False, True], ids=["cost-only", "stock"])
@pytest.mark.parametrize("call", ["answered", "answer lost", "request lost", "held up", "failed"])
@pytest.mark.parametrize(("drift", "silent"), [(0, False), (-2, True)], ids=["exact", "drift-silent"])
def test_people_round_a_patch_have_their_effect_and_the_echo_has_none(
    world: World, drift: int, silent: bool, call: str, stock: bool
) -> None:
    interleaved(world, drift=drift, silent=silent, call=call, stock=stock)

    due = 100 + 5 * stock + 3 - 4 - 1
    assert world.stocks() == (due, due)
    assert sorted(world.pushed()) == [ISSUANCE, ISSUANCE, "POST receipts"]
    assert world.patches() <= 12


def test_a_persons_movement_of_several_lines_at_the_mark_is_a_persons(world: World) -> None:
    world.mps.add("P-2", 50, 4)
    world.mpw.adds("P-2", MAIN, 50, 4)
    world.mps.moves(PART, -4)
    cost = world.mps.products["P-2"].cost
    world.mps.movements[-1].lines += (Line("P-2", Decimal(-1), cost, "P-2"),)
    world.mps.edits_stock("P-2", -1)

    world.rests()

    assert world.stocks() == (96, 96)
    assert world.mpw.stock("P-2", MAIN) == 49


def test_a_patch_that_lands_after_a_newer_one_is_recognised_by_its_own_mark(world: World) -> None:
    world.mps.goes_wrong(PATCH, effect=1500.0, answer="lost")
    world.mpw.receives(PART, 5, 10, MAIN)
    world.cycle(4)
    world.mpw.receives(PART, 3, 10, MAIN)

    world.cycle(LONG)
    world.rests()

    assert world.stocks() == (108, 108)
    assert world.pushed() == []


@pytest.mark.parametrize("effect", [True, False], ids=["it landed", "it did not"])
def test_killed_in_an_items_first_patch_with_people_at_its_cost_in_its_second_it_ends(
    fresh: World, effect: bool
) -> None:
    fresh.mps.habits.stamps = timedelta(seconds=1)
    fresh.cycle_killed(fresh.mps, PATCH, effect=effect, then=lambda: fresh.mps.moves(PART, -4))

    fresh.rests()

    assert fresh.states(state="unknown") == []
    assert fresh.stocks() == (96, 96)
    assert fresh.pushed() == [ISSUANCE]


# ---------------------------------------------------------------------- how an echo looks


@pytest.mark.parametrize("signed", [False, True], ids=["without sign", "signed"])
@pytest.mark.parametrize("word", ["Adjustment", "Outbound"])
def test_an_echo_of_whatever_type_and_sign_is_ours_and_no_quarantined_row(
    world: World, word: str, signed: bool
) -> None:
    world.mps.habits.echo_type, world.mps.habits.echo_signed = word, signed
    world.mps.habits.echo_reference = "API"
    world.mpw.receives(PART, 5, 10, MAIN)
    world.rests()
    world.mpw.issues(PART, 8, MAIN)
    world.rests()

    assert world.stocks() == (97, 97)
    assert world.pushed() == []
    assert world.view("v_quarantine", resolved_at=None) == []
    assert world.told() == []


@pytest.mark.parametrize("drift", [-2, 2])
def test_an_echo_of_an_unknown_type_corrects_the_belief_too(world: World, drift: int) -> None:
    world.mps.habits.echo_type = "Adjustment"
    world.mps.edits_stock(PART, drift)
    recosts(world, 12)

    stays(world, 100)

    assert world.stocks() == (100, 100)
    assert world.pushed() == []


def test_an_echo_of_an_unknown_type_after_people_at_the_mark_makes_no_row_without_end(world: World) -> None:
    world.mps.habits.echo_type, world.mps.habits.echo_of_nothing = "Adjustment", False
    world.mps.moves(PART, -2)
    world.mps.moves(PART, -2, cost=12)
    world.cycle()
    assert len(world.view("v_outbox")) < 12, "follow-up patches are derived and superseded for ever"
    world.rests()

    assert world.stocks() == (96, 96)
    assert world.pushed() == [ISSUANCE] * 2


def test_a_persons_movement_in_the_second_of_a_patch_explains_what_its_echo_moved(world: World) -> None:
    world.mps.habits.stamps = timedelta(seconds=1)
    world.mps.goes_wrong(PATCH, before=lambda: world.mps.moves(PART, -1, cost=12))
    world.mpw.receives(PART, 6, 10, MAIN)
    world.rests()

    assert world.stocks() == (105, 105)
    assert world.pushed() == [ISSUANCE]
    assert world.told() == []


def test_an_echo_that_shows_the_old_cost_misleads_nobody(world: World) -> None:
    world.mps.habits.echo_cost = "old"
    for n in range(4):
        world.mpw.receives(PART, 5, 10 + n, MAIN)
        world.mps.moves(PART, -1)
        world.rests()

    assert world.stocks() == (116, 116)
    assert world.pushed() == [ISSUANCE] * 4
    assert world.patches() <= 16


def test_a_person_is_asked_once_about_a_vendor_that_shows_the_old_cost_and_is_silent_on_nothing(fresh: World) -> None:
    fresh.mps.habits.echo_cost, fresh.mps.habits.echo_of_nothing = "old", False
    fresh.rests()
    fresh.mpw.receives(PART, 5, 10, MAIN)
    fresh.rests()
    (echo,) = [movement.id for movement in fresh.mps.movements]
    fresh.resolve("echo_undecided", "--echo", echo)
    for cost in (10, 11):
        fresh.mpw.receives(PART, 5, cost, MAIN)
        fresh.rests()

    assert fresh.stocks() == (115, 115)
    assert fresh.pushed() == []
    assert fresh.told() == []


def test_an_echo_without_external_id_is_not_taken_for_a_persons(world: World) -> None:
    world.mps.habits.echo_external_id = False
    world.mpw.receives(PART, 5, 10, MAIN)

    stays(world, 105)

    assert world.pushed() == []
    assert world.patches() <= 6


def test_a_movements_cost_that_is_a_total_stops_patches_where_the_setting_says_unit(world: World) -> None:
    world.mps.habits.cost_shown = "total"
    world.mpw.receives(PART, 5, 10, MAIN)
    stays(world, 105, 4)
    before = world.patches()
    world.mpw.receives(PART, 5, 10, MAIN)
    stays(world, 110)

    assert world.pushed() == []
    assert world.patches() == before
    assert any("MPSERVICES_COST_IS" in str(row["hint"]) for row in world.view("v_exceptions", resolved_at=None))

    world.restart(MPSERVICES_COST_IS="total")
    world.rests()
    assert world.stocks() == (110, 110)
    assert world.told() == []


@pytest.mark.parametrize("silent", [False, True])
def test_where_costs_are_totals_and_the_setting_says_so_all_comes_to_rest(fresh: World, silent: bool) -> None:
    fresh.mps.habits.cost_shown, fresh.mps.habits.echo_of_nothing = "total", not silent
    fresh.restart(MPSERVICES_COST_IS="total")
    fresh.rests()
    fresh.mpw.receives(PART, 5, 10, MAIN)
    fresh.mps.moves(PART, -3)
    fresh.rests()
    recosts(fresh, 12)
    fresh.rests()

    assert fresh.stocks() == (102, 102)
    assert fresh.pushed() == [ISSUANCE]
    assert fresh.told() == []
    assert fresh.patches() <= 8


# ---------------------------------------------------------------------- rounding


@pytest.mark.parametrize("cuts", [False, True], ids=["rounds", "cuts"])
@pytest.mark.parametrize(("stock", "cost"), [(None, 2), (None, 1), (2, 0), (1, 2), (0, 0)])
def test_a_vendor_that_keeps_fewer_decimals_comes_to_rest_without_a_person(
    fresh: World, stock: int | None, cost: int, cuts: bool
) -> None:
    habits = fresh.mps.habits
    habits.stock_decimals, habits.cost_decimals, habits.cuts = stock, cost, cuts
    fresh.cycle(2)
    fresh.mpw.receives(PART, "5.6789", "3.777777", MAIN)
    fresh.rests()
    fresh.mps.moves(PART, -3)
    fresh.rests()
    recosts(fresh, "11.1177")
    fresh.rests()

    ours, theirs = fresh.stocks()
    assert ours == Decimal("102.6789")
    assert abs(ours - theirs) < Decimal(1).scaleb(-(6 if stock is None else stock))
    assert fresh.pushed() == [ISSUANCE]
    assert fresh.told() == []
    assert fresh.patches() <= 10


@pytest.mark.parametrize("decimals", [1, 2, 0])
def test_a_whole_difference_of_uneven_stocks_teaches_nothing_of_the_decimals_kept(fresh: World, decimals: int) -> None:
    fresh.mps.habits.stock_decimals = decimals
    fresh.cycle(2)
    fresh.mpw.receives(PART, "5.6789", 10, MAIN)
    fresh.rests()
    assert fresh.learned()["mpservices stock_decimals"] == str(decimals)
    recosts(fresh, "11.11")  # a movement of 0, though the stock that is set has four decimals
    fresh.rests()
    fresh.mpw.receives(PART, "1.3456", 10, MAIN)
    fresh.rests()

    ours, theirs = fresh.stocks()
    assert fresh.learned()["mpservices stock_decimals"] == str(decimals)
    assert abs(ours - theirs) <= Decimal(1).scaleb(-decimals) / 2
    assert fresh.ever_told() == []
    assert fresh.patches() <= 8


@pytest.mark.parametrize(("first", "second"), [("10", "10.4"), ("5.1096", "5.1507")])
def test_a_cost_that_ends_with_noughts_teaches_nothing_of_the_decimals_kept(
    fresh: World, first: str, second: str
) -> None:
    """A vendor that cuts to two decimals shows 5.1096 as 5.1: that is no vendor of one decimal."""
    fresh.mps.habits.cost_decimals, fresh.mps.habits.cuts = 2, True
    recosts(fresh, "4.4444")
    fresh.mpw.receives(PART, 5, "4.4444", MAIN)
    fresh.rests()
    recosts(fresh, first)
    fresh.mpw.receipts[1].cost = Decimal(first)
    fresh.mpw.receives(PART, 3, first, MAIN)
    fresh.rests()
    for one in fresh.mpw.receipts:
        one.cost = Decimal(second)
    fresh.rests()

    assert fresh.mps.products[PART].cost == Decimal(second).quantize(Decimal("0.01"), ROUND_DOWN)
    assert fresh.ever_told() == []
    assert fresh.patches() <= 10


@pytest.mark.parametrize(("first", "second"), [("5.1012", "0.0488"), ("5.0012", "0.0488")])
def test_a_stock_that_ends_with_noughts_teaches_nothing_of_the_decimals_kept(
    fresh: World, first: str, second: str
) -> None:
    fresh.mps.habits.stock_decimals, fresh.mps.habits.cuts = 2, True
    fresh.cycle(2)
    fresh.mpw.receives(PART, first, 10, MAIN)
    fresh.rests()
    fresh.mpw.receives(PART, second, 10, MAIN)
    fresh.rests()

    ours, theirs = fresh.stocks()
    assert theirs == ours.quantize(Decimal("0.01"), ROUND_DOWN)
    assert fresh.ever_told() == []
    assert fresh.patches() <= 8


@pytest.mark.parametrize("cuts", [False, True], ids=["rounds", "cuts"])
@pytest.mark.parametrize("decimals", [2, 0])
def test_a_vendor_that_begins_to_drop_decimals_once_the_mark_was_proved_feeds_nothing(
    world: World, decimals: int, cuts: bool
) -> None:
    world.mps.habits.cost_decimals, world.mps.habits.cuts = decimals, cuts
    world.mpw.receives(PART, 5, "3.777777", MAIN)
    stays(world, 105)

    assert world.pushed() == [], "our own echo went to MPW as a person's receipt"
    assert world.patches() <= 6


@pytest.mark.parametrize("decimals", [None, 2, 0])
def test_a_dozen_in_one_comes_to_rest_without_a_person(fresh: World, decimals: int | None) -> None:
    fresh.mps.habits.stock_decimals, fresh.mps.habits.cost_decimals = decimals, decimals
    fresh.maps((PART, PART, (MAIN,), 12))
    fresh.rests()
    fresh.mps.moves(PART, -1)
    fresh.rests()
    fresh.mpw.receives(PART, 7, 10, MAIN)
    fresh.rests()

    ours, theirs = fresh.stocks()
    assert ours == 95
    assert abs(ours / 12 - theirs) <= Decimal(1).scaleb(-(5 if decimals is None else decimals))
    assert fresh.pushed() == [ISSUANCE]
    assert fresh.told() == []
    assert fresh.patches() <= 8


def test_an_average_that_mpservices_works_out_itself_feeds_nothing(world: World) -> None:
    world.mps.habits.averages = True
    for n in range(4):
        world.mps.moves(PART, 7, cost=11 + n)
        world.rests()

    assert world.stocks() == (128, 128)
    assert world.pushed() == ["POST receipts"] * 4
    assert world.told() == []
    assert world.patches() <= 10


# ---------------------------------------------------------------------- patches that do nothing


def test_a_2xx_that_did_nothing_is_sent_once_more_with_a_mark_of_its_own(world: World) -> None:
    world.mps.goes_wrong(PATCH, effect="never", answer=Reply(200, {"success": True}))
    before = world.patches()
    world.mpw.receives(PART, 5, 10, MAIN)

    world.rests()

    assert world.stocks() == (105, 105)
    one, other = world.mps.patches(PART)[before:]
    assert one[0] == other[0] == 105
    assert digit(one[1]) != digit(other[1])
    assert world.told() == []


def test_patches_that_never_do_anything_stop_after_the_second_and_are_not_believed(world: World) -> None:
    world.mps.goes_wrong(PATCH, effect="never", answer=Reply(200, {"success": True}), times=100)
    before = world.patches()
    world.mpw.receives(PART, 5, 10, MAIN)

    stays(world, 105)

    assert world.patches() - before == 2
    assert "patch_without_echo" in world.told()
    (item,) = world.view("v_stock", external_id=PART)
    assert item["mpservices_quantity"] != 105 or not item["verified"]
    assert item["blocked_reason"]
    assert world.status()


def test_a_vendor_that_never_shows_an_echo_is_asked_about_and_not_patched_for_ever(world: World) -> None:
    world.mps.habits.echo = False
    for _ in range(4):
        world.mpw.receives(PART, 5, 10, MAIN)
        world.cycle(4)

    assert world.patches() <= 6
    assert "patch_without_echo" in world.told()
    assert world.pushed() == []


@pytest.mark.parametrize("answer", [None, "lost", 500, 503, 408])
def test_a_patch_whose_answer_failed_after_its_effect_has_one_effect(world: World, answer: Any) -> None:
    how = {"answer": Reply(answer, b"<html>")} if isinstance(answer, int) else {"answer": answer}
    world.mps.goes_wrong(PATCH, **how)
    world.mpw.receives(PART, 5, 10, MAIN)
    world.rests()

    assert world.stocks() == (105, 105)
    assert world.pushed() == []
    assert world.told() == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_patch_that_failed_before_its_effect_is_made_good(world: World, status: int) -> None:
    world.mps.goes_wrong(PATCH, effect="never", answer=Reply(status, {"message": "later"}))
    world.mpw.receives(PART, 5, 10, MAIN)
    world.cycle(6)
    world.rests()

    assert world.stocks() == (105, 105)
    assert world.pushed() == []
    assert world.told() == []


# ---------------------------------------------------------------------- what leaves no row


@pytest.mark.parametrize("leave", ["both", "destination", "nothing"])
def test_a_transfer_of_peoples_is_found_within_the_hour_whatever_rows_it_leaves(world: World, leave: Any) -> None:
    world.mpw.habits.transfers_leave = leave
    world.mpw.transfers(PART, 10, MAIN, OTHER)

    world.cycle(14)

    assert world.stocks() == (90, 90)
    assert world.told() == []


def test_all_mapped_items_are_looked_at_within_the_audits_time_a_few_each_round(fresh: World) -> None:
    parts = [f"A-{n:02d}" for n in range(10)]
    for part in parts:
        fresh.mpw.adds(part, MAIN, 20, 3)
        fresh.mps.add(part, 20, 3)
    fresh.maps(*((part, part, (MAIN,), 1) for part in parts))
    fresh.mpw.habits.transfers_leave = "nothing"
    fresh.rests()
    for part in parts:
        fresh.mpw.transfers(part, 5, MAIN, OTHER)
    most = 0
    for _ in range(14):
        before = len(fresh.mpw.asked("GET inventories"))
        fresh.cycle()
        most = max(most, len(fresh.mpw.asked("GET inventories")) - before)

    assert {part: fresh.mps.stock(part) for part in parts} == dict.fromkeys(parts, 15)
    assert most < 3 * len(parts)


# ---------------------------------------------------------------------- where there is no mark to go by


def test_a_lost_answer_whose_patch_lands_after_our_patience_makes_no_receipt_where_costs_are_rounded(
    fresh: World,
) -> None:
    fresh.mps.habits.cost_decimals, fresh.mps.habits.echo_of_nothing = 2, False
    fresh.cycle(2)
    fresh.mpw.receives(PART, 5, 12, MAIN)
    fresh.mps.goes_wrong(PATCH, effect=40.0, answer="lost")
    stays(fresh, 105)
    fresh.mpw.receives(PART, 1, 12, MAIN)
    fresh.mps.goes_wrong(PATCH, effect=40.0, answer="lost")
    fresh.rests()

    assert fresh.stocks() == (106, 106)
    assert fresh.pushed() == []
    assert fresh.told() == []


def test_a_patch_that_lands_late_at_the_cost_that_there_was_is_not_taken_for_a_persons_receipt(fresh: World) -> None:
    fresh.mps.habits.cost_decimals, fresh.mps.habits.echo_of_nothing = 2, False
    fresh.cycle(2)
    fresh.mpw.receives(PART, 5, 10, MAIN)
    fresh.mps.goes_wrong(PATCH, effect=40.0, answer="lost")
    fresh.cycle(CYCLES)

    assert fresh.mpw.stock(PART, MAIN) == 105, "a person may have moved just that much: it is asked, not guessed"
    assert fresh.told() == ["echo_undecided"]
    assert fresh.pushed() == []

    (doubt,) = fresh.view("v_exceptions", kind="echo_undecided", resolved_at=None)
    (movement,) = [one.id for one in fresh.mps.movements]
    code, said = fresh.mpsync("exceptions", "resolve", str(doubt["id"]), "--echo", movement, "--why", "a test's person")
    fresh.rests()

    assert code == 0, said
    assert fresh.stocks() == (105, 105)
    assert fresh.told() == []


@pytest.mark.parametrize("echo_type", [None, "Adjustment"])
def test_what_people_move_at_the_cost_of_a_silent_first_patch_minutes_later_is_theirs_at_once(
    fresh: World, echo_type: str | None
) -> None:
    fresh.mps.habits.echo_of_nothing, fresh.mps.habits.echo_type = False, echo_type
    fresh.cycle(2)
    patches = fresh.patches()
    fresh.mps.moves(PART, 5)
    fresh.cycle()

    assert fresh.mpw.stock(PART, MAIN) == 105
    fresh.mps.moves(PART, -1, cost=12)
    fresh.mps.moves(PART, -1)
    fresh.rests()

    assert fresh.stocks() == (103, 103)
    assert fresh.patches() <= patches + 2, "nothing had to be asked"
    assert fresh.ever_told() == []


@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("then", [0, -5], ids=["", "people in the follow-up's second"])
def test_a_rounded_cost_tells_the_echo_from_a_persons_movement_of_the_same_second(
    fresh: World, order: Any, then: int
) -> None:
    fresh.mps.habits.cost_decimals, fresh.mps.habits.stamps = 2, timedelta(seconds=1)
    fresh.mps.habits.order = order
    fresh.cycle(2)
    fresh.mpw.receives(PART, 1, 12, MAIN)
    fresh.rests()
    fresh.mpw.receives(PART, 5, 12, MAIN)
    fresh.mps.goes_wrong(PATCH, before=lambda: fresh.mps.moves(PART, 2, cost=10))
    fresh.cycle()
    if then:
        fresh.mps.goes_wrong(PATCH, after=lambda: fresh.mps.moves(PART, then))
        fresh.mpw.receives(PART, 1, 12, MAIN)
    fresh.rests()

    assert fresh.stocks() == (108 + then + (1 if then else 0),) * 2
    assert fresh.told() == []


def test_a_patch_that_did_nothing_beside_people_in_its_second_leaves_them_their_effect(world: World) -> None:
    world.mps.habits.stamps = timedelta(seconds=1)
    world.mpw.receives(PART, 1, 10, MAIN)

    def people() -> None:
        world.mps.moves(PART, 5)
        world.mps.moves(PART, -2, cost=12)

    world.mps.goes_wrong(PATCH, effect="never", answer=Reply(200, {}), after=people)
    world.mps.goes_wrong(PATCH, before=lambda: world.mps.moves(PART, -1, cost=12))
    world.rests()

    assert world.stocks() == (103, 103)
    assert "echo_undecided" not in world.ever_told()


def test_a_patch_that_did_nothing_after_an_echo_of_an_unknown_type_is_sent_once_more(fresh: World) -> None:
    fresh.mps.habits.echo_type, fresh.mps.habits.echo_of_nothing = "Adjustment", False
    fresh.cycle(2)
    fresh.mpw.receives(PART, 2, 12, MAIN)
    fresh.rests()
    fresh.mps.goes_wrong(PATCH, effect="never", answer=Reply(200, {}))
    fresh.mpw.receives(PART, 2, 12, MAIN)
    fresh.rests()

    assert fresh.stocks() == (104, 104)
    assert fresh.ever_told() == []


def doubts_of_an_unknown_type(world: World) -> list[Record]:
    """Return two doubts about patches' movements, whose type no document names; people's is beside the second one."""
    world.mps.habits.echo_type, world.mps.habits.cost_decimals = "Adjustment", 2
    world.mps.habits.echo_of_nothing = False
    world.cycle(2)
    world.mps.moves(PART, 4)
    world.mpw.receives(PART, 2, 10, MAIN)
    world.mps.goes_wrong(PATCH, effect=40.0, answer="lost")
    world.mps.goes_wrong(PATCH, before=lambda: world.mps.moves(PART, -1, cost=10))
    world.mps.goes_wrong(PATCH, effect="never", answer="lost")
    world.cycle(2, minutes=20)
    world.cycle(4)
    return world.view("v_exceptions", kind="echo_undecided", resolved_at=None)


def says(world: World, doubt: Record, *choice: str) -> None:
    """Let a person end a doubt."""
    code, said = world.mpsync("exceptions", "resolve", str(doubt["id"]), "--why", "a test's person", *choice)
    assert code == 0, said


@pytest.mark.parametrize("days", [0, 3], ids=["at once", "when the feed shows neither any more"])
def test_a_person_names_an_echo_of_an_unknown_type_and_what_people_moved_beside_it_reaches_mpw(
    fresh: World, days: int
) -> None:
    doubts = doubts_of_an_unknown_type(fresh)
    _, first, people, second = fresh.mps.movements
    fresh.cycle(3 * days, minutes=24 * 60 / 3)
    for doubt, echo in zip(doubts, (first, second), strict=True):
        says(fresh, doubt, "--echo", echo.id)
    fresh.rests()

    assert people.id in doubts[-1]["detail"]
    assert fresh.stocks() == (105, 105)
    assert fresh.pushed() == [RECEIPT, ISSUANCE]
    assert fresh.told() == []
    assert fresh.view("v_quarantine", resolved_at=None) == []


def test_a_person_who_says_that_people_made_all_of_them_is_not_asked_about_those_of_unknown_types_again(
    fresh: World,
) -> None:
    doubts = doubts_of_an_unknown_type(fresh)
    for doubt in doubts:
        says(fresh, doubt, "--none")
    fresh.cycle(CYCLES)

    assert len(fresh.view("v_exceptions", kind="echo_undecided")) == len(doubts)
    assert fresh.told() == ["quarantined_row", "unknown_value"], "what they do to the stock, only people know"

    (told,) = fresh.view("v_exceptions", kind="unknown_value", resolved_at=None)
    says(fresh, told)
    fresh.rests()

    assert fresh.stocks() == (105, 105)
    assert fresh.told() == []


def test_a_follow_up_about_movements_of_known_and_unknown_types_is_sent_as_it_was_worked_out(fresh: World) -> None:
    fresh.mps.habits.echo_type, fresh.mps.habits.cost_decimals = "Adjustment", 2
    fresh.mps.habits.echo_of_nothing = False
    fresh.cycle(2)
    fresh.mpw.receives(PART, 2, 12, MAIN)
    fresh.rests()
    fresh.mps.edits_stock(PART, 7)
    fresh.mpw.receives(PART, 1, 10, MAIN)

    def people() -> None:
        fresh.mps.moves(PART, -1)
        fresh.mps.moves(PART, -2, cost=12)

    fresh.mps.goes_wrong(PATCH, before=people)
    fresh.cycle()
    assert len(fresh.view("v_outbox")) < 12, "follow-up patches are derived and superseded for ever"
    fresh.rests()

    assert fresh.stocks() == (100, 100)
    assert "echo_undecided" not in fresh.ever_told()


def test_an_echo_that_a_follow_up_told_shows_that_the_mark_is_lost_and_the_next_one_is_asked_of_nobody(
    fresh: World,
) -> None:
    fresh.mps.habits.echo_cost, fresh.mps.habits.echo_of_nothing = "old", False
    fresh.mps.edits_stock(PART, -5)
    fresh.rests()
    assert fresh.learned()["mpservices mark_survives"] == "no"
    fresh.mpw.receives(PART, 5, 12, MAIN)
    fresh.rests()

    assert fresh.stocks() == (105, 105)
    assert fresh.pushed() == []
    assert fresh.ever_told() == []


# ---------------------------------------------------------------------- the follow-up itself


def changes_its_ways(world: World) -> None:
    """A vendor begins to show the old cost, and nothing of a patch that changes nothing; people move at such a cost."""
    world.mps.habits.echo_of_nothing, world.mps.habits.echo_cost = False, "old"
    world.mpw.receives(PART, 5, 12, MAIN)
    world.mps.goes_wrong(PATCH, before=lambda: world.mps.moves(PART, -2))


def test_a_vendor_that_changes_its_ways_is_asked_a_few_times_and_not_for_ever(world: World) -> None:
    before = world.patches()
    changes_its_ways(world)

    world.rests()

    assert world.stocks() == (103, 103)
    assert world.pushed() == [ISSUANCE]
    assert world.patches() - before <= 6


def test_follow_ups_are_counted_whatever_the_rules_of_the_echo_say_and_then_a_person_is_asked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = echoes._attempt
    monkeypatch.setattr(echoes, "_attempt", lambda *args, **kwargs: told(*args, **{**kwargs, "again": False}))
    before = world.patches()
    changes_its_ways(world)

    world.rests()

    assert world.patches() - before == 1 + FOLLOW_UPS_MAX
    assert world.stocks() == (105, 105)
    assert world.told() == ["echo_undecided"]
    assert world.pushed() == []

    (echo,) = [one.id for one in world.mps.movements if one.echo_of is not None and one.lines[0].change > 0]
    world.resolve("echo_undecided", "--echo", echo)
    world.mps.habits.echo_of_nothing, world.mps.habits.echo_cost = True, "new"
    world.rests()

    assert world.stocks() == (103, 103)
    assert world.pushed() == [ISSUANCE]
    assert "echo_undecided" not in world.told()
