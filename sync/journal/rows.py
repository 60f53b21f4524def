"""The journal's tables: what a batch of ledger entries touches, and what it leaves. Numbers travel as millionths."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import BigInteger, Column, Connection, Text, and_, cast, func, insert, select, text, type_coerce
from sqlalchemy import delete as delete_
from sqlalchemy.sql.elements import ColumnElement

from sync.database.bulk import insert_stored
from sync.database.chunks import among, chunks, upsert
from sync.database.schema import (
    documents,
    journal_batch_entries,
    journal_documents,
    journal_entries,
    journal_held,
    journal_holds,
    journal_positions,
    ledger_entries,
    outbox,
    work_orders,
)
from sync.database.types import Fixed, instant_text
from sync.journal.rules import Entry, Facts, Key, LedgerRow, Place, Position, told_in
from sync.ledger.books import Books

L, J = ledger_entries, journal_entries
STORED = (*Entry._fields, "run_id", "derived_at")
"""The columns, in the table's own order, which is that of `Entry`."""


def _raw(column: Column[Any]) -> ColumnElement[Any]:
    """Return a number as the integer that is stored: the journal computes in millionths."""
    return type_coerce(column, BigInteger).label(column.name) if isinstance(column.type, Fixed) else column


def _day(conn: Connection, column: Column[Any]) -> ColumnElement[Any]:
    """Return a day as its text, which SQLite stores anyway."""
    as_text = type_coerce(column, Text) if conn.dialect.name == "sqlite" else cast(column, Text)
    return as_text.label(column.name)


def _ledger_columns(conn: Connection) -> list[ColumnElement[Any]]:
    days = {"occurred_on", "posted_on"}
    return [_day(conn, L.c[name]) if name in days else _raw(L.c[name]) for name in LedgerRow._fields]


def ledger_after(conn: Connection, seq: int, limit: int) -> list[LedgerRow]:
    """Return ledger entries that were committed after `seq`, in that order."""
    query = select(*_ledger_columns(conn)).where(L.c.id > seq).order_by(L.c.id).limit(limit)
    return [LedgerRow(*row) for row in conn.execute(query).all()]


def ledger_rows(conn: Connection, ids: Iterable[int]) -> list[LedgerRow]:
    """Return ledger entries by their id, in commit order."""
    found: list[LedgerRow] = []
    for chunk in chunks(sorted(ids)):
        query = select(*_ledger_columns(conn)).where(L.c.id.in_(chunk)).order_by(L.c.id)
        found += [LedgerRow(*row) for row in conn.execute(query)]
    return found


# --- facts --------------------------------------------------------------------------------


class _Raw(msgspec.Struct):
    """What the journal reads of a row of MPW's, as it came; anything else in it is left."""

    vendor_name: str | int | None = None
    purchase_order_number: int | str | None = None
    invoice_number: str | int | None = None
    description: str | int | None = None


_decode = msgspec.json.Decoder(_Raw, strict=False).decode
_NOTHING = _Raw()


def _read_raw(raw: str) -> _Raw:
    try:
        return _decode(raw)
    except (msgspec.DecodeError, UnicodeError):  # pruned, or of a shape that its reader tolerated
        return _NOTHING


def _text(value: object) -> str | None:
    return None if value is None or value == "" else str(value)


def facts_of(conn: Connection, rows: Sequence[LedgerRow]) -> dict[int, Facts]:
    """Return what MPW's rows say of these originals, and of issuances what our own pushes said.

    A document counts only while its entry is this one: its text follows later edits.
    """
    found: dict[int, Facts] = {}
    for kind in ("receipt", "issuance"):
        mine = {row.remote_id: row for row in rows if row.kind == kind}
        pushed = _pushed(conn, [row.api_key for row in rows if row.kind == kind == "issuance"])
        if not mine:
            continue
        query = select(documents.c.entry_id, documents.c.raw).where(
            documents.c.system == "mpw", documents.c.type == kind, among(conn, documents.c.remote_id, mine)
        )
        raws = {entry_id: raw for entry_id, raw in conn.execute(query).all()}  # noqa: C416 - dict() asks a row for keys
        for row in rows:
            if row.kind == kind:
                raw = _read_raw(raws[row.id]) if row.id in raws else _NOTHING
                found[row.id] = _facts(row, raw, pushed.get(row.api_key))
    return _with_equipment(conn, found)


