"""What the ERP answers about the books through its inbox: what it took or refused, bills, closed periods."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import Connection

from sync.database.facts import fact
from sync.inbox.rows import BOOKS_TOLD
from sync.inbox.rules import BOOK_TYPES, JOURNAL_ACK, VENDOR_BILL, ErpDocument, read_document
from sync.journal import answer_rows
from sync.ledger.books import Books
from sync.values.subjects import Subject
from sync.work.context import Context

BATCH = 1_000
ANSWERED = "journal_answered"
"""Up to which of the ERP's answers they were acted on: the fact BOOKS_TOLD as it was, and the document's id."""

LOCKED_THROUGH = "journal_locked_through"
"""The last day that the ERP says is closed."""

JOURNAL_REJECTED = "journal_rejected"


def answers_once(ctx: Context) -> int:
    """Act on the ERP's answers that are new; return how many. Call it as leader."""
    total = 0
    while not ctx.stopping():
        known = ctx.due().facts
        told, (answered, _) = known.get(BOOKS_TOLD), _answered(known.get(ANSWERED))
        if told is None or told == answered:
            break
        with ctx.leader_writes() as books:
            total += _next(books)
    return total


def _answered(text: str | None) -> tuple[str, int]:
    told, _, id_ = (text or "0 0").partition(" ")
    return told, int(id_)


def _next(books: Books) -> int:
    told, (_, last) = fact(books.conn, BOOKS_TOLD) or "0", _answered(fact(books.conn, ANSWERED))
    rows = answer_rows.answers_after(books.conn, last, BOOK_TYPES, BATCH)
    for last, type_, api_key, raw in rows:  # noqa: B007 - the last one is where the next pass begins
        document = read_document(type_, api_key, raw)
        if isinstance(document, ErpDocument):
            _act(books, document)
    done = told if len(rows) < BATCH else "more"
    books.note_fact(ANSWERED, f"{done} {last}")
    return len(rows)


def _act(books: Books, one: ErpDocument) -> None:
    fields: Any = one.fields
    if one.type == JOURNAL_ACK:
        _acknowledge(books, fields)
    elif one.type == VENDOR_BILL:
        answer_rows.bill(
            books,
            api_key=one.api_key,
            purchase_order=fields["purchase_order_number"],
            invoice=fields["invoice_number"],
            amount=fields["amount"],
            billed_on=fields["billed_on"],
        )
    else:
        books.note_fact(LOCKED_THROUGH, fields["locked_through"].isoformat())


def _acknowledge(books: Books, fields: Any) -> None:
    """Write down the answer; a refusal needs a person, and a later acceptance ends that."""
    state = fields["state"]
    numbers = answer_rows.acknowledge(
        books.conn,
        number=fields.get("document"),
        batch=int(fields["batch"]) if "batch" in fields else None,
        state=state,
        reference=fields.get("erp_reference"),
        booked_on=fields.get("booked_on"),
        reason=fields.get("reason"),
    )
    for number in numbers:
        subject = Subject.row(f"journal {number}")
        if state == "accepted":
            books.resolve_exceptions(JOURNAL_REJECTED, subject, resolution="the ERP has taken it")
            continue
        books.open_exception(
            JOURNAL_REJECTED,
            about=subject,
            detail=f"the ERP refused {number}, and its books lack it: {fields.get('reason') or 'no reason was given'}",
            hint="end the cause in the ERP, give it again (`mpsync export journal FILE --again BATCH`), and let the ERP"
            " answer with journal_ack accepted; it is in v_journal_documents",
        )


def lock_of(conn: Connection, setting: date | None) -> date | None:
    """Return the last closed day: the later of the setting's and of what the ERP said last."""
    said = fact(conn, LOCKED_THROUGH)
    days = [day for day in (setting, date.fromisoformat(said) if said else None) if day is not None]
    return max(days, default=None)
