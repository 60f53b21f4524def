"""What the ERP answered about the books, and what becomes of it in the journal's tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import Connection, select, update

from sync.database.chunks import upsert
from sync.database.schema import documents, journal_bills, journal_documents
from sync.ledger.books import Books


def answers_after(conn: Connection, id_: int, types: Sequence[str], limit: int) -> list[tuple[int, str, str, str]]:
    """Return the ERP's answers after a document's id: id, type, api_key and the text as it came."""
    query = (
        select(documents.c.id, documents.c.type, documents.c.api_key, documents.c.raw)
        .where(documents.c.system == "erp", documents.c.type.in_(types), documents.c.id > id_)
        .order_by(documents.c.id)
        .limit(limit)
    )
    return [(row.id, row.type, row.api_key, row.raw) for row in conn.execute(query)]


def acknowledge(
    conn: Connection,
    *,
    number: str | None,
    batch: int | None,
    state: str,
    reference: str | None,
    booked_on: date | None,
    reason: str | None,
) -> list[str]:
    """Write down what became of a document, or of a batch's; return their numbers."""
    which = journal_documents.c.number == number if number is not None else journal_documents.c.batch_id == batch
    values = {"state": state, "erp_reference": reference, "erp_booked_on": booked_on, "reason": reason}
    done = update(journal_documents).where(which).values(**values).returning(journal_documents.c.number)
    return sorted(conn.execute(done).scalars())


def bill(books: Books, *, api_key: str, **values: Any) -> None:
    """Write down a vendor's bill; the same one again changes nothing."""
    row = {"api_key": api_key, "told_at": books.now, **values}
    upsert(books.conn, journal_bills, [row], key=("api_key",), update=())
