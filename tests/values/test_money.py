"""Exact numbers: what is taken, what is refused, and which way a tie is rounded."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sync.values.money import fixed, from_micros, plain, times, times_micros, to_micros

LARGEST = 2**63 - 1
MICROS = st.integers(-(10**9), 10**9)


@pytest.mark.parametrize(
    ("given", "rounded"),
    [
        ("0.0000005", "0"),
        ("0.0000015", "0.000002"),
        ("0.0000025", "0.000002"),
        ("-0.0000005", "0"),
        ("-0.0000015", "-0.000002"),
        ("0.00000050000001", "0.000001"),
        (" 2.0 ", "2"),
        (25, "25"),
        (Decimal("1E-61"), "0"),
        (Decimal("1E-60"), "0"),
        ("0" * 59 + "7", "7"),
        (Decimal(LARGEST).scaleb(-6), "9223372036854.775807"),
        (-Decimal(LARGEST).scaleb(-6), "-9223372036854.775807"),
    ],
)
def test_a_number_has_six_decimals_and_a_tie_goes_to_the_even_one(given: object, rounded: str) -> None:
    assert fixed(given) == Decimal(rounded)
    assert str(fixed(given)) == f"{Decimal(rounded):.6f}"


@pytest.mark.parametrize(
    "given",
    [
        *(1.5, True, None, "", "1_000", "x", "NaN", "Infinity", Decimal("-Infinity"), "0" * 60 + "7"),
        *("1e14", "1e99999", Decimal(LARGEST + 1).scaleb(-6), -Decimal(LARGEST + 1).scaleb(-6)),
    ],
)
def test_what_is_no_number_or_too_large_for_the_books_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match=r"number|large"):
        fixed(given)


@pytest.mark.parametrize(
    ("quantity", "cost", "amount"),
    [
        (500_000, 1, 0),
        (500_000, 3, 2),
        (1_500_000, 1, 2),
        (2_500_000, 1, 2),
        (-500_000, 1, 0),
        (-1_500_000, 1, -2),
        (500_001, 1, 1),
        (499_999, 1, 0),
        (-500_001, 1, -1),
        (2_000_000, 7_250_000, 14_500_000),
    ],
)
def test_an_amount_at_a_tie_goes_to_the_even_millionth(quantity: int, cost: int, amount: int) -> None:
    assert times_micros(quantity, cost) == amount
    assert times(from_micros(quantity), from_micros(cost)) == from_micros(amount)


@given(MICROS, MICROS)
@example(2_500_000, 1)
def test_whole_numbers_and_decimals_give_the_same_amount(quantity: int, cost: int) -> None:
    assert from_micros(times_micros(quantity, cost)) == times(from_micros(quantity), from_micros(cost))


@pytest.mark.parametrize("sign", [1, -1])
def test_an_amount_that_the_ledger_cannot_hold_is_refused(sign: int) -> None:
    assert times_micros(sign * LARGEST, 1_000_000) == sign * LARGEST
    with pytest.raises(ValueError, match="too large"):
        times_micros(sign * LARGEST, 1_000_001)


def test_millionths_and_back() -> None:
    assert to_micros("1.25") == 1_250_000
    assert from_micros(1_250_000) == Decimal("1.25")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("2.000000", "2"),
        ("1.250000", "1.25"),
        ("100", "100"),
        ("-0.000000", "0"),
        ("0.000001", "0.000001"),
        ("-0", "0"),
    ],
)
def test_a_number_is_written_short_and_without_an_exponent(number: str, text: str) -> None:
    assert plain(Decimal(number)) == text


@pytest.mark.parametrize(
    ("exponent", "value"), [(-61, "0.000000"), (-60, "0.000000"), (-7, "0.000000"), (-6, "0.000001")]
)
def test_what_is_smaller_than_a_millionth_is_nought(exponent: int, value: str) -> None:
    assert str(fixed(Decimal(1).scaleb(exponent))) == value
