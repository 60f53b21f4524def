"""MPW, Receipts - GET, POST and DELETE."""

from __future__ import annotations

from decimal import Decimal

import pytest

from sync.sandbox.server import Sandbox
from tests.sandbox.conftest import MAIN, Vendor

DAY = "2023-09-19"
IN_USE = (
    "Receipt found but cannot be updated. Check to ensure that parts have not already been allocated from this "
    "Receipt, and that your user account has the necessary permissions to update Receipts."
)


def test_get_shows_the_samples_fields_in_lower_case_and_no_key_of_a_persons_receipt(
    sandbox: Sandbox, mpw: Vendor
) -> None:
    sandbox.mpw.add_vendor("Bosch", "V-1")
    sandbox.mpw.person_receives("1233", MAIN, 1, "11.30", DAY, vendor_name="Bosch", purchase_order_number=1000)

    assert mpw.get("/receipts", date=DAY) == (
        200,
        [
            {
                "id": 236252,
                "part_number": "1233",
                "inventory_name": "Part name",
                "created_on": DAY,
                "invoice_number": None,
                "quantity_received": Decimal("1.0"),
                "quantity_remaining": Decimal("1.0"),
                "unit_cost": Decimal("11.3"),
                "description": None,
                "vendor_name": "Bosch",
                "vendor_number": "V-1",
                "api_key": None,
                "purchase_order_number": 1000,
                "purchase_order_prefix_number": "1000",
                "warehouse_name": MAIN,
            }
        ],
    )


def test_numbers_are_printed_as_in_the_samples_and_exactly(sandbox: Sandbox, mpw: Vendor) -> None:
    """1.0, 9.99, 11.3: at least one place, no more than there are, and never a float's digits."""
    sandbox.mpw.person_receives("1233", MAIN, "1000.100", "0.123456789012345678", DAY)

    text = mpw.http.get("/receipts", params={"date": DAY}).text

    assert '"quantity_received":1000.1,' in text
    assert '"unit_cost":0.123456789012345678,' in text


def test_get_takes_a_date_or_an_api_key(sandbox: Sandbox, mpw: Vendor) -> None:
    """The document: api_key | required unless date is provided."""
    mpw.post_receipt(api_key="k")
    sandbox.mpw.person_receives("1233", MAIN, 1, 1, DAY)

    assert len(mpw.get("/receipts", date=DAY)[1]) == 2
    assert [row["api_key"] for row in mpw.get("/receipts", api_key="k")[1]] == ["k"]
    assert mpw.get("/receipts", api_key="unknown") == (200, [])
    assert mpw.get("/receipts", date="2023-09-18") == (200, [])
    assert mpw.get("/receipts")[0] == 422


def test_get_filters_by_vendor_and_part_exactly(sandbox: Sandbox, mpw: Vendor) -> None:
    sandbox.mpw.add_part("77", MAIN)
    sandbox.mpw.add_vendor("Bosch", "V-1")
    sandbox.mpw.person_receives("1233", MAIN, 1, 1, DAY, vendor_name="Bosch")
    sandbox.mpw.person_receives("77", MAIN, 1, 1, DAY)

    for name, value in (("vendor_name", "Bosch"), ("vendor_number", "V-1"), ("part_number", "1233")):
        rows = mpw.get("/receipts", date=DAY, **{name: value})[1]
        assert [row["part_number"] for row in rows] == ["1233"]
        assert mpw.get("/receipts", date=DAY, **{name: f"{value}x"}) == (200, [])


def test_a_post_answers_with_the_documents_mixture_of_cases(mpw: Vendor) -> None:
    """The printed answer has `Api_key`, `Part_number`, `Quantity_received` … beside `id` and `warehouse_name`."""
    status, body = mpw.post_receipt(quantity_received=1.25, unit_cost=1.99, api_key="1")

    assert status == 200
    assert body.pop("id") > 0
    assert body.pop("inventory_id") > 0
    assert body.pop("Warehouse_id") > 0
    assert body == {
        "Organization_id": 3305,
        "Vendor_id": None,
        "Part_number": "1233",
        "Created_on": DAY,
        "Invoice_number": None,
        "Quantity_received": Decimal("1.25"),
        "Quantity_remaining": Decimal("1.25"),
        "Unit_cost": Decimal("1.99"),
        "Description": None,
        "Vendor_name": None,
        "Vendor_number": None,
        "Api_key": "1",
        "purchase_order_number": None,
        "Purchase_order_prefix_number": "",
        "warehouse_name": MAIN,
    }
    assert "api_key" in mpw.get("/receipts", api_key="1")[1][0]


