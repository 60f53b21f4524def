"""Keep the journal: balanced entries, the accounts they go to, and what of them was given to the ERP.

An entry is one wide row, so that a CHECK refuses an unbalanced one on both databases. Like the ledger's, entries are
appended and never changed: a correction is a new entry.

Revision ID: 0017
Revises: 0014
"""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision: str | None = "0016"
branch_labels: str | None = None
depends_on: str | None = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MESSAGE = "journal_entries is append-only: an entry is corrected by a new one, never changed or removed"

# INSERT OR REPLACE deletes without firing delete triggers, hence the third one.
SQLITE = f"""
create trigger journal_entries_no_update before update on journal_entries
begin select raise(abort, '{MESSAGE}'); end;

create trigger journal_entries_no_delete before delete on journal_entries
begin select raise(abort, '{MESSAGE}'); end;

create trigger journal_entries_no_replace before insert on journal_entries
when exists (select 1 from journal_entries where id = new.id)
    or (new.ledger_id is not null and exists (select 1 from journal_entries where ledger_id = new.ledger_id))
begin select raise(abort, '{MESSAGE}'); end
"""

POSTGRESQL = f"""
create function refuse_journal_change() returns trigger language plpgsql as $$
begin
    raise exception using errcode = 'integrity_constraint_violation', message = '{MESSAGE}';
end $$;

create trigger journal_entries_no_change before update or delete or truncate on journal_entries
for each statement execute function refuse_journal_change()
"""

# Three lines an entry by a cross join: a page at any cursor reads its own entries and no other. A union of three
# selects would read them all, three times.
JOURNAL = """
create view v_journal as
select e.id as entry_id, l.line, e.posted_on, e.occurred_on, d.booked_on, e.origin, e.kind, e.api_key,
    case l.line when 1 then e.account when 2 then e.counter_account else e.rounding_account end as account,
    decimal(greater(MICROS, 0)) as debit, decimal(greater(-(MICROS), 0)) as credit,
    e.item, case when l.line = 2 and e.counter_warehouse is not null then e.counter_warehouse else e.warehouse end
        as warehouse,
    decimal(case l.line when 1 then e.quantity when 2 then e.counter_quantity end) as quantity,
    e.cost_center, e.vendor, e.purchase_order, e.invoice, e.equipment, e.work_order, e.booked_by,
    d.number as document, MICROS as amount_micros, e.reverses_id, e.ledger_id as seq, e.why, e.made_by
from journal_entries as e
cross join (select 1 as line union all select 2 union all select 3) as l
left join journal_batch_entries as b on b.entry_id = e.id
left join journal_documents as d on d.id = b.document_id
where MICROS <> 0
""".replace("MICROS", "case l.line when 1 then e.amount when 2 then e.counter_amount else e.rounding_amount end")

ENTRIES = """
create view v_journal_entries as
select e.id as entry_id, e.ledger_id as seq, e.reverses_id, e.origin, e.kind, e.api_key, e.item, e.warehouse,
    decimal(e.quantity) as quantity, e.counter_warehouse, e.occurred_on, e.posted_on,
    e.account, decimal(e.amount) as amount, e.counter_account, decimal(e.counter_amount) as counter_amount,
    e.rounding_account, decimal(e.rounding_amount) as rounding_amount, e.cost_center, e.vendor, e.purchase_order,
    e.invoice, e.equipment, e.work_order, e.why, e.made_by, e.booked_by, e.rules_version, e.derived_at, e.run_id,
    e.amount as amount_micros, e.counter_amount as counter_amount_micros, e.rounding_amount as rounding_amount_micros,
    e.quantity as quantity_micros, e.counter_quantity as counter_quantity_micros
from journal_entries as e
"""

