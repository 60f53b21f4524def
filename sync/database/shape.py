"""Whether a database has all that this program's migrations make: tables and columns, views, indexes, triggers.

The revision in alembic_version says what was made once; what is there is looked at here. The migrations themselves are
the pattern: they are run on an empty database in memory, so no list of names can fall behind them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import Connection, StaticPool, create_engine, event, inspect, text
from sqlalchemy.exc import NoSuchTableError, OperationalError, ProgrammingError

from sync.database.migrate import run_migrations
from sync.errors import StoreError

Kind = Literal["table", "column", "view", "index", "trigger"]

POSTGRESQL_TRIGGERS = (
    ("ledger_entries", "ledger_entries_no_change"),
    ("journal_entries", "journal_entries_no_change"),
    ("attempts", "attempts_tallied"),
    ("outbox", "outbox_tallied"),
    ("runs", "runs_tallied"),
)
"""What stands on PostgreSQL for SQLite's triggers; a test holds it to the migrations."""

SCRATCH = "mpsync_pattern"
"""A schema of PostgreSQL that is made and taken away within one transaction: nobody else ever sees it."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Something of the schema that is not there, or not as it should be (`wrong`). `of`: its table or view."""

    kind: Kind
    name: str
    of: str
    wrong: str = ""

    @property
    def holds_rows(self) -> bool:
        """Whether rows went with it: it cannot be made again with what it held."""
        return self.kind in ("table", "column")

    @property
    def do(self) -> str:
        """What a person should do."""
        if self.holds_rows:
            return "stop mpsync, and put the database back from a backup (docs/upgrade.md)"
        return "run `mpsync db upgrade`, which makes it again"

    def __str__(self) -> str:
        """Return it as a person says it."""
        said = f"{self.kind} {self.name}" if self.name == self.of else f"{self.kind} {self.name} of {self.of}"
        return f"{said} ({self.wrong})" if self.wrong else said


@dataclass(frozen=True, slots=True)
class Shape:
    """What a database has: columns by table and view; (unique, columns) by table and index; table by trigger."""

    tables: Mapping[str, Sequence[str]]
    views: Mapping[str, Sequence[str]]
    indexes: Mapping[tuple[str, str], tuple[bool, tuple[str, ...]]]
    triggers: Mapping[str, str]
    definitions: Mapping[str, str]
    """The statement that makes each view, index and trigger (SQLite only)."""


def missing(conn: Connection) -> list[Missing]:
    """Return what a database of this program's schema lacks; empty: it has all. Only reads."""
    wanted = _pattern()
    tables, views = _columns(conn, wanted.tables), _columns(conn, wanted.views)
    found: list[Missing] = []
    for name, columns in wanted.tables.items():
        if name not in tables:
            found.append(Missing("table", name, name))
            continue
        found += [Missing("column", column, name) for column in columns if column not in tables[name]]
    for name, columns in wanted.views.items():
        if name not in views:
            found.append(Missing("view", name, name))
        elif lacking := [column for column in columns if column not in views[name]]:
            found.append(Missing("view", name, name, f"it lacks {', '.join(lacking)}"))
        elif not _answers(conn, name):
            found.append(Missing("view", name, name, "it cannot be read"))
    indexes = _indexes(conn, [name for name in wanted.tables if name in tables])
    for (table, name), how in wanted.indexes.items():
        if table in tables and indexes.get((table, name)) != how:
            there = (table, name) in indexes
            found.append(Missing("index", name, table, "it is another one" if there else ""))
    return found + [one for one in _lacking_triggers(conn, wanted) if one.of in tables]


def mend(conn: Connection) -> list[Missing]:
    """Make again the views, indexes and triggers that are missing; return them. Nothing where rows went with them.

    Call it in a transaction of one's own. Raises StoreError where tables or columns are missing, since what they held
    only a backup has.
    """
    lacking = missing(conn)
    gone = [one for one in lacking if one.holds_rows]
    if gone:
        raise StoreError(
            f"the database lacks {', '.join(map(str, gone))}: what they held is gone from it, and nothing was changed",
            hint=gone[0].do,
        )
    if not lacking:
        return []
    made = _pattern().definitions if conn.dialect.name == "sqlite" else _statements_on_postgresql(conn)
    for one in sorted(lacking, key=lambda missing: missing.kind == "view"):  # a view may read what others hold
        if one.wrong:
            conn.execute(text(f"drop {one.kind} if exists {one.name}" + _of_table(conn, one)))
        conn.exec_driver_sql(made[one.name])
    if left := missing(conn):
        raise StoreError(
            f"the database still lacks {', '.join(map(str, left))}, and nothing was changed",
            hint="put it back from a backup (docs/upgrade.md)",
        )
    return lacking


