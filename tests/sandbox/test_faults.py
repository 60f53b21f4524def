"""Every kind of fault: what the client sees, and whether the effect happened."""

from __future__ import annotations

import contextlib
import threading
import time

import httpx
import pytest

from sync.sandbox.faults import ENDPOINTS, KINDS
from sync.sandbox.server import Sandbox
from tests.sandbox.conftest import MAIN, Vendor


def stock(sandbox: Sandbox) -> int:
    return int(sandbox.mpw.stock("1233", MAIN))


@pytest.mark.parametrize(("kind", "happens"), [("refused_before", 0), ("lost_request", 0), ("lost_answer", 1)])
def test_a_closed_connection_gives_no_answer(sandbox: Sandbox, mpw: Vendor, kind: str, happens: int) -> None:
    sandbox.faults.add("mpw.post_receipt", kind)

    with pytest.raises(httpx.TransportError):
        mpw.post_receipt()

    assert len(sandbox.mpw.receipt_by_key) == happens
    assert sandbox.requests[-1].status is None
    assert mpw.post_receipt()[0] == 200


@pytest.mark.parametrize(("kind", "happens"), [("lost_request", 0), ("lost_answer", 1)])
def test_a_lost_message_can_hang_until_the_client_gives_up(
    sandbox: Sandbox, mpw: Vendor, kind: str, happens: int
) -> None:
    sandbox.faults.add("mpw.post_receipt", kind, seconds=30)
    mpw.http.timeout = httpx.Timeout(0.2)

    with pytest.raises(httpx.ReadTimeout):
        mpw.post_receipt()

    assert len(sandbox.mpw.receipt_by_key) == happens


def test_a_slow_request_takes_effect_late_even_if_the_client_has_gone(sandbox: Sandbox, mpw: Vendor) -> None:
    sandbox.faults.add("mpw.post_receipt", "slow", seconds=0.3)
    mpw.http.timeout = httpx.Timeout(0.1)

    with pytest.raises(httpx.ReadTimeout):
        mpw.post_receipt()
    absent = len(sandbox.mpw.receipt_by_key)
    deadline = time.monotonic() + 5
    while not sandbox.mpw.receipt_by_key and time.monotonic() < deadline:
        time.sleep(0.01)

    assert absent == 0
    assert list(sandbox.mpw.receipt_by_key) == ["r1"]


def test_a_slow_request_is_answered_as_usual_to_a_client_that_waits(sandbox: Sandbox, mpw: Vendor) -> None:
    sandbox.faults.add("mpw.receipts", "slow", seconds=0.1)
    begun = time.monotonic()

    assert mpw.get("/receipts", date="2023-09-19") == (200, [])
    assert time.monotonic() - begun >= 0.1


@pytest.mark.parametrize(("kind", "status", "happens"), [("error_before", 503, 0), ("error_after", 500, 1)])
def test_a_5xx_comes_before_or_after_the_effect(
    sandbox: Sandbox, mpw: Vendor, kind: str, status: int, happens: int
) -> None:
    sandbox.faults.add("mpw.post_receipt", kind)
    sandbox.faults.add("mpw.post_receipt", kind, status=502, retry_after=9)

    first = mpw.http.post("/receipts", json=receipt("a"))
    second = mpw.http.post("/receipts", json=receipt("b"))

    assert (first.status_code, "Retry-After" in first.headers) == (status, False)
    assert (second.status_code, second.headers["Retry-After"]) == (502, "9")
    assert len(sandbox.mpw.receipt_by_key) == 2 * happens


@pytest.mark.parametrize(("given", "sent"), [(None, "1"), (7, "7"), ("Tue, 19 Sep 2023 14:00:09 GMT",) * 2])
def test_too_many_says_when_to_come_again(sandbox: Sandbox, mpw: Vendor, given: int | str | None, sent: str) -> None:
    sandbox.faults.add("mpw.post_receipt", "too_many", retry_after=given)

    answer = mpw.http.post("/receipts", json=receipt("a"))

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, sent)
    assert sandbox.mpw.receipt_by_key == {}


def test_a_cut_body_ends_before_its_content_length_and_the_effect_happened(sandbox: Sandbox, mpw: Vendor) -> None:
    sandbox.faults.add("mpw.post_receipt", "cut_body")

    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
        mpw.post_receipt()

    assert list(sandbox.mpw.receipt_by_key) == ["r1"]
    assert sandbox.requests[-1].status == 200


@pytest.mark.parametrize(("kind", "happens"), [("html", 0), ("html_after", 1)])
def test_a_login_page_comes_with_200(sandbox: Sandbox, mpw: Vendor, kind: str, happens: int) -> None:
    sandbox.faults.add("mpw.post_receipt", kind)

    answer = mpw.http.post("/receipts", json=receipt("a"))

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "log in" in answer.text
    assert len(sandbox.mpw.receipt_by_key) == happens


def test_unauthorized_has_no_effect(sandbox: Sandbox, mpw: Vendor) -> None:
    sandbox.faults.add("mpw.post_receipt", "unauthorized")

    assert mpw.post_receipt() == (401, {"message": "Unauthorized"})
    assert sandbox.mpw.receipt_by_key == {}


def test_a_fault_lets_some_pass_strikes_some_and_is_over(sandbox: Sandbox, mpw: Vendor) -> None:
    fault = sandbox.faults.add("mpw.receipts", "too_many", times=2, after=1)

    statuses = [mpw.get("/receipts", date="2023-09-19")[0] for _ in range(5)]

    assert statuses == [200, 429, 429, 200, 200]
    assert fault.hits == 2
    assert sandbox.faults.pending() == []


