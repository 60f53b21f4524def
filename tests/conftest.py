"""Fixtures every suite shares. `database_url` and `store` run a test twice: on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from sync.settings import PREFIXES, TESTS_PREFIX
from tests.clocks import FakeClock
from tests.databases import (
    STATEMENTS_MAX,
    PostgresDatabases,
    PostgresUnavailableError,
    SharedStatements,
    migrated_sqlite,
    quick_folder,
    running_postgres,
)
from tests.loops import sort_into_loops

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from sync.database.engine import Store

DATABASES = ["sqlite", "postgresql"]

# How long an example takes says how busy the machine is.
settings.register_profile("mpsync", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mpsync")


def pytest_configure() -> None:
    """Keep the tests' folders in memory where there is room, unless a person or TMPDIR says where.

    Python's caches are written: some hundred tests start processes of ours, each of which would compile all of it.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if "TMPDIR" not in os.environ:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(quick_folder()))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test its loop, before what was asked for is chosen."""
    sort_into_loops(items)


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_machine() -> Iterator[None]:
    """Take away every setting of the person who runs the tests: none of their systems may be touched."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("DATABASE_URL", *PREFIXES)) and not name.startswith(TESTS_PREFIX):
                patch.delenv(name)
        yield


@pytest.fixture(scope="session", autouse=True)
def _made_once() -> Iterator[None]:
    """Make once what each test would make again, a fifth of its time: compiled statements and scrypt of credentials."""
    from sync.clients.fingerprint import fingerprint
    from sync.clients.mpservices import client as mpservices
    from sync.clients.mpw import client as mpw
    from sync.database import engine

    real, statements, remembered = engine._engine, SharedStatements(STATEMENTS_MAX), cache(fingerprint)

    def with_shared_statements(*given: Any) -> Engine:
        made = real(*given)
        made._compiled_cache = statements
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "_engine", with_shared_statements)
        patch.setattr(mpw, "fingerprint", remembered)
        patch.setattr(mpservices, "fingerprint", remembered)
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresDatabases]:
    """One server for the session. Where none starts, its tests are skipped; with CI set they fail."""
    try:
        with running_postgres() as server:
            databases = PostgresDatabases(server, _upgrade)
            yield databases
            databases.close()
    except PostgresUnavailableError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file; copied, never opened."""
    return migrated_sqlite(tmp_path_factory.mktemp("template") / "mpsync.db", _upgrade)


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A migrated SQLite database of the test's own."""
    path = tmp_path / "mpsync.db"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(postgres: PostgresDatabases) -> Iterator[str]:
    """A migrated PostgreSQL database of the test's own."""
    with postgres.migrated() as url:
        yield url


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    """A SQLite database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'empty.db'}"


@pytest.fixture
def empty_postgres_url(postgres: PostgresDatabases) -> Iterator[str]:
    """A PostgreSQL database without a table."""
    with postgres.empty() as url:
        yield url


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest) -> str:
    """A migrated database of the test's own, on each kind."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture(params=DATABASES)
def empty_database_url(request: pytest.FixtureRequest) -> str:
    """A database without a table, on each kind: for tests of the migrations themselves."""
    url: str = request.getfixturevalue("empty_sqlite_url" if request.param == "sqlite" else "empty_postgres_url")
    return url


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """An open store on each kind of database."""
    yield from _opened(database_url)


@pytest.fixture
def sqlite_store(sqlite_url: str) -> Iterator[Store]:
    """An open store on SQLite only, for tests that are not about the database."""
    yield from _opened(sqlite_url)


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still until the test moves it."""
    return FakeClock()


def _opened(url: str) -> Iterator[Store]:
    from sync.database.engine import Store

    opened = Store(url)
    try:
        yield opened
    finally:
        opened.close()


def _upgrade(url: str) -> None:
    from sync.database.migrate import upgrade

    upgrade(url)
