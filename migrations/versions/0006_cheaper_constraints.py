"""Ask less of each new row for the same rules: entries and documents are most of what a backfill writes.

That an entry is reversed once is held by an index of the reversals alone: every original had a place in it, too. Which
systems and kinds there are is said with `=` and `or`: for `in` SQLite builds a table and looks each row up there.

SQLite cannot change a table's rules in place: both tables are written anew, which takes half a minute for a million
rows, and as much room again, which housekeeping gives back.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

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
        op.execute("pragma legacy_alter_table = on")  # renaming leaves the views as they are
        op.execute("pragma secure_delete = off")  # or every page of the old tables is kept in memory, to be zeroed
        _write_anew("documents", {})
        _write_anew("ledger_entries", {f", \n\tCONSTRAINT {UNIQUE} UNIQUE (reverses_id)": ""})
    where = text("reverses_id is not null")
    op.create_index(UNIQUE, "ledger_entries", ["reverses_id"], unique=True, sqlite_where=where, postgresql_where=where)


def _as_or(column: str, values: tuple[str, ...]) -> str:
    return " or ".join(f"{column} = '{value}'" for value in values)


def _write_anew(table: str, changes: dict[str, str]) -> None:
    """Make a table again with other rules; its rows, indexes and triggers stay, and the views name it as before."""
    conn = op.get_bind()
    for (of, column), values in CHECKS.items():
        if of == table:
            changes[f"{column} in {values!r}"] = _as_or(column, values)
    query = text("select type, sql from sqlite_schema where tbl_name = :table and sql is not null")
    found = [(type_, sql) for type_, sql in conn.execute(query, {"table": table})]
    [made] = [sql for type_, sql in found if type_ == "table"]
    for old, new in changes.items():
        if made.count(old) != 1:
            raise RuntimeError(f"{table} is not the table that 0001 made: it lacks {old!r}")
        made = made.replace(old, new)
    op.execute(made.replace(f"{table} (", f"new_{table} ("))  # and what it says of itself in a foreign key
    op.execute(f"insert into new_{table} select * from {table} order by id")
    op.execute(f"drop table {table}")
    op.execute(f"alter table new_{table} rename to {table}")
    for type_, sql in found:
        if type_ in ("index", "trigger"):
            op.execute(sql)