def test_a_fault_without_times_strikes_until_it_is_cleared(sandbox: Sandbox, mpw: Vendor) -> None:
    sandbox.faults.add("mpw.*", "error_before", times=None)
    struck = [mpw.get("/receipts", date="2023-09-19")[0] for _ in range(3)]

    sandbox.faults.clear()

    assert struck == [503] * 3
    assert mpw.get("/receipts", date="2023-09-19")[0] == 200


def test_a_fault_strikes_only_its_endpoint_and_only_what_matches(sandbox: Sandbox, mpw: Vendor) -> None:
    sandbox.faults.add("mpw.post_receipt", "error_before", match=lambda seen: '"bad"' in seen.body)

    assert mpw.post_receipt(api_key="good")[0] == 200
    assert mpw.get("/receipts", api_key="bad")[0] == 200
    assert mpw.post_receipt(api_key="bad")[0] == 503
    assert list(sandbox.mpw.receipt_by_key) == ["good"]


@pytest.mark.parametrize("endpoint", sorted(ENDPOINTS))
def test_every_endpoint_can_be_struck(sandbox: Sandbox, mpw: Vendor, mpservices: Vendor, endpoint: str) -> None:
    calls = {
        "mpw.login": ("POST", "/authentication"),
        "mpw.issuances": ("GET", "/issuances"),
        "mpw.receipts": ("GET", "/receipts"),
        "mpw.post_receipt": ("POST", "/receipts"),
        "mpw.post_issuance": ("POST", "/issuances"),
        "mpw.delete_receipt": ("DELETE", "/receipt/k"),
        "mpw.delete_issuance": ("DELETE", "/issuance/k"),
        "mpw.inventories": ("GET", "/inventories"),
        "mpw.post_inventory": ("POST", "/inventories"),
        "mpw.transfer": ("POST", "/inventory_transfers"),
        "mpw.equipment": ("GET", "/gps_meter_updates"),
        "mpw.work_orders": ("GET", "/work_orders"),
        "mpw.purchase_orders": ("GET", "/purchase_orders"),
        "mpw.approve": ("POST", "/purchase_orders/approve"),
        "mpservices.movements": ("GET", "/FetchTenantsInventoryMovements"),
        "mpservices.work_orders": ("GET", "/FetchTenantsWorkOrders"),
        "mpservices.create_product": ("POST", "/CreateProduct"),
        "mpservices.patch_stock": ("PATCH", "/UpdateProductStockCost"),
    }
    method, path = calls[endpoint]
    vendor = mpservices if endpoint.startswith("mpservices") else mpw
    sandbox.faults.add(endpoint, "error_before", status=599)

    assert vendor.call(method, path)[0] == 599
    assert sandbox.requests[-1].endpoint == endpoint
    assert sandbox.requests[-1].fault == "error_before"


@pytest.mark.parametrize("kind", sorted(KINDS - {"refused_before", "lost_request", "html", "unauthorized"}))
def test_a_patch_under_a_fault_moves_once_or_not_at_all(sandbox: Sandbox, mpservices: Vendor, kind: str) -> None:
    sandbox.mpservices.add_product("p", stock=5)
    fault = sandbox.faults.add("mpservices.patch_stock", kind, seconds=0.01)

    with contextlib.suppress(httpx.TransportError):
        mpservices.http.patch("/UpdateProductStockCost", data={"external_id": "p", "new_stock": "9", "new_cost": "1"})

    assert len(sandbox.mpservices.all_movements) == int(fault.has_effect)
    assert sandbox.mpservices.stock("p") == (9 if fault.has_effect else 5)


@pytest.mark.parametrize(("endpoint", "kind"), [("mpw.post_receipts", "html"), ("mpw.receipts", "htlm")])
def test_a_misspelt_fault_is_refused(sandbox: Sandbox, endpoint: str, kind: str) -> None:
    with pytest.raises(ValueError, match="no such"):
        sandbox.faults.add(endpoint, kind)


def test_a_stopped_sandbox_refuses_connections_and_serves_the_same_state_again(sandbox: Sandbox, mpw: Vendor) -> None:
    mpw.post_receipt()
    sandbox.stop()
    with pytest.raises(httpx.ConnectError):
        mpw.get("/receipts", api_key="r1")

    sandbox.start()

    assert len(mpw.get("/receipts", api_key="r1")[1]) == 1


def test_stopping_does_not_wait_for_a_request_that_hangs(sandbox: Sandbox, mpw: Vendor) -> None:
    sandbox.faults.add("mpw.receipts", "lost_request", seconds=60)
    failed: list[BaseException] = []

    def ask() -> None:
        try:
            mpw.get("/receipts", date="2023-09-19")
        except httpx.TransportError as error:
            failed.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while not sandbox.requests.of("mpw.receipts"):
        time.sleep(0.005)
    begun = time.monotonic()

    sandbox.stop()
    thread.join(5)

    assert time.monotonic() - begun < 3
    assert len(failed) == 1


def receipt(key: str) -> dict[str, object]:
    fields = {"part_number": "1233", "quantity_received": 1, "unit_cost": 1, "created_on": "2023-09-19"}
    return {"receipt": fields | {"api_key": key, "warehouse_name": MAIN}}
