"""Let /metrics and retention cost the same in the tenth year as in the first.

/metrics counted all tries, all finished pushes and all runs at each scrape, and retention looked at every document,
push and run once a day. Now triggers note each thing that is counted as a row of `tallies`, whoever writes it, and the
leader adds them up once a day. What retention may forget is found by an index that holds nothing else.

A later migration that makes one of these three tables again on SQLite (Alembic's batch mode) makes its triggers again
too.

Revision ID: 0021
Revises: 0020
"""

from __future__ import annotations

import json
from collections import Counter

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision: str | None = "0020"
branch_labels: str | None = None
depends_on: str | None = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
FINISHED = "('done', 'superseded', 'discarded')"
ROWS = ("added", "changed", "voided", "unchanged", "quarantined")

INTO = "insert into tallies (name, label, number)"
ENDED = " ".join(
    f"{INTO} select 'rows', new.flow || '|{name}', new.{name} where new.{name} <> 0;" for name in ROWS
)  # what a run that has just ended did with the rows it saw
SQLITE = f"""
create trigger attempts_tallied_insert after insert on attempts when new.outcome is not null
begin {INTO} values ('attempts', new.outcome, 1); end;

create trigger attempts_tallied_update after update of outcome on attempts when new.outcome is not old.outcome
begin
    {INTO} select 'attempts', old.outcome, -1 where old.outcome is not null;
    {INTO} select 'attempts', new.outcome, 1 where new.outcome is not null;
end;

create trigger outbox_tallied_insert after insert on outbox when new.state in {FINISHED}
begin {INTO} values ('pushes', new.state, 1); end;

create trigger outbox_tallied_update after update of state on outbox
when new.state <> old.state and (new.state in {FINISHED} or old.state in {FINISHED})
begin
    {INTO} select 'pushes', old.state, -1 where old.state in {FINISHED};
    {INTO} select 'pushes', new.state, 1 where new.state in {FINISHED};
end;

create trigger runs_tallied_insert after insert on runs when new.outcome is not null
begin {INTO} values ('runs', new.flow || '|' || new.outcome, 1); {ENDED} end;

create trigger runs_tallied_update after update of outcome on runs when new.outcome is not null and old.outcome is null
begin {INTO} values ('runs', new.flow || '|' || new.outcome, 1); {ENDED} end
"""

POSTGRESQL = (
    f"""
create function tally_attempt() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' then
        if old.outcome is not distinct from new.outcome then return null; end if;
        if old.outcome is not null then {INTO} values ('attempts', old.outcome, -1); end if;
    end if;
    if new.outcome is not null then {INTO} values ('attempts', new.outcome, 1); end if;
    return null;
end $$;
create trigger attempts_tallied after insert or update of outcome on attempts
for each row execute function tally_attempt()
""",
    f"""
create function tally_push() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' then
        if old.state = new.state then return null; end if;
        if old.state in {FINISHED} then {INTO} values ('pushes', old.state, -1); end if;
    end if;
    if new.state in {FINISHED} then {INTO} values ('pushes', new.state, 1); end if;
    return null;
end $$;
create trigger outbox_tallied after insert or update of state on outbox
for each row execute function tally_push()
""",
    f"""
create function tally_run() returns trigger language plpgsql as $$
begin
    if new.outcome is null then return null; end if;
    if tg_op = 'UPDATE' then
        if old.outcome is not null then return null; end if;
    end if;
    {INTO} values ('runs', new.flow || '|' || new.outcome, 1);
    {ENDED}
    return null;
end $$;
create trigger runs_tallied after insert or update of outcome on runs
for each row execute function tally_run()
""",
)

OPEN = sa.text("state in ('held', 'ready', 'sending', 'unknown', 'dead')")
PRUNED = "pruned_on"
FORGETTABLE = sa.text(f"coalesce(state, '') = 'done' and substr(payload, 1, {len(PRUNED) + 3}) <> '{{\"{PRUNED}\"'")
CHANGED = sa.text("last_seen_at > first_seen_at")
GOOD = sa.text("outcome = 'ok'")


def upgrade() -> None:
    """Make the table and what fills it, count what there is, and make the indexes."""
    op.create_table(
        "tallies",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tallies")),
    )
    _count()
    for statement in SQLITE.split("\n\n") if op.get_bind().dialect.name == "sqlite" else POSTGRESQL:
        op.execute(statement)
    op.create_index("ix_outbox_open", "outbox", ["route", "state", "created_at"], **_where(OPEN))
    op.create_index("ix_outbox_forgettable", "outbox", ["finalized_at"], **_where(FORGETTABLE))
    op.create_index("ix_documents_changed", "documents", ["last_seen_at"], **_where(CHANGED))
    op.create_index("ix_runs_good", "runs", ["flow", "id"], **_where(GOOD))


def _where(condition: sa.TextClause) -> dict[str, sa.TextClause]:
    return {"sqlite_where": condition, "postgresql_where": condition}


def _count() -> None:
    """Count what the tables hold, and what the rows that were forgotten had counted."""
    conn = op.get_bind()
    sums: Counter[tuple[str, str]] = Counter()
    facts = dict(conn.execute(sa.text("select name, value from facts where name like 'pruned|_%' escape '|'")).all())
    for key, number in json.loads(facts.get("pruned_attempts", "{}")).items():
        sums["attempts", key.rpartition("|")[2]] += number
    for key, number in json.loads(facts.get("pruned_runs", "{}")).items():
        flow, *rest = key.split("|")
        if rest != ["rows", "seen"]:
            sums["runs" if len(rest) == 1 else "rows", f"{flow}|{rest[-1]}"] += number
    columns = ", ".join(f"sum({name}) as {name}" for name in ROWS)
    for query, name in (
        ("select outcome, count(*) from attempts where outcome is not null group by 1", "attempts"),
        (f"select state, count(*) from outbox where state in {FINISHED} group by 1", "pushes"),
        ("select flow || '|' || outcome, count(*) from runs where outcome is not null group by 1", "runs"),
    ):
        for label, number in conn.execute(sa.text(query)):
            sums[name, label] += number
    ended = f"select flow, {columns} from runs where outcome is not null group by flow"
    for row in conn.execute(sa.text(ended)).mappings():
        for name in ROWS:
            sums["rows", f"{row['flow']}|{name}"] += int(row[name])
    rows = [{"name": name, "label": label, "number": number} for (name, label), number in sums.items() if number]
    if rows:
        conn.execute(sa.text(f"{INTO} values (:name, :label, :number)"), rows)
    conn.execute(sa.text("delete from facts where name in ('pruned_attempts', 'pruned_runs')"))
