"""Bring a database to the schema of this program, or say how far it is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, inspect, make_url, text

from sync.database.engine import Store
from sync.database.todo import keep_todo_kinds, todo_kinds_are_kept
from sync.errors import SchemaOutdatedError, StoreError

if TYPE_CHECKING:
    from sync.database.shape import Missing

_UPGRADE_LOCK = 0x6D70736D6967  # "mpsmig": one upgrade at a time on PostgreSQL
_UPGRADE_PRAGMAS = {"foreign_keys": "OFF"}
"""To write a table anew its old one is dropped: with foreign keys rows that refer to it would be deleted, too."""
A_TABLE_OF_OURS = "ledger_entries"
LOST = "the database has tables of mpsync, and its alembic_version does not say of which schema"
_ALEMBIC = threading.Lock()
"""Alembic's context belongs to the process, not to the thread."""


@dataclass(frozen=True, slots=True)
class SchemaState:
    """How far a database is: `current` is its revision (None: it names none), `head` this program's.

    `lost`: tables of ours are there, and alembic_version does not say of which revision.
    """

    current: str | None
    head: str
    lost: bool = False

    @property
    def up_to_date(self) -> bool:
        """Whether there is nothing to upgrade."""
        return self.current == self.head


def upgrade(database_url: str, *, progress: Callable[[str], None] | None = None, mends: bool = False) -> None:
    """Bring the database to this program's schema; create it where there is none (SQLite: readable by its owner only).

    All or nothing, safe when several processes start at once, and quick when there is nothing to do. `progress` is told
    each migration that was applied. With `mends` it looks at what is there, too, and makes again what the schema lacks.
    Raises SchemaOutdatedError when the database is newer than this program, or does not say how new it is, and
    StoreError where what is missing held rows.
    """
    progress = progress or (lambda _step: None)
    store = Store(database_url, pragmas=_UPGRADE_PRAGMAS)
    try:
        with store.read() as conn:
            if state_of(conn).up_to_date and not mends and todo_kinds_are_kept(conn):
                return
        with store.write() as conn:
            _wait_for_other_upgrades(conn)
            if mends and state_of(conn).lost:
                _find_again(conn, progress)
            state = state_of(conn)
            if state.lost:
                raise SchemaOutdatedError(LOST, hint="run `mpsync db upgrade`: it looks which schema the tables have")
            if not state.up_to_date:
                run_migrations(conn, progress)
            if mends:
                _mend(conn, progress)
            keep_todo_kinds(conn)
    finally:
        store.close()


def _find_again(conn: Connection, progress: Callable[[str], None]) -> None:
    """Write this program's revision into alembic_version where the tables are its own.

    Raises SchemaOutdatedError where they are not: they are of an older or newer schema, and only its revision tells
    which migrations are due.
    """
    from sync.database.shape import lacks_tables

    head = _revisions()[-1]
    if lacking := lacks_tables(conn):
        raise SchemaOutdatedError(
            f"{LOST}, and they are not those of schema {head}: {', '.join(map(str, lacking[:5]))} missing",
            hint="put the database back from a backup, or write the revision that it had into alembic_version",
        )
    conn.execute(text("create table if not exists alembic_version (version_num varchar(32) not null primary key)"))
    conn.execute(text("delete from alembic_version"))
    conn.execute(text("insert into alembic_version (version_num) values (:head)"), {"head": head})
    progress(f"{head} is the schema of its tables: written into alembic_version again")


def _mend(conn: Connection, progress: Callable[[str], None]) -> None:
    from sync.database.shape import mend

    for one in mend(conn):
        progress(f"made again: {one}")


def check(database_url: str) -> SchemaState:
    """Return how far the database is; creates nothing.

    Raises SchemaOutdatedError when the database is newer than this program.
    """
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        return SchemaState(None, _revisions()[-1])
    store = Store(database_url)
    try:
        with store.read() as conn:
            return state_of(conn)
    finally:
        store.close()


def missing_of(database_url: str) -> list[Missing]:
    """Return what a database lacks of the schema that its revision promises; only reads."""
    from sync.database.shape import missing

    store = Store(database_url)
    try:
        with store.read() as conn:
            return missing(conn)
    finally:
        store.close()


def migrations_folder() -> Path:
    """Return where the migrations are: inside an installed package, or beside it in a checkout."""
    package = Path(str(resources.files("sync")))
    for folder in (package / "_migrations", package.parent / "migrations"):
        if (folder / "env.py").is_file() and (folder / "versions").is_dir():
            return folder
    raise StoreError("the migrations are missing from this installation", hint="install mpsync again")


@lru_cache(maxsize=1)
def _revisions() -> list[str]:
    """Return the known revisions, oldest first, from the file names: loading Alembic takes far longer."""
    return sorted(path.name.partition("_")[0] for path in (migrations_folder() / "versions").glob("[0-9]*.py"))


def state_of(conn: Connection) -> SchemaState:
    """Return how far the database is; raises SchemaOutdatedError when it is newer than this program."""
    known = _revisions()
    current = _current(conn)
    if current is not None and current not in known:
        raise SchemaOutdatedError(
            f"the database has schema {current}; this program knows schemas up to {known[-1]}",
            hint="install the mpsync that made it, or a newer one; or correct DATABASE_URL if it names another"
            " program's database",
        )
    return SchemaState(current, known[-1], lost=current is None and inspect(conn).has_table(A_TABLE_OF_OURS))


def _current(conn: Connection) -> str | None:
    if not inspect(conn).has_table("alembic_version"):
        return None
    revision: str | None = conn.execute(text("select version_num from alembic_version")).scalar()
    return revision


def _wait_for_other_upgrades(conn: Connection) -> None:
    """Be the only upgrade until this transaction ends; SQLite's writer lock does it already.

    PostgreSQL's time limits are for short transactions: an index over a large ledger takes longer.
    """
    if conn.dialect.name == "postgresql":
        conn.execute(text("set local lock_timeout = '10min'"))
        conn.execute(text("set local statement_timeout = 0"))
        conn.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})


def run_migrations(conn: Connection, progress: Callable[[str], None] = lambda _step: None) -> None:
    """Apply the migrations that are due, in the transaction that is open; `progress` is told each."""
    from alembic import command
    from alembic.config import Config

    def applied(*, step: Any, **_rest: Any) -> None:
        progress(f"{step.up_revision_id} {step.up_revision.doc.rstrip('.')}")

    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.attributes["connection"] = conn
    config.attributes["on_version_apply"] = applied
    with _ALEMBIC:
        command.upgrade(config, "head")