HELD = """
create view v_journal_held as
select h.ledger_id as seq, h.reason, h.detail, l.kind, l.api_key, l.item, l.warehouse, l.occurred_on, l.posted_on,
    decimal(l.quantity) as quantity, decimal(l.amount) as amount, h.held_at, l.amount as amount_micros
from journal_held as h
join ledger_entries as l on l.id = h.ledger_id
"""

# What MPW does not know yet is in no account. An event of MPservices or the ERP is listed by its first entry.
UNPOSTED = """
create view v_journal_unposted as
select l.id as seq, l.system, l.kind, l.api_key, l.item, l.warehouse, l.occurred_on, l.posted_on,
    decimal(l.quantity) as quantity, decimal(l.amount) as amount,
    case
        when l.system <> 'mpw' then 'MPW does not know it yet'
        when h.reason is not null then h.reason
        when l.id > coalesce((select cast(value as bigint) from facts where name = 'journal_seq'), 0)
            then 'not derived yet'
        else 'before SYNC_JOURNAL_FROM'
    end as reason,
    l.amount as amount_micros
from ledger_entries as l
left join journal_held as h on h.ledger_id = l.id
left join journal_entries as e on e.ledger_id = l.id
where e.id is null and l.kind in ('receipt', 'issuance')
    and (
        l.system = 'mpw'
        or (
            l.entry_type = 'original'
            and not exists (select 1 from ledger_entries as r where r.reverses_id = l.id)
            and not exists (
                select 1 from ledger_entries as m
                where m.api_key = l.api_key and m.kind = l.kind
                    and (m.system = 'mpw' or (m.system <> l.system and m.id < l.id)))
        )
    )
"""

DOCUMENTS = """
create view v_journal_documents as
select d.number, d.batch_id, d.booked_on, d.cost_center, decimal(d.debit) as debit, d.state, d.erp_reference,
    d.erp_booked_on, d.reason, d.debit as debit_micros
from journal_documents as d
"""

BATCHES = """
create view v_journal_batches as
select b.id, b.channel, b.format, b.mode, b.entries, b.documents, b.lines, decimal(b.debit) as debit,
    b.cut_at, b.cut_by, b.written_at, b.files, b.digest, b.debit as debit_micros
from journal_batches as b
"""

ACCOUNTS = """
create view v_accounts as
select r.use, r.work_order, r.equipment, r.part, r.vendor, r.category, r.warehouse, r.account, r.cost_center,
    r.from_on, r.name, r.version, r.n
from account_rules as r
where r.version = (select max(version) from account_versions)
"""

# What was received and is not invoiced, by order, vendor, part and warehouse. Its sum is what all receipts credited, so
# that it ties to the account.
GRNI = """
create view v_grni as
select g.purchase_order, g.vendor, g.item, g.warehouse, g.account, g.received_on, g.last_received_on, g.entries,
    decimal(g.quantity) as quantity, decimal(g.amount) as amount, g.invoice, g.booked_by, o.status as order_status,
    case
        when g.purchase_order is null then 'no order'
        when o.number is null then 'order not known'
    end as flag,
    decimal(b.billed) as order_billed, b.invoices, g.quantity as quantity_micros, g.amount as amount_micros,
    b.billed as order_billed_micros
from (
    select e.purchase_order, e.vendor, e.item, e.warehouse, e.counter_account as account, e.booked_by,
        min(e.occurred_on) as received_on, max(e.occurred_on) as last_received_on, count(*) as entries,
        cast(sum(e.quantity) as bigint) as quantity, cast(-sum(e.counter_amount) as bigint) as amount,
        max(e.invoice) as invoice
    from journal_entries as e
    where e.kind = 'receipt'
    group by e.purchase_order, e.vendor, e.item, e.warehouse, e.counter_account, e.booked_by
    having sum(e.counter_amount) <> 0
) as g
left join purchase_orders as o on o.number = g.purchase_order
left join (
    select purchase_order, cast(sum(amount) as bigint) as billed, count(*) as invoices
    from journal_bills group by purchase_order
) as b on b.purchase_order = g.purchase_order
"""

