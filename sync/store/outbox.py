"""The outbox's rows and their attempts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Row

from sync.domain.outbox import NewPush
from sync.store.schema import outbox


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


def push_of(row: Row[Any]) -> Push:
    """Return a row of the table as a Push, its facts parsed."""
    values = dict(row._mapping)
    return Push(**{**values, "facts": json.loads(values["facts"])})


def add_push(conn: Connection, push: NewPush, *, now: datetime) -> int | None:
    """Add a push, due at once, and return its id; None where that operation and key have a row already."""
    insert = sqlite.insert(outbox) if conn.dialect.name == "sqlite" else postgresql.insert(outbox)
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
            due_at=now,
            payload=push.payload,
            facts=json.dumps(dict(push.facts), sort_keys=True),
            reason=push.reason,
            created_at=now,
        )
        .on_conflict_do_nothing(index_elements=["operation", "api_key"])
        .returning(outbox.c.id)
    )
    return conn.execute(statement).scalar_one_or_none()


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


def supersede_unsent(conn: Connection, entity_key: str, operation: str, *, why: str, now: datetime) -> int:
    """Supersede an entity's rows of an operation that were never tried; return how many were."""
    done = conn.execute(
        outbox.update()
        .where(
            outbox.c.entity_key == entity_key,
            outbox.c.operation == operation,
            outbox.c.state.in_(("held", "ready")),
            outbox.c.tries == 0,
        )
        .values(state="superseded", finalized_at=now, last_error=why)
    )
    return done.rowcount
