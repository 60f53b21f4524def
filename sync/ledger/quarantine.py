"""Rows that could not be read: kept with their text and reason, each with an exception, until they read well."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import date, datetime
from typing import Any, Protocol

from sqlalchemy import Connection, Select, and_, exists, func, insert, select, update
from sqlalchemy.engine import Row

from sync.database.chunks import chunks
from sync.database.exceptions import open_facts, settled_by_people
from sync.database.schema import exception_items, exceptions, quarantine
from sync.ledger.books import Books
from sync.ledger.item_states import forget_bases
from sync.values.subjects import Subject

KIND = "quarantined_row"
_OPEN = and_(exceptions.c.kind == KIND, exceptions.c.subject_type == "row", exceptions.c.resolved_at.is_(None))


class Unreadable(Protocol):
    """An element that could not be read."""

    @property
    def raw(self) -> str:
        """Its text."""

    @property
    def reason(self) -> str:
        """Why it could not be read."""

    @property
    def remote_id(self) -> str | None:
        """Its id, where that much was readable."""


def raw_digest(raw: str) -> str:
    """Return 32 hex digits of a row's text."""
    return hashlib.sha256(raw.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def quarantine_rows(
    books: Books,
    source: str,
    day: date | None,
    bad: Sequence[Unreadable],
    *,
    items: Callable[[Unreadable], Collection[str]] = lambda _: (),
) -> int:
    """Keep rows that could not be read, once each; return how many were not there yet.

    `items` tells which items' stock a row is about, as far as that can be read: they get no stock patch until the row
    reads well or a person has settled it. A row that a person has settled is not reported again while it stays as it
    is.
    """
    if not bad:
        return 0
    settled = _settled_by_people(books.conn, source)
    bad = [row for row in bad if raw_digest(row.raw) not in settled]
    known = {row.digest for row in open_rows(books.conn, source, day)}
    shown = {raw_digest(row.raw) for row in bad}
    of_id: dict[str | None, list[str]] = {}
    new = 0
    for row in bad:
        digest = raw_digest(row.raw)
        texts = of_id.setdefault(row.remote_id, [])
        if digest not in texts:
            texts.append(digest)
            stopped = sorted(items(row))
            _report(books, source, day, row, digest, number=len(texts), shown=shown, stopped=stopped)
        if digest in known:
            continue
        known.add(digest)
        new += 1
        values = {"source": source, "day": day, "digest": digest, "reason": row.reason, "raw": row.raw}
        books.conn.execute(insert(quarantine).values(**values, seen_at=books.now))
    return new


def first_seen(conn: Connection, source: str, raw: str) -> datetime | None:
    """Return when a row was first kept here, or None where it never was."""
    same = quarantine.c.source == source, quarantine.c.digest == raw_digest(raw)
    return conn.execute(select(func.min(quarantine.c.seen_at)).where(*same)).scalar_one_or_none()


def raw_of(conn: Connection, source: str, remote_id: str) -> str | None:
    """Return the text that was last kept of a row with that id, or None where there is none."""
    is_row = exceptions.c.kind == KIND, exceptions.c.subject_type == "row"
    query = select(exceptions.c.facts).where(*is_row, exceptions.c.subject == f"{source} {remote_id}")
    facts = conn.execute(query.order_by(exceptions.c.id.desc()).limit(1)).scalar()
    if facts is None:
        return None
    same = quarantine.c.source == source, quarantine.c.digest == json.loads(facts)["digest"]
    return conn.execute(select(quarantine.c.raw).where(*same).limit(1)).scalar()


def concerns(conn: Connection, external_id: str) -> bool:
    """Tell whether a row that is kept here, and not settled, is about the stock of an item."""
    mine = exception_items.c.exception_id == exceptions.c.id, exception_items.c.external_id == external_id
    still_open = exceptions.c.kind == KIND, exceptions.c.resolved_at.is_(None)
    return bool(conn.execute(select(exists().where(*mine, *still_open))).scalar_one())


def open_rows(conn: Connection, source: str, day: date | None) -> list[Row[Any]]:
    """Return the quarantined rows of a source's day (None: of a source that has no days)."""
    same_day = quarantine.c.day.is_(None) if day is None else quarantine.c.day == day
    query = select(quarantine).where(quarantine.c.source == source, same_day, quarantine.c.resolved_at.is_(None))
    return list(conn.execute(query.order_by(quarantine.c.id)))


def release_day(books: Books, source: str, day: date, *, still: Collection[str]) -> int:
    """Resolve a day's quarantined rows but those whose digest is in `still`; return how many."""
    gone = [row for row in open_rows(books.conn, source, day) if row.digest not in still]
    for row in gone:
        books.conn.execute(update(quarantine).where(quarantine.c.id == row.id).values(resolved_at=books.now))
        _settle(books, source, row.digest)
    return len(gone)


def release_remote_ids(books: Books, source: str, remote_ids: Iterable[str], *, bad: Iterable[Unreadable]) -> int:
    """Resolve what is quarantined under these remote ids: they read well now; return how many were.

    `bad` are the same answer's bad rows: an id that occurs there too (twice, with different content) stays open.
    """
    still = {row.remote_id for row in bad}
    waiting = exists().where(quarantine.c.source == source, quarantine.c.resolved_at.is_(None))
    if not books.conn.execute(select(waiting)).scalar_one():
        return 0
    released = 0
    for chunk in chunks(f"{source} {remote_id}" for remote_id in remote_ids if remote_id not in still):
        query = select(exceptions.c.facts, exceptions.c.subject).where(_OPEN, exceptions.c.subject.in_(chunk))
        for facts, subject in books.conn.execute(query).all():
            released += _release_texts(books, source, subject, facts)
    return released


def _release_texts(books: Books, source: str, subject: str, facts: str | None) -> int:
    """Resolve what is quarantined under a subject, and under the numbers after it."""
    released, number = 0, 1
    while facts is not None:
        digest = json.loads(facts)["digest"]
        released += _close(books, source, digest)
        _settle(books, source, digest)
        number += 1
        facts = books.conn.execute(_open_facts(_numbered(subject, number))).scalar_one_or_none()
    return released


def settle_rows(books: Books, digest: str) -> None:
    """Take the open rows of a text for dealt with: a person has said so."""
    of_text = quarantine.c.digest == digest, quarantine.c.resolved_at.is_(None)
    books.conn.execute(update(quarantine).where(*of_text).values(resolved_at=books.now))


def _report(
    books: Books,
    source: str,
    day: date | None,
    row: Unreadable,
    digest: str,
    *,
    number: int,
    shown: Collection[str],
    stopped: Sequence[str],
) -> None:
    """Open the row's exception; a row with an id that is bad in another way now takes its older text's place.

    `number` counts the different texts under one id in one answer, `shown` are all of that answer: a text
    that it still shows keeps its place.
    """
    subject = f"{source} {row.remote_id or digest[:16]}"
    if day is None and row.remote_id is not None:
        subject = _numbered(subject, number)
        before = books.conn.execute(_open_facts(subject)).scalar_one_or_none()
        if before is not None and json.loads(before)["digest"] not in shown:
            _close(books, source, json.loads(before)["digest"])
    where = f" of {day}" if day is not None else ""
    facts: dict[str, Any] = {"digest": digest, "source": source}
    means, settle = "", ""
    if stopped:
        facts["external_ids"] = list(stopped)
        means = f". What it does to the stock of {', '.join(stopped[:5])} is not known: no stock patch of it goes"
        settle = "; or key what it says into MPW, and resolve this: MPservices' stock is then set to MPW's"
    known = open_facts(books.conn, KIND, Subject.row(subject))
    books.open_exception(
        KIND,
        about=Subject.row(subject),
        detail=f"a row of {source}{where} could not be read: {row.reason}{means}",
        hint="look at it in v_quarantine and correct it at the vendor: it is taken in when it reads well" + settle,
        facts=facts,
    )
    if known != facts:
        forget_bases(books, stopped)


def _settled_by_people(conn: Connection, source: str) -> set[str]:
    """Return the digests of the rows of a source that people have settled as they are."""
    found = [one.facts for one in settled_by_people(conn, KIND)]
    return {facts["digest"] for facts in found if facts.get("source") == source and "digest" in facts}


def _numbered(subject: str, number: int) -> str:
    return subject if number == 1 else f"{subject} ({number})"


def _open_facts(subject: str) -> Select[str]:
    return select(exceptions.c.facts).where(_OPEN, exceptions.c.subject == subject)


def _close(books: Books, source: str, digest: str) -> int:
    waiting = (quarantine.c.source == source, quarantine.c.digest == digest, quarantine.c.resolved_at.is_(None))
    return books.conn.execute(update(quarantine).where(*waiting).values(resolved_at=books.now)).rowcount


def _settle(books: Books, source: str, digest: str) -> None:
    query = select(exceptions.c.subject, exceptions.c.facts)
    query = query.where(_OPEN, exceptions.c.facts.contains(f'"digest": "{digest}"'))
    for subject, facts in books.conn.execute(query).all():
        if json.loads(facts).get("source") != source:
            continue
        books.resolve_exceptions(KIND, about=Subject.row(subject), resolution="the row reads well now, or is gone")
