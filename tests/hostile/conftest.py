"""Worlds for the hostile suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import DATABASES
from tests.databases import PostgresDatabases
from tests.hostile.worlds import Fresh, fresh_postgres, fresh_sqlite


@pytest.fixture(scope="session")
def fresh(sqlite_template: Path) -> Fresh:
    """Opens a world on SQLite for each example."""
    return fresh_sqlite(sqlite_template)


@pytest.fixture(params=DATABASES)
def fresh_on_each(request: pytest.FixtureRequest, sqlite_template: Path) -> Fresh:
    """Opens a world for each example, on both kinds of database."""
    if request.param == "sqlite":
        return fresh_sqlite(sqlite_template)
    databases: PostgresDatabases = request.getfixturevalue("postgres")
    return fresh_postgres(databases)
