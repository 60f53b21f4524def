"""What a system says now: one row per (system, type, remote id)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, exists, func, or_, select, true, update
from sqlalchemy.engine import Row

from sync.database.bulk import insert_rows
from sync.database.chunks import among, chunks
from sync.database.schema import documents

MANY = 200
"""From so many rows on it is worth a statement to learn that none of them is known."""

_STATE = select(*(column for column in documents.c if column.name != "raw"))


def document(conn: Connection, system: str, type_: str, remote_id: str) -> Row[Any] | None:
    """Return one document, or None where it was never seen."""
    query = select(documents).where(
        documents.c.system == system, documents.c.type == type_, documents.c.remote_id == remote_id
    )
    return conn.execute(query).first()


def documents_by_remote_id(conn: Connection, system: str, type_: str, remote_ids: Iterable[str]) -> dict[str, Row[Any]]:
    """Return the known documents among these remote ids; many rows that are all new are asked for once."""
    wanted = list(remote_ids)
    if not wanted:
        return {}
    if len(wanted) >= MANY and not conn.execute(select(any_near(system, type_, wanted))).scalar_one():
        return {}
    known = documents.c.system == system, documents.c.type == type_
    rows = conn.execute(_STATE.where(*known, among(conn, documents.c.remote_id, wanted)))
    return {row.remote_id: row for row in rows}


def any_near(system: str, type_: str, remote_ids: Sequence[str]) -> ColumnElement[bool]:
    """Return a condition: there may be a document with one of these ids. Where it does not hold, there is none."""
    return exists().where(documents.c.system == system, documents.c.type == type_, _near(remote_ids))


def any_of_days(source: str, days: Sequence[date]) -> ColumnElement[bool]:
    """Return a condition: there is a document filed under one of these days of a source."""
    return exists().where(documents.c.source == source, documents.c.day.in_(days))


def _near(remote_ids: Sequence[str]) -> ColumnElement[bool]:
    """Return a condition that holds for all of these ids and for few others: the spans in which they lie.

    A span holds numbers of one length, whose order as texts is the same in every collation.
    """
    together = "".join(remote_ids)  # looked at in one go: a backfill's writer asks for thousands at a time
    if not (all(remote_ids) and together.isascii() and together.isdecimal()):
        return true()
    lengths = set(map(len, remote_ids))
    spans = (remote_ids if len(lengths) == 1 else [one for one in remote_ids if len(one) == n] for n in lengths)
    return or_(*(documents.c.remote_id.between(min(span), max(span)) for span in spans))


def documents_of_days(conn: Connection, source: str, days: Iterable[date]) -> list[Row[Any]]:
    """Return the documents filed under these days of a source, without their raw text."""
    found: list[Row[Any]] = []
    for chunk in chunks(days):
        found.extend(conn.execute(_STATE.where(documents.c.source == source, documents.c.day.in_(chunk))))
    return found


def documents_by_id(conn: Connection, ids: Iterable[int]) -> list[Row[Any]]:
    """Return documents by their own ids, in id order, without their raw text."""
    found: list[Row[Any]] = []
    for chunk in chunks(sorted(set(ids))):
        found.extend(conn.execute(_STATE.where(documents.c.id.in_(chunk)).order_by(documents.c.id)))
    return found


def insert_documents(conn: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Insert documents; every row names the same columns."""
    if rows:
        columns = list(rows[0])
        insert_rows(conn, documents, columns, [list(map(row.__getitem__, columns)) for row in rows])


def update_documents(conn: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Set columns of documents; each row has the document's `id` and the same columns as the others."""
    if not rows:
        return
    columns = [name for name in rows[0] if name != "id"]
    statement = (
        update(documents)
        .where(documents.c.id == bindparam("b_id"))
        .values({name: bindparam(f"b_{name}", type_=documents.c[name].type) for name in columns})
    )
    conn.execute(statement, [{f"b_{name}": value for name, value in row.items()} for row in rows])


def presence_by_warehouse(conn: Connection, source: str, days: Iterable[date]) -> dict[str | None, tuple[int, int]]:
    """Return per warehouse how many documents these days hold, voided ones aside, and how many of them are missing."""
    found: dict[str | None, tuple[int, int]] = {}
    for chunk in chunks(days):
        query = (
            select(documents.c.warehouse, func.count(), func.count(documents.c.missing_since))
            .where(documents.c.source == source, documents.c.day.in_(chunk), documents.c.voided_at.is_(None))
            .group_by(documents.c.warehouse)
        )
        for warehouse, known, missing in conn.execute(query):
            before = found.get(warehouse, (0, 0))
            found[warehouse] = (before[0] + known, before[1] + missing)
    return found


def missing_documents(conn: Connection, source: str, days: Iterable[date]) -> list[Row[Any]]:
    """Return the documents of these days that their last reading lacked and that are not voided."""
    found: list[Row[Any]] = []
    for chunk in chunks(days):
        query = _STATE.where(
            documents.c.source == source,
            documents.c.day.in_(chunk),
            documents.c.missing_since.is_not(None),
            documents.c.voided_at.is_(None),
        )
        found.extend(conn.execute(query))
    return found
