"""MPW, Issuances - GET, POST and DELETE. Each docstring quotes the sentence it holds the sandbox to."""

from __future__ import annotations

from decimal import Decimal

import pytest

from sync.sandbox.server import Sandbox
from tests.sandbox.conftest import MAIN, Vendor

DAY = "2023-09-19"
POSTED_FIELDS = [
    "id",
    "inventory_id",
    "part_number",
    "inventory_name",
    "organization_id",
    "warehouse_id",
    "created_on",
    "quantity",
    "unit_cost",
    "overdraft",
    "description",
    "api_key",
    "warehouse_name",
    "equipment_unit_number",
    "equipment_type",
    "custom_fields",
]


def layers(sandbox: Sandbox, *quantities: int) -> list[int]:
    """Receive 1233 once a day, oldest first, at 10, 11, 12, …"""
    return [
        sandbox.mpw.person_receives("1233", MAIN, quantity, 10 + place, f"2023-09-{place + 1:02d}")
        for place, quantity in enumerate(quantities)
    ]


def remaining(sandbox: Sandbox) -> list[int]:
    return [int(layer.remaining) for layer in sandbox.mpw.parts[(MAIN, "1233")].layers]


def test_get_shows_the_fields_of_the_sample_and_no_api_key(sandbox: Sandbox, mpw: Vendor) -> None:
    """GET's sample has nine fields; the api_key that was posted is not among them."""
    layers(sandbox, 5)
    mpw.post_issuance(description="shop [i1]", quantity=1)

    status, rows = mpw.get("/issuances", date=DAY)

    assert status == 200
    assert rows == [
        {
            "id": 43381,
            "part_number": "1233",
            "inventory_name": "Part name",
            "created_on": DAY,
            "quantity": Decimal("1.0"),
            "unit_cost": Decimal("10.0"),
            "overdraft": False,
            "description": "shop [i1]",
            "warehouse_name": MAIN,
        }
    ]


def test_get_needs_an_iso_date_and_shows_that_day_only(sandbox: Sandbox, mpw: Vendor) -> None:
    """The document: date | Yes | ISO YYYY-MM-DD format."""
    layers(sandbox, 5)
    sandbox.mpw.person_issues("1233", MAIN, 1, "2023-09-18")

    assert len(mpw.get("/issuances", date="2023-09-18")[1]) == 1
    assert mpw.get("/issuances", date=DAY) == (200, [])
    for wrong in ({}, {"date": "19.09.2023"}, {"date": "20230919"}, {"date": "2023-02-30"}):
        assert mpw.get("/issuances", **wrong)[0] == 422


def test_get_filters_by_the_exact_warehouse_name(sandbox: Sandbox, mpw: Vendor) -> None:
    """The document: Must be an exact match of the name of an existing Warehouse."""
    layers(sandbox, 5)
    sandbox.mpw.person_issues("1233", MAIN, 1, DAY)

    assert len(mpw.get("/issuances", date=DAY, warehouse_name="Warehouse #1")[1]) == 1
    assert mpw.get("/issuances", date=DAY, warehouse_name="warehouse #1") == (200, [])


def test_a_post_without_equipment_answers_one_object(sandbox: Sandbox, mpw: Vendor) -> None:
    """The document: If an Equipment is not specified, a successful post will return a JSON object with the newly-
    created Issuance.
    """
    layers(sandbox, 5)

    status, body = mpw.post_issuance(quantity=2)

    assert status == 200
    assert list(body) == POSTED_FIELDS
    assert (body["quantity"], body["api_key"], body["custom_fields"]) == (Decimal("2.0"), "i1", {})
    assert remaining(sandbox) == [3]


@pytest.mark.parametrize("name", ["part_number", "warehouse_name", "quantity", "created_on", "api_key"])
def test_a_post_needs_every_required_field(sandbox: Sandbox, mpw: Vendor, name: str) -> None:
    layers(sandbox, 5)

    status, body = mpw.post_issuance(**{name: None})

    assert status == 422
    assert name in body["message"]
    assert remaining(sandbox) == [5]


@pytest.mark.parametrize(
    "wrong",
    [
        {"part_number": 1233},
        {"quantity": "1"},
        {"quantity": True},
        {"quantity": 0},
        {"quantity": -1},
        {"created_on": "19.09.2023"},
        {"api_key": 1},
        {"description": 5},
        {"warehouse_name": "warehouse #1"},
        {"part_number": "unknown"},
    ],
)
def test_a_value_of_the_wrong_type_or_name_is_refused_and_takes_nothing(
    sandbox: Sandbox, mpw: Vendor, wrong: dict[str, object]
) -> None:
    layers(sandbox, 5)

    assert mpw.post_issuance(**wrong)[0] == 422
    assert remaining(sandbox) == [5]


