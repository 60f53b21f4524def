"""What the ERP may put into the inbox, field by field, and every reason for which it is refused."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from sync.inbox.rules import TEXT_CHARACTERS_MAX, ErpDocument, Invalid, read_document

RECEIPT = {
    "part_number": "P-1",
    "warehouse_name": "Main",
    "quantity_received": "2",
    "unit_cost": "0",
    "created_on": "2024-03-15",
}
ISSUANCE = {"part_number": "P-1", "warehouse_name": "Main", "quantity": 2, "created_on": "2024-03-15"}
TRANSFER = {"part_number": "P-1", "warehouse_name": "Main", "destination_warehouse_name": "WH2", "quantity": 2}
PRODUCT = {"bar_code": "b", "product_name": "n", "product_unit": "u", "external_id": "e"}
WHOLE: dict[str, dict[str, Any]] = {
    "receipt": RECEIPT,
    "issuance": ISSUANCE,
    "transfer": TRANSFER,
    "inventory": {"part_number": "P-1", "warehouse_name": "Main"},
    "po_approval": {"purchase_order_number": "1000", "approved_by": "ann"},
    "stock_cost": {"external_id": "P-1", "new_stock": 0, "new_cost": 0},
    "product": PRODUCT,
    "void": {"kind": "receipt"},
}
"""A document of each type with what it must have, and nothing else."""


def read(type_: str, key: str | None = "k-1", **changed: Any) -> ErpDocument | Invalid:
    fields = {name: value for name, value in (WHOLE[type_] | changed).items() if value is not ...}
    return read_document(type_, key, json.dumps(fields))


def errors(read: ErpDocument | Invalid) -> tuple[str, ...]:
    return read.errors if isinstance(read, Invalid) else ()


@pytest.mark.parametrize("type_", WHOLE)
def test_a_document_with_what_it_must_have_is_taken_and_without_any_of_that_it_is_not(type_: str) -> None:
    taken = read(type_)

    assert isinstance(taken, ErpDocument)
    assert (taken.type, taken.api_key, taken.ignored) == (type_, "k-1", ())
    for name in WHOLE[type_]:
        assert errors(read(type_, **{name: ...})) == (f"{name} is required",)
        assert errors(read(type_, **{name: " "})) == (f"{name} is required",)
        assert errors(read(type_, **{name: None})) == (f"{name} is required",)


@pytest.mark.parametrize(
    ("type_", "name", "value", "becomes"),
    [
        ("receipt", "quantity_received", "0.000001", Decimal("0.000001")),
        ("receipt", "quantity_received", 0, "must be above 0"),
        ("receipt", "quantity_received", "-1", "must be above 0"),
        ("receipt", "unit_cost", "-0.01", "must not be below 0"),
        ("receipt", "unit_cost", "7.25", Decimal("7.25")),
        ("receipt", "tax_rate_one", -1, Decimal(-1)),
        ("receipt", "created_on", "2024-02-30", "no date YYYY-MM-DD"),
        ("receipt", "created_on", "2024-03-15T23:30:00Z", date(2024, 3, 15)),
        ("receipt", "created_on", "15.3.2024", "no date YYYY-MM-DD"),
        ("receipt", "created_on", 20240315, "must be a date YYYY-MM-DD"),
        ("receipt", "part_number", True, "must be a text"),
        ("receipt", "part_number", ["P"], "must be a text"),
        ("receipt", "part_number", 12, "12"),
        ("receipt", "part_number", "a\tb", "holds control characters"),
        ("issuance", "description", "a\tb\n", "a\tb"),
        ("issuance", "description", "a\x00b", "holds control characters"),
        ("issuance", "description", "x" * TEXT_CHARACTERS_MAX, "x" * TEXT_CHARACTERS_MAX),
        ("issuance", "description", "x" * (TEXT_CHARACTERS_MAX + 1), "is longer than 2000 characters"),
        ("inventory", "tracking_enabled", True, True),
        ("inventory", "tracking_enabled", "False", False),
        ("inventory", "tracking_enabled", 1, "must be true or false"),
        ("product", "min_stock", "2.5", "must be a whole number"),
        ("product", "min_stock", "2.0", Decimal(2)),
        ("product", "weighted_average", "-1", "must not be below 0"),
        ("po_approval", "purchase_order_number", 1000, "1000"),
        ("po_approval", "purchase_order_number", "9" * 31, "must be an order's number"),
        ("po_approval", "purchase_order_number", "PO-1", "must be an order's number"),
        ("void", "kind", "Issuance", "issuance"),
        ("void", "kind", "transfer", "must be receipt or issuance"),
    ],
)
def test_a_field_is_read_or_its_fault_is_named(type_: str, name: str, value: object, becomes: object) -> None:
    taken = read(type_, **{name: value})

    if isinstance(taken, ErpDocument):
        assert taken.fields[name] == becomes
    else:
        assert isinstance(becomes, str)
        assert taken.errors[0].startswith(f"{name}: {becomes}")
        assert len(taken.errors) == 1


@pytest.mark.parametrize(
    ("type_", "key", "says"),
    [
        ("receipt", None, "api_key is missing"),
        ("receipt", "a b", "api_key may hold"),
        ("receipt", "k_s1", "ends in _s"),
        ("receipt", "k_c2", "ends in _c"),
        ("receipt", "MPS-1", "begins with mps-"),
        ("receipt", "mpsync-1", "begins with mpsync-"),
        ("void", "mpw-r-1", "MPW has no api_key for that row"),
        ("void", "MPW-I-1", "MPW has no api_key for that row"),
    ],
)
def test_a_key_that_cannot_be_the_erp_s_is_refused(type_: str, key: str | None, says: str) -> None:
    refused = read(type_, key)

    assert isinstance(refused, Invalid)
    assert says in refused.reason


def test_a_void_may_name_what_we_made_and_a_key_may_stand_in_the_payload_too() -> None:
    assert errors(read("void", "mps-1-1")) == ()
    assert errors(read("void", "k_s1")) == ()
    assert isinstance(taken := read("receipt", None, api_key="k-2"), ErpDocument)
    assert taken.api_key == "k-2"
    assert errors(read("receipt", "k-1", api_key=" k-1 ")) == ()
    assert "the row's is 'k-1'" in errors(read("receipt", "k-1", api_key="k-2"))[0]


def test_an_issuance_goes_to_equipment_or_to_a_work_order_s_task() -> None:
    order: dict[str, object] = {"work_order_sequential_id": 7, "task_name": "oil"}

    assert errors(read("issuance", **order)) == ()
    assert errors(read("issuance", equipment_unit_number="E")) == ()
    assert len(errors(read("issuance", equipment_unit_number="E", **order))) == 1
    for name in order:
        alone = {name: order[name]}
        assert "belong together" in errors(read("issuance", **alone))[0]
        assert len(errors(read("issuance", equipment_unit_number="E", **alone))) == 2


def test_an_amount_that_the_books_cannot_hold_is_refused() -> None:
    assert "too large" in errors(read("receipt", quantity_received="9000000000", unit_cost="9000"))[0]


@pytest.mark.parametrize(("type_", "envelope"), [("receipt", "Receipt"), ("transfer", "inventory_transfer")])
def test_an_envelope_as_in_mpw_s_own_calls_is_opened(type_: str, envelope: str) -> None:
    taken = read_document(type_, "k-1", json.dumps({envelope: WHOLE[type_]}))

    assert taken == read(type_)
    other = "inventory_transfer" if type_ == "receipt" else "transfers"
    assert isinstance(read_document(type_, "k-1", json.dumps({other: WHOLE[type_]})), Invalid)


def test_what_no_call_takes_is_named_and_changes_nothing() -> None:
    taken, plain = read("receipt", colour="red"), read("receipt")

    assert isinstance(taken, ErpDocument)
    assert isinstance(plain, ErpDocument)
    assert (taken.ignored, taken.digest) == (("colour",), plain.digest)


@pytest.mark.parametrize(
    ("type_", "payload", "says"),
    [
        ("order", "{}", "is none of"),
        (None, "{}", "is none of"),
        ("receipt", None, "payload is empty"),
        ("receipt", " ", "payload is empty"),
        ("receipt", "{", "payload is no JSON"),
        ("receipt", "[]", "payload is no JSON object"),
        ("receipt", '{"a": 1, "A": 2}', "names a field twice"),
    ],
)
def test_what_is_no_document_says_why(type_: str | None, payload: str | None, says: str) -> None:
    refused = read_document(type_, "k-1", payload)

    assert isinstance(refused, Invalid)
    assert says in refused.reason


@pytest.mark.parametrize(
    ("named", "refused"),
    [({"document": "J-1"}, False), ({"batch": "1"}, False), ({}, True), ({"document": "J-1", "batch": "1"}, True)],
)
def test_an_answer_about_the_journal_names_a_document_or_a_batch(named: dict[str, str], refused: bool) -> None:
    taken = read_document("journal_ack", "ACK-1", json.dumps({"state": "accepted"} | named))

    assert isinstance(taken, Invalid) is refused
    assert any("document" in error for error in errors(taken)) is refused


@pytest.mark.parametrize(("type_", "known_by"), [("void", "receipt:k-1"), ("receipt", "k-1")])
def test_a_void_is_known_by_what_it_voids_and_everything_else_by_its_key(type_: str, known_by: str) -> None:
    taken = read(type_)

    assert isinstance(taken, ErpDocument)
    assert taken.remote_id == known_by
