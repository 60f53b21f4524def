"""What time and others' news do to rows: leases that ran out, unknown rows that are due, stock that came."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
    update,
)

from sync.database.exceptions import is_open
from sync.database.schema import attempts, inventories, ledger_entries, outbox
from sync.ledger.books import Books
from sync.ledger.coverage import AHEAD_MAX
from sync.outbox.queue import NOW, READY
from sync.outbox.rows import Push, push_of
from sync.values.subjects import Subject


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
    return is_open(conn, kind, Subject.push(row.id))


def waiting_for_stock(conn: Connection, *, since: datetime) -> list[tuple[Push, datetime]]:
    """Return the rows that have found too little stock since that instant at least, each with since when."""
    query = select(outbox).where(AWAITS_STOCK, outbox.c.stock_awaited_since <= since).order_by(outbox.c.id)
    pushes = [push_of(row) for row in conn.execute(query)]
    return [(push, push.stock_awaited_since) for push in pushes if push.stock_awaited_since is not None]


AWAITS_STOCK = and_(outbox.c.state == READY, outbox.c.stock_awaited_since.is_not(None))
"""A push that MPW had too little stock for."""


def stock_grew_for(conn: Connection, *, now: datetime) -> list[int]:
    """Return the rows that wait for stock, where something since their last try may have brought some.

    That is: a receipt of the part in MPW's ledger, a receipt or a deleted issuance that we sent, or
    a reading of the part's inventory that shows more than there was.
    """
    return list(conn.execute(_STOCK_GREW, {"now_": now, "soon_": now + AHEAD_MAX}).scalars())


_SOON = bindparam("soon_", type_=outbox.c.due_at.type)


def _stock_grew() -> Select[Any]:
    tried = func.coalesce(outbox.c.stock_seen_at, attempts.c.started_at)
    mate, entry = outbox.alias("mate"), ledger_entries.alias("entry")
    newest = (  # the last entry that brought some: what is older than it was there when the row was tried
        select(entry.c.recorded_at)
        .where(entry.c.item == outbox.c.item, entry.c.system == "mpw", entry.c.quantity > Decimal(0))
        .order_by(entry.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    grew = or_(
        and_(newest > tried, newest <= _SOON),  # what claims to come was written by a clock that was ahead
        exists().where(
            mate.c.entity_key == outbox.c.entity_key,
            mate.c.item == outbox.c.item,
            mate.c.state == "done",
            mate.c.operation.in_(("post_receipt", "delete_issuance", "post_transfer")),
            mate.c.finalized_at > tried,
            mate.c.finalized_at <= _SOON,
        ),
        exists().where(
            inventories.c.part_number == outbox.c.item,
            inventories.c.quantity > func.coalesce(outbox.c.stock_seen, Decimal(0)),
            inventories.c.read_at > tried,
            inventories.c.read_at <= _SOON,
        ),
    )
    last_try = and_(attempts.c.outbox_id == outbox.c.id, attempts.c.n == outbox.c.tries)
    return select(outbox.c.id).outerjoin(attempts, last_try).where(AWAITS_STOCK, outbox.c.due_at > NOW, grew)


_STOCK_GREW = _stock_grew()


def make_due(books: Books, ids: Sequence[int]) -> int:
    """Make ready rows due now; return how many were not."""
    waiting = and_(outbox.c.id.in_(list(ids)), outbox.c.state == "ready", outbox.c.due_at > books.now)
    return books.conn.execute(update(outbox).where(waiting).values(due_at=books.now)).rowcount


def check_now(books: Books, outbox_id: int) -> None:
    """Let a row's outcome be looked for at once, if it is unknown: something new is known of it."""
    books.conn.execute(
        update(outbox).where(outbox.c.id == outbox_id, outbox.c.state == "unknown").values(due_at=books.now)
    )
