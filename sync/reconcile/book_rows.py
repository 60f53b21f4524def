"""Which events' books differ, as they were last seen, and what people said or were told of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, exists, func, or_, select

from sync.database.chunks import chunks, upsert
from sync.database.exceptions import open_facts, settled_by_people
from sync.database.schema import book_differences, corrections, exceptions, outbox, settlements
from sync.ledger.books import Books
from sync.ledger.parked import Key
from sync.ledger.rules import RECEIPT
from sync.reconcile.book_rules import UNDER_WAY, Told
from sync.values.subjects import Subject

BOOKS_DIFFER = "books_differ"
COST_RESTATED = "cost_restated"
DELETED_IN_MPW = "deleted_in_mpw"


@dataclass(frozen=True, slots=True)
class Noted:
    """What is noted of an event whose books differ. `asked`: what `books_differ` is open about; None: it is not."""

    difference: str | None = None
    waits: bool = False
    asked: Mapping[str, Any] | None = None


def noted(conn: Connection, keys: Sequence[Key]) -> dict[Key, Noted]:
    """Return what is noted of these events; those of which nothing is are left out."""
    wanted, found = set(keys), dict[Key, Noted]()
    for chunk in chunks(sorted({key for _, key in keys})):
        for row in conn.execute(select(book_differences).where(book_differences.c.api_key.in_(chunk))):
            if (row.kind, row.api_key) in wanted:
                found[row.kind, row.api_key] = Noted(row.difference, row.waits)
    if not found:
        return found
    subjects = {Subject.event(key, kind).name: (kind, key) for kind, key in found}
    for chunk in chunks(sorted(subjects)):
        query = select(exceptions.c.subject, exceptions.c.facts).where(
            exceptions.c.kind == BOOKS_DIFFER, exceptions.c.subject.in_(chunk), exceptions.c.resolved_at.is_(None)
        )
        for row in conn.execute(query):
            one = found[subjects[row.subject]]
            found[subjects[row.subject]] = Noted(one.difference, one.waits, asked=json.loads(row.facts))
    return found


def note_difference(books: Books, key: Key, difference: str, *, waits: bool) -> None:
    """Note what differs between the books of an event; since when, is since it was first noted."""
    row = {"kind": key[0], "api_key": key[1], "difference": difference, "since": books.now, "waits": waits}
    upsert(books.conn, book_differences, [row], key=("api_key", "kind"), update=("difference", "waits"))


def forget_difference(books: Books, key: Key) -> None:
    """Note that the books of an event agree."""
    books.conn.execute(
        book_differences.delete().where(book_differences.c.kind == key[0], book_differences.c.api_key == key[1])
    )


def waiting_events(conn: Connection, *, limit: int) -> list[Key]:
    """Return events whose books differed while a push of theirs was under way, and none is any more."""
    own = outbox.c.api_key == book_differences.c.api_key
    corrected = outbox.c.api_key.in_(
        select(corrections.c.pushed_key).where(
            corrections.c.api_key == book_differences.c.api_key, corrections.c.kind == book_differences.c.kind
        )
    )
    # coalesce, or SQLite would rather look through all that is held or dead, by the index of states
    ends = or_(func.coalesce(outbox.c.state, "").in_(UNDER_WAY), outbox.c.unseen_since.is_not(None))
    under_way = ends, outbox.c.kind == book_differences.c.kind
    query = (
        select(book_differences.c.kind, book_differences.c.api_key)
        .where(
            book_differences.c.waits, *(~exists(select(outbox.c.id).where(one, *under_way)) for one in (own, corrected))
        )
        .order_by(book_differences.c.api_key, book_differences.c.kind)
        .limit(limit)
    )
    return [(row.kind, row.api_key) for row in conn.execute(query)]


def told_of(conn: Connection, keys: Iterable[Key]) -> dict[Key, Told]:
    """Return what people said of these events, or were told of them by other exceptions."""
    wanted = list(keys)
    if not wanted:
        return {}
    settled: set[Key] = set()
    deleted: set[str] = set()
    for chunk in chunks(sorted({key for _, key in wanted})):
        rows = conn.execute(
            select(settlements.c.kind, settlements.c.api_key).where(settlements.c.api_key.in_(chunk))
        ).all()
        settled |= {(row.kind, row.api_key) for row in rows}
    subjects = {key: Subject.event(key[1], key[0]).name for key in wanted}
    for chunk in chunks(sorted(subjects.values())):
        query = select(exceptions.c.subject).where(
            exceptions.c.subject.in_(chunk), exceptions.c.subject_type == "event", exceptions.c.kind == DELETED_IN_MPW
        )
        deleted.update(conn.execute(query).scalars())
    restated = set(open_facts(conn, COST_RESTATED, Subject.setting("MPSERVICES_COST_IS")).get("keys", ()))
    for one in settled_by_people(conn, COST_RESTATED):
        restated |= set(one.facts.get("keys", ()))
    return {
        key: Told(
            deleted=subjects[key] in deleted,
            restated=key[0] == RECEIPT and key[1] in restated,
            settled=key in settled,
        )
        for key in wanted
    }
