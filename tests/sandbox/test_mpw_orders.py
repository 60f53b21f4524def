"""MPW, Equipment - GET, Work Orders - GET, Purchase Orders - GET and approve - POST."""

from __future__ import annotations

from decimal import Decimal

import pytest

from sync.sandbox.server import Sandbox
from tests.sandbox.conftest import MAIN, Vendor

SEPTEMBER = {"created_on_from": "2023-09-01", "created_on_to": "2023-09-30"}


def approve(mpw: Vendor, numbers: object) -> tuple[int, object]:
    return mpw.post("/purchase_orders/approve", {"purchase_order_numbers": numbers})


def numbers_of(answer: tuple[int, object], name: str = "purchase_orders") -> list[int]:
    return [row["sequential_id"] for row in answer[1][name]]


def test_equipment_is_read_by_the_exact_name_of_its_gps_provider(sandbox: Sandbox, mpw: Vendor) -> None:
    """The document: Geotab would match results, but Geo Tab would not."""
    sandbox.mpw.add_equipment(
        "STX", name="STX-333 KW Hydro", gps_provider="Geotab", serial_number="S1", last_recorded_on="2019-12-10"
    )
    sandbox.mpw.add_equipment("no gps")

    status, rows = mpw.get("/gps_meter_updates", gps_provider="Geotab")

    assert status == 200
    assert rows == [
        {
            "id": 282774,
            "last_recorded_on": "2019-12-10",
            "name": "STX-333 KW Hydro",
            "status": "Active",
            "category_name": None,
            "assignee_name": None,
            "assignee_number": None,
        }
    ]
    assert mpw.get("/gps_meter_updates", gps_provider="Geo Tab") == (200, [])
    assert mpw.get("/gps_meter_updates", gps_provider="Geotab", serial_number="S2") == (200, [])
    assert len(mpw.get("/gps_meter_updates", gps_provider="Geotab", name="STX-333 KW Hydro")[1]) == 1
    assert mpw.get("/gps_meter_updates")[0] == 422


def test_a_purchase_order_is_printed_with_its_lines_and_pagination(sandbox: Sandbox, mpw: Vendor) -> None:
    sandbox.mpw.add_order(
        1000,
        created_on="2023-09-17",
        required_on="2023-09-18",
        vendor_name="Bosch",
        warehouse_name=MAIN,
        lines=[("000000", 5, 7), ("99999", 50, "10.00")],
    )

    status, body = mpw.get("/purchase_orders", **SEPTEMBER)

    assert status == 200
    assert body["pagination"] == {"page": 1, "pageSize": 100, "pageCount": 1, "count": 1}
    [order] = body["purchase_orders"]
    assert (order["sequential_id"], order["prefix_title"], order["status"]) == (1000, "1000", "requisition")
    assert (order["total_cost"], order["vendor_name"], order["completed_on"]) == (Decimal("535.0"), "Bosch", None)
    assert [line["extended_cost"] for line in order["items"]] == [Decimal("35.0"), Decimal("500.0")]


@pytest.mark.parametrize("name", ["created_on", "required_on", "completed_on"])
def test_orders_are_read_by_any_of_three_ranges_both_ends_included(sandbox: Sandbox, mpw: Vendor, name: str) -> None:
    sandbox.mpw.add_order(
        1, created_on="2023-09-10", required_on="2023-09-10", completed_on="2023-09-10", status="Received"
    )
    sandbox.mpw.add_order(2, created_on="2023-09-11", required_on="2023-09-11", completed_on="2023-09-11")
    sandbox.mpw.add_order(3, created_on="2023-09-12")

    answer = mpw.get("/purchase_orders", **{f"{name}_from": "2023-09-10", f"{name}_to": "2023-09-11"})

    assert numbers_of(answer) == [1, 2]


@pytest.mark.parametrize("path", ["/purchase_orders", "/work_orders"])
def test_a_range_needs_both_ends_and_at_least_one_range_is_required(mpw: Vendor, path: str) -> None:
    """The document: The _from and _to for a parameter type … are both required."""
    name = "created_on" if path == "/purchase_orders" else "due_on"

    assert mpw.get(path)[0] == 422
    assert mpw.get(path, **{f"{name}_from": "2023-09-01"})[0] == 422
    assert mpw.get(path, **{f"{name}_to": "2023-09-01"})[0] == 422
    assert mpw.get(path, **{f"{name}_from": "2023-09-01", f"{name}_to": "September"})[0] == 422


def test_the_status_filter_is_an_exact_match(sandbox: Sandbox, mpw: Vendor) -> None:
    """The document: status | Must be an exact match of a purchase order Status in MP Web."""
    sandbox.mpw.add_order(1)
    sandbox.mpw.add_order(2, status="Ordered")

    assert numbers_of(mpw.get("/purchase_orders", status="requisition", **SEPTEMBER)) == [1]
    assert numbers_of(mpw.get("/purchase_orders", status="Requisition", **SEPTEMBER)) == []


def test_a_hundred_orders_a_page_and_the_page_parameter_turns_them(sandbox: Sandbox, mpw: Vendor) -> None:
    for _ in range(205):
        sandbox.mpw.add_order()

    pages = [mpw.get("/purchase_orders", page=page, **SEPTEMBER) for page in (1, 2, 3, 4)]

    assert [len(numbers_of(page)) for page in pages] == [100, 100, 5, 0]
    assert pages[1][1]["pagination"] == {"page": 2, "pageSize": 100, "pageCount": 3, "count": 205}
    assert len({number for page in pages for number in numbers_of(page)}) == 205


