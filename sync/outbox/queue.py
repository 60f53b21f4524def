"""Which rows may go now: one per entity, the longest due first, behind nothing that keeps them back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    ScalarSelect,
    Select,
    Text,
    and_,
    bindparam,
    cast,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
)

from sync.database.schema import attempts, outbox
from sync.outbox.rows import Push, push_of

DUE_MANY = 1000
"""From so many due rows on, the queue is asked entity by entity: what waits behind others costs nothing then."""

# Words in the statement, not values beside it: SQLite uses a partial index only where it reads the index's own words.
READY: ColumnElement[str] = literal_column("'ready'")

_IN_FLIGHT: tuple[ColumnElement[str], ...] = (literal_column("'sending'"), literal_column("'unknown'"))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row that may go now; `alone`: its last call was refused for the sake of another row in it."""

    push: Push
    alone: bool


def candidates(
    conn: Connection,
    operations: Collection[str],
    *,
    now: datetime,
    limit: int,
    off: Collection[str] = (),
    after: str = "",
) -> list[Candidate]:
    """Return rows that are due and head their entity's queue, at most one per entity, the longest due first.

    Rows of a route that is `off` do not go, and keep nothing back. Where more rows are due than
    `DUE_MANY`, the entities are taken in turn, from the one that follows `after` on and round again:
    what it costs follows the entities that are looked at, not the rows that wait behind one another,
    and whoever passes the last entity of one call to the next starves nobody.
    """
    values = {"now_": now, "off_": list(off), "operations_": list(operations)}
    if conn.execute(_DUE, {"now_": now, "many_": DUE_MANY}).scalar_one() < DUE_MANY:
        rows = list(conn.execute(_HEADS, {**values, "limit_": limit}))
    else:
        rows = _from(conn, values, after=after, last=None, limit=limit)
        if len(rows) < limit and after:
            rows += _from(conn, values, after="", last=after, limit=limit - len(rows))
    found: dict[str, Candidate] = {}
    for row in rows:
        *columns, alone = row
        found.setdefault(columns[_ENTITY_KEY], Candidate(push_of(columns), bool(alone)))
    return list(found.values())


def _from(conn: Connection, values: Mapping[str, Any], *, after: str, last: str | None, limit: int) -> list[Any]:
    """Return up to `limit` heads that may go, of the entities after one, to the last if one is named.

    Some entities at a time: neither database need look at those for whose turn there is no room left.
    """
    found: list[Any] = []
    steps_taken = _HEADS_IN_TURN[conn.dialect.name]
    while len(found) < limit:
        steps = _steps_for(limit - len(found))
        visited = conn.execute(steps_taken, {**values, "after_": after, "last_": last, "steps_": steps}).all()
        visited = sorted(visited, key=lambda row: row.step)
        found += [row[_TURN_COLUMNS:] for row in visited if row.id is not None]
        if len(visited) < steps:  # that was all of them
            break
        after = visited[-1].entity
    return found[:limit]


def _steps_for(wanted: int) -> int:
    """How many entities to look at for so many that may go: some are kept back by what they have in flight."""
    return wanted + wanted // 4 + 10


def _may_go() -> ColumnElement[bool]:
    """A ready row that is due, whose entity has nothing in flight, and that no earlier row of its entity keeps back.

    An earlier row (by rank, then age) that backs off or waits keeps the later ones back: a receipt
    goes before its item's issuances. Only one that waits for stock does not: nobody knows how long.
    """
    return and_(outbox.c.state == READY, outbox.c.id == head_of(outbox.c.entity_key), due_and_free())


def due_and_free() -> ColumnElement[bool]:
    flying = outbox.alias("flying")
    in_flight = exists().where(flying.c.entity_key == outbox.c.entity_key, flying.c.state.in_(_IN_FLIGHT))
    return and_(outbox.c.due_at <= NOW, not_(in_flight))


def head_of(entity_key: ColumnElement[str]) -> ScalarSelect[int]:
    """The first row of an entity that goes: one step in ix_outbox_queue, however long the entity's queue is."""
    first = outbox.alias("first")
    return (
        select(first.c.id)
        .where(
            first.c.entity_key == entity_key,
            first.c.state == READY,
            first.c.route.not_in(bindparam("off_", expanding=True)),
            or_(first.c.stock_awaited_since.is_(None), first.c.due_at <= NOW),
        )
        .order_by(first.c.rank, first.c.id)
        .limit(1)
        .correlate(entity_key.table)
        .scalar_subquery()
    )


NOW = bindparam("now_", type_=outbox.c.due_at.type)

_ENTITY_KEY = list(outbox.c).index(outbox.c.entity_key)

_ALONE = (
    exists()
    .where(attempts.c.outbox_id == outbox.c.id, attempts.c.n == outbox.c.tries, attempts.c.outcome == "batch_refused")
    .label("alone_")
)

_ASKED_FOR = outbox.c.operation.in_(bindparam("operations_", expanding=True))

_LIMIT = bindparam("limit_", type_=Integer())

_DUE = select(func.count()).select_from(
    select(outbox.c.id)
    .where(outbox.c.state == READY, outbox.c.due_at <= NOW)
    .limit(bindparam("many_", type_=Integer()))
    .subquery()
)

_HEADS = select(outbox, _ALONE).where(_may_go(), _ASKED_FOR).order_by(outbox.c.due_at, outbox.c.id).limit(_LIMIT)


def _heads_in_turn(index: str) -> Select[Any]:
    """Step from entity to entity through ix_outbox_queue, `steps_` of them, and look at the head of each.

    A row is an entity visited: its number, its name, and its head, all nulls where that may not go now.
    """
    after, last = bindparam("after_", type_=Text()), cast(bindparam("last_", type_=Text()), Text())
    following: ColumnElement[str] = literal_column(
        f"(select queue.entity_key from outbox as queue {index} where queue.state = 'ready'"  # noqa: S608 - our own
        " and queue.entity_key > turn.entity order by queue.entity_key, queue.rank, queue.id limit 1)",
        Text(),
    )
    begin = select(cast(after, Text()).label("entity"), literal_column("0", Integer()).label("step"))
    turn = begin.cte("turn", recursive=True)
    goes_on = and_(turn.c.entity.is_not(None), turn.c.step < bindparam("steps_", type_=Integer()))
    turn = turn.union_all(select(following, turn.c.step + 1).select_from(turn).where(goes_on))
    goes = and_(outbox.c.id == head_of(turn.c.entity), due_and_free(), _ASKED_FOR)
    return (
        select(turn.c.step, turn.c.entity, outbox, _ALONE)
        .select_from(turn)
        .join(outbox, goes, isouter=True)
        .where(turn.c.step > 0, turn.c.entity.is_not(None), or_(last.is_(None), turn.c.entity <= last))
    )


_TURN_COLUMNS = 2

_HEADS_IN_TURN = {
    "sqlite": _heads_in_turn("indexed by ix_outbox_queue"),  # else it sorts all that is ready, for every step
    "postgresql": _heads_in_turn(""),
}
