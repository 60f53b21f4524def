"""MPservices: the printed samples, the shapes they leave open, and its calls."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import httpx
import pytest

from sync.clients.mpservices.client import MpservicesClient
from sync.clients.mpservices.wire import read_movements, read_work_orders
from sync.errors import (
    AuthError,
    ConfigError,
    InvariantError,
    MalformedResponseError,
    OutcomeUnknownError,
    RejectedError,
    RemoteError,
    RetryableError,
)
from tests.clients.vendor import MPS, Reply, Vendor, as_meant, json_reply, mps_client, sample
from tests.clocks import FakeClock

Call = Callable[[MpservicesClient], object]
FIELDS = '{"external_id":"P 1&2","new_stock":"12.5","new_cost":"1.10"}'


def movement(**changes: object) -> dict[str, object]:
    value: dict[str, object] = json.loads(as_meant("mpservices_movement"))
    return value | changes


def line(**changes: object) -> dict[str, object]:
    return {"cost": "25", "quantity": 2, "item_external_id": "1231232"} | changes


def test_the_printed_movement_reads_as_meant() -> None:
    parsed = read_movements(as_meant("mpservices_movement"))

    assert parsed.bad == []
    (row,) = parsed.rows
    assert (row.id, row.type, row.reference) == ("612f8bdb-b42e-42ea-be45-5a7156dacdf5", "Outbound", "Folio-198")
    assert row.created_at == datetime(2023, 9, 19, 13, 54, 37, 187000, tzinfo=UTC)
    (part,) = row.lines
    assert (part.item_external_id, part.item_id) == ("1231232", "0000000000002")
    assert (part.quantity, part.cost) == (Decimal(2), Decimal(25))
    assert (part.unit, part.item) == ("item unit (Pieces, Liters, inches)", "Item name")
    assert json.loads(part.raw)["cost"] == "25"


def test_the_printed_work_order_reads_as_meant() -> None:
    (row,) = read_work_orders(as_meant("mpservices_work_order")).rows

    assert (row.id, row.folio) == ("4fbd13b5-4cdd-4b8e-b67c-2bdfd2ec71234e", "198")
    assert (row.title, row.open, row.closed) == ("Preventive Monthly Activity", True, False)
    assert row.schedule_date == datetime(2023, 9, 15, 6, tzinfo=UTC)
    assert row.created_at == datetime(2023, 9, 15, 16, 11, 28, 90000, tzinfo=UTC)


@pytest.mark.parametrize("name", ["mpservices_movement", "mpservices_work_order"])
def test_a_sample_with_no_break_spaces_is_clearly_refused(name: str) -> None:
    with pytest.raises(MalformedResponseError, match="no whole JSON"):
        read_movements(sample(name))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda rows: rows,
        lambda rows: {"data": rows},
        lambda rows: {"movements": rows},
        lambda rows: {"Data": rows, "other": []},
        lambda rows: {"result": rows, "count": 2},
        lambda rows: {"data": {"items": rows}},
    ],
)
def test_a_list_and_an_object_round_one_list_keep_the_answers_order(wrap: Callable[[object], object]) -> None:
    rows = [movement(id="b"), movement(id="a")]

    parsed = read_movements(json.dumps(wrap(rows)).encode())

    assert [row.id for row in parsed.rows] == ["b", "a"]
    assert parsed.bad == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"null",
        b"<html>",
        b'{"message":"bad token"}',
        b'{"data":[],"error":"partial"}',
        b'{"a":[],"b":[]}',
        b'{"id":7,"error":"no"}',
        b'{"count":0}',
        b'[{"id":"a"',
    ],
)
def test_an_answer_without_movements_is_not_an_empty_one(body: bytes) -> None:
    with pytest.raises(MalformedResponseError):
        read_movements(body)


def test_an_empty_list_of_movements_is_an_answer() -> None:
    assert read_movements(b"[]").rows == read_movements(b'{"data":[]}').rows == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": None}, "type is null"),
        ({"createdAt": None}, "createdat is null"),
        ({"createdAt": "yesterday"}, "createdat is not a timestamp"),
        ({"createdAt": "2023-09-19"}, "createdat is not a timestamp"),
        ({"movements": None}, "movements is not a list"),
        ({"movements": [line(), line(quantity="")]}, "quantity is empty"),
        ({"movements": [line(cost="1,250.00")]}, "cost: not a number"),
        ({"movements": [line(quantity=None)]}, "quantity is null"),
        ({"movements": [7]}, "not an object but a number"),
    ],
)
def test_a_movement_with_one_bad_part_is_bad_as_a_whole(changes: dict[str, object], reason: str) -> None:
    parsed = read_movements(json.dumps([movement(**changes), movement(id="good")]).encode())

    assert [row.id for row in parsed.rows] == ["good"]
    (bad,) = parsed.bad
    assert bad.reason.startswith(reason)
    assert bad.remote_id == "612f8bdb-b42e-42ea-be45-5a7156dacdf5"


@pytest.mark.parametrize("cost", [None, "", "  "])
def test_a_line_may_say_no_cost(cost: object) -> None:
    parsed = read_movements(json.dumps([movement(movements=[line(cost=cost)])]).encode())

    assert [row.lines[0].cost for row in parsed.rows] == [None]


def test_a_single_movement_without_its_date_is_a_bad_row_and_not_a_wrapper_of_lines() -> None:
    single = movement()
    del single["createdAt"]

    parsed = read_movements(json.dumps(single).encode())

    assert (parsed.rows, len(parsed.bad)) == ([], 1)


def test_lines_without_ids_and_quantities_below_zero_are_kept_as_they_are() -> None:
    lines = [line(item_external_id=None, item_id="0000000000002"), line(quantity=-1.5, cost=0), line(), line()]

    (row,) = read_movements(json.dumps(movement(movements=lines, reference="")).encode()).rows

    assert [(part.item_external_id, part.item_id) for part in row.lines[:2]] == [
        (None, "0000000000002"),
        ("1231232", None),
    ]
    assert (row.lines[1].quantity, row.lines[1].cost, row.reference) == (Decimal("-1.5"), 0, None)
    assert row.lines[2].digest == row.lines[3].digest


def test_a_time_with_another_zone_is_taken_to_utc() -> None:
    (row,) = read_movements(json.dumps(movement(createdAt="2023-09-30T23:30:00-06:00")).encode()).rows

    assert row.created_at == datetime(2023, 10, 1, 5, 30, tzinfo=UTC)


def test_the_digest_shows_a_changed_line_and_no_new_field() -> None:
    def digest(**changes: object) -> str:
        return read_movements(json.dumps(movement(**changes)).encode()).rows[0].digest

    base = digest(movements=[line(), line(quantity=3)])

    assert digest(movements=[line(cost=25.0, new=1), line(quantity="3")], updatedBy="x") == base
    assert digest(movements=[line(quantity=3), line()]) != base
    assert digest(movements=[line()]) != base


def test_reads_are_the_documents_requests(clock: FakeClock) -> None:
    vendor = Vendor(lambda request: httpx.Response(200, content=b"[]"))
    client = mps_client(vendor, clock, work_orders_path="/FetchWorkOrders")

    client.movements()
    client.work_orders()

    assert vendor.calls == ["GET /FetchTenantsInventoryMovements", "GET /FetchWorkOrders"]
    assert {request.headers["token"] for request in vendor.requests} == {"MPSER110_real-token"}


@pytest.mark.parametrize("path", ["CreateProduct", "/CreateProduct/", f"'{MPS}/CreateProduct'", f"{MPS}/CreateProduct"])
def test_a_stock_patch_and_a_product_are_forms_in_the_frozen_order(path: str, clock: FakeClock) -> None:
    vendor = Vendor(lambda request: httpx.Response(200))
    client = mps_client(vendor, clock, create_product_path=path)

    assert client.update_stock_cost(FIELDS).rows == []
    client.create_product('{"bar_code":"ü","weighted_average":1.10,"min_stock":3,"category":null}')

    assert vendor.calls == ["PATCH /UpdateProductStockCost", "POST /CreateProduct"]
    assert [request.content for request in vendor.requests] == [
        b"external_id=P+1%262&new_stock=12.5&new_cost=1.10",
        b"bar_code=%C3%BC&weighted_average=1.10&min_stock=3",
    ]
    assert {request.headers["content-type"] for request in vendor.requests} == {"application/x-www-form-urlencoded"}


@pytest.mark.parametrize("fields", ["[]", "{", '{"a":{}}'])
def test_fields_that_are_no_form_are_never_sent(fields: str, clock: FakeClock) -> None:
    vendor = Vendor(lambda request: httpx.Response(200))

    with pytest.raises(InvariantError):
        mps_client(vendor, clock).update_stock_cost(fields)

    assert vendor.requests == []


@pytest.mark.parametrize("call", [lambda c: c.work_orders(), lambda c: c.create_product("{}")])
def test_a_call_whose_path_is_not_set_is_never_guessed(call: Call, clock: FakeClock) -> None:
    vendor = Vendor(lambda request: httpx.Response(200))

    with pytest.raises(ConfigError):
        call(mps_client(vendor, clock))

    assert vendor.requests == []


@pytest.mark.parametrize("path", ["https://other.test/x", "/a?b=c", "/a b", "/a/../b", "/a//b", "/a#b"])
def test_a_path_that_leads_elsewhere_is_a_wrong_setting(path: str, clock: FakeClock) -> None:
    with pytest.raises(ConfigError, match="MPSERVICES_WORK_ORDERS_PATH"):
        mps_client(Vendor(lambda request: httpx.Response(200)), clock, work_orders_path=path)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"message":"Product updated"}', b'"ok"', b"[]", b'{"success":true}'])
def test_an_undocumented_answer_to_a_patch_counts_as_accepted(body: bytes, clock: FakeClock) -> None:
    vendor = Vendor(lambda request: httpx.Response(200, content=body))

    assert mps_client(vendor, clock).update_stock_cost(FIELDS).answer.body == body


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (json_reply({"error": "unknown product"}), RejectedError),
        (json_reply({"errors": ["unknown product"]}), RejectedError),
        (json_reply({"success": False, "message": "unknown product"}), RejectedError),
        (json_reply({"status": "error"}), RejectedError),
        (json_reply({"message": "unknown product"}, 404), RejectedError),
        (httpx.Response(200, content=b"<html>Log in</html>"), OutcomeUnknownError),
        (httpx.Response(200, content=b'{"cut":'), OutcomeUnknownError),
        (httpx.Response(500), OutcomeUnknownError),
        (httpx.ReadTimeout("slow"), OutcomeUnknownError),
        (httpx.ConnectError("refused"), RetryableError),
        (httpx.Response(429), RetryableError),
        (httpx.Response(401), AuthError),
        (httpx.Response(403), AuthError),
    ],
)
def test_what_an_answer_to_a_patch_means(reply: Reply, kind: type[RemoteError], clock: FakeClock) -> None:
    vendor = Vendor(lambda request: reply)

    with pytest.raises(kind) as caught:
        mps_client(vendor, clock).update_stock_cost(FIELDS)

    assert type(caught.value) is kind
    assert len(vendor.requests) == 1


def test_a_refused_token_names_its_setting_and_never_itself(clock: FakeClock) -> None:
    vendor = Vendor(lambda request: json_reply({"message": f"bad {request.headers['token']}"}, 403))

    with pytest.raises(AuthError) as caught:
        mps_client(vendor, clock).movements()

    assert "MPSERVICES_TOKEN" in (caught.value.hint or "")
    assert "real-token" not in caught.value.message + (caught.value.body or "")


@pytest.mark.parametrize("token", ["MPSER110_<sample token>", "", "two words", "a\nb", "schlüssel"])
def test_the_printed_token_and_what_is_none_are_refused_before_anything_is_sent(token: str, clock: FakeClock) -> None:
    with pytest.raises(ConfigError, match="MPSERVICES_TOKEN"):
        MpservicesClient(MPS, token, clock=clock)


def test_the_fingerprint_follows_the_token(clock: FakeClock) -> None:
    def made(token: str) -> str:
        client = MpservicesClient(MPS, token, clock=clock)
        client.close()
        return client.fingerprint

    assert made("one") == made(" one ")
    assert made("one") != made("two")
