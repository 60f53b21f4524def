"""A small database in which every view has something to show, and every question of docs/sql.md an answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select

from sync.database import schema

NOON = datetime(2024, 3, 15, 12, 0, tzinfo=UTC)
TODAY = date(2024, 3, 15)
YESTERDAY = date(2024, 3, 14)


def add(conn: Connection, table: Table, *rows: Mapping[str, Any]) -> None:
    """Insert rows as they are given."""
    for row in rows:
        conn.execute(insert(table).values(**row))


def entry(system: str, kind: str, api_key: str, quantity: str, **changed: Any) -> dict[str, Any]:
    """Return an original at 2.50 a piece; a change given as None stays None."""
    values = {
        "system": system,
        "kind": kind,
        "api_key": api_key,
        "remote_id": "1",
        "entry_type": "original",
        "item": "P-1",
        "warehouse": "Main",
        "quantity": Decimal(quantity),
        "unit_cost": Decimal("2.5"),
        "amount": Decimal(quantity) * Decimal("2.5"),
        "occurred_on": YESTERDAY,
        "posted_on": YESTERDAY,
        "recorded_at": NOON,
    }
    return values | changed


def reversal(of: Mapping[str, Any], reverses_id: int) -> dict[str, Any]:
    """Return the entry that takes another back."""
    opposite = {"quantity": -of["quantity"], "amount": -of["amount"]}
    return {**of, **opposite, "entry_type": "reversal", "reverses_id": reverses_id}


def push(api_key: str, **changed: Any) -> dict[str, Any]:
    """Return a receipt's push to MPW that is ready."""
    values = {
        "route": "receipts",
        "operation": "post_receipt",
        "kind": "receipt",
        "api_key": api_key,
        "entity_key": f"item:{api_key}",
        "item": "P-1",
        "state": "ready",
        "due_at": NOON,
        "payload": '{"part_number": "P-1"}',
        "created_at": NOON,
    }
    return values | changed


def done(api_key: str, **changed: Any) -> dict[str, Any]:
    """Return a push that was delivered yesterday."""
    yesterday = NOON - timedelta(days=1)
    settled = {"state": "done", "evidence": "answered 200", "finalized_at": yesterday, "attempts": 1, "tries": 1}
    return push(api_key, **settled | changed)


RECEIPT = (
    '{"id": 1, "inventory_name": "Fuel filter", "vendor_name": "Bosch", "vendor_number": null, "invoice_number": "I-9",'
    ' "purchase_order_number": 1000, "description": "by truck"}'
)
ISSUANCE = '{"id": 7, "inventory_name": "Fuel filter", "overdraft": false, "description": "for pump 3"}'
EQUIPMENT = (
    '{"id": 282774, "last_recorded_on": "2024-03-14", "name": "STX-333", "status": "Active", "category_name":'
    ' "General", "assignee_name": "Ann", "assignee_number": "330"}'
)
ORDER = (
    '{"items": [{"id": 51212, "quantity": 5.0, "quantity_received": "2", "unit_cost": 7.0, "extended_cost": 35.0,'
    ' "part_number": "P-1", "name": "Fuel filter", "unit_type": "Each", "supplier_part_number": "B-1"},'
    ' {"id": 51213, "quantity": 50.0, "unit_cost": 3.2998, "extended_cost": 164.99, "part_number": "P-2",'
    ' "name": "Oil"}]}'
)
WORK = '{"tasks": [{"id": 425994, "name": "repair3", "task_type": "Repair", "completed_at": null, "note": null}]}'


