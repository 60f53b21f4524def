"""The samples of MPW's document, byte by byte where they are valid JSON, read as they mean."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import pytest

from sync.clients.http import Answer
from sync.clients.mpw.approval import ApprovalResult, read_approval
from sync.clients.mpw.wire import (
    OrderLine,
    Page,
    read_equipment,
    read_inventories,
    read_issuances,
    read_purchase_orders,
    read_receipts,
    read_work_orders,
)
from sync.clients.redact import AnswerRedactor
from sync.errors import MalformedResponseError, OutcomeUnknownError, RejectedError
from tests.clients.vendor import as_meant, sample

REDACTOR = AnswerRedactor(tuple)


def test_the_printed_issuance_reads_as_meant() -> None:
    parsed = read_issuances(as_meant("mpw_issuances_get"))

    assert parsed.bad == []
    (row,) = parsed.rows
    assert (row.id, row.part_number, row.warehouse_name) == ("43381", "091843", "Warehouse #1")
    assert (row.created_on, row.quantity, row.unit_cost) == (date(2020, 9, 28), Decimal(1), Decimal("9.99"))
    assert (row.overdraft, row.description, row.api_key) == (False, "issuance description field content", None)
    assert row.inventory_name == "part name"


def test_the_printed_receipt_reads_as_meant() -> None:
    parsed = read_receipts(as_meant("mpw_receipts_get"))

    assert parsed.bad == []
    (row,) = parsed.rows
    assert (row.id, row.part_number, row.warehouse_name) == ("236252", "51503", "Warehouse #1")
    assert (row.quantity_received, row.quantity_remaining, row.unit_cost) == (1, 1, Decimal("11.3"))
    assert (row.invoice_number, row.vendor_name, row.vendor_number, row.api_key) == (None, None, None, None)
    assert row.purchase_order_number == "1000"
    assert row.description == "receipt description field content"


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("mpw_issuances_get", read_issuances),
        ("mpw_receipts_get", read_receipts),
        ("mpw_purchase_orders_get", read_purchase_orders),
    ],
)
def test_a_sample_with_typographic_quotes_or_a_shell_prompt_is_clearly_refused(name: str, reader: object) -> None:
    with pytest.raises(MalformedResponseError, match="no whole JSON"):
        reader(sample(name))  # type: ignore[operator]


def test_the_printed_answer_to_a_receipt_post_reads_in_spite_of_its_capitals() -> None:
    parsed = read_receipts(b"[" + sample("mpw_receipts_post") + b"]")

    (row,) = parsed.rows
    assert (row.id, row.part_number, row.api_key) == ("236255", "1233", "1")
    assert (row.quantity_received, row.quantity_remaining) == (Decimal("1.25"), Decimal("1.25"))
    assert (row.created_on, row.purchase_order_number) == (date(2020, 9, 29), None)


def test_the_printed_answer_to_an_issuance_post_is_two_rows_of_one_key() -> None:
    rows = read_issuances(sample("mpw_issuances_post")).rows

    assert [(row.id, row.api_key, row.quantity, row.unit_cost) for row in rows] == [
        ("44135", "001", 1, 50),
        ("44136", "001", 1, 50),
    ]


def test_the_printed_inventories_read_as_meant() -> None:
    (row,) = read_inventories(sample("mpw_inventories_get")).rows
    assert (row.id, row.part_number, row.api_key, row.quantity) == ("279367", "1112", "45", 0)
    assert (row.unit_cost, row.tracking_enabled) == (Decimal("1.99"), True)

    (posted,) = read_inventories(b"[" + sample("mpw_inventories_post") + b"]").rows
    assert (posted.part_number, posted.api_key) == ("1111", None)

    both = read_inventories(sample("mpw_transfers_post")).rows
    assert [(row.warehouse_name, row.quantity) for row in both] == [("Totally New Warehouse", 23), ("WH2", 2)]


def test_the_printed_equipment_reads_as_meant() -> None:
    (row,) = read_equipment(sample("mpw_gps_meter_updates_get")).rows

    assert (row.id, row.name, row.status) == ("282774", "STX-333 KW Hydro", "Active")
    assert row.last_recorded_on == date(2019, 12, 10)


def test_the_printed_work_order_reads_as_meant() -> None:
    parsed, page = read_work_orders(sample("mpw_work_orders_get"))

    (row,) = parsed.rows
    assert (row.number, row.title, row.status) == ("1234567996", "1234567996", "Open")
    assert (row.scheduled_on, row.due_on) == (date(2023, 7, 25), date(2023, 7, 25))
    assert (row.start_at, row.completed_at, row.completed_on) == (None, None, None)
    assert (row.parts_cost, row.total_cost) == (0, 0)
    assert page == Page(number=1, page_size=100, page_count=1, count=1)


def test_a_finished_work_order_has_the_day_of_its_timestamp() -> None:
    order = {
        "sequential_id": 1,
        "prefix_title": "WO-1",
        "status": "Closed",
        "completed_at": "2026-03-01T22:10:00-06:00",
    }

    (row,) = read_work_orders(json.dumps({"work_orders": [order]}).encode())[0].rows

    assert (row.title, row.completed_on, row.completed_at) == ("WO-1", date(2026, 3, 1), order["completed_at"])


def test_the_printed_purchase_order_reads_as_meant() -> None:
    parsed, page = read_purchase_orders(as_meant("mpw_purchase_orders_get"))

    (row,) = parsed.rows
    assert (row.number, row.status, row.total_cost) == ("1000", "requisition", 585)
    assert (row.created_on, row.required_on, row.completed_on) == (date(2024, 9, 17), date(2024, 9, 18), None)
    assert (row.vendor_name, row.vendor_number, row.warehouse_name) == ("Bosch", None, "Warehouse #1")
    assert row.items == (
        OrderLine("51212", "000000", Decimal(5), Decimal(0), Decimal(7), Decimal(35)),
        OrderLine("51213", "99999", Decimal(50), Decimal(0), Decimal(10), Decimal(500)),
    )
    assert page == Page(1, 100, 1, 1)


def order(**changes: object) -> dict[str, object]:
    value: dict[str, object] = json.loads(as_meant("mpw_purchase_orders_get"))["purchase_orders"][0]
    return value | changes


def orders(*rows: object, **more: object) -> bytes:
    return json.dumps({"purchase_orders": list(rows)} | more).encode()


def test_an_order_with_an_unreadable_line_or_total_is_bad_as_a_whole() -> None:
    lines = order()["items"]
    assert isinstance(lines, list)
    broken = [lines[0], lines[1] | {"quantity": "many"}]

    parsed, _ = read_purchase_orders(
        orders(
            order(items=broken),
            order(sequential_id=2, total_cost=None),
            order(sequential_id=3, items="none"),
            order(sequential_id=4, items=["x"]),
            order(sequential_id=5),
        )
    )

    assert [row.number for row in parsed.rows] == ["5"]
    assert [bad.remote_id for bad in parsed.bad] == ["1000", "2", "3", "4"]


def test_an_order_without_lines_and_a_line_without_part_or_extended_cost_are_read() -> None:
    line = {"id": 1, "quantity": 3, "unit_cost": "1.5"}

    parsed, page = read_purchase_orders(orders(order(items=None), order(sequential_id=2, items=[line])))

    assert [row.items for row in parsed.rows] == [
        (),
        (OrderLine("1", "", Decimal(3), Decimal(0), Decimal("1.5"), Decimal("4.5")),),
    ]
    assert page is None


def test_any_change_of_an_order_shows_in_its_digest_and_its_spelling_does_not() -> None:
    def digest(row: dict[str, object]) -> str:
        return read_purchase_orders(orders(row))[0].rows[0].digest

    assert digest(order(notes="other")) != digest(order())
    assert digest(order(subtotal=585)) == digest(order())
    assert digest({key.upper(): value for key, value in order().items()}) == digest(order())


@pytest.mark.parametrize(
    "body",
    [
        b'{"message":"no access"}',
        b'{"purchase_orders":[],"errors":["half of it failed"]}',
        b'{"purchase_orders":{}}',
        b'{"work_orders":[]}',
        orders(pagination="1 of 2"),
        orders(pagination={"page": 1}),
    ],
)
def test_orders_that_may_not_be_whole_are_refused(body: bytes) -> None:
    with pytest.raises(MalformedResponseError):
        read_purchase_orders(body)


def test_one_odd_order_does_not_sink_its_page() -> None:
    body = orders(order(), {"x": "ODD"}, pagination={"page": 2, "pageSize": 100, "pageCount": 3, "count": 250})

    parsed, page = read_purchase_orders(body.replace(b'"ODD"', b"NaN"))

    assert [row.number for row in parsed.rows] == ["1000"]
    assert len(parsed.bad) == 1
    assert page == Page(2, 100, 3, 250)


def approval(value: object, *sent: str) -> ApprovalResult:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return read_approval(Answer(200, body, {}, None), sent, REDACTOR)


def test_the_printed_approval_reads_as_meant() -> None:
    result = approval(as_meant("mpw_approve_post"), "1000")

    assert (result.approved, result.errors) == (frozenset({"1000"}), {})


@pytest.mark.parametrize("listed", [[1000, 1002], ["1000", "1002"], "1000,1002", "1000, 1002"])
def test_approved_numbers_are_found_in_each_spelling(listed: object) -> None:
    result = approval({"results": {"purchase_order_numbers": listed, "errors": []}}, "1000", "1001", "100")

    assert result.approved == {"1000"}, "neither 100 nor what we did not send"


@pytest.mark.parametrize(
    "errors",
    [
        ["1001 is not a requisition"],
        ["Purchase order #1001: not a requisition"],
        "1001 is not a requisition",
        [1001],
        {"1001": "is not a requisition"},
        {"1001": ["is not", "a requisition"]},
        [{"purchase_order_number": 1001, "message": "is not a requisition"}],
        [{"number": "1001", "errors": ["is not a requisition"]}],
    ],
)
def test_an_error_is_told_to_the_order_it_names(errors: object) -> None:
    result = approval({"results": {"purchase_order_numbers": [1000], "errors": errors}}, "1000", "1001", "10010", "100")

    assert result.approved == {"1000"}
    assert list(result.errors) == ["1001"]


def test_an_amount_is_no_order_number() -> None:
    errors = ["1001: total $1000 or 1000.50 is above the limit of 12.1002"]

    result = approval({"results": {"purchase_order_numbers": [], "errors": errors}}, "1000", "1001", "1002")

    assert list(result.errors) == ["1001"]


def test_an_error_without_a_number_belongs_to_the_only_order_sent_and_else_to_none() -> None:
    value = {"results": {"purchase_order_numbers": [], "errors": ["no permission"]}}

    assert approval(value, "1000").errors == {"1000": "no permission"}
    several = approval(value, "1000", "1001")
    assert several.errors == {}
    assert "no permission" in several.text


def test_a_refused_approval_is_rejected_and_a_meaningless_answer_unknown() -> None:
    with pytest.raises(RejectedError, match="not allowed"):
        approval({"message": "not allowed"}, "1000")
    for body in (sample("mpw_approve_post"), b"<html>", b"[]", b"{}", b"null", b""):
        with pytest.raises(OutcomeUnknownError):
            approval(body, "1000")


def test_a_question_that_has_one_answer_may_show_it_bare() -> None:
    (receipt,) = read_receipts(sample("mpw_receipts_post")).rows
    (inventory,) = read_inventories(sample("mpw_inventories_post")).rows

    assert (receipt.id, inventory.id) == ("236255", "279366")


@pytest.mark.parametrize("body", [b"null", b"{}", b'{"message": "No receipt found"}', b'{"id": 1, "message": "gone"}'])
def test_what_is_no_row_and_no_list_is_no_answer(body: bytes) -> None:
    for read in (read_receipts, read_inventories):
        with pytest.raises(MalformedResponseError):
            read(body)
