"""Which of MPW's rows are ours: by what an answer told, or by the marker in a description."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, exists, func, or_, select
from sqlalchemy.engine import Row

from sync.database.chunks import among, chunks
from sync.database.schema import documents, issuance_parts, outbox, pushed_rows
from sync.ledger.coverage import ISSUANCES, RECEIPTS, covered_days
from sync.ledger.documents import any_near, any_of_days
from sync.ledger.rules import ISSUANCE, RECEIPT
from sync.outbox.corrections import events_of_corrections, keys_of_events
from sync.outbox.machine import POST_ISSUANCE, POST_RECEIPT
from sync.values.dates import DayState
from sync.values.systems import MPW

KIND_OF = {POST_RECEIPT: RECEIPT, POST_ISSUANCE: ISSUANCE}
NEVER_SENT = ("superseded", "discarded")
"""States of a delete of ours that nobody wants any more; unless a try of it was made it explains nothing."""

READBACK_LASTS = timedelta(days=1)
"""How long after it was due a push is still looked for out of turn; the schedule reads its day anyway."""


def keys_of_pushed_rows(conn: Connection, type_: str, remote_ids: Iterable[str]) -> dict[str, str]:
    """Return the events' keys of the remote rows that an answer or a verification showed to be ours."""
    if not conn.execute(select(_any_pushed(type_))).scalar_one():
        return {}
    query = select(pushed_rows.c.remote_id, pushed_rows.c.api_key).where(
        pushed_rows.c.type == type_, among(conn, pushed_rows.c.remote_id, remote_ids)
    )
    found = {row.remote_id: row.api_key for row in conn.execute(query)}
    events = events_of_corrections(conn, type_, set(found.values()))
    return {remote_id: events.get(key, key) for remote_id, key in found.items()}


