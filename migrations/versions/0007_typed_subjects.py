"""Give every exception a typed subject, and name the items that it stops.

A name alone said too little: closing push 1005 closed the exception of order 1005. Old rows get their type by their
kind; an approval's `order_changed` is about the push where its facts name one, else about the order. The items of
open exceptions that stop stock patches stand in a table of their own, since every comparison asks for them.

Corrections are what is posted again in MPW after a person's word: under a key of its own, filed under the same event.

SQLite cannot add a column that must be given: the table of exceptions is written anew there.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import json
import re
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision: str | None = "0006"
branch_labels: str | None = None
depends_on: str | None = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")

TYPES = ("push", "order", "item", "event", "day", "source", "setting", "row")
RULE = " or ".join(f"subject_type = '{type_}'" for type_ in TYPES)

TYPE_OF_OLD = """case
    when facts like '%"outbox_id":%' and kind <> 'echo_undecided' then 'push'
    when kind = 'order_changed' then 'order'
    when kind in ('push_dead', 'push_conflict', 'push_unknown', 'push_undecidable', 'push_other_quantity',
        'issuance_without_stock', 'order_unknown', 'tracking_not_enabled', 'unknown_product') then 'push'
    when kind in ('unmapped_item', 'unknown_part', 'product_incomplete', 'stock_blocked', 'negative_stock',
        'unknown_cost') then 'item'
    when kind in ('deleted_in_mpw', 'odd_quantity', 'fractional_issuance', 'echo_undecided') then 'event'
    when kind in ('credentials', 'gap', 'short_window', 'mass_disappearance', 'unknown_value') then 'source'
    when kind = 'setting_missing' then 'setting'
    else 'row'
end"""

OPEN = sa.text("resolved_at is null")

VIEW = """
{create} view v_exceptions as
select id, kind, subject, detail, hint, opened_at, resolved_at, resolution, resolved_by, subject_type
from exceptions
"""


def upgrade() -> None:
    """Add the type, the items that are stopped, and the corrections."""
    postgresql = op.get_bind().dialect.name == "postgresql"
    op.drop_index("uq_exceptions_open", "exceptions")
    if postgresql:
        op.add_column("exceptions", sa.Column("subject_type", sa.Text()))
        op.execute(f"update exceptions set subject_type = {TYPE_OF_OLD}".replace(":", r"\:"))
        op.alter_column("exceptions", "subject_type", nullable=False)
        op.create_check_constraint(op.f("ck_exceptions_subject_type"), "exceptions", RULE)
    else:
        _write_exceptions_anew()
    op.create_index(
        "uq_exceptions_open",
        "exceptions",
        ["kind", "subject_type", "subject"],
        unique=True,
        sqlite_where=OPEN,
        postgresql_where=OPEN,
    )
    if not postgresql:
        op.execute("drop view v_exceptions")
    op.execute(VIEW.format(create="create or replace" if postgresql else "create"))
    op.create_table(
        "exception_items",
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("exception_id", ROW_ID, nullable=False),
        sa.ForeignKeyConstraint(["exception_id"], ["exceptions.id"], name=op.f("fk_exception_items_exception_id")),
        sa.PrimaryKeyConstraint("external_id", "exception_id", name="pk_exception_items"),
    )
    op.create_index("ix_exception_items_exception_id", "exception_items", ["exception_id"])
    op.create_table(
        "corrections",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("api_key", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("pushed_key", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("kind", "api_key", "n", name="pk_corrections"),
        sa.UniqueConstraint("pushed_key", "kind", name="uq_corrections_pushed_key"),
    )
    _name_items()


def _write_exceptions_anew() -> None:
    """Make the table again with the column; its rows, indexes and triggers stay, whoever made them."""
    run = op.get_bind().exec_driver_sql
    if run("pragma foreign_keys").scalar():
        raise RuntimeError("foreign keys are on: what refers to the exceptions would be deleted with the old table")
    found = run("select type, sql from sqlite_schema where tbl_name = 'exceptions' and sql is not null").all()
    [made] = [sql for type_, sql in found if type_ == "table"]
    column = f"resolution TEXT, subject_type TEXT NOT NULL, CONSTRAINT ck_exceptions_subject_type CHECK ({RULE})"
    for old, new in ((r"\bexceptions\b", "new_exceptions"), (r"\bresolution TEXT\b", column)):
        made, times = re.subn(old, new, made, count=1)
        if not times:
            raise RuntimeError(f"exceptions is not the table that 0001 made: it lacks {old}")
    names = ", ".join(f'"{row.name}"' for row in run("pragma table_info(exceptions)"))
    run("pragma legacy_alter_table = on")  # renaming leaves the views as they are
    run(made)
    run(f"insert into new_exceptions ({names}, subject_type) select {names}, {TYPE_OF_OLD} from exceptions order by id")
    run("drop table exceptions")
    run("alter table new_exceptions rename to exceptions")
    for type_, sql in found:
        if type_ in ("index", "trigger"):
            run(sql)
    run("pragma legacy_alter_table = off")


def _name_items() -> None:
    """Name the items of the open exceptions that stop patches: what their facts, or their movement's lines, say."""
    run = op.get_bind().execute
    found = run(
        sa.text(
            "select id, kind, subject, facts from exceptions"
            " where resolved_at is null and kind in ('echo_undecided', 'movement_changed')"
        )
    ).all()
    lines = sa.text("select distinct external_id from movement_lines where movement_id = :movement")
    add = sa.text("insert into exception_items (external_id, exception_id) values (:item, :id)")
    for row in found:
        if row.kind == "echo_undecided":
            items = {json.loads(row.facts).get("external_id")}
        else:
            items = set(run(lines, {"movement": row.subject}).scalars())
            _say_what_was_corrected(row, sorted(items))
        for item in items - {None}:
            run(add, {"item": item, "id": row.id})


CHANGED_HINT = (
    "`mpsync exceptions resolve ID --apply --why TEXT` has it deleted in MPW and posted again as it is now; `--keep`"
    " leaves both as they are, and goes on from there"
)


def _say_what_was_corrected(row: Any, items: list[str]) -> None:
    """Tell `exceptions resolve --apply` what an old exception is about, and believe in no stock of its items."""
    run = op.get_bind().execute
    same = {"movement": row.subject}
    keys = sorted(run(sa.text("select api_key from movement_lines where movement_id = :movement"), same).scalars())
    facts = {"movement_id": row.subject, "keys": keys, "external_ids": items}
    told = {"facts": json.dumps(facts, sort_keys=True), "hint": CHANGED_HINT, "id": row.id}
    run(sa.text("update exceptions set facts = :facts, hint = :hint where id = :id"), told)
    for item in items:
        run(
            sa.text(
                "update item_states set base_quantity = null, base_at = null, base_place = null,"
                " base_verified = :no where external_id = :item"
            ),
            {"item": item, "no": False},
        )
