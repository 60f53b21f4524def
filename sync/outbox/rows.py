"""The outbox's rows: adding, finding, and what an operator does with them.

Which may go: `queue`; sending: `claims`; what waits: `watch`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, func, not_, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Row
from sqlalchemy.exc import IntegrityError

from sync.database.schema import attempts, exceptions, outbox, pushed_rows
from sync.ledger.books import Books
from sync.outbox.machine import NewPush
from sync.values.exception_kinds import kinds_about
from sync.values.subjects import SubjectType

PUSH: SubjectType = "push"
EXCEPTION_KINDS = kinds_about(PUSH)
"""Kinds of exceptions that may be about one push; some may be about something else, so its type is always asked."""

RETRIED_AT = "retried_at"
DENIED_TRIES = "denied_tries"
"""In a row's facts: so many tries, from the first, of which a person said that they did nothing more than is known."""
"""The fact of a row that holds when a person last sent it on its way again: what failed before counts no more."""


@dataclass(frozen=True, slots=True)
class Push:
    """A row of the outbox."""

    id: int
    route: str
    operation: str
    kind: str | None
    api_key: str
    entity_key: str
    item: str | None
    rank: int
    state: str
    attempts: int
    tries: int
    fence: int
    lease_owner: str | None
    lease_until: datetime | None
    due_at: datetime
    ambiguous: bool
    first_sent_at: datetime | None
    last_sent_at: datetime | None
    payload: str
    facts: Mapping[str, Any]
    reason: str | None
    last_error: str | None
    evidence: str | None
    remote_id: str | None
    created_at: datetime
    finalized_at: datetime | None
    stock_awaited_since: datetime | None = None
    settled_no: int | None = None
    unseen_since: datetime | None = None
    stock_seen: Decimal | None = None
    stock_seen_at: datetime | None = None


_COLUMNS = tuple(column.name for column in outbox.c)


def push_of(row: Sequence[Any]) -> Push:
    """Return a row of the table, all columns in their order, as a Push, its facts parsed."""
    values = dict(zip(_COLUMNS, row, strict=True))
    values["facts"] = json.loads(values["facts"])
    return Push(**values)


# --- adding and finding -------------------------------------------------------------------


def add_push(books: Books, push: NewPush) -> int | None:
    """Add a push, due at once, and return its id; None where that operation and key have a row already."""
    insert = sqlite.insert(outbox) if books.conn.dialect.name == "sqlite" else postgresql.insert(outbox)
    statement = (
        insert.values(
            route=push.route,
            operation=push.operation,
            kind=push.kind,
            api_key=push.api_key,
            entity_key=push.entity_key,
            item=push.item,
            rank=push.rank,
            state=push.state,
            due_at=books.now,
            payload=push.payload,
            facts=json.dumps(dict(push.facts), sort_keys=True),
            reason=push.reason,
            created_at=books.now,
        )
        .on_conflict_do_nothing(index_elements=["operation", "api_key"])
        .returning(outbox.c.id)
    )
    return books.conn.execute(statement).scalar_one_or_none()


def push_exists(conn: Connection, kind: str, api_key: str) -> bool:
    """Tell whether an event was ever given to the outbox, whatever became of it."""
    query = select(outbox.c.id).where(outbox.c.api_key == api_key, outbox.c.kind == kind).limit(1)
    return conn.execute(query).first() is not None


def push_by_id(conn: Connection, outbox_id: int) -> Push | None:
    """Return one row, or None."""
    row = conn.execute(select(outbox).where(outbox.c.id == outbox_id)).first()
    return None if row is None else push_of(row)


def push_of_key(conn: Connection, operation: str, api_key: str) -> Push | None:
    """Return the row of an operation and key, or None."""
    row = conn.execute(select(outbox).where(outbox.c.operation == operation, outbox.c.api_key == api_key)).first()
    return None if row is None else push_of(row)


def unsettled_for_entity(conn: Connection, entity_key: str) -> list[Push]:
    """Return the rows of an entity that are held, ready, in flight or dead, oldest first."""
    states = ("held", "ready", "sending", "unknown", "dead")
    query = select(outbox).where(outbox.c.entity_key == entity_key, outbox.c.state.in_(states)).order_by(outbox.c.id)
    return [push_of(row) for row in conn.execute(query)]


def attempts_of(conn: Connection, outbox_id: int) -> list[Row[Any]]:
    """Return the tries of a push, first to last."""
    return list(conn.execute(select(attempts).where(attempts.c.outbox_id == outbox_id).order_by(attempts.c.n)))


