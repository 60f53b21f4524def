"""MPW, Inventory - GET and POST, Inventory Transfers - POST."""

from __future__ import annotations

from decimal import Decimal

import pytest

from sync.sandbox.server import Sandbox
from tests.sandbox.conftest import MAIN, Vendor


def post_inventory(mpw: Vendor, **changes: object) -> tuple[int, object]:
    return mpw.post(
        "/inventories",
        {"inventory": {"part_number": "1112", "warehouse_name": MAIN, "api_key": "45"} | changes},
    )


def transfer(mpw: Vendor, **changes: object) -> tuple[int, object]:
    fields = {"part_number": "1233", "warehouse_name": MAIN, "destination_warehouse_name": "WH2", "quantity": 2}
    return mpw.post("/inventory_transfers", {"inventory_transfer": fields | changes})


def test_get_shows_the_samples_fields_in_an_array(sandbox: Sandbox, mpw: Vendor) -> None:
    post_inventory(mpw, unit_cost=1.99, tracking_enabled="true")

    assert mpw.get("/inventories", api_key="45")[1] == [
        {
            "id": 279368,
            "part_number": "1112",
            "api_key": "45",
            "inventory_name": None,
            "warehouse_name": MAIN,
            "bin": None,
            "category": None,
            "unit_type": None,
            "description": None,
            "quantity": Decimal("0.0"),
            "reorder_quantity": Decimal("0.0"),
            "low_stock_level": Decimal("0.0"),
            "unit_cost": Decimal("1.99"),
            "tracking_enabled": True,
        }
    ]


def test_get_needs_warehouse_and_part_unless_the_api_key_is_given(mpw: Vendor) -> None:
    """The document: warehouse_name : REQUIRED unless api_key is provided; part_number the same."""
    assert len(mpw.get("/inventories", warehouse_name=MAIN, part_number="1233")[1]) == 1
    assert mpw.get("/inventories", warehouse_name=MAIN)[0] == 422
    assert mpw.get("/inventories", part_number="1233")[0] == 422
    assert mpw.get("/inventories")[0] == 422


def test_an_unknown_part_is_an_empty_array_or_404_as_the_option_says(sandbox: Sandbox, mpw: Vendor) -> None:
    assert mpw.get("/inventories", warehouse_name=MAIN, part_number="nope") == (200, [])
    sandbox.mpw.options.unknown_inventory_is_404 = True
    assert mpw.get("/inventories", warehouse_name=MAIN, part_number="nope")[0] == 404


def test_the_quantity_follows_receipts_and_issuances_and_the_unit_cost_stays_the_baseline(
    sandbox: Sandbox, mpw: Vendor
) -> None:
    """The transfer sample shows a stock of 23 beside a unit_cost of 0.0."""
    mpw.post_receipt(quantity_received=4, unit_cost=9)
    mpw.post_issuance(quantity=1)

    [row] = mpw.get("/inventories", warehouse_name=MAIN, part_number="1233")[1]

    assert (row["quantity"], row["unit_cost"]) == (Decimal("3.0"), Decimal("0.0"))


def test_a_baseline_counts_and_is_no_receipt(sandbox: Sandbox, mpw: Vendor) -> None:
    """The document: quantity and unit_cost are intended to provide baseline stock level information for newly-created
    inventory.
    """
    status, body = post_inventory(mpw, quantity=7, unit_cost=3)

    assert (status, body["quantity"], body["unit_cost"]) == (200, 7, 3)
    assert mpw.get("/receipts", date="2023-09-19") == (200, [])
    assert mpw.post_issuance(part_number="1112", quantity=7)[1]["unit_cost"] == 3


def test_an_existing_key_updates_the_reorder_fields_and_never_the_stock(mpw: Vendor) -> None:
    """The document: The reorder tracking fields reorder_quantity and low_stock_level can be updated through the API."""
    post_inventory(mpw, quantity=7, unit_cost=3, reorder_quantity=1)

    status, body = post_inventory(mpw, quantity=99, unit_cost=99, reorder_quantity=5, low_stock_level=2.5)

    assert status == 200
    assert (body["quantity"], body["unit_cost"]) == (7, 3)
    assert (body["reorder_quantity"], body["low_stock_level"]) == (5, Decimal("2.5"))


@pytest.mark.parametrize(("sent", "enabled"), [("true", True), ("true ", True), (True, False), ("yes", False)])
def test_tracking_is_enabled_by_the_string_true_only(mpw: Vendor, sent: object, enabled: bool) -> None:
    """The document: The parameter tracking_enabled must be specified as the string 'true ' for inventory tracking to
    be enabled.
    """
    assert post_inventory(mpw, tracking_enabled=sent)[1]["tracking_enabled"] is enabled


