"""The migrated schema is the declared one, down to the text of every constraint."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, text

from sync.database.engine import Store
from sync.database.schema import metadata

DATABASES = ["sqlite", "postgresql"]
Described = dict[str, Any]
EMPTY = {"sqlite": "empty_sqlite_url", "postgresql": "empty_postgres_url"}
MIGRATED = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}


def _sqlite(conn: Connection) -> Described:
    described: Described = {}
    rows = conn.execute(text("select type, name, sql from sqlite_master where type in ('table', 'index')"))
    for type_, name, sql in rows.all():
        if sql is None or name == "alembic_version":
            continue
        lines = sorted(_parts(sql)) if type_ == "table" else _squeezed(sql)
        described[f"{type_} {name}"] = lines
        if type_ == "table":
            described[f"columns {name}"] = [
                tuple(column)[1:] for column in conn.execute(text(f"pragma table_info('{name}')"))
            ]
    return described


def _parts(sql: str) -> list[str]:
    """Return the columns and constraints of a CREATE TABLE: an added column stands behind the constraints."""
    body, depth, parts = sql[sql.index("(") + 1 : sql.rindex(")")], 0, [""]
    for sign in body:
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return [_squeezed(part) for part in parts]


def _squeezed(sql: str) -> str:
    return re.sub(r"\s+", " ", sql.replace('"', "")).strip()


_POSTGRESQL = {
    "columns": """
        select table_name, column_name, data_type, is_nullable, column_default, character_maximum_length
        from information_schema.columns join information_schema.tables using (table_schema, table_name)
        where table_schema = 'public' and table_type = 'BASE TABLE' and table_name <> 'alembic_version'
        order by table_name, ordinal_position""",
    "constraints": """
        select conrelid::regclass::text, conname, contype::text, pg_get_constraintdef(oid)
        from pg_constraint where connamespace = 'public'::regnamespace and conrelid <> 0
            and conrelid::regclass::text <> 'alembic_version'
        order by 1, 2""",
    "indexes": """
        select tablename, indexname, indexdef from pg_indexes
        where schemaname = 'public' and tablename <> 'alembic_version' order by 1, 2""",
}


def _postgresql(conn: Connection) -> Described:
    return {name: [tuple(row) for row in conn.execute(text(query))] for name, query in _POSTGRESQL.items()}


DESCRIBE: dict[str, Callable[[Connection], Described]] = {"sqlite": _sqlite, "postgresql": _postgresql}


def _describe(url: str, kind: str, *, create: bool = False) -> Described:
    store = Store(url)
    try:
        if create:
            with store.write() as conn:
                metadata.create_all(conn)
        with store.read() as conn:
            return DESCRIBE[kind](conn)
    finally:
        store.close()


def _without_inbox_clock(described: Described) -> Described:
    """Take away the one thing that only the migration gives: the database's clock as inbox.received_at's default."""
    clock = re.compile(r"clock_timestamp\(\)|\(?strftime\('%Y-%m-%dT%H:%M:%f', 'now'\) \|\| '000Z'\)?")

    def cleaned(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [cleaned(part) for part in value]
        if not isinstance(value, str) or not clock.search(value):
            return value
        return clock.sub("", value).replace(" DEFAULT ()", "").replace(" DEFAULT ", "") or None

    return {name: cleaned(value) for name, value in described.items()}


@pytest.mark.parametrize("kind", DATABASES)
def test_the_migrated_schema_equals_the_declared_one(request: pytest.FixtureRequest, kind: str) -> None:
    declared = _describe(request.getfixturevalue(EMPTY[kind]), kind, create=True)

    migrated = _describe(request.getfixturevalue(MIGRATED[kind]), kind)

    assert _without_inbox_clock(migrated) == _without_inbox_clock(declared)


@pytest.mark.parametrize("kind", DATABASES)
def test_the_comparison_sees_every_kind_of_constraint(request: pytest.FixtureRequest, kind: str) -> None:
    described = str(_describe(request.getfixturevalue(MIGRATED[kind]), kind))

    for name in (
        "pk_coverage",
        "fk_attempts_outbox_id",
        "uq_outbox_operation",
        "ck_outbox_done_has_evidence",
        "uq_exceptions_open",
    ):
        assert name in described
    assert "resolved_at is null" in described.lower()