def add_pushed_rows(conn: Connection, type_: str, pushed: Sequence[tuple[Push, str]]) -> None:
    """Remember that these remote rows, given by their ids, are the pushes' doing; safe to repeat."""
    rows = [
        {"type": type_, "remote_id": remote_id, "api_key": push.api_key, "outbox_id": push.id}
        for push, remote_id in pushed
    ]
    if rows:
        conn.execute(_ADD_PUSHED_ROWS[conn.dialect.name], rows)


_ADD_PUSHED_ROWS = {
    "sqlite": sqlite.insert(pushed_rows).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(pushed_rows).on_conflict_do_nothing(),
}


def supersede_unsent(
    books: Books, ids: Collection[int] | Select[tuple[int]], *, why: str, fence: int | None = None
) -> int:
    """Supersede those of these rows that were never tried; return how many were.

    With `fence`, a row that a pusher has taken meanwhile stays, even where that one has given it back untried.
    """
    unsent = [outbox.c.id.in_(ids), outbox.c.state.in_(("held", "ready")), outbox.c.tries == 0]
    if fence is not None:
        unsent.append(outbox.c.fence == fence)
    values = {"state": "superseded", "finalized_at": books.now, "last_error": why}
    return books.conn.execute(update(outbox).where(*unsent).values(**values)).rowcount


def cancel(books: Books, push: Push, *, why: str) -> bool:
    """Take back a held or ready row: superseded if never tried, else discarded; False where it moved on meanwhile."""
    state = "superseded" if push.tries == 0 else "discarded"
    done = books.conn.execute(
        update(outbox)
        .where(outbox.c.id == push.id, outbox.c.fence == push.fence, outbox.c.state.in_(("held", "ready")))
        .values(state=state, finalized_at=books.now, last_error=why)
    )
    if done.rowcount:
        close_exceptions(books, push.id, resolution=why)
    return done.rowcount == 1


# --- what an operator does ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Which:
    """Which rows an operator means: all conditions together; no condition is every row."""

    ids: Sequence[int] | None = None
    route: str | None = None
    operation: str | None = None
    item: str | None = None
    state: str | None = None
    api_key: str | None = None
    created_before: datetime | None = None
    routes: Sequence[str] = ()

    def condition(self) -> ColumnElement[bool]:
        """Return it as SQL."""
        equal = {"route": self.route, "operation": self.operation, "item": self.item, "state": self.state}
        parts = [outbox.c[name] == value for name, value in equal.items() if value is not None]
        if self.ids is not None:
            parts.append(outbox.c.id.in_(list(self.ids)))
        if self.routes:
            parts.append(outbox.c.route.in_(list(self.routes)))
        if self.api_key is not None:
            parts.append(outbox.c.api_key == self.api_key)
        if self.created_before is not None:
            parts.append(outbox.c.created_at < self.created_before)
        return and_(*parts) if parts else outbox.c.id.is_not(None)


_NEVER_REACHED = and_(outbox.c.state.in_(("held", "ready")), outbox.c.attempts == 0, not_(outbox.c.ambiguous))
_RELEASABLE = outbox.c.state == "held"
_DISCARDABLE = or_(_NEVER_REACHED, outbox.c.state == "dead")
_RETRYABLE = outbox.c.state.in_(("dead", "unknown"))


def find_pushes(conn: Connection, which: Which, *, limit: int | None = None) -> list[Push]:
    """Return the rows that are meant, oldest first."""
    query = select(outbox).where(which.condition()).order_by(outbox.c.id)
    return [push_of(row) for row in conn.execute(query if limit is None else query.limit(limit))]


def count_for(conn: Connection, which: Which, action: Literal["release", "discard", "retry"]) -> int:
    """Return how many of the rows that are meant an operator's action would reach."""
    reached = {"release": _RELEASABLE, "discard": _DISCARDABLE, "retry": _RETRYABLE}[action]
    return conn.execute(select(func.count()).select_from(outbox).where(which.condition(), reached)).scalar_one()


def release(books: Books, which: Which) -> int:
    """Let held rows go; return how many."""
    done = books.conn.execute(
        update(outbox).where(which.condition(), _RELEASABLE).values(state="ready", due_at=books.now)
    )
    return done.rowcount


