"""Make the ledger append-only in the database itself.

The program only ever appends, but people have SQL too. What the books were told stays told: a correction is a reversal
and a new original. The triggers refuse with an integrity error on both databases.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None

MESSAGE = "ledger_entries is append-only: an entry is reversed by a new one, never changed or removed"

# INSERT OR REPLACE deletes without firing delete triggers, hence the third one. An id that SQLite is to choose reads as
# -1 in it, and an ordinary append stops at the two comparisons.
SQLITE = f"""
create trigger ledger_entries_no_update before update on ledger_entries
begin select raise(abort, '{MESSAGE}'); end;

create trigger ledger_entries_no_delete before delete on ledger_entries
begin select raise(abort, '{MESSAGE}'); end;

create trigger ledger_entries_no_replace before insert on ledger_entries
when (new.id > 0 and exists (select 1 from ledger_entries where id = new.id))
    or (new.reverses_id is not null and exists (select 1 from ledger_entries where reverses_id = new.reverses_id))
begin select raise(abort, '{MESSAGE}'); end
"""

POSTGRESQL = f"""
create function refuse_ledger_change() returns trigger language plpgsql as $$
begin
    raise exception using errcode = 'integrity_constraint_violation', message = '{MESSAGE}';
end $$;

create trigger ledger_entries_no_change before update or delete or truncate on ledger_entries
for each statement execute function refuse_ledger_change()
"""


def upgrade() -> None:
    """Create the triggers."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(POSTGRESQL)
        return
    for statement in SQLITE.split("\n\n"):
        op.execute(statement)
