"""Names and keys with anything in them arrive at the vendor as they are, and steer neither address nor header."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sync.clients.mpservices.client import MpservicesClient
from sync.clients.mpw.client import MpwClient
from sync.clients.mpw.wire import read_inventories, read_issuances, read_receipts
from sync.clock import SystemClock
from sync.errors import InvariantError, RejectedError
from sync.sandbox.server import Sandbox
from tests.clients.vendor import MPS, MPW, Mpw, Vendor, json_reply, mps_client
from tests.clocks import FakeClock
from tests.hostile.profile import examples

ODD = [
    "Warehouse #1",
    "a/b",
    "a\\b",
    " two  spaces ",
    "\"quoted\" 'twice'",
    "100%00",
    "%2e%2e%2f",
    "..",
    "../../authentication",
    "a?b=c&d=e",
    "a;b,c",
    "1+1=2",
    "👩‍🔧 Ä \u202e",
    "'; DROP TABLE receipts; --",
    "<script>alert(1)</script>",
    "\r\nX-Evil: 1\r\n\r\n",
    "line\nbreak\ttab",
    "\u00a0",
]
NAMES = st.sampled_from(ODD) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@pytest.fixture(scope="module")
def mpw() -> Iterator[Mpw]:
    vendor = Mpw(lambda _: json_reply([]), FakeClock())
    yield vendor
    vendor.client.close()


def sent(vendor: Vendor) -> httpx.Request:
    """Return the last request, checked for what a name might have done to it."""
    request = vendor.requests[-1]
    assert str(request.url).startswith((MPW, MPS)), "it went to the vendor"
    assert not urlsplit(str(request.url)).fragment
    assert not {"x-evil"} & {name.lower() for name in request.headers}
    return request


@examples(150)
@given(warehouse=NAMES, part=NAMES)
@example(warehouse="Warehouse #1", part="a&part_number=b")
def test_a_name_in_a_query_arrives_as_it_is(mpw: Mpw, warehouse: str, part: str) -> None:
    mpw.client.inventories(warehouse_name=warehouse, part_number=part)

    request = sent(mpw)
    assert request.url.path.endswith("/mpw/inventories")
    assert dict(request.url.params) == {"warehouse_name": warehouse, "part_number": part}


@examples(150)
@given(key=NAMES)
@example(key="a/../../receipt/b")
@example(key="%2F")
def test_a_key_in_a_path_is_one_segment_or_refused_before_anything_is_sent(mpw: Mpw, key: str) -> None:
    mpw.inner = lambda _: json_reply({"api_key": "k"})
    before = len(mpw.requests)

    try:
        mpw.client.delete_receipt(key)
    except InvariantError:
        assert key in (".", "..")
        assert len(mpw.requests) == before
        return

    path = sent(mpw).url.raw_path.decode().removeprefix("/api/v1/mpw")
    assert path.count("/") == 2, "the key is one segment"
    assert unquote(path.split("/")[2]) == key
    mpw.inner = lambda _: json_reply([])


@examples(30)
@given(name=NAMES)
def test_a_value_in_a_form_arrives_as_it_is(name: str) -> None:
    vendor = Vendor(lambda _: json_reply({"ok": True}))
    client = mps_client(vendor, FakeClock())

    client.update_stock_cost(json.dumps({"external_id": name, "new_stock": "1", "new_cost": "2"}))

    fields = httpx.QueryParams(sent(vendor).content.decode())
    assert dict(fields) == {"external_id": name, "new_stock": "1", "new_cost": "2"}
    client.close()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(populate=False) as running:
        yield running


@pytest.fixture(scope="module")
def client(sandbox: Sandbox) -> Iterator[MpwClient]:
    settings = sandbox.settings()
    opened = MpwClient(settings["MPW_BASE_URL"], settings["MPW_EMAIL"], settings["MPW_PASSWORD"], clock=SystemClock())
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def mpservices(sandbox: Sandbox) -> Iterator[MpservicesClient]:
    settings = sandbox.settings()
    opened = MpservicesClient(settings["MPSERVICES_BASE_URL"], settings["MPSERVICES_TOKEN"], clock=SystemClock())
    yield opened
    opened.close()


@pytest.mark.parametrize("name", [name for name in ODD if name.strip() == name and "\n" not in name])
def test_a_part_and_a_key_of_any_name_go_through_a_real_server_and_back(
    sandbox: Sandbox, client: MpwClient, mpservices: MpservicesClient, name: str
) -> None:
    warehouse, today = f"W {name}", sandbox.mpw.today()
    key = f"k {name}".replace("/", "")  # our keys have none, and many servers open %2F before they look at a path
    sandbox.mpw.add_warehouse(warehouse)
    sandbox.mpw.add_part(name, warehouse, name="a part")
    fields = {"part_number": name, "warehouse_name": warehouse, "created_on": today.isoformat(), "api_key": key}

    client.post_receipt(json.dumps(fields | {"quantity_received": 5, "unit_cost": 2}))
    client.post_issuance(json.dumps(fields | {"quantity": 2, "description": name}))

    (stock,) = read_inventories(client.inventories(warehouse_name=warehouse, part_number=name).body).rows
    assert (stock.part_number, stock.warehouse_name, int(stock.quantity)) == (name, warehouse, 3)
    (receipt,) = read_receipts(client.receipts(api_key=key).body).rows
    assert receipt.api_key == key
    (issued,) = read_issuances(client.issuances(today, warehouse_name=warehouse).body).rows
    assert issued.description == name

    client.delete_issuance(key)
    client.delete_receipt(key)
    with pytest.raises(RejectedError):
        client.delete_receipt(key)
    assert sandbox.mpw.stock(name, warehouse) == 0

    sandbox.mpservices.add_product(name, stock=1, cost="1")
    mpservices.update_stock_cost(json.dumps({"external_id": name, "new_stock": "3", "new_cost": "2"}))
    assert sandbox.mpservices.stock(name) == 3
