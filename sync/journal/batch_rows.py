"""Batches in their tables: what was cut, which documents that made, and their lines."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, insert, select, text, update

from sync.database.bulk import insert_rows
from sync.database.chunks import among
from sync.database.schema import (
    account_rules,
    journal_batch_entries,
    journal_batches,
    journal_documents,
    ledger_entries,
)
from sync.journal.accounts import ALLOWED
from sync.journal.formats.model import Document, Line, Options
from sync.journal.rows import day_of
from sync.ledger.books import Books
from sync.values.money import from_micros, to_micros

PAGE = {"summary": 40, "detail": 2_000}
"""Documents that are read at once: those of a summary have many entries each."""

_GREATER = {"sqlite": "max", "postgresql": "greatest"}

# An entry of which nothing is left to say (a part that is expensed at once, at its issue) is never given.
_OPEN = """
e.booked_by = 'mpsync' and (e.amount <> 0 or e.counter_amount <> 0) and e.posted_on <= :last
and not exists (select 1 from journal_batch_entries as b where b.entry_id = e.id)
and not coalesce((select h.held from journal_holds as h where h.entry_id = e.id order by h.id desc limit 1), {no})
"""


_CROSS = "cross join (select 1 as line union all select 2 union all select 3) as l"
_ACCOUNT = "case l.line when 1 then e.account when 2 then e.counter_account else e.rounding_account end"
_AMOUNT = "case l.line when 1 then e.amount when 2 then e.counter_amount else e.rounding_amount end"


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as it is kept. `debit` in millionths, `written_at` None: its files are not there yet."""

    id: int
    format: str
    mode: str
    options: Options
    entries: int
    documents: int
    lines: int
    debit: int
    digest: str | None
    files: tuple[str, ...]
    written_at: datetime | None


def cut(
    books: Books,
    *,
    format_: str,
    mode: str,
    options: Options,
    last: date,
    lock: date | None,
    by: str,
) -> Batch | None:
    """Take all that may be given up to a posting date into a new batch; None: there is nothing. Call under
    `lock_appends`.

    `lock` is the last closed day: a document is booked on the first open one that is not before its posting date.
    """
    conn = books.conn
    words = _words(conn)
    values: dict[str, Any] = {"last": _bound(conn, last), "open": _bound(conn, _day_after(lock))}
    first = conn.execute(
        text(f"select min({words['booked']}) from journal_entries as e where {words['open']}"), values
    ).scalar_one()
    if first is None:
        return None
    batch = int(conn.execute(select(func.coalesce(func.max(journal_batches.c.id), 0))).scalar_one()) + 1
    row = {"id": batch, "channel": "file", "format": format_, "mode": mode, "cut_at": books.now, "cut_by": by}
    sums = {"entries": 0, "documents": 0, "lines": 0, "debit": from_micros(0)}
    conn.execute(insert(journal_batches).values(**row, options="{}", **sums))
    next_id = int(conn.execute(select(func.coalesce(func.max(journal_documents.c.id), 0))).scalar_one()) + 1
    (_summary if mode == "summary" else _detail)(conn, batch, next_id, words, values)
    _sum_up(conn, batch, mode)
    options = replace(options, first_day=day_of(first).isoformat(), accounts=_accounts_of(conn, batch))
    frozen = json.dumps(options.as_dict(), sort_keys=True)
    conn.execute(update(journal_batches).where(journal_batches.c.id == batch).values(options=frozen))
    return batch_of(conn, batch)


def _words(conn: Connection) -> dict[str, str]:
    sqlite = conn.dialect.name == "sqlite"
    booked = f"{_GREATER[conn.dialect.name]}(e.posted_on, {':open' if sqlite else 'cast(:open as date)'})"
    return {"open": _OPEN.format(no="0" if sqlite else "false"), "booked": booked}


def _bound(conn: Connection, day: date) -> Any:
    return day.isoformat() if conn.dialect.name == "sqlite" else day


