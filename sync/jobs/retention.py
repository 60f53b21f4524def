"""Forgetting what is old: runs, attempts and payloads of done pushes, raw texts of documents; and giving pages back.

No statement here removes a ledger entry, a row of the outbox, an inbox document or an exception: those are the books
and the keys by which nothing is done twice.
"""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import ColumnElement, String, TextClause, and_, cast, delete, exists, func, or_, select, text, update

from sync.database.engine import Store
from sync.database.facts import fact
from sync.database.schema import CHANGED, WHOLE, attempts, documents, echoes, exceptions, outbox, runs, tallies
from sync.ledger.books import Books
from sync.outbox.machine import PATCH_STOCK
from sync.values.payloads import PRUNED_ON

PRUNED_AT = "pruned_at"
RAW_ID = "raw_pruned_id"
"""Fact: documents up to this id were first seen long enough ago, and looked at."""
RAW_BEFORE = "raw_pruned_before"
"""Fact: documents whose content changed before this instant were looked at."""

_NOTE = f'{{"{PRUNED_ON}":'


def prune_runs(books: Books, before: datetime, *, after_id: int, limit: int) -> tuple[int, int | None]:
    """Remove runs that began before an instant, the last of each flow and the last good one aside.

    Looks at `limit` runs beyond `after_id`, oldest first; returns how many went, and the id to go on after. None: what
    follows is younger.
    """
    page = select(runs.c.id, runs.c.started_at).where(runs.c.id > after_id).order_by(runs.c.id).limit(limit)
    rows = books.conn.execute(page).all()
    old = [row.id for row in rows if row.started_at < before]
    newer, better = runs.alias(), runs.alias()
    gone = delete(runs).where(
        runs.c.id.in_(old),
        exists().where(newer.c.flow == runs.c.flow, newer.c.id > runs.c.id),
        or_(
            func.coalesce(runs.c.outcome, "") != "ok",
            exists().where(better.c.flow == runs.c.flow, better.c.id > runs.c.id, better.c.outcome == text("'ok'")),
        ),
    )
    number = books.conn.execute(gone).rowcount if old else 0
    return number, rows[-1].id if rows and rows[-1].started_at < before else None


def prune_done_pushes(books: Books, before: datetime, *, limit: int) -> int:
    """Forget payload and attempts of pushes that were done before an instant; return how many.

    The row stays, with its key, its evidence and what it was for: it is why nothing is pushed twice. The newest stock
    patch of an item that was done stays whole, since the next one is compared with it: also where a newer one waits,
    which may be superseded yet.
    """
    query = select(outbox.c.id).where(_is_forgettable(before)).order_by(outbox.c.finalized_at, outbox.c.id).limit(limit)
    ids = list(books.conn.execute(query).scalars())
    if ids:
        books.conn.execute(delete(attempts).where(attempts.c.outbox_id.in_(ids)))
        books.conn.execute(update(outbox).where(outbox.c.id.in_(ids)).values(payload=_note(books.now.date())))
    return len(ids)


def prune_new_raw(books: Books, before: datetime, *, limit: int) -> tuple[int, bool]:
    """Forget raw texts of documents first seen before an instant; return how many, and whether there may be more.

    Goes on where the last time ended (`RAW_ID`): behind it nothing is looked at again. A document whose content changed
    later is `prune_changed_raw`'s. The ERP's stay: what they say is read again when the rules change, and a void holds
    for ever. The digest stays: an equal row is known again.
    """
    known = int(fact(books.conn, RAW_ID) or 0)
    page = select(documents.c.id, documents.c.first_seen_at).where(documents.c.id > known)
    ids: list[int] = []
    rows = books.conn.execute(page.order_by(documents.c.id).limit(limit)).all()
    for row in rows:
        if row.first_seen_at >= before:
            break
        ids.append(row.id)
    if not ids:
        return 0, False
    number = _forget_raw(books, before, documents.c.id.between(ids[0], ids[-1]))
    books.note_fact(RAW_ID, str(ids[-1]))
    return number, len(ids) == limit


def prune_changed_raw(books: Books, before: datetime) -> int:
    """Forget raw texts of documents whose content changed last between the last such instant and this one."""
    known = fact(books.conn, RAW_BEFORE)
    since = datetime.fromisoformat(known) if known is not None else None
    if since is not None and since >= before:
        return 0
    changed = [text(CHANGED)] if since is None else [text(CHANGED), documents.c.last_seen_at >= since]
    number = _forget_raw(books, before, *changed)
    books.note_fact(RAW_BEFORE, before.isoformat())
    return number


def _forget_raw(books: Books, before: datetime, *which: ColumnElement[bool] | TextClause) -> int:
    done = books.conn.execute(
        update(documents)
        .where(
            *which,
            documents.c.last_seen_at < before,
            documents.c.system != "erp",
            documents.c.raw.not_like(f"{_NOTE}%"),
        )
        .values(raw=_note(books.now.date()))
    )
    return done.rowcount


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
            for table in (runs, attempts, outbox, documents, tallies):
                conn.exec_driver_sql(f"vacuum (analyze, skip_locked) {table.name}")
        finally:
            conn.exec_driver_sql("reset statement_timeout")


def _is_forgettable(before: datetime) -> ColumnElement[bool]:
    newer = outbox.alias()
    newest_patch = and_(
        outbox.c.operation == PATCH_STOCK,
        ~exists().where(
            newer.c.item == outbox.c.item,
            newer.c.state == "done",
            newer.c.operation == PATCH_STOCK,
            newer.c.id > outbox.c.id,
        ),
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
        text(WHOLE.replace("state", "outbox.state").replace("payload", "outbox.payload")),
        outbox.c.finalized_at < before,
        outbox.c.unseen_since.is_(None),  # what it is looked for by
        ~newest_patch,
        ~waiting,
        ~asked,
    )


def _note(day: date) -> str:
    return f'{_NOTE} "{day.isoformat()}"}}'
