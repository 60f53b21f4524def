"""Two daemons on one PostgreSQL, either killed or frozen. The long form: `python -m tests.crash.pairs --rounds 20`.

A second daemon on one SQLite file: tests/e2e/test_processes.py.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.crash.pairs import Pair, pair_on
from tests.crash.people import MAIN
from tests.crash.postgres import PostgresServer
from tests.crash.station import Daemon, wait_until


@pytest.fixture
def pair(server: PostgresServer, tmp_path: Path) -> Iterator[Pair]:
    made = pair_on(server, seed=5, folder=tmp_path)
    try:
        yield made
    finally:
        made.station.close()


def leader_of(pair: Pair) -> Daemon:
    wait_until(pair.leader, "one of them leads")
    leader = pair.leader()
    assert leader is not None
    return leader


@pytest.mark.slow
def test_nothing_is_doubled_or_lost_while_either_is_killed_or_frozen(pair: Pair) -> None:
    findings = pair.run(rounds=2)

    assert findings.fine, findings.details()
    assert findings.effects == findings.events > 5
    assert sum(pair.done.values()) > 0


def test_a_thawed_daemon_drops_the_result_of_its_call_and_its_lead_and_says_so(pair: Pair) -> None:
    sandbox = pair.station.sandbox
    arrived = threading.Event()
    pair.start()
    sandbox.faults.add("mpw.post_receipt", "slow", 1, seconds=1.0)
    pair.station.requests.on_write = lambda _seen: arrived.set()
    sandbox.mpservices.person_moves("Inbound", "P-1", 7, "11.5")
    assert arrived.wait(30)
    ((outbox_id, fence, caught),) = pair.claimers()
    led = pair.leader() is caught

    pair.freeze_past_its_lease(caught, "caller", (outbox_id, fence))
    wait_until(
        lambda: pair.station.books.query("select 1 from outbox where state = 'done' and id = :id", id=outbox_id),
        "the push is settled",
    )

    wait_until(lambda: caught.says("push.dropped"), "it says that it drops the result")
    assert pair.silent == []
    assert caught.says("push.dropped") == 1
    assert caught.says("leadership.lost") >= led  # a job of it may say so too
    assert sandbox.mpw.stock("P-1", MAIN) == 100_007
    assert len(pair.station.requests.of("mpw.post_receipt")) == 1
    [attempt] = pair.station.books.query("select outcome from v_attempts where outbox_id = :id", id=outbox_id)
    assert attempt["outcome"] == "unknown"


@pytest.mark.slow
def test_a_leader_frozen_in_mid_transaction_is_followed_too(pair: Pair, server: PostgresServer) -> None:
    pair.start()
    frozen = leader_of(pair)
    with psycopg.connect(host=str(server.root), user="sync", dbname="mpsync") as blocker:
        blocker.execute(
            "lock table coverage in access exclusive mode"
        )  # the leader takes its lease row, then waits here
        wait_until(lambda: in_mid_transaction(server, frozen), "the leader waits in mid-transaction")
        frozen.freeze()

    wait_until(lambda: pair.leader() not in (None, frozen), "the other one leads", seconds=40)
    pair.station.sandbox.mpservices.person_moves("Inbound", "P-1", 7, "11.5")
    wait_until(lambda: pair.station.sandbox.mpw.stock("P-1", MAIN) == 100_007, "the other one works")
    frozen.thaw()

    wait_until(lambda: frozen.says("leadership.lost"), "it says that it leads no more")
    assert all(daemon.runs for daemon in pair.daemons)


def in_mid_transaction(server: PostgresServer, daemon: Daemon) -> bool:
    """Tell whether a session that holds the lease row waits for a lock of ours."""
    query = (
        "select count(*) from pg_stat_activity a where a.datname = 'mpsync' and a.wait_event_type = 'Lock'"
        " and exists (select 1 from pg_locks l where l.pid = a.pid and l.granted and l.mode = 'RowShareLock'"
        " and l.relation = 'leases'::regclass)"
    )
    with psycopg.connect(host=str(server.root), user="sync", dbname="mpsync", autocommit=True) as conn:
        return bool(conn.execute(query).fetchone() != (0,)) and daemon.runs