ISSUE_COSTS = """
create view v_issue_costs as
select c.equipment, c.work_order, c.account, c.cost_center, c.entries, decimal(c.amount) as amount,
    w.title, w.status, decimal(w.parts_cost) as mpw_parts_cost,
    decimal(c.amount - w.parts_cost) as difference, c.amount as amount_micros, w.parts_cost as mpw_parts_cost_micros
from (
    select e.equipment, e.work_order, e.counter_account as account, e.cost_center, count(*) as entries,
        cast(sum(e.counter_amount) as bigint) as amount
    from journal_entries as e
    where e.kind = 'issuance'
    group by e.equipment, e.work_order, e.counter_account, e.cost_center
) as c
left join work_orders as w on w.system = 'mpw' and w.number = c.work_order
"""

# A day's movements of stock, by warehouse and account; a handover and an entry booked elsewhere cancel out in it.
STOCK_VALUE = """
create view v_stock_value as
select s.posted_on, s.warehouse, s.account, s.movement, s.booked_by, count(*) as lines,
    decimal(cast(sum(s.amount) as bigint)) as amount, cast(sum(s.amount) as bigint) as amount_micros
from (
    select e.posted_on, coalesce(e.warehouse, '') as warehouse, e.account, e.booked_by, e.amount,
        case
            when e.origin = 'adjust' then 'adjusted'
            when e.origin = 'reclass' and e.counter_warehouse is not null then 'moved'
            when e.kind = 'receipt' then 'received'
            when e.kind = 'issuance' then 'issued'
            else 'transferred'
        end as movement
    from journal_entries as e
    where not exists (
        select 1 from journal_positions as p
        where p.item = e.item and p.warehouse = coalesce(e.warehouse, '') and p.account = 'expense')
    union all
    select e.posted_on, e.counter_warehouse, e.counter_account, e.booked_by, e.counter_amount,
        case e.origin when 'reclass' then 'moved' else 'transferred' end
    from journal_entries as e
    where e.counter_warehouse is not null
) as s
group by s.posted_on, s.warehouse, s.account, s.movement, s.booked_by
"""

VIEWS = (JOURNAL, ENTRIES, HELD, UNPOSTED, DOCUMENTS, BATCHES, ACCOUNTS, GRNI, ISSUE_COSTS, STOCK_VALUE)

DECIMAL = {"sqlite": r"((\1) / 1000000.0)", "postgresql": r"round((\1)::numeric / 1000000, 6)"}
GREATER = {"sqlite": "max", "postgresql": "greatest"}


def written_out(view: str, dialect: str) -> str:
    """Return the statement with `decimal(…)` and `greater(…)` in the dialect's own words."""
    view = view.replace("greater(", f"{GREATER[dialect]}(")
    return re.sub(r"\bdecimal\(((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)", DECIMAL[dialect], view)


def upgrade() -> None:
    """Make the tables, what keeps entries as they are, and the views."""
    _entries()
    _state()
    _accounts()
    _delivery()
    if op.get_bind().dialect.name == "postgresql":
        op.execute(POSTGRESQL)
    else:
        for statement in SQLITE.split("\n\n"):
            op.execute(statement)
    for view in VIEWS:
        op.execute(written_out(view, op.get_bind().dialect.name))


