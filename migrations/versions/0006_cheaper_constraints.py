"""Ask less of each new row for the same rules: entries and documents are most of what a backfill writes.

That an entry is reversed once is held by an index of the reversals alone: every original had a place in it, too. Which
systems and kinds there are is said with `=` and `or`: for `in` SQLite builds a table and looks each row up there.

SQLite cannot change a table's rules in place: both tables are written anew, which takes half a minute for a million
rows, and twice as much room again until it is done.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import re

from alembic import op
from sqlalchemy import text

revision = "0006"
down_revision: str | None = "0005"
branch_labels: str | None = None
depends_on: str | None = None

UNIQUE = "uq_ledger_entries_reverses_id"
CHECKS = {
    ("documents", "system"): ("mpw", "mpservices", "erp"),
    ("ledger_entries", "system"): ("mpw", "mpservices", "erp"),
    ("ledger_entries", "kind"): ("receipt", "issuance", "transfer", "adjustment"),
}


def upgrade() -> None:
    """Write the rules anew, on SQLite with their tables."""
    if op.get_bind().dialect.name == "postgresql":
        for (table, column), values in CHECKS.items():
            op.drop_constraint(f"ck_{table}_{column}", table)
            op.create_check_constraint(op.f(f"ck_{table}_{column}"), table, _as_or(column, values))
        op.drop_constraint(UNIQUE, "ledger_entries")
    else:
        _write_tables_anew()
    where = text("reverses_id is not null")
    op.create_index(UNIQUE, "ledger_entries", ["reverses_id"], unique=True, sqlite_where=where, postgresql_where=where)


def _as_or(column: str, values: tuple[str, ...]) -> str:
    return " or ".join(f"{column} = '{value}'" for value in values)


def _write_tables_anew() -> None:
    run = op.get_bind().exec_driver_sql
    if run("pragma foreign_keys").scalar():
        raise RuntimeError("foreign keys are on: what refers to the ledger would be deleted with the old table")
    run("pragma legacy_alter_table = on")  # renaming leaves the views, and what refers to the table, as they are
    run("pragma secure_delete = off")  # or every page of the old tables is kept in memory, to be zeroed
    _write_anew("documents")
    _write_anew("ledger_entries")
    run("pragma legacy_alter_table = off")
    for table in ("documents", "ledger_entries"):
        if wrong := run(f"pragma foreign_key_check({table})").all():
            raise RuntimeError(f"{table} would refer to rows that do not exist: {wrong[:5]}")


def _write_anew(table: str) -> None:
    """Make a table again with other rules; its rows, indexes and triggers stay, whoever made them."""
    run = op.get_bind().exec_driver_sql
    found = run(f"select type, sql from sqlite_schema where tbl_name = '{table}' and sql is not null").all()
    [made] = [sql for type_, sql in found if type_ == "table"]
    rules = {rf"\b{re.escape(table)}\b": f"new_{table}"}  # its name, which stands first
    rules |= {
        re.escape(f"{column} in {values!r}"): _as_or(column, values)
        for (of, column), values in CHECKS.items()
        if of == table
    }
    if table == "ledger_entries":
        rules[rf",\s*CONSTRAINT {UNIQUE} UNIQUE \(reverses_id\)"] = ""
    for old, new in rules.items():
        made, times = re.subn(old, new, made, count=1)
        if not times:
            raise RuntimeError(f"{table} is not the table that 0001 made: it lacks {old}")
    columns = ", ".join(f'"{row.name}"' for row in run(f"pragma table_info({table})"))
    run(made)
    run(f"insert into new_{table} ({columns}) select {columns} from {table} order by id")
    run(f"drop table {table}")
    run(f"alter table new_{table} rename to {table}")
    for type_, sql in found:
        if type_ in ("index", "trigger"):
            run(sql)
