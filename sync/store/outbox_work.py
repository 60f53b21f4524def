"""How outbox rows are claimed, moved on and rescued: every statement is a compare-and-set."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, func, insert, not_, or_, select, update
from sqlalchemy.exc import IntegrityError

from sync.domain.outbox import FINAL, POST_ISSUANCE, Outcome, Standing, Transition, is_legal, streak_of
from sync.errors import InvariantError
from sync.store.outbox import RETRIED_AT, Push, push_by_id, push_of
from sync.store.schema import attempts, exceptions, inventories, ledger_entries, outbox

_LAST_TRY_FOUND_NO_STOCK = exists().where(
    attempts.c.outbox_id == outbox.c.id, attempts.c.n == outbox.c.tries, attempts.c.outcome == "no_stock"
)


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
    skip: Collection[int] = (),
    off: Collection[str] = (),
) -> list[Candidate]:
    """Return the rows that are due and head their entity's queue, at most one per entity, the longest due first.

    Rows of a route that is `off` do not go, and keep nothing back.
    """
    alone = exists().where(
        attempts.c.outbox_id == outbox.c.id, attempts.c.n == outbox.c.tries, attempts.c.outcome == "batch_refused"
    )
    query = (
        select(outbox, alone.label("alone_"))
        .where(_may_go(now, off), outbox.c.operation.in_(list(operations)))
        .order_by(outbox.c.due_at, outbox.c.id)
        .limit(limit + len(skip))
    )
    found: dict[str, Candidate] = {}
    for row in conn.execute(query):
        values = dict(row._mapping)
        is_alone = bool(values.pop("alone_"))
        push = Push(**{**values, "facts": json.loads(values["facts"])})
        other = found.get(push.entity_key)
        if push.id not in skip and (other is None or (push.rank, push.id) < (other.push.rank, other.push.id)):
            found[push.entity_key] = Candidate(push, is_alone)
    return list(found.values())[:limit]


def _may_go(now: datetime, off: Collection[str]) -> ColumnElement[bool]:
    """A ready row that is due, whose entity has nothing in flight, and that no earlier row of its entity keeps back.

    An earlier row (by rank, then age) that backs off or waits keeps the later ones back: a receipt
    goes before its item's issuances. Only one that waits for stock does not: nobody knows how long.
    """
    first = outbox.alias("first")
    flying = outbox.alias("flying")
    waits_for_stock = and_(
        first.c.operation == POST_ISSUANCE,
        first.c.due_at > now,
        exists().where(
            attempts.c.outbox_id == first.c.id, attempts.c.n == first.c.tries, attempts.c.outcome == "no_stock"
        ),
    )
    head = (  # one step in ix_outbox_queue, however long the entity's queue is
        select(first.c.id)
        .where(
            first.c.entity_key == outbox.c.entity_key,
            first.c.state == "ready",
            first.c.route.not_in(list(off)),
            not_(waits_for_stock),
        )
        .order_by(first.c.rank, first.c.id)
        .limit(1)
        .scalar_subquery()
    )
    return and_(
        outbox.c.state == "ready",
        outbox.c.due_at <= now,
        outbox.c.id == head,
        not_(exists().where(flying.c.entity_key == outbox.c.entity_key, flying.c.state.in_(("sending", "unknown")))),
    )


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
    free = _unlocked(conn, [row.id for row in rows])
    claimed = []
    for row in sorted(rows, key=lambda row: row.id):
        if row.id in free and _take(conn, row, owner=owner, now=now, lease_until=lease_until, off=off):
            taken = push_by_id(conn, row.id)
            assert taken is not None
            _add_attempt(conn, taken, claims.get(row.id, Claim()), now=now, batch_id=batch_id)
            claimed.append(taken)
    return claimed


def _unlocked(conn: Connection, ids: Sequence[int]) -> set[int]:
    query = select(outbox.c.id).where(outbox.c.id.in_(list(ids))).order_by(outbox.c.id)
    return set(conn.execute(query.with_for_update(skip_locked=True)).scalars())


def _take(
    conn: Connection, row: Push, *, owner: str, now: datetime, lease_until: datetime, off: Collection[str]
) -> bool:
    statement = (
        update(outbox)
        .where(outbox.c.id == row.id, outbox.c.fence == row.fence, _may_go(now, off))
        .values(
            state="sending",
            fence=outbox.c.fence + 1,
            tries=outbox.c.tries + 1,
            lease_owner=owner,
            lease_until=lease_until,
        )
    )
    try:
        with conn.begin_nested():  # another row of the entity may have gone into flight since: the index refuses
            return conn.execute(statement).rowcount == 1
    except IntegrityError:
        return False


def _add_attempt(conn: Connection, row: Push, claim_: Claim, *, now: datetime, batch_id: str | None) -> None:
    before = None if claim_.before is None else json.dumps(dict(claim_.before), sort_keys=True)
    conn.execute(
        insert(attempts).values(
            outbox_id=row.id,
            n=row.tries,
            fence=row.fence,
            batch_id=batch_id,
            started_at=now,
            sent_key=claim_.sent_key or row.api_key,
            before=before,
        )
    )


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
    if not is_legal(row.state, to.state):
        raise InvariantError(f"outbox {row.id}: {row.state} → {to.state} is no move of the machine")
    changed = conn.execute(
        update(outbox)
        .where(outbox.c.id == row.id, outbox.c.fence == row.fence, outbox.c.state == row.state)
        .values(**_values(row, to, now=now, sent_at=sent_at or now))
    )
    return changed.rowcount == 1


def _values(row: Push, to: Transition, *, now: datetime, sent_at: datetime) -> dict[str, Any]:
    values: dict[str, Any] = {
        "state": to.state,
        "lease_owner": None,
        "lease_until": None,
        "last_error": to.last_error,
        "finalized_at": now if to.state in FINAL else None,
    }
    if to.due_at is not None:
        values["due_at"] = to.due_at
    if to.ambiguous is not None:
        values["ambiguous"] = to.ambiguous
    if to.evidence is not None:
        values["evidence"] = to.evidence
    if to.remote_ids:
        known = row.remote_id.split(",") if row.remote_id else []
        values["remote_id"] = ",".join(dict.fromkeys([*known, *to.remote_ids]))
    if to.counts:
        values |= {
            "attempts": row.attempts + 1,
            "first_sent_at": row.first_sent_at or sent_at,
            "last_sent_at": sent_at,
        }
    return values


def end_attempt(conn: Connection, row: Push, to: Transition, *, now: datetime) -> None:
    """Write how the row's last try ended."""
    cause = to.cause
    values: dict[str, Any] = {
        "ended_at": now,
        "outcome": to.outcome,
        "error": to.last_error,
        "http_status": getattr(cause, "status", None),
        "answered_at": getattr(cause, "answered_at", None),
    }
    if getattr(cause, "sent_key", None):
        values["sent_key"] = cause.sent_key
    conn.execute(update(attempts).where(attempts.c.outbox_id == row.id, attempts.c.n == row.tries).values(**values))


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


