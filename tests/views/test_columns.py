"""The views' names and columns: what users' scripts rely on."""

from __future__ import annotations

import pytest
from sqlalchemy import inspect, text

from sync.database.engine import Store

PROMISED = {
    "v_ledger": "id, seq, system, kind, api_key, remote_id, entry_type, reverses_id, item, warehouse, quantity, "
    "unit_cost, amount, occurred_on, posted_on, recorded_at, run_id",
    "v_events": "kind, api_key, item, occurred_on, mpw_quantity, mpservices_quantity, erp_quantity, amount, matched, "
    "voided, amount_micros, last_seq, difference, settled",
    "v_outbox": "id, route, operation, api_key, entity_key, state, attempts, due_at, reason, last_error, payload, "
    "remote_id, created_at, finalized_at",
    "v_attempts": "outbox_id, n, started_at, ended_at, http_status, outcome, error",
    "v_coverage": "source, day, complete, rows, last_read_at, error",
    "v_gaps": "source, gap_from, gap_to, opened_at, closed_at, note",
    "v_exceptions": "id, kind, subject, detail, hint, opened_at, resolved_at, resolution, resolved_by, subject_type",
    "v_quarantine": "id, source, day, reason, raw, seen_at, resolved_at",
    "v_stock": "item, external_id, mpw_quantity, mpservices_quantity, difference, mpw_unit_cost, "
    "mpservices_unit_cost, mpw_read_at, last_patched_at, blocked_reason",
    "v_purchase_orders": "number, status, created_on, vendor_name, warehouse_name, total_cost, lines, last_read_at, "
    "approval",
    "v_work_orders": "system, number, title, status, scheduled_on, completed_on, parts_cost, total_cost, last_read_at",
    "v_inbox": "id, document_type, api_key, state, error, payload, received_at, decided_at",
    "v_equipment": "id, name, status, category, assignee_name, assignee_number, last_recorded_on, provider, "
    "last_read_at",
    "v_purchase_order_lines": "number, line_id, part_number, name, quantity, quantity_received, unit_cost, "
    "extended_cost, unit, supplier_part_number",
    "v_work_order_tasks": "number, task_id, name, task_type, completed_at",
    "v_receipts": "id, api_key, part_number, name, warehouse, created_on, quantity, unit_cost, amount, remaining, "
    "vendor_name, vendor_number, invoice_number, purchase_order_number, description, last_read_at",
    "v_issuances": "id, api_key, part_number, name, warehouse, created_on, quantity, unit_cost, amount, overdraft, "
    "description, last_read_at",
    "v_actions": "at, who, action, subject, why",
    "v_todo": "id, level, kind, what, meaning, amount, since, subject_type, subject, choices",
    "v_journal": "entry_id, line, posted_on, occurred_on, booked_on, origin, kind, api_key, account, debit, "
    "credit, item, warehouse, quantity, cost_center, vendor, purchase_order, invoice, equipment, "
    "work_order, booked_by, document, amount_micros",
    "v_journal_entries": "entry_id, seq, reverses_id, origin, kind, api_key, item, warehouse, quantity, "
    "counter_warehouse, "
    "occurred_on, posted_on, account, amount, counter_account, counter_amount, rounding_account, "
    "rounding_amount",
    "v_journal_held": "seq, reason, detail, kind, api_key, item, warehouse, occurred_on, posted_on, quantity, amount, "
    "held_at",
    "v_journal_unposted": "seq, system, kind, api_key, item, warehouse, occurred_on, posted_on, quantity, "
    "amount, reason",
    "v_journal_documents": "number, batch_id, booked_on, cost_center, debit, state, erp_reference, "
    "erp_booked_on, reason",
    "v_journal_batches": "id, channel, format, mode, entries, documents, lines, debit, cut_at, cut_by, "
    "written_at, files, "
    "digest",
    "v_accounts": "use, work_order, equipment, part, vendor, category, warehouse, account, cost_center, from_on, "
    "name, version",
    "v_grni": "purchase_order, vendor, item, warehouse, account, received_on, last_received_on, entries, quantity, "
    "amount, invoice, booked_by, order_status, flag",
    "v_issue_costs": "equipment, work_order, account, cost_center, entries, amount, title, status, "
    "mpw_parts_cost, difference",
    "v_stock_value": "posted_on, warehouse, account, movement, booked_by, lines, amount",
    "v_learned": "system, fact, value, evidence, seen_at, set_by",
    "v_runs": "id, flow, started_at, ended_at, outcome, seen, added, changed, voided, unchanged, quarantined, error",
}

OURS = ("todo_clock",)
"""What v_todo is made with: not for others, as its name says."""


def columns(store: Store, view: str) -> list[str]:
    """Return the view's columns in order."""
    with store.read() as conn:
        return list(conn.execute(text(f"select * from {view} where 1 = 0")).keys())


@pytest.mark.parametrize("view", PROMISED)
def test_a_view_begins_with_the_promised_columns_in_their_order(store: Store, view: str) -> None:
    promised = PROMISED[view].split(", ")

    assert columns(store, view)[: len(promised)] == promised


def test_there_is_no_view_but_the_promised_ones(store: Store) -> None:
    with store.read() as conn:
        assert set(inspect(conn).get_view_names()) == {*PROMISED, *OURS}


def test_both_databases_have_the_same_columns(sqlite_url: str, postgres_url: str) -> None:
    sqlite, postgres = Store(sqlite_url), Store(postgres_url)

    for view in PROMISED:
        assert columns(sqlite, view) == columns(postgres, view), view

    sqlite.close()
    postgres.close()
