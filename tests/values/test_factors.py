"""A box of 12 whose factor can only be written 0.083333: twelve of them are one, and a real fraction stays one."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.values.factors import cost_in_mpservices, cost_in_mpw, in_mpservices, in_mpw, meant
from sync.values.money import times


@pytest.mark.parametrize(
    ("given_", "fraction"),
    [
        ("0.083333", "1/12"),
        ("0.0833", "1/12"),
        ("0.083334", "1/12"),
        ("0.166666", "1/6"),
        ("0.1667", "1/6"),
        ("0.333", "1/3"),
        ("3.333333", "10/3"),
        ("0.006944", "1/144"),
        ("0.33", "33/100"),
        ("0.99", "99/100"),
        ("0.999", "999/1000"),
        ("1.01", "101/100"),
        ("0.001", "1/1000"),
        ("0.25", "1/4"),
        ("0.125", "1/8"),
        ("1", "1"),
        ("12", "12"),
    ],
)
def test_a_fraction_that_was_rounded_or_cut_is_told_from_a_number(given_: str, fraction: str) -> None:
    assert meant(Decimal(given_)) == Fraction(fraction)


@pytest.mark.parametrize(
    ("quantity", "factor", "expected"),
    [
        ("12", "0.083333", "1"),
        ("-12", "0.083333", "-1"),
        ("12", "0.0833", "1"),
        ("120000", "0.083333", "10000"),
        ("6", "0.166666", "1"),
        ("0.083333", "12", "1"),
        ("1.5", "0.666667", "1"),
        ("5", "0.083333", "0.416665"),
        ("0.99", "1", "0.99"),
        ("0.999999", "1", "0.999999"),
        ("3", "0.33", "0.99"),
        ("999", "0.001", "0.999"),
        ("1005", "0.001", "1.005"),
        ("0.000001", "0.000001", "0"),
        ("0", "0.083333", "0"),
    ],
)
def test_whole_within_the_rounding_of_what_was_given_is_whole(quantity: str, factor: str, expected: str) -> None:
    assert in_mpw(Decimal(quantity), Decimal(factor)) == Decimal(expected)


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [("1", "12"), ("0.999996", "12"), ("1.083333", "13"), ("0.83333", "10"), ("1.04", "12.48005"), ("0", "0")],
)
def test_a_count_of_mpw_s_is_whole_pieces_whatever_was_posted_before(quantity: str, expected: str) -> None:
    """0.999996 is what was posted before twelve pieces counted as a box."""
    assert in_mpservices(Decimal(quantity), Decimal("0.083333")) == Decimal(expected)


def test_the_value_is_the_same_on_both_sides() -> None:
    assert cost_in_mpw(Decimal("2.5"), Decimal(12), Decimal("0.083333")) == 30
    assert cost_in_mpservices(Decimal(30), Decimal(1), Decimal("0.083333")) == Decimal("2.5")
    assert cost_in_mpw(Decimal(10), Decimal(3), Decimal(2)) == 5
    assert cost_in_mpservices(Decimal(5), Decimal(6), Decimal(2)) == 10


@given(st.integers(1, 10_000), st.integers(2, 90), st.integers(1, 89))
def test_whole_boxes_of_any_size_go_there_and_back(boxes: int, size: int, share: int) -> None:
    factor = Decimal(round(Fraction(share, size) * 10**6)).scaleb(-6)
    pieces = Decimal(boxes * size)

    assert in_mpw(pieces, factor) == boxes * share
    assert in_mpservices(Decimal(boxes * share), factor) == pieces


@given(st.decimals("0.01", "10000", places=2), st.decimals("0.01", "100", places=2))
def test_numbers_of_two_decimals_are_what_they_are(quantity: Decimal, factor: Decimal) -> None:
    assert in_mpw(quantity, factor) == times(quantity, factor)
