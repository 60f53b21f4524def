"""Status → error, redaction, encoding and limits, behind a stubbed transport."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import httpx
import pytest

from sync.clients.http import Http, RequestSeen
from sync.clients.retry_after import RetryAfter
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
from tests.clients.vendor import PASSWORD, TOKEN, Reply, Vendor, http
from tests.clocks import FakeClock

DATE = "Tue, 03 Mar 2026 10:00:00 GMT"
DATE_AT = datetime(2026, 3, 3, 10, tzinfo=UTC)


def attempt(reply: Reply, clock: FakeClock, *, write: bool) -> RemoteError:
    vendor = Vendor(lambda request: reply)
    with pytest.raises(RemoteError) as caught:
        http(vendor, clock).send("POST", "/receipts", write=write, endpoint="receipts", content=b"{}")
    assert len(vendor.requests) == 1, "nothing is ever sent twice here"
    return caught.value


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("slow"),
        httpx.PoolTimeout("full"),
        httpx.ProxyError("no tunnel"),
    ],
)
def test_what_was_provably_never_sent_may_be_tried_again(error: Exception, write: bool, clock: FakeClock) -> None:
    raised = attempt(error, clock, write=write)

    assert type(raised) is RetryableError
    assert raised.status is None


@pytest.mark.parametrize(
    "error",
    [
        httpx.ReadTimeout("slow"),
        httpx.WriteTimeout("slow"),
        httpx.ReadError("reset"),
        httpx.WriteError("reset"),
        httpx.RemoteProtocolError("nonsense"),
    ],
)
def test_trouble_after_sending_leaves_a_write_unknown_and_a_read_retryable(error: Exception, clock: FakeClock) -> None:
    assert type(attempt(error, clock, write=True)) is OutcomeUnknownError
    assert type(attempt(error, clock, write=False)) is RetryableError


@pytest.mark.parametrize(
    ("status", "read", "write"),
    [
        (301, MalformedResponseError, OutcomeUnknownError),
        (304, MalformedResponseError, OutcomeUnknownError),
        (400, RejectedError, RejectedError),
        (401, AuthError, AuthError),
        (403, RejectedError, RejectedError),
        (404, RejectedError, RejectedError),
        (407, RetryableError, RetryableError),
        (408, RetryableError, OutcomeUnknownError),
        (409, RejectedError, RejectedError),
        (422, RejectedError, RejectedError),
        (425, RetryableError, RetryableError),
        (429, RetryableError, RetryableError),
        (500, RetryableError, OutcomeUnknownError),
        (502, RetryableError, OutcomeUnknownError),
        (503, RetryableError, OutcomeUnknownError),
        (599, RetryableError, OutcomeUnknownError),
    ],
)
def test_each_status_has_one_meaning(
    status: int, read: type[RemoteError], write: type[RemoteError], clock: FakeClock
) -> None:
    reply = httpx.Response(status, headers={"Date": DATE, "Location": "https://evil.test/"}, json={"message": "why"})

    for as_write, kind in ((False, read), (True, write)):
        error = attempt(reply, clock, write=as_write)
        assert type(error) is kind
        assert (error.status, error.answered_at) == (status, DATE_AT)
        assert "why" in error.message
        assert error.body == '{"message":"why"}'


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("120", timedelta(seconds=120)),
        ("0.5", timedelta(seconds=0.5)),
        ("Tue, 03 Mar 2026 10:02:00 GMT", timedelta(minutes=2)),
        ("Tue, 03 Mar 2026 09:00:00 GMT", timedelta(0)),
        ("999999999", timedelta(days=1)),
        ("soon", None),
        ("-5", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_by_the_vendors_clock(
    value: str, expected: timedelta | None, clock: FakeClock
) -> None:
    reply = httpx.Response(429, headers={"Date": DATE, "Retry-After": value})

    error = attempt(reply, clock, write=True)

    assert isinstance(error, RetryableError)
    assert error.retry_after == expected


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"message":"no stock"}', "no stock"),
        (b'{"Error":"no stock"}', "no stock"),
        (b'{"errors":["a","b"]}', "a; b"),
        (b'{"errors":{"quantity":["too much","odd"]}}', "quantity: too much; odd"),
        (b'{"error":{"code":7,"message":"bad"}}', "code: 7; message: bad"),
        (b'{"message":"same","error":"same"}', "same"),
        (b'"just text"', "just text"),
        (b"plain words", "plain words"),
        (b"<html><style>x{}</style><h1>Not</h1> found</html>", "Not found"),
        (b"", "refused with HTTP 422 and no text"),
    ],
)
def test_a_rejection_carries_the_vendors_own_words(body: bytes, message: str, clock: FakeClock) -> None:
    assert attempt(httpx.Response(422, content=body), clock, write=True).message == message


def test_no_secret_reaches_an_error_in_any_spelling(clock: FakeClock) -> None:
    spellings = [PASSWORD, TOKEN, quote(PASSWORD, safe=""), "Bearer abcdefghijklmnop", json.dumps(PASSWORD)]
    other_jwt = TOKEN.replace("c2ln", "b3Ro")
    text = " | ".join([*spellings, other_jwt, 'with "access_token": "abc"'])

    error = attempt(httpx.Response(422, json={"message": text}), clock, write=True)

    for shown in (error.message, error.body or "", repr(error)):
        for secret in (PASSWORD, TOKEN, quote(PASSWORD, safe=""), other_jwt, "abcdefghijklmnop", '"abc'):
            assert secret not in shown
        assert "***" in shown
    cut = attempt(httpx.ReadError(f"while sending {TOKEN}"), clock, write=True)
    assert TOKEN not in cut.message


def test_what_is_kept_of_an_answer_is_cut(clock: FakeClock) -> None:
    error = attempt(httpx.Response(422, content=b"x" * 100_000 + b"\x00"), clock, write=True)

    assert len(error.body or "") == 2000
    assert len(error.message) == 2000


def test_everything_in_a_path_and_query_is_encoded(clock: FakeClock) -> None:
    vendor = Vendor(lambda request: httpx.Response(200, content=b"[]"))
    client = http(vendor, clock)

    client.send(
        "GET",
        ("receipt", "a/b #1%?"),
        write=False,
        endpoint="x",
        params={"warehouse_name": "Warehouse #1 & 100% 🛠", "part": "a+b'\"=", "empty": ""},
    )

    sent = vendor.requests[0].url
    assert sent.raw_path.decode() == (
        "/api/v1/mpw/receipt/a%2Fb%20%231%25%3F?warehouse_name=Warehouse%20%231%20%26%20100%25%20%F0%9F%9B%A0"
        "&part=a%2Bb%27%22%3D&empty="
    )
    assert dict(sent.params) == {"warehouse_name": "Warehouse #1 & 100% 🛠", "part": "a+b'\"=", "empty": ""}


@pytest.mark.parametrize("path", [("receipt", ""), ("receipt", ".."), "", "/a//b"])
def test_a_path_with_an_empty_segment_is_never_sent(path: str | tuple[str, ...], clock: FakeClock) -> None:
    vendor = Vendor(lambda request: httpx.Response(200))

    with pytest.raises(InvariantError):
        http(vendor, clock).send("DELETE", path, write=True, endpoint="x")

    assert vendor.requests == []


def test_cookies_are_not_kept(clock: FakeClock) -> None:
    vendor = Vendor(lambda request: httpx.Response(200, headers={"Set-Cookie": "session=1; Path=/"}))
    client = http(vendor, clock)

    client.send("GET", "/a", write=False, endpoint="a")
    client.send("GET", "/a", write=False, endpoint="a")

    assert "cookie" not in vendor.requests[1].headers


@pytest.mark.parametrize(
    "url",
    [
        "http://www.mtcproweb.com/api",
        "http://localhost.evil.test",
        "http://127.0.0.1.evil.test",
        "ftp://x.test",
        "www.mtcproweb.com",
        "",
        "https://",
        "https://user:pass@x.test",
        "https://x.test?a=1",
        "https://x.test:port",
        "https://x test",
    ],
)
def test_an_unsafe_base_url_is_refused_before_anything_is_sent(url: str, clock: FakeClock) -> None:
    with pytest.raises(ConfigError):
        Http(url, system="mpw", clock=clock, timeout_seconds=1)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/", "http://localhost:1", "http://[::1]:1", "https://x.test/a/"])
def test_a_safe_base_url_is_taken_without_its_last_slash(url: str, clock: FakeClock) -> None:
    client = Http(url, system="mpw", clock=clock, timeout_seconds=1)

    assert client.base_url == url.rstrip("/")
    client.close()


def test_plain_http_elsewhere_needs_a_clear_word(clock: FakeClock) -> None:
    client = Http("http://vendor.test", system="mpw", clock=clock, timeout_seconds=1, allow_plain_http=True)

    assert client.base_url == "http://vendor.test"
    client.close()


def test_requests_are_spaced_and_the_first_goes_at_once(clock: FakeClock) -> None:
    vendor = Vendor(lambda request: httpx.Response(200))
    client = http(vendor, clock, max_requests_per_second=10)

    for _ in range(4):
        client.send("GET", "/a", write=False, endpoint="a")

    assert clock.slept == pytest.approx([0.1, 0.1, 0.1])


def test_no_more_requests_run_at_once_than_allowed(clock: FakeClock) -> None:
    running: list[int] = []
    most: list[int] = []
    together = threading.Barrier(2, timeout=10)

    def handle(request: httpx.Request) -> httpx.Response:
        running.append(1)
        most.append(len(running))
        together.wait()
        running.pop()
        return httpx.Response(200)

    client = http(Vendor(handle), clock, concurrency=2)
    threads = [threading.Thread(target=lambda: client.send("GET", "/a", write=False, endpoint="a")) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)

    assert len(most) == 6
    assert max(most) == 2


class Drip(httpx.SyncByteStream):
    """A body of which each piece takes a second of the test's clock."""

    def __init__(self, clock: FakeClock, pieces: int, error: Exception | None = None) -> None:
        self.clock, self.pieces, self.error = clock, pieces, error
        self.given = 0

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(self.pieces):
            self.clock.advance(1)
            self.given += 1
            yield b"0123456789"
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize(("write", "kind"), [(False, RetryableError), (True, OutcomeUnknownError)])
def test_a_body_that_drips_beyond_the_deadline_is_given_up(
    write: bool, kind: type[RemoteError], clock: FakeClock
) -> None:
    body = Drip(clock, pieces=1000)

    error = attempt(httpx.Response(200, headers={"Date": DATE}, stream=body), clock, write=write)

    assert type(error) is kind
    assert error.answered_at == DATE_AT
    assert body.given == 5