def _entries() -> None:
    """Make the entries."""
    op.create_table(
        "journal_entries",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("ledger_id", ID),
        sa.Column("reverses_id", ID),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("api_key", sa.Text, nullable=False),
        sa.Column("item", sa.Text, nullable=False),
        sa.Column("warehouse", sa.Text),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.Column("counter_warehouse", sa.Text),
        sa.Column("counter_quantity", sa.BigInteger),
        sa.Column("occurred_on", sa.Date, nullable=False),
        sa.Column("posted_on", sa.Date, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("counter_account", sa.Text, nullable=False),
        sa.Column("counter_amount", sa.BigInteger, nullable=False),
        sa.Column("rounding_account", sa.Text),
        sa.Column("rounding_amount", sa.BigInteger, nullable=False),
        sa.Column("cost_center", sa.Text),
        sa.Column("vendor", sa.Text),
        sa.Column("purchase_order", sa.Text),
        sa.Column("invoice", sa.Text),
        sa.Column("equipment", sa.Text),
        sa.Column("work_order", sa.Text),
        sa.Column("why", sa.Text),
        sa.Column("made_by", sa.Text),
        sa.Column("booked_by", sa.Text, nullable=False),
        sa.Column("rules_version", sa.Integer, nullable=False),
        sa.Column("run_id", ID),
        sa.Column("derived_at", INSTANT, nullable=False),
        sa.CheckConstraint(
            "origin <> 'adjust' or (why is not null and made_by is not null)",
            name=op.f("ck_journal_entries_adjust_has_a_reason"),
        ),
        sa.CheckConstraint("amount + counter_amount + rounding_amount = 0", name=op.f("ck_journal_entries_balanced")),
        sa.CheckConstraint(
            "booked_by = 'mpsync' or booked_by = 'erp' or booked_by = 'opening'",
            name=op.f("ck_journal_entries_booked_by"),
        ),
        sa.CheckConstraint(
            "(counter_warehouse is null) = (counter_quantity is null)", name=op.f("ck_journal_entries_counter_position")
        ),
        sa.CheckConstraint(
            "(origin = 'ledger') = (ledger_id is not null)", name=op.f("ck_journal_entries_ledger_entry")
        ),
        sa.CheckConstraint(
            "origin = 'ledger' or origin = 'handover' or origin = 'adjust' or origin = 'reclass'",
            name=op.f("ck_journal_entries_origin"),
        ),
        sa.CheckConstraint("posted_on >= occurred_on", name=op.f("ck_journal_entries_posted_not_before_occurred")),
        sa.CheckConstraint(
            "rounding_amount = 0 or rounding_account is not null",
            name=op.f("ck_journal_entries_rounding_has_an_account"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_journal_entries")),
    )
    op.create_index("ix_journal_entries_event", "journal_entries", ["api_key", "kind"])
    op.create_index(
        "ix_journal_entries_reverses_id",
        "journal_entries",
        ["reverses_id"],
        sqlite_where=sa.text("reverses_id is not null"),
        postgresql_where=sa.text("reverses_id is not null"),
    )
    op.create_index("uq_journal_entries_ledger_id", "journal_entries", ["ledger_id"], unique=True)


def _state() -> None:
    """Make the positions and what is held."""
    op.create_table(
        "journal_positions",
        sa.Column("item", sa.Text, nullable=False),
        sa.Column("warehouse", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.Column("booked", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("item", "warehouse", name=op.f("pk_journal_positions")),
    )
    op.create_table(
        "journal_held",
        sa.Column("ledger_id", ID, autoincrement=False, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("held_at", INSTANT, nullable=False),
        sa.CheckConstraint(
            "reason in ('unmapped', 'late', 'transfer', 'twin', 'original', 'dropped')",
            name=op.f("ck_journal_held_reason"),
        ),
        sa.PrimaryKeyConstraint("ledger_id", name=op.f("pk_journal_held")),
    )
    op.create_index("ix_journal_held_reason", "journal_held", ["reason", "ledger_id"])


def _accounts() -> None:
    """Make the rules of accounts, all versions."""
    op.create_table(
        "account_versions",
        sa.Column("version", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("imported_at", INSTANT, nullable=False),
        sa.Column("imported_by", sa.Text, nullable=False),
        sa.Column("rules", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_account_versions")),
    )
    op.create_table(
        "account_rules",
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("use", sa.Text, nullable=False),
        sa.Column("work_order", sa.Text, nullable=False),
        sa.Column("equipment", sa.Text, nullable=False),
        sa.Column("part", sa.Text, nullable=False),
        sa.Column("vendor", sa.Text, nullable=False),
        sa.Column("category", sa.Text, nullable=False),
        sa.Column("warehouse", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("cost_center", sa.Text, nullable=False),
        sa.Column("from_on", sa.Date),
        sa.Column("name", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["version"], ["account_versions.version"], name=op.f("fk_account_rules_version")),
        sa.PrimaryKeyConstraint("version", "n", name=op.f("pk_account_rules")),
    )


def _delivery() -> None:
    """Make batches, their documents, what is kept out of them, and what the ERP answers."""
    op.create_table(
        "journal_batches",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("format", sa.Text, nullable=False),
        sa.Column("mode", sa.Text, nullable=False),
        sa.Column("options", sa.Text, nullable=False),
        sa.Column("entries", sa.Integer, nullable=False),
        sa.Column("documents", sa.Integer, nullable=False),
        sa.Column("lines", sa.Integer, nullable=False),
        sa.Column("debit", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.Text),
        sa.Column("files", sa.Text, nullable=False, server_default="[]"),
        sa.Column("cut_at", INSTANT, nullable=False),
        sa.Column("cut_by", sa.Text, nullable=False),
        sa.Column("written_at", INSTANT),
        sa.CheckConstraint("mode = 'summary' or mode = 'detail'", name=op.f("ck_journal_batches_mode")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_journal_batches")),
    )
    op.create_table(
        "journal_documents",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("number", sa.Text, nullable=False),
        sa.Column("batch_id", ID, nullable=False),
        sa.Column("booked_on", sa.Date, nullable=False),
        sa.Column("cost_center", sa.Text),
        sa.Column("debit", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("erp_reference", sa.Text),
        sa.Column("erp_booked_on", sa.Date),
        sa.Column("reason", sa.Text),
        sa.CheckConstraint(
            "state in ('cut', 'written', 'accepted', 'rejected')", name=op.f("ck_journal_documents_state")
        ),
        sa.ForeignKeyConstraint(["batch_id"], ["journal_batches.id"], name=op.f("fk_journal_documents_batch_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_journal_documents")),
        sa.UniqueConstraint("number", name=op.f("uq_journal_documents_number")),
    )
    op.create_index("ix_journal_documents_batch_id", "journal_documents", ["batch_id", "id"])
    op.create_table(
        "journal_batch_entries",
        sa.Column("entry_id", ID, autoincrement=False, nullable=False),
        sa.Column("document_id", ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["document_id"], ["journal_documents.id"], name=op.f("fk_journal_batch_entries_document_id")
        ),
        sa.ForeignKeyConstraint(["entry_id"], ["journal_entries.id"], name=op.f("fk_journal_batch_entries_entry_id")),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_journal_batch_entries")),
    )
    op.create_index("ix_journal_batch_entries_document_id", "journal_batch_entries", ["document_id", "entry_id"])
    op.create_table(
        "journal_holds",
        sa.Column("id", ID, nullable=False),
        sa.Column("entry_id", ID, nullable=False),
        sa.Column("held", sa.Boolean, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("made_by", sa.Text, nullable=False),
        sa.Column("made_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["entry_id"], ["journal_entries.id"], name=op.f("fk_journal_holds_entry_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_journal_holds")),
    )
    op.create_index("ix_journal_holds_entry_id", "journal_holds", ["entry_id", "id"])
    op.create_table(
        "journal_bills",
        sa.Column("api_key", sa.Text, nullable=False),
        sa.Column("purchase_order", sa.Text, nullable=False),
        sa.Column("invoice", sa.Text, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("billed_on", sa.Date, nullable=False),
        sa.Column("told_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("api_key", name=op.f("pk_journal_bills")),
    )
    op.create_index("ix_journal_bills_purchase_order", "journal_bills", ["purchase_order"])
