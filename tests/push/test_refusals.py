"""Reading refusals that no document words."""

from __future__ import annotations

from decimal import Decimal

import pytest

from sync.push.refusals import maximum_in, says_exists, says_short


@pytest.mark.parametrize(
    "text",
    [
        "An Issuance with api_key k1 already exists.",
        "api_key: has already been taken",
        "Duplicate api_key",
        "If an issuance with an existing api_key is found, an error will be returned",
        "Issuance exists",
        "The api_key must be unique",
    ],
)
def test_a_key_that_exists_is_recognised(text: str) -> None:
    assert says_exists(text)


@pytest.mark.parametrize(
    "text",
    [
        "Warehouse does not exist",
        "The part doesn't exist",
        "Quantity cannot exceed the existing quantity of 4",
        "Maximum quantity available is 4",
        "Inventory not found",
    ],
)
def test_what_is_missing_or_too_much_does_not_exist(text: str) -> None:
    assert not says_exists(text)


def test_a_409_says_that_it_exists_whatever_its_words() -> None:
    assert says_exists("no", 409)


@pytest.mark.parametrize(
    ("text", "maximum"),
    [
        ("The maximum quantity available for this Issuance is 4.0.", "4"),
        ("Quantity cannot exceed 4", "4"),
        ("Only 4 available", "4"),
        ("4 available", "4"),
        ("Requested 10, available 4", "4"),
        ("You requested 10.0 but the max is 4.5!", "4.5"),
        ("Quantity 10 exceeds the current receipt (4)", "4"),
        ("Part 3 in Warehouse #1: maximum 4", "4"),
        ("quantity: must be less than or equal to 4 (maximum available)", "4"),
        ("maximum: 0", "0"),
        ("On 2024-03-05 the maximum was 7", "7"),
        ("Max 4 [k-1] P-2", "4"),
    ],
)
def test_the_maximum_is_found_however_it_is_worded(text: str, maximum: str) -> None:
    found = maximum_in(text, Decimal(10), ignore=["3", "Warehouse #1", "k-1", "P-2", "2024-03-05"])

    assert found == Decimal(maximum)
    assert says_short(text)


@pytest.mark.parametrize(
    "text", ["There is no current Receipt.", "Insufficient stock", "maximum is 10", "maximum 1,000"]
)
def test_without_a_smaller_number_there_is_no_maximum(text: str) -> None:
    assert maximum_in(text, Decimal(10)) is None
    assert says_short(text)


def test_another_complaint_is_not_about_the_quantity() -> None:
    assert not says_short("Task repair3 not found on work order 1234567996")
    assert not says_short("created_on must be a date in ISO YYYY-MM-DD format")
