"""What people do in the screens shows in the API's answers, and nothing of theirs has an api_key."""

from __future__ import annotations

import pytest

from sync.sandbox.server import Sandbox
from tests.sandbox.conftest import MAIN, Vendor

DAY = "2023-09-19"


def test_an_edited_receipt_shows_its_new_values_and_keeps_its_id(sandbox: Sandbox, mpw: Vendor) -> None:
    made = sandbox.mpw.person_receives("1233", MAIN, 5, 2, DAY)
    sandbox.mpw.person_issues("1233", MAIN, 2, DAY)

    sandbox.mpw.person_edits_receipt(made, quantity=6, unit_cost=3, created_on="2023-09-18", invoice_number="INV-1")

    assert mpw.get("/receipts", date=DAY) == (200, [])
    [row] = mpw.get("/receipts", date="2023-09-18")[1]
    assert (row["id"], row["quantity_received"], row["quantity_remaining"]) == (made, 6, 4)
    assert (row["unit_cost"], row["invoice_number"], row["description"]) == (3, "INV-1", None)
    assert mpw.get("/issuances", date=DAY)[1][0]["unit_cost"] == 3


def test_a_receipt_cannot_shrink_below_what_was_used_nor_be_deleted_then(sandbox: Sandbox) -> None:
    made = sandbox.mpw.person_receives("1233", MAIN, 5, 2, DAY)
    [issued] = sandbox.mpw.person_issues("1233", MAIN, 2, DAY)

    with pytest.raises(ValueError, match="already used"):
        sandbox.mpw.person_edits_receipt(made, quantity=1)
    with pytest.raises(ValueError, match="already used"):
        sandbox.mpw.person_deletes_receipt(made)

    sandbox.mpw.person_deletes_issuance(issued)
    sandbox.mpw.person_deletes_receipt(made)
    assert sandbox.mpw.stock("1233", MAIN) == 0


def test_deletes_leave_no_trace(sandbox: Sandbox, mpw: Vendor) -> None:
    made = sandbox.mpw.person_receives("1233", MAIN, 5, 2, DAY)
    [issued] = sandbox.mpw.person_issues("1233", MAIN, 2, DAY)
    sandbox.mpw.person_deletes_issuance(issued)
    sandbox.mpw.person_deletes_receipt(made)

    assert mpw.get("/receipts", date=DAY) == (200, [])
    assert mpw.get("/issuances", date=DAY) == (200, [])


def test_a_person_deletes_one_issuance_of_a_key_and_the_others_remain(sandbox: Sandbox, mpw: Vendor) -> None:
    sandbox.mpw.person_receives("1233", MAIN, 2, 1, "2023-09-01")
    sandbox.mpw.person_receives("1233", MAIN, 2, 1, "2023-09-02")
    sandbox.mpw.add_equipment("001")
    rows = mpw.post_issuance(quantity=3, equipment_unit_number="001")[1]

    sandbox.mpw.person_deletes_issuance(rows[0]["id"])

    assert [row["id"] for row in mpw.get("/issuances", date=DAY)[1]] == [rows[1]["id"]]
    assert mpw.post_issuance(quantity=1)[0] == 422
    assert mpw.delete("/issuance/i1")[0] == 200
    assert sandbox.mpw.stock("1233", MAIN) == 4


def test_more_than_there_is_needs_an_overdraft_which_is_flagged_and_makes_the_stock_negative(
    sandbox: Sandbox, mpw: Vendor
) -> None:
    sandbox.mpw.person_receives("1233", MAIN, 2, 7, DAY)
    with pytest.raises(ValueError, match="only 2"):
        sandbox.mpw.person_issues("1233", MAIN, 5, DAY)

    ids = sandbox.mpw.person_issues("1233", MAIN, 5, DAY, overdraft=True)

    rows = mpw.get("/issuances", date=DAY)[1]
    assert [(row["quantity"], row["unit_cost"], row["overdraft"]) for row in rows] == [(2, 7, False), (3, 7, True)]
    assert mpw.get("/inventories", warehouse_name=MAIN, part_number="1233")[1][0]["quantity"] == -3
    sandbox.mpw.person_deletes_issuance(ids[1])
    assert sandbox.mpw.stock("1233", MAIN) == 0


def test_an_issuance_can_get_another_day_or_text(sandbox: Sandbox, mpw: Vendor) -> None:
    sandbox.mpw.person_receives("1233", MAIN, 2, 7, DAY)
    [made] = sandbox.mpw.person_issues("1233", MAIN, 1, DAY, description="a")

    sandbox.mpw.person_edits_issuance(made, created_on="2023-09-18", description=None)

    assert mpw.get("/issuances", date=DAY) == (200, [])
    assert mpw.get("/issuances", date="2023-09-18")[1][0]["description"] is None


def test_a_renamed_warehouse_shows_its_new_name_everywhere(sandbox: Sandbox, mpw: Vendor) -> None:
    sandbox.mpw.person_receives("1233", MAIN, 2, 7, DAY)

    sandbox.mpw.rename_warehouse(MAIN, "Main store")

    assert mpw.get("/receipts", date=DAY)[1][0]["warehouse_name"] == "Main store"
    assert mpw.post_issuance()[0] == 422
    assert mpw.post_issuance(warehouse_name="Main store")[0] == 200


def test_floats_are_refused_since_their_digits_are_wrong(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="exact"):
        sandbox.mpw.person_receives("1233", MAIN, 1.1, 1)  # type: ignore[arg-type]


def test_unknown_parts_and_products_are_errors_of_the_test_that_names_them(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="no part"):
        sandbox.mpw.person_receives("nope", MAIN, 1, 1)
    with pytest.raises(ValueError, match="no product"):
        sandbox.mpservices.person_moves("Inbound", "nope", 1, 1)
