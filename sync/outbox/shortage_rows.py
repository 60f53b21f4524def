"""Pushes that are short of stock, in the tables: who has some, how they wait, who is told, and what a person chose."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, exists, select, update

from sync.database.chunks import chunks
from sync.database.schema import exceptions, inventories, item_warehouses, outbox
from sync.ledger.books import Books
from sync.outbox.asking import open_about
from sync.outbox.issuance_parts import parts
from sync.outbox.machine import POST_TRANSFER
from sync.outbox.rows import OPERATOR, Push, push_by_id
from sync.outbox.shortage import (
    NOT_ENOUGH_STOCK,
    SHORT,
    TAKE,
    WAITS,
    Shortage,
    Take,
    hint_of,
    look_again_at,
    said_of,
    shortage_of,
    told_at,
)
from sync.values.money import plain
from sync.values.subjects import Subject

KNOWN_FOR = timedelta(minutes=1)
"""For so long what MPW said of a stock counts, where we have sent nothing of the part since: it is not asked again."""


def other_places(conn: Connection, part_number: str, warehouse: str) -> list[str]:
    """Return the other warehouses that the map gives to the item whose stock this is, as the map has them.

    Where the map gives this warehouse to no item, those of every item of the part.
    """
    query = select(item_warehouses).where(item_warehouses.c.part_number == part_number)
    rows = conn.execute(query.order_by(item_warehouses.c.external_id, item_warehouses.c.position)).all()
    owner = next((row.external_id for row in rows if row.warehouse == warehouse), None)
    places = [row.warehouse for row in rows if owner in (None, row.external_id) and row.warehouse != warehouse]
    return list(dict.fromkeys(places))


def known_stock(conn: Connection, part_number: str, warehouse: str, *, now: datetime) -> Decimal | None:
    """Return what MPW said a moment ago that it has, if nothing of the part was sent since; else None."""
    sent = exists().where(outbox.c.item == part_number, outbox.c.last_sent_at >= inventories.c.read_at)
    query = select(inventories.c.quantity).where(
        inventories.c.part_number == part_number,
        inventories.c.warehouse == warehouse,
        inventories.c.found,
        inventories.c.read_at >= now - KNOWN_FOR,
        inventories.c.read_at <= now,
        ~sent,
    )
    found: Decimal | None = conn.execute(query).scalar_one_or_none()
    return found


def await_stock(books: Books, row: Push, short: Shortage, *, why: str) -> bool:
    """Leave a ready row waiting for stock, and tell a person if it is time; False where it moved on meanwhile."""
    since = row.stock_awaited_since or books.now
    facts = {**row.facts, SHORT: short.as_facts()}
    until = look_again_at(books.now, since)
    changed = books.conn.execute(
        update(outbox)
        .where(outbox.c.id == row.id, outbox.c.fence == row.fence, outbox.c.state == "ready")
        .values(
            due_at=until,
            last_error=why,
            facts=json.dumps(facts, sort_keys=True),
            stock_awaited_since=since,
            stock_seen=sum(short.there.values(), Decimal(0)),
            stock_seen_at=books.now,
        )
    )
    if changed.rowcount != 1:
        return False
    _tell(books, row, short, why, since)
    return True


def tell_of_shortage(books: Books, row: Push) -> bool:
    """Tell a person of a row that waits for stock, if it is time; True where that is new."""
    assert row.stock_awaited_since is not None
    short = seen_of(row)
    why = f"MPW has no stock for it: {row.last_error}"
    if short is not None:
        why = said_of(short, str(row.item), done=posted_of(books.conn, row))
    return _tell(books, row, short, why, row.stock_awaited_since)


def seen_of(row: Push) -> Shortage | None:
    """Return what was short of a push when it was last looked at, None where MPW itself refused it since."""
    return shortage_of(row.facts) if row.stock_seen_at is not None else None


def _tell(books: Books, row: Push, short: Shortage | None, why: str, since: datetime) -> bool:
    at = told_at(row.facts, since, books.policy.tell_shortage)
    if at is None or books.now < at:
        return False
    transfer = row.operation == POST_TRANSFER
    hint = hint_of(short, fractions=books.policy.fractional_issuances, transfer=transfer)
    return open_about(books, row, NOT_ENOUGH_STOCK, why, hint=hint)


def is_to_be_told(row: Push, now: datetime, tell_after: timedelta) -> bool:
    """Tell whether a person should know by now that a row waits for stock."""
    at = None if row.stock_awaited_since is None else told_at(row.facts, row.stock_awaited_since, tell_after)
    return at is not None and now >= at


def told_of(conn: Connection) -> set[int]:
    """Return the pushes of which a person was told that they are short."""
    query = select(exceptions.c.subject).where(
        exceptions.c.kind == NOT_ENOUGH_STOCK, exceptions.c.resolved_at.is_(None)
    )
    return {int(subject) for subject in conn.execute(query).scalars()}


def told_in_vain(conn: Connection, told: Iterable[int]) -> list[int]:
    """Return those of these pushes that are short no more: sent, held again, taken back, or with other content."""
    left = set(told)
    for chunk in chunks(sorted(left)):
        waits = (outbox.c.state.in_(("ready", "sending")), outbox.c.stock_awaited_since.is_not(None))
        left -= set(conn.execute(select(outbox.c.id).where(outbox.c.id.in_(chunk), *waits)).scalars())
    return sorted(left)


def end_telling(books: Books, ids: Iterable[int]) -> None:
    """Resolve what was told of pushes that are short no more."""
    for outbox_id in ids:
        books.resolve_exceptions(
            NOT_ENOUGH_STOCK, about=Subject.push(outbox_id), resolution="it waits for stock no more"
        )


# --- what a person chose ------------------------------------------------------------------


def waiting(conn: Connection, outbox_id: int) -> Push | None:
    """Return a push that waits for stock, None where it does not (any more)."""
    row = push_by_id(conn, outbox_id)
    return row if row is not None and row.state == "ready" and row.stock_awaited_since is not None else None


def posted_of(conn: Connection, row: Push) -> Decimal:
    """Return how much of a push is in MPW already, in parts."""
    return sum((part.quantity for part in parts(conn, row.id) if part.state == "done"), Decimal(0))


def take(books: Books, row: Push, takes: Sequence[Take]) -> None:
    """Let a push go for as much as a person wants of it, and from where."""
    facts = {**row.facts, TAKE: [[one.warehouse, plain(one.quantity)] for one in takes]}
    _note(books, row, facts, due_at=books.now)


def let_wait(books: Books, row: Push) -> None:
    """Let a push wait for stock without another word, however long that takes."""
    _note(books, row, {**row.facts, WAITS: True})


def _note(books: Books, row: Push, facts: Mapping[str, Any], **values: Any) -> None:
    """Write a person's word into a row; a worker that knows the row as it was does not take it."""
    books.conn.execute(
        update(outbox)
        .where(outbox.c.id == row.id, outbox.c.fence == row.fence, outbox.c.state == "ready")
        .values(facts=json.dumps(dict(facts), sort_keys=True), fence=outbox.c.fence + 1, **values)
    )


def drop_rest(books: Books, row: Push, *, by: str, why: str) -> None:
    """Post nothing more of a push: what is there stays, and it is done; where nothing is, it is discarded."""
    done = posted_of(books.conn, row)
    said = f"{plain(done)} of it is there, and the rest is dropped: " if done > 0 else "dropped for want of stock: "
    chosen = {TAKE: [[json.loads(row.payload).get("warehouse_name"), plain(done)]]} if done > 0 else {}
    books.conn.execute(
        update(outbox)
        .where(outbox.c.id == row.id, outbox.c.fence == row.fence, outbox.c.state == "ready")
        .values(
            state="done" if done > 0 else "discarded",
            finalized_at=books.now,
            evidence=f"{OPERATOR}{by}: {said}{why}",
            facts=json.dumps({**row.facts, **chosen}, sort_keys=True),
            fence=outbox.c.fence + 1,
        )
    )
