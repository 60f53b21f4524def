"""`mpsync healthcheck`: 0 while the daemon works, else 1 and why."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta

import pytest

from sync.__main__ import main
from sync.database.engine import Store
from sync.database.facts import HEARTBEAT_AT
from sync.database.facts import beat as heartbeat
from sync.ledger.books import Books


def checked(url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    monkeypatch.setenv("DATABASE_URL", url)
    code = main(["healthcheck"])
    out, err = capsys.readouterr()
    return code, out, err


def beat(url: str, ago: float) -> None:
    store = Store(url)
    at = datetime.now(UTC) - timedelta(seconds=ago)
    with store.write() as conn:
        Books(conn, now=at).note_fact(HEARTBEAT_AT, at.isoformat())
    store.close()


def test_a_fresh_heartbeat_is_health(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    beat(database_url, 5)

    code, out, err = checked(database_url, monkeypatch, capsys)

    assert (code, err) == (0, "")
    assert out.startswith("the daemon's heartbeat is ")


@pytest.mark.parametrize(("ago", "says"), [(75, "restart it"), (-75, "clock")])
def test_an_old_heartbeat_or_one_of_the_future_is_none(
    ago: float, says: str, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    beat(sqlite_url, ago)

    code, out, err = checked(sqlite_url, monkeypatch, capsys)

    assert (code, out) == (1, "")
    assert says in err
    assert len(err.splitlines()) == 1


def test_where_no_daemon_ever_worked_it_says_so(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = checked(sqlite_url, monkeypatch, capsys)

    assert code == 1
    assert "mpsync run" in err


def test_it_makes_no_database(
    empty_sqlite_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pathlib import Path

    code, _, err = checked(empty_sqlite_url, monkeypatch, capsys)

    assert code == 1
    assert "there is no database" in err
    assert not Path(empty_sqlite_url.removeprefix("sqlite:///")).exists()


def test_a_database_that_does_not_answer_is_one_line_and_exit_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = "postgresql+psycopg://u:top-secret@127.0.0.1:9/x"

    code, out, err = checked(url, monkeypatch, capsys)

    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert "top-secret" not in err


def test_a_replica_that_hangs_is_not_answered_for_by_the_other(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = datetime.now(UTC)
    store = Store(database_url)
    with store.write() as conn:
        heartbeat(conn, "replica-a", now=now - timedelta(minutes=5))
        heartbeat(conn, "replica-b", now=now)
    store.close()

    codes = {}
    for host in ("replica-a", "replica-b", "an-operators-desk"):
        monkeypatch.setattr(socket, "gethostname", lambda host=host: host)
        codes[host] = checked(database_url, monkeypatch, capsys)[0]

    assert codes == {"replica-a": 1, "replica-b": 0, "an-operators-desk": 0}