def test_a_quantity_is_an_integer_unless_fractions_are_allowed(sandbox: Sandbox, mpw: Vendor) -> None:
    """The document: quantity | Yes | Integer; its sample sends 1.00."""
    layers(sandbox, 5)

    assert mpw.post_issuance(quantity=1.5, api_key="a")[0] == 422
    assert mpw.post_issuance(quantity=1.00, api_key="b")[0] == 200
    sandbox.mpw.options.allow_fractions = True
    assert mpw.post_issuance(quantity=1.5, api_key="c")[1]["quantity"] == Decimal("1.5")


def test_an_existing_api_key_is_an_error_and_changes_nothing(sandbox: Sandbox, mpw: Vendor) -> None:
    """The document: If an issuance with an existing api_key is found, an error will be returned."""
    layers(sandbox, 5)
    mpw.post_issuance(quantity=2)

    status, body = mpw.post_issuance(quantity=2)

    assert status == 422
    assert "already exists" in body["message"]
    assert remaining(sandbox) == [3]
    assert len(sandbox.mpw.issuance_by_id) == 1


def test_receipts_and_issuances_have_separate_name_spaces_of_keys(mpw: Vendor) -> None:
    assert mpw.post_receipt(api_key="same")[0] == 200
    assert mpw.post_issuance(api_key="same")[0] == 200


def test_without_equipment_more_than_the_current_receipt_is_an_error_that_names_the_maximum(
    sandbox: Sandbox, mpw: Vendor
) -> None:
    """The document: Issuances without an associated Equipment cannot exceed the quantity present in the current
    Receipt. An error will be returned with a message indicating the maximum quantity available.
    """
    layers(sandbox, 4, 3, 5)

    status, body = mpw.post_issuance(quantity=10)

    assert status == 422
    assert body == {"message": "The maximum quantity available for this Issuance is 4.0."}
    assert remaining(sandbox) == [4, 3, 5]
    assert sandbox.mpw.issuance_by_id == {}


def test_the_current_receipt_is_the_oldest_with_anything_left(sandbox: Sandbox, mpw: Vendor) -> None:
    layers(sandbox, 4, 3, 5)

    for key, quantity, cost in (("a", 4, "10.0"), ("b", 3, "11.0"), ("c", 3, "12.0")):
        status, body = mpw.post_issuance(api_key=key, quantity=quantity)
        assert (status, body["unit_cost"]) == (200, Decimal(cost))

    assert remaining(sandbox) == [0, 0, 2]
    assert "is 2.0." in mpw.post_issuance(api_key="d", quantity=3)[1]["message"]


def test_a_back_dated_receipt_becomes_the_current_one(sandbox: Sandbox, mpw: Vendor) -> None:
    layers(sandbox, 4)
    sandbox.mpw.person_receives("1233", MAIN, 2, 7, "2023-08-01")

    assert mpw.post_issuance(quantity=1)[1]["unit_cost"] == Decimal("7.0")


def test_of_two_receipts_of_one_day_the_first_made_is_taken_first_and_an_older_year_before_both(
    sandbox: Sandbox, mpw: Vendor
) -> None:
    for cost, day in ((1, DAY), (2, DAY), (3, "2022-12-31")):
        sandbox.mpw.person_receives("1233", MAIN, 1, cost, day)

    costs = [mpw.post_issuance(api_key=key)[1]["unit_cost"] for key in ("a", "b", "c")]

    assert costs == [3, 1, 2]


def test_with_no_stock_the_maximum_is_zero(mpw: Vendor) -> None:
    status, body = mpw.post_issuance(quantity=1)

    assert status == 422
    assert "is 0.0." in body["message"]


def test_with_equipment_a_request_is_split_over_receipts_and_answers_an_array_of_the_key(
    sandbox: Sandbox, mpw: Vendor
) -> None:
    """The document: Issuance with an associated Equipment will automatically split a request exceeding the current
    Receipt quantity into multiple Issuances across multiple Receipts. Therefore, a successful post returns an array.
    """
    layers(sandbox, 4, 3, 5)
    sandbox.mpw.add_equipment("001", "4-Gas Monitor")

    status, rows = mpw.post_issuance(quantity=10, equipment_unit_number="001")

    assert status == 200
    assert [(row["quantity"], row["unit_cost"], row["api_key"]) for row in rows] == [
        (4, 10, "i1"),
        (3, 11, "i1"),
        (3, 12, "i1"),
    ]
    assert remaining(sandbox) == [0, 0, 2]
    assert len(mpw.get("/issuances", date=DAY)[1]) == 3


def test_with_equipment_even_one_issuance_is_an_array(sandbox: Sandbox, mpw: Vendor) -> None:
    layers(sandbox, 4)
    sandbox.mpw.add_equipment("001")

    assert len(mpw.post_issuance(quantity=1, equipment_unit_number="001")[1]) == 1