def _facts(row: LedgerRow, raw: _Raw, pushed: tuple[str | None, str | None] | None) -> Facts:
    work_order = equipment = None
    if row.kind == "issuance":
        work_order, equipment = told_in(_text(raw.description))
        if pushed is not None:
            work_order, equipment = pushed[0] or work_order, pushed[1] or equipment
    return Facts(
        work_order,
        equipment,
        row.item,
        _text(raw.vendor_name),
        None,
        row.warehouse,
        _text(raw.purchase_order_number),
        _text(raw.invoice_number),
    )


def _pushed(conn: Connection, keys: Sequence[str]) -> dict[str, tuple[str | None, str | None]]:
    """Return work order and equipment of our own pushes of issuances, by key."""
    ours = [key for key in keys if not key.startswith("mpw-")]
    if not ours:
        return {}
    query = select(outbox.c.api_key, outbox.c.payload).where(
        outbox.c.operation == "post_issuance", among(conn, outbox.c.api_key, ours)
    )
    found = {}
    for key, payload in conn.execute(query):
        sent = json.loads(payload) if payload.startswith("{") else {}
        found[key] = (_text(sent.get("work_order_sequential_id")), _text(sent.get("equipment_unit_number")))
    return found


def _with_equipment(conn: Connection, facts: dict[int, Facts]) -> dict[int, Facts]:
    """Fill in the equipment of a work order, as MPW's own work order names it."""
    wanted = {one.work_order for one in facts.values() if one.work_order is not None and one.equipment is None}
    if not wanted:
        return facts
    query = select(work_orders.c.number, work_orders.c.raw).where(
        work_orders.c.system == "mpw", among(conn, work_orders.c.number, sorted(wanted))
    )
    names = {}
    for number, raw in conn.execute(query):
        try:
            names[number] = _text(msgspec.json.decode(raw, type=dict[str, Any]).get("equipment_name"))
        except (msgspec.DecodeError, msgspec.ValidationError):
            continue
    return {
        id_: one._replace(equipment=names[one.work_order]) if one.equipment is None and one.work_order in names else one
        for id_, one in facts.items()
    }


# --- what is there ------------------------------------------------------------------------


def _entry_columns(conn: Connection) -> list[ColumnElement[Any]]:
    days = {"occurred_on", "posted_on"}
    return [_day(conn, J.c[name]) if name in days else _raw(J.c[name]) for name in Entry._fields]


def _entries(conn: Connection, condition: ColumnElement[bool]) -> list[Entry]:
    query = select(*_entry_columns(conn)).where(condition).order_by(J.c.id)
    return [Entry(*row) for row in conn.execute(query).all()]


def entries_by_ledger(conn: Connection, ids: Iterable[int]) -> dict[int, Entry]:
    """Return journal entries by the ledger entry that they book."""
    found: dict[int, Entry] = {}
    for chunk in chunks(sorted(ids)):
        found |= {one.ledger_id: one for one in _entries(conn, J.c.ledger_id.in_(chunk)) if one.ledger_id is not None}
    return found


def entries_by_id(conn: Connection, ids: Iterable[int]) -> dict[int, Entry]:
    """Return journal entries by their id."""
    found: dict[int, Entry] = {}
    for chunk in chunks(sorted(ids)):
        found |= {one.id: one for one in _entries(conn, J.c.id.in_(chunk))}
    return found


def entries_of_key(conn: Connection, api_key: str) -> list[Entry]:
    """Return an event's journal entries, in their order."""
    return _entries(conn, J.c.api_key == api_key)


def given_to_deliver(conn: Connection, keys: Iterable[Key]) -> dict[Key, list[Entry]]:
    """Return the entries of events that mpsync delivers, by event."""
    wanted = set(keys)
    found: dict[Key, list[Entry]] = {}
    if wanted:
        condition = and_(among(conn, J.c.api_key, sorted({key for _, key in wanted})), J.c.booked_by == "mpsync")
        for one in _entries(conn, condition):
            if (one.kind, one.api_key) in wanted:
                found.setdefault((one.kind, one.api_key), []).append(one)
    return found


