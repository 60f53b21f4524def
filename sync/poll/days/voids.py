"""Deletes leave no trace at MPW: rows that disappeared are voided, unless it looks like a lost permission."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import Row

from sync.database.engine import lock_appends
from sync.database.exceptions import open_exceptions, subject_of
from sync.ledger.books import Books
from sync.ledger.coverage import days_read_since
from sync.ledger.documents import (
    documents_by_id,
    documents_by_remote_id,
    missing_documents,
    presence_by_warehouse,
    update_documents,
)
from sync.outbox.evidence import adds_up, number_of
from sync.outbox.pushed import posted_under, sent_and_not_deleted
from sync.outbox.rows import push_of_key
from sync.outbox.shown import shown_rows
from sync.poll.days.sources import DAY_SOURCES
from sync.poll.days.void_rules import Presence, suspicion
from sync.values.subjects import Subject
from sync.values.systems import MPW

MASS_DISAPPEARANCE = "mass_disappearance"
DELETED_IN_MPW = "deleted_in_mpw"


def void_gone(books: Books, source: str, due: Iterable[int], days: Sequence[date]) -> int:
    """Void the documents in `due` that are still missing after a pass over `days`; return how many.

    Nothing is voided when the disappearance is suspicious: measured over what the pass read, and over
    all days read since the rows went missing, so that many small passes do not do what one large
    may not. What an open exception holds back stays held back.
    """
    lock_appends(books.conn)
    _settle_returned(books, source)
    _settle_restored(books, source)
    gone = [row for row in documents_by_id(books.conn, due) if row.missing_since is not None and row.voided_at is None]
    if not gone:
        return 0
    since = min(row.missing_since for row in gone)
    for span in (days, sorted({*days, *days_read_since(books.conn, source, since, now=books.now)})):
        found = presence_by_warehouse(books.conn, source, span)
        by_warehouse = {warehouse: Presence(known, missing) for warehouse, (known, missing) in found.items()}
        why = suspicion(by_warehouse, books.policy.void_max_ratio)
        if why is not None:
            _hold_back(books, source, span, why)
            return 0
    held = _held_back(books.conn, source)
    rows = [row for row in gone if row.remote_id not in held]
    return void_documents(books, source, rows)


def void_disappeared(books: Books, exception: Row[Any]) -> int:
    """Void what a `mass_disappearance` exception names and is still missing: a person says it really is gone."""
    lock_appends(books.conn)  # a poll beside it may be restoring or voiding the same rows
    facts = json.loads(exception.facts)
    source = str(facts["source"])
    found = documents_by_remote_id(books.conn, MPW, DAY_SOURCES[source].kind, facts["remote_ids"])
    rows = [row for row in found.values() if row.missing_since is not None and row.voided_at is None]
    return void_documents(books, source, rows)


def void_documents(books: Books, source: str, rows: Sequence[Row[Any]]) -> int:
    """Reverse documents' entries; return how many. What a person deleted of what we posted is reported, not redone."""
    live = [row.entry_id for row in rows if row.entry_id is not None]
    books.reverse(live)
    update_documents(books.conn, [{"id": row.id, "voided_at": books.now, "entry_id": None} for row in rows])
    kind = DAY_SOURCES[source].kind
    posted = posted_under(books.conn, kind, rows)
    ours = sent_and_not_deleted(books.conn, DAY_SOURCES[source].post, DAY_SOURCES[source].delete, set(posted.values()))
    for sent_key in sorted(ours):
        if _stands(books.conn, source, sent_key):
            continue  # somebody keyed it in again under its key, or another call of ours did
        gone = [row for row in rows if posted.get(row.remote_id) == sent_key]
        key, ids = gone[0].api_key, sorted(row.remote_id for row in gone)
        books.open_exception(
            DELETED_IN_MPW,
            about=Subject.event(key, kind),
            detail=f"the {kind} that we posted under {key} is gone from MPW (id {', '.join(ids)}): somebody deleted it",
            hint="its entry is reversed and it is not posted again; if that was a mistake, key it in by hand in MPW",
            facts={"source": source, "api_key": key, "sent_key": sent_key, "remote_ids": ids},
        )
    return len(rows)


def _stands(conn: Connection, source: str, sent_key: str) -> bool:
    """Tell whether MPW shows, in whatever rows, as much under a key as was posted under it."""
    push = push_of_key(conn, DAY_SOURCES[source].post, sent_key)
    if push is None:
        return False
    sent = json.loads(push.payload, parse_float=Decimal)
    posted = number_of(sent.get("quantity", sent.get("quantity_received")))
    live = [one.quantity for one in shown_rows(conn, DAY_SOURCES[source].kind, push) if one.live]
    return posted is not None and adds_up(posted, live)


def _hold_back(books: Books, source: str, days: Sequence[date], why: str) -> None:
    missing = missing_documents(books.conn, source, days)
    ids = sorted({row.remote_id for row in missing} | _held_back(books.conn, source))
    gone_from = sorted({row.day.isoformat() for row in missing})
    books.open_exception(
        MASS_DISAPPEARANCE,
        about=Subject.source(source),
        detail=f"{why} ({source}, {gone_from[0]} to {gone_from[-1]}); nothing was voided",
        hint="check that the account still sees every warehouse; "
        "if the rows really were deleted: mpsync exceptions resolve ID --void",
        facts={"source": source, "days": gone_from, "remote_ids": ids},
    )


def _held_back(conn: Connection, source: str) -> set[str]:
    held: set[str] = set()
    for row in open_exceptions(conn, kind=MASS_DISAPPEARANCE):
        if subject_of(row) == Subject.source(source):
            held.update(json.loads(row.facts)["remote_ids"])
    return held


def _settle_returned(books: Books, source: str) -> None:
    """Resolve the exception when every row that it holds back is there again, or voided."""
    held = _held_back(books.conn, source)
    if not held:
        return
    found = documents_by_remote_id(books.conn, MPW, DAY_SOURCES[source].kind, held)
    if all(row.missing_since is None or row.voided_at is not None for row in found.values()):
        again = "the rows are there again"
        books.resolve_exceptions(MASS_DISAPPEARANCE, about=Subject.source(source), resolution=again)


def _settle_restored(books: Books, source: str) -> None:
    """Resolve each `deleted_in_mpw` whose rows, or as much under its key, are there again.

    Nobody may key them in a second time.
    """
    kind = DAY_SOURCES[source].kind
    for row in open_exceptions(books.conn, kind=DELETED_IN_MPW):
        facts = json.loads(row.facts)
        ids = facts.get("remote_ids", [])
        if facts.get("source") != source or not ids:
            continue
        found = documents_by_remote_id(books.conn, MPW, kind, ids).values()
        back = len(found) == len(ids) and all(one.voided_at is None and one.missing_since is None for one in found)
        if back or _stands(books.conn, source, facts.get("sent_key", facts.get("api_key"))):
            again = "MPW shows it again"
            books.resolve_exceptions(DELETED_IN_MPW, about=subject_of(row), resolution=again)
