"""The login: form post, 24 hours, one at a time, and never again with a refused password."""

from __future__ import annotations

import threading
import traceback
from datetime import date, timedelta
from email import message_from_bytes

import httpx
import pytest

from sync.errors import AuthError, OutcomeUnknownError, RejectedError, RetryableError
from tests.clients.vendor import PASSWORD, Mpw, Reply, json_reply
from tests.clocks import FakeClock

DAY = date(2026, 3, 1)


def fine(request: httpx.Request) -> Reply:
    return httpx.Response(200, json={"id": 1} if request.method == "POST" else [])


class Expiring:
    """Accepts only the tokens in `good`."""

    def __init__(self, *good: str) -> None:
        self.good = set(good)

    def __call__(self, request: httpx.Request) -> Reply:
        token = request.headers["authorization"].removeprefix("Bearer ")
        return fine(request) if token in self.good else json_reply({"message": "Unauthorized"}, 401)


def test_the_login_is_the_documents_form_post(clock: FakeClock) -> None:
    vendor = Mpw(fine, clock)

    vendor.client.log_in()

    (request,) = vendor.requests
    assert (request.method, request.url.path) == ("POST", "/api/v1/mpw/authentication")
    assert request.url.query == b"", "credentials in a URL end in logs"
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    parts = message_from_bytes(head + request.content).get_payload()
    fields = {part.get_param("name", header="content-disposition"): part.get_payload() for part in parts}  # type: ignore
    assert fields == {"email": "user@example.com", "password": PASSWORD}
    assert all(part.get_filename() is None for part in parts)  # type: ignore[union-attr]


def test_one_token_serves_twenty_hours_and_no_longer(clock: FakeClock) -> None:
    vendor = Mpw(fine, clock)

    vendor.client.issuances(DAY)
    clock.advance(20 * 3600 - 1)
    vendor.client.post_receipt("{}")
    assert vendor.logins == 1
    clock.advance(1)
    vendor.client.issuances(DAY)

    assert vendor.logins == 2
    assert vendor.requests[-1].headers["authorization"] == "Bearer token-2-of-user"


def test_a_read_with_an_expired_token_renews_it_once_and_repeats(clock: FakeClock) -> None:
    vendor = Mpw(Expiring("token-2-of-user"), clock)

    answer = vendor.client.issuances(DAY)

    assert answer.status == 200
    assert vendor.logins == 2
    assert len(vendor.data_calls) == 2


def test_a_read_that_is_refused_with_a_new_token_too_may_pass_since_the_login_works(clock: FakeClock) -> None:
    vendor = Mpw(Expiring(), clock)

    with pytest.raises(RetryableError, match="even a new token") as caught:
        vendor.client.issuances(DAY)

    assert caught.value.status == 401
    assert (vendor.logins, len(vendor.data_calls)) == (2, 2)


def test_a_write_with_an_expired_token_is_not_repeated_here(clock: FakeClock) -> None:
    vendor = Mpw(Expiring("token-2-of-user"), clock)

    with pytest.raises(RetryableError) as caught:
        vendor.client.post_receipt("{}")
    assert caught.value.status == 401
    assert (vendor.logins, len(vendor.data_calls)) == (1, 1)

    assert vendor.client.post_receipt("{}").rows == [{"id": 1}]
    assert vendor.logins == 2


def test_writes_refused_twice_with_new_tokens_may_pass_since_the_login_works(clock: FakeClock) -> None:
    vendor = Mpw(Expiring(), clock)

    for _ in range(2):
        with pytest.raises(RetryableError):
            vendor.client.post_receipt("{}")

    assert len(vendor.data_calls) == 2


def test_old_tokens_that_run_out_are_never_an_auth_error(clock: FakeClock) -> None:
    allowed = Expiring("token-1-of-user")
    vendor = Mpw(allowed, clock)
    for turn in range(1, 4):
        vendor.client.post_receipt("{}")
        clock.advance(3600)
        allowed.good = {f"token-{turn + 1}-of-user"}

        with pytest.raises(RetryableError):
            vendor.client.post_receipt("{}")


@pytest.mark.parametrize(
    "reply",
    [
        json_reply({"message": "Unauthorized"}, 401),
        json_reply({"error": "Invalid email or password"}, 403),
        json_reply({"errors": ["locked"]}, 422),
        httpx.Response(400),
        json_reply({"message": "Invalid email or password"}),
        json_reply({}),
        json_reply([]),
        json_reply({"access_token": ""}),
        json_reply({"access_token": None}),
        json_reply({"access_token": "two words\r\nX: y"}),
    ],
)
def test_a_refused_login_is_never_tried_again_until_it_is_forgotten(reply: Reply, clock: FakeClock) -> None:
    vendor = Mpw(fine, clock, login=lambda request: reply)

    for call in (lambda: vendor.client.issuances(DAY), lambda: vendor.client.post_receipt("{}")):
        for _ in range(3):
            with pytest.raises(AuthError):
                call()
            clock.advance(days=2)
    assert vendor.logins == 1
    assert vendor.data_calls == []

    vendor.client.forget_failure()
    with pytest.raises(AuthError):
        vendor.client.log_in()
    assert vendor.logins == 2