@pytest.mark.parametrize(
    "wrong", [{"part_number": 1112}, {"api_key": ""}, {"warehouse_name": "nowhere"}, {"quantity": "7"}, {"bin": 4}]
)
def test_a_wrong_inventory_is_refused_and_creates_nothing(
    sandbox: Sandbox, mpw: Vendor, wrong: dict[str, object]
) -> None:
    assert post_inventory(mpw, **wrong)[0] == 422
    assert len(sandbox.mpw.parts) == 1


def test_a_second_part_of_the_same_number_in_a_warehouse_is_refused(mpw: Vendor) -> None:
    assert post_inventory(mpw, part_number="1233", api_key="other")[0] == 422


def test_a_transfer_answers_both_rows_and_creates_the_destinations_part(sandbox: Sandbox, mpw: Vendor) -> None:
    """The document: If Inventory does not already exist in the destination Warehouse, it will be created
    automatically.
    """
    sandbox.mpw.person_receives("1233", MAIN, 25, 4)

    status, rows = transfer(mpw)

    assert status == 200
    assert [(row["warehouse_name"], row["quantity"], row["api_key"]) for row in rows] == [
        (MAIN, Decimal("23.0"), None),
        ("WH2", Decimal("2.0"), None),
    ]
    assert {"organization_id", "warehouse_id"} <= set(rows[0])
    assert mpw.get("/inventories", warehouse_name="WH2", part_number="1233")[1][0]["quantity"] == 2


def test_a_transfer_has_no_key_so_that_a_second_one_moves_again(sandbox: Sandbox, mpw: Vendor) -> None:
    sandbox.mpw.person_receives("1233", MAIN, 25, 4)
    transfer(mpw)
    transfer(mpw)

    assert sandbox.mpw.stock("1233", "WH2") == 4


def test_a_transfer_cannot_exceed_the_current_receipt_and_the_error_names_the_maximum(
    sandbox: Sandbox, mpw: Vendor
) -> None:
    """The document: The quantity transferred cannot exceed the amount available in the current Receipt. An error
    message will specify this maximum amount.
    """
    sandbox.mpw.person_receives("1233", MAIN, 4, 1, "2023-09-01")
    sandbox.mpw.person_receives("1233", MAIN, 5, 2, "2023-09-02")

    status, body = transfer(mpw, quantity=6)

    assert status == 422
    assert "is 4.0." in body["message"]
    assert (sandbox.mpw.stock("1233", MAIN), sandbox.mpw.stock("1233", "WH2")) == (9, 0)
    assert transfer(mpw, quantity=4)[0] == 200


@pytest.mark.parametrize("quantity", ["2.0", "2", 2, 2.0])
def test_a_transfers_quantity_may_be_quoted_as_in_the_sample(sandbox: Sandbox, mpw: Vendor, quantity: object) -> None:
    """The table says Integer, the sample sends `"quantity":"2.0"`."""
    sandbox.mpw.person_receives("1233", MAIN, 4, 1)

    assert transfer(mpw, quantity=quantity)[0] == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"quantity": 1.5},
        {"quantity": "many"},
        {"quantity": 0},
        {"destination_warehouse_name": "nowhere"},
        {"destination_warehouse_name": MAIN},
        {"part_number": "unknown"},
    ],
)
def test_a_wrong_transfer_moves_nothing(sandbox: Sandbox, mpw: Vendor, wrong: dict[str, object]) -> None:
    sandbox.mpw.person_receives("1233", MAIN, 4, 1)

    assert transfer(mpw, **wrong)[0] == 422
    assert sandbox.mpw.stock("1233", MAIN) == 4


@pytest.mark.parametrize("listed", [False, True])
def test_whether_a_transfer_shows_in_the_feeds_is_an_option(sandbox: Sandbox, mpw: Vendor, listed: bool) -> None:
    sandbox.mpw.person_receives("1233", MAIN, 4, 3, "2023-09-01")
    sandbox.mpw.options.transfers_listed = listed

    transfer(mpw)

    assert len(mpw.get("/receipts", date="2023-09-19")[1]) == int(listed)
    assert len(mpw.get("/issuances", date="2023-09-19")[1]) == int(listed)
    assert sandbox.mpw.parts[("WH2", "1233")].layers[0].unit_cost == 3
    assert sandbox.mpw.stock("1233", MAIN) == 2
