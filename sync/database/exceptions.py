"""The queue of what needs a person. One open row per kind and subject, and the items that open ones stop."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Row

from sync.database.chunks import chunks
from sync.database.schema import exception_items, exceptions, items, movement_lines
from sync.errors import InvariantError
from sync.values.exception_kinds import BLOCKING, KINDS, OF_IGNORED_ITEMS, PROGRAM, STAY_RESOLVED
from sync.values.subjects import Subject


@dataclass(frozen=True, slots=True)
class Blocker:
    """The exception that stops an item's stock patches."""

    exception_id: int
    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class Settled:
    """What the program knew of an exception that a person resolved, and when that was."""

    facts: Mapping[str, Any]
    at: datetime


def open_exception(
    conn: Connection,
    kind: str,
    subject: Subject,
    *,
    detail: str,
    hint: str,
    now: datetime,
    facts: Mapping[str, Any] | None = None,
) -> bool:
    """Open an exception, or refresh the open one of the same kind and subject; True when it is new.

    `hint` says what a person should do. `facts` is what the program needs to act on the resolution; where the kind
    stops patches, `external_id` or `external_ids` among them name the items that are stopped. None is opened about
    items that the map ignores alone. Raises InvariantError for a kind that is not registered, or that is never about
    such a subject.
    """
    known_kind = KINDS.get(kind)
    if known_kind is None or subject.type not in known_kind.subjects:
        raise InvariantError(f"no kind of exception is {kind!r} about a {subject.type}: see values/exception_kinds.py")
    values = {"detail": detail, "hint": hint, "facts": json.dumps(facts or {}, sort_keys=True)}
    query = select(exceptions.c.id, exceptions.c.detail, exceptions.c.facts).where(_is(kind, subject))
    known = conn.execute(query).first()
    if known is None and kind in STAY_RESOLVED and _was_said_of_stock(conn, kind, subject, values["detail"]):
        return False
    if known is None and kind not in OF_IGNORED_ITEMS and _are_ignored(conn, subject, facts or {}):
        return False
    if known is None:
        new = _inserted(conn, kind=kind, subject_type=subject.type, subject=subject.name, opened_at=now, **values)
        if new is not None and known_kind.blocks_patch:
            _name_items(conn, new, facts or {})
        return new is not None
    if (known.detail, known.facts) != (values["detail"], values["facts"]):
        conn.execute(update(exceptions).where(exceptions.c.id == known.id).values(**values))
        if known_kind.blocks_patch:
            conn.execute(delete(exception_items).where(exception_items.c.exception_id == known.id))
            _name_items(conn, known.id, facts or {})
    return False


def _was_said_of_stock(conn: Connection, kind: str, subject: Subject, detail: str) -> bool:
    """Tell whether a person has resolved the last exception of a kind about an item's stock, and it said the same."""
    if subject.type != "item" or not subject.name.startswith("mps:"):
        return False
    query = (
        select(exceptions.c.detail, exceptions.c.resolved_by)
        .where(
            exceptions.c.kind == kind, exceptions.c.subject_type == subject.type, exceptions.c.subject == subject.name
        )
        .order_by(exceptions.c.id.desc())
        .limit(1)
    )
    last = conn.execute(query).first()
    return last is not None and last.resolved_by not in (None, PROGRAM) and last.detail == detail


def _are_ignored(conn: Connection, subject: Subject, facts: Mapping[str, Any]) -> bool:
    """Tell whether the items that an exception is about are all ignored by the item map."""
    named = _items_about(conn, subject, facts)
    if not named:
        return False
    query = select(items.c.external_id).where(items.c.ignored, items.c.external_id.in_(sorted(named)))
    return named == set(conn.execute(query).scalars())


def _items_about(conn: Connection, subject: Subject, facts: Mapping[str, Any]) -> set[str]:
    """Return MPservices' items that an exception is about, as far as its facts or its subject name them."""
    named = {str(item) for item in facts.get("external_ids", ())} | {str(facts.get("external_id") or "")} - {""}
    if named or subject.type not in ("item", "event"):
        return named
    if subject.type == "item":
        return {subject.name.removeprefix("mps:")}
    lines = select(movement_lines.c.external_id).where(movement_lines.c.api_key == subject.name.split(" ", 1)[-1])
    return set(conn.execute(lines).scalars())


def resolve_about_items(conn: Connection, external_ids: Iterable[str], *, resolution: str, now: datetime) -> int:
    """Resolve the open exceptions that are about these items, and about ignored ones beside them; return how many."""
    wanted, count = set(external_ids), 0
    for row in open_exceptions(conn) if wanted else ():
        facts = json.loads(row.facts)
        if row.kind in OF_IGNORED_ITEMS or not _items_about(conn, subject_of(row), facts) & wanted:
            continue
        if _are_ignored(conn, subject_of(row), facts):
            close_by_person(conn, row.id, why=resolution, by=PROGRAM, now=now)
            count += 1
    return count


def _is(kind: str, subject: Subject) -> ColumnElement[bool]:
    """Return the condition of the open row of a kind and subject."""
    return and_(
        exceptions.c.kind == kind,
        exceptions.c.subject_type == subject.type,
        exceptions.c.subject == subject.name,
        exceptions.c.resolved_at.is_(None),
    )