@pytest.mark.parametrize(
    "name", ["part_number", "quantity_received", "unit_cost", "created_on", "api_key", "warehouse_name"]
)
def test_a_post_needs_every_required_field(sandbox: Sandbox, mpw: Vendor, name: str) -> None:
    status, body = mpw.post_receipt(**{name: None})

    assert status == 422
    assert name in body["message"]
    assert sandbox.mpw.receipt_by_id == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"quantity_received": "4"},
        {"quantity_received": 0},
        {"unit_cost": "2"},
        {"unit_cost": -1},
        {"part_number": 1233},
        {"api_key": 7},
        {"created_on": "2023-9-19"},
        {"warehouse_name": "Warehouse 1"},
        {"tax_rate_one": "7"},
        {"invoice_number": 7},
        {"vendor_name": "nobody"},
        {"vendor_number": "nothing"},
    ],
)
def test_quoted_numbers_and_unquoted_strings_are_refused(
    sandbox: Sandbox, mpw: Vendor, wrong: dict[str, object]
) -> None:
    """The document: Pay attention to parameter types; quoted strings above should be sent as strings, while numeric
    values should not be quoted.
    """
    assert mpw.post_receipt(**wrong)[0] == 422
    assert sandbox.mpw.receipt_by_id == {}


@pytest.mark.parametrize("by", [{"vendor_name": "Bosch"}, {"vendor_number": "V-1"}])
def test_either_vendor_name_or_vendor_number_identifies_a_vendor(
    sandbox: Sandbox, mpw: Vendor, by: dict[str, object]
) -> None:
    """The document: Either vendor_name or vendor_number may be used to identify a Vendor for a new Receipt."""
    sandbox.mpw.add_vendor("Bosch", "V-1")

    body = mpw.post_receipt(**by)[1]

    assert (body["Vendor_name"], body["Vendor_number"]) == ("Bosch", "V-1")


def test_an_existing_key_updates_the_receipt_and_makes_no_second_one(sandbox: Sandbox, mpw: Vendor) -> None:
    """The document: if I posted a receipt with a quantity of 10 but it should have been 9, I can re-post with that
    api_key.
    """
    first = mpw.post_receipt(quantity_received=10)[1]

    status, second = mpw.post_receipt(quantity_received=9, created_on="2023-09-18")

    assert (status, second["id"], second["Quantity_received"]) == (200, first["id"], 9)
    assert sandbox.mpw.stock("1233", MAIN) == 9
    assert mpw.get("/receipts", date=DAY) == (200, [])
    assert [row["quantity_remaining"] for row in mpw.get("/receipts", date="2023-09-18")[1]] == [9]


def test_a_receipt_that_is_in_use_cannot_be_updated_and_the_message_is_the_documents(
    sandbox: Sandbox, mpw: Vendor
) -> None:
    mpw.post_receipt(quantity_received=10)
    mpw.post_issuance(quantity=1)

    answer = mpw.post_receipt(quantity_received=9)

    assert answer == (422, {"message": IN_USE})
    assert sandbox.mpw.stock("1233", MAIN) == 9
    mpw.delete("/issuance/i1")
    assert mpw.post_receipt(quantity_received=9)[0] == 200


def test_a_receipt_for_an_unknown_part_creates_that_part(sandbox: Sandbox, mpw: Vendor) -> None:
    """The document: If the warehouse_name and part_number combination passed along do not match an existing inventory
    item, we will create a NEW parts inventory item and use the inventory_api_key.
    """
    assert mpw.get("/inventories", warehouse_name="WH2", part_number="1233") == (200, [])

    assert mpw.post_receipt(warehouse_name="WH2", inventory_api_key="new-45")[0] == 200

    [row] = mpw.get("/inventories", api_key="new-45")[1]
    assert (row["part_number"], row["warehouse_name"], row["quantity"]) == ("1233", "WH2", 4)
    assert sandbox.mpw.stock("1233", MAIN) == 0


def test_delete_removes_a_receipt_without_a_trace(sandbox: Sandbox, mpw: Vendor) -> None:
    mpw.post_receipt(api_key="12A")

    assert mpw.delete("/receipt/12A") == (200, {"api_key": "12A"})

    assert mpw.get("/receipts", date=DAY) == (200, [])
    assert mpw.get("/receipts", api_key="12A") == (200, [])
    assert mpw.delete("/receipt/12A")[0] == 404
    assert sandbox.mpw.stock("1233", MAIN) == 0


def test_a_used_receipt_cannot_be_deleted(sandbox: Sandbox, mpw: Vendor) -> None:
    mpw.post_receipt()
    mpw.post_issuance()

    assert mpw.delete("/receipt/r1")[0] == 422
    assert sandbox.mpw.stock("1233", MAIN) == 3


def test_a_key_with_odd_characters_travels_in_the_path_percent_encoded(mpw: Vendor) -> None:
    mpw.post_receipt(api_key="a b#é%")

    assert mpw.delete("/receipt/a%20b%23%C3%A9%25") == (200, {"api_key": "a b#é%"})
