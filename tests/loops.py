"""Which loop a test belongs to (CONTRIBUTING.md): quick, usual, slow. Where a test lies decides that."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

ROOMS = {
    *("clients", "database", "docs", "inbox", "jobs", "learned", "ledger", "log", "outbox", "poll", "push"),
    *("reconcile", "settings", "stock", "values", "work"),
}
"""Folders of which whatever needs no database is quick: it starts no process and no browser."""

DATABASES = {"database_url", "empty_database_url", "empty_sqlite_url", "sqlite_template", "postgres"}
"""The fixtures that open a database."""

ON_BOTH = {"database", "inbox", "learned", "ledger", "migrations", "outbox", "views", "work"}
"""Folders whose every test runs on PostgreSQL in the usual loop too: those that are about SQL and locks."""

ONE_RUN_ON_BOTH = {
    "test_an_inbound_movement_reaches_mpw_once_and_three_more_cycles_write_nothing",
    "test_the_daemon_does_the_work_and_ends_with_zero_on_sigterm",
    "test_the_daemon_outlasts_the_lock_and_sends_each_push_once",
}
"""Of `e2e`, `crash` and `durability`, where a run takes seconds: what runs on PostgreSQL in the usual loop too."""

STANDIN_EACH = 2
"""How many tests of each file of the stand-in are in the usual loop, over a second each; the rest is slow."""

FIRST_CASES = {"stock/test_cycles.py", "stock/test_echoes_settle.py", "reconcile/test_created_products.py"}
"""Of each test here the first case on SQLite is in the usual loop: cycles of the whole program. The rest is slow."""


def sort_into_loops(items: list[pytest.Item]) -> None:
    """Mark what is quick, and what only the slow loop runs: PostgreSQL for what SQLite shows as well."""
    standin, first = defaultdict[Path, set[str]](set), set[str]()
    for item in items:
        folder, module = item.path.relative_to(TESTS).parts[0], item.path.stem
        fixtures = set(getattr(item, "fixturenames", ()))
        given = getattr(getattr(item, "callspec", None), "params", {})
        if "postgresql" in (given.get("database_url"), given.get("empty_database_url")):
            both = folder in ON_BOTH or module.endswith("_rows") or item.name.split("[")[0] in ONE_RUN_ON_BOTH
            if not both:
                item.add_marker(pytest.mark.slow)
        elif folder == "standin":
            standin[item.path].add(item.name.split("[")[0])
            if len(standin[item.path]) > STANDIN_EACH:
                item.add_marker(pytest.mark.slow)
        elif f"{folder}/{item.path.name}" in FIRST_CASES and not fixtures.isdisjoint(DATABASES):
            test = item.nodeid.split("[")[0]
            if test in first:
                item.add_marker(pytest.mark.slow)
            first.add(test)
        elif folder in ROOMS and fixtures.isdisjoint(DATABASES) and not _waits_for_another_loop(item):
            item.add_marker(pytest.mark.quick)


def _waits_for_another_loop(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("usual", "slow"))
