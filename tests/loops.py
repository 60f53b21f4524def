"""Which loop a test belongs to (CONTRIBUTING.md): quick, usual, slow. Where a test lies decides that."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent

ROOMS = {
    *("clients", "database", "docs", "inbox", "jobs", "journal", "learned", "ledger", "log", "outbox", "poll", "push"),
    *("reconcile", "settings", "stock", "values", "work"),
}
"""Folders of which whatever needs no database is quick: it starts no process and no browser."""

DATABASES = {"database_url", "empty_database_url", "empty_sqlite_url", "sqlite_template", "postgres"}
"""The fixtures that open a database."""

ON_BOTH = {
    *(
        "crash",
        "database",
        "durability",
        "e2e",
        "inbox",
        "journal",
        "learned",
        "ledger",
        "migrations",
        "outbox",
        "views",
        "work",
    ),
}
"""Folders whose every test runs on PostgreSQL in the usual loop too: those that are about SQL, locks and processes."""


def sort_into_loops(items: list[pytest.Item]) -> None:
    """Mark what is quick, and what only the slow loop runs: PostgreSQL for what SQLite shows as well."""
    for item in items:
        folder, module = item.path.relative_to(TESTS).parts[0], item.path.stem
        fixtures = set(getattr(item, "fixturenames", ()))
        given = getattr(getattr(item, "callspec", None), "params", {})
        if "postgresql" in (given.get("database_url"), given.get("empty_database_url")):
            if folder not in ON_BOTH and not module.endswith("_rows"):
                item.add_marker(pytest.mark.slow)
        elif folder in ROOMS and fixtures.isdisjoint(DATABASES) and item.get_closest_marker("slow") is None:
            item.add_marker(pytest.mark.quick)