def erp_first(conn: Connection, keys: Iterable[str]) -> dict[Key, int]:
    """Return the id of the ERP's first entry of each event that it knows, of any kind under these keys."""
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    query = (
        select(L.c.kind, L.c.api_key, func.min(L.c.id))
        .where(among(conn, L.c.api_key, wanted), L.c.system == "erp")
        .group_by(L.c.kind, L.c.api_key)
    )
    return {(kind, key): first for kind, key, first in conn.execute(query)}


def positions_of(conn: Connection, items: Iterable[str]) -> dict[Place, Position]:
    """Return the positions of items, in every warehouse."""
    wanted = sorted(set(items))
    if not wanted:
        return {}
    p = journal_positions.c
    query = select(p.item, p.warehouse, p.account, _raw(p.quantity), _raw(p.value), _raw(p.booked)).where(
        among(conn, p.item, wanted)
    )
    return {(row[0], row[1]): Position(*row[2:]) for row in conn.execute(query).all()}


def moved_counters(conn: Connection, entry_ids: Iterable[int]) -> dict[int, str]:
    """Return where the counter line of an entry lies now, where a person booked it elsewhere."""
    found: dict[int, str] = {}
    for chunk in chunks(sorted(entry_ids)):
        query = (
            select(J.c.reverses_id, J.c.counter_account)
            .where(J.c.reverses_id.in_(chunk), J.c.origin == "reclass")
            .order_by(J.c.id)
        )
        found |= {about: account for about, account in conn.execute(query)}  # noqa: C416
    return found


def taken_back(conn: Connection, entry_ids: Iterable[int]) -> set[int]:
    """Return which of these entries the ledger took back, or were handed over."""
    found: set[int] = set()
    for chunk in chunks(sorted(entry_ids)):
        query = select(J.c.reverses_id).where(J.c.reverses_id.in_(chunk), J.c.origin != "reclass")
        found.update(conn.execute(query).scalars())
    return found


def in_batches(conn: Connection, entry_ids: Iterable[int]) -> dict[int, str]:
    """Return the document of each of these entries that was given."""
    found: dict[int, str] = {}
    for chunk in chunks(sorted(entry_ids)):
        query = (
            select(journal_batch_entries.c.entry_id, journal_documents.c.number)
            .join(journal_documents, journal_documents.c.id == journal_batch_entries.c.document_id)
            .where(journal_batch_entries.c.entry_id.in_(chunk))
        )
        found |= {id_: number for id_, number in conn.execute(query)}  # noqa: C416
    return found


def note_holds(books: Books, entry_ids: Iterable[int], *, held: bool, why: str, by: str) -> None:
    """Write down that entries are kept out of batches from now on, or let go; the last word counts."""
    rows = [{"entry_id": id_, "held": held, "why": why, "made_by": by, "made_at": books.now} for id_ in entry_ids]
    if rows:
        books.conn.execute(insert(journal_holds), rows)


def transfers_done(conn: Connection, items: Iterable[str]) -> list[LedgerRow]:
    """Return the receiving legs of the ERP's transfers of these items that are in the journal."""
    wanted = sorted(set(items))
    if not wanted:
        return []
    query = (
        select(*_ledger_columns(conn))
        .where(
            among(conn, L.c.item, wanted),
            L.c.system == "erp",
            L.c.kind == "transfer",
            L.c.entry_type == "original",
            type_coerce(L.c.quantity, BigInteger) > 0,
        )
        .order_by(L.c.id)
    )
    return [LedgerRow(*row) for row in conn.execute(query).all()]


def receiving_legs(conn: Connection, keys: Iterable[str]) -> dict[str, LedgerRow]:
    """Return the receiving legs of the ERP's transfers, by key."""
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    query = select(*_ledger_columns(conn)).where(
        among(conn, L.c.api_key, wanted),
        L.c.system == "erp",
        L.c.kind == "transfer",
        L.c.entry_type == "original",
        type_coerce(L.c.quantity, BigInteger) > 0,
    )
    return {row[3]: LedgerRow(*row) for row in conn.execute(query)}


