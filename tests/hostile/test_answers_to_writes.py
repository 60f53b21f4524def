"""What a write or a login is answered: whatever it is, it is one of our errors, and never a false yes or a false no."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sync.clients.mpservices.client import MpservicesClient
from sync.clients.mpw.approval import ApprovalResult
from sync.clients.mpw.client import MpwClient
from sync.errors import (
    AuthError,
    MalformedResponseError,
    OutcomeUnknownError,
    RejectedError,
    RemoteError,
    RetryableError,
)
from tests.clients.vendor import MPS, MPW, PASSWORD
from tests.clocks import FakeClock
from tests.hostile.profile import examples
from tests.hostile.samples import printed
from tests.hostile.test_reading_rows import storable
from tests.hostile.trees import dump, mangled, spoiled, tree_of

Call = Callable[[MpwClient, MpservicesClient], object]
Answered = Callable[[Call, int, bytes, Mapping[str, str]], object]
FIELDS = '{"part_number":"P-1","quantity":2,"api_key":"k-1"}'
WRITES: dict[str, tuple[str, Call]] = {
    "receipt": ("mpw_receipts_post", lambda mpw, _: mpw.post_receipt(FIELDS)),
    "issuance": ("mpw_issuances_post", lambda mpw, _: mpw.post_issuance(FIELDS)),
    "inventory": ("mpw_inventories_post", lambda mpw, _: mpw.post_inventory(FIELDS)),
    "transfer": ("mpw_transfers_post", lambda mpw, _: mpw.post_transfer(FIELDS)),
    "delete of a receipt": ("mpw_receipt_delete", lambda mpw, _: mpw.delete_receipt("k-1")),
    "delete of an issuance": ("mpw_issuance_delete", lambda mpw, _: mpw.delete_issuance("k-1")),
    "approval": ("mpw_approve_post", lambda mpw, _: mpw.approve(["1000", "1001"])),
    "stock and cost": ("mpw_issuance_delete", lambda _, mps: mps.update_stock_cost(FIELDS)),
    "product": ("mpw_issuance_delete", lambda _, mps: mps.create_product(FIELDS)),
}
READS: dict[str, Call] = {
    "receipts by key": lambda mpw, _: mpw.receipts(api_key="k-1"),
    "inventories": lambda mpw, _: mpw.inventories(warehouse_name="W", part_number="P"),
    "movements": lambda _, mps: mps.movements(),
}
STATUSES = [200, 201, 202, 204, 206, 299, 301, 302, 304, 400, 401, 402, 403, 404, 405, 407, 408, 409, 410]
STATUSES += [418, 422, 423, 425, 429, 451, 500, 502, 503, 504, 520, 599]
ODD_HEADERS = st.dictionaries(
    st.sampled_from(["Date", "Retry-After", "Content-Type", "Location", "Set-Cookie", "Content-Encoding"]),
    st.sampled_from(
        [
            "",
            "0",
            "-1",
            "9" * 400,
            "1e400",
            "NaN",
            "Tue, 03 Mar 2026 10:00:00 GMT",
            "Tue, 99 Foo 99999 99:99:99 +9999",
            "Mon, 01 Jan 0001 00:00:00 +1400",
            "Fri, 31 Dec 9999 23:59:59 -1200",
            "application/json; charset=no-such-charset",
            "text/html",
            "javascript:alert(1)",
        ]
    ),
)
MESSAGES = st.sampled_from(
    [b'{"message":"no"}', b'{"errors":["k-1 exists"]}', b'{"error":{"a":{"b":["c"]}}}', b"<html>403 Forbidden</html>"]
)


@dataclass
class Station:
    """Both vendors, which answer everything but a login with what was set last."""

    reply: Callable[[], httpx.Response] = lambda: httpx.Response(200)
    login: bytes = b'{"access_token":"a.b.c"}'

    def __post_init__(self) -> None:
        self.clock = FakeClock()
        limits: dict[str, Any] = {"clock": self.clock, "transport": httpx.MockTransport(self._answer)}
        self.mpw = MpwClient(MPW, "user@example.com", PASSWORD, **limits)
        self.mps = MpservicesClient(MPS, "T0KEN", work_orders_path="/w", create_product_path="/p", **limits)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=self.login) if request.url.path.endswith("authentication") else self.reply()

    def close(self) -> None:
        """Close the clients."""
        self.mpw.close()
        self.mps.close()


@pytest.fixture(scope="module")
def answered() -> Iterator[Answered]:
    """Make a call that is answered so; return its result, or the error that it raised."""
    station = Station()

    def answered(call: Call, status: int, body: bytes, headers: Mapping[str, str]) -> object:
        try:
            station.clock.advance(days=2)  # an answer before may have asked to be left alone
            station.reply = lambda: httpx.Response(status, stream=httpx.ByteStream(body), headers=dict(headers))
            return call(station.mpw, station.mps)
        except RemoteError as error:
            return error

    yield answered
    station.close()


def assert_readable(error: RemoteError) -> None:
    """What is kept of an error can be written down and holds no secret."""
    for text in (error.message, error.body or "", error.hint or ""):
        assert storable(text)
        assert PASSWORD not in text
        assert "T0KEN" not in text


def answers(name: str) -> st.SearchStrategy[bytes]:
    """Bodies near the printed answer: mutated as a tree, as bytes, or an error's."""
    tree = tree_of(printed(name))
    return spoiled([tree]).map(dump) | mangled(dump(tree)) | MESSAGES