def lacks_tables(conn: Connection) -> list[Missing]:
    """Return the tables and columns of this program's schema that are not there."""
    return [one for one in missing(conn) if one.holds_rows]


# --- what is wanted ------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _pattern() -> Shape:
    """Return what the migrations make of an empty database."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    try:
        with engine.connect() as conn, conn.begin():
            run_migrations(conn)
            rows = conn.exec_driver_sql("select type, name, tbl_name, sql from sqlite_master").all()
            tables = [row.name for row in rows if row.type == "table" and not row.name.startswith("sqlite_")]
            tables = [name for name in tables if name != "alembic_version"]
            views = [row.name for row in rows if row.type == "view"]
            return Shape(
                tables=_columns(conn, tables),
                views=_columns(conn, views),
                indexes=_indexes(conn, tables),
                triggers={row.name: row.tbl_name for row in rows if row.type == "trigger"},
                definitions={row.name: row.sql for row in rows if row.sql is not None},
            )
    finally:
        engine.dispose()


def _statements_on_postgresql(conn: Connection) -> dict[str, str]:
    """Return the statement that makes each view, index and trigger, by name: the last one that the migrations run."""
    made: dict[str, str] = {}

    def note(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        for name in _MAKES.findall(statement):
            made[name] = re.sub(r"\bcreate function\b", "create or replace function", statement, flags=re.I)

    pattern = conn.begin_nested()
    try:
        conn.execute(text(f"create schema {SCRATCH}"))
        conn.execute(text(f"set local search_path = {SCRATCH}"))
        event.listen(conn, "before_cursor_execute", note)
        try:
            run_migrations(conn)
        finally:
            event.remove(conn, "before_cursor_execute", note)
    except ProgrammingError as error:
        pattern.rollback()
        raise StoreError(
            f"what is missing could not be made again: {str(error.orig).splitlines()[0]}",
            hint="let the database's owner run `mpsync db upgrade`, or grant create on the database to this role",
        ) from error
    pattern.rollback()  # the search path goes back with it
    return made


_MAKES = re.compile(r"\bcreate\s+(?:or\s+replace\s+)?(?:unique\s+)?(?:view|index|trigger)\s+\"?(\w+)\"?", re.I)


# --- what is there -------------------------------------------------------------------------


def _columns(conn: Connection, names: Iterator[str] | Sequence[str] | Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the columns of those of these tables or views that are there."""
    found: dict[str, list[str]] = {}
    looked = inspect(conn)
    there = {*looked.get_table_names(), *looked.get_view_names()}
    for name in names:
        if name not in there:
            continue
        try:
            found[name] = [column["name"] for column in looked.get_columns(name)]
        except (NoSuchTableError, OperationalError) as error:  # SQLite: a view whose table is gone has none
            if isinstance(error, OperationalError) and "no such" not in str(error.orig):
                raise
            found[name] = []
    return found


def _answers(conn: Connection, view: str) -> bool:
    """Tell whether a view can be read: on SQLite what it reads from may be gone."""
    try:
        with conn.begin_nested():
            conn.execute(text(f"select * from {view} where 1 = 0"))  # noqa: S608 - the migrations' own names
    except ProgrammingError:  # PostgreSQL
        return False
    except OperationalError as error:  # SQLite, whose word for a locked file is of the same class
        if "no such" not in str(error.orig):
            raise
        return False
    return True


def _indexes(conn: Connection, tables: Sequence[str]) -> dict[tuple[str, str], tuple[bool, tuple[str, ...]]]:
    looked = inspect(conn)
    return {
        (table, str(index["name"])): (bool(index["unique"]), tuple(str(name) for name in index["column_names"]))
        for table in tables
        for index in looked.get_indexes(table)
    }


def _lacking_triggers(conn: Connection, wanted: Shape) -> list[Missing]:
    if conn.dialect.name == "sqlite":
        query = text("select name from sqlite_master where type = 'trigger'")
        there = set(conn.execute(query).scalars())
        return [Missing("trigger", name, table) for name, table in wanted.triggers.items() if name not in there]
    query = text(
        "select t.tgname, t.tgenabled::text as tgenabled from pg_trigger t where not t.tgisinternal"
        " and t.tgrelid = to_regclass(:table)"
    )
    lacking = []
    for table, name in POSTGRESQL_TRIGGERS:
        enabled = {row.tgname: row.tgenabled for row in conn.execute(query, {"table": table})}
        if name not in enabled:
            lacking.append(Missing("trigger", name, table))
        elif enabled[name] not in ("O", "A"):
            lacking.append(Missing("trigger", name, table, "it is switched off"))
    return lacking


def _of_table(conn: Connection, one: Missing) -> str:
    return f" on {one.of}" if one.kind == "trigger" and conn.dialect.name == "postgresql" else ""
