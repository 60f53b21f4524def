"""The engine: one writer at a time loses nothing, readers are in nobody's way, the file is private."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import insert, make_url, select, text
from sqlalchemy.exc import IntegrityError, OperationalError

from sync.database.engine import SILENT_LINK, Store, lock_appends
from sync.database.facts import fact
from sync.database.schema import attempts, facts
from sync.ledger.books import Books
from sync.work.lead import LASTS
from tests.clocks import START


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "private.db"


@pytest.fixture
def new_store(path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{path}")
    yield store
    store.close()


def test_concurrent_read_modify_writes_on_sqlite_lose_nothing(sqlite_store: Store) -> None:
    with sqlite_store.write() as conn:
        Books(conn, now=START).note_fact("counter", "0")

    def increment(_n: int) -> None:
        with sqlite_store.write() as conn:
            value = fact(conn, "counter")
            assert value is not None
            Books(conn, now=START).note_fact("counter", str(int(value) + 1))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(increment, range(120)))

    with sqlite_store.read() as conn:
        assert fact(conn, "counter") == "120"


def test_a_reader_neither_blocks_a_writer_nor_sees_half_of_it(store: Store) -> None:
    with store.read() as reader:
        before = fact(reader, "f")
        with store.write() as writer:
            Books(writer, now=START).note_fact("f", "new")
            during = fact(reader, "f")

    with store.read() as conn:
        after = fact(conn, "f")
    assert (before, during, after) == (None, None, "new")


def test_an_open_writer_does_not_block_readers(store: Store) -> None:
    with store.write() as writer:
        Books(writer, now=START).note_fact("f", "new")
        with store.read() as reader:
            assert fact(reader, "f") is None


def test_a_second_writer_on_sqlite_waits_for_the_first(sqlite_store: Store) -> None:
    order: list[str] = []
    entered, release = threading.Event(), threading.Event()

    def first() -> None:
        with sqlite_store.write():
            entered.set()
            release.wait(10)
            order.append("first")

    def second() -> None:
        entered.wait(10)
        with sqlite_store.write():
            order.append("second")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    for thread in threads:
        thread.start()
    entered.wait(10)
    release.set()
    for thread in threads:
        thread.join(10)

    assert order == ["first", "second"]


def test_a_writer_that_waits_too_long_gives_up(sqlite_url: str, sqlite_store: Store) -> None:
    impatient = Store(sqlite_url, busy_timeout_seconds=0.05)

    with sqlite_store.write(), pytest.raises(OperationalError, match="locked"), impatient.write():
        pytest.fail("two writers at once")

    impatient.close()


def test_an_exception_takes_everything_back(store: Store) -> None:
    def fail_half_way() -> None:
        with store.write() as conn:
            Books(conn, now=START).note_fact("f", "half")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way()

    with store.read() as conn:
        assert fact(conn, "f") is None


def test_what_is_written_while_reading_is_not_kept(store: Store) -> None:
    with store.read() as conn:
        conn.execute(insert(facts).values(name="f", value="v", updated_at=START))

    with store.read() as conn:
        assert conn.execute(select(facts)).all() == []


def test_foreign_keys_hold_on_both_databases(store: Store) -> None:
    with pytest.raises(IntegrityError), store.write() as conn:
        conn.execute(insert(attempts).values(outbox_id=404, n=1, fence=1, started_at=START))


def test_sqlite_survives_a_power_cut(sqlite_store: Store) -> None:
    with sqlite_store.read() as conn:
        assert conn.execute(text("pragma journal_mode")).scalar() == "wal"
        assert conn.execute(text("pragma synchronous")).scalar() == 2  # FULL


def test_the_file_and_its_write_ahead_log_are_readable_by_their_owner_only(new_store: Store, path: Path) -> None:
    with new_store.write() as conn:
        conn.exec_driver_sql("create table t (n integer)")
        modes = {name: _mode(path.with_name(path.name + name)) for name in ("", "-wal", "-shm")}

    assert modes == {"": 0o600, "-wal": 0o600, "-shm": 0o600}


def test_a_file_that_exists_keeps_the_mode_its_owner_gave_it(tmp_path: Path) -> None:
    path = tmp_path / "shared.db"
    path.touch()
    path.chmod(0o640)

    store = Store(f"sqlite:///{path}")
    with store.write() as conn:
        conn.exec_driver_sql("create table t (n integer)")
    store.close()

    assert _mode(path) == 0o640


def test_appends_to_the_ledger_wait_for_each_other(store: Store) -> None:
    order: list[str] = []
    entered, release = threading.Event(), threading.Event()

    def append(name: str, wait_for: threading.Event | None) -> None:
        with store.write() as conn:
            lock_appends(conn)
            entered.set()
            if wait_for is not None:
                wait_for.wait(10)
            order.append(name)

    first = threading.Thread(target=append, args=("first", release))
    first.start()
    assert entered.wait(10)
    second = threading.Thread(target=append, args=("second", None))
    second.start()
    second.join(0.2)
    waited = second.is_alive() and order == []
    release.set()
    first.join(10)
    second.join(10)

    assert waited
    assert order == ["first", "second"]


def test_a_link_to_postgresql_that_went_silent_is_given_up_within_a_leaders_lease(postgres_url: str) -> None:
    store = Store(postgres_url)

    with store.read() as conn:
        told = conn.connection.dbapi_connection.info.get_parameters()  # type: ignore[union-attr]

    store.close()
    assert {name: told.get(name) for name in SILENT_LINK} == {name: str(value) for name, value in SILENT_LINK.items()}
    probes = SILENT_LINK["keepalives_idle"] + SILENT_LINK["keepalives_interval"] * SILENT_LINK["keepalives_count"]
    assert probes <= LASTS.total_seconds()
    assert SILENT_LINK["tcp_user_timeout"] / 1000 <= LASTS.total_seconds()
    assert "lock_timeout" in told["options"]


def test_what_database_url_says_of_the_link_holds(postgres_url: str) -> None:
    url = make_url(postgres_url).update_query_dict({"keepalives_idle": "60", "connect_timeout": "3"})
    store = Store(url.render_as_string(hide_password=False))

    with store.read() as conn:
        told = conn.connection.dbapi_connection.info.get_parameters()  # type: ignore[union-attr]

    store.close()
    assert (told["keepalives_idle"], told["connect_timeout"]) == ("60", "3")
    assert told["keepalives_interval"] == str(SILENT_LINK["keepalives_interval"])