def discard(books: Books, which: Which, *, by: str, why: str = "") -> int:
    """Drop held and ready rows that no vendor ever saw, and dead ones; return how many.

    A row whose fate is unknown, or of which a part is done, is not dropped: it has to be resolved.
    """
    ids = list(books.conn.execute(select(outbox.c.id).where(which.condition(), _DISCARDABLE)).scalars())
    note = f"discarded by {by}" + (f": {why}" if why else "")
    count = 0
    for outbox_id in ids:
        done = books.conn.execute(
            update(outbox)
            .where(outbox.c.id == outbox_id, _DISCARDABLE)
            .values(state="discarded", finalized_at=books.now, evidence=note)
        )
        count += done.rowcount
        if done.rowcount:
            close_exceptions(books, outbox_id, resolution=note, by=by)
    return count


def retry(books: Books, which: Which, *, by: str) -> int:
    """Give dead rows another chance, and have unknown ones verified now; return how many.

    A dead row that was ever ambiguous is verified before it is sent again. One whose entity has
    another row in flight is left as it is, and not counted.
    """
    count = 0
    for row in books.conn.execute(select(outbox).where(which.condition(), _RETRYABLE).order_by(outbox.c.id)).all():
        count += _retry_one(books, push_of(row), by=by)
    return count


def _retry_one(books: Books, push: Push, *, by: str) -> int:
    state = "unknown" if push.state == "unknown" or push.ambiguous else "ready"
    values: dict[str, Any] = {"state": state, "due_at": books.now, "finalized_at": None}
    if push.state == "dead":
        values["facts"] = _facts_of_retried(push, books.now)
    try:
        with books.conn.begin_nested():
            done = books.conn.execute(
                update(outbox)
                .where(outbox.c.id == push.id, outbox.c.state == push.state, outbox.c.fence == push.fence)
                .values(**values)
            )
    except IntegrityError:
        return 0
    if done.rowcount and push.state == "dead":
        close_exceptions(books, push.id, resolution=f"retried by {by}", by=by)
    return done.rowcount


def _facts_of_retried(push: Push, now: datetime, more: Mapping[str, object] | None = None) -> str:
    return json.dumps({**push.facts, RETRIED_AT: now.isoformat(), **(more or {})}, sort_keys=True)


OPERATOR = "operator "
"""How the evidence of a push begins that a person has settled."""


def resolve(books: Books, outbox_id: int, *, done: bool, why: str, by: str) -> bool:
    """Settle an unknown or dead row by a person's word: done, or not done and to be sent (again).

    False where it is in neither state (any more). The word is kept as evidence, and clears ambiguity.
    """
    push = push_by_id(books.conn, outbox_id)
    if push is None:
        return False
    evidence = f"{OPERATOR}{by}: {why}"
    values: dict[str, Any] = {"evidence": evidence, "lease_owner": None, "lease_until": None}
    if done:
        values |= {"state": "done", "finalized_at": books.now}
    else:
        values |= {"state": "ready", "finalized_at": None, "due_at": books.now, "ambiguous": False}
        values["facts"] = _facts_of_retried(push, books.now, {DENIED_TRIES: push.tries})
    changed = books.conn.execute(
        update(outbox)
        .where(outbox.c.id == outbox_id, outbox.c.state.in_(("unknown", "dead")))
        .values(**values, fence=outbox.c.fence + 1)
    )
    if changed.rowcount:
        close_exceptions(books, outbox_id, resolution=evidence, by=by)
    return changed.rowcount == 1


def exceptions_about(conn: Connection, outbox_ids: Sequence[int]) -> set[int]:
    """Return those of these pushes that something is open about."""
    if not outbox_ids:
        return set()
    values = {"kinds_": EXCEPTION_KINDS, "subjects_": [str(outbox_id) for outbox_id in outbox_ids]}
    return {int(subject) for subject in conn.execute(_OPEN_ABOUT, values).scalars()}


_OPEN_ABOUT = select(exceptions.c.subject).where(
    exceptions.c.kind.in_(bindparam("kinds_", expanding=True)),
    exceptions.c.subject_type == PUSH,
    exceptions.c.subject.in_(bindparam("subjects_", expanding=True)),
    exceptions.c.resolved_at.is_(None),
)


def close_exceptions(books: Books, outbox_id: int, *, resolution: str, by: str = "mpsync") -> int:
    """Resolve what is open about one push; return how many were."""
    done = books.conn.execute(
        update(exceptions)
        .where(
            exceptions.c.kind.in_(EXCEPTION_KINDS),
            exceptions.c.subject_type == PUSH,
            exceptions.c.subject == str(outbox_id),
            exceptions.c.resolved_at.is_(None),
        )
        .values(resolved_at=books.now, resolved_by=by, resolution=resolution)
    )
    return done.rowcount
