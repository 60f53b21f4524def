"""PostgreSQL restarted, and its connections cut in mid-transaction. The long forms: `python -m tests.crash.cuts` and
`python -m tests.crash.commits`."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from random import Random

import psycopg
import pytest

from tests.crash.commits import FATES, desk, lose_each
from tests.crash.cuts import Trouble
from tests.crash.postgres import PostgresServer
from tests.crash.proxy import COMMIT_ANSWER_LOST, COMMIT_LOST_BEFORE, HOST, PASS, STARTUP, Messages, Proxy, is_commit

COMMITS_OF_A_CYCLE = 60
"""Fewer than a cycle with one of each event makes: every position drawn below is met."""


@pytest.fixture
def proxy(server: PostgresServer) -> Iterator[Proxy]:
    made = Proxy(server.socket)
    try:
        yield made
    finally:
        made.close()


def connected(proxy: Proxy) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(host=HOST, port=proxy.port, user="sync", dbname="postgres")


@pytest.mark.parametrize(("fate", "rows"), [(COMMIT_LOST_BEFORE, 0), (COMMIT_ANSWER_LOST, 1)])
def test_a_commit_is_lost_before_it_took_effect_or_after_as_the_proxy_was_told(
    proxy: Proxy, fate: str, rows: int
) -> None:
    with connected(proxy) as conn:
        conn.execute("create table seen (i int)")
    proxy.decide = lambda commit: fate if commit else PASS

    with pytest.raises(psycopg.OperationalError), connected(proxy) as conn:
        conn.execute("insert into seen values (1)")

    proxy.decide = lambda _commit: PASS
    with connected(proxy) as conn:
        assert conn.execute("select count(*) from seen").fetchone() == (rows,)
    assert proxy.cuts == {fate: 1}


def test_messages_are_told_apart_wherever_the_network_cuts_them() -> None:
    startup = struct.pack("!II", 16, STARTUP) + b"user\0me\0"
    stream = startup + b"Q" + struct.pack("!I", 11) + b"COMMIT\0" + b"Q" + struct.pack("!I", 10) + b"BEGIN\0"
    for size in (1, 3, len(stream)):
        messages = Messages()

        found = [one for at in range(0, len(stream), size) for one in messages.feed(stream[at : at + size])]

        assert [kind for kind, _ in found] == [b"", b"Q", b"Q"]
        assert [is_commit(kind, content) for kind, content in found] == [False, True, False]


@pytest.mark.parametrize("each", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_a_lost_commit_leaves_every_event_its_one_effect(server: PostgresServer, each: int) -> None:
    chance = Random(3)
    positions = [(chance.randint(1, COMMITS_OF_A_CYCLE), fate) for fate in FATES for _ in range(each)]

    with desk(server) as made:
        lost = lose_each(made, positions)

        assert lost == len(positions)
        assert made.books.examine().fine


@pytest.mark.parametrize(
    "troubles",
    [
        ("restart_immediate", "cut_all"),
        pytest.param(("restart_immediate", "terminate", "restart_fast", "cut_all"), marks=pytest.mark.slow),
    ],
)
def test_a_daemon_settles_everything_after_restarts_and_cuts_of_its_database(
    server: PostgresServer, tmp_path: Path, troubles: tuple[str, ...]
) -> None:
    trouble = Trouble(server, seed=2, folder=tmp_path)
    try:
        trouble.begin()
        for happens in troubles:
            trouble.suffer(getattr(trouble, happens))
        findings = trouble.settle()

        assert findings.fine, findings.details()
        assert findings.effects == findings.events > 5
        assert server.restarts == sum(happens.startswith("restart") for happens in troubles)
    finally:
        trouble.close()
