"""The tables.

Why here and not `metadata.create_all`: a database must be able to get from any released schema to today's, so what was
released is written down and stays as it was. Types are spelled out, since the program's own may change.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""On SQLite only INTEGER PRIMARY KEY is the row id itself."""

INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
"""On SQLite fixed-width UTC text, which sorts as time does: 2024-03-15T12:00:00.000000Z."""

CLOCK = {
    "postgresql": "clock_timestamp()",
    "sqlite": "(strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z')",
}
"""The ERP inserts without a time: the database's own clock, as an instant is stored there."""


def upgrade() -> None:
    """Create every table with its indexes."""
    op.create_table(
        "coverage",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("complete", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("rows", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_read_at", INSTANT),
        sa.Column("fetch_began_at", INSTANT),
        sa.Column("digest", sa.Text()),
        sa.Column("parser", sa.Integer(), server_default="0", nullable=False),
        sa.Column("unclean", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("error_at", INSTANT),
        sa.PrimaryKeyConstraint("source", "day", name="pk_coverage"),
    )
    op.create_index("ix_coverage_day", "coverage", ["day"])
    op.create_table(
        "documents",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("remote_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("day", sa.Date()),
        sa.Column("raw", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("api_key", sa.Text()),
        sa.Column("item", sa.Text()),
        sa.Column("warehouse", sa.Text()),
        sa.Column("remaining", sa.BigInteger()),
        sa.Column("entry_id", ROW_ID),
        sa.Column("first_seen_at", INSTANT, nullable=False),
        sa.Column("last_seen_at", INSTANT, nullable=False),
        sa.Column("missing_since", INSTANT),
        sa.Column("voided_at", INSTANT),
        sa.CheckConstraint("system in ('mpw', 'mpservices', 'erp')", name=op.f("ck_documents_system")),
        sa.CheckConstraint("voided_at is null or entry_id is null", name=op.f("ck_documents_voided_has_no_entry")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_documents")),
        sa.UniqueConstraint("system", "type", "remote_id", name="uq_documents_remote"),
    )
    op.create_index("ix_documents_item", "documents", ["item"])
    op.create_index("ix_documents_source_day", "documents", ["source", "day"])
    op.create_table(
        "exceptions",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("facts", sa.Text(), server_default="{}", nullable=False),
        sa.Column("opened_at", INSTANT, nullable=False),
        sa.Column("resolved_at", INSTANT),
        sa.Column("resolved_by", sa.Text()),
        sa.Column("resolution", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exceptions")),
    )
    op.create_index(
        "uq_exceptions_open",
        "exceptions",
        ["kind", "subject"],
        unique=True,
        sqlite_where=sa.text("resolved_at is null"),
        postgresql_where=sa.text("resolved_at is null"),
    )
    op.create_table(
        "facts",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_facts")),
    )
    op.create_table(
        "feeds",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("first_read_at", INSTANT),
        sa.Column("last_read_at", INSTANT),
        sa.Column("covered_from", INSTANT),
        sa.Column("error", sa.Text()),
        sa.Column("failing_since", INSTANT),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_feeds")),
    )
    op.create_table(
        "gaps",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("gap_from", INSTANT, nullable=False),
        sa.Column("gap_to", INSTANT, nullable=False),
        sa.Column("opened_at", INSTANT, nullable=False),
        sa.Column("closed_at", INSTANT),
        sa.Column("note", sa.Text()),
        sa.CheckConstraint("gap_to > gap_from", name=op.f("ck_gaps_bounds")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gaps")),
    )
    op.create_table(
        "inbox",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("document_type", sa.Text()),
        sa.Column("api_key", sa.Text()),
        sa.Column("payload", sa.Text()),
        sa.Column("state", sa.Text(), server_default="received"),
        sa.Column("error", sa.Text()),
        sa.Column("received_at", INSTANT, server_default=sa.text(CLOCK[op.get_bind().dialect.name])),
        sa.Column("decided_at", INSTANT),
        sa.Column("digest", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbox")),
    )
    op.create_index("ix_inbox_key", "inbox", ["document_type", "api_key"])
    op.create_index("ix_inbox_state", "inbox", ["state", "id"])
    op.create_table(
        "inventories",
        sa.Column("warehouse", sa.Text(), nullable=False),
        sa.Column("part_number", sa.Text(), nullable=False),
        sa.Column("found", sa.Boolean(), nullable=False),
        sa.Column("quantity", sa.BigInteger()),
        sa.Column("unit_cost", sa.BigInteger()),
        sa.Column("read_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("warehouse", "part_number", name="pk_inventories"),
    )
    op.create_table(
        "item_states",
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("managed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("dirty_at", INSTANT),
        sa.Column("look_at", INSTANT),
        sa.Column("mpw_quantity", sa.BigInteger()),
        sa.Column("mpw_unit_cost", sa.BigInteger()),
        sa.Column("mpw_read_at", INSTANT),
        sa.Column("base_quantity", sa.BigInteger()),
        sa.Column("base_at", INSTANT),
        sa.Column("base_place", sa.Integer()),
        sa.Column("base_verified", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("mps_quantity", sa.BigInteger()),
        sa.Column("mps_unit_cost", sa.BigInteger()),
        sa.Column("patches", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_patched_at", INSTANT),
        sa.Column("audited_at", INSTANT),
        sa.Column("blocked_reason", sa.Text()),
        sa.PrimaryKeyConstraint("external_id", name=op.f("pk_item_states")),
    )
    op.create_index(
        "ix_item_states_dirty",
        "item_states",
        ["dirty_at"],
        sqlite_where=sa.text("dirty_at is not null"),
        postgresql_where=sa.text("dirty_at is not null"),
    )
    op.create_table(
        "items",
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("part_number", sa.Text(), nullable=False),
        sa.Column("factor", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("factor > 0", name=op.f("ck_items_factor")),
        sa.PrimaryKeyConstraint("external_id", name=op.f("pk_items")),
    )
    op.create_index("ix_items_part_number", "items", ["part_number"])
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "ledger_entries",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("api_key", sa.Text(), nullable=False),
        sa.Column("remote_id", sa.Text(), nullable=False),
        sa.Column("entry_type", sa.Text(), nullable=False),
        sa.Column("reverses_id", ROW_ID),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("warehouse", sa.Text()),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("unit_cost", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("occurred_on", sa.Date(), nullable=False),
        sa.Column("occurred_at", INSTANT),
        sa.Column("posted_on", sa.Date(), nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False),
        sa.Column("run_id", ROW_ID),
        sa.CheckConstraint(
            "(entry_type = 'original' and reverses_id is null)"
            " or (entry_type = 'reversal' and reverses_id is not null)",
            name=op.f("ck_ledger_entries_entry_type"),
        ),
        sa.CheckConstraint(
            "kind in ('receipt', 'issuance', 'transfer', 'adjustment')", name=op.f("ck_ledger_entries_kind")
        ),
        sa.CheckConstraint("system in ('mpw', 'mpservices', 'erp')", name=op.f("ck_ledger_entries_system")),
        sa.CheckConstraint("posted_on >= occurred_on", name=op.f("ck_ledger_entries_posted_not_before_occurred")),
        sa.ForeignKeyConstraint(["reverses_id"], ["ledger_entries.id"], name=op.f("fk_ledger_entries_reverses_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_entries")),
        sa.UniqueConstraint("reverses_id", name="uq_ledger_entries_reverses_id"),
    )
    op.create_index("ix_ledger_entries_event", "ledger_entries", ["api_key", "kind"])
    op.create_index("ix_ledger_entries_item", "ledger_entries", ["item", "system"])
    op.create_index("ix_ledger_entries_occurred_on", "ledger_entries", ["occurred_on"])
    op.create_table(
        "movement_lines",
        sa.Column("movement_id", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("api_key", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("named", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("unit_cost", sa.BigInteger(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("single", sa.Boolean(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("entry_id", ROW_ID),
        sa.CheckConstraint("role in ('event', 'echo', 'undecided')", name=op.f("ck_movement_lines_role")),
        sa.PrimaryKeyConstraint("movement_id", "n", name="pk_movement_lines"),
        sa.UniqueConstraint("api_key", name="uq_movement_lines_api_key"),
    )
    op.create_index("ix_movement_lines_created_at", "movement_lines", ["created_at"])
    op.create_index("ix_movement_lines_feed", "movement_lines", ["external_id", "created_at", "place"])
    op.create_table(
        "outbox",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text()),
        sa.Column("api_key", sa.Text(), nullable=False),
        sa.Column("entity_key", sa.Text(), nullable=False),
        sa.Column("item", sa.Text()),
        sa.Column("rank", sa.Integer(), server_default="5", nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("fence", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_owner", sa.Text()),
        sa.Column("lease_until", INSTANT),
        sa.Column("due_at", INSTANT, nullable=False),
        sa.Column("ambiguous", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("first_sent_at", INSTANT),
        sa.Column("last_sent_at", INSTANT),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("facts", sa.Text(), server_default="{}", nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("last_error", sa.Text()),
        sa.Column("evidence", sa.Text()),
        sa.Column("remote_id", sa.Text()),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("finalized_at", INSTANT),
        sa.CheckConstraint(
            "(finalized_at is not null) = (state in ('done', 'dead', 'superseded', 'discarded'))",
            name=op.f("ck_outbox_finalized"),
        ),
        sa.CheckConstraint(
            "(state = 'sending') = (lease_until is not null) or state = 'unknown'",
            name=op.f("ck_outbox_sending_has_a_lease"),
        ),
        sa.CheckConstraint("state <> 'done' or evidence is not null", name=op.f("ck_outbox_done_has_evidence")),
        sa.CheckConstraint("state <> 'superseded' or tries = 0", name=op.f("ck_outbox_superseded_was_never_sent")),
        sa.CheckConstraint(
            "state in ('held', 'ready', 'sending', 'unknown', 'done', 'dead', 'superseded', 'discarded')",
            name=op.f("ck_outbox_state"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("operation", "api_key", name="uq_outbox_operation"),
    )
    op.create_index("ix_outbox_event", "outbox", ["api_key", "kind"])
    op.create_index("ix_outbox_item", "outbox", ["item", "state"])
    op.create_index(
        "ix_outbox_queue",
        "outbox",
        ["entity_key", "rank", "id"],
        sqlite_where=sa.text("state = 'ready'"),
        postgresql_where=sa.text("state = 'ready'"),
    )
    op.create_index("ix_outbox_state_due", "outbox", ["state", "due_at", "id"])
    op.create_index(
        "uq_outbox_in_flight",
        "outbox",
        ["entity_key"],
        unique=True,
        sqlite_where=sa.text("state in ('sending', 'unknown')"),
        postgresql_where=sa.text("state in ('sending', 'unknown')"),
    )
    op.create_table(
        "parked",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("api_key", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("due_at", INSTANT),
        sa.PrimaryKeyConstraint("kind", "api_key", name="pk_parked"),
    )
    op.create_index("ix_parked_due_at", "parked", ["due_at"])
    op.create_table(
        "pauses",
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("system", name=op.f("pk_pauses")),
    )
    op.create_table(
        "purchase_orders",
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_on", sa.Date(), nullable=False),
        sa.Column("vendor_name", sa.Text()),
        sa.Column("warehouse_name", sa.Text()),
        sa.Column("total_cost", sa.BigInteger()),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("terms_digest", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("raw", sa.Text(), nullable=False),
        sa.Column("final", sa.Boolean(), nullable=False),
        sa.Column("first_read_at", INSTANT, nullable=False),
        sa.Column("last_read_at", INSTANT, nullable=False),
        sa.Column("changed_at", INSTANT, nullable=False),
        sa.Column("approval", sa.Text()),
        sa.CheckConstraint(
            "approval is null or approval in ('wanted', 'sent', 'done', 'exception')",
            name=op.f("ck_purchase_orders_approval"),
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_purchase_orders")),
    )
    op.create_index("ix_purchase_orders_created_on", "purchase_orders", ["created_on"])
    op.create_index(
        "ix_purchase_orders_open",
        "purchase_orders",
        ["created_on", "number"],
        sqlite_where=sa.text("not final"),
        postgresql_where=sa.text("not final"),
    )
    op.create_table(
        "quarantine",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("day", sa.Date()),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("raw", sa.Text(), nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.Column("resolved_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
    )
    op.create_index(
        "uq_quarantine_open",
        "quarantine",
        ["source", "day", "digest"],
        unique=True,
        sqlite_where=sa.text("resolved_at is null"),
        postgresql_where=sa.text("resolved_at is null"),
    )
    op.create_table(
        "runs",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("flow", sa.Text(), nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT),
        sa.Column("outcome", sa.Text()),
        sa.Column("seen", sa.Integer(), server_default="0", nullable=False),
        sa.Column("added", sa.Integer(), server_default="0", nullable=False),
        sa.Column("changed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("voided", sa.Integer(), server_default="0", nullable=False),
        sa.Column("unchanged", sa.Integer(), server_default="0", nullable=False),
        sa.Column("quarantined", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    op.create_index("ix_runs_flow", "runs", ["flow", "id"])
    op.create_table(
        "unpushed",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("api_key", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "api_key", name="pk_unpushed"),
    )
    op.create_table(
        "work_orders",
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("title", sa.Text()),
        sa.Column("status", sa.Text()),
        sa.Column("scheduled_on", sa.Date()),
        sa.Column("completed_on", sa.Date()),
        sa.Column("parts_cost", sa.BigInteger()),
        sa.Column("total_cost", sa.BigInteger()),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("raw", sa.Text(), nullable=False),
        sa.Column("last_read_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("system", "number", name="pk_work_orders"),
    )
    op.create_table(
        "attempts",
        sa.Column("outbox_id", ROW_ID, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.Text()),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT),
        sa.Column("answered_at", INSTANT),
        sa.Column("http_status", sa.Integer()),
        sa.Column("outcome", sa.Text()),
        sa.Column("error", sa.Text()),
        sa.Column("sent_key", sa.Text()),
        sa.Column("before", sa.Text()),
        sa.ForeignKeyConstraint(["outbox_id"], ["outbox.id"], name=op.f("fk_attempts_outbox_id")),
        sa.PrimaryKeyConstraint("outbox_id", "n", name="pk_attempts"),
    )
    op.create_table(
        "echoes",
        sa.Column("outbox_id", ROW_ID, nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("new_stock", sa.BigInteger(), nullable=False),
        sa.Column("new_cost", sa.BigInteger(), nullable=False),
        sa.Column("base_quantity", sa.BigInteger()),
        sa.Column("believed_quantity", sa.BigInteger()),
        sa.Column("window_from", INSTANT),
        sa.Column("window_to", INSTANT),
        sa.Column("movement_id", sa.Text()),
        sa.Column("line_n", sa.Integer()),
        sa.Column("outcome", sa.Text()),
        sa.Column("closed_at", INSTANT),
        sa.ForeignKeyConstraint(["outbox_id"], ["outbox.id"], name=op.f("fk_echoes_outbox_id")),
        sa.PrimaryKeyConstraint("outbox_id", name=op.f("pk_echoes")),
    )
    op.create_index(
        "ix_echoes_open",
        "echoes",
        ["external_id"],
        sqlite_where=sa.text("closed_at is null"),
        postgresql_where=sa.text("closed_at is null"),
    )
    op.create_table(
        "issuance_parts",
        sa.Column("outbox_id", ROW_ID, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("api_key", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("remote_id", sa.Text()),
        sa.CheckConstraint("state in ('planned', 'done')", name=op.f("ck_issuance_parts_state")),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_issuance_parts_quantity")),
        sa.ForeignKeyConstraint(["outbox_id"], ["outbox.id"], name=op.f("fk_issuance_parts_outbox_id")),
        sa.PrimaryKeyConstraint("outbox_id", "n", name="pk_issuance_parts"),
        sa.UniqueConstraint("api_key", name="uq_issuance_parts_api_key"),
    )
    op.create_table(
        "item_warehouses",
        sa.Column("part_number", sa.Text(), nullable=False),
        sa.Column("warehouse", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["external_id"], ["items.external_id"], name=op.f("fk_item_warehouses_external_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("part_number", "warehouse", name="pk_item_warehouses"),
        sa.UniqueConstraint("external_id", "position", name="uq_item_warehouses_position"),
    )
    op.create_table(
        "pushed_rows",
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("remote_id", sa.Text(), nullable=False),
        sa.Column("api_key", sa.Text(), nullable=False),
        sa.Column("outbox_id", ROW_ID, nullable=False),
        sa.ForeignKeyConstraint(["outbox_id"], ["outbox.id"], name=op.f("fk_pushed_rows_outbox_id")),
        sa.PrimaryKeyConstraint("type", "remote_id", name="pk_pushed_rows"),
    )
