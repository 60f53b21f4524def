"""Documents that were refused: a person is told, until the key is accepted or the document is set aside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.engine import Row

from sync.database.exceptions import close_by_person, open_exceptions, subject_of
from sync.database.schema import documents, inbox
from sync.inbox.rows import ACCEPTED, ERP, REJECTED, SET_ASIDE
from sync.inbox.rules import ErpDocument, key_in, type_in
from sync.ledger.books import Books
from sync.values.subjects import Subject

INBOX_REJECTED = "inbox_rejected"
SHOWN_MAX = 500
MPW_LEADS = "MPW has this part: its stock follows MPW"
"""Why the ERP may not set an item's stock and cost: MPW's next movement would overwrite it."""


@dataclass(slots=True)
class Refusals:
    """What was refused in one transaction, by what it is about: the newest row of each, its reason, and how many."""

    found: dict[Subject, tuple[int, str, int]] = field(default_factory=dict)

    def add(self, row_id: int, document_type: str | None, api_key: str | None, payload: str | None, why: str) -> None:
        """Note a refused document."""
        subject = subject_about(document_type, api_key, payload)
        count = self.found.get(subject, (0, "", 0))[2]
        self.found[subject] = (row_id, why, count + 1)

    def forget(self, document: ErpDocument) -> None:
        """Note that its key was accepted after all."""
        self.found.pop(Subject.row(f"{document.type} {document.api_key}"), None)

    def tell(self, books: Books) -> None:
        """Open an exception about each."""
        for subject, (row_id, why, count) in self.found.items():
            many = f" ({count} such documents; the last is told)" if count > 1 else ""
            books.open_exception(
                INBOX_REJECTED,
                about=subject,
                detail=f"{subject.name} was rejected{many}: {why[:SHOWN_MAX]}; nothing of it is recorded or sent",
                hint=f"`mpsync inbox show {row_id}` shows it; correct it in the ERP and let it send it again: this "
                f"ends when its key is accepted. If it is not wanted, or comes under another key, "
                f"`mpsync inbox set-aside {row_id} --why TEXT`",
            )


def subject_about(document_type: str | None, api_key: str | None, payload: str | None) -> Subject:
    """Return what a refused document is about: its type and key; all of a type that have no key are one."""
    key = key_in(api_key, payload)
    return Subject.row(f"{type_in(document_type)[:60] or 'a document'} {key[:120] if key else 'without api_key'}")


def resolve_accepted(books: Books, documents: Iterable[ErpDocument]) -> None:
    """End what was told about keys that have been accepted."""
    told = {subject_of(row) for row in open_exceptions(books.conn, kind=INBOX_REJECTED)}
    for document in documents if told else ():
        subject = Subject.row(f"{document.type} {document.api_key}")
        if subject in told:
            books.resolve_exceptions(INBOX_REJECTED, about=subject, resolution="its key was accepted")


def take_back_accepted(books: Books, document: ErpDocument, *, why: str) -> None:
    """Reject a command that was accepted, before anything was made of it: it is decided again when it comes again."""
    where = inbox.c.document_type == document.type, inbox.c.digest == document.digest, inbox.c.state == ACCEPTED
    refusals = Refusals()
    for row in books.conn.execute(select(inbox).where(*where).order_by(inbox.c.id)).all():
        books.conn.execute(update(inbox).where(inbox.c.id == row.id).values(state=REJECTED, error=why))
        refusals.add(row.id, document.type, document.api_key, None, why)
    refusals.tell(books)
    of_erp = documents.c.system == ERP, documents.c.type == document.type, documents.c.remote_id == document.remote_id
    books.conn.execute(delete(documents).where(*of_erp))


def rejected_rows(conn: Connection, ids: Sequence[int]) -> dict[int, Row[Any]]:
    """Return these rows of the inbox, whatever their state, by id."""
    return {row.id: row for row in conn.execute(select(inbox).where(inbox.c.id.in_(list(ids))))}


def set_aside(books: Books, subjects: Iterable[Subject], ids: Sequence[int], *, why: str, by: str) -> int:
    """Set refused documents aside by a person's word: these rows, and every one of the same type and key.

    What was told of them ends, where no other one is left that it was told of. Returns how many rows were.
    """
    wanted, count = set(subjects), 0
    rows = list(books.conn.execute(select(inbox).where(inbox.c.state == REJECTED)))
    keyless = {subject for subject in wanted if subject.name.endswith(" without api_key")}
    left: set[Subject] = set()
    for row in rows:
        subject = subject_about(row.document_type, row.api_key, row.payload)
        if subject not in wanted:
            continue
        if ids and subject in keyless and row.id not in ids:
            left.add(subject)
            continue
        books.conn.execute(update(inbox).where(inbox.c.id == row.id).values(state=SET_ASIDE))
        count += 1
    for told in open_exceptions(books.conn, kind=INBOX_REJECTED):
        if subject_of(told) in wanted - left:
            close_by_person(books.conn, told.id, why=why, by=by, now=books.now)
    return count