def _inserted(conn: Connection, **values: Any) -> int | None:
    """Insert unless another process opens the same one at the same time; then its word stands, and nothing fails."""
    insert_ = sqlite.insert(exceptions) if conn.dialect.name == "sqlite" else postgresql.insert(exceptions)
    statement = insert_.values(**values).on_conflict_do_nothing(
        index_elements=["kind", "subject_type", "subject"], index_where=exceptions.c.resolved_at.is_(None)
    )
    return conn.execute(statement.returning(exceptions.c.id)).scalar_one_or_none()


def _name_items(conn: Connection, exception_id: int, facts: Mapping[str, Any]) -> None:
    named = {*facts.get("external_ids", ()), *([facts["external_id"]] if facts.get("external_id") else [])}
    if named:
        rows = [{"exception_id": exception_id, "external_id": str(item)} for item in sorted(named)]
        conn.execute(insert(exception_items), rows)


def resolve_exceptions(
    conn: Connection, kind: str, subject: Subject, *, resolution: str, now: datetime, by: str = "mpsync"
) -> int:
    """Resolve the open exception of a kind and subject, if there is one; return how many were."""
    done = conn.execute(
        update(exceptions).where(_is(kind, subject)).values(resolved_at=now, resolved_by=by, resolution=resolution)
    )
    return done.rowcount


def open_exceptions(conn: Connection, *, kind: str | None = None) -> list[Row[Any]]:
    """Return the open exceptions, oldest first."""
    query = select(exceptions).where(exceptions.c.resolved_at.is_(None)).order_by(exceptions.c.id)
    return list(conn.execute(query if kind is None else query.where(exceptions.c.kind == kind)))


def open_meant(
    conn: Connection, *, ids: Sequence[int] = (), kind: str | None = None, subject: str | None = None
) -> list[Row[Any]]:
    """Return the open exceptions that fit all that is given."""
    query = select(exceptions).where(exceptions.c.resolved_at.is_(None)).order_by(exceptions.c.id)
    if ids:
        query = query.where(exceptions.c.id.in_(list(ids)))
    if kind is not None:
        query = query.where(exceptions.c.kind == kind)
    if subject is not None:
        query = query.where(exceptions.c.subject == subject)
    return list(conn.execute(query))


def close_by_person(
    conn: Connection, exception_id: int, *, why: str, by: str, now: datetime, facts: Mapping[str, Any] | None = None
) -> None:
    """Close an exception by a person's word; `facts` take the place of those that it has, None: they stay."""
    values: dict[str, Any] = {"resolved_at": now, "resolved_by": by, "resolution": why}
    if facts is not None:
        values["facts"] = json.dumps(facts, sort_keys=True)
    conn.execute(update(exceptions).where(exceptions.c.id == exception_id).values(**values))


def subject_of(row: Row[Any]) -> Subject:
    """Return what a row of the table is about."""
    return Subject(row.subject_type, row.subject)


def open_facts(conn: Connection, kind: str, subject: Subject) -> dict[str, Any]:
    """Return what the open exception of a kind and subject keeps for the program; empty where none is open."""
    facts = conn.execute(select(exceptions.c.facts).where(_is(kind, subject))).scalar_one_or_none()
    return {} if facts is None else dict(json.loads(facts))


def settled_by_people(conn: Connection, kind: str) -> list[Settled]:
    """Return what people, not the program, have resolved of a kind: what was known of it, and when that was."""
    query = select(exceptions.c.facts, exceptions.c.resolved_at).where(
        exceptions.c.kind == kind, exceptions.c.resolved_by.is_not(None), exceptions.c.resolved_by != "mpsync"
    )
    return [Settled(json.loads(row.facts), row.resolved_at) for row in conn.execute(query)]


def is_settled_so(conn: Connection, kind: str, subject: Subject, facts: Mapping[str, Any]) -> bool:
    """Tell whether a person has resolved the last exception of a kind and subject, and these facts were known to it."""
    query = (
        select(exceptions)
        .where(
            exceptions.c.kind == kind, exceptions.c.subject_type == subject.type, exceptions.c.subject == subject.name
        )
        .order_by(exceptions.c.id.desc())
        .limit(1)
    )
    last = conn.execute(query).first()
    by_person = last is not None and last.resolved_at is not None and last.resolved_by != "mpsync"
    return last is not None and by_person and json.loads(last.facts) == dict(facts)


def is_open(conn: Connection, kind: str, subject: Subject) -> bool:
    """Tell whether an exception of that kind is open about a subject."""
    return bool(conn.execute(select(exists().where(_is(kind, subject)))).scalar_one())


def blocking(conn: Connection, external_ids: Iterable[str]) -> dict[str, Blocker]:
    """Return what stops the patches of these items, by external id; an item that nothing stops is left out.

    Of several exceptions about an item the oldest is named.
    """
    found: dict[str, Blocker] = {}
    for chunk in chunks(external_ids):
        query = (
            select(exception_items.c.external_id, exceptions.c.id, exceptions.c.kind, exceptions.c.detail)
            .join(exceptions, exceptions.c.id == exception_items.c.exception_id)
            .where(
                exception_items.c.external_id.in_(chunk),
                exceptions.c.resolved_at.is_(None),
                exceptions.c.kind.in_(BLOCKING),
            )
            .order_by(exceptions.c.id)
        )
        for row in conn.execute(query):
            found.setdefault(row.external_id, Blocker(row.id, row.kind, row.detail))
    return found
