"""MPservices: movements, work orders, create product, update stock and cost."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import httpx
import pytest

from sync.sandbox.server import Sandbox
from tests.sandbox.conftest import StillClock, Vendor

MOVEMENTS = "/FetchTenantsInventoryMovements"
PATCH = "/UpdateProductStockCost"
CREATE = "/CreateProduct"


@pytest.fixture
def product(sandbox: Sandbox) -> str:
    """Product 1231232, ten pieces at 25."""
    sandbox.mpservices.add_product("1231232", name="Item name", stock=10, cost=25)
    return "1231232"


def patch(mpservices: Vendor, **changes: str) -> tuple[int, object]:
    return mpservices.call(
        "PATCH", PATCH, data={"external_id": "1231232", "new_stock": "7", "new_cost": "26"} | changes
    )


@pytest.mark.parametrize("headers", [{}, {"token": "wrong"}, {"Authorization": "Bearer {token}"}])
def test_every_request_needs_the_header_token(sandbox: Sandbox, headers: dict[str, str]) -> None:
    """The document: Your API key needs to be added to the header of every request with the label 'token'."""
    sent = {name: value.format(token=sandbox.token) for name, value in headers.items()}
    for method, path in (
        ("GET", MOVEMENTS),
        ("GET", "/FetchTenantsWorkOrders"),
        ("POST", CREATE),
        ("PATCH", PATCH),
    ):
        assert httpx.request(method, f"{sandbox.mpservices_url}{path}", headers=sent).status_code == 401, path


def test_a_movement_is_printed_as_in_the_sample(
    clock: StillClock, sandbox: Sandbox, mpservices: Vendor, product: str
) -> None:
    """The cost is a string, the quantity a number, createdAt has milliseconds and a Z."""
    clock.instant = datetime(2023, 9, 19, 13, 54, 37, 187_000, tzinfo=UTC)
    made = sandbox.mpservices.person_moves("Outbound", product, 2, 25, "Folio-198")

    assert mpservices.get(MOVEMENTS) == (
        200,
        [
            {
                "id": made,
                "reference": "Folio-198",
                "type": "Outbound",
                "createdAt": "2023-09-19T13:54:37.187Z",
                "movements": [
                    {
                        "cost": "25",
                        "quantity": 2,
                        "item": "Item name",
                        "unit": "Pieces",
                        "item_id": "0000000000001",
                        "item_external_id": "1231232",
                    }
                ],
            }
        ],
    )
    assert sandbox.mpservices.stock(product) == 8


def test_the_feed_shows_the_last_two_days_newest_first(
    clock: StillClock, sandbox: Sandbox, mpservices: Vendor, product: str
) -> None:
    """The document: Fetch created inventory movements in the last two days ordered by last created."""
    oldest = sandbox.mpservices.person_moves("Inbound", product, 1, 25)
    clock.advance(hours=24)
    middle = sandbox.mpservices.person_moves("Inbound", product, 2, 25)
    clock.advance(hours=24)
    twins = [sandbox.mpservices.person_moves("Inbound", product, 3, 25) for _ in range(2)]

    ids = [row["id"] for row in mpservices.get(MOVEMENTS)[1]]
    clock.advance(seconds=1)
    later = [row["id"] for row in mpservices.get(MOVEMENTS)[1]]

    assert ids == [*reversed(twins), middle, oldest]
    assert later == [*reversed(twins), middle]


def test_how_far_the_feed_reaches_can_be_set(
    clock: StillClock, sandbox: Sandbox, mpservices: Vendor, product: str
) -> None:
    sandbox.mpservices.person_moves("Inbound", product, 1, 25)
    clock.advance(hours=3)

    sandbox.mpservices.set_feed_hours(2)

    assert mpservices.get(MOVEMENTS) == (200, [])


def test_the_feed_may_come_in_a_wrapper(sandbox: Sandbox, mpservices: Vendor) -> None:
    sandbox.mpservices.options.feed_wrapper = "data"

    assert mpservices.get(MOVEMENTS) == (200, {"data": []})


def test_a_movement_may_have_several_lines_and_an_item_without_external_id(
    sandbox: Sandbox, mpservices: Vendor, product: str
) -> None:
    sandbox.mpservices.add_product(None, name="made in the screens", stock=5)

    sandbox.mpservices.person_moves_lines("Outbound", [(product, "1.5", 25), ("0000000000002", 1, "3.10")])

    [row] = mpservices.get(MOVEMENTS)[1]
    assert [(line["item_external_id"], line["quantity"], line["cost"]) for line in row["movements"]] == [
        ("1231232", Decimal("1.5"), "25"),
        (None, 1, "3.1"),
    ]


def test_work_orders_of_the_last_two_days_are_shown_newest_first(
    clock: StillClock, sandbox: Sandbox, mpservices: Vendor
) -> None:
    """The document: Fetch created work orders of the last two days ordered by last created."""
    sandbox.mpservices.add_work_order(197, "Old")
    clock.advance(hours=47)
    sandbox.mpservices.add_work_order(198, "Preventive Monthly Activity")
    both = [row["folio"] for row in mpservices.get("/FetchTenantsWorkOrders")[1]]
    clock.advance(hours=2)

    rows = mpservices.get("/FetchTenantsWorkOrders")[1]

    assert both == [198, 197]
    assert [row["folio"] for row in rows] == [198]
    assert set(rows[0]) == {
        "id",
        "folio",
        "title",
        "scheduleDate",
        "start",
        "end",
        "open",
        "closed",
        "createdAt",
        "users",
        "client",
        "asset",
        "notes",
    }


def test_a_patch_sets_absolute_stock_and_cost_and_creates_a_movement(
    sandbox: Sandbox, mpservices: Vendor, product: str
) -> None:
    """The document: Updates the cost and stock of a product and creates a movement."""
    status, body = patch(mpservices, new_stock="7", new_cost="26.50")

    assert status == 200
    assert (body["stock"], body["cost"]) == ("7", "26.5")
    [row] = mpservices.get(MOVEMENTS)[1]
    assert (row["type"], len(row["movements"])) == ("Outbound", 1)
    assert (row["movements"][0]["quantity"], row["movements"][0]["cost"]) == (3, "26.5")


def test_a_patch_upwards_makes_an_inbound_movement(mpservices: Vendor, product: str) -> None:
    patch(mpservices, new_stock="12.5")

    [row] = mpservices.get(MOVEMENTS)[1]
    assert (row["type"], row["movements"][0]["quantity"]) == ("Inbound", Decimal("2.5"))


@pytest.mark.parametrize("with_movement", [False, True])
def test_a_patch_that_leaves_the_stock_makes_a_movement_only_by_option(
    sandbox: Sandbox, mpservices: Vendor, product: str, with_movement: bool
) -> None:
    sandbox.mpservices.options.patch_zero_delta_movement = with_movement

    assert patch(mpservices, new_stock="10")[0] == 200

    assert [row["movements"][0]["quantity"] for row in mpservices.get(MOVEMENTS)[1]] == [0] * with_movement
    assert sandbox.mpservices.product(product).cost == 26


def test_a_patch_of_an_unknown_external_id_is_404_and_moves_nothing(mpservices: Vendor, product: str) -> None:
    assert patch(mpservices, external_id="unknown")[0] == 404
    assert mpservices.get(MOVEMENTS) == (200, [])


@pytest.mark.parametrize(
    "wrong", [{"external_id": ""}, {"new_stock": ""}, {"new_cost": ""}, {"new_stock": "many"}, {"new_cost": "NaN"}]
)
def test_a_patch_needs_all_three_fields_as_numbers(
    sandbox: Sandbox, mpservices: Vendor, product: str, wrong: dict[str, str]
) -> None:
    """The document: external_id: *required string, new_stock: *required string, new_cost: *required string."""
    assert patch(mpservices, **wrong)[0] == 400
    assert sandbox.mpservices.stock(product) == 10


def test_bodies_are_form_encoded_and_json_is_refused(sandbox: Sandbox, mpservices: Vendor, product: str) -> None:
    """The document: Our API accepts form-encoded request bodies."""
    fields = {"external_id": product, "new_stock": "7", "new_cost": "26"}

    assert mpservices.call("PATCH", PATCH, json=fields)[0] == 400
    assert mpservices.call("PATCH", PATCH, files={name: (None, value) for name, value in fields.items()})[0] == 400
    assert sandbox.mpservices.stock(product) == 10


def test_a_product_is_created_with_its_stock_and_can_then_be_patched(sandbox: Sandbox, mpservices: Vendor) -> None:
    fields = {
        "bar_code": "b",
        "product_name": "Filter Ü",
        "product_unit": "Pieces",
        "external_id": "1231232",
        "product_stock": "3",
        "weighted_average": "1.5",
        "min_stock": "1",
    }

    assert mpservices.call("POST", CREATE, data=fields)[0] == 200

    made = sandbox.mpservices.product("1231232")
    assert (made.name, made.stock, made.cost) == ("Filter Ü", 3, Decimal("1.5"))
    assert mpservices.get(MOVEMENTS) == (200, [])
    assert patch(mpservices)[0] == 200


@pytest.mark.parametrize("name", ["bar_code", "product_name", "product_unit", "external_id"])
def test_a_product_needs_its_four_required_fields(sandbox: Sandbox, mpservices: Vendor, name: str) -> None:
    fields = {"bar_code": "b", "product_name": "n", "product_unit": "u", "external_id": "e"}

    assert mpservices.call("POST", CREATE, data={key: value for key, value in fields.items() if key != name})[0] == 400
    assert sandbox.mpservices.products == []


@pytest.mark.parametrize("wrong", [{"min_stock": "1.5"}, {"product_stock": "x"}, {"weighted_average": "x"}])
def test_a_products_numbers_are_checked(sandbox: Sandbox, mpservices: Vendor, wrong: dict[str, str]) -> None:
    fields = {"bar_code": "b", "product_name": "n", "product_unit": "u", "external_id": "e"} | wrong

    assert mpservices.call("POST", CREATE, data=fields)[0] == 400
    assert sandbox.mpservices.products == []


def test_an_external_id_that_exists_is_refused(sandbox: Sandbox, mpservices: Vendor, product: str) -> None:
    fields = {"bar_code": "b", "product_name": "n", "product_unit": "u", "external_id": product}

    status, body = mpservices.call("POST", CREATE, data=fields)

    assert status == 409
    assert "already exists" in body["message"]
    assert len(sandbox.mpservices.products) == 1


def test_the_two_undocumented_paths_can_be_chosen(clock: StillClock) -> None:
    with Sandbox(populate=False, clock=clock, work_orders_path="/wo", create_product_path="/new") as chosen:
        headers = {"token": chosen.token}
        assert httpx.get(f"{chosen.mpservices_url}/wo", headers=headers).status_code == 200
        assert httpx.get(f"{chosen.mpservices_url}/FetchTenantsWorkOrders", headers=headers).status_code == 404
        assert httpx.post(f"{chosen.mpservices_url}/new", headers=headers).status_code == 400
        assert chosen.settings()["MPSERVICES_WORK_ORDERS_PATH"] == "/wo"
