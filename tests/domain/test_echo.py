"""Which movement did our own patch make? The rules, and a model of MPservices that tries to fool them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.domain.echo import (
    Base,
    Doubt,
    Expectation,
    Found,
    Line,
    Silent,
    StillOpen,
    Window,
    find_echo,
    late_echo,
    may_land_later,
    running_balances,
    same_cost,
    window_of,
    window_unanswered,
)

NOON = datetime(2024, 3, 15, 12, tzinfo=UTC)
WINDOW = Window(NOON - timedelta(seconds=3), NOON + timedelta(seconds=1), NOON + timedelta(seconds=1))


def line(
    name: str,
    quantity: str,
    cost: str = "9",
    *,
    at: float = 0.0,
    place: int = 0,
    single: bool = True,
    undecided: bool = True,
) -> Line:
    created_at = NOON + timedelta(seconds=at)
    return Line(name, 1, f"mps-{name}-1", Decimal(quantity), Decimal(cost), created_at, place, single, undecided)


def patch(
    *, stock: str = "15", cost: str = "9", base: str | None = "10", landed: bool | None = True, drains: int = 1
) -> Expectation:
    window = WINDOW if landed else Window(WINDOW.first, None, None)
    known = None if base is None else Decimal(base)
    return Expectation(Decimal(stock), Decimal(cost), known, landed, False, drains, window)


BASE = Base(Decimal(10), NOON - timedelta(hours=1), 0, trusted=True)


def test_the_movement_after_which_the_balance_is_the_patched_stock_is_the_echo() -> None:
    echo = line("e", "5")

    assert find_echo(patch(), BASE, [echo], cost_is="unit") == Found(echo, ())


def test_a_movement_that_slipped_in_before_the_patch_is_people_s_and_the_echo_makes_up_for_it() -> None:
    foreign, echo = line("f", "-2", at=-1), line("e", "7")

    assert find_echo(patch(), BASE, [foreign, echo], cost_is="unit") == Found(echo, (foreign,))


def test_a_movement_with_the_delta_that_we_expected_is_not_the_echo_when_somebody_slipped_in_before_it() -> None:
    out, theirs, echo = line("out", "-5", at=-2), line("in", "5", at=-1), line("e", "5")

    found = find_echo(patch(), BASE, [out, theirs, echo], cost_is="unit")

    assert isinstance(found, Found)
    assert found.line is echo
    assert found.foreign == (out, theirs)


def test_a_movement_after_the_patch_is_people_s() -> None:
    echo, after = line("e", "5"), line("f", "-2", at=0.5)

    assert find_echo(patch(), BASE, [echo, after], cost_is="unit") == Found(echo, (after,))


def test_movements_of_one_instant_are_told_apart_by_their_place() -> None:
    foreign, echo = line("f", "-2", place=0), line("e", "7", place=1)

    assert find_echo(patch(), BASE, [echo, foreign], cost_is="unit") == Found(echo, (foreign,))


def test_two_movements_that_fit_equally_well_are_a_doubt_and_neither_is_let_go() -> None:
    first, out, second = line("a", "5"), line("b", "-3", at=0.2), line("c", "3", at=0.4)

    found = find_echo(patch(), BASE, [first, out, second], cost_is="unit")

    assert isinstance(found, Doubt)
    assert found.lines == (first, second)
    assert found.foreign == (out,)


def test_a_movement_of_several_lines_is_never_the_echo() -> None:
    theirs = line("m", "5", single=False)

    assert find_echo(patch(), BASE, [theirs], cost_is="unit") == StillOpen((theirs,))


def test_a_movement_at_another_cost_is_not_the_echo_and_is_not_let_go_either_when_one_is_due() -> None:
    theirs = line("f", "5", cost="8")

    assert find_echo(patch(drains=1), BASE, [theirs], cost_is="unit") == StillOpen(())
    found = find_echo(patch(drains=2), BASE, [theirs], cost_is="unit")
    assert isinstance(found, Doubt)
    assert found.lines == (theirs,)


def test_a_patch_that_changes_nothing_leaves_no_echo_and_what_moved_is_people_s() -> None:
    theirs = line("f", "-2", at=0.5)

    found = find_echo(patch(stock="10", drains=2), BASE, [theirs], cost_is="unit")

    assert found == Silent((theirs,), "kept")


def test_a_movement_long_after_a_patch_that_changes_nothing_is_people_s_at_once() -> None:
    theirs = line("f", "-2", at=60)

    assert find_echo(patch(stock="10", drains=1), BASE, [theirs], cost_is="unit") == StillOpen((theirs,))


def test_no_movement_at_all_leaves_the_patched_stock_unverified() -> None:
    assert find_echo(patch(drains=1), BASE, [], cost_is="unit") == StillOpen(())
    assert find_echo(patch(drains=2), BASE, [], cost_is="unit") == Silent((), "patched")


def test_the_echo_is_recognised_by_its_balance_where_the_vendor_s_two_clocks_disagree() -> None:
    echo = line("e", "5", at=-7200)
    base = replace(BASE, at=NOON - timedelta(days=1))

    assert find_echo(patch(drains=1), base, [echo], cost_is="unit") == StillOpen(())
    assert find_echo(patch(drains=2), base, [echo], cost_is="unit") == Found(echo, ())


def test_while_the_answer_is_out_only_a_fitting_balance_decides() -> None:
    theirs, echo = line("f", "-2"), line("e", "7", at=300)

    assert find_echo(patch(landed=None), BASE, [theirs], cost_is="unit") == StillOpen(())
    assert find_echo(patch(landed=None), BASE, [theirs, echo], cost_is="unit") == Found(echo, (theirs,))


def test_a_patch_that_did_not_land_claims_nothing() -> None:
    theirs = line("f", "5")

    assert find_echo(patch(landed=False), BASE, [theirs], cost_is="unit") == Silent((theirs,), "kept")


@pytest.mark.parametrize("base", [None, replace(BASE, trusted=False)], ids=["unknown", "unverified"])
def test_with_an_unproved_base_the_only_movement_at_the_cost_in_the_window_is_the_echo(base: Base | None) -> None:
    echo, theirs = line("e", "-3"), line("f", "-3", cost="8", at=0.2)

    found = find_echo(patch(base=None), base, [echo, theirs], cost_is="unit")

    assert found == Found(echo, (theirs,))


def test_with_an_unknown_base_two_movements_at_the_cost_are_a_doubt() -> None:
    lines = [line("a", "-3"), line("b", "2", at=0.2)]

    found = find_echo(patch(base=None), None, lines, cost_is="unit")

    assert isinstance(found, Doubt)
    assert found.lines == tuple(lines)


def test_with_an_unknown_base_a_movement_outside_the_window_is_people_s_at_once() -> None:
    before, after = line("a", "-3", at=-60), line("b", "2", at=60)

    found = find_echo(patch(base=None), None, [before, after], cost_is="unit")

    assert found == StillOpen((before, after))


def test_with_an_unknown_base_a_movement_that_the_first_read_lacked_must_surely_be_in_time() -> None:
    sure_end = NOON + timedelta(seconds=0.2)
    asked = replace(patch(base=None, drains=2), window=Window(WINDOW.first, sure_end, WINDOW.last))
    theirs = line("f", "-2", at=0.7)

    assert find_echo(asked, None, [theirs], cost_is="unit") == Silent((theirs,), "patched")
    assert find_echo(replace(asked, drains=1), None, [theirs], cost_is="unit") == Found(theirs, ())


def test_with_an_unknown_base_a_movement_at_another_cost_in_the_window_is_left_to_a_person() -> None:
    theirs = line("f", "-2", cost="8")

    assert find_echo(patch(base=None, drains=1), None, [theirs], cost_is="unit") == StillOpen(())
    assert isinstance(find_echo(patch(base=None, drains=2), None, [theirs], cost_is="unit"), Doubt)


def test_with_an_unknown_base_and_no_answer_nothing_is_decided_until_no_call_can_land_any_more() -> None:
    echo = line("e", "5")

    assert find_echo(patch(base=None, landed=None), None, [echo], cost_is="unit") == StillOpen(())
    waited = replace(patch(base=None, landed=None), waited=True)
    assert find_echo(waited, None, [echo], cost_is="unit") == Found(echo, ())


def test_several_lines_at_once_while_the_stock_was_unknown_leave_it_unknown() -> None:
    theirs = line("m", "-2", single=False)

    assert find_echo(patch(base=None, drains=2), None, [theirs], cost_is="unit") == Silent((theirs,), "unknown")


def test_an_echo_that_the_feed_shows_late_is_still_known_by_its_time_and_cost() -> None:
    echo, theirs = line("e", "5", undecided=False), line("f", "5", at=60, undecided=False)

    assert late_echo(patch(), [echo, theirs], cost_is="unit") is echo
    assert late_echo(patch(), [theirs], cost_is="unit") is None
    assert late_echo(patch(), [echo, line("g", "1", at=0.1, undecided=False)], cost_is="unit") is None


@pytest.mark.parametrize(
    ("shown", "patched", "same"),
    [
        ("9", "9", True),
        ("3.33", "3.333333", True),
        ("3.34", "3.335", True),
        ("3.3", "3.333333", False),
        ("25", "25.4", False),
        ("9.000001", "9", False),
        ("9.01", "9", False),
    ],
)
def test_a_cost_is_the_patched_one_as_far_as_its_decimals_show(shown: str, patched: str, same: bool) -> None:
    assert same_cost(line("e", "1", shown), Decimal(patched), cost_is="unit") is same


def test_where_costs_are_totals_the_totals_are_compared() -> None:
    seven_of_ten = line("e", "7", "1.428571")  # a total of 10.00, divided by us

    assert same_cost(seven_of_ten, Decimal("1.428"), cost_is="total")
    assert not same_cost(seven_of_ten, Decimal("1.42"), cost_is="total")


def test_balances_run_in_the_feed_s_order_from_the_base_on() -> None:
    old, first, second = line("o", "99", at=-7200), line("a", "1", at=1), line("b", "-4", at=1, place=1)

    assert running_balances(BASE, [second, old, first]) == {"mps-a-1": Decimal(11), "mps-b-1": Decimal(7)}


def test_a_window_ends_within_the_second_of_the_date_header_and_sooner_where_our_clock_agrees() -> None:
    started, ended = NOON + timedelta(seconds=0.1), NOON + timedelta(seconds=0.3)

    window = window_of(started, ended, NOON)

    assert window.last == NOON + timedelta(seconds=1)
    assert window.sure == NOON + timedelta(seconds=0.4)
    assert window.first < NOON


def test_a_vendor_s_clock_that_is_minutes_off_moves_the_whole_window() -> None:
    theirs = NOON + timedelta(minutes=7)

    window = window_of(NOON, NOON + timedelta(seconds=1), theirs)

    assert window.first <= theirs - timedelta(seconds=1)
    assert window.sure is not None
    assert theirs <= window.sure <= theirs + timedelta(seconds=1)


def test_a_call_without_an_answer_may_land_at_any_time() -> None:
    window = window_of(NOON, None, None)

    assert window.last is None
    assert window.holds(NOON + timedelta(days=1), sure=True)


# --- a model of MPservices ----------------------------------------------------------------


@dataclass
class Model:
    """One product, people who move it, and a patch; every movement a millisecond after the one before."""

    stock: Decimal = Decimal(10)
    cost: Decimal = Decimal(8)
    lines: list[Line] = field(default_factory=list)
    echo: Line | None = None

    def moves(self, quantity: Decimal, cost: Decimal, *, single: bool = True) -> Line:
        self.stock += quantity
        at = 0.001 * len(self.lines)
        made = line(f"m{len(self.lines)}", str(quantity), str(cost), at=at, single=single)
        self.lines.append(made)
        return made

    def patched(self, stock: Decimal, cost: Decimal) -> None:
        delta, self.cost = stock - self.stock, cost
        if delta:
            self.echo = self.moves(delta, cost)


MOVES = st.lists(
    st.tuples(
        st.integers(-6, 6).filter(bool).map(Decimal),
        st.sampled_from([Decimal(8), Decimal(9)]),
        st.booleans(),
    ),
    max_size=4,
)


@given(before=MOVES, after=MOVES, wanted=st.integers(5, 20).map(Decimal), known=st.booleans())
def test_no_echo_is_ever_let_go_and_no_wrong_one_taken_where_a_right_one_is(
    before: list[tuple[Decimal, Decimal, bool]],
    after: list[tuple[Decimal, Decimal, bool]],
    wanted: Decimal,
    known: bool,
) -> None:
    """Whatever people do around a patch, its echo never reaches MPW: at worst a person is asked."""
    model = Model()
    for quantity, cost, single in before:
        model.moves(quantity, cost, single=single)
    model.patched(wanted, Decimal(9))
    for quantity, cost, single in after:
        model.moves(quantity, cost, single=single)
    asked = patch(stock=str(wanted), base="10" if known else None, drains=2)

    found = find_echo(asked, BASE if known else None, model.lines, cost_is="unit")

    assert not isinstance(found, StillOpen)
    assert model.echo not in found.foreign
    if isinstance(found, Found) and model.echo is not None:
        assert found.line == model.echo
    if isinstance(found, Doubt) and model.echo is not None:
        assert model.echo in found.lines
    if isinstance(found, Found) and known:  # nothing but a right balance was believed
        assert running_balances(BASE, model.lines)[found.line.api_key] == wanted


@given(before=MOVES, after=MOVES, wanted=st.integers(5, 20).map(Decimal))
def test_the_believed_stock_is_the_true_one_whatever_the_finding(
    before: list[tuple[Decimal, Decimal, bool]], after: list[tuple[Decimal, Decimal, bool]], wanted: Decimal
) -> None:
    model = Model()
    for quantity, cost, single in before:
        model.moves(quantity, cost, single=single)
    model.patched(wanted, Decimal(9))
    for quantity, cost, single in after:
        model.moves(quantity, cost, single=single)

    found = find_echo(patch(stock=str(wanted), drains=2), BASE, model.lines, cost_is="unit")

    if isinstance(found, Found):
        base = Base(wanted, found.line.created_at, found.line.place, trusted=True)
        balances = [wanted, *running_balances(base, model.lines).values()]
        assert balances[-1] == model.stock
    if isinstance(found, Silent) and found.base == "kept":
        assert [BASE.quantity, *running_balances(BASE, model.lines).values()][-1] == model.stock


def test_a_movement_made_after_an_unreadable_answer_is_not_taken_for_the_echo_but_asked_about() -> None:
    unclear = replace(patch(base=None, landed=None, drains=0), waited=True, window=WINDOW)
    later = line("later", "3", at=30)

    found = find_echo(unclear, None, [later], cost_is="unit")

    assert isinstance(found, Doubt)
    assert found.lines == (later,)
    assert found.foreign == ()


def test_what_the_read_right_after_a_call_shows_at_its_cost_is_the_echo_whatever_became_of_the_answer() -> None:
    unclear = replace(patch(base=None, landed=None, drains=1), prompt=True)
    echo, other = line("echo", "3"), line("other", "-2", "8")

    found = find_echo(unclear, None, [echo, other], cost_is="unit")

    assert found == Found(echo, (other,))


def test_what_the_read_right_after_a_call_lacked_is_asked_about_where_no_answer_came() -> None:
    unclear = replace(patch(base=None, landed=None, drains=2), prompt=True)
    later = line("later", "3", at=1)

    assert find_echo(unclear, None, [later], cost_is="unit") == StillOpen()
    found = find_echo(replace(unclear, waited=True), None, [later], cost_is="unit")

    assert isinstance(found, Doubt)
    assert found.lines == (later,)


def test_what_two_reads_after_an_unreadable_answer_lacked_is_people_s() -> None:
    answered = replace(patch(base=None, landed=None, drains=2), prompt=True, over=True, window=WINDOW)
    later = line("later", "3", at=1.5)

    assert find_echo(replace(answered, drains=1, prompt=False), None, [later], cost_is="unit") == StillOpen((later,))
    assert find_echo(answered, None, [later], cost_is="unit") == Silent((later,), "patched")


def test_a_movement_made_in_the_second_in_which_an_unreadable_answer_came_is_asked_about_and_not_forwarded() -> None:
    window = Window(WINDOW.first, NOON + timedelta(milliseconds=100), NOON + timedelta(seconds=1))
    answered = replace(patch(base=None, landed=None, drains=1), over=True, window=window)
    perhaps, other = line("perhaps", "3", at=0.9), line("other", "-2", "8", at=60)

    found = find_echo(answered, None, [perhaps, other], cost_is="unit")

    assert isinstance(found, Doubt)
    assert (found.lines, found.foreign) == ((perhaps,), (other,))
    unread = replace(answered, drains=0, waited=True)  # of a worker that stood still no read is known to follow
    assert find_echo(unread, None, [perhaps, other], cost_is="unit") == found


@pytest.mark.parametrize(("status", "later"), [(200, False), (500, False), (408, True), (502, True), (504, True)])
def test_only_a_gateway_that_gave_up_waiting_leaves_a_call_that_may_land_later(status: int, later: bool) -> None:
    assert may_land_later(status) is later


def test_the_only_movement_made_before_an_unreadable_answer_is_the_echo() -> None:
    unclear = replace(patch(base=None, landed=None, drains=0), waited=True, window=WINDOW)
    echo = line("echo", "3")

    found = find_echo(unclear, None, [echo], cost_is="unit")

    assert isinstance(found, Found)
    assert found.line == echo


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(minutes=-2), timedelta(hours=6)])
def test_without_an_answer_or_a_read_right_after_it_only_what_was_made_within_a_request_s_time_is_the_echo(
    ahead: timedelta,
) -> None:
    window = window_unanswered(NOON - ahead, call_max=timedelta(seconds=30), ahead=ahead)
    dead = replace(patch(base=None, landed=None, drains=0), waited=True, window=window)
    echo, later = line("echo", "3", at=30), line("later", "-3", at=160)

    assert find_echo(dead, None, [echo], cost_is="unit") == Found(echo, ())
    for candidates in ([later], [echo, later]):
        found = find_echo(dead, None, candidates, cost_is="unit")
        assert isinstance(found, Doubt)
        assert (found.lines, found.foreign) == (tuple(candidates), ())
    assert find_echo(replace(dead, waited=False), None, [echo, later], cost_is="unit") == StillOpen()


def test_a_vendor_without_a_date_header_leaves_ten_minutes_on_either_side_of_a_call_without_an_answer() -> None:
    window = window_unanswered(NOON, call_max=timedelta(seconds=30), ahead=None)

    assert window == Window(NOON - timedelta(minutes=10), NOON + timedelta(minutes=10, seconds=30), None)


def test_of_the_second_in_which_an_unreadable_answer_came_only_its_sure_part_counts() -> None:
    window = Window(WINDOW.first, NOON + timedelta(seconds=0.2), NOON + timedelta(seconds=1))
    unclear = replace(patch(base=None, landed=None, drains=0), waited=True, window=window)

    assert isinstance(find_echo(unclear, None, [line("sure", "3", at=0.1)], cost_is="unit"), Found)
    assert isinstance(find_echo(unclear, None, [line("late", "3", at=0.6)], cost_is="unit"), Doubt)