@pytest.mark.parametrize(
    "reply",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.ReadError("reset"),
        httpx.Response(500),
        httpx.Response(503),
        httpx.Response(429),
        httpx.Response(302, headers={"Location": "/"}),
        httpx.Response(404),
        httpx.Response(200, content=b"<html>maintenance</html>"),
        httpx.Response(200, content=b'{"access_token":"ab'),
    ],
)
def test_trouble_at_the_login_is_retryable_for_a_write_too_since_it_never_left(reply: Reply, clock: FakeClock) -> None:
    vendor = Mpw(fine, clock, login=lambda request: reply)

    for _ in range(2):
        with pytest.raises(RetryableError) as caught:
            vendor.client.post_receipt("{}")
        assert not isinstance(caught.value, OutcomeUnknownError)

    assert vendor.logins == 2, "trouble passes, so it is tried again when asked again"
    assert vendor.data_calls == []


def test_a_login_that_was_told_to_wait_is_not_sent_before(clock: FakeClock) -> None:
    vendor = Mpw(fine, clock, login=lambda request: httpx.Response(429, headers={"Retry-After": "60"}))

    with pytest.raises(RetryableError):
        vendor.client.issuances(DAY)
    clock.advance(45)
    with pytest.raises(RetryableError) as caught:
        vendor.client.issuances(DAY)
    assert vendor.logins == 1
    assert caught.value.retry_after == timedelta(seconds=15)

    clock.advance(16)
    vendor.login = vendor._log_in
    vendor.client.issuances(DAY)
    assert vendor.logins == 2


def in_threads(count: int, call: object) -> None:
    threads = [threading.Thread(target=call) for _ in range(count)]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)


def test_many_threads_log_in_once(clock: FakeClock) -> None:
    vendor = Mpw(fine, clock)

    in_threads(8, lambda: vendor.client.issuances(DAY))

    assert vendor.logins == 1
    assert len(vendor.data_calls) == 8


def test_many_threads_with_an_expired_token_renew_it_once(clock: FakeClock) -> None:
    allowed = Expiring("token-1-of-user")
    vendor = Mpw(allowed, clock)
    vendor.client.log_in()
    allowed.good = {"token-2-of-user"}
    arrived = threading.Barrier(4, timeout=10)

    def together(request: httpx.Request) -> Reply:
        if request.headers["authorization"].endswith("token-1-of-user"):
            arrived.wait()
        return allowed(request)

    vendor.inner = together
    in_threads(4, lambda: vendor.client.issuances(DAY))

    assert vendor.logins == 2
    assert len(vendor.data_calls) == 8


def test_threads_that_waited_for_a_login_share_its_trouble(clock: FakeClock) -> None:
    entered, leave = threading.Event(), threading.Event()

    def slow(request: httpx.Request) -> Reply:
        entered.set()
        leave.wait(10)
        return httpx.Response(503)

    vendor = Mpw(fine, clock, login=slow)
    errors: list[Exception] = []

    def call() -> None:
        try:
            vendor.client.issuances(DAY)
        except RetryableError as error:
            errors.append(error)

    first = threading.Thread(target=call)
    first.start()
    entered.wait(10)
    waiting = [threading.Thread(target=call) for _ in range(3)]
    for thread in waiting:
        thread.start()
    threading.Event().wait(0.2)
    leave.set()
    for thread in [first, *waiting]:
        thread.join(timeout=10)

    assert len(errors) == 4
    assert vendor.logins == 1


def test_neither_password_nor_token_shows_in_any_failure(clock: FakeClock) -> None:
    def echo(request: httpx.Request) -> Reply:
        text = request.headers.get("authorization", "") + request.content.decode()
        return httpx.Response(422, json={"message": text})

    vendor = Mpw(echo, clock)
    with pytest.raises(RejectedError) as refused:
        vendor.client.post_receipt('{"note":"' + PASSWORD + '"}')
    vendor = Mpw(fine, clock, login=echo)
    with pytest.raises(AuthError) as login:
        vendor.client.log_in()
    vendor = Mpw(fine, clock, login=lambda request: httpx.ReadError(f"while sending {PASSWORD}"))
    with pytest.raises(RetryableError) as cut:
        vendor.client.log_in()

    for caught in (refused, login, cut):
        shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
        assert PASSWORD not in shown
        assert "token-1-of-user" not in shown
        assert "***" in shown