def tell(conn: Connection) -> None:
    """Write the whole story."""
    add(
        conn,
        schema.ledger_entries,
        entry("mpservices", "receipt", "mps-abc-1", "4", item="EXT-1", occurred_at=NOON - timedelta(days=1)),
        entry("mpw", "receipt", "mps-abc-1", "4"),
        entry("mpservices", "issuance", "mps-def-1", "-1.5", item="EXT-1"),
        entry("erp", "receipt", "erp-4711", "3"),
        entry("mpw", "issuance", "mpw-i-7", "-2", remote_id="7"),
        entry("mpservices", "receipt", "mps-ghi-1", "4", item="EXT-1"),
        entry("mpw", "receipt", "mps-ghi-1", "7", remote_id="9"),
    )
    differs = {"kind": "receipt", "api_key": "mps-ghi-1", "difference": "quantity: MPservices 4, MPW 7"}
    add(conn, schema.book_differences, {**differs, "since": NOON})
    of_mpw = {"system": "mpw", "digest": "d", "first_seen_at": NOON, "last_seen_at": NOON}
    add(
        conn,
        schema.documents,
        {**of_mpw, "type": "receipt", "remote_id": "1", "source": "mpw.receipts", "day": YESTERDAY, "raw": RECEIPT}
        | {"api_key": "mps-abc-1", "item": "P-1", "warehouse": "Main", "remaining": Decimal(4), "entry_id": 2},
        {**of_mpw, "type": "issuance", "remote_id": "7", "source": "mpw.issuances", "day": YESTERDAY, "raw": ISSUANCE}
        | {"api_key": "mpw-i-7", "item": "P-1", "warehouse": "Main", "entry_id": 5},
        {**of_mpw, "type": "equipment", "remote_id": "282774", "source": "mpw.equipment", "raw": EQUIPMENT}
        | {"item": "STX-333", "provider": "geotab"},
    )
    add(
        conn,
        schema.outbox,
        done("mps-abc-1", remote_id="236252"),
        push("mps-def-1", state="held", operation="post_issuance", route="issuances", kind="issuance"),
        push("erp-4711", state="unknown", ambiguous=True, last_error="timed out", tries=1, attempts=1),
        push("erp-4712", state="dead", last_error="unknown vendor", finalized_at=NOON, tries=1, attempts=1),
    )
    add(
        conn,
        schema.attempts,
        {"outbox_id": 1, "n": 1, "fence": 1, "started_at": NOON, "ended_at": NOON, "http_status": 200, "outcome": "ok"},
        {"outbox_id": 3, "n": 1, "fence": 1, "started_at": NOON, "outcome": "timeout", "error": "no answer in 30 s"},
    )
    add(
        conn,
        schema.coverage,
        {"source": "mpw.receipts", "day": YESTERDAY, "complete": True, "rows": 12, "last_read_at": NOON},
        {"source": "mpw.receipts", "day": TODAY, "error": "MPW answered 503", "error_at": NOON},
    )
    two_days = timedelta(days=2)
    add(
        conn,
        schema.gaps,
        {"source": "mpservices.movements", "gap_from": NOON - two_days, "gap_to": NOON, "opened_at": NOON},
    )
    add(
        conn,
        schema.exceptions,
        {
            "kind": "unmapped_item",
            "subject": "EXT-9",
            "subject_type": "item",
            "detail": "no mapping names EXT-9",
            "hint": "add it to the item map: mpsync items import",
            "opened_at": NOON,
        },
    )
    add(
        conn,
        schema.quarantine,
        {
            "source": "mpw.receipts",
            "day": YESTERDAY,
            "digest": "d",
            "reason": "quantity_received is not a number",
            "raw": '{"id": 7}',
            "seen_at": NOON,
        },
    )
    add(conn, schema.items, {"external_id": "EXT-1", "part_number": "P-1", "factor": Decimal(12)})
    add(
        conn,
        schema.item_states,
        {
            "external_id": "EXT-1",
            "managed": True,
            "mpw_quantity": Decimal(30),
            "mpw_unit_cost": Decimal("2.5"),
            "mpw_read_at": NOON,
            "mps_quantity": Decimal("2.5"),
            "mps_unit_cost": Decimal(30),
            "base_verified": True,
        },
        {
            "external_id": "EXT-2",
            "mpw_quantity": Decimal(5),
            "mps_quantity": Decimal(2),
            "blocked_reason": "a push died",
        },
    )
    add(
        conn,
        schema.purchase_orders,
        {
            "number": "1000",
            "status": "requisition",
            "created_on": YESTERDAY,
            "vendor_name": "Acme",
            "total_cost": Decimal("199.99"),
            "lines": 2,
            "terms_digest": "t",
            "digest": "d",
            "raw": ORDER,
            "final": False,
            "first_read_at": NOON - two_days,
            "last_read_at": NOON - two_days,
            "changed_at": NOON - two_days,
            "approval": "wanted",
        },
    )
    add(
        conn,
        schema.work_orders,
        {
            "system": "mpw",
            "number": "55",
            "title": "Oil change",
            "status": "Open",
            "scheduled_on": TODAY,
            "parts_cost": Decimal("12.34"),
            "digest": "d",
            "raw": WORK,
            "last_read_at": NOON,
        },
    )
    add(
        conn,
        schema.inbox,
        {"document_type": "receipt", "api_key": "erp-4711", "payload": "{}", "state": "accepted", "received_at": NOON},
        {
            "document_type": "receipt",
            "api_key": "erp-4713",
            "payload": "{}",
            "state": "rejected",
            "error": "quantity_received: not a number",
            "received_at": NOON,
            "decided_at": NOON,
        },
    )
    add(
        conn,
        schema.learned,
        {
            "system": "mpw",
            "fact": "page_honoured",
            "value": "no",
            "evidence": "the second page of the orders of 2024-03-01 to 2024-03-31 was the first again",
            "seen_at": NOON,
        },
    )
    add(
        conn,
        schema.runs,
        {"flow": "poll", "started_at": NOON, "ended_at": NOON, "outcome": "ok", "seen": 12, "added": 12},
        {"flow": "push", "started_at": NOON, "ended_at": NOON, "outcome": "failed", "error": "MPW is paused"},
    )
    _tell_of_the_journal(conn)