def next_entry_id(conn: Connection) -> int:
    """Return the id that the next entry takes; the caller is the only one who appends (`lock_appends`)."""
    return int(conn.execute(select(func.coalesce(func.max(J.c.id), 0))).scalar_one()) + 1


def has_entries(conn: Connection) -> bool:
    """Tell whether the journal has any entry."""
    return conn.execute(select(J.c.id).limit(1)).first() is not None


# --- writing ------------------------------------------------------------------------------


def append(books: Books, entries: Sequence[Entry]) -> None:
    """Append entries whose ids are taken already."""
    if not entries:
        return
    at: Any = instant_text(books.now) if books.conn.dialect.name == "sqlite" else books.now
    end = (books.run_id, at)
    insert_stored(books.conn, J, STORED, [(*entry, *end) for entry in entries])


def save_positions(conn: Connection, positions: Mapping[Place, Position], touched: Iterable[Place]) -> None:
    """Write down what positions hold now."""
    values: list[tuple[Any, ...]] = [
        (item, warehouse, one.account, one.quantity, one.value, one.booked)
        for (item, warehouse) in sorted(touched)
        for one in [positions[item, warehouse]]
    ]
    if not values:
        return
    insert_ = "insert into journal_positions (item, warehouse, account, quantity, value, booked) "
    conflict = (
        " on conflict (item, warehouse) do update set account = excluded.account, quantity = excluded.quantity,"
        " value = excluded.value, booked = excluded.booked"
    )
    if conn.dialect.name != "sqlite":  # one statement of six lists: thousands of values would each be a parameter
        lists = "%s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[]"
        columns = tuple(map(list, zip(*values, strict=True)))
        conn.exec_driver_sql(f"{insert_} select * from unnest({lists}){conflict}", columns)  # noqa: S608
        return
    for part in chunks(values, POSITIONS_AT_ONCE):
        rows = ", ".join(["(?, ?, ?, ?, ?, ?)"] * len(part))
        conn.exec_driver_sql(f"{insert_} values {rows}{conflict}", tuple(chain.from_iterable(part)))


POSITIONS_AT_ONCE = 500


def hold(books: Books, held: Mapping[int, tuple[str, str]]) -> None:
    """Write down what waits, and for what."""
    rows = [
        {"ledger_id": id_, "reason": reason, "detail": detail, "held_at": books.now}
        for id_, (reason, detail) in sorted(held.items())
    ]
    upsert(books.conn, journal_held, rows, key=("ledger_id",), update=("reason", "detail"))


def held_among(conn: Connection, ids: Iterable[int]) -> dict[int, tuple[str, str]]:
    """Return which of these ledger entries are held, and for what."""
    found: dict[int, tuple[str, str]] = {}
    for chunk in chunks(sorted(ids)):
        query = select(journal_held.c.ledger_id, journal_held.c.reason, journal_held.c.detail).where(
            journal_held.c.ledger_id.in_(chunk)
        )
        found |= {row[0]: (row[1], row[2]) for row in conn.execute(query)}
    return found


def held_for(conn: Connection, reason: str, *, after: int, limit: int) -> list[int]:
    """Return ledger entries that wait for a reason, oldest first."""
    query = (
        select(journal_held.c.ledger_id)
        .where(journal_held.c.reason == reason, journal_held.c.ledger_id > after)
        .order_by(journal_held.c.ledger_id)
        .limit(limit)
    )
    return list(conn.execute(query).scalars())


def held_with(conn: Connection, originals: Sequence[int]) -> list[int]:
    """Return the held reversals of these originals."""
    found: list[int] = []
    for chunk in chunks(originals):
        query = (
            select(journal_held.c.ledger_id)
            .join(L, L.c.id == journal_held.c.ledger_id)
            .where(L.c.reverses_id.in_(chunk))
        )
        found += conn.execute(query).scalars()
    return found