def test_a_split_cannot_exceed_all_receipts_together(sandbox: Sandbox, mpw: Vendor) -> None:
    layers(sandbox, 4, 3)
    sandbox.mpw.add_equipment("001")

    status, body = mpw.post_issuance(quantity=8, equipment_unit_number="001")

    assert status == 422
    assert "is 7.0." in body["message"]
    assert remaining(sandbox) == [4, 3]


def test_a_work_order_and_task_split_too_and_show_the_work_orders_equipment(sandbox: Sandbox, mpw: Vendor) -> None:
    """The document: The same principle applies to posting an Issuance to a work order number and task name
    combination.
    """
    layers(sandbox, 4, 3)
    equipment = sandbox.mpw.add_equipment("001", "4-Gas Monitor")
    sandbox.mpw.add_work_order(77, tasks=["repair3"], equipment=equipment)

    status, rows = mpw.post_issuance(quantity=5, work_order_sequential_id=77, task_name="repair3")

    assert status == 200
    assert [row["quantity"] for row in rows] == [4, 1]
    assert {(row["equipment_unit_number"], row["equipment_type"]) for row in rows} == {("001", "4-Gas Monitor")}
    assert sandbox.mpw.work_order_list[77].parts_cost == 51


@pytest.mark.parametrize(
    "wrong",
    [
        {"work_order_sequential_id": 77},
        {"task_name": "repair3"},
        {"work_order_sequential_id": 77, "task_name": "Repair3"},
        {"work_order_sequential_id": 78, "task_name": "repair3"},
        {"work_order_sequential_id": "77", "task_name": "repair3"},
        {"equipment_unit_number": "nope"},
    ],
)
def test_a_work_order_needs_its_exact_task_and_an_equipment_must_exist(
    sandbox: Sandbox, mpw: Vendor, wrong: dict[str, object]
) -> None:
    """The document: task_name | must be an exact match … Must be used in combination with work_order_sequential_id."""
    layers(sandbox, 4)
    sandbox.mpw.add_work_order(77, tasks=["repair3"])

    assert mpw.post_issuance(**wrong)[0] == 422
    assert remaining(sandbox) == [4]


def test_equipment_takes_precedence_and_nothing_goes_to_the_work_order(sandbox: Sandbox, mpw: Vendor) -> None:
    """The document: the issuance to the equipment_unit_number takes precedence and no issuance will be created to the
    work order.
    """
    layers(sandbox, 4)
    sandbox.mpw.add_equipment("001")
    sandbox.mpw.add_work_order(77, tasks=["repair3"])

    status, rows = mpw.post_issuance(equipment_unit_number="001", work_order_sequential_id=77, task_name="repair3")

    assert (status, len(rows)) == (200, 1)
    assert sandbox.mpw.work_order_list[77].parts_cost == 0


def test_one_delete_removes_all_issuances_of_a_key_and_gives_the_parts_back(sandbox: Sandbox, mpw: Vendor) -> None:
    """The document: A single DELETE request is sufficient to delete all Issuances associated with that api_key."""
    layers(sandbox, 4, 3, 5)
    sandbox.mpw.add_equipment("001")
    mpw.post_issuance(quantity=10, equipment_unit_number="001")
    kept = sandbox.mpw.person_issues("1233", MAIN, 1, DAY)

    assert mpw.delete("/issuance/i1") == (200, {"api_key": "i1"})

    assert [row["id"] for row in mpw.get("/issuances", date=DAY)[1]] == kept
    assert remaining(sandbox) == [4, 3, 4]
    assert mpw.delete("/issuance/i1")[0] == 404


def test_a_deleted_key_can_be_used_again(sandbox: Sandbox, mpw: Vendor) -> None:
    """The document: Existing issuances must be deleted if a change is necessary."""
    layers(sandbox, 4)
    mpw.post_issuance(quantity=2)
    mpw.delete("/issuance/i1")

    assert mpw.post_issuance(quantity=3)[0] == 200
    assert remaining(sandbox) == [1]


def test_an_unknown_key_and_the_plural_path_are_404(mpw: Vendor) -> None:
    assert mpw.delete("/issuance/unknown")[0] == 404
    assert mpw.http.delete("/issuances/unknown").status_code == 404


def test_a_persons_issuance_cannot_be_deleted_through_the_api(sandbox: Sandbox, mpw: Vendor) -> None:
    layers(sandbox, 4)
    [made] = sandbox.mpw.person_issues("1233", MAIN, 1, DAY)

    assert mpw.delete(f"/issuance/{made}")[0] == 404
    assert made in sandbox.mpw.issuance_by_id


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({"Content-Type": "application/json"}, b'{"quantity": 1}', 400),
        ({"Content-Type": "application/json"}, b"[1]", 400),
        ({"Content-Type": "application/json"}, b'{"issuance": ', 400),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b'{"issuance": {}}', 415),
    ],
)
def test_a_body_must_be_json_in_its_envelope(mpw: Vendor, headers: dict[str, str], content: bytes, status: int) -> None:
    assert mpw.call("POST", "/issuances", content=content, headers=headers)[0] == status