@pytest.mark.parametrize(("write", "kind"), [(False, RetryableError), (True, OutcomeUnknownError)])
def test_a_cut_body_keeps_the_vendors_time(write: bool, kind: type[RemoteError], clock: FakeClock) -> None:
    body = Drip(clock, pieces=2, error=httpx.RemoteProtocolError("peer closed"))

    error = attempt(httpx.Response(200, headers={"Date": DATE}, stream=body), clock, write=write)

    assert type(error) is kind
    assert (error.status, error.answered_at) == (200, DATE_AT)


def test_a_refusal_stays_a_refusal_though_its_body_was_cut(clock: FakeClock) -> None:
    body = Drip(clock, pieces=1, error=httpx.ReadError("reset"))

    error = attempt(httpx.Response(422, stream=body), clock, write=True)

    assert type(error) is RejectedError
    assert error.message == "0123456789"


@pytest.mark.parametrize(("write", "kind"), [(False, MalformedResponseError), (True, OutcomeUnknownError)])
def test_a_body_without_end_is_cut_at_the_limit(write: bool, kind: type[RemoteError], clock: FakeClock) -> None:
    vendor = Vendor(lambda request: httpx.Response(200, content=b"x" * 2000))

    with pytest.raises(kind):
        http(vendor, clock, max_body_bytes=1000).send("GET", "/a", write=write, endpoint="a")


