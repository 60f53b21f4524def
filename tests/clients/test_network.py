"""The same promises over a real socket: what a stubbed transport cannot show."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sync.clients.http import Http
from sync.clock import SystemClock
from sync.errors import MalformedResponseError, OutcomeUnknownError, RemoteError, RetryableError
from tests.clients.loopback import Script, refused_url, serving

HEAD = b"HTTP/1.1 200 OK\r\nDate: Tue, 03 Mar 2026 10:00:00 GMT\r\nContent-Type: application/json\r\n"
KINDS = [(False, RetryableError), (True, OutcomeUnknownError)]


@contextmanager
def client(url: str, timeout: float = 0.4, limit: int = 1_000_000) -> Iterator[Http]:
    opened = Http(url, system="mpw", clock=SystemClock(), timeout_seconds=timeout, max_body_bytes=limit)
    try:
        yield opened
    finally:
        opened.close()


def failure(script: Script, *, write: bool, limit: int = 1_000_000) -> tuple[RemoteError, float]:
    with serving(script) as url, client(url, limit=limit) as http:
        started = time.monotonic()
        with pytest.raises(RemoteError) as caught:
            http.send("POST", "/receipts", write=write, endpoint="receipts", content=b"{}")
        return caught.value, time.monotonic() - started


def drip(start: bytes, piece: bytes) -> Script:
    def script(connection: socket.socket, stop: threading.Event) -> None:
        connection.sendall(start)
        while not stop.wait(0.05):
            connection.sendall(piece)

    return script


@pytest.mark.parametrize(("write", "kind"), KINDS)
def test_a_server_that_says_nothing_is_given_up_at_the_deadline(write: bool, kind: type[RemoteError]) -> None:
    error, seconds = failure(lambda connection, stop: stop.wait(3) and None, write=write)

    assert type(error) is kind
    assert error.answered_at is None
    assert 0.3 < seconds < 2


@pytest.mark.parametrize(("write", "kind"), KINDS)
def test_header_lines_that_drip_do_not_outlast_the_deadline(write: bool, kind: type[RemoteError]) -> None:
    error, seconds = failure(drip(HEAD + b"X-Slow: ", b"a"), write=write)

    assert type(error) is kind
    assert seconds < 2


@pytest.mark.parametrize(("write", "kind"), KINDS)
def test_a_body_that_drips_does_not_outlast_the_deadline(write: bool, kind: type[RemoteError]) -> None:
    error, seconds = failure(drip(HEAD + b"Content-Length: 1000000\r\n\r\n", b" "), write=write)

    assert type(error) is kind
    assert error.answered_at is not None
    assert seconds < 2


@pytest.mark.parametrize(("write", "kind"), KINDS)
def test_a_cut_body_is_no_answer(write: bool, kind: type[RemoteError]) -> None:
    error, _ = failure(lambda c, stop: c.sendall(HEAD + b'Content-Length: 100\r\n\r\n[{"id":1'), write=write)

    assert type(error) is kind
    assert error.answered_at is not None


@pytest.mark.parametrize(("write", "kind"), KINDS)
def test_a_reset_after_the_request_is_no_answer(write: bool, kind: type[RemoteError]) -> None:
    def reset(connection: socket.socket, stop: threading.Event) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")

    error, _ = failure(reset, write=write)

    assert type(error) is kind
    assert error.status is None


@pytest.mark.parametrize(("write", "kind"), [(False, MalformedResponseError), (True, OutcomeUnknownError)])
def test_an_endless_body_is_cut_at_the_size_limit(write: bool, kind: type[RemoteError]) -> None:
    def endless(connection: socket.socket, stop: threading.Event) -> None:
        connection.sendall(HEAD + b"Connection: close\r\n\r\n")
        while not stop.is_set():
            connection.sendall(b"x" * 65536)

    error, _ = failure(endless, write=write, limit=200_000)

    assert type(error) is kind


@pytest.mark.parametrize("write", [False, True])
def test_a_refused_connection_was_never_sent(write: bool) -> None:
    with client(refused_url()) as http, pytest.raises(RetryableError):
        http.send("POST", "/receipts", write=write, endpoint="receipts", content=b"{}")


@pytest.mark.parametrize("write", [False, True])
def test_a_name_that_does_not_resolve_was_never_sent(write: bool) -> None:
    with client("https://no-such-host.invalid") as http, pytest.raises(RetryableError):
        http.send("GET", "/receipts", write=write, endpoint="receipts")


def test_a_redirect_is_not_followed_even_to_the_same_server() -> None:
    connections: list[int] = []

    def redirect(connection: socket.socket, stop: threading.Event) -> None:
        connections.append(1)
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")

    error, _ = failure(redirect, write=True)

    assert type(error) is OutcomeUnknownError
    assert connections == [1]


@pytest.mark.parametrize("location", ["javascript:alert(1)", "http://[", "//", "http://x:99999/", "\xff"])
def test_a_redirect_to_nowhere_is_still_an_answer_to_a_request_that_was_sent(location: str) -> None:
    head = f"HTTP/1.1 301 Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"

    error, _ = failure(lambda connection, stop: connection.sendall(head.encode("latin-1")), write=True)

    assert type(error) is OutcomeUnknownError
    assert error.status == 301


def test_a_service_on_this_machine_is_reached_without_the_environments_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, refused_url())

    with serving(lambda c, stop: c.sendall(HEAD + b"Content-Length: 2\r\n\r\n[]")) as url, client(url) as http:
        assert http.send("GET", "/receipts", write=False, endpoint="receipts").body == b"[]"


def test_the_deadline_holds_through_a_proxy_of_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(drip(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("no_proxy", "")
        started = time.monotonic()
        with client("https://vendor.test") as http, pytest.raises(RetryableError):
            http.send("GET", "/receipts", write=False, endpoint="receipts")
        assert time.monotonic() - started < 2
