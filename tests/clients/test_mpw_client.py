"""MPW's calls as the document prints them, and what their answers mean."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import httpx
import pytest

from sync.clients.mpw.client import MpwClient
from sync.clients.mpw.wire import read_inventories, read_receipts
from sync.errors import (
    ConfigError,
    InvariantError,
    OutcomeUnknownError,
    RejectedError,
    RemoteError,
    RetryableError,
)
from tests.clients.vendor import MPW, PASSWORD, Mpw, Reply, as_meant, json_reply, sample
from tests.clocks import FakeClock

DAY = date(2020, 9, 28)
LAST = date(2020, 10, 2)
Call = Callable[[MpwClient], object]


def mpw(clock: FakeClock, reply: Reply | None = None) -> Mpw:
    return Mpw(lambda request: reply if reply is not None else httpx.Response(200, content=b"[]"), clock)


@pytest.mark.parametrize(
    ("call", "sent"),
    [
        (lambda c: c.issuances(DAY), "/issuances?date=2020-09-28"),
        (
            lambda c: c.issuances(DAY, "Warehouse #1"),
            "/issuances?date=2020-09-28&warehouse_name=Warehouse #1",
        ),
        (lambda c: c.receipts(DAY), "/receipts?date=2020-09-28"),
        (lambda c: c.receipts(api_key="k-1"), "/receipts?api_key=k-1"),
        (
            lambda c: c.receipts(DAY, vendor_name="Bosch", vendor_number="7", part_number="P 1"),
            "/receipts?date=2020-09-28&vendor_name=Bosch&vendor_number=7&part_number=P 1",
        ),
        (lambda c: c.inventories(api_key="45"), "/inventories?api_key=45"),
        (
            lambda c: c.inventories(warehouse_name="Warehouse #1", part_number="1112"),
            "/inventories?warehouse_name=Warehouse #1&part_number=1112",
        ),
        (lambda c: c.gps_meter_updates("Geotab"), "/gps_meter_updates?gps_provider=Geotab"),
        (
            lambda c: c.gps_meter_updates("Geotab", name="a", serial_number="b", gps_key="3"),
            "/gps_meter_updates?gps_provider=Geotab&name=a&serial_number=b&gps_key=3",
        ),
        *[
            (
                lambda c, by=by: c.work_orders(by, DAY, LAST),
                f"/work_orders?{by}_from=2020-09-28&{by}_to=2020-10-02",
            )
            for by in ("start_on", "scheduled_on", "due_on", "completed_on")
        ],
        *[
            (
                lambda c, by=by: c.purchase_orders(by, DAY, LAST),
                f"/purchase_orders?{by}_from=2020-09-28&{by}_to=2020-10-02",
            )
            for by in ("created_on", "required_on", "completed_on")
        ],
        (
            lambda c: c.purchase_orders("created_on", DAY, DAY, status="requisition", page=1),
            "/purchase_orders?created_on_from=2020-09-28&created_on_to=2020-09-28&status=requisition",
        ),
        (
            lambda c: c.work_orders("due_on", DAY, DAY, status="Open", page=2),
            "/work_orders?due_on_from=2020-09-28&due_on_to=2020-09-28&status=Open&page=2",
        ),
    ],
)
def test_each_read_is_the_documents_request(call: Call, sent: str, clock: FakeClock) -> None:
    vendor = mpw(clock)

    call(vendor.client)

    assert vendor.data_calls == [f"GET {sent}"]
    headers = vendor.requests[-1].headers
    assert (headers["authorization"], headers["accept"]) == ("Bearer token-1-of-user", "application/json")
    assert vendor.requests[-1].content == b""


@pytest.mark.parametrize(
    ("call", "path", "body"),
    [
        (
            lambda c: c.post_receipt('{"unit_cost":1.10, "x":"ü"}'),
            "/receipts",
            '{"receipt":{"unit_cost":1.10, "x":"ü"}}',
        ),
        (lambda c: c.post_issuance('{"quantity":1}'), "/issuances", '{"issuance":{"quantity":1}}'),
        (lambda c: c.post_inventory('{"a":"b"}'), "/inventories", '{"inventory":{"a":"b"}}'),
        (lambda c: c.post_transfer('{"q":2.0}'), "/inventory_transfers", '{"inventory_transfer":{"q":2.0}}'),
    ],
)
def test_each_write_posts_the_frozen_text_byte_for_byte(call: Call, path: str, body: str, clock: FakeClock) -> None:
    vendor = mpw(clock, json_reply({"id": 1}))

    call(vendor.client)

    assert vendor.data_calls == [f"POST {path}"]
    assert vendor.requests[-1].content == body.encode()
    assert vendor.requests[-1].headers["content-type"] == "application/json"


def test_deletes_take_the_singular_path_and_encode_the_key(clock: FakeClock) -> None:
    vendor = mpw(clock, httpx.Response(200, content=sample("mpw_issuance_delete")))

    assert vendor.client.delete_issuance("12ABC").rows == [{"api_key": "12ABC"}]
    vendor.client.delete_receipt("a/b")

    assert [str(request.url.raw_path.decode()) for request in vendor.requests[1:]] == [
        "/api/v1/mpw/issuance/12ABC",
        "/api/v1/mpw/receipt/a%2Fb",
    ]
    assert {request.method for request in vendor.requests[1:]} == {"DELETE"}


@pytest.mark.parametrize("status", [200, 204])
def test_a_delete_answered_with_nothing_is_done(status: int, clock: FakeClock) -> None:
    assert mpw(clock, httpx.Response(status)).client.delete_receipt("k").rows == []


def test_a_delete_of_what_is_not_there_is_rejected_with_404(clock: FakeClock) -> None:
    with pytest.raises(RejectedError) as caught:
        mpw(clock, json_reply({"message": "Receipt not found"}, 404)).client.delete_receipt("k")

    assert (caught.value.status, caught.value.message) == (404, "Receipt not found")


def test_a_key_that_would_delete_everything_is_never_sent(clock: FakeClock) -> None:
    vendor = mpw(clock)

    with pytest.raises(InvariantError):
        vendor.client.delete_receipt("")

    assert vendor.data_calls == []


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("mpw_receipts_post", [236255]),
        ("mpw_issuances_post", [44135, 44136]),
        ("mpw_inventories_post", [279366]),
        ("mpw_transfers_post", [279663, 279670]),
    ],
)
def test_the_printed_answers_to_writes_are_rows_with_lower_case_names(
    name: str, ids: list[int], clock: FakeClock
) -> None:
    written = mpw(clock, httpx.Response(200, content=sample(name))).client.post_receipt("{}")

    assert [row["id"] for row in written.rows] == ids
    assert all(key == key.lower() for row in written.rows for key in row)
    assert {"part_number", "warehouse_name"} <= set(written.rows[0])
    assert written.answer.body == sample(name)


def test_an_answer_in_an_envelope_is_taken_out_of_it(clock: FakeClock) -> None:
    written = mpw(clock, json_reply({"receipt": {"Id": 7}}, 201)).client.post_receipt("{}")

    assert written.rows == [{"id": 7}]


@pytest.mark.parametrize("status", [200, 201, 400, 404, 409, 422])
@pytest.mark.parametrize(
    "body",
    [
        {"message": "key exists"},
        {"error": "key exists"},
        {"errors": ["key exists"]},
        {"id": None, "Errors": "key exists"},
    ],
)
def test_a_refusal_is_rejected_whatever_its_status_and_shape(
    status: int, body: dict[str, object], clock: FakeClock
) -> None:
    with pytest.raises(RejectedError) as caught:
        mpw(clock, json_reply(body, status)).client.post_issuance("{}")

    assert caught.value.status == status
    assert "key exists" in caught.value.message


def test_a_row_with_a_friendly_message_is_a_success(clock: FakeClock) -> None:
    written = mpw(clock, json_reply({"id": 1, "message": "created", "errors": []})).client.post_receipt("{}")

    assert written.rows[0]["id"] == 1


@pytest.mark.parametrize("body", [b"", b"<html>Log in</html>", b'{"id":1', b"[]", b"7", b"null", b'[{"id":1},2]'])
def test_a_success_that_says_nothing_leaves_the_write_unknown(body: bytes, clock: FakeClock) -> None:
    with pytest.raises(OutcomeUnknownError):
        mpw(clock, httpx.Response(200, content=body)).client.post_receipt("{}")


def test_a_write_that_ends_in_a_server_error_is_sent_once(clock: FakeClock) -> None:
    vendor = mpw(clock, httpx.Response(502))

    with pytest.raises(OutcomeUnknownError):
        vendor.client.post_transfer("{}")

    assert vendor.data_calls == ["POST /inventory_transfers"]


@pytest.mark.parametrize(
    ("call", "reader"),
    [
        (lambda c: c.receipts(api_key="k"), read_receipts),
        (lambda c: c.inventories(api_key="k"), read_inventories),
        (lambda c: c.inventories(warehouse_name="w", part_number="p"), read_inventories),
    ],
)
def test_a_lookup_of_what_is_not_there_is_an_empty_answer(call: Call, reader: Call, clock: FakeClock) -> None:
    answer = call(mpw(clock, json_reply({"message": "not found"}, 404)).client)

    assert answer.status == 404  # type: ignore[attr-defined]
    assert reader(answer.body).rows == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("call", "reply"),
    [
        (lambda c: c.receipts(DAY), json_reply({"message": "not found"}, 404)),
        (lambda c: c.issuances(DAY), json_reply({"message": "not found"}, 404)),
        (lambda c: c.receipts(api_key="k"), httpx.Response(404, content=b"<html>nginx</html>")),
    ],
)
def test_any_other_404_is_not_taken_for_an_empty_day(call: Call, reply: Reply, clock: FakeClock) -> None:
    with pytest.raises(RejectedError):
        call(mpw(clock, reply).client)


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.receipts(),
        lambda c: c.receipts(DAY, api_key="k"),
        lambda c: c.inventories(),
        lambda c: c.inventories(part_number="p"),
        lambda c: c.approve([]),
        lambda c: c.approve(["1,2"]),
        lambda c: c.approve([str(n) for n in range(51)]),
    ],
)
def test_a_call_that_the_document_forbids_is_never_sent(call: Call, clock: FakeClock) -> None:
    vendor = mpw(clock)

    with pytest.raises(InvariantError):
        call(vendor.client)

    assert vendor.requests == []


def test_an_approval_sends_one_text_of_numbers(clock: FakeClock) -> None:
    vendor = mpw(clock, httpx.Response(200, content=as_meant("mpw_approve_post")))

    result, answer = vendor.client.approve(["1000", "1001"])

    assert vendor.data_calls == ["POST /purchase_orders/approve"]
    assert vendor.requests[-1].content == b'{"purchase_order_numbers":"1000,1001"}'
    assert (result.approved, result.errors, answer.status) == ({"1000"}, {}, 200)


def test_an_approval_that_half_succeeds_under_a_4xx_is_read_all_the_same(clock: FakeClock) -> None:
    body = {"results": {"purchase_order_numbers": [1000], "errors": ["1001 not found"]}}

    result, answer = mpw(clock, json_reply(body, 422)).client.approve(["1000", "1001"])

    assert (result.approved, result.errors) == ({"1000"}, {"1001": "1001 not found"})
    assert answer.status == 422


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (json_reply({"errors": {"purchase_order_numbers": ["is invalid"]}}, 422), RejectedError),
        (json_reply({"purchase_order_numbers": ["is invalid"]}, 422), RejectedError),
        (httpx.Response(403), RejectedError),
        (httpx.Response(429, headers={"Retry-After": "9"}), RetryableError),
        (httpx.Response(408), OutcomeUnknownError),
        (httpx.Response(500), OutcomeUnknownError),
        (httpx.ReadTimeout("slow"), OutcomeUnknownError),
    ],
)
def test_an_approval_without_results_is_what_its_status_says(
    reply: Reply, kind: type[RemoteError], clock: FakeClock
) -> None:
    with pytest.raises(kind) as caught:
        mpw(clock, reply).client.approve(["1000"])

    assert type(caught.value) is kind


def test_the_observer_names_endpoints_without_keys_or_values(clock: FakeClock) -> None:
    vendor = mpw(clock, json_reply({"api_key": "secret-key"}))

    vendor.client.delete_receipt("secret-key")
    vendor.client.issuances(DAY, "W")

    assert [(seen.endpoint, seen.write) for seen in vendor.seen] == [
        ("authentication", False),
        ("receipt", True),
        ("issuances", False),
    ]


def test_the_fingerprint_changes_with_each_part_of_the_credentials_and_shows_none(clock: FakeClock) -> None:
    def made(url: str, email: str, password: str) -> str:
        client = MpwClient(url, email, password, clock=clock)
        client.close()
        return client.fingerprint

    base = made(MPW, "a@b.c", PASSWORD)

    assert made(MPW + "/", "a@b.c", PASSWORD) == base
    others = [made(MPW + "2", "a@b.c", PASSWORD), made(MPW, "x@b.c", PASSWORD), made(MPW, "a@b.c", "other")]
    assert len({base, *others}) == 4
    assert len(base) == 16
    int(base, 16)


@pytest.mark.parametrize(("email", "password"), [("", "x"), ("x", "")])
def test_half_of_the_credentials_is_a_wrong_setting(email: str, password: str, clock: FakeClock) -> None:
    with pytest.raises(ConfigError):
        MpwClient(MPW, email, password, clock=clock)
