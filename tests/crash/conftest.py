"""A PostgreSQL server of each test's own: these tests restart it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.crash.postgres import PostgresServer, own_postgres
from tests.databases import PostgresUnavailableError


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """Yield a running server; where none starts, the test is skipped, and with CI set it fails."""
    try:
        with own_postgres() as running:
            yield running
    except PostgresUnavailableError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
