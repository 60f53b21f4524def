"""The server: where it listens, what it sends along, and that no client can hold it up."""

from __future__ import annotations

import http.client
import socket
import threading
import urllib.request
from collections.abc import Iterator

import pytest

from sync.app import App
from sync.clients.http import RequestSeen
from sync.errors import ConfigError
from sync.web.server import is_loopback, served
from tests.clocks import FakeClock
from tests.web.conftest import opened


@pytest.fixture
def serving(sqlite_url: str, clock: FakeClock) -> Iterator[App]:
    with opened(sqlite_url, clock, SYNC_HTTP_ADDRESS="127.0.0.1:0") as app:
        yield app


def asked(at: tuple[str, int], method: str, path: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(*at, timeout=10)
    connection.request(method, path)
    return connection.getresponse()


def test_without_an_address_nothing_listens(sqlite_app: App) -> None:
    threads = threading.active_count()
    with served(sqlite_app, alive=lambda: True) as at:
        assert at is None
        assert threading.active_count() == threads


def test_it_answers_with_headers_that_let_nothing_in_from_elsewhere(serving: App) -> None:
    with served(serving, alive=lambda: True) as at:
        assert at is not None
        answer = asked(at, "GET", "/")
        body = answer.read()
        answer.close()

    assert answer.status == 200
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Python" not in answer.headers["Server"]
    assert int(answer.headers["Content-Length"]) == len(body)


def test_head_gives_the_headers_alone_and_a_write_is_refused(serving: App) -> None:
    with served(serving, alive=lambda: True) as at:
        assert at is not None
        head, post = asked(at, "HEAD", "/"), asked(at, "POST", "/")
        assert (head.status, head.read()) == (200, b"")
        assert post.status == 405
        head.close()
        post.close()


def test_it_stops_with_the_daemon_and_the_port_is_free_again(serving: App) -> None:
    with served(serving, alive=lambda: True) as at:
        assert at is not None
    with socket.socket() as probe:
        assert probe.connect_ex(at) != 0
    assert serving.request_observers == []


def test_clients_that_say_nothing_keep_nobody_waiting(serving: App) -> None:
    with served(serving, alive=lambda: True) as at:
        assert at is not None
        silent = [socket.create_connection(at) for _ in range(30)]
        answer = asked(at, "GET", "/healthz")
        assert (answer.status, answer.read()) == (200, b'{"status": "ok"}')
        answer.close()
        for one in silent:
            one.close()


def test_many_readers_at_once_are_all_answered(serving: App) -> None:
    statuses: list[int] = []

    def read(url: str) -> None:
        with urllib.request.urlopen(url, timeout=30) as answer:
            statuses.append(answer.status)

    with served(serving, alive=lambda: True) as at:
        assert at is not None
        threads = [threading.Thread(target=read, args=(f"http://{at[0]}:{at[1]}/",)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

    assert statuses == [200] * 20


def test_requests_to_the_vendors_are_counted_while_it_serves(serving: App) -> None:
    with served(serving, alive=lambda: True) as at:
        assert at is not None
        for observer in serving.request_observers:
            observer(RequestSeen("mpw", "GET", "receipts", False, 200, "ok", 0.2, 0))
        answer = asked(at, "GET", "/metrics")
        text = answer.read().decode()
        answer.close()

    assert 'mpsync_requests_total{endpoint="receipts",outcome="ok",vendor="mpw"} 1.0' in text
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")


def test_the_clients_tell_the_programs_observers_of_every_request(serving: App) -> None:
    seen: list[RequestSeen] = []
    serving.request_observers.append(seen.append)
    assert serving.mpservices is not None

    with pytest.raises(Exception, match="could not be reached"):
        serving.mpservices.movements()

    assert [(one.system, one.endpoint, one.outcome) for one in seen] == [("mpservices", "movements", "RetryableError")]


def test_an_address_that_is_taken_is_named_with_its_setting(sqlite_url: str, clock: FakeClock) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with (
            opened(sqlite_url, clock, SYNC_HTTP_ADDRESS=address) as app,
            pytest.raises(ConfigError, match=f"SYNC_HTTP_ADDRESS: cannot listen on {address}"),
            served(app, alive=lambda: True),
        ):
            pytest.fail("it listens where somebody else does")


@pytest.mark.parametrize(
    ("host", "own"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)]
)
def test_it_knows_what_only_this_machine_can_reach(host: str, own: bool) -> None:
    assert is_loopback(host) is own