TRANSFERS_DONE = (
    select(journal_held.c.ledger_id)
    .join(L, L.c.id == journal_held.c.ledger_id)
    .join(outbox, and_(outbox.c.api_key == L.c.api_key, outbox.c.kind == "transfer", outbox.c.state == "done"))
    .where(journal_held.c.reason == "transfer")
)
"""Held transfers whose push is done."""


def held_transfers_done(conn: Connection, limit: int) -> list[int]:
    """Return held transfers whose push is done, oldest first."""
    return list(conn.execute(TRANSFERS_DONE.order_by(journal_held.c.ledger_id).limit(limit)).scalars())


def let_go(conn: Connection, ids: Iterable[int]) -> None:
    """Take ledger entries off the list of what is held."""
    for chunk in chunks(sorted(ids)):
        conn.execute(delete_(journal_held).where(journal_held.c.ledger_id.in_(chunk)))


class Booked(NamedTuple):
    """A journal entry beside what its ledger entry says now; None where it books none."""

    entry: Entry
    quantity: int | None
    amount: int | None


PAGE = 5_000


def booked(conn: Connection) -> Iterator[Booked]:
    """Yield every journal entry beside its ledger entry, in order, a page at a time."""
    after = 0
    while True:
        query = (
            select(
                *_entry_columns(conn), _raw(L.c.quantity).label("its_quantity"), _raw(L.c.amount).label("its_amount")
            )
            .join_from(J, L, L.c.id == J.c.ledger_id, isouter=True)
            .where(J.c.id > after)
            .order_by(J.c.id)
            .limit(PAGE)
        )
        page = [Booked(Entry(*row[:-2]), row[-2], row[-1]) for row in conn.execute(query)]
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1].entry.id


def all_positions(conn: Connection) -> dict[Place, Position]:
    """Return every position."""
    p = journal_positions.c
    query = select(p.item, p.warehouse, p.account, _raw(p.quantity), _raw(p.value), _raw(p.booked))
    return {(row[0], row[1]): Position(*row[2:]) for row in conn.execute(query).all()}


def forgotten(conn: Connection, *, starts_on: date, seq: int) -> list[int]:
    """Return ledger entries of MPW's that should be in the journal, and are neither there nor held."""
    query = (
        select(L.c.id)
        .join(J, J.c.ledger_id == L.c.id, isouter=True)
        .join(journal_held, journal_held.c.ledger_id == L.c.id, isouter=True)
        .where(
            L.c.id <= seq,
            L.c.system == "mpw",
            L.c.kind.in_(("receipt", "issuance")),
            L.c.entry_type == "original",
            L.c.occurred_on >= starts_on,
            J.c.id.is_(None),
            journal_held.c.ledger_id.is_(None),
        )
        .order_by(L.c.id)
        .limit(100)
    )
    return list(conn.execute(query).scalars())


def documents_off(conn: Connection) -> list[str]:
    """Return the numbers of documents whose debit is not what its entries debit, summed line by line."""
    query = text(
        "select d.number from journal_documents as d left join ("
        " select b.document_id, sum(case when e.amount > 0 then e.amount else 0 end"
        " + case when e.counter_amount > 0 then e.counter_amount else 0 end"
        " + case when e.rounding_amount > 0 then e.rounding_amount else 0 end) as debit"
        " from journal_batch_entries as b join journal_entries as e on e.id = b.entry_id group by b.document_id"
        ") as s on s.document_id = d.id where coalesce(s.debit, 0) <> d.debit order by d.number"
    )
    return list(conn.execute(query).scalars())


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for one reason: how many ledger entries, of what amount, and one of them."""

    reason: str
    entries: int
    amount: int
    example: str
    detail: str


def waiting(conn: Connection) -> dict[str, Waiting]:
    """Return what is held, by reason."""
    query = text(
        "select h.reason, count(*), sum(l.amount), min(l.kind || ' ' || l.api_key), min(h.detail)"
        " from journal_held as h join ledger_entries as l on l.id = h.ledger_id group by h.reason"
    )
    return {row[0]: Waiting(row[0], int(row[1]), int(row[2]), row[3], row[4]) for row in conn.execute(query)}


def day_of(value: str | date) -> date:
    """Return a day that the database gave, as a date."""
    return value if isinstance(value, date) else date.fromisoformat(value)
