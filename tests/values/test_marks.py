"""The mark: a digit of each attempt in the sixth decimal of the cost that it sends."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.values.marks import (
    MARKED_FROM,
    decimals_of,
    mark_of,
    marked,
    meaning_of,
    next_mark,
    per_unit,
    resembles,
    without_mark,
)

COSTS = st.decimals(min_value="0.01", max_value="100000", places=6)


def d(text: str) -> Decimal:
    return Decimal(text)


@given(COSTS, st.integers(1, 9))
def test_what_is_sent_shows_its_digit_and_comes_back_as_what_was_wanted(cost: Decimal, digit: int) -> None:
    sent = marked(cost, digit)

    assert mark_of(sent) == digit
    assert without_mark(sent) == without_mark(cost)
    assert abs(without_mark(sent) - cost) < Decimal("0.00001")


@given(COSTS)
def test_a_cost_is_cut_and_never_rounded_up(cost: Decimal) -> None:
    assert without_mark(cost) <= cost


def test_a_cost_that_was_cut_once_stays_as_it_is() -> None:
    assert without_mark(without_mark(d("3.333339"))) == d("3.33333")


@pytest.mark.parametrize("cost", ["0", "0.000012", "0.009999"])
def test_a_cost_below_a_hundredth_carries_no_mark_and_keeps_its_digits(cost: str) -> None:
    assert marked(d(cost), 5) == without_mark(d(cost)) == d(cost)
    assert mark_of(d(cost)) == 0
    assert d(cost) < MARKED_FROM


def test_the_next_digit_is_one_that_neither_a_movement_nor_an_attempt_has() -> None:
    assert next_mark([], []) == 1
    assert next_mark([d("7.250001")], [d("7.250002")]) == 3
    assert next_mark([d("7.25")], [d("7.250001")]) == 2


def test_where_all_digits_are_shown_the_one_sent_longest_ago_is_next() -> None:
    shown = [d(f"1.00000{digit}") for digit in range(1, 10)]
    sent = [d(f"1.00000{digit}") for digit in (4, 1, 2, 3, 5, 6, 7, 8, 9)]

    assert next_mark(shown, sent) == 4


def test_only_a_quantity_other_than_nought_and_one_tells_a_total_from_a_unit_s_cost() -> None:
    assert meaning_of(d("7.250003"), d("5"), d("7.250003")) == "unit"
    assert meaning_of(d("36.250015"), d("-5"), d("7.250003")) == "total"
    assert meaning_of(d("7.250003"), d("1"), d("7.250003")) == "unit"
    assert meaning_of(d("0"), d("0"), d("7.250003")) is None
    assert meaning_of(d("7.25"), d("5"), d("7.250003")) is None


@pytest.mark.parametrize(
    ("shown", "how"),
    [("15.287701", "total"), ("15.287700", "total"), ("15.287702", None), ("15.287699", None)],
)
def test_the_total_of_a_broken_quantity_shows_the_mark_rounded_up_to_even_or_cut(shown: str, how: str | None) -> None:
    """0.25 at 61.150802 are 15.2877005, and no document says what a vendor makes of its seventh decimal."""
    assert meaning_of(d(shown), d("-0.25"), d("61.150802")) == how


@pytest.mark.parametrize(
    ("shown", "quantity", "sent", "same"),
    [
        ("3.33", "5", "3.333331", True),  # cut
        ("3.34", "5", "3.338881", True),  # rounded
        ("3", "5", "3.338881", True),
        ("16.67", "5", "3.333331", True),  # a total
        ("3.35", "5", "3.338881", False),
        ("2.5", "5", "3.338881", False),
    ],
)
def test_a_shown_cost_resembles_the_sent_one_as_far_as_its_decimals_go(
    shown: str, quantity: str, sent: str, same: bool
) -> None:
    assert resembles(d(shown), d(quantity), d(sent)) is same


def test_the_mark_of_a_total_is_found_in_its_unit_s_cost() -> None:
    assert mark_of(per_unit(d("21.750009"), d("-3"), cost_is="total")) == 3
    assert per_unit(d("0"), d("0"), cost_is="total") == 0


@pytest.mark.parametrize(("number", "decimals"), [("100", 0), ("3.330000", 2), ("0", 0), ("1E+2", 0)])
def test_a_number_needs_as_many_decimals_as_it_has(number: str, decimals: int) -> None:
    assert decimals_of(d(number)) == decimals
