"""What an answer proves: an id or our key, and equal fields; anything else of a 2xx proves nothing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.outbox.evidence import COMPARED, adds_up, differences, id_of, proof, same_number

RECEIPT = {
    "part_number": "P-1",
    "warehouse_name": "Main",
    "quantity_received": 5,
    "unit_cost": Decimal("9.99"),
    "created_on": "2024-03-15",
}
ISSUANCE = {"part_number": "P-1", "warehouse_name": "Main", "quantity": 4, "created_on": "2024-03-15"}
TRANSFER = {"part_number": "P-1", "warehouse_name": "Main", "destination_warehouse_name": "Shed", "quantity": 2}


def proved(operation: str, sent: dict[str, Any], *rows: dict[str, Any]) -> bool:
    return proof(operation, key="k-1", sent=sent, rows=rows).proved


def test_a_row_with_an_id_and_equal_fields_proves_a_receipt() -> None:
    assert proved("post_receipt", RECEIPT, {**RECEIPT, "id": 17})
    assert proved("post_receipt", RECEIPT, {**RECEIPT, "id": 17, "api_key": "K-1"})
    assert proved("post_receipt", RECEIPT, {"api_key": "k-1", "part_number": "p-1"})


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"id": 17},
        {"api_key": "k-1"},
        {**RECEIPT},
        {**RECEIPT, "id": None},
        {**RECEIPT, "id": False},
        {**RECEIPT, "id": 0},
        {**RECEIPT, "id": 17, "api_key": "k-2"},
        {**RECEIPT, "id": 17, "part_number": "P-2"},
        {**RECEIPT, "id": 17, "warehouse_name": "Shed"},
        {**RECEIPT, "id": 17, "quantity_received": 6},
        {**RECEIPT, "id": 17, "quantity_received": "many"},
        {**RECEIPT, "id": 17, "quantity_received": [5]},
        {**RECEIPT, "id": 17, "unit_cost": Decimal("9.98")},
        {**RECEIPT, "id": 17, "created_on": "2024-03-14"},
        {"success": True, "status": "ok"},
    ],
)
def test_anything_less_proves_nothing(row: dict[str, Any]) -> None:
    assert not proved("post_receipt", RECEIPT, row)


def test_the_rows_of_a_split_issuance_add_up_or_prove_nothing() -> None:
    half = {**ISSUANCE, "quantity": 2}

    assert proved("post_issuance", ISSUANCE, {**half, "id": 1}, {**half, "id": 2})
    assert not proved("post_issuance", ISSUANCE, {**half, "id": 1})
    assert not proved("post_issuance", ISSUANCE, {**half, "id": 1}, {**half})
    assert not proved("post_issuance", ISSUANCE, {**half, "id": 1}, {"id": 2, "part_number": "P-1"})
    assert not proved("post_issuance", ISSUANCE)


def test_a_transfer_is_proved_by_both_warehouses_of_its_part() -> None:
    one, other = {"id": 1, "part_number": "P-1", "warehouse_name": "Main"}, {"id": 2, "part_number": "P-1"}

    assert proved("post_transfer", TRANSFER, one, {**other, "warehouse_name": "Shed"})
    assert not proved("post_transfer", TRANSFER, one)
    assert not proved("post_transfer", TRANSFER, one, other)
    assert not proved("post_transfer", TRANSFER, one, {**other, "warehouse_name": "Shed", "part_number": "P-2"})


@pytest.mark.parametrize("operation", ["delete_receipt", "delete_issuance"])
def test_a_delete_is_proved_by_its_key_and_by_nothing_else(operation: str) -> None:
    assert proved(operation, {}, {"api_key": "k-1"})
    assert not proved(operation, {}, {"id": 17})
    assert not proved(operation, {}, {"api_key": "k-2"})
    assert not proved(operation, {})


@pytest.mark.parametrize(
    ("sent", "shown", "same"),
    [
        ("33.333333", "33.33", True),
        ("33.333333", "33.3333", True),
        ("66.666667", "66.67", True),
        ("66.666667", "66.66", True),
        ("9.99", "9.99", True),
        ("9.99", "9.9", False),
        ("9.99", "10", False),
        ("5", "5.005", False),
        ("33.333333", "33.34", True),
        ("33.333333", "33.35", False),
        ("33.333333", "33", False),
        ("5", "5.000000", True),
    ],
)
def test_a_number_may_be_rounded_to_two_decimals_and_no_further(sent: str, shown: str, same: bool) -> None:
    assert same_number(sent, Decimal(shown)) is same


VALUES = st.none() | st.booleans() | st.integers() | st.decimals() | st.text(max_size=5) | st.lists(st.integers())


@given(
    st.sampled_from(["post_receipt", "post_issuance", "post_inventory", "post_transfer", "delete_receipt"]),
    st.lists(
        st.dictionaries(
            st.sampled_from([*RECEIPT, "id", "api_key", "quantity"]),
            VALUES | st.dictionaries(st.text(max_size=2), VALUES, max_size=2),
        ),
        max_size=3,
    ),
)
def test_whatever_an_answer_holds_judging_it_raises_nothing(operation: str, rows: list[dict[str, Any]]) -> None:
    found = proof(operation, key="k-1", sent={**RECEIPT, **ISSUANCE, **TRANSFER}, rows=rows)

    if found.proved and operation in COMPARED:
        assert all(id_of(row) or str(row.get("api_key")).strip().casefold() == "k-1" for row in rows) or rows


def test_only_what_both_give_is_compared() -> None:
    assert differences("post_receipt", {"part_number": "P-1"}, {"unit_cost": Decimal(3)}) == []
    assert differences("post_receipt", RECEIPT, {"unit_cost": Decimal(3)}) == ["unit_cost 3 instead of 9.99"]


@pytest.mark.parametrize(
    ("sent", "shown", "is_so"),
    [
        ("0.083333", ["0.08"], True),
        ("0.083333", ["0.09"], True),
        ("0.083333", ["0.07"], False),
        ("1", ["0.33", "0.33", "0.33"], True),
        ("1", ["0.3", "0.3", "0.3"], False),
        ("10", ["4", "3"], False),
        ("2.01", ["2"], False),
        ("1", [], False),
    ],
)
def test_rows_add_up_to_what_was_sent_within_the_rounding_of_each(sent: str, shown: list[str], is_so: bool) -> None:
    assert adds_up(Decimal(sent), [Decimal(one) for one in shown]) is is_so
