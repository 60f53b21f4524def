"""How outbox rows are claimed, moved on and rescued: every statement is a compare-and-set."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
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
    delete,
    exists,
    func,
    insert,
    literal_column,
    not_,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.exc import IntegrityError

from sync.domain.outbox import FINAL, Outcome, Standing, Transition, is_legal, streak_of
from sync.errors import InvariantError
from sync.store.outbox import RETRIED_AT, Push, push_of
from sync.store.schema import attempts, exceptions, inventories, ledger_entries, outbox

DUE_MANY = 1000
"""From so many due rows on, the queue is asked entity by entity: what waits behind others costs nothing then."""

# Words in the statement, not values beside it: SQLite uses a partial index only where it reads the index's own words.
_READY: ColumnElement[str] = literal_column("'ready'")
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
    return and_(outbox.c.state == _READY, outbox.c.id == _head(outbox.c.entity_key), _due_and_free())


def _due_and_free() -> ColumnElement[bool]:
    flying = outbox.alias("flying")
    in_flight = exists().where(flying.c.entity_key == outbox.c.entity_key, flying.c.state.in_(_IN_FLIGHT))
    return and_(outbox.c.due_at <= _NOW, not_(in_flight))


def _head(entity_key: ColumnElement[str]) -> ScalarSelect[int]:
    """The first row of an entity that goes: one step in ix_outbox_queue, however long the entity's queue is."""
    first = outbox.alias("first")
    return (
        select(first.c.id)
        .where(
            first.c.entity_key == entity_key,
            first.c.state == _READY,
            first.c.route.not_in(bindparam("off_", expanding=True)),
            or_(first.c.stock_awaited_since.is_(None), first.c.due_at <= _NOW),
        )
        .order_by(first.c.rank, first.c.id)
        .limit(1)
        .correlate(entity_key.table)
        .scalar_subquery()
    )


_NOW = bindparam("now_", type_=outbox.c.due_at.type)
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
    .where(outbox.c.state == _READY, outbox.c.due_at <= _NOW)
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
    goes = and_(outbox.c.id == _head(turn.c.entity), _due_and_free(), _ASKED_FOR)
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


@dataclass(frozen=True, slots=True)
class Claim:
    """What is written with a claim: the state the vendor was seen in, and the key the try carries."""

    before: Mapping[str, Any] | None = None
    sent_key: str | None = None


def claim(
    conn: Connection,
    rows: Sequence[Push],
    claims: Mapping[int, Claim],
    *,
    owner: str,
    now: datetime,
    lease_until: datetime,
    batch_id: str | None,
    off: Collection[str] = (),
) -> list[Push]:
    """Take those of the rows that still may go, each with a new fence, a lease and its attempt row; return them.

    On PostgreSQL a row that another worker is just taking is passed over, not waited for.
    """
    values = {
        "now_": now,
        "off_": list(off),
        "owner_": owner,
        "lease_": lease_until,
    }
    claimed = _take(conn, _unlocked(conn, rows), values)
    if claimed:
        conn.execute(_ADD_ATTEMPT, [_attempt(row, claims.get(row.id, Claim()), now, batch_id) for row in claimed])
    return claimed


def _unlocked(conn: Connection, rows: Sequence[Push]) -> list[Push]:
    if conn.dialect.name == "sqlite":
        return list(rows)  # nobody else writes while we do
    free = set(conn.execute(_LOCK, {"ids_": [row.id for row in rows]}).scalars())
    return [row for row in rows if row.id in free]


def _take(conn: Connection, rows: Sequence[Push], values: Mapping[str, Any]) -> list[Push]:
    """Take what may still go, in one statement; where that meets an entity just taken by others, one by one."""
    if not rows:
        return []
    known = {"ids_": [row.id for row in rows], "known_": [(row.id, row.fence) for row in rows]}
    alone = conn.dialect.name == "sqlite"  # the only writer: nobody can have got in between
    try:
        with nullcontext() if alone else conn.begin_nested():  # another row of an entity may go into flight: refused
            taken = [push_of(row) for row in conn.execute(_TAKE, {**values, **known})]
    except IntegrityError:
        return [] if len(rows) == 1 else [row for one in rows for row in _take(conn, [one], values)]
    return sorted(taken, key=lambda row: row.id)


def _attempt(row: Push, claim_: Claim, now: datetime, batch_id: str | None) -> dict[str, Any]:
    return {
        "outbox_id": row.id,
        "n": row.tries,
        "fence": row.fence,
        "batch_id": batch_id,
        "started_at": now,
        "sent_key": claim_.sent_key or row.api_key,
        "before": None if claim_.before is None else json.dumps(dict(claim_.before), sort_keys=True),
    }