def _day_after(lock: date | None) -> date:
    return date(1, 1, 1) if lock is None else lock + timedelta(days=1)


def _accounts_of(conn: Connection, batch: int) -> dict[str, tuple[str, str]]:
    """Return the accounts of a batch, each with its use and name, by whatever version of the rules named it last."""
    used = conn.execute(
        text(
            f"select distinct {_ACCOUNT} from journal_batch_entries as b"
            " join journal_documents as d on d.id = b.document_id"
            f" join journal_entries as e on e.id = b.entry_id {_CROSS}"
            f" where d.batch_id = :batch and {_AMOUNT} <> 0"
        ),
        {"batch": batch},
    ).scalars()
    known: dict[str, tuple[str, str]] = dict.fromkeys(used, ("", ""))
    rank = {use: n for n, use in enumerate(ALLOWED)}
    query = select(account_rules.c.account, account_rules.c.use, account_rules.c.name).order_by(
        account_rules.c.version.desc(), account_rules.c.n
    )
    for account, use, name in conn.execute(query):
        if account in known:
            there, called = known[account]
            known[account] = (use if not there or rank[use] < rank[there] else there, called or name)
    return known


def _summary(conn: Connection, batch: int, next_id: int, words: Mapping[str, str], values: dict[str, Any]) -> None:
    """Make a document of each day and cost center, and file the entries under them."""
    sql = (
        f"select {words['booked']} as booked_on, e.cost_center from journal_entries as e where {words['open']}"
        " group by 1, 2"
    )
    found = sorted({(day_of(day), center) for day, center in conn.execute(text(sql), values)}, key=_in_order)
    rows = [
        (next_id + n, f"MP{batch:06}-{n + 1:05}", batch, day, center, from_micros(0), "cut")
        for n, (day, center) in enumerate(found)
    ]
    _insert_documents(conn, rows)
    conn.execute(
        text(
            "insert into journal_batch_entries (entry_id, document_id) select e.id, d.id from journal_entries as e"
            f" join journal_documents as d on d.batch_id = :batch and d.booked_on = {words['booked']}"
            " and coalesce(d.cost_center, '') = coalesce(e.cost_center, '')"
            f" where {words['open']}"
        ),
        {**values, "batch": batch},
    )


def _in_order(one: tuple[date, str | None]) -> tuple[date, str]:
    return one[0], one[1] or ""


