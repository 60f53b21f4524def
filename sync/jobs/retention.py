"""Forgetting what is old: runs, attempts and payloads of done pushes, raw texts of documents; and giving pages back.

No statement here removes a ledger entry, a row of the outbox, an inbox document or an exception: those are the books
and the keys by which nothing is done twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime

from sqlalchemy import ColumnElement, Connection, String, and_, cast, delete, exists, func, or_, select, update

from sync.database.engine import Store
from sync.database.facts import fact
from sync.database.schema import attempts, documents, echoes, exceptions, outbox, runs
from sync.ledger.books import Books
from sync.outbox.machine import PATCH_STOCK
from sync.values.payloads import PRUNED_ON

COUNTED = ("seen", "added", "changed", "voided", "unchanged", "quarantined")
PRUNED_AT = "pruned_at"
PRUNED_RUNS = "pruned_runs"
PRUNED_ATTEMPTS = "pruned_attempts"
"""Facts that hold what pruned rows had counted, so that a counter made of tables and facts never falls."""


_NOTE = f'{{"{PRUNED_ON}":'


def prune_runs(books: Books, before: datetime, *, limit: int) -> int:
    """Remove runs that began before an instant, the last of each flow and the last good one aside; return how many."""
    newest = select(func.max(runs.c.id)).group_by(runs.c.flow)
    good = select(func.max(runs.c.id)).where(runs.c.outcome == "ok").group_by(runs.c.flow)
    query = (
        select(runs)
        .where(runs.c.started_at < before, runs.c.id.not_in(newest), runs.c.id.not_in(good))
        .order_by(runs.c.id)
        .limit(limit)
    )
    rows = books.conn.execute(query).all()
    sums: dict[str, int] = {}
    for row in rows:
        if row.outcome is not None:
            _count(sums, f"{row.flow}|{row.outcome}", 1)
        for name in COUNTED:
            _count(sums, f"{row.flow}|rows|{name}", getattr(row, name))
    _remember(books, PRUNED_RUNS, sums)
    books.conn.execute(delete(runs).where(runs.c.id.in_([row.id for row in rows])))
    return len(rows)


def prune_done_pushes(books: Books, before: datetime, *, limit: int) -> int:
    """Forget payload and attempts of pushes that were done before an instant; return how many.

    The row stays, with its key, its evidence and what it was for: it is why nothing is pushed twice. The newest stock
    patch of an item that was done stays whole, since the next one is compared with it: also where a newer one waits,
    which may be superseded yet.
    """
    query = select(outbox.c.id).where(_is_forgettable(before)).order_by(outbox.c.id).limit(limit)
    ids = list(books.conn.execute(query).scalars())
    gone = (
        select(outbox.c.operation, attempts.c.outcome, func.count())
        .join(outbox, outbox.c.id == attempts.c.outbox_id)
        .where(attempts.c.outbox_id.in_(ids))
        .group_by(outbox.c.operation, attempts.c.outcome)
    )
    sums = {f"{operation}|{outcome or 'open'}": number for operation, outcome, number in books.conn.execute(gone)}
    _remember(books, PRUNED_ATTEMPTS, sums)
    books.conn.execute(delete(attempts).where(attempts.c.outbox_id.in_(ids)))
    books.conn.execute(update(outbox).where(outbox.c.id.in_(ids)).values(payload=_note(books.now.date())))
    return len(ids)


def prune_raw(books: Books, before: datetime, *, after_id: int, limit: int) -> tuple[int, int | None]:
    """Forget raw texts of documents unchanged since before an instant; return how many, and the id to go on after.

    The ERP's stay: what they say is read again when the rules change, and a void holds for ever.
    Looks at `limit` documents beyond `after_id`; None: there are no more. The digest
    stays: an equal row is known again.
    """
    ids = list(
        books.conn.execute(
            select(documents.c.id).where(documents.c.id > after_id).order_by(documents.c.id).limit(limit)
        )
        .scalars()
        .all()
    )
    if not ids:
        return 0, None
    done = books.conn.execute(
        update(documents)
        .where(
            documents.c.id.between(ids[0], ids[-1]),
            documents.c.last_seen_at < before,
            documents.c.system != "erp",
            documents.c.raw.not_like(f"{_NOTE}%"),
        )
        .values(raw=_note(books.now.date()))
    )
    return done.rowcount, ids[-1]


def pruned_counts(conn: Connection, name: str) -> dict[str, int]:
    """Return what pruned rows had counted, by `PRUNED_RUNS` or `PRUNED_ATTEMPTS`."""
    known = fact(conn, name)
    return {key: int(value) for key, value in json.loads(known).items()} if known else {}


def tidy(store: Store) -> None:
    """Give freed pages back and empty the write-ahead log, as far as readers allow; never waits for long.

    PostgreSQL does it by itself (autovacuum), save that a large removal is best followed by it at once.
    """
    connection = store.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    with connection as conn:
        if store.is_sqlite:
            cursor = conn.connection.cursor()  # below SQLAlchemy, which would open a transaction
            # a script, since execute() takes one step of a statement without columns: a single page
            cursor.executescript("PRAGMA incremental_vacuum(20000); PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE)")
            cursor.close()
            return
        conn.exec_driver_sql("set statement_timeout = 0")  # a large table takes longer than other statements may
        try:
            for table in (runs, attempts, outbox, documents):
                conn.exec_driver_sql(f"vacuum (analyze, skip_locked) {table.name}")
        finally:
            conn.exec_driver_sql("reset statement_timeout")


def _is_forgettable(before: datetime) -> ColumnElement[bool]:
    newest_patches = (
        select(func.max(outbox.c.id))
        .where(outbox.c.operation == PATCH_STOCK, outbox.c.state == "done")
        .group_by(outbox.c.item)
    )
    waiting = exists().where(echoes.c.outbox_id == outbox.c.id, echoes.c.closed_at.is_(None))
    asked = exists().where(
        exceptions.c.resolved_at.is_(None),
        or_(
            and_(exceptions.c.subject_type == "push", exceptions.c.subject == cast(outbox.c.id, String)),
            and_(
                exceptions.c.subject_type == "event",
                exceptions.c.subject.in_((outbox.c.api_key, outbox.c.kind + " " + outbox.c.api_key)),
            ),
        ),
    )
    return and_(
        outbox.c.state == "done",
        outbox.c.finalized_at < before,
        outbox.c.unseen_since.is_(None),  # what it is looked for by
        outbox.c.payload.not_like(f"{_NOTE}%"),
        outbox.c.id.not_in(newest_patches),
        ~waiting,
        ~asked,
    )


def _note(day: date) -> str:
    return f'{_NOTE} "{day.isoformat()}"}}'


def _count(sums: dict[str, int], key: str, number: int) -> None:
    if number:
        sums[key] = sums.get(key, 0) + number


def _remember(books: Books, name: str, sums: Mapping[str, int]) -> None:
    if sums:
        known = pruned_counts(books.conn, name)
        total = {key: known.get(key, 0) + sums.get(key, 0) for key in {*known, *sums}}
        books.note_fact(name, json.dumps(total, sort_keys=True))