_LOCK = (
    select(outbox.c.id)
    .where(outbox.c.id.in_(bindparam("ids_", expanding=True)))
    .order_by(outbox.c.id)
    .with_for_update(skip_locked=True)
)
_TAKE = (
    update(outbox)
    .where(
        outbox.c.id.in_(bindparam("ids_", expanding=True)),
        tuple_(outbox.c.id, outbox.c.fence).in_(bindparam("known_", expanding=True)),
        # no column alone: SQLite would rather read all that is ready in ix_outbox_state_due than the rows it is told
        outbox.c.state.concat("") == _READY,
        outbox.c.id == _head(outbox.c.entity_key),
        _due_and_free(),
    )
    .values(
        state="sending",
        fence=outbox.c.fence + 1,
        tries=outbox.c.tries + 1,
        lease_owner=bindparam("owner_"),
        lease_until=bindparam("lease_"),
    )
    .returning(outbox)
)
_ADD_ATTEMPT = insert(attempts)


def unclaim(conn: Connection, row: Push) -> bool:
    """Give back a claim of ours under which nothing was sent, as if it had never been made; False where it is not ours.

    For a call that was never begun and that never will be: the row is ready, as due as it was, and its attempt row
    goes. The fence stays as it is, so that the claim is worth nothing any more.
    """
    mine = {"id_": row.id, "fence_": row.fence, "state_": "sending", "tries_": row.tries - 1}
    if conn.execute(_UNCLAIM, mine).rowcount == 0:
        return False
    conn.execute(delete(attempts).where(attempts.c.outbox_id == row.id, attempts.c.n == row.tries))
    return True


def standing(conn: Connection, row: Push, outcome: Outcome | None = None) -> Standing:
    """Return what the decisions need to know of a row; `outcome` is that of the try which has just ended.

    Tries from before a person sent it on its way again count no more.
    """
    mine = attempts.c.outbox_id == row.id
    retried_at = row.facts.get(RETRIED_AT)
    if retried_at is not None:
        mine = and_(mine, attempts.c.started_at >= datetime.fromisoformat(retried_at))
    alike = streak_of(outcome)
    other = select(func.coalesce(func.max(attempts.c.n), 0)).where(mine, attempts.c.outcome.not_in(alike))
    unclear = or_(attempts.c.outcome == "unknown", attempts.c.outcome.is_(None))
    found = conn.execute(
        select(func.count(), func.min(attempts.c.started_at).filter(unclear)).where(
            mine, attempts.c.n > other.scalar_subquery()
        )
    ).one()
    return Standing(
        ambiguous=row.ambiguous,
        failures=found[0],
        failing_since=found[1],
        last_sent_at=row.last_sent_at,
        created_at=row.created_at,
    )


def move(conn: Connection, row: Push, to: Transition, *, now: datetime, sent_at: datetime | None = None) -> bool:
    """Write a row's transition, if the row is still in the state and under the fence that we know it by.

    False: somebody else owns it, and what we learned is to be dropped. `sent_at` is until when a
    call may have left, where that is not now.
    """
    return bool(move_all(conn, [(row, to)], now=now, sent_at=sent_at))


def move_all(
    conn: Connection, moves: Sequence[tuple[Push, Transition]], *, now: datetime, sent_at: datetime | None = None
) -> set[int]:
    """Write the transitions of different rows, each under its own fence; return the ids of those that were ours."""
    for row, to in moves:
        if not is_legal(row.state, to.state):
            raise InvariantError(f"outbox {row.id}: {row.state} → {to.state} is no move of the machine")
    if not moves:
        return set()
    known = [(row.id, row.fence, row.state) for row, _ in moves]
    ours = set(conn.execute(_OURS, {"ids_": [row.id for row, _ in moves], "known_": known}).scalars())
    values = [_values(row, to, now=now, sent_at=sent_at or now) for row, to in moves if row.id in ours]
    if values and conn.execute(_MOVE, values).rowcount != len(values):
        raise InvariantError("a row of the outbox moved although it was locked")
    return ours