def _insert_documents(conn: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    names = ("id", "number", "batch_id", "booked_on", "cost_center", "debit", "state")
    insert_rows(conn, journal_documents, names, rows)


_DETAIL = """
select e.id, {booked} as booked_on, e.cost_center, e.origin, e.kind, l.remote_id, l.entry_type,
    coalesce(l.reverses_id, l.id) as original
from journal_entries as e
left join journal_entries as about on about.id = e.reverses_id and e.origin = 'handover'
left join ledger_entries as l on l.id = coalesce(e.ledger_id, about.ledger_id)
where {open}
order by 2, 1
"""
_LETTER = {"receipt": "R", "issuance": "I"}
_REMOTE_ID_MAX = 12
"""Characters of an id that a number holds; a longer one is told by a digest of itself."""


def _detail(conn: Connection, batch: int, next_id: int, words: Mapping[str, str], values: dict[str, Any]) -> None:
    """Make a document of each entry, numbered by what it comes from, so that a restore gives it the same number."""
    entries = conn.execute(text(_DETAIL.format(**words)), values).all()
    nth = _ordinals(conn, {row.remote_id for row in entries if row.kind in _LETTER and row.remote_id is not None})
    rows = [
        (next_id + n, _number(row, nth), batch, day_of(row.booked_on), row.cost_center, from_micros(0), "cut")
        for n, row in enumerate(entries)
    ]
    _insert_documents(conn, rows)
    filed = [(row.id, next_id + n) for n, row in enumerate(entries)]
    insert_rows(conn, journal_batch_entries, ("entry_id", "document_id"), filed)


def _ordinals(conn: Connection, remote_ids: set[str]) -> dict[int, int]:
    """Return the how manieth original of its row of MPW's each ledger entry is: an edit makes another one."""
    if not remote_ids:
        return {}
    query = select(ledger_entries.c.id, ledger_entries.c.kind, ledger_entries.c.remote_id).where(
        ledger_entries.c.system == "mpw",
        ledger_entries.c.entry_type == "original",
        among(conn, ledger_entries.c.remote_id, sorted(remote_ids)),
    )
    counted: Counter[tuple[str, str]] = Counter()
    found = {}
    for id_, kind, remote_id in conn.execute(query.order_by(ledger_entries.c.id)):
        counted[kind, remote_id] += 1
        found[id_] = counted[kind, remote_id]
    return found


def _number(row: Any, nth: Mapping[int, int]) -> str:
    """Return `R236252.1` for a receipt's first entry, `I43381.2r` for the reversal of an issuance's second."""
    if row.kind not in _LETTER or row.original not in nth or row.origin not in ("ledger", "handover"):
        return f"J{row.id}"
    remote_id = row.remote_id
    if len(remote_id) > _REMOTE_ID_MAX or not remote_id.isalnum():
        remote_id = hashlib.sha256(remote_id.encode()).hexdigest()[:_REMOTE_ID_MAX]
    taken_back = "r" if row.entry_type == "reversal" else ""
    return f"{_LETTER[row.kind]}{remote_id}.{nth[row.original]}{taken_back}{'h' if row.origin == 'handover' else ''}"


# --- sums ---------------------------------------------------------------------------------


def _sum_up(conn: Connection, batch: int, mode: str) -> None:
    """Write down what each document debits, and how much the batch is."""
    debit = f"case when {_AMOUNT} > 0 then {_AMOUNT} else 0 end"
    within = f"from journal_batch_entries as b join journal_entries as e on e.id = b.entry_id {_CROSS}"
    conn.execute(
        text(
            f"update journal_documents set debit = (select sum({debit}) {within}"
            " where b.document_id = journal_documents.id) where batch_id = :batch"
        ),
        {"batch": batch},
    )
    of_batch = f"{within} join journal_documents as d on d.id = b.document_id where d.batch_id = :batch"
    lines = (
        f"select count(*) {of_batch} and {_AMOUNT} <> 0"
        if mode == "detail"
        else f"select count(*) from (select 1 as one {of_batch} and {_AMOUNT} <> 0"
        f" group by b.document_id, {_ACCOUNT}, {_AMOUNT} > 0) as lines"
    )
    conn.execute(
        text(
            "update journal_batches set"
            " documents = (select count(*) from journal_documents as d where d.batch_id = :batch),"
            " debit = (select sum(d.debit) from journal_documents as d where d.batch_id = :batch),"
            " entries = (select count(*) from journal_batch_entries as b join journal_documents as d"
            f" on d.id = b.document_id where d.batch_id = :batch), lines = ({lines}) where id = :batch"
        ),
        {"batch": batch},
    )


# --- reading ------------------------------------------------------------------------------


def batch_of(conn: Connection, batch: int) -> Batch | None:
    """Return a batch, None where there is none of that number."""
    row = conn.execute(select(journal_batches).where(journal_batches.c.id == batch)).first()
    if row is None:
        return None
    options = json.loads(row.options)
    options["accounts"] = {code: tuple(known) for code, known in options["accounts"].items()}
    return Batch(
        id=row.id,
        format=row.format,
        mode=row.mode,
        options=Options(**options),
        entries=row.entries,
        documents=row.documents,
        lines=row.lines,
        debit=to_micros(row.debit),
        digest=row.digest,
        files=tuple(json.loads(row.files)),
        written_at=row.written_at,
    )


def unwritten(conn: Connection) -> list[int]:
    """Return batches that were cut and whose files were never written whole: something stopped that."""
    query = select(journal_batches.c.id).where(journal_batches.c.written_at.is_(None)).order_by(journal_batches.c.id)
    return list(conn.execute(query).scalars())


def bounds(conn: Connection, batch: int) -> tuple[str, str, date, date]:
    """Return the first and the last document's number, and the first and the last day."""
    query = (
        select(journal_documents.c.number, journal_documents.c.booked_on)
        .where(journal_documents.c.batch_id == batch)
        .order_by(journal_documents.c.id)
    )
    rows = conn.execute(query).all()
    return rows[0].number, rows[-1].number, rows[0].booked_on, rows[-1].booked_on


def documents_of(conn: Connection, batch: Batch) -> Iterator[Document]:
    """Yield a batch's documents in their order, a page at a time."""
    after = 0
    page_of = _summary_page if batch.mode == "summary" else _detail_page
    while True:
        query = (
            select(journal_documents.c.id, journal_documents.c.number, journal_documents.c.booked_on)
            .where(journal_documents.c.batch_id == batch.id, journal_documents.c.id > after)
            .order_by(journal_documents.c.id)
            .limit(PAGE[batch.mode])
        )
        page = conn.execute(query).all()
        if not page:
            return
        lines = page_of(conn, batch.id, page[0].id, page[-1].id)
        for row in page:
            mine = tuple(lines.get(row.id, ()))
            yield Document(row.number, row.booked_on.isoformat(), _text_of(batch, row, mine), mine)
        after = page[-1].id


def _text_of(batch: Batch, row: Any, lines: Sequence[Line]) -> str:
    if batch.mode == "summary":
        return f"Parts movements of {row.booked_on.isoformat()}"
    first = lines[0]
    return f"{first.kind} {first.item} ({first.api_key})"


def _summary_page(conn: Connection, batch: int, first: int, last: int) -> dict[int, list[Line]]:
    """Return lines by document: an account's debits and credits apart."""
    sql = (
        f"select b.document_id, {_ACCOUNT} as account, {_AMOUNT} > 0 as debits, e.cost_center, sum({_AMOUNT}) as amount"
        f" from journal_batch_entries as b join journal_entries as e on e.id = b.entry_id {_CROSS}"
        f" where b.document_id between :first and :last and {_AMOUNT} <> 0 group by 1, 2, 3, 4"
    )
    found: dict[int, list[Line]] = {}
    rows = conn.execute(text(sql), {"first": first, "last": last}).all()
    for row in sorted(rows, key=lambda row: (row.document_id, row.account, not row.debits)):
        found.setdefault(row.document_id, []).append(Line(row.account, int(row.amount), row.cost_center))
    return found


def _detail_page(conn: Connection, batch: int, first: int, last: int) -> dict[int, list[Line]]:
    sql = (
        f"select b.document_id, {_ACCOUNT} as account, {_AMOUNT} as amount, e.cost_center, e.api_key, e.kind, e.item,"
        " case when l.line = 2 and e.counter_warehouse is not null then e.counter_warehouse else e.warehouse end as"
        " warehouse, case l.line when 1 then e.quantity when 2 then e.counter_quantity end as quantity, e.vendor,"
        " e.purchase_order, e.invoice, e.equipment, e.work_order"
        f" from journal_batch_entries as b join journal_entries as e on e.id = b.entry_id {_CROSS}"
        f" where b.document_id between :first and :last and {_AMOUNT} <> 0 order by b.document_id, l.line"
    )
    found: dict[int, list[Line]] = {}
    for row in conn.execute(text(sql), {"first": first, "last": last}):
        found.setdefault(row[0], []).append(Line(*row[1:]))
    return found


def mark_written(books: Books, batch: int, *, digest: str, files: Sequence[str]) -> None:
    """Write down that a batch's files are there; from now on they may only be written again as they are."""
    books.conn.execute(
        update(journal_batches)
        .where(journal_batches.c.id == batch)
        .values(written_at=books.now, digest=digest, files=json.dumps(list(files)))
    )
    documents = journal_documents.c
    books.conn.execute(
        update(journal_documents).where(documents.batch_id == batch, documents.state == "cut").values(state="written")
    )
