"""The daemon as a process serves the site, tells its health, and forgets what is old."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from sync.database.engine import Store
from sync.database.facts import fact
from sync.jobs.retention import PRUNED_AT
from tests.e2e.test_processes import FAST, finish, run, start, wait_until
from tests.e2e.world import World, quiet_world


@pytest.fixture
def world(sqlite_url: str) -> Iterator[World]:
    with quiet_world(sqlite_url) as made:
        yield made


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def asked(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def ended(daemon: subprocess.Popen[str]) -> tuple[int, str, str]:
    daemon.send_signal(signal.SIGTERM)
    return finish(daemon)


def test_a_running_daemon_is_ready_healthy_leads_and_shows_what_it_does(world: World) -> None:
    port = free_port()
    daemon = start(world, "run", SYNC_HTTP_ADDRESS=f"127.0.0.1:{port}", **FAST)
    try:
        wait_until(lambda: asked(port, "/readyz")[0] == 200, seconds=60)
        assert asked(port, "/healthz") == (200, json.dumps({"status": "ok"}))
        wait_until(lambda: run(world, "healthcheck")[0] == 0, seconds=60)
        wait_until(lambda: 'mpsync_runs_total{flow="poll.mpservices.movements"' in asked(port, "/metrics")[1])
        figures = asked(port, "/metrics")[1]
        page = asked(port, "/")[1]
    finally:
        code, out, err = ended(daemon)

    assert "mpsync_leader 1.0" in figures
    assert 'mpsync_request_seconds_count{endpoint="movements",vendor="mpservices"}' in figures
    assert "mpw.receipts" in page
    assert (code, out) == (0, ""), err
    assert asked(port, "/healthz") == (0, "")


def test_once_forgets_what_is_old_and_says_nothing_of_it_on_stdout(world: World) -> None:
    code, _, err = run(world, "once")
    store = Store(world.database_url)
    with store.read() as conn:
        at = fact(conn, PRUNED_AT)
    store.close()

    assert code == 0, err
    assert at is not None
    assert datetime.now(UTC) - datetime.fromisoformat(at) < timedelta(minutes=1)


def test_a_daemon_that_cannot_listen_says_so_and_does_not_start(world: World) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, _, err = run(world, "run", SYNC_HTTP_ADDRESS=f"127.0.0.1:{taken.getsockname()[1]}")

    assert code == 2
    assert "SYNC_HTTP_ADDRESS: cannot listen" in err
    assert world.writes() == []