def payloads_of_pushed_rows(conn: Connection, type_: str, remote_ids: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return, of the remote rows that were shown to be ours, the event's key and the payload that was sent."""
    if not conn.execute(select(_any_pushed(type_))).scalar_one():
        return {}
    query = (
        select(pushed_rows.c.remote_id, pushed_rows.c.api_key, outbox.c.payload)
        .join(outbox, outbox.c.id == pushed_rows.c.outbox_id)
        .where(pushed_rows.c.type == type_, among(conn, pushed_rows.c.remote_id, remote_ids))
    )
    return {row.remote_id: (row.api_key, row.payload) for row in conn.execute(query)}


def remote_ids_of(conn: Connection, type_: str, api_key: str) -> list[str]:
    """Return the remote rows that an answer or a verification showed to be the doing of an event's push."""
    query = (
        select(pushed_rows.c.remote_id)
        .join(outbox, outbox.c.id == pushed_rows.c.outbox_id)
        .where(outbox.c.api_key == api_key, pushed_rows.c.type == type_)
    )
    return list(conn.execute(query).scalars())


def _any_pushed(type_: str) -> ColumnElement[bool]:
    return exists().where(pushed_rows.c.type == type_)


def what_is_known(
    conn: Connection, source: str, type_: str, days: Sequence[date], remote_ids: Sequence[str]
) -> tuple[bool, bool, bool]:
    """Ask in one statement whether anything may be known of rows of MPW's that are about to be filed.

    The answers: a document is filed under one of these days of the source; one may have one of these ids; some row of
    the type is ours.
    """
    asked = any_of_days(source, days), any_near(MPW, type_, remote_ids), _any_pushed(type_)
    filed, near, pushed = conn.execute(select(*asked)).one()
    return filed, near, pushed


def events_of_keys(conn: Connection, operation: str, keys: Collection[str]) -> dict[str, str]:
    """Return the event's key for each key that our outbox has sent or will send.

    A part's key maps to its event's, and so does the key of what was posted again for a corrected movement.
    """
    found: dict[str, str] = {}
    for chunk in chunks(sorted(keys)):
        own = select(outbox.c.api_key, outbox.c.api_key.label("event")).where(
            outbox.c.operation == operation, outbox.c.api_key.in_(chunk)
        )
        parts = (
            select(issuance_parts.c.api_key, outbox.c.api_key.label("event"))
            .join(outbox, outbox.c.id == issuance_parts.c.outbox_id)
            .where(outbox.c.operation == operation, issuance_parts.c.api_key.in_(chunk))
        )
        for query in (own, parts):
            found.update((row.api_key, row.event) for row in conn.execute(query))
    events = events_of_corrections(conn, KIND_OF[operation], set(found.values())) if operation in KIND_OF else {}
    return {key: events.get(event, event) for key, event in found.items()}


def issuances_holding(conn: Connection, day: date, text: str) -> list[str]:
    """Return the raw text of the issuances that MPW showed on a day, and still shows, with that text in them."""
    query = select(documents.c.raw).where(
        documents.c.source == ISSUANCES,
        documents.c.day == day,
        documents.c.voided_at.is_(None),
        documents.c.raw.contains(text, autoescape=True),
    )
    return list(conn.execute(query).scalars())


def sent_and_not_deleted(conn: Connection, post: str, delete: str, keys: Collection[str]) -> set[str]:
    """Return those of these events that we posted, and that no delete of ours explains.

    One that is still to be tried explains it too: the row is not wanted any more, whoever was first; and a try before
    it, whose answer was lost, may have come to MPW after we looked and still saw the row.
    """
    sent: set[str] = set()
    for chunk in chunks(sorted(keys)):
        posts = select(outbox.c.api_key).where(
            outbox.c.operation == post, outbox.c.api_key.in_(chunk), outbox.c.tries > 0
        )
        deletes = select(outbox.c.api_key).where(
            outbox.c.operation == delete,
            outbox.c.api_key.in_(chunk),
            or_(outbox.c.tries > 0, outbox.c.state.not_in(NEVER_SENT)),
        )
        sent |= set(conn.execute(posts).scalars()) - set(conn.execute(deletes).scalars())
    return sent


def posted_under(conn: Connection, type_: str, rows: Iterable[Row[Any]]) -> dict[str, str]:
    """Return the key that each of MPW's rows was posted under: its event's, or that of a correction of it.

    By what our own answers told, else by the key in the row's text; `rows` are documents.
    """
    found = {row.remote_id: row.api_key for row in rows if row.api_key}
    corrected = keys_of_events(conn, set(found.values()))
    again = [remote_id for remote_id, key in found.items() if (type_, key) in corrected]
    for chunk in chunks(again):
        texts = select(documents.c.remote_id, documents.c.raw).where(
            documents.c.system == "mpw", documents.c.type == type_, documents.c.remote_id.in_(chunk)
        )
        for row in conn.execute(texts):
            for key in corrected[type_, found[row.remote_id]]:
                if any(said in row.raw for said in (f"[{key}]", f"[{key}_s", f'"{key}"')):
                    found[row.remote_id] = key
                    break
        told = select(pushed_rows.c.remote_id, pushed_rows.c.api_key).where(
            pushed_rows.c.type == type_, pushed_rows.c.remote_id.in_(chunk)
        )
        found.update((row.remote_id, row.api_key) for row in conn.execute(told))
    return found


@dataclass(frozen=True, slots=True)
class PushedDay:
    """A day that finished pushes of ours are dated to.

    `state`: what is known of it, None where it was never read. `awaited`: it was not read since one of them was done;
    `unseen`: one of them was not shown by any reading yet.
    """

    state: DayState | None
    awaited: bool
    unseen: bool


def pushed_days(conn: Connection, source: str, *, now: datetime) -> dict[date, PushedDay]:
    """Return the days that finished pushes of ours are dated to: those of late, and those that no poll has shown.

    A run that began after a push was done has a larger number than the newest one then; of pushes and readings from
    before there were numbers the time tells.
    """
    operation = {ISSUANCES: "post_issuance", RECEIPTS: "post_receipt"}[source]
    query = select(outbox.c.id, outbox.c.payload, outbox.c.settled_no, outbox.c.last_sent_at, outbox.c.unseen_since)
    late = query.where(
        outbox.c.state == "done", outbox.c.due_at >= now - READBACK_LASTS, outbox.c.operation == operation
    )
    unseen = query.where(
        func.coalesce(outbox.c.state, "") == "done",
        func.coalesce(outbox.c.operation, "") == operation,
        outbox.c.unseen_since.is_not(None),
    )
    # Two looks, each by its own index: for an `or`, and for a bare state or operation in the second, SQLite goes
    # through all that was ever done.
    done = {row.id: row for one in (late, unseen) for row in conn.execute(one)}
    pushes: dict[date, list[Any]] = {}
    for row in done.values():
        day = _created_on(row.payload)
        if day is not None and row.last_sent_at is not None:
            pushes.setdefault(day, []).append(row)
    read = covered_days(conn, source, pushes)
    return {
        day: PushedDay(
            DayState(read[day].complete, read[day].last_read_at, read[day].unclean) if day in read else None,
            any(not _is_read_since(read.get(day), row) for row in rows),
            any(row.unseen_since is not None for row in rows),
        )
        for day, rows in pushes.items()
    }


def _is_read_since(read: Row[Any] | None, push: Row[Any]) -> bool:
    if read is None:
        return False
    if read.began_no is not None and push.settled_no is not None:
        return bool(read.began_no > push.settled_no)
    return bool(read.fetch_began_at is not None and read.fetch_began_at >= push.last_sent_at)


@lru_cache(maxsize=20_000)  # a day's pushes: each tick asks for them again, and their payloads are frozen
def _created_on(payload: str) -> date | None:
    try:
        value = json.loads(payload)
        return date.fromisoformat(value["created_on"])
    except (ValueError, KeyError, TypeError):
        return None  # not a payload with a date: nothing to read back
