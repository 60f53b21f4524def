"""What the ERP answers about the books through its inbox: what it took or refused, bills, closed periods."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import Connection

from sync.database.exceptions import open_exception, resolve_exceptions
from sync.database.facts import fact, set_fact
from sync.inbox.rows import BOOKS_TOLD
from sync.inbox.rules import BOOK_TYPES, JOURNAL_ACK, VENDOR_BILL, ErpDocument, read_document
from sync.journal import answer_rows
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
        with ctx.write() as conn:
            total += _next(conn, ctx)
    return total


def _answered(text: str | None) -> tuple[str, int]:
    told, _, id_ = (text or "0 0").partition(" ")
    return told, int(id_)


def _next(conn: Connection, ctx: Context) -> int:
    told, (_, last) = fact(conn, BOOKS_TOLD) or "0", _answered(fact(conn, ANSWERED))
    rows = answer_rows.answers_after(conn, last, BOOK_TYPES, BATCH)
    for last, type_, api_key, raw in rows:  # noqa: B007 - the last one is where the next pass begins
        document = read_document(type_, api_key, raw)
        if isinstance(document, ErpDocument):
            _act(conn, ctx, document)
    done = told if len(rows) < BATCH else "more"
    set_fact(conn, ANSWERED, f"{done} {last}", now=ctx.clock.now())
    return len(rows)


def _act(conn: Connection, ctx: Context, one: ErpDocument) -> None:
    fields: Any = one.fields
    if one.type == JOURNAL_ACK:
        _acknowledge(conn, ctx, fields)
    elif one.type == VENDOR_BILL:
        answer_rows.bill(
            conn,
            api_key=one.api_key,
            now=ctx.clock.now(),
            purchase_order=fields["purchase_order_number"],
            invoice=fields["invoice_number"],
            amount=fields["amount"],
            billed_on=fields["billed_on"],
        )
    else:
        set_fact(conn, LOCKED_THROUGH, fields["locked_through"].isoformat(), now=ctx.clock.now())


def _acknowledge(conn: Connection, ctx: Context, fields: Any) -> None:
    """Write down the answer; a refusal needs a person, and a later acceptance ends that."""
    now, state = ctx.clock.now(), fields["state"]
    numbers = answer_rows.acknowledge(
        conn,
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
            resolve_exceptions(conn, JOURNAL_REJECTED, subject, resolution="the ERP has taken it", now=now)
            continue
        open_exception(
            conn,
            kind=JOURNAL_REJECTED,
            subject=subject,
            detail=f"the ERP refused {number}, and its books lack it: {fields.get('reason') or 'no reason was given'}",
            hint="end the cause in the ERP, give it again (`mpsync export journal FILE --again BATCH`), and let the ERP"
            " answer with journal_ack accepted; it is in v_journal_documents",
            now=now,
        )


def lock_of(conn: Connection, setting: date | None) -> date | None:
    """Return the last closed day: the later of the setting's and of what the ERP said last."""
    said = fact(conn, LOCKED_THROUGH)
    days = [day for day in (setting, date.fromisoformat(said) if said else None) if day is not None]
    return max(days, default=None)
