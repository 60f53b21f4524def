"""The quick reading of lists whose rows look alike gives what the careful one gives, or leaves the list to it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.clients.mpw import day_rows
from sync.clients.mpw.day_rows import DayRow, read_issuance_rows, read_receipt_rows
from sync.clients.mpw.wire import read_issuances, read_receipts
from sync.clients.rows import Parsed
from sync.clients.uniform import uniform_elements

RECEIPT: dict[str, Any] = {
    "id": 236252,
    "part_number": "50001",
    "inventory_name": "Filter",
    "created_on": "2024-03-15",
    "invoice_number": None,
    "quantity_received": 2.0,
    "quantity_remaining": 0.5,
    "unit_cost": 9.99,
    "description": "Delivered to bay 3",
    "vendor_name": "Vendor Ltd",
    "vendor_number": "V1",
    "api_key": None,
    "purchase_order_number": 17,
    "warehouse_name": "Warehouse #1",
}
ISSUANCE: dict[str, Any] = {
    "id": 43381,
    "part_number": "50001",
    "warehouse_name": "Warehouse #1",
    "created_on": "2024-03-15",
    "quantity": 2,
    "unit_cost": 9.99,
    "overdraft": False,
    "description": "for WO 7 [mps-1-1]",
    "inventory_name": "Filter",
}


def careful_receipts(body: bytes) -> Parsed[DayRow]:
    parsed = read_receipts(body)
    return Parsed([day_rows._from_receipt(row) for row in parsed.rows], parsed.bad)


def careful_issuances(body: bytes) -> Parsed[DayRow]:
    parsed = read_issuances(body)
    return Parsed([day_rows._from_issuance(row) for row in parsed.rows], parsed.bad)


def is_quick(body: bytes, form: Any = day_rows._RECEIPT) -> bool:
    return uniform_elements(body, form) is not None


def test_an_ordinary_day_is_read_the_quick_way_and_to_the_same_rows() -> None:
    receipts = json.dumps([RECEIPT | {"id": n, "quantity_received": n / 4} for n in range(1, 40)]).encode()
    receipts = receipts.replace(b'": ', b'":')
    issuances = json.dumps([ISSUANCE | {"id": n} for n in range(1, 40)]).encode()
    issuances = issuances.replace(b'": ', b'":')

    assert is_quick(receipts)
    assert is_quick(issuances, day_rows._ISSUANCE)
    assert read_receipt_rows(receipts) == careful_receipts(receipts)
    assert read_issuance_rows(issuances) == careful_issuances(issuances)
    assert len(read_receipt_rows(receipts).rows) == 39


@pytest.mark.parametrize(
    "odd",
    [
        b'[{"id":1,"id":2}]',
        b'[{"id":1},{"id":2,"more":[[]]}]',
        b'[{"id":1,"ID":1}]',
        b'[{"id":1},7]',
        b'{"message":"no"}',
        b"[]",
        b'[{"id":"1\\u0000"}]',
        b'[{"id":1}',
        b'[{"id":1,"id":2},{"id" :3}]',
        b'[{"id":1,"id":2},{"id"\n:3}]',
    ],
)
def test_what_is_odd_is_left_to_the_careful_reader(odd: bytes) -> None:
    assert uniform_elements(odd, {"id": int}) is None


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        ["", " ", "1.5", "1e3", "NaN", "2024-02-30", "2024-03-15T10:00:00Z", "\x00", "[key]", "é€😀", "0.0000005"]
    ),
    st.just({}),
    st.just([1]),
)
NAMES = st.sampled_from([*RECEIPT, *ISSUANCE, "Api_key", "API_KEY", "other", "ID", ""])
CHANGES = st.lists(st.tuples(st.integers(0, 3), NAMES, st.one_of(VALUES, st.just(...))), max_size=4)


def spoiled(row: dict[str, Any], changes: list[tuple[int, str, Any]], *, alike: bool, escape: bool) -> bytes:
    rows = [row | {"id": row["id"] + n} for n in range(4)]
    for at, name, value in changes:
        for changed in rows if alike else [rows[at]]:
            if value is ...:
                changed.pop(name, None)
            else:
                changed[name] = value
    return json.dumps(rows, separators=(",", ":"), ensure_ascii=escape).encode("utf-8", "surrogatepass")


@given(changes=CHANGES, alike=st.booleans(), escape=st.booleans())
def test_whatever_a_receipt_list_holds_both_readings_agree(
    changes: list[tuple[int, str, Any]], alike: bool, escape: bool
) -> None:
    body = spoiled(RECEIPT, changes, alike=alike, escape=escape)

    assert read_receipt_rows(body) == careful_receipts(body)


@given(changes=CHANGES, alike=st.booleans(), escape=st.booleans())
def test_whatever_an_issuance_list_holds_both_readings_agree(
    changes: list[tuple[int, str, Any]], alike: bool, escape: bool
) -> None:
    body = spoiled(ISSUANCE, changes, alike=alike, escape=escape)

    assert read_issuance_rows(body) == careful_issuances(body)


@given(text=st.text(alphabet='0123456789.eE+-"', min_size=1, max_size=14), name=st.sampled_from(["unit_cost", "id"]))
def test_however_a_number_is_written_both_readings_agree(text: str, name: str) -> None:
    body = json.dumps([RECEIPT | {name: "@"}], separators=(",", ":")).replace('"@"', text).encode()

    def outcome(read: Any) -> object:
        try:
            return read(body)
        except Exception as error:
            return str(error)

    assert outcome(read_receipt_rows) == outcome(careful_receipts)
