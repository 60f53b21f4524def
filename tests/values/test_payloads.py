"""Frozen payloads: exact numbers, a fixed order of fields, nothing that was not given."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from sync.inbox.rules import ErpDocument, Invalid, read_document
from sync.values.money import fixed
from sync.values.payloads import inventory_payload, issuance_payload, number, receipt_payload, stock_payload

NUMBERS = st.decimals(min_value=0, max_value=Decimal("999999999"), places=6, allow_nan=False, allow_infinity=False)


@given(NUMBERS, NUMBERS)
def test_a_receipts_numbers_arrive_digit_by_digit(quantity: Decimal, unit_cost: Decimal) -> None:
    text = receipt_payload(
        part_number="P",
        warehouse="W",
        quantity=fixed(quantity),
        unit_cost=fixed(unit_cost),
        created_on=date(2024, 1, 2),
        api_key="k",
    )

    read = json.loads(text, parse_float=Decimal)

    assert (read["quantity_received"], read["unit_cost"]) == (quantity, unit_cost)
    assert "e" not in text.partition('"unit_cost":')[2].partition(",")[0].lower()


@given(NUMBERS)
def test_whole_numbers_are_integers(value: Decimal) -> None:
    sent = number(fixed(value))

    assert isinstance(sent, int) == (value == value.to_integral_value())
    assert sent == value


def test_names_travel_unharmed() -> None:
    text = receipt_payload(
        part_number='09"18\\43',
        warehouse="Warehouse #1 – Ünïcode",
        quantity=Decimal(1),
        unit_cost=Decimal("9.990000"),
        created_on=date(2024, 1, 2),
        api_key="k",
        extras={"vendor_name": None, "tax_rate_one": Decimal("0.000000"), "buyer": "no such field"},
    )

    assert json.loads(text) == {
        "part_number": '09"18\\43',
        "quantity_received": 1,
        "unit_cost": 9.99,
        "created_on": "2024-01-02",
        "warehouse_name": "Warehouse #1 – Ünïcode",
        "tax_rate_one": 0,
        "api_key": "k",
    }


def test_an_issuance_without_description_and_marker_has_no_such_field() -> None:
    values = {"part_number": "P", "warehouse": "W", "quantity": Decimal("2.000000"), "created_on": date(2024, 1, 2)}

    bare = issuance_payload(**values, api_key="k", description=None, marker=False)  # type: ignore[arg-type]
    marked = issuance_payload(**values, api_key="k", description=None, marker=True)  # type: ignore[arg-type]

    assert "description" not in json.loads(bare)
    assert json.loads(marked)["description"] == "[k]"
    assert '"quantity":2,' in bare


def test_tracking_is_switched_on_by_a_text_and_off_by_false() -> None:
    on = inventory_payload(part_number="P", warehouse="W", api_key="k", fields={"tracking_enabled": True})
    off = inventory_payload(part_number="P", warehouse="W", api_key="k", fields={"tracking_enabled": False})

    assert json.loads(on)["tracking_enabled"] == "true"
    assert json.loads(off)["tracking_enabled"] is False


def test_stock_and_cost_are_plain_texts() -> None:
    text = stock_payload(external_id="E", new_stock=Decimal("1000.000000"), new_cost=Decimal("0.000001"))

    assert text == '{"external_id":"E","new_stock":"1000","new_cost":"0.000001"}'


@given(st.dictionaries(st.text(max_size=12), st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8))))
def test_whatever_the_erp_sends_is_read_or_refused_with_a_reason(payload: dict[str, object]) -> None:
    for type_ in ("receipt", "issuance", "transfer", "inventory", "po_approval", "stock_cost", "product", "void"):
        read = read_document(type_, "k", json.dumps(payload))

        assert isinstance(read, ErpDocument) or (isinstance(read, Invalid) and read.reason)


@given(st.text(max_size=40))
def test_no_text_breaks_the_reader(text: str) -> None:
    assert isinstance(read_document("receipt", text, text), Invalid)


def test_numbers_are_read_exactly_from_json_and_from_texts() -> None:
    payload = '{"part_number":1233,"warehouse_name":"W","quantity_received":"0.1","unit_cost":1.99,"created_on":"%s"}'

    read = read_document("receipt", "k", payload % "2024-01-02")

    assert isinstance(read, ErpDocument)
    assert (read.text("part_number"), read.number("quantity_received")) == ("1233", Decimal("0.1"))
    assert read.number("unit_cost") == Decimal("1.99")
    assert read.created_on == date(2024, 1, 2)