def booked(id_: int, ledger_id: int, **changed: Any) -> dict[str, Any]:
    """Return the journal entry of a receipt of four at 2.50."""
    values = {
        "id": id_,
        "ledger_id": ledger_id,
        "origin": "ledger",
        "kind": "receipt",
        "api_key": "mps-abc-1",
        "item": "P-1",
        "warehouse": "Main",
        "quantity": Decimal(4),
        "occurred_on": YESTERDAY,
        "posted_on": YESTERDAY,
        "account": "1410",
        "amount": Decimal(10),
        "counter_account": "2150",
        "counter_amount": Decimal(-10),
        "rounding_amount": Decimal(0),
        "purchase_order": "1000",
        "vendor": "Acme",
        "booked_by": "mpsync",
        "rules_version": 1,
        "derived_at": NOON,
    }
    return values | changed


def _tell_of_the_journal(conn: Connection) -> None:
    """Book one receipt and hand it over; hold another."""
    add(conn, schema.account_versions, {"version": 1, "imported_at": NOON, "imported_by": "controller", "rules": 1})
    cells = dict.fromkeys(("work_order", "equipment", "part", "vendor", "category", "warehouse", "cost_center"), "")
    add(
        conn,
        schema.account_rules,
        {"version": 1, "n": 1, "use": "inventory", **cells, "account": "1410", "name": "Parts"},
    )
    add(conn, schema.journal_entries, booked(1, 2))
    used = {"kind": "issuance", "api_key": "mpw-i-9", "quantity": Decimal(-1), "counter_account": "5100"}
    cost = {"amount": Decimal("-2.5"), "counter_amount": Decimal("2.5"), "work_order": "55", "vendor": None}
    add(conn, schema.journal_entries, booked(2, 99, **used, **cost))
    add(conn, schema.ledger_entries, entry("mpw", "receipt", "mpw-r-8", "1", remote_id="8"))
    held = conn.execute(select(func.max(schema.ledger_entries.c.id))).scalar_one()
    waits = {"ledger_id": held, "reason": "unmapped", "detail": "no rule of accounts says where its grni goes"}
    add(conn, schema.journal_held, {**waits, "held_at": NOON})
    batch = {"channel": "file", "format": "csv", "mode": "summary", "options": "{}", "cut_by": "controller"}
    sums = {"entries": 1, "documents": 1, "lines": 2, "debit": Decimal(10)}
    add(conn, schema.journal_batches, {"id": 1, **batch, **sums, "cut_at": NOON, "written_at": NOON, "digest": "d"})
    document = {"number": "MP000001-00001", "batch_id": 1, "booked_on": YESTERDAY, "debit": Decimal(10)}
    add(conn, schema.journal_documents, {"id": 1, **document, "state": "written"})
    add(conn, schema.journal_batch_entries, {"entry_id": 1, "document_id": 1})