def test_without_a_page_parameter_every_page_is_the_first(sandbox: Sandbox, mpw: Vendor) -> None:
    """No page parameter is documented."""
    sandbox.mpw.options.page_parameter = False
    for _ in range(101):
        sandbox.mpw.add_order()

    first, second = (mpw.get("/purchase_orders", page=page, **SEPTEMBER) for page in (1, 2))

    assert first == second
    assert second[1]["pagination"] == {"page": 1, "pageSize": 100, "pageCount": 2, "count": 101}


def test_work_orders_are_read_by_any_of_four_ranges(sandbox: Sandbox, mpw: Vendor) -> None:
    sandbox.mpw.add_work_order(1, start_at="2023-09-01T08:00:00.000Z", tasks=["repair3"])
    sandbox.mpw.add_work_order(2, scheduled_on="2023-09-02")
    sandbox.mpw.add_work_order(3, due_on="2023-09-03")
    sandbox.mpw.add_work_order(4, completed_at="2023-09-04T23:59:59.000Z", status="Completed")

    for name, number in (("start_on", 1), ("scheduled_on", 2), ("due_on", 3), ("completed_on", 4)):
        answer = mpw.get("/work_orders", **{f"{name}_from": "2023-09-01", f"{name}_to": "2023-09-04"})
        assert numbers_of(answer, "work_orders") == [number], name
        assert answer[1]["pagination"]["count"] == 1


def test_a_work_order_shows_its_tasks_and_the_cost_of_parts_issued_to_it(sandbox: Sandbox, mpw: Vendor) -> None:
    sandbox.mpw.add_work_order(77, scheduled_on="2023-09-19", tasks=["repair3"])
    sandbox.mpw.person_receives("1233", MAIN, 4, "2.5")
    mpw.post_issuance(quantity=2, work_order_sequential_id=77, task_name="repair3")

    answer = mpw.get("/work_orders", scheduled_on_from="2023-09-19", scheduled_on_to="2023-09-19")

    [order] = answer[1]["work_orders"]
    assert [task["name"] for task in order["tasks"]] == ["repair3"]
    assert (order["parts_cost"], order["total_cost"]) == (Decimal("5.0"), Decimal("5.0"))


def test_approving_sets_requisitions_to_ordered_and_answers_as_printed(sandbox: Sandbox, mpw: Vendor) -> None:
    """The document: Multiple Purchase Orders can have their status set to 'Ordered' in a single transaction."""
    sandbox.mpw.add_order(1000)
    sandbox.mpw.add_order(1001)
    sandbox.mpw.add_order(1002)

    answer = approve(mpw, "1000,1001")

    assert answer == (200, {"results": {"purchase_order_numbers": [1000, 1001], "errors": []}})
    assert [order.status for order in sandbox.mpw.orders.values()] == ["Ordered", "Ordered", "requisition"]


def test_one_number_may_be_an_integer_as_the_table_says(sandbox: Sandbox, mpw: Vendor) -> None:
    """The document: purchase_order_numbers | Yes | Integer."""
    sandbox.mpw.add_order(1000)

    assert approve(mpw, 1000)[1]["results"]["purchase_order_numbers"] == [1000]


def test_each_order_that_cannot_be_approved_has_its_own_error(sandbox: Sandbox, mpw: Vendor) -> None:
    sandbox.mpw.add_order(1000)
    sandbox.mpw.add_order(1001, status="Received")

    status, body = approve(mpw, "1000,1001,999,abc")

    assert status == 200
    assert body["results"]["purchase_order_numbers"] == [1000]
    assert [("1001" in text, "999" in text, "abc" in text) for text in body["results"]["errors"]] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]
    assert sandbox.mpw.orders[1001].status == "Received"


def test_an_order_cannot_be_approved_twice(sandbox: Sandbox, mpw: Vendor) -> None:
    sandbox.mpw.add_order(1000)
    approve(mpw, "1000")

    results = approve(mpw, "1000")[1]["results"]

    assert results["purchase_order_numbers"] == []
    assert len(results["errors"]) == 1


def test_more_than_fifty_numbers_are_refused_and_none_is_approved(sandbox: Sandbox, mpw: Vendor) -> None:
    """The document: Up to 50 purchase order numbers may be sent separated by a comma."""
    for number in range(1000, 1051):
        sandbox.mpw.add_order(number)

    assert approve(mpw, ",".join(str(number) for number in range(1000, 1051)))[0] == 422
    assert {order.status for order in sandbox.mpw.orders.values()} == {"requisition"}
    fifty = approve(mpw, ",".join(str(number) for number in range(1000, 1050)))
    assert len(fifty[1]["results"]["purchase_order_numbers"]) == 50


@pytest.mark.parametrize("wrong", [None, "", [1000], True])
def test_anything_but_numbers_and_commas_is_refused(mpw: Vendor, wrong: object) -> None:
    assert approve(mpw, wrong)[0] == 422


def test_a_person_may_change_an_order_and_its_total_follows(sandbox: Sandbox, mpw: Vendor) -> None:
    sandbox.mpw.add_order(1000, lines=[("1233", 2, 5)], freight_cost="1.50")

    sandbox.mpw.person_edits_order(1000, quantity=3)

    [order] = mpw.get("/purchase_orders", **SEPTEMBER)[1]["purchase_orders"]
    assert order["total_cost"] == Decimal("16.5")