@pytest.mark.parametrize("write", WRITES)
@examples(120)
@given(data=st.data())
def test_a_write_that_may_have_taken_effect_is_never_said_not_to_have(
    answered: Answered, write: str, data: st.DataObject
) -> None:
    name, call = WRITES[write]
    status, headers = data.draw(st.sampled_from(STATUSES)), data.draw(ODD_HEADERS)
    body = data.draw(answers(name))

    result = answered(call, status, body, headers)

    if not isinstance(result, RemoteError):
        assert 200 <= status < 300 or write == "approval", "only a 2xx is a yes"
        return
    assert type(result) in (RetryableError, OutcomeUnknownError, RejectedError, AuthError)
    assert_readable(result)
    if 200 <= status < 400 or status == 408 or status >= 500:
        assert not isinstance(result, (RetryableError, AuthError)), "it may have taken effect"
    if status >= 500 or status == 408:
        assert isinstance(result, OutcomeUnknownError)
    if isinstance(result, RejectedError) and status < 300:
        fields = json.loads(body)
        assert any(word in str(fields).lower() for word in ("message", "error", "success", "status", "fail"))
    if status in (425, 429, 401):
        assert not isinstance(result, (OutcomeUnknownError, RejectedError)), "nothing was done: the vendor says so"
    if isinstance(result, RetryableError) and result.retry_after is not None:
        assert 0 <= result.retry_after.total_seconds() <= 86_400


@pytest.mark.parametrize("status", [200, 301, 422, 500])
def test_a_nul_in_what_a_vendor_says_is_shown_and_never_kept(answered: Answered, status: int) -> None:
    result = answered(WRITES["receipt"][1], status, b'{"message":"no \\u0000 way"}', {})

    assert isinstance(result, RemoteError)
    assert "no \\u0000 way" in result.message
    assert_readable(result)


@examples(300)
@given(body=answers("mpw_approve_post"), status=st.sampled_from([200, 207, 400, 422]))
@example(body=b'{"results":{"purchase_order_numbers":["10001","$1000",1000.5],"errors":null}}', status=200)
@example(body=b'{"results":{"purchase_order_numbers":{"1000":null},"errors":{"1001":["no"]}}}', status=200)
def test_an_approval_speaks_of_no_order_that_was_not_sent(answered: Answered, body: bytes, status: int) -> None:
    result = answered(lambda mpw, _: mpw.approve(["1000", "1001"]), status, body, {})

    if isinstance(result, RemoteError):
        assert type(result) in (RejectedError, OutcomeUnknownError)
        return
    assert isinstance(result, tuple)
    told: ApprovalResult = result[0]
    assert told.approved <= {"1000", "1001"}
    assert set(told.errors) <= {"1000", "1001"}
    assert storable(told.text)
    assert all(storable(text) and text for text in told.errors.values())


@pytest.mark.parametrize("read", READS)
@examples(80)
@given(data=st.data())
def test_a_read_ends_with_an_answer_or_an_error_of_ours(answered: Answered, read: str, data: st.DataObject) -> None:
    status, headers = data.draw(st.sampled_from(STATUSES)), data.draw(ODD_HEADERS)

    result = answered(READS[read], status, data.draw(answers("mpw_receipts_get")), headers)

    if isinstance(result, RemoteError):
        assert not isinstance(result, OutcomeUnknownError), "a read has no outcome that could be unknown"
        assert type(result) in (RetryableError, RejectedError, AuthError, MalformedResponseError)
        assert_readable(result)


LOGIN = tree_of({"access_token": "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyIjoxfQ.c2ln", "token_type": "bearer", "message": ""})


@examples(60)
@given(spoiled([LOGIN]).map(dump) | mangled(dump(LOGIN)))
@example(b'{"access_token":"a\\r\\nX-Evil: 1"}')
@example(b'{"access_token":"a b"}')
@example('{"access_token":"tökén"}'.encode())
def test_a_login_is_answered_with_a_token_or_it_failed(body: bytes) -> None:
    station = Station(login=body)
    try:
        station.mpw.log_in()
    except RemoteError as error:
        failure: RemoteError | None = error
    else:
        failure = None
    finally:
        station.close()

    if failure is None:
        assert b"access_token" in body.lower()
        return
    assert type(failure) in (AuthError, RetryableError)
    assert_readable(failure)
    assert "eyJ1c2VyIjoxfQ" not in failure.message, "the answer may hold a token in another place"