def _values(row: Push, to: Transition, *, now: datetime, sent_at: datetime) -> dict[str, Any]:
    remote_ids = row.remote_id.split(",") if row.remote_id else []
    counts = to.counts
    waits = to.outcome == "no_stock"
    return {
        "id_": row.id,
        "fence_": row.fence,
        "state_": row.state,
        "new_state": to.state,
        "new_last_error": to.last_error,
        "new_finalized_at": now if to.state in FINAL else None,
        "new_due_at": to.due_at,
        "new_ambiguous": to.ambiguous,
        "new_evidence": to.evidence,
        "new_remote_id": ",".join(dict.fromkeys([*remote_ids, *to.remote_ids])) or None,
        "new_attempts": row.attempts + counts,
        "new_first_sent_at": (row.first_sent_at or sent_at) if counts else row.first_sent_at,
        "new_last_sent_at": sent_at if counts else row.last_sent_at,
        "new_stock_awaited_since": (row.stock_awaited_since or now) if waits else None,
    }


_MINE = and_(
    outbox.c.id == bindparam("id_"), outbox.c.fence == bindparam("fence_"), outbox.c.state == bindparam("state_")
)
_OURS = (
    select(outbox.c.id)
    .where(
        outbox.c.id.in_(bindparam("ids_", expanding=True)),
        tuple_(outbox.c.id, outbox.c.fence, outbox.c.state).in_(bindparam("known_", expanding=True)),
    )
    .order_by(outbox.c.id)
    .with_for_update()
)
_MOVE = (
    update(outbox)
    .where(_MINE)
    .values(
        state=bindparam("new_state"),
        lease_owner=None,
        lease_until=None,
        last_error=bindparam("new_last_error"),
        finalized_at=bindparam("new_finalized_at"),
        due_at=func.coalesce(bindparam("new_due_at", type_=outbox.c.due_at.type), outbox.c.due_at),
        ambiguous=func.coalesce(bindparam("new_ambiguous", type_=outbox.c.ambiguous.type), outbox.c.ambiguous),
        evidence=func.coalesce(bindparam("new_evidence", type_=Text()), outbox.c.evidence),
        remote_id=bindparam("new_remote_id"),
        attempts=bindparam("new_attempts"),
        first_sent_at=bindparam("new_first_sent_at"),
        last_sent_at=bindparam("new_last_sent_at"),
        stock_awaited_since=bindparam("new_stock_awaited_since"),
    )
)
_UNCLAIM = (
    update(outbox).where(_MINE).values(state="ready", tries=bindparam("tries_"), lease_owner=None, lease_until=None)
)


def end_attempt(conn: Connection, row: Push, to: Transition, *, now: datetime) -> None:
    """Write how the row's last try ended."""
    end_attempts(conn, [(row, to)], now=now)


def end_attempts(conn: Connection, ended: Sequence[tuple[Push, Transition]], *, now: datetime) -> None:
    """Write how the rows' last tries ended."""
    if ended:
        conn.execute(_END_ATTEMPT, [_end_of(row, to, now) for row, to in ended])


def _end_of(row: Push, to: Transition, now: datetime) -> dict[str, Any]:
    cause = to.cause
    return {
        "of_": row.id,
        "n_": row.tries,
        "ended_": now,
        "outcome_": to.outcome,
        "error_": to.last_error,
        "status_": getattr(cause, "status", None),
        "answered_": getattr(cause, "answered_at", None),
        "sent_": getattr(cause, "sent_key", None) or None,
    }


_END_ATTEMPT = (
    update(attempts)
    .where(attempts.c.outbox_id == bindparam("of_"), attempts.c.n == bindparam("n_"))
    .values(
        ended_at=bindparam("ended_"),
        outcome=bindparam("outcome_"),
        error=bindparam("error_"),
        http_status=bindparam("status_"),
        answered_at=bindparam("answered_"),
        sent_key=func.coalesce(bindparam("sent_", type_=Text()), attempts.c.sent_key),
    )
)


def postpone(conn: Connection, row: Push, *, until: datetime, reason: str) -> bool:
    """Leave a ready row ready, due later: no attempt was made."""
    changed = conn.execute(
        update(outbox)
        .where(outbox.c.id == row.id, outbox.c.fence == row.fence, outbox.c.state == "ready")
        .values(due_at=until, last_error=reason)
    )
    return changed.rowcount == 1


def leases_that_ran_out(
    conn: Connection, *, now: datetime, only_owner: str | None = None, limit: int = 1000
) -> list[Push]:
    """Return the rows in `sending` whose worker has let its lease run out.

    `only_owner` says that no other worker lives (a file lock proves it): theirs have run out now.
    """
    over = outbox.c.lease_until <= now
    if only_owner is not None:
        over = or_(over, outbox.c.lease_owner != only_owner)
    query = select(outbox).where(outbox.c.state == "sending", over).order_by(outbox.c.id)
    return [push_of(row) for row in conn.execute(query.limit(limit))]


