"""The daemon killed under load. The long form: `python -m tests.crash.kills --kills 50`."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import text

from sync.sandbox.server import Sandbox
from tests.crash.kills import Moment, moments, run
from tests.crash.people import MAIN
from tests.crash.postgres import PostgresServer
from tests.crash.station import Station

KILLS = 5


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database on each kind: the first daemons are killed while they create the schema."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'mpsync.db'}"
    server: PostgresServer = request.getfixturevalue("server")
    return server.create_database("mpsync")


def test_every_event_has_its_one_effect_after_five_kills_under_load(database_url: str, tmp_path: Path) -> None:
    station = Station(Sandbox(populate=False), database_url, tmp_path, seed=1)
    try:
        findings = run(station, moments(Random(1), KILLS), pause_seconds=0.3)

        assert findings.fine, findings.details()
        assert findings.effects == findings.events > 5
        assert sum(daemon.process.returncode == -9 for daemon in station.daemons) == KILLS
    finally:
        station.close()


def test_the_moments_of_a_seed_are_the_same_again_and_mostly_around_writes() -> None:
    drawn = moments(Random(7), 200)

    assert drawn == moments(Random(7), 200)
    assert sum(moment.write is not None for moment in drawn) > 100
    assert Moment(0.0, 1) in drawn


def test_the_books_see_what_is_doubled_lost_or_unsettled(tmp_path: Path, sqlite_url: str) -> None:
    station = Station(Sandbox(populate=False), sqlite_url, tmp_path, seed=1)
    people, mpw = station.people, station.sandbox.mpw
    try:
        assert station.books.examine().fine
        people.begin()
        lost = station.books.examine()
        (key, *_) = (key for _, key in people.expected.movements)
        for number in (1, 2):
            mpw.issue(mpw.parts[MAIN, "P-2"], mpw.today(), Decimal(2), api_key=f"x_s{number}")
        with people._store.write() as conn:
            conn.execute(text("insert into inbox (document_type, api_key, payload) values ('receipt', 'k', '{}')"))
        broken = station.books.examine()

        assert len(lost.lost) == lost.events == 5
        assert f"receipt {key}: 0 of 1" in lost.lost
        assert broken.doubled == ["issuance x is nobody's"]
        assert any(what.startswith("inbox receipt k is received") for what in broken.unsettled)
        assert any(what.startswith("stock of P-1") for what in broken.unsettled)
        assert any(what.startswith("ledger of mpw issuance") for what in broken.unsettled)
    finally:
        station.close()
