"""The ERP's door: its rows, and the documents that they become."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    LargeBinary,
    and_,
    cast,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    union_all,
    update,
)

from sync.database.chunks import chunks
from sync.database.schema import documents, inbox, ledger_entries, outbox
from sync.database.types import Instant
from sync.inbox.rules import COMMAND_TYPES, VOID, ErpDocument
from sync.ledger.books import Books
from sync.ledger.documents import document, documents_by_remote_id, insert_documents, update_documents
from sync.ledger.rules import ISSUANCE, RECEIPT, TRANSFER, NewEntry, new_entry
from sync.values.money import fixed

ERP = "erp"
NEAR_LOOKED_AT = 2000
"""Keys, the newest first, among which the one is looked for that an unknown one may be meant for."""

ACCEPTED, REJECTED, RECEIVED, SET_ASIDE = "accepted", "rejected", "received", "set_aside"
"""What a row may be. Set aside: it was rejected, and a person has said that it is not wanted."""

DECIDED = (ACCEPTED, REJECTED, SET_ASIDE)

_BOUNDS = sorted((*DECIDED, RECEIVED))
_ODD_STATES = (
    inbox.c.state < _BOUNDS[0],
    *(and_(inbox.c.state > low, inbox.c.state < high) for low, high in pairwise(_BOUNDS)),
    inbox.c.state > _BOUNDS[-1],
)
_ODD = union_all(*(select(inbox.c.id).where(one) for one in _ODD_STATES))
"""Rows with whatever else the ERP wrote for a state: in ranges, so that an index finds them."""


_WAITING = or_(inbox.c.state == RECEIVED, inbox.c.state.is_(None))


def undecided() -> ColumnElement[bool]:
    """Return whether any row is not decided yet: a question for each range of states, which an index answers."""
    ranges = [inbox.c.state == RECEIVED, inbox.c.state.is_(None), *_ODD_STATES]
    return or_(*(exists().where(one) for one in ranges))


@dataclass(frozen=True, slots=True)
class Received:
    """A row as the ERP inserted it. `repaired`: not all of it was text, and what was not is shown escaped."""

    id: int
    document_type: str | None
    api_key: str | None
    payload: str | None
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """A document that is to be recorded, with the text that it came as."""

    document: ErpDocument
    raw: str


def received_rows(conn: Connection, limit: int) -> list[Received]:
    """Return rows that are not decided yet, oldest first; a state that only an ERP can have set counts as received.

    SQLite stores what it is given, bytes and text in another encoding included: nothing of that may
    keep the rows behind it from being read.
    """
    found = _rows(conn, _WAITING, limit)
    return found if len(found) == limit else found + _rows(conn, inbox.c.id.in_(_ODD), limit - len(found))


def _rows(conn: Connection, undecided: ColumnElement[bool], limit: int) -> list[Received]:
    columns = (inbox.c.document_type, inbox.c.api_key, inbox.c.payload)
    if conn.dialect.name != "sqlite":
        rows = conn.execute(select(inbox.c.id, *columns).where(undecided).order_by(inbox.c.id).limit(limit))
        return [Received(*row) for row in rows]
    as_bytes = [cast(column, LargeBinary) for column in columns]
    blob = or_(*(func.typeof(column) == "blob" for column in columns))
    rows = conn.execute(select(inbox.c.id, blob, *as_bytes).where(undecided).order_by(inbox.c.id).limit(limit))
    return [_received(*row) for row in rows]


def _received(row_id: int, blob: bool | None, *values: bytes | None) -> Received:
    texts = [None if value is None else value.decode("utf-8", "backslashreplace") for value in values]
    broken = any(text is not None and text.encode() != value for text, value in zip(texts, values, strict=True))
    return Received(row_id, texts[0], texts[1], texts[2], repaired=bool(blob) or broken)


def close_row(books: Books, row: Received, *, state: str, error: str | None, digest: str | None) -> None:
    """Write the answer into an inbox row that nobody has answered meanwhile."""
    undecided = or_(inbox.c.state.not_in(DECIDED), inbox.c.state.is_(None))
    given: Any = inbox.c.received_at
    if books.conn.dialect.name == "sqlite":  # which takes anything for a time; null where it is none
        given = func.strftime("%Y-%m-%dT%H:%M:%f000Z", given)
    received_at = func.coalesce(given, literal(books.now, Instant))
    values = {"state": state, "error": error, "digest": digest, "decided_at": books.now, "received_at": received_at}
    if row.repaired:
        values |= {"document_type": row.document_type, "api_key": row.api_key, "payload": row.payload}
    books.conn.execute(update(inbox).where(inbox.c.id == row.id, undecided).values(**values))


def add_rows(conn: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Insert decided rows: what an import takes in is seen in the inbox too."""
    if rows:
        conn.execute(insert(inbox), list(rows))


def rejected_before(conn: Connection, document_type: str, api_key: str, payload: str) -> bool:
    """Tell whether this very document was refused before: it need not be written down, nor told, again."""
    query = select(inbox.c.id).where(
        inbox.c.document_type == document_type,
        inbox.c.api_key == api_key,
        inbox.c.payload == payload,
        inbox.c.state.in_((REJECTED, SET_ASIDE)),
    )
    return conn.execute(query.limit(1)).first() is not None


def rejected_without_key(conn: Connection, document_type: str) -> Iterator[str]:
    """Yield the payloads of a type's refused documents that have no key."""
    query = select(inbox.c.payload).where(
        inbox.c.document_type == document_type, inbox.c.api_key.is_(None), inbox.c.state.in_((REJECTED, SET_ASIDE))
    )
    yield from (payload or "" for payload in conn.execute(query).scalars())