def unknown_due(conn: Connection, operations: Iterable[str], *, now: datetime, limit: int) -> list[Push]:
    """Return the unknown rows that are due for verification, the longest due first."""
    query = (
        select(outbox)
        .where(outbox.c.state == "unknown", outbox.c.due_at <= now, outbox.c.operation.in_(list(operations)))
        .order_by(outbox.c.due_at, outbox.c.id)
        .limit(limit)
    )
    return [push_of(row) for row in conn.execute(query)]


def unknown_since(conn: Connection, instant: datetime) -> list[Push]:
    """Return the unknown rows whose last call left before an instant."""
    query = select(outbox).where(outbox.c.state == "unknown", outbox.c.last_sent_at < instant).order_by(outbox.c.id)
    return [push_of(row) for row in conn.execute(query)]


def is_told(conn: Connection, kind: str, row: Push) -> bool:
    """Tell whether an exception of that kind is open about a push."""
    query = select(exceptions.c.id).where(
        exceptions.c.kind == kind, exceptions.c.subject == str(row.id), exceptions.c.resolved_at.is_(None)
    )
    return conn.execute(query).first() is not None


def waiting_for_stock(conn: Connection, *, since: datetime) -> list[tuple[Push, datetime]]:
    """Return the rows whose tries have found no stock since that instant at least, each with since when."""
    query = select(outbox).where(_AWAITS_STOCK, outbox.c.stock_awaited_since <= since).order_by(outbox.c.id)
    pushes = [push_of(row) for row in conn.execute(query)]
    return [(push, push.stock_awaited_since) for push in pushes if push.stock_awaited_since is not None]


_AWAITS_STOCK = and_(outbox.c.state == _READY, outbox.c.stock_awaited_since.is_not(None))


def stock_grew_for(conn: Connection, *, now: datetime) -> list[int]:
    """Return the rows that wait for stock, where something since their last try may have brought some.

    That is: a receipt of the part in MPW's ledger, a receipt or a deleted issuance that we sent, or
    a reading of the part's inventory that shows some.
    """
    return list(conn.execute(_STOCK_GREW, {"now_": now}).scalars())


def _stock_grew() -> Select[Any]:
    tried = attempts.c.started_at
    mate, entry = outbox.alias("mate"), ledger_entries.alias("entry")
    newest = (  # the last entry that brought some: what is older than it was there when the row was tried
        select(entry.c.recorded_at)
        .where(entry.c.item == outbox.c.item, entry.c.system == "mpw", entry.c.quantity > Decimal(0))
        .order_by(entry.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    grew = or_(
        newest > tried,
        exists().where(
            mate.c.entity_key == outbox.c.entity_key,
            mate.c.item == outbox.c.item,
            mate.c.state == "done",
            mate.c.operation.in_(("post_receipt", "delete_issuance", "post_transfer")),
            mate.c.finalized_at > tried,
        ),
        exists().where(
            inventories.c.part_number == outbox.c.item,
            inventories.c.quantity > Decimal(0),
            inventories.c.read_at > tried,
        ),
    )
    last_try = and_(attempts.c.outbox_id == outbox.c.id, attempts.c.n == outbox.c.tries)
    return select(outbox.c.id).join(attempts, last_try).where(_AWAITS_STOCK, outbox.c.due_at > _NOW, grew)


_STOCK_GREW = _stock_grew()


def make_due(conn: Connection, ids: Sequence[int], *, now: datetime) -> int:
    """Make ready rows due now; return how many were not."""
    waiting = and_(outbox.c.id.in_(list(ids)), outbox.c.state == "ready", outbox.c.due_at > now)
    return conn.execute(update(outbox).where(waiting).values(due_at=now)).rowcount


def check_now(conn: Connection, outbox_id: int, *, now: datetime) -> None:
    """Let a row's outcome be looked for at once, if it is unknown: something new is known of it."""
    conn.execute(update(outbox).where(outbox.c.id == outbox_id, outbox.c.state == "unknown").values(due_at=now))


def call_time_max(request_timeout: timedelta) -> timedelta:
    """Return how long a call may take: one write and at most three reads that explain its answer.

    Each is at most one request timeout long, which bounds the whole request.
    """
    return 4 * request_timeout


def lease_until(now: datetime, *, request_timeout: timedelta, calls_before: int = 0) -> datetime:
    """Return when a claim made now runs out.

    A claim covers its own call, those of its worker that go before it, and some seconds for waiting on
    the politeness limit, on the database and on a busy machine. Too short costs a needless
    verification, never a second effect; too long only delays the rescue after a kill.
    """
    return now + (1 + calls_before) * call_time_max(request_timeout) + timedelta(seconds=20)
