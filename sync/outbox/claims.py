"""How outbox rows are claimed and moved on: every statement is a compare-and-set."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Connection,
    Text,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.exc import IntegrityError

from sync.database.schema import attempts, outbox, runs
from sync.errors import InvariantError
from sync.ledger.books import Books
from sync.outbox.machine import FINAL, POST_ISSUANCE, POST_RECEIPT, Outcome, Standing, Transition, is_legal, streak_of
from sync.outbox.queue import READY, due_and_free, head_of
from sync.outbox.rows import RETRIED_AT, Push, push_of

LISTED = (POST_RECEIPT, POST_ISSUANCE)
"""Operations whose effect a poll of its day shows."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What is written with a claim: the state the vendor was seen in, and the key the try carries."""

    before: Mapping[str, Any] | None = None
    sent_key: str | None = None


def claim(
    books: Books,
    rows: Sequence[Push],
    claims: Mapping[int, Claim],
    *,
    owner: str,
    lease_until: datetime,
    batch_id: str | None,
    off: Collection[str] = (),
) -> list[Push]:
    """Take those of the rows that still may go, each with a new fence, a lease and its attempt row; return them.

    On PostgreSQL a row that another worker is just taking is passed over, not waited for.
    """
    values = {
        "now_": books.now,
        "off_": list(off),
        "owner_": owner,
        "lease_": lease_until,
    }
    claimed = _take(books.conn, _unlocked(books.conn, rows), values)
    if claimed:
        books.conn.execute(
            _ADD_ATTEMPT, [_attempt(row, claims.get(row.id, Claim()), books.now, batch_id) for row in claimed]
        )
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
        outbox.c.state.concat("") == READY,
        outbox.c.id == head_of(outbox.c.entity_key),
        due_and_free(),
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


def move(books: Books, row: Push, to: Transition, *, sent_at: datetime | None = None) -> bool:
    """Write a row's transition, if the row is still in the state and under the fence that we know it by.

    False: somebody else owns it, and what we learned is to be dropped. `sent_at` is until when a
    call may have left, where that is not now.
    """
    return bool(move_all(books, [(row, to)], sent_at=sent_at))


def move_all(books: Books, moves: Sequence[tuple[Push, Transition]], *, sent_at: datetime | None = None) -> set[int]:
    """Write the transitions of different rows, each under its own fence; return the ids of those that were ours."""
    for row, to in moves:
        if not is_legal(row.state, to.state):
            raise InvariantError(f"outbox {row.id}: {row.state} → {to.state} is no move of the machine")
    if not moves:
        return set()
    known = [(row.id, row.fence, row.state) for row, _ in moves]
    ours = set(books.conn.execute(_OURS, {"ids_": [row.id for row, _ in moves], "known_": known}).scalars())
    values = [_values(row, to, now=books.now, sent_at=sent_at or books.now) for row, to in moves if row.id in ours]
    if values and books.conn.execute(_MOVE, values).rowcount != len(values):
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
        "new_unseen_since": now if getattr(to.cause, "answered", False) and row.operation in LISTED else None,
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
        stock_seen=None,
        stock_seen_at=None,
        settled_no=select(func.coalesce(func.max(runs.c.id), 0)).scalar_subquery(),
        unseen_since=bindparam("new_unseen_since"),
    )
)

_UNCLAIM = (
    update(outbox).where(_MINE).values(state="ready", tries=bindparam("tries_"), lease_owner=None, lease_until=None)
)


def end_attempt(books: Books, row: Push, to: Transition) -> None:
    """Write how the row's last try ended."""
    end_attempts(books, [(row, to)])


def end_attempts(books: Books, ended: Sequence[tuple[Push, Transition]]) -> None:
    """Write how the rows' last tries ended."""
    if ended:
        books.conn.execute(_END_ATTEMPT, [_end_of(row, to, books.now) for row, to in ended])


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
