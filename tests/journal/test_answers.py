"""What the ERP answers about the books."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from sync.inbox.take_in import inbox_once
from sync.journal import reports
from sync.journal.answers import answers_once
from sync.journal.batches import export_journal
from tests.journal.books import Books
from tests.journal.test_reports import TODAY, order, receipt


def told(books: Books, type_: str, key: str, **payload: Any) -> str | None:
    """Let the ERP insert a document, and take it in; return why it was rejected, None: it was not."""
    with books.store.write() as conn:
        conn.execute(
            text("insert into inbox (document_type, api_key, payload) values (:t, :k, :p)"),
            {"t": type_, "k": key, "p": json.dumps(payload)},
        )
    ctx = books.context()
    inbox_once(ctx)
    answers_once(ctx)
    [row] = books.query("select state, error from v_inbox where api_key = :key", key=key)
    assert (row["state"] == "rejected") == (row["error"] is not None)
    return row["error"]


@pytest.fixture
def given(books: Books, tmp_path: Path) -> Books:
    """Books whose one receipt was given to the ERP, as MP000001-00001."""
    order(books, "1", ("P-1", "5", "2"))
    receipt(books, 1, "5", "2", 1, date(2024, 3, 1))
    books.book()
    export_journal(books.context(), tmp_path / "a.csv", format_="csv", by="test")
    return books


def test_a_document_that_the_erp_took_says_so(given: Books) -> None:
    assert told(given, "journal_ack", "A-1", document="MP000001-00001", state="accepted", erp_reference="JE-9") is None

    [row] = given.query("select state, erp_reference from v_journal_documents")
    assert row == {"state": "accepted", "erp_reference": "JE-9"}


def test_a_refusal_needs_a_person_until_the_erp_takes_it(given: Books) -> None:
    told(given, "journal_ack", "A-1", batch=1, state="rejected", reason="no account 1410")
    [opened] = given.query("select subject, detail from v_exceptions where resolved_at is null")
    assert "no account 1410" in opened["detail"]

    told(given, "journal_ack", "A-2", document="MP000001-00001", state="accepted", booked_on="2024-03-02")

    assert given.query("select * from v_exceptions where resolved_at is null") == []
    [row] = given.query("select state, reason, erp_booked_on from v_journal_documents")
    assert row == {"state": "accepted", "reason": None, "erp_booked_on": date(2024, 3, 2)}


@pytest.mark.parametrize(
    ("type_", "payload", "why"),
    [
        ("journal_ack", {"document": "MP9", "state": "accepted"}, "no document of the journal is called MP9"),
        ("journal_ack", {"batch": 9, "state": "accepted"}, "no batch of the journal is called 9"),
        ("journal_ack", {"state": "accepted"}, "either document"),
        ("journal_ack", {"batch": 1, "state": "maybe"}, "must be accepted or rejected"),
        (
            "vendor_bill",
            {"purchase_order_number": "99", "invoice_number": "I", "amount": "1", "billed_on": "2024-03-01"},
            "order 99 is not known",
        ),
        ("period_lock", {"locked_through": "march"}, "no date"),
    ],
)
def test_what_cannot_be_is_rejected_in_its_row(given: Books, type_: str, payload: dict[str, Any], why: str) -> None:
    assert why in (told(given, type_, "X-1", **payload) or "")


def test_a_bill_stands_beside_what_was_received(given: Books) -> None:
    bill = {"purchase_order_number": "1", "invoice_number": "INV-7", "billed_on": "2024-03-09"}
    told(given, "vendor_bill", "B-1", amount="12.50", **bill)

    with given.store.read() as conn:
        [line] = reports.grni(conn, today=TODAY).lines

    assert (line["order_billed"], line["invoices"], line["flag"]) == (Decimal("12.5"), 1, "billed otherwise")


def test_documents_are_booked_after_the_day_that_the_erp_closed_last(given: Books, tmp_path: Path) -> None:
    told(given, "period_lock", "L-1", locked_through="2024-04-30")
    told(given, "period_lock", "L-2", locked_through="2024-03-31")
    receipt(given, 2, "1", "2", 1, date(2024, 3, 5))
    given.book()

    export_journal(given.context(), tmp_path / "b.csv", format_="csv", by="test")

    days = [row["booked_on"] for row in given.query("select booked_on from v_journal_documents order by batch_id")]
    assert days == [date(2024, 3, 1), date(2024, 4, 1)]


def test_nothing_new_is_nothing_to_do(given: Books) -> None:
    told(given, "period_lock", "L-1", locked_through="2024-04-30")
    ctx = given.context()
    writes = ctx.store.writes

    assert answers_once(ctx) == 0
    assert ctx.store.writes == writes
