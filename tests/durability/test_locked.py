"""Another program keeps the database locked for longer than we wait: said, nothing lost, and then it goes on."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from tests.databases import url_text
from tests.e2e.test_processes import FAST, finish, start, wait_until
from tests.e2e.world import MAIN, World, quiet_world

LOCKED_SECONDS = 3
"""Several times what the program waits for a lock in these tests, and several rounds of its work."""

IMPATIENT = """
import sys
from sync.database.engine import Store
Store.__init__.__kwdefaults__["busy_timeout_seconds"] = 0.4
from sync.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
"""The program, but with a wait that a test has the time for."""


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    with quiet_world(database_url) as made:
        yield made


def impatient(world: World, *arguments: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MPW_", "SYNC_"))}
    return subprocess.Popen(
        [sys.executable, "-c", IMPATIENT, *arguments],
        env=environment | world.environment(**FAST),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def locked(world: World) -> Iterator[None]:
    """Hold what every write of ours needs, as a person's forgotten session may."""
    url = make_url(world.database_url)
    if url.get_backend_name() == "sqlite":
        with closing(sqlite3.connect(str(url.database), isolation_level=None)) as conn:
            conn.execute("begin immediate")
            yield
            conn.execute("rollback")
        return
    with psycopg.connect(url_text(url.set(drivername="postgresql"))) as server:
        server.execute("lock table leases, runs, outbox, facts, documents in exclusive mode")
        yield
        server.rollback()


def test_once_and_import_end_with_1_and_say_who_to_look_for(world: World, tmp_path: Path) -> None:
    documents = tmp_path / "receipts.csv"
    documents.write_text(
        "api_key,part_number,warehouse_name,quantity_received,unit_cost,created_on\n"
        f"GR-1,P-2,{MAIN},1,9,{world.sandbox.mpw.today()}\n"
    )
    world.cycle()
    world.sandbox.mpservices.person_moves("Inbound", "P-1", 7, "11.5")

    with locked(world):
        ended = [
            finish(impatient(world, *command))
            for command in (["once"], ["import", str(documents), "--type", "receipt"])
        ]
    written = world.writes()
    after = finish(impatient(world, "once"))

    for code, out, err in ended:
        assert (code, out) == (1, "")
        assert "error: another program keeps the database locked" in err
        assert "hint: find who holds it" in err
        assert "Traceback" not in err
    assert written == []
    assert after[0] == 0, after[2]
    assert world.sandbox.mpw.stock("P-1", MAIN) == 107


def test_the_daemon_outlasts_the_lock_and_sends_each_push_once(world: World) -> None:
    daemon = impatient(world, "run")
    try:
        wait_until(lambda: world.sandbox.requests.of("mpw.receipts"))
        with locked(world):
            world.sandbox.mpservices.person_moves("Inbound", "P-1", 7, "11.5")
            time.sleep(LOCKED_SECONDS)
            written = world.writes()
        wait_until(
            lambda: world.sandbox.mpservices.stock("P-1") == world.sandbox.mpw.stock("P-1", MAIN) == 107, seconds=60
        )
        running = daemon.poll() is None
    finally:
        daemon.send_signal(signal.SIGTERM)
        code, _, err = finish(daemon)

    assert running
    assert code == 0, err
    assert written == []
    assert world.writes().count("mpw.post_receipt") == 1
    assert "another program keeps the database locked" in err
    assert "Traceback" not in err


def test_the_erp_inserts_beside_a_busy_daemon_and_each_document_has_one_effect(sqlite_url: str) -> None:
    """With SQLite's own default wait of five seconds, as any program that connects to the file has."""
    with quiet_world(sqlite_url) as world:
        daemon = start(world, "run", **FAST)
        today = world.sandbox.mpw.today().isoformat()
        try:
            wait_until(lambda: world.sandbox.requests.of("mpw.receipts"))
            with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as erp:
                for n in range(40):
                    payload = {"part_number": f"P-{n % 3 + 1}", "warehouse_name": MAIN, "quantity_received": 1}
                    fields = json.dumps(payload | {"unit_cost": "9", "created_on": today})
                    erp.execute(
                        "insert into inbox (document_type, api_key, payload) values ('receipt', ?, ?)",
                        (f"GR-{n}", fields),
                    )
                    erp.commit()
            wait_until(lambda: world.writes().count("mpw.post_receipt") >= 40, seconds=60)
        finally:
            daemon.send_signal(signal.SIGTERM)
            code, _, err = finish(daemon)

        assert code == 0, err
        assert "locked" not in err
        world.settle()
        assert world.writes().count("mpw.post_receipt") == 40
        assert [world.sandbox.mpw.stock(f"P-{n}", MAIN) for n in (1, 2, 3)] == [114, 113, 113]
        assert {row["state"] for row in world.view("v_inbox")} == {"accepted"}