@pytest.mark.parametrize(("sent", "kept"), [(2000, 100), (900, 900)])
def test_of_a_body_that_is_too_large_only_its_beginning_is_kept_in_memory(
    sent: int, kept: int, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.clients.http.TOO_LARGE_KEPT_BYTES", 100)
    seen: list[RequestSeen] = []
    vendor = Vendor(lambda request: httpx.Response(200, content=b"x" * sent))
    client = http(vendor, clock, max_body_bytes=1000, observer=seen.append)

    with contextlib.suppress(MalformedResponseError):
        client.send("GET", "/a", write=False, endpoint="a")

    assert [one.body_bytes for one in seen] == [kept]


def test_the_observer_sees_each_request_with_its_outcome(clock: FakeClock) -> None:
    seen: list[RequestSeen] = []
    replies = iter([httpx.Response(200, content=b"[]"), httpx.Response(404), httpx.ConnectError("refused")])
    client = http(Vendor(lambda request: next(replies)), clock, observer=seen.append)

    client.send("GET", "/a", write=False, endpoint="issuances")
    for _ in range(2):
        with pytest.raises(RemoteError):
            client.send("GET", "/a", write=False, endpoint="issuances")

    assert [(s.endpoint, s.status, s.outcome) for s in seen] == [
        ("issuances", 200, "ok"),
        ("issuances", 404, "RejectedError"),
        ("issuances", None, "RetryableError"),
    ]


def test_an_accepted_status_is_returned_and_can_still_become_its_error(clock: FakeClock) -> None:
    client = http(Vendor(lambda request: httpx.Response(404, json={"message": "gone"})), clock)

    answer = client.send("GET", "/a", write=False, endpoint="a", accept=(404,))

    assert answer.status == 404
    assert isinstance(client.error_of(answer, write=False), RejectedError)


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("status", [429, 503])
def test_a_vendor_that_asked_to_wait_is_not_called_before_whatever_the_call(
    status: int, write: bool, clock: FakeClock
) -> None:
    vendor = Vendor(lambda request: httpx.Response(status, headers={"Retry-After": "90"}))
    client = http(vendor, clock)
    with pytest.raises(RemoteError):
        client.send("GET", "/receipts", write=False, endpoint="receipts")
    clock.advance(60)

    with pytest.raises(RetryableError) as early:
        client.send("POST", "/issuances", write=write, endpoint="issuances", content=b"{}")

    assert early.value.retry_after == timedelta(seconds=30)
    assert len(vendor.requests) == 1
    clock.advance(30)
    with pytest.raises(RemoteError):
        client.send("POST", "/issuances", write=write, endpoint="issuances", content=b"{}")
    assert len(vendor.requests) == 2


def test_a_shorter_wait_does_not_end_a_longer_one(clock: FakeClock) -> None:
    rest = RetryAfter(clock)
    rest.ask(timedelta(seconds=90))
    rest.ask(timedelta(seconds=5))
    clock.advance(60)

    with pytest.raises(RetryableError, match="another 30 s"):
        rest.check("mpw")


@pytest.mark.parametrize(("status", "headers"), [(429, {}), (422, {"Retry-After": "90"}), (200, {"Retry-After": "90"})])
def test_a_vendor_that_asked_for_nothing_is_called_again_at_once(
    status: int, headers: dict[str, str], clock: FakeClock
) -> None:
    vendor = Vendor(lambda request: httpx.Response(status, headers=headers))
    client = http(vendor, clock)

    for _ in range(2):
        with contextlib.suppress(RemoteError):
            client.send("GET", "/receipts", write=False, endpoint="receipts")

    assert len(vendor.requests) == 2
