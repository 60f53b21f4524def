"""The program as processes: started, killed, refused, asked to stop."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from sync.sandbox.server import Sandbox
from tests.e2e.world import MAIN, World, quiet_world


def start(world: World, *arguments: str, **more: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MPW_", "SYNC_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "sync", *arguments],
        env=environment | world.environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], *, timeout: float = 60) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def run(world: World, *arguments: str, **more: str) -> tuple[int, str, str]:
    return finish(start(world, *arguments, **more))


def wait_until(condition: object, *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if callable(condition) and condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    with quiet_world(database_url) as made:
        yield made


FAST = {"SYNC_POLL_MOVEMENTS_SECONDS": "0.3", "SYNC_POLL_RECENT_SECONDS": "0.5", "SYNC_POLL_ORDERS_SECONDS": "1"}


def test_the_daemon_does_the_work_and_ends_with_zero_on_sigterm(world: World) -> None:
    daemon = start(world, "run", **FAST)
    try:
        world.sandbox.mpservices.person_moves("Inbound", "P-1", 7, "11.5")
        wait_until(lambda: world.sandbox.mpw.stock("P-1", MAIN) == 107)
        world.sandbox.mpw.person_receives("P-1", MAIN, 5, "11", world.sandbox.mpw.today())
        wait_until(lambda: world.sandbox.mpservices.stock("P-1") == 112)
    finally:
        daemon.send_signal(signal.SIGTERM)
    code, out, err = finish(daemon)

    assert code == 0, err
    assert out == ""
    assert world.sandbox.password not in err
    assert world.sandbox.token not in err
    assert world.writes().count("mpw.post_receipt") == 1


def test_a_second_daemon_on_one_sqlite_file_is_refused_with_75(sqlite_url: str) -> None:
    with quiet_world(sqlite_url) as world:
        first = start(world, "run", **FAST)
        try:
            wait_until(lambda: world.sandbox.requests.of("mpw.receipts"))
            second, _, err = run(world, "run")
            once, _, _ = run(world, "once")
        finally:
            first.send_signal(signal.SIGTERM)
            assert finish(first)[0] == 0

    assert second == 75
    assert once == 75
    assert "error:" in err


def test_a_killed_daemon_is_followed_at_once_and_nothing_is_doubled(world: World) -> None:
    world.sandbox.faults.add(endpoint="mpw.post_receipt", kind="slow", times=1, seconds=1.0)
    world.sandbox.mpservices.person_moves("Inbound", "P-1", 7, "11.5")
    daemon = start(world, "run", **FAST)
    wait_until(lambda: world.sandbox.requests.of("mpw.post_receipt"))
    daemon.kill()
    finish(daemon)

    follower = start(world, "run", **FAST)
    try:
        wait_until(lambda: world.view("v_outbox", operation="post_receipt", state="done"), seconds=60)
    finally:
        follower.send_signal(signal.SIGTERM)
        finish(follower)

    assert world.sandbox.mpw.stock("P-1", MAIN) == 107
    assert not world.view("v_outbox", state=["sending", "unknown"])


def test_a_backfill_killed_at_any_point_goes_on_where_it_was(database_url: str) -> None:
    with Sandbox(seed=3, days=40) as sandbox:
        world = World(sandbox, database_url, extra={"MPW_CONCURRENCY": "1"})
        today = sandbox.mpw.today()
        days = ("--from", str(today - timedelta(days=39)), "--to", str(today))
        chance = random.Random(5)
        for _ in range(4):
            process = start(world, "backfill", *days, "--source", "mpw.receipts", "--source", "mpw.issuances")
            time.sleep(0.5 + chance.random() * 1.5)
            process.kill()
            finish(process)

        code, out, err = run(
            world, "backfill", *days, "--source", "mpw.receipts", "--source", "mpw.issuances", "--json"
        )

        assert code == 0, err
        assert json.loads(out)["failed"] == []
        [ledger] = world.query(
            "select count(*) as n, count(distinct remote_id) as d from v_ledger where system = 'mpw'"
            " and kind = 'receipt' and entry_type = 'original'"
        )
        listed = [r for r in sandbox.mpw.receipt_by_id.values() if today - timedelta(days=39) <= r.created_on <= today]
        assert ledger["n"] == ledger["d"] == len(listed)


def test_once_reports_one_json_object_and_exit_zero(world: World) -> None:
    world.sandbox.mpservices.person_moves("Inbound", "P-1", 7, "11.5")

    code, out, err = run(world, "once", "--json")

    assert code == 0, err
    assert json.loads(out)["pushed"] >= 1


def test_once_names_on_stderr_what_needs_a_person_and_exits_one(world: World) -> None:
    world.sandbox.mpservices.add_product("STRANGE", stock=0, cost="1")
    world.sandbox.mpservices.person_moves("Inbound", "STRANGE", 2, "1")

    code, _, err = run(world, "once")

    assert code == 1
    assert "unknown_part" in err


@pytest.mark.parametrize(
    ("name", "value"),
    [("SYNC_ROUTE_RECEIPTS", "yes"), ("MPW_TIMEZONE", "Mars/Base"), ("SYNC_VOID_MAX_RATIO", "3"), ("MPW_PASSWORD", "")],
)
def test_a_wrong_setting_stops_before_anything_starts(tmp_path: Path, name: str, value: str) -> None:
    with quiet_world(f"sqlite:///{tmp_path / 'none.db'}") as world:
        code, out, err = run(world, "once", **{name: value})

        assert code == 2
        assert name in err
        assert out == ""
        assert not (tmp_path / "none.db").exists()
        assert world.sandbox.requests.all() == []