def is_set_aside(conn: Connection, row: Received) -> bool:
    """Tell whether a person has set this very document aside when it came before."""
    query = select(inbox.c.id).where(
        inbox.c.document_type == row.document_type,
        inbox.c.api_key.is_not_distinct_from(row.api_key),
        inbox.c.payload == row.payload,
        inbox.c.state == SET_ASIDE,
    )
    return conn.execute(query.limit(1)).first() is not None


def add_row(conn: Connection, row: dict[str, Any]) -> int:
    """Insert one decided row; return its id."""
    key = conn.execute(insert(inbox).values(**row)).inserted_primary_key
    assert key is not None
    return int(key[0])


def known_digests(conn: Connection, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return the digests of the accepted documents among these (type, remote id)s."""
    by_type: dict[str, set[str]] = {}
    for type_, remote_id in wanted:
        by_type.setdefault(type_, set()).add(remote_id)
    return {
        (type_, remote_id): row.digest
        for type_, ids in by_type.items()
        for remote_id, row in documents_by_remote_id(conn, ERP, type_, sorted(ids)).items()
    }


def known_events(conn: Connection, events: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return which of these (kind, api_key)s any system, or the outbox, knows."""
    wanted = set(events)
    found: set[tuple[str, str]] = set()
    for chunk in chunks(sorted({key for _, key in wanted})):
        for table in (ledger_entries, outbox):
            query = select(table.c.kind, table.c.api_key).where(table.c.api_key.in_(chunk)).distinct()
            found |= {(row.kind, row.api_key) for row in conn.execute(query)}
    return found & wanted


def near_keys(conn: Connection, kind: str, api_key: str) -> list[str]:
    """Return keys of the ERP's documents of a kind that begin as one that is not known, the newest first."""
    columns = documents.c
    alike = or_(
        columns.api_key.startswith(api_key[:3], autoescape=True), func.lower(columns.api_key) == api_key.lower()
    )
    query = select(columns.api_key).where(columns.system == ERP, columns.type == kind, alike)
    rows = conn.execute(query.order_by(columns.id.desc()).limit(NEAR_LOOKED_AT)).scalars()
    return [key for key in rows if key is not None]


def note_accepted(conn: Connection, document: ErpDocument, note: str) -> None:
    """Say in an accepted document's row what became of it, where nothing was left to do."""
    where = inbox.c.document_type == document.type, inbox.c.digest == document.digest, inbox.c.state == ACCEPTED
    conn.execute(update(inbox).where(*where, inbox.c.error.is_distinct_from(note)).values(error=note))


def record_documents(books: Books, taken: Sequence[Taken]) -> None:
    """Record accepted documents: ledger entries where they move stock, and work for reconcile where they do not."""
    entries = [entry for one in taken for entry in entries_of(one.document, today=books.today)]
    ids = iter(books.append(entries))
    rows = []
    for one in taken:
        own = [next(ids) for _ in entries_of(one.document, today=books.today)]
        rows.append(_row(one, own[0] if own else None, books.now))
    insert_documents(books.conn, rows)
    look_at = [(one.document.type, one.document.api_key) for one in taken if one.document.type in COMMAND_TYPES]
    look_at += [(one.document.text("kind"), one.document.api_key) for one in taken if one.document.type == VOID]
    books.look_again(look_at, reason="new document")
    for one in taken:
        if one.document.type == VOID:
            _reverse_own(books, one.document)


def entries_of(one: ErpDocument, *, today: date) -> list[NewEntry]:
    """Return a document's ledger entries: one, for a transfer one per warehouse, for a command none.

    What an issuance costs is MPW's fact, so the ERP's entry has none.
    """
    nothing = fixed(0)
    if one.type == RECEIPT:
        return [
            _entry(one, one.text("warehouse_name"), one.number("quantity_received"), one.number("unit_cost"), today)
        ]
    if one.type == ISSUANCE:
        return [_entry(one, one.text("warehouse_name"), -one.number("quantity"), nothing, today)]
    if one.type == TRANSFER:
        quantity = one.number("quantity")
        return [
            _entry(one, one.text("warehouse_name"), -quantity, nothing, today),
            _entry(one, one.text("destination_warehouse_name"), quantity, nothing, today),
        ]
    return []


def _entry(one: ErpDocument, warehouse: str, quantity: Any, unit_cost: Any, today: date) -> NewEntry:
    return new_entry(
        ERP,
        one.type,
        one.api_key,
        one.remote_id,
        item=one.text("part_number"),
        warehouse=warehouse,
        quantity=quantity,
        unit_cost=unit_cost,
        occurred_on=one.created_on or today,
    )


def _row(one: Taken, entry_id: int | None, now: datetime) -> dict[str, Any]:
    fields = one.document.fields
    return {
        "system": ERP,
        "type": one.document.type,
        "remote_id": one.document.remote_id,
        "source": "inbox",
        "day": one.document.created_on,
        "raw": one.raw,
        "digest": one.document.digest,
        "api_key": one.document.api_key,
        "item": fields.get("part_number") or fields.get("external_id"),
        "warehouse": fields.get("warehouse_name"),
        "entry_id": entry_id,
        "first_seen_at": now,
        "last_seen_at": now,
    }


def _reverse_own(books: Books, void: ErpDocument) -> None:
    """Reverse what the ERP itself had recorded under the voided key."""
    own = document(books.conn, ERP, void.text("kind"), void.api_key)
    if own is None or own.entry_id is None:
        return
    books.reverse([own.entry_id])
    update_documents(books.conn, [{"id": own.id, "entry_id": None, "voided_at": books.now}])