def waiting_for_stock(conn: Connection) -> list[tuple[Push, datetime]]:
    """Return the rows whose last try found no stock, each with when that row of tries began."""
    rows = conn.execute(select(outbox).where(outbox.c.state == "ready", _LAST_TRY_FOUND_NO_STOCK))
    found = []
    for row in rows.all():
        mine = attempts.c.outbox_id == row.id
        other = select(func.coalesce(func.max(attempts.c.n), 0)).where(mine, attempts.c.outcome != "no_stock")
        began = conn.execute(
            select(func.min(attempts.c.started_at)).where(mine, attempts.c.n > other.scalar_subquery())
        ).scalar_one()
        found.append((push_of(row), began))
    return found


def stock_grew_for(conn: Connection, *, now: datetime) -> list[int]:
    """Return the rows that wait for stock, where something since their last try may have brought some.

    That is: a receipt of the part in MPW's ledger, a receipt or a deleted issuance that we sent, or
    a reading of the part's inventory that shows some.
    """
    tried = attempts.c.started_at
    mate = outbox.alias("mate")
    grew = or_(
        exists().where(
            ledger_entries.c.item == outbox.c.item,
            ledger_entries.c.system == "mpw",
            ledger_entries.c.quantity > 0,
            ledger_entries.c.recorded_at > tried,
        ),
        exists().where(
            mate.c.entity_key == outbox.c.entity_key,
            mate.c.operation.in_(("post_receipt", "delete_issuance", "post_transfer")),
            mate.c.state == "done",
            mate.c.finalized_at > tried,
        ),
        exists().where(
            inventories.c.part_number == outbox.c.item, inventories.c.quantity > 0, inventories.c.read_at > tried
        ),
    )
    last_try = and_(attempts.c.outbox_id == outbox.c.id, attempts.c.n == outbox.c.tries)
    query = (
        select(outbox.c.id)
        .join(attempts, last_try)
        .where(outbox.c.state == "ready", outbox.c.due_at > now, attempts.c.outcome == "no_stock", grew)
    )
    return list(conn.execute(query).scalars())


def make_due(conn: Connection, ids: Sequence[int], *, now: datetime) -> int:
    """Make ready rows due now; return how many were not."""
    waiting = and_(outbox.c.id.in_(list(ids)), outbox.c.state == "ready", outbox.c.due_at > now)
    return conn.execute(update(outbox).where(waiting).values(due_at=now)).rowcount


def check_now(conn: Connection, outbox_id: int, *, now: datetime) -> None:
    """Let a row's outcome be looked for at once, if it is unknown: something new is known of it."""
    conn.execute(update(outbox).where(outbox.c.id == outbox_id, outbox.c.state == "unknown").values(due_at=now))


def lease_until(now: datetime, *, request_timeout: timedelta) -> datetime:
    """Return when a claim made now runs out.

    A claim covers one write and at most three reads that explain its answer, each at most one
    request timeout long (which bounds the whole request), and some seconds for waiting on the
    politeness limit, on the database and on a busy machine. Too short costs a needless
    verification, never a second effect; too long only delays the rescue after a kill.
    """
    return now + 4 * request_timeout + timedelta(seconds=20)
