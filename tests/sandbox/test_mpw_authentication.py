"""MPW, Authentication."""

from __future__ import annotations

import httpx
import pytest

from sync.sandbox.server import Sandbox
from tests.sandbox.conftest import StillClock, Vendor


def test_a_form_with_email_and_password_gives_a_token_that_opens_the_api(sandbox: Sandbox, anonymous: Vendor) -> None:
    """The document: curl -X POST -F 'email=user@example.com' -F 'password=welcome' (a multipart form)."""
    form = {"email": (None, sandbox.email), "password": (None, sandbox.password)}

    status, body = anonymous.call("POST", "/authentication", files=form)

    assert status == 200
    assert set(body) == {"access_token"}
    assert body["access_token"].count(".") == 2
    headers = {"Authorization": f"Bearer {body['access_token']}"}
    assert anonymous.call("GET", "/issuances?date=2023-09-19", headers=headers) == (200, [])


def test_a_form_encoded_login_works_too(sandbox: Sandbox, anonymous: Vendor) -> None:
    answer = anonymous.call("POST", "/authentication", data={"email": sandbox.email, "password": sandbox.password})

    assert answer[0] == 200


@pytest.mark.parametrize(
    ("email", "password"),
    [("sandbox@example.com", "wrong"), ("other@example.com", "pw-of-sandbox-1"), ("sandbox@example.com", "")],
)
def test_a_wrong_credential_is_unauthorized(anonymous: Vendor, email: str, password: str) -> None:
    answer = anonymous.call("POST", "/authentication", data={"email": email, "password": password})

    assert answer == (401, {"message": "Unauthorized"})


def test_a_login_in_json_is_no_form_and_is_refused(sandbox: Sandbox, anonymous: Vendor) -> None:
    answer = anonymous.post("/authentication", {"email": sandbox.email, "password": sandbox.password})

    assert answer[0] == 401


def test_a_token_is_valid_for_24_hours_and_unauthorized_after(clock: StillClock, mpw: Vendor) -> None:
    """The document: You will receive an Unauthorized error if you attempt to access the API with an expired token."""
    clock.advance(hours=23, minutes=59)
    before = mpw.get("/issuances", date="2023-09-19")
    clock.advance(minutes=1)

    after = mpw.get("/issuances", date="2023-09-19")

    assert before == (200, [])
    assert after == (401, {"message": "Unauthorized"})


def test_tokens_can_be_expired_in_mid_run(sandbox: Sandbox, mpw: Vendor) -> None:
    sandbox.mpw.expire_tokens()

    assert mpw.post_receipt() == (401, {"message": "Unauthorized"})
    assert sandbox.mpw.receipt_by_key == {}


@pytest.mark.parametrize("header", [None, "Bearer made.up.token", "Basic abc", ""])
def test_without_a_token_of_ours_every_endpoint_is_unauthorized(
    sandbox: Sandbox, anonymous: Vendor, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header}
    calls = [
        ("GET", "/issuances"),
        ("POST", "/issuances"),
        ("DELETE", "/issuance/1"),
        ("GET", "/receipts"),
        ("POST", "/receipts"),
        ("DELETE", "/receipt/1"),
        ("GET", "/inventories"),
        ("POST", "/inventories"),
        ("POST", "/inventory_transfers"),
        ("GET", "/gps_meter_updates"),
        ("GET", "/work_orders"),
        ("GET", "/purchase_orders"),
        ("POST", "/purchase_orders/approve"),
    ]

    for method, path in calls:
        assert anonymous.call(method, path, headers=headers) == (401, {"message": "Unauthorized"}), path


def test_results_are_limited_to_the_warehouses_that_the_user_may_see(sandbox: Sandbox, mpw: Vendor) -> None:
    """The document: API results will be limited to the Warehouses to which that user has access."""
    sandbox.mpw.add_part("77", "WH2")
    seen = sandbox.mpw.person_receives("1233", "Warehouse #1", 5, "1")
    sandbox.mpw.person_receives("77", "WH2", 5, "1")
    sandbox.mpw.person_issues("77", "WH2", 1)
    sandbox.mpw.add_order(1000, warehouse_name="WH2", lines=[("77", 1, 1)])

    sandbox.mpw.hide_warehouse("WH2")

    assert [row["id"] for row in mpw.get("/receipts", date="2023-09-19")[1]] == [seen]
    assert mpw.get("/issuances", date="2023-09-19") == (200, [])
    assert mpw.get("/inventories", warehouse_name="WH2", part_number="77") == (200, [])
    orders = mpw.get("/purchase_orders", created_on_from="2023-09-01", created_on_to="2023-09-30")[1]
    assert orders["purchase_orders"] == []
    assert mpw.post_receipt(warehouse_name="WH2")[0] == 422
    sandbox.mpw.show_warehouse("WH2")
    assert len(mpw.get("/receipts", date="2023-09-19")[1]) == 2


def test_the_log_of_requests_keeps_no_credentials(sandbox: Sandbox, mpw: Vendor, mpservices: Vendor) -> None:
    mpw.get("/issuances", date="2023-09-19")
    mpservices.get("/FetchTenantsInventoryMovements")

    text = repr(sandbox.requests.all())

    assert sandbox.password not in text
    assert sandbox.token not in text
    assert "Bearer" not in text


def test_the_vendors_date_header_is_the_sandboxs_clock(clock: StillClock, sandbox: Sandbox) -> None:
    answer = httpx.get(f"{sandbox.mpw_url}/issuances")

    assert answer.headers["Date"] == "Tue, 19 Sep 2023 14:00:00 GMT"
